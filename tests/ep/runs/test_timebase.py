"""Whose steps stand for a time."""

from typing import Any

import pytest

from spikesim.ep.runs.timebase import step_milliseconds


def config(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"data": {"duration": 300.0}, "dynamics": {"steps_free": 16, "inference": "stochastic"}}
    for key, value in changes.items():
        section, name = key.split("__")
        values[section][name] = value
    return values


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (config(), 18.75),
        (config(data__encoding="events", dynamics__steps_free=60), 5.0),
        (config(data__encoding="current"), None),
        (config(data__duration=None), None),
        (config(data__duration="long"), None),
        (config(dynamics__inference="mean-field"), None),
        (config(dynamics__steps_free=0), None),
        ({"data": {}, "dynamics": {"steps_free": 16}}, None),
        ({"data": 3}, None),
        ({}, None),
    ],
)
def test_a_step_is_its_share_of_the_duration(values: dict[str, Any], wanted: float | None) -> None:
    assert step_milliseconds(values) == wanted
