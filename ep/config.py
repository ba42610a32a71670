"""The configuration of a run: every hyper-parameter, its default, what is allowed, and what it means.

A run is configured by defaults, then a TOML file, then ``--set section.key=value``, then the options of the command.
Unknown keys are errors.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikesim.errors import InputError
from spikesim.fixedpoint import WINDOW_MAX

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONTRAST_WINDOW_MAX = 512
"""Steps of the longest window that enters a contrast: up to it a product of two of its sums, with the four cells of a
pool, stays below 2**53 and hence exact."""


def option(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    per_layer: bool = False,
    optional: bool = False,
) -> Any:
    """A field of a section: its default, its meaning and what is allowed.

    Parameters
    ----------
    low, high, above : float, optional
        Smallest and largest value, and a value that must be exceeded.
    per_layer : bool
        Also takes a list with a value a layer, the lowest first.
    optional : bool
        May be left out (None).
    """
    rules = {
        "text": text,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "per_layer": per_layer,
        "optional": optional,
    }
    return field(default=default, metadata=rules)


@dataclass(frozen=True)
class Model:
    """The network and its initial weights."""

    arch: str = option("vgg11", "Architecture: mlp, conv, vgg5, vgg11, or custom (with `layers`).")
    width: float = option(1.0, "Factor on the channels of every layer.", above=0, high=64)
    layers: tuple[dict[str, Any], ...] = option(
        (), "The rows of a custom architecture: tables with kind, channels, kernel, padding, pool."
    )
    gain: float | tuple[float, ...] = option(
        0.5,
        "Standard deviation of the initial weights times the square root of the fan-in; below about 0.5 the tied "
        "dynamics of deep networks converge.",
        above=0,
        high=100,
        per_layer=True,
    )
    first_gain: float = option(
        1.0, "The same for the first layer, which sees the image and no feedback.", above=0, high=100
    )
    readout_gain: float = option(1.0, "The same for the read-out.", above=0, high=100)
    activity: float | tuple[float, ...] = option(
        0.1,
        "Mean firing probability of a layer to which the initial biases are calibrated; 0 leaves all biases at 0.",
        low=0,
        high=0.9,
        per_layer=True,
    )
    calibration_samples: int = option(64, "Training samples on which the biases are calibrated.", low=1, high=4096)


@dataclass(frozen=True)
class Data:
    """The data and how they are presented."""

    dataset: str = option("fashion-mnist-mini", "Name of the data set; `spikesim data list` shows them.")
    limit: int | None = option(None, "Use only the first N training samples.", low=1, optional=True)
    test_limit: int | None = option(None, "Use only the first N test samples.", low=1, optional=True)
    batch_size: int = option(64, "Samples in a mini-batch.", low=1, high=65536)
    augment: bool = option(False, "Random crops and flips, as far as they suit the data set.")
    std_factor: float = option(
        1.0, "Normalised images are divided by this; the literature takes 3 for CIFAR-10.", above=0, high=100
    )


@dataclass(frozen=True)
class Dynamics:
    """The phases and the noise."""

    inference: str = option(
        "stochastic",
        "Spiking dynamics, or the deterministic mean field (p in place of spikes), in training and in tests.",
        choices=("stochastic", "mean-field"),
    )
    firing: str = option(
        "iid",
        "A fresh random number each step, or one a phase moved by a low-discrepancy sequence.",
        choices=("iid", "stratified"),
    )
    noise: str = option(
        "common",
        "Whether the two nudged phases share their random numbers.",
        choices=("common", "independent"),
    )
    pooling: str = option(
        "average",
        "All four cells send their spikes, or one of them each step (the same mean field, a quarter of the events).",
        choices=("average", "sampled"),
    )
    leak: int = option(2, "k of the membrane's alpha = 2**-k.", low=0, high=8)
    trace_leak: int = option(
        0, "k of the low pass through which the nudge sees the last layer; 0 for none.", low=0, high=8
    )
    steps_free: int = option(60, "Steps of the free phase (the largest number, with a tolerance).", low=2, high=65535)
    window_free: int = option(
        20, "Last steps of the free phase over which rates are averaged; even.", low=2, high=WINDOW_MAX
    )
    tolerance: float | None = option(
        None,
        "End a sample's free phase when its mean rate differs by no more than this between the halves of a window.",
        above=0,
        high=1,
        optional=True,
    )
    steps_nudged: int = option(20, "Steps of each nudged phase.", low=2, high=65535)
    window_nudged: int | None = option(
        None,
        "Last steps of a nudged phase over which rates are averaged; even; by default all, if even, and at most 512.",
        low=2,
        high=CONTRAST_WINDOW_MAX,
        optional=True,
    )
    beta: float = option(2.0, "Strength of the nudge.", above=0, high=64)
    nudging: str = option(
        "centred",
        "+beta against -beta; +beta against the free phase; or +-beta, drawn a mini-batch, against the free phase.",
        choices=("centred", "one-sided", "random-sign"),
    )
    contrast: str = option(
        "probability",
        "What the contrast averages: firing probabilities or spikes.",
        choices=("probability", "spikes"),
    )
    cost: str = option(
        "cross-entropy",
        "Cost of the read-out: cross-entropy of its softmax, or half the squared error.",
        choices=("cross-entropy", "squared-error"),
    )

    @property
    def nudged_window(self) -> int:
        """Length of the window of a nudged phase."""
        if self.window_nudged is not None:
            return self.window_nudged
        return min(self.steps_nudged // 2 * 2, CONTRAST_WINDOW_MAX)

    @property
    def engine_firing(self) -> str:
        """How the simulator's neurons fire."""
        return "mean-field" if self.inference == "mean-field" else self.firing


