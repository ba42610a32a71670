"""Where configurations differ."""

from pathlib import Path

import pytest

from spikesim.errors import InputError
from spikesim.io.config_diff import differing_settings, require_same_settings

OLD = {"seed": 1, "data": {"limit": 64, "dataset": "digits"}, "dynamics": {"steps": [1, 2], "beta": 1.0}}


def test_the_same_settings_are_the_same_in_any_order() -> None:
    require_same_settings(Path("run.h5"), OLD, dict(reversed(OLD.items())))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 2}, "seed: 1 in the file, 2 now;"),
        ({"seed": 1.0}, "seed: 1 in the file, 1.0 now;"),
        ({"seed": True}, "seed: 1 in the file, True now;"),
        ({"data": {"limit": 64}}, "data.dataset: digits in the file, nothing now;"),
        ({"more": None}, "more: nothing in the file, None now;"),
        (
            {"seed": 2, "data": {}, "dynamics": {}},
            "data.dataset: .*; data.limit: .*; dynamics.beta: .* now .and 2 more",
        ),
    ],
)
def test_differences_are_named_with_both_values(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=f"^run.h5 is a run of another configuration: {words}"):
        require_same_settings(Path("run.h5"), OLD, {**OLD, **changes})


def test_settings_that_differ_among_several() -> None:
    others = [OLD, None, {**OLD, "seed": 2}, {**OLD, "more": None}]
    assert differing_settings(others) == [{"seed": 1}, {"seed": None}, {"seed": 2}, {"seed": 1}]
