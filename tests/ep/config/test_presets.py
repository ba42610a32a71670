"""Presets: sets of keys that stand below all that is given."""

from typing import Any

import pytest

from spikesim.ep.config.parsing import Config, beyond_preset, describe, make_config, merge
from spikesim.ep.config.sections.presets import DEFAULT, PRESETS
from spikesim.errors import InputError
from spikesim.io.config_diff import flat_settings

LITERAL = {
    "dynamics.nudged_phase": "live-spikes",
    "dynamics.feedback_gain": 1.0,
    "dynamics.rule": "symmetric",
    "dynamics.order": "synchronous",
}
"""What equilibrium propagation is in the papers, of all presets but the default."""


def flat(config: Config) -> dict[str, Any]:
    return dict(flat_settings(config.to_dict()))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_its_keys(name: str) -> None:
    known = {key for key, *_ in describe()}
    preset = PRESETS[name]
    assert set(preset.keys) <= known and preset.text.endswith(".")
    own, default = flat(make_config({"preset": name})), flat(Config())
    assert {key: own[key] for key in preset.keys} == dict(preset.keys)
    spelled = flat(make_config(merge({}, preset.keys.items())))
    assert {key: value for key, value in own.items() if key != "preset"} == spelled
    assert own.get("preset", DEFAULT) == name
    assert (own == default) == (name == DEFAULT), "the default is the configuration that knows of no presets"
    if name != DEFAULT:
        assert LITERAL.items() <= own.items()


def test_what_each_preset_is_about() -> None:
    own = {name: flat(make_config({"preset": name})) for name in PRESETS}
    for name in ("stochep", "stochep-signals"):
        assert own[name]["dynamics.contrast"] == "spikes" and own[name]["dynamics.noise"] == "independent"
    assert own["stochep-crn"]["dynamics.contrast"] == "probability" and own["stochep-crn"]["dynamics.noise"] == "common"
    assert {name for name in PRESETS if own[name]["dynamics.inference"] == "mean-field"} == {"intermediate-signals"}
    assert {name for name in PRESETS if own[name]["error_signals.kind"] == "none"} == {"stochep", "stochep-crn"}


@pytest.mark.parametrize("name", PRESETS)
def test_any_key_may_differ_and_comes_back_from_a_file(name: str) -> None:
    given = [("dynamics.beta", 3.0), ("model.width", 0.5), ("dynamics.feedback_gain", 0.125)]
    config = make_config(merge({"preset": name}, given))
    assert (config.dynamics.beta, config.model.width, config.dynamics.feedback_gain) == (3.0, 0.5, 0.125)
    recorded = config.to_dict()
    assert make_config(recorded) == config
    assert beyond_preset(recorded) == (name, [(key, flat(config)[key]) for key in flat(config) if key in dict(given)])
    assert beyond_preset(make_config({"preset": name}).to_dict()) == (name, [])


def test_a_key_of_a_preset_at_its_default_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that came later are left out of the canonical form at their default, unless a preset has another value."""
    later = "data.coarse"
    assert later not in flat(Config()), "a key that came later"
    changed = {"stochep": type(PRESETS["stochep"])("Text.", {later: 2})}
    monkeypatch.setattr("spikesim.ep.config.sections.PRESETS", {**PRESETS, **changed})
    monkeypatch.setattr("spikesim.ep.config.parsing.PRESETS", {**PRESETS, **changed})
    config = make_config({"preset": "stochep", "data": {"coarse": 1}})
    assert make_config(config.to_dict()) == config and config.data.coarse == 1


@pytest.mark.parametrize("value", ["StochEP", "", 3, None, ["stochep"]])
def test_other_names_are_refused(value: Any) -> None:
    with pytest.raises(InputError, match="preset"):
        make_config({"preset": value})
