"""Every hyper-parameter: its default, what is allowed, and what it means."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spikesim.io.validation import Limits
from spikesim.numerics.fixed_point import WINDOW_MAX

CONTRAST_WINDOW_MAX = 2048
"""Steps of the longest window that enters a contrast: up to it a sum of p over the window, the four cells of a pool and
the two phases that add up on the presynaptic side fits into int32."""

DURATION_MAX = 4e6
"""Milliseconds of a recording that can be followed."""
NUDGED_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "linear-response": {"steps_nudged": 2, "beta": 0.25, "error_gain": 1.0},
        "clamped-spikes": {"steps_nudged": 4, "beta": 1.0, "error_gain": 0.0625},
        "live-spikes": {"steps_nudged": 8, "beta": 1.0},
    }
)
"""Defaults of `Dynamics` that suit its `nudged_phase`."""

NUDGINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "linear-response": ("centered", "deviation"),
        "clamped-spikes": ("centered",),
        "live-spikes": ("centered", "one-sided", "random-sign"),
    }
)
"""What may be compared (`Dynamics.nudging`), by the way in which the network responds (`Dynamics.nudged_phase`)."""


def tested_on(validation: float | None) -> str:
    """What the tests of a run are made on, "test" or "validation", with this share of the training set held out."""
    return "validation" if validation else "test"


def option(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    per_layer: bool = False,
    optional: bool = False,
    later: bool = False,
    before: Any = None,
    **limits: float,
) -> Any:
    """A field of a section: its default, its meaning and what is allowed.

    Parameters
    ----------
    per_layer : bool
        Also takes a list with a value a layer, the lowest first.
    optional : bool
        May be left out (None).
    later : bool
        Added after there were runs: left out of the canonical form where it has its default, so that a configuration
        that knows nothing of it stays the same.
    before
        What runs had before there was the key, where that is not its default (`as_recorded`).
    **limits : float
        `low`, `high` and `above`: smallest and largest value, and a value that must be exceeded (`Limits`).
    """
    rules = {
        "text": text,
        "choices": choices,
        "limits": Limits(**limits),
        "per_layer": per_layer,
        "optional": optional,
        "later": later,
        "before": before,
    }
    return field(default=default, metadata=rules)


@dataclass(frozen=True)
class ModelSettings:
    """The network and its initial weights."""

    arch: str = option(
        "vgg11", "Architecture: mlp, conv, vgg5, vgg8, vgg9, vgg11, vgg16, resnet13, or custom (with `layers`)."
    )
    width: float = option(1.0, "Factor on the channels of every layer.", above=0, high=64)
    layers: tuple[dict[str, Any], ...] = option(
        (), "The rows of a custom architecture: tables with kind, channels, kernel, padding, stride, pool, from."
    )
    gain: float | tuple[float, ...] = option(
        1.5,
        "Standard deviation of the initial weights times the square root of the fan-in, in the second layer (or a "
        "list with a value for every layer).",
        above=0,
        high=100,
        per_layer=True,
    )
    gain_growth: float = option(
        1.2,
        "Factor from layer to layer on `gain`: what tells images apart is lost on the way up and wants amplification.",
        above=0,
        high=10,
    )
    first_gain: float = option(
        1.0, "The same for the first layer, which sees the image and no feedback.", above=0, high=100
    )
    readout_gain: float = option(1.0, "The same for the read-out.", above=0, high=100)
    normalization: str = option(
        "running-statistics",
        "What the layers learn: their weights; or weights without their mean and a gain for each channel, the drive "
        "divided by its running standard deviation (running-statistics), or the weights by their norm "
        "(weight-standardization).",
        choices=("none", "running-statistics", "weight-standardization"),
        before="none",
    )
    drive_deviation: float | tuple[float, ...] = option(
        0.35,
        "Standard deviation of a normalized drive at the start, the initial gain (a list has a value for every layer).",
        above=0,
        high=100,
        per_layer=True,
    )
    statistics_rate: float = option(
        0.1, "Share of a mini-batch in the running statistics of normalized drives.", above=0, high=1
    )
    activity: float | tuple[float, ...] = option(
        0.1,
        "Mean firing probability of a layer to which the initial biases are calibrated; 0 leaves all biases at 0.",
        low=0,
        high=0.9,
        per_layer=True,
    )
    calibration_samples: int = option(64, "Training samples on which the biases are calibrated.", low=1, high=4096)
    neuron: str = option(
        "clipped-linear",
        "Model of the neurons: they fire with probability clip(V, 0, 1); or so, but not in the `refractory` steps "
        "after a spike; these want `dynamics.firing` to be iid (docs/own-neuron.md).",
        choices=("clipped-linear", "refractory"),
        later=True,
    )
    refractory: int | None = option(
        None,
        "Steps after a spike in which a refractory neuron does not fire.",
        low=1,
        high=64,
        optional=True,
        later=True,
    )
    weights: str = option(
        "", "SHA-256 of the weights that the run starts from, in place of random ones; set by `spikesim import`."
    )


@dataclass(frozen=True)
class DataSettings:
    """The data and how they are presented."""

    dataset: str = option(
        "fashion-mnist-mini",
        "Name of the data set, which `spikesim data list` shows, or a file of one's own: images (docs/own-data.md) or "
        "recordings (docs/streams.md).",
    )
    limit: int | None = option(None, "Use only the first N training samples.", low=1, optional=True)
    test_limit: int | None = option(None, "Use only the first N test samples.", low=1, optional=True)
    validation: float = option(
        0.0,
        "Share of the training samples of each class, chosen by the seed, that the run is not trained on but tested "
        "on, in place of the test set; `spikesim evaluate` reads the test set.",
        low=0,
        high=0.5,
    )
    batch_size: int = option(32, "Samples in a mini-batch.", low=1, high=65536)
    augment: bool = option(False, "Random crops and flips, as far as they suit the data set.")
    std_factor: float = option(
        1.0, "Normalized images are divided by this; the literature takes 3 for CIFAR-10.", above=0, high=100
    )
    encoding: str = option(
        "auto",
        "How samples enter: as a current, or as spikes of an input population (docs/streams.md): bernoulli and latency "
        "code images, events are those of recordings. auto is a current for images and events for recordings.",
        choices=("auto", "current", "bernoulli", "latency", "events"),
        later=True,
    )
    duration: float | None = option(
        None,
        "Milliseconds of a recording, from its first event, that the steps of the free phase divide; by default what "
        "suits the data set, or the median duration of a file's training recordings.",
        above=0,
        high=DURATION_MAX,
        optional=True,
        later=True,
    )
    frames: int | None = option(
        None,
        "Frames that a recording is binned into, at most the steps of the free phase, which are divided among them; by "
        "default there are none, and events are delivered in the step that they fall into.",
        low=1,
        optional=True,
        later=True,
    )
    coarse: int = option(
        1, "Pixels of a recording along each side that share an input neuron.", low=1, high=64, later=True
    )


@dataclass(frozen=True)
class DynamicsSettings:
    """The phases and the noise."""

    inference: str = option(
        "stochastic",
        "Spiking dynamics, or the deterministic mean field (p in place of spikes), in training and in tests.",
        choices=("stochastic", "mean-field"),
    )
    firing: str = option(
        "stratified",
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
        "All four cells send their spikes; or one of them each step (sampled: the same mean field, a quarter of the "
        "events); or the one with the highest potential (winner, with linear-response only); or strided: no pools, the "
        "convolutions before them see every second position.",
        choices=("average", "sampled", "winner", "strided"),
    )
    leak: int = option(1, "k of the membrane's alpha = 2**-k.", low=0, high=8)
    trace_leak: int = option(
        0, "k of the low pass through which the nudge sees the last layer; 0 for none.", low=0, high=8
    )
    order: str = option(
        "upwards",
        "Which layers a step of a free or a live nudged phase updates together: all; first every other one, from the "
        "lowest, then the others (parity); or each after the one below (upwards). The later ones hear the new spikes "
        "of the earlier.",
        choices=("synchronous", "parity", "upwards"),
    )
    steps_free: int = option(16, "Steps of the free phase (the largest number, with a tolerance).", low=2, high=65535)
    window_free: int = option(
        8, "Last steps of the free phase over which rates are averaged; even.", low=2, high=WINDOW_MAX
    )
    steps_onset: int | None = option(
        None,
        "First steps of the free phase, without low pass (alpha = 1): the image soon reaches the top layer; by default "
        "as many as that takes, outside the window: the number of layers, half of it with parity, 1 upwards.",
        low=0,
        high=65535,
        optional=True,
    )
    tolerance: float | None = option(
        None,
        "End a sample's free phase when the read-out's answers to the halves of its window (total variation distance) "
        "differ by no more than this; looked at every half window.",
        above=0,
        high=1,
        optional=True,
    )
    steps_nudged: int = option(
        NUDGED_DEFAULTS["linear-response"]["steps_nudged"],
        "Steps of each nudged phase; by default 4 for clamped-spikes, 8 for live-spikes.",
        low=2,
        high=65535,
    )
    window_nudged: int | None = option(
        None,
        "Last steps of a nudged phase over which rates are averaged; even; by default all, if even, and at most 2048.",
        low=2,
        high=CONTRAST_WINDOW_MAX,
        optional=True,
    )
    beta: float = option(
        NUDGED_DEFAULTS["linear-response"]["beta"],
        "Strength of the nudge; where it is controlled, the one to start with. By default 1 in nudged phases of "
        "spikes.",
        above=0,
        high=64,
    )
    feedback_gain: float = option(
        0.0078125,
        "Factor on what a layer hears from the one above; a power of two. Below 1 the free phase settles faster.",
        low=2.0**-8,
        high=1,
    )
    nudged_phase: str = option(
        "linear-response",
        "How the network responds to a nudge. linear-response: the feedforward drive of each layer is clamped to its "
        "mean in the free phase, errors propagate top-down only, and the response is that of the mean rates to first "
        "order, sent as graded events without noise (multiply-accumulates), from the top down. clamped-spikes: the "
        "drive is clamped, the errors are spikes. live-spikes: the full recurrent dynamics.",
        choices=("linear-response", "clamped-spikes", "live-spikes"),
    )
    error_gain: float = option(
        NUDGED_DEFAULTS["linear-response"]["error_gain"],
        "With a clamped drive: factor on the errors from above in the nudged phases, a level; a power of two, or "
        "0: no errors from above, each layer learns from its head alone. By default 0.0625 for clamped-spikes.",
        low=0,
        high=1,
    )
    nudging: str = option(
        "centered",
        "+beta against -beta; +beta against the free phase; +-beta, drawn a mini-batch, against the free phase; or the "
        "deviations from the free phase in one nudged phase with +-beta (linear-response only).",
        choices=("centered", "one-sided", "random-sign", "deviation"),
    )
    contrast: str = option(
        "probability",
        "What the contrast averages: firing probabilities or spikes.",
        choices=("probability", "spikes"),
    )
    rule: str = option(
        "postsynaptic",
        "What a weight learns from: the change of the postsynaptic rate between the phases, times the presynaptic "
        "rate (its gradient as it acts forwards); or the change of their product (its gradient as it acts both ways).",
        choices=("postsynaptic", "symmetric"),
    )
    cost: str = option(
        "cross-entropy",
        "Cost of the read-out: cross-entropy of its softmax, or half the squared error.",
        choices=("cross-entropy", "squared-error"),
    )

    @property
    def clamped(self) -> bool:
        """Whether the feedforward drive of the nudged phases is clamped to its mean in the free phase."""
        return self.nudged_phase != "live-spikes"

    @property
    def nudged_window(self) -> int:
        """Length of the window of a nudged phase."""
        if self.window_nudged is not None:
            return self.window_nudged
        return min(self.steps_nudged // 2 * 2, CONTRAST_WINDOW_MAX)

    def onset(self, layers: int) -> int:
        """Number of first steps of the free phase without low pass."""
        if self.steps_onset is not None:
            return self.steps_onset
        needed = {"synchronous": layers, "parity": (layers + 1) // 2, "upwards": 1}[self.order]
        return min(needed, self.steps_free - self.window_free)

    @property
    def engine_firing(self) -> str:
        """How the simulator's neurons fire in the free phase."""
        return "mean-field" if self.inference == "mean-field" else self.firing


