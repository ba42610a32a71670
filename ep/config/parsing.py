"""The configuration of a run: from defaults, files and settings to checked values (`spikesim.ep.config.sections`).

A run is configured by defaults, then a TOML file, then ``--set section.key=value``, then the options of the command.
Unknown keys are errors.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

from spikesim.ep.config.layer_rows import read_rows
from spikesim.ep.config.sections import CONTRAST_WINDOW_MAX, NUDGED_DEFAULTS, NUDGINGS, Config
from spikesim.errors import InputError
from spikesim.io.fields import INTEGER_MAX, INTEGER_MIN, require_64_bits, shown
from spikesim.io.toml import tomllib
from spikesim.runtime.text import counted

__all__ = [
    "CONTRAST_WINDOW_MAX",
    "SECTIONS",
    "Config",
    "describe",
    "make_config",
    "merge",
    "parse_setting",
    "per_layer",
]

SECTIONS = ("model", "data", "dynamics", "signals", "stability", "optimiser", "record")


def describe() -> list[tuple[str, Any, str, str]]:
    """Every key: its name, default, what is allowed, and meaning."""
    rows = []
    for section in SECTIONS:
        for item in dataclasses.fields(getattr(Config(), section)):
            rows.append((f"{section}.{item.name}", item.default, _allowed(item), item.metadata["text"]))
    seed = next(item for item in dataclasses.fields(Config) if item.name == "seed")
    rows.append(("seed", seed.default, _allowed(seed), seed.metadata["text"]))
    return rows


def _allowed(item: "dataclasses.Field[Any]") -> str:
    rules = item.metadata
    if rules["choices"]:
        return ", ".join(rules["choices"])
    if item.type is bool:
        return "true, false"
    parts = []
    if rules["above"] is not None:
        parts.append(f"above {_plain(rules['above'])}")
    if rules["low"] is not None:
        parts.append(f"at least {_plain(rules['low'])}")
    if rules["high"] is not None:
        parts.append(f"at most {_plain(rules['high'])}")
    if rules["per_layer"]:
        parts.append("or a list, a value a layer")
    return ", ".join(parts)


def _plain(limit: float) -> str:
    """A limit in full: 1048576, not 1.04858e+06."""
    return str(int(limit)) if float(limit).is_integer() else repr(limit)


def make_config(values: Mapping[str, Any]) -> Config:
    """A configuration from nested dictionaries, checked.

    Parameters
    ----------
    values : mapping
        Sections and the seed, as `Config.to_dict` gives them; what is missing takes its default.

    Raises
    ------
    InputError
        An unknown key, a wrong type, a value out of range, or values that contradict each other.
    """
    known = {*SECTIONS, "seed"}
    for key in values:
        if key not in known:
            raise InputError(f"unknown key {shown(key)}; the sections are {', '.join(SECTIONS)}, and seed stands alone")
    sections = {}
    for section in SECTIONS:
        given = values.get(section, {})
        if not isinstance(given, Mapping):
            raise InputError(f"{section} is {shown(given)}; it is a table of keys, as in {section}.key = value")
        if section == "dynamics":
            given = {**_nudged_defaults(given), **given}
        sections[section] = _make_section(section, given)
    seed_field = next(item for item in dataclasses.fields(Config) if item.name == "seed")
    seed = _check("seed", seed_field, values.get("seed", 0))
    config = Config(**sections, seed=seed)
    _check_together(config)
    return config


def _nudged_defaults(dynamics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Defaults that depend on what the nudged phases are made of."""
    if dynamics.get("nudged_drive") == "live":
        return NUDGED_DEFAULTS["live"]
    return NUDGED_DEFAULTS["spikes" if dynamics.get("error_events") == "spikes" else "graded"]


def _make_section(name: str, given: Mapping[str, Any]) -> Any:
    section = type(getattr(Config(), name))
    items = {item.name: item for item in dataclasses.fields(section)}
    for key in given:
        if key not in items:
            raise InputError(f"unknown key {shown(f'{name}.{key}')}; the keys of {name} are {', '.join(items)}")
    return section(**{key: _check(f"{name}.{key}", items[key], value) for key, value in given.items()})


