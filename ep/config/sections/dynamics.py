"""The keys of the phases and the noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from spikesim.ep.config.sections.options import option
from spikesim.numerics.fixed_point import WINDOW_MAX

__all__ = ["CONTRAST_WINDOW_MAX", "NUDGED_DEFAULTS", "NUDGINGS", "DynamicsSettings", "window_of"]


CONTRAST_WINDOW_MAX = 2048
"""Steps of the longest window that enters a contrast: up to it a sum of p over the window, the four cells of a pool and
the two phases that add up on the presynaptic side fits into int32."""

NUDGED_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "linear-response": {"nudging": "deviation", "steps_nudged": 1, "beta": 0.0625, "error_gain": 1.0},
        "clamped-spikes": {"nudging": "centered", "steps_nudged": 4, "beta": 1.0, "error_gain": 0.0625},
        "live-spikes": {"nudging": "centered", "steps_nudged": 8, "beta": 1.0},
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


def window_of(steps: int, longest: int) -> int:
    """Length of the window of a phase of so many steps: all of them if they are even, or a single one."""
    return min(steps // 2 * 2, longest) or 1


@dataclass(frozen=True)
class DynamicsSettings:
    """The phases and the noise."""

    inference: str = option(
        "stochastic",
        "Spiking dynamics, or the deterministic mean field (p instead of spikes), in training and in tests.",
        choices=("stochastic", "mean-field"),
    )
    firing: str = option(
        "stratified",
        "iid: a fresh random number each step; stratified: one per phase, moved by a low-discrepancy sequence.",
        choices=("iid", "stratified"),
    )
    noise: str = option(
        "common",
        "Whether the two nudged phases share their random numbers.",
        choices=("common", "independent"),
    )
    pooling: str = option(
        "average",
        "2x2 pooling. average: all four cells send their spikes; sampled: one of them each step (the same mean field, "
        "a quarter of the events); winner: the one with the highest potential (linear-response only); strided: no "
        "pools, the convolutions before them have a stride of 2.",
        choices=("average", "sampled", "winner", "strided"),
    )
    leak: int = option(1, "k of the membrane's alpha = 2**-k.", low=0, high=8)
    trace_leak: int = option(
        0, "k of the low pass through which the nudge sees the last layer; 0 for none.", low=0, high=8
    )
    order: str = option(
        "upwards",
        "Update order within a step of a free or a live nudged phase: all layers at once (synchronous, Jacobi); every "
        "other one from the lowest, then the others (parity, red-black); or one after the other (upwards, "
        "Gauss-Seidel). Later layers receive the new spikes of the earlier ones.",
        choices=("synchronous", "parity", "upwards"),
    )
    steps_free: int = option(16, "Steps of the free phase (with a tolerance, at most).", low=2, high=65535)
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
        "End a sample's free phase when the read-out's predictions from the halves of its window (total variation "
        "distance) differ by no more than this; checked every half window.",
        above=0,
        high=1,
        optional=True,
    )
    residual_tolerance: float | None = option(
        None,
        "The same for the network as a whole: end it when in each layer the mean absolute difference of p between the "
        "halves of the window is no more than this. With `tolerance` both must hold. The noise of spikes sets a lower "
        "limit.",
        above=0,
        high=1,
        optional=True,
        later=True,
    )
    residual_tolerance_nudged: float | None = option(
        None,
        "The same for nudged phases, of live-spikes and clamped-spikes; `window_nudged` must be shorter than them.",
        above=0,
        high=1,
        optional=True,
        later=True,
    )
    steps_nudged: int = option(
        NUDGED_DEFAULTS["linear-response"]["steps_nudged"],
        "Steps of each nudged phase; by default 4 for clamped-spikes, 8 for live-spikes.",
        low=1,
        high=65535,
    )
    window_nudged: int | None = option(
        None,
        "Last steps of a nudged phase over which rates are averaged; even, or 1 in a phase of one; by default all, if "
        "even, and at most 2048.",
        low=1,
        high=CONTRAST_WINDOW_MAX,
        optional=True,
    )
    beta: float = option(
        NUDGED_DEFAULTS["linear-response"]["beta"],
        "Strength of the nudge; where it is controlled, its initial value. By default 1 in nudged phases of spikes.",
        above=0,
        high=64,
    )
    feedback_gain: float = option(
        0.0078125,
        "Factor on what a layer receives from the one above; a power of two. Below 1 the free phase settles faster. 0 "
        "(linear-response only): no feedback in the free phase, spikes are delivered upwards alone.",
        low=0,
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
        "With a clamped drive: factor on the errors from above in the nudged phases, per level; a power of two, or "
        "0: no errors from above, each layer learns from its head alone. By default 0.0625 for clamped-spikes.",
        low=0,
        high=1,
    )
    nudging: str = option(
        NUDGED_DEFAULTS["linear-response"]["nudging"],
        "Phases that are compared. centered: +beta and -beta; one-sided: +beta and the free phase; random-sign: "
        "+-beta, drawn per mini-batch, and the free phase; deviation: the free phase and the deviations from it in "
        "one nudged phase with +-beta (linear-response only). By default centered in nudged phases of spikes.",
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
    def settles(self) -> bool:
        """Whether a sample's free phase may end before its last step."""
        return self.tolerance is not None or self.residual_tolerance is not None

    @property
    def contrast_spikes(self) -> bool:
        """Whether the contrast averages spikes; in the mean field p stands for them."""
        return self.contrast == "spikes" and self.inference != "mean-field"

    @property
    def clamped(self) -> bool:
        """Whether the feedforward drive of the nudged phases is clamped to its mean in the free phase."""
        return self.nudged_phase != "live-spikes"

    @property
    def nudged_window(self) -> int:
        """Length of the window of a nudged phase."""
        if self.window_nudged is not None:
            return self.window_nudged
        return window_of(self.steps_nudged, CONTRAST_WINDOW_MAX)

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