@dataclass(frozen=True)
class ErrorSignalSettings:
    """Intermediate error signals: heads that nudge layers below the top, and a teacher."""

    kind: str = option(
        "local",
        "Error signals beside the read-out's labels: none; local heads; a teacher (knowledge distillation) for the "
        "read-out and the heads; or both labels and teacher for both.",
        choices=("none", "local", "kd", "both"),
    )
    layers: tuple[int, ...] = option((), "Layers with a head, from 1; by default all but the top one.", low=1)
    strength: float | tuple[float, ...] = option(
        0.3,
        "Strength of a head's nudge beside the read-out's, lambda (a list has a value for every layer).",
        low=0,
        high=1000,
        per_layer=True,
    )
    profile: str = option(
        "constant",
        "The strength as it is; times `ratio` for every layer below the top; or steered so that the answer, the mean "
        "difference between r+ and r-, is the same in all layers with a head.",
        choices=("constant", "geometric", "balanced"),
    )
    ratio: float = option(1.5, "Ratio of the strengths of neighbouring layers, geometric.", above=0, high=100)
    schedule: str = option(
        "constant", "Strength over the training: constant, or down to zero.", choices=("constant", "annealed")
    )
    anneal_from: float = option(
        0.67, "Share of the training after which annealed strengths fall, in a line, to zero at its end.", low=0, high=1
    )
    grid: int = option(
        4,
        "A head sees its layer summed over blocks, the smallest squares that divide both sides of the map and leave at "
        "most this many a side; where none does, the largest that divide both.",
        low=1,
        high=64,
    )
    learning: str = option(
        "delta-rule",
        "Heads learn by their own delta rule, or stay fixed: square waves, one frequency a class.",
        choices=("delta-rule", "fixed"),
    )
    learning_rate: float | None = option(
        None, "Learning rate of the heads; by default that of the read-out.", low=0, high=1000, optional=True
    )
    temperature: float = option(4.0, "Temperature that softens the teacher's logits.", above=0, high=1000)
    teacher_weight: float = option(
        0.7, "Weight of the teacher beside the labels, where a head hears both.", low=0, high=1
    )
    teacher: str = option("", "SHA-256 of the teacher's logits; set by --teacher.")