def _check(name: str, item: "dataclasses.Field[Any]", value: Any) -> Any:
    """The value in the field's type, or InputError."""
    rules, kind = item.metadata, str(item.type)
    if value is None and rules["optional"]:
        return None
    if name == "model.layers":
        if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
            raise InputError(f"{name} is {shown(value)}; it is a list of tables")
        read_rows(value)
        return tuple(dict(row) for row in value)
    if rules["per_layer"] and isinstance(value, list | tuple):
        if not value:
            raise InputError(f"{name} is an empty list; give a value a layer")
        return tuple(_number(name, one, rules, whole=False) for one in value)
    if kind.startswith("tuple[int"):
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} is {shown(value)}; it is a list of integers")
        limits = {"low": rules["low"] or 0, "high": None, "above": None}
        return tuple(_number(name, one, limits, whole=True) for one in value)
    if item.type is bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} is {shown(value)}; it is true or false")
        return value
    if item.type is str:
        if not isinstance(value, str):
            raise InputError(f"{name} is {shown(value)}; it is a word")
        if not _is_unicode(value):
            raise InputError(f"{name} is {shown(value)}, which is no text of Unicode; give it in UTF-8")
        if rules["choices"] and value not in rules["choices"]:
            raise InputError(f"{name} is {shown(value)}; it must be one of {', '.join(rules['choices'])}")
        return value
    return _number(name, value, rules, whole=kind.replace("<class 'int'>", "int").startswith("int"))


def _is_unicode(text: str) -> bool:
    """Whether it has no halves of surrogate pairs, which is what Python makes of bytes that are not UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _number(name: str, value: Any, rules: Mapping[str, Any], *, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise InputError(f"{name} is {shown(value)}; it is {'an integer' if whole else 'a number'}")
    if isinstance(value, float) and not math.isfinite(value):  # an integer may be too large to ask
        raise InputError(f"{name} is {value}; it must be finite")
    low, high, above = rules["low"], rules["high"], rules["above"]
    if above is not None and not value > above:
        raise InputError(f"{name} is {shown(value)}; it must be above {above:g}")
    if low is not None and value < low:
        raise InputError(f"{name} is {shown(value)}; it must be at least {low:g}")
    if high is not None and value > high:
        raise InputError(f"{name} is {shown(value)}; it must be at most {_plain(high)}")
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        raise InputError(f"{name} is {shown(value)}; it must be below 2**64")
    return value if whole else float(value)


def _check_together(config: Config) -> None:
    dynamics = config.dynamics
    for name, window, steps in (
        ("window_free", dynamics.window_free, dynamics.steps_free),
        ("window_nudged", dynamics.nudged_window, dynamics.steps_nudged),
    ):
        if window % 2 or window > steps:
            raise InputError(f"dynamics.{name} is {window}; it must be even and at most the {steps} steps of its phase")
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
        if math.frexp(gain)[0] != 0.5:
            raise InputError(f"dynamics.{name} is {gain}; it must be a power of two, as 0.25")
    if dynamics.nudged_drive == "held":
        if dynamics.rule != "postsynaptic":
            raise InputError(
                f"dynamics.rule is {dynamics.rule!r}; with held drives it must be 'postsynaptic', or set "
                "dynamics.nudged_drive to 'live'"
            )
    elif dynamics.error_events != "spikes":
        raise InputError(
            f"dynamics.error_events is {dynamics.error_events!r}; with live drives it must be 'spikes', or set "
            "dynamics.nudged_drive to 'held'"
        )
    allowed = NUDGINGS[dynamics.response]
    if dynamics.nudging not in allowed:
        raise InputError(
            f"dynamics.nudging is {dynamics.nudging!r}; where the nudged phases are of {dynamics.response} it must be "
            f"{' or '.join(map(repr, allowed))}: set it, or dynamics.nudged_drive and dynamics.error_events"
        )
    if dynamics.error_events == "graded" and dynamics.contrast != "probability":
        raise InputError(
            f"dynamics.contrast is {dynamics.contrast!r}; with graded errors it must be 'probability', for no neuron "
            "spikes in the nudged phases"
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


def per_layer(value: float | tuple[float, ...], layers: int, name: str) -> tuple[float, ...]:
    """A setting as one value a layer.

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
