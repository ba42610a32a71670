"""The configuration of a run: from defaults, files and settings to checked values (`spikesim.ep.config.sections`).

A run is configured by defaults, then a TOML file, then ``--set section.key=value``, then the options of the command.
Unknown keys are errors.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from spikesim.ep.config.layer_rows import read_rows
from spikesim.ep.config.sections import (
    CONTRAST_WINDOW_MAX,
    NUDGED_DEFAULTS,
    NUDGINGS,
    Config,
    DynamicsSettings,
    OptimizerSettings,
)
from spikesim.ep.config.sections.presets import DEFAULT, PRESETS
from spikesim.ep.config.suggestions import meant_key, meant_section
from spikesim.errors import InputError
from spikesim.io.config_diff import flat_settings
from spikesim.io.fields import require_64_bits, shown
from spikesim.io.toml import tomllib
from spikesim.io.validation import Limits, did_you_mean, flag, items, number, require_keys, tables, whole, word
from spikesim.runtime.text import counted

__all__ = [
    "CONTRAST_WINDOW_MAX",
    "SECTIONS",
    "Config",
    "all_keys",
    "as_recorded",
    "beyond_preset",
    "config_of_run",
    "describe",
    "make_config",
    "merge",
    "parse_setting",
    "per_layer",
]

FEEDBACK_MIN = 2.0**-8
"""Smallest feedback gain above 0."""
NORMALIZED_FEEDBACK_MAX = 0.25
"""Largest feedback gain with running statistics, which potentials tell of the feedforward drive as long as little comes
back: with more of it the weights that make up a wanted deviation vanish."""
SECTIONS = ("model", "data", "dynamics", "error_signals", "stability", "optimizer", "record")


def describe() -> list[tuple[str, Any, str, str]]:
    """Every key: its name, default, what is allowed, and meaning."""
    rows = []
    for section in SECTIONS:
        for item in dataclasses.fields(getattr(Config(), section)):
            rows.append((f"{section}.{item.name}", item.default, _allowed(item), item.metadata["text"]))
    rows.extend((item.name, item.default, _allowed(item), item.metadata["text"]) for item in _alone().values())
    return rows


def all_keys() -> list[str]:
    """The names of all keys, with their sections."""
    return [
        *(f"{section}.{item.name}" for section in SECTIONS for item in dataclasses.fields(getattr(Config(), section))),
        *_alone(),
    ]


def _alone() -> dict[str, "dataclasses.Field[Any]"]:
    """The keys outside of sections."""
    return {item.name: item for item in dataclasses.fields(Config) if item.name not in SECTIONS}


def _allowed(item: "dataclasses.Field[Any]") -> str:
    rules = item.metadata
    if rules["choices"]:
        return ", ".join(rules["choices"])
    if item.type is bool:
        return "true, false"
    parts = [str(rules["limits"]), "or a list with a value per layer" if rules["per_layer"] else ""]
    return ", ".join(part for part in parts if part)


def make_config(values: Mapping[str, Any]) -> Config:
    """A configuration from nested dictionaries, checked.

    Parameters
    ----------
    values : mapping
        Sections, the preset and the seed, as `Config.to_dict` gives them; what is missing is as the preset has it, else
        takes its default.

    Raises
    ------
    InputError
        An unknown key, a wrong type, a value out of range, or values that contradict each other.
    """
    alone = _alone()
    for key, value in values.items():
        if key not in SECTIONS and key not in alone:
            asked = did_you_mean(meant_section(key, value, SECTIONS, all_keys()))
            raise InputError(
                f"unknown key {shown(key)}{asked}; the sections are {', '.join(SECTIONS)}; {' and '.join(alone)} stand "
                "alone"
            )
    name = word(values.get("preset", DEFAULT), "preset", tuple(PRESETS))
    sections = {}
    for section in SECTIONS:
        given = values.get(section, {})
        if not isinstance(given, Mapping):
            raise InputError(f"{section} is {shown(given)}; it must be a table of keys, as in {section}.key = value")
        given = {**PRESETS[name].section(section), **given}
        if section == "dynamics":
            given = {**_nudged_defaults(given), **given}
        sections[section] = _make_section(section, given)
    seed = whole(values.get("seed", alone["seed"].default), "seed", alone["seed"].metadata["limits"])
    config = Config(**sections, preset=name, seed=seed)
    _check_together(config)
    return config


def as_recorded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run file for `make_config`, with what the run had where the file does not know a key.

    A configuration from before there was a key lacks it. Its run had what the program did then, and not what has become
    the default since.
    """
    complete = dict(values)
    for name in SECTIONS:
        given = values.get(name, {})
        if isinstance(given, Mapping):  # else `make_config` refuses it
            items = dataclasses.fields(getattr(Config(), name))
            earlier = {item.name: item.metadata["before"] for item in items if item.metadata["before"] is not None}
            complete[name] = {**earlier, **given}
    return complete