@dataclass(frozen=True)
class Optimiser:
    """How the weights follow the contrast."""

    name: str = option("adam", "Optimiser.", choices=("adam", "sgd"))
    epochs: int = option(5, "Passes over the training set.", low=1, high=2**20)
    learning_rate: float | tuple[float, ...] = option(
        0.02,
        "Learning rate of a layer's weights, in units of the standard deviation that they start with: a share of "
        "their size, whatever the fan-in.",
        low=0,
        high=1e6,
        per_layer=True,
    )
    readout_learning_rate: float | None = option(
        None,
        "Learning rate of the read-out; by default what suits the architecture: 0.005 for mlp, else 0.02.",
        low=0,
        high=1000,
        optional=True,
    )
    bias_factor: float = option(
        0.02, "Learning rate of the biases of the layers, as a share of that of the weights.", low=0, high=1000
    )
    schedule: str = option(
        "cosine",
        "Learning rate over the epochs: constant, or a cosine down to `final_factor`.",
        choices=("constant", "cosine"),
    )
    final_factor: float = option(
        0.05, "Learning rate at the end of the cosine, as a share of the first.", low=0, high=1
    )
    momentum: float = option(0.9, "Momentum of SGD.", low=0, high=0.9999)
    beta1: float = option(0.9, "Decay of Adam's first moment.", low=0, high=0.9999)
    beta2: float = option(0.999, "Decay of Adam's second moment.", low=0, high=0.999999)
    epsilon: float = option(1e-8, "Added to the root of Adam's second moment.", above=0, high=1)
    weight_decay: float = option(
        0.0,
        "Decay of the weights, not of the biases (added to the gradient by SGD, decoupled in Adam).",
        low=0,
        high=10,
    )