@dataclass(frozen=True)
class StabilitySettings:
    """What is watched and steered while the network learns."""

    beta_control: str = option(
        "none",
        "Whether beta is controlled so that the mean difference between r+ and r- in the top layer is "
        "`rate_difference`.",
        choices=("none", "rate-difference"),
    )
    rate_difference: float = option(
        0.02, "Mean difference between r+ and r- in the top layer to which beta is controlled.", above=0, high=1
    )
    beta_low: float = option(0.25, "Smallest beta when it is controlled.", above=0, high=64)
    beta_high: float = option(8.0, "Largest beta when it is controlled.", above=0, high=64)
    activity_floor: float = option(
        0.05, "Channels whose mean firing probability is lower are helped by their bias.", low=0, high=1
    )
    activity_ceiling: float = option(
        0.25, "Channels whose mean firing probability is higher are damped by their bias.", above=0, high=1
    )
    homeostasis: float = option(
        0.5,
        "Change of a bias in a mini-batch per unit of activity beyond the floor or the ceiling; 0 for none.",
        low=0,
        high=10,
    )
    target_rate: float | None = option(
        None,
        "Target mean firing probability of a layer: activity above it is penalized, and the floor of its channels is "
        "at most half of it.",
        above=0,
        high=1,
        optional=True,
    )
    penalty_rate: float = option(
        0.02,
        "Change of the activity penalty of a layer in a mini-batch, as a share of its mean error, for an activity of "
        "twice the `target_rate`.",
        low=0,
        high=10,
    )
    spectral_norm_limit: float | None = option(
        0.9,
        "Weights between two layers are scaled down when their spectral norm exceeds this; below 1 the dynamics "
        "converge.",
        above=0,
        high=10,
        optional=True,
    )


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights follow the contrast."""

    name: str = option("adam", "Optimizer.", choices=("adam", "sgd"))
    epochs: int = option(5, "Passes over the training set.", low=1, high=2**20)
    learning_rate: float | tuple[float, ...] = option(
        0.02,
        "Learning rate of a layer's weights, in units of the standard deviation that they start with: a share of "
        "their size, whatever the fan-in.",
        low=0,
        high=1e6,
        per_layer=True,
    )
    readout_learning_rate: float = option(0.01, "Learning rate of the read-out.", low=0, high=1000)
    centering: bool = option(
        True, "Weights learn from deviations of the presynaptic rates from their mean, biases from the mean."
    )
    bias_factor: float = option(
        0.1,
        "Learning rate of the biases and gains of the layers, as a share of `learning_rate` itself: not in units of "
        "the initial deviation, as the weights have it.",
        low=0,
        high=1000,
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
class RecordSettings:
    """What is written beside the counters."""

    spikes: tuple[int, ...] = option((), "Test samples whose spikes are recorded, in the last test of the run.")
    traces: int = option(
        8,
        "Number of training samples, the first ones, whose phases are followed step by step after each epoch: energy, "
        "residual and activity.",
        low=0,
        high=4096,
    )


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)
    error_signals: ErrorSignalSettings = field(default_factory=ErrorSignalSettings)
    stability: StabilitySettings = field(default_factory=StabilitySettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    seed: int = option(0, "Seed of everything that is random.", low=0, high=2**63 - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain, canonical form: nested dictionaries of JSON types."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for section in dataclasses.fields(self):
            for item in dataclasses.fields(section.type) if dataclasses.is_dataclass(section.type) else ():
                if item.metadata["later"] and plain[section.name][item.name] == item.default:
                    del plain[section.name][item.name]
        return plain