def config_of_run(recorded: Mapping[str, Any], changes: Iterable[tuple[str, Any]] = ()) -> Config:
    """The configuration of a run, as its file has it, after changes of some dotted keys.

    Raises
    ------
    InputError
        A value is not allowed.
    """
    return make_config(merge(as_recorded(recorded), changes))


def beyond_preset(recorded: Mapping[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """The preset of the configuration of a run file, and what differs from it: dotted keys and their values."""
    name = str(recorded.get("preset", DEFAULT))
    own = dict(flat_settings(make_config({"preset": name} if name in PRESETS else {}).to_dict()))
    return name, [(key, value) for key, value in flat_settings(as_recorded(recorded)) if own.get(key) != value]


def _nudged_defaults(dynamics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Defaults that depend on what the nudged phases are made of."""
    chosen = dynamics.get("nudged_phase", DynamicsSettings.nudged_phase)
    return NUDGED_DEFAULTS.get(chosen, {}) if isinstance(chosen, str) else {}


def _make_section(name: str, given: Mapping[str, Any]) -> Any:
    section = type(getattr(Config(), name))
    rules = {item.name: item.metadata for item in dataclasses.fields(section)}
    require_keys(given, rules, name, prefix=f"{name}.", meant=lambda key, _: _meant(key, name))
    kinds = typing.get_type_hints(section)
    return section(**{key: _check(f"{name}.{key}", kinds[key], rules[key], value) for key, value in given.items()})


def _meant(key: str, section: str) -> str | None:
    """What is meant by a key that a section has not: one of its own, or one of another section."""
    found = meant_key(key, all_keys(), section)
    return None if found is None else found.removeprefix(f"{section}.")


def _check(name: str, kind: Any, rules: Mapping[str, Any], value: Any) -> Any:
    """The value in a field's type, or InputError."""
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and type(None) in kinds:
        return None
    lists = [one for one in kinds if typing.get_origin(one) is tuple]
    if lists and (len(kinds) == 1 or isinstance(value, list | tuple)):
        return _check_list(name, typing.get_args(lists[0])[0], rules, value)
    if kinds[0] is bool:
        return flag(value, name)
    if kinds[0] is str:
        return word(value, name, rules["choices"])
    return (whole if kinds[0] is int else number)(value, name, rules["limits"])


def _check_list(name: str, kind: Any, rules: Mapping[str, Any], value: Any) -> tuple[Any, ...]:
    """Integers, numbers of layers, names, or the tables that describe layers."""
    if kind is int:
        limits = Limits(low=rules["limits"].low or 0)
        return tuple(items(value, name, "integers", lambda one, what: whole(one, what, limits)))
    if kind is float:
        limits = rules["limits"]
        return tuple(items(value, name, "numbers", lambda one, what: number(one, what, limits), filled=True))
    if kind is str:  # a set of names, of which there is one form
        given = [one.strip() for one in value.split(",")] if isinstance(value, str) else value
        return tuple(sorted(set(items(given, name, "names", _name))))
    rows = tables(value, name)
    read_rows(rows)
    return tuple(dict(row) for row in rows)


def _name(value: Any, what: str) -> str:
    if word(value, f"a name in {what}") == "":
        raise InputError(f"{what} has an empty name; leave it out")
    return str(value)


def _check_together(config: Config) -> None:
    _check_neuron(config)
    _check_extensions(config.optimizer)
    dynamics = config.dynamics
    for name, window, steps in (
        ("window_free", dynamics.window_free, dynamics.steps_free),
        ("window_nudged", dynamics.nudged_window, dynamics.steps_nudged),
    ):
        if window > steps or (window % 2 and steps > 1):
            fitting = (
                f"even and at most the {steps} steps of its phase" if steps > 1 else "1, for its phase has one step"
            )
            raise InputError(f"dynamics.{name} is {window}; it must be {fitting}")
    if config.data.cutout and not config.data.augment:
        raise InputError(f"data.cutout is {config.data.cutout}; it needs data.augment = true")
    if not config.model.dropout and (config.model.dropout_layers or config.model.dropout_units != "neurons"):
        raise InputError("model.dropout is 0; model.dropout_layers and model.dropout_units need a share, as 0.5")
    if config.optimizer.patience is not None and not config.data.validation:
        raise InputError(
            f"optimizer.patience is {config.optimizer.patience}; it needs a validation set: set data.validation, such "
            "as 0.1"
        )
    if (config.data.frames or 1) > dynamics.steps_free:
        raise InputError(
            f"data.frames is {config.data.frames}; it must be at most the {dynamics.steps_free} steps of the free phase"
        )
    if (dynamics.steps_onset or 0) > dynamics.steps_free - dynamics.window_free:
        raise InputError(
            f"dynamics.steps_onset is {dynamics.steps_onset}; it must be at most the "
            f"{dynamics.steps_free - dynamics.window_free} steps of the free phase before its window"
        )
    if dynamics.nudging in ("one-sided", "random-sign") and dynamics.window_free > CONTRAST_WINDOW_MAX:
        raise InputError(
            f"dynamics.window_free is {dynamics.window_free}; with {dynamics.nudging} nudging it enters the contrast "
            f"and must be at most {CONTRAST_WINDOW_MAX}"
        )
    for name, gain in (("feedback_gain", dynamics.feedback_gain), ("error_gain", dynamics.error_gain)):
        if math.frexp(gain)[0] != 0.5 and gain != 0:
            raise InputError(f"dynamics.{name} is {gain}; it must be a power of two, such as 0.25, or 0")
    if 0 < dynamics.feedback_gain < FEEDBACK_MIN:
        raise InputError(
            f"dynamics.feedback_gain is {dynamics.feedback_gain}; it must be 2**-8 .. 1, or 0 for no feedback"
        )
    if dynamics.feedback_gain == 0 and dynamics.nudged_phase != "linear-response":
        raise InputError(
            f"dynamics.feedback_gain is 0 and dynamics.nudged_phase {dynamics.nudged_phase!r}; a free phase without "
            "feedback needs 'linear-response': choose that, or a gain of 2**-8 or more"
        )
    if dynamics.clamped and dynamics.rule != "postsynaptic":
        raise InputError(
            f"dynamics.rule is {dynamics.rule!r}; with dynamics.nudged_phase = {dynamics.nudged_phase!r} it must be "
            "'postsynaptic', or set dynamics.nudged_phase to 'live-spikes'"
        )
    allowed = NUDGINGS[dynamics.nudged_phase]
    if dynamics.nudging not in allowed:
        raise InputError(
            f"dynamics.nudging is {dynamics.nudging!r}; with dynamics.nudged_phase = {dynamics.nudged_phase!r} it must "
            f"be {' or '.join(map(repr, allowed))}"
        )
    if dynamics.nudged_phase == "linear-response" and dynamics.contrast != "probability":
        raise InputError(
            f"dynamics.contrast is {dynamics.contrast!r}; with dynamics.nudged_phase = 'linear-response' it must be "
            "'probability', since no neuron spikes in the nudged phases"
        )
    if dynamics.pooling == "winner" and dynamics.nudged_phase != "linear-response":
        raise InputError(
            f"dynamics.pooling is 'winner' and dynamics.nudged_phase {dynamics.nudged_phase!r}; only 'linear-response' "
            "sends errors to winners: choose it, or another pooling"
        )
    if dynamics.residual_tolerance_nudged is not None and (
        dynamics.nudged_phase == "linear-response" or dynamics.nudged_window >= dynamics.steps_nudged
    ):
        raise InputError(
            f"dynamics.residual_tolerance_nudged is {dynamics.residual_tolerance_nudged}; nudged phases that may end "
            "early are those of 'live-spikes' and 'clamped-spikes' with dynamics.window_nudged below the "
            f"{dynamics.steps_nudged} dynamics.steps_nudged: set both, or leave it out"
        )
    if config.model.normalization == "running-statistics" and dynamics.feedback_gain > NORMALIZED_FEEDBACK_MAX:
        raise InputError(
            f"dynamics.feedback_gain is {dynamics.feedback_gain}; with model.normalization = 'running-statistics' it "
            f"must be at most {NORMALIZED_FEEDBACK_MAX}, since the statistics are those of feedforward drives: lower "
            "it, "
            "or set model.normalization to 'weight-standardization' or 'none'"
        )
    stability = config.stability
    if stability.beta_low > stability.beta_high:
        raise InputError(
            f"stability.beta_low is {stability.beta_low}; it must be at most stability.beta_high "
            f"({stability.beta_high})"
        )
    if stability.activity_floor > stability.activity_ceiling:
        raise InputError(
            f"stability.activity_floor is {stability.activity_floor}; it must be at most stability.activity_ceiling "
            f"({stability.activity_ceiling})"
        )


def _check_neuron(config: Config) -> None:
    neuron, refractory = config.model.neuron, config.model.refractory
    if (neuron == "refractory") != (refractory is not None):
        raise InputError(
            f"model.refractory is {'not set' if refractory is None else refractory}; it belongs to model.neuron "
            f"'refractory', which is {neuron!r}: set both or none"
        )
    if neuron == "refractory" and config.dynamics.pooling == "winner":
        raise InputError(
            "dynamics.pooling is 'winner' and model.neuron 'refractory', whose potential alone does not determine its "
            "firing probability: choose another pooling, or 'clipped-linear' neurons"
        )
    if neuron == "refractory" and config.stability.target_rate is not None:
        raise InputError(
            f"stability.target_rate is {config.stability.target_rate}; the activity penalty has no derivative for "
            "refractory neurons: leave it out, or set model.neuron to 'clipped-linear'"
        )


def _check_extensions(settings: OptimizerSettings) -> None:
    plans, at = (*settings.extended_from, settings.epochs), settings.extended_at
    if len(settings.extended_from) != len(at):
        raise InputError(
            f"optimizer.extended_from has {counted(len(settings.extended_from), 'value')} and optimizer.extended_at "
            f"{len(at)}; each extension has one of each"
        )
    if any(later <= earlier for earlier, later in pairwise(plans)) or any(b < a for a, b in pairwise(at)):
        raise InputError(
            f"optimizer.extended_from is {list(plans[:-1])}, extended_at {list(at)} and epochs {settings.epochs}; an "
            "extension must have more epochs than the run before it, and come later"
        )


def per_layer(value: float | tuple[float, ...], layers: int, name: str) -> tuple[float, ...]:
    """A setting as one value per layer.

    Raises
    ------
    InputError
        A list of another length.
    """
    if not isinstance(value, tuple):
        return (value,) * layers
    if len(value) != layers:
        raise InputError(f"{name} has {counted(len(value), 'value')}; the network has {counted(layers, 'layer')}")
    return value


def parse_setting(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line; the value is TOML, or a plain word.

    Raises
    ------
    InputError
        No equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {shown(text)} is not key=value, as in --set dynamics.beta=1.5")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        parsed = {}
    require_64_bits(parsed.get("value"), key.strip())
    # more than one key: lines that follow the value, hence no value of TOML
    return key.strip(), parsed["value"] if len(parsed) == 1 else value.strip()


def merge(values: dict[str, Any], settings: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nested values with dotted keys set.

    Raises
    ------
    InputError
        A key that has no place.
    """
    merged = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
    for key, value in settings:
        section, dot, name = key.partition(".")
        if not dot:
            merged[section] = value
        elif isinstance(merged.setdefault(section, {}), dict):
            merged[section][name] = value
        else:
            raise InputError(f"{section} is {shown(merged[section])}; it is a table of keys, as in {key} = value")
    return merged