@dataclass(frozen=True)
class Record:
    """What is written beside the counters."""

    spikes: tuple[int, ...] = option((), "Test samples whose spikes are recorded, in the last test of the run.")


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    model: Model = field(default_factory=Model)
    data: Data = field(default_factory=Data)
    dynamics: Dynamics = field(default_factory=Dynamics)
    optimiser: Optimiser = field(default_factory=Optimiser)
    record: Record = field(default_factory=Record)
    seed: int = option(0, "Seed of everything that is random.", low=0, high=2**63 - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain, canonical form: nested dictionaries of JSON types."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]


SECTIONS = ("model", "data", "dynamics", "optimiser", "record")


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
            raise InputError(f"unknown key {key!r}; the sections are {', '.join(SECTIONS)}, and seed stands alone")
    sections = {}
    for section in SECTIONS:
        given = values.get(section, {})
        if not isinstance(given, Mapping):
            raise InputError(f"{section} is {given!r}; it is a table of keys, as in {section}.key = value")
        sections[section] = _make_section(section, given)
    seed_field = next(item for item in dataclasses.fields(Config) if item.name == "seed")
    seed = _check("seed", seed_field, values.get("seed", 0))
    config = Config(**sections, seed=seed)
    _check_together(config)
    return config


def _make_section(name: str, given: Mapping[str, Any]) -> Any:
    section = type(getattr(Config(), name))
    items = {item.name: item for item in dataclasses.fields(section)}
    for key in given:
        if key not in items:
            raise InputError(f"unknown key {f'{name}.{key}'!r}; the keys of {name} are {', '.join(items)}")
    return section(**{key: _check(f"{name}.{key}", items[key], value) for key, value in given.items()})


def _check(name: str, item: "dataclasses.Field[Any]", value: Any) -> Any:
    """The value in the field's type, or InputError."""
    rules, kind = item.metadata, str(item.type)
    if value is None and rules["optional"]:
        return None
    if name == "model.layers":
        if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
            raise InputError(f"{name} is {value!r}; it is a list of tables")
        return tuple(dict(row) for row in value)
    if rules["per_layer"] and isinstance(value, list | tuple):
        if not value:
            raise InputError(f"{name} is an empty list; give a value a layer")
        return tuple(_number(name, one, rules, whole=False) for one in value)
    if kind.startswith("tuple[int"):
        if not isinstance(value, list | tuple):
            raise InputError(f"{name} is {value!r}; it is a list of integers")
        return tuple(_number(name, one, {"low": 0, "high": None, "above": None}, whole=True) for one in value)
    if item.type is bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} is {value!r}; it is true or false")
        return value
    if item.type is str:
        if not isinstance(value, str):
            raise InputError(f"{name} is {value!r}; it is a word")
        if rules["choices"] and value not in rules["choices"]:
            raise InputError(f"{name} is {value!r}; it must be one of {', '.join(rules['choices'])}")
        return value
    return _number(name, value, rules, whole=kind.replace("<class 'int'>", "int").startswith("int"))


def _number(name: str, value: Any, rules: Mapping[str, Any], *, whole: bool) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise InputError(f"{name} is {value!r}; it is {'an integer' if whole else 'a number'}")
    if isinstance(value, float) and not math.isfinite(value):  # an integer may be too large to ask
        raise InputError(f"{name} is {value}; it must be finite")
    low, high, above = rules["low"], rules["high"], rules["above"]
    if above is not None and not value > above:
        raise InputError(f"{name} is {value}; it must be above {above:g}")
    if low is not None and value < low:
        raise InputError(f"{name} is {value}; it must be at least {low:g}")
    if high is not None and value > high:
        raise InputError(f"{name} is {value}; it must be at most {high:g}")
    return value if whole else float(value)


def _check_together(config: Config) -> None:
    dynamics = config.dynamics
    for name, window, steps in (
        ("window_free", dynamics.window_free, dynamics.steps_free),
        ("window_nudged", dynamics.nudged_window, dynamics.steps_nudged),
    ):
        if window % 2 or window > steps:
            raise InputError(f"dynamics.{name} is {window}; it must be even and at most the {steps} steps of its phase")
    if dynamics.nudging != "centred" and dynamics.window_free > CONTRAST_WINDOW_MAX:
        raise InputError(
            f"dynamics.window_free is {dynamics.window_free}; with {dynamics.nudging} nudging it enters the contrast "
            f"and must be at most {CONTRAST_WINDOW_MAX}"
        )
    if dynamics.tolerance is not None and dynamics.steps_free % dynamics.window_free:
        raise InputError(
            f"dynamics.steps_free is {dynamics.steps_free}; with a tolerance it must be a multiple of "
            f"dynamics.window_free ({dynamics.window_free})"
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
        raise InputError(f"{name} has {len(value)} values; the network has {layers} layers")
    return value


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    InputError
        The file is missing or not TOML.
    """
    try:
        text = Path(path).read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or thousands of digits or of brackets
        raise InputError(f"{path} is not TOML: {' '.join(str(error).split())}") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """``key=value`` of the command line; the value is TOML, or a plain word.

    Raises
    ------
    InputError
        No equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r} is not key=value, as in --set dynamics.beta=1.5")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        parsed = {}
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
            raise InputError(f"{section} is {merged[section]!r}; it is a table of keys, as in {key} = value")
    return merged
