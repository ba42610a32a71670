"""What a phase counts, by layer."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.state import Counts, State
from spikesim.ep.network.model import Model
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE, P_MAX


class PhaseCounts(NamedTuple):
    """Counters of one phase, summed over samples; by layer where there is an axis."""

    spikes: NDArray[np.int64]  # (L,)
    events_forward: NDArray[np.int64]  # (L,)
    events_feedback: NDArray[np.int64]  # (L,)
    macs: NDArray[np.int64]  # (L,)
    updates: NDArray[np.int64]  # (L,)
    saturated: NDArray[np.int64]  # (L,): neurons with p at its maximum at the end
    residual: NDArray[np.int64]  # (L,): sum over neurons, unit 2**-16 / half of the window
    energy: NDArray[np.int64]  # (L,): twice the share of the energy function at the end, unit 2**-32
    neurons: NDArray[np.int64]  # (L,): neurons that exist, those of all samples together
    steps: NDArray[np.int64]  # ()

    @classmethod
    def zero(cls, layers: int) -> "PhaseCounts":
        """Nothing has happened yet."""
        return cls(**{name: np.zeros(() if name == "steps" else layers, np.int64) for name in cls._fields})

    def mean_residual(self, window: int) -> NDArray[np.float64]:
        """Mean difference of p between the halves of a window of this length, by layer.

        A window of a single step has no halves: 0.
        """
        if window < 2:
            return np.zeros(len(self.residual))
        return np.asarray(self.residual / (ONE * (window // 2) * np.maximum(self.neurons, 1)), np.float64)

    def positions(self, layer: int, channels: int) -> int:
        """Positions of a layer of so many channels that exist, those of all samples together."""
        return int(self.neurons[layer]) // channels

    @classmethod
    def of_phase(cls, model: Model, state: State, counts: Counts, n: int) -> "PhaseCounts":
        """The counters of a phase that n samples have just ended."""
        found = cls.zero(model.layers)
        forward, feedback = model.directions
        _add_counts(counts, n, forward, feedback, found)
        populations = model.compiled.plan.populations
        _count_saturated(populations, state.membrane, n, found.saturated)
        rows = populations[: model.layers]
        found.neurons[:] = state.extent[:n, : model.layers].sum(axis=0) * rows["height"] * rows["channels"]
        return found

    def add(self, other: "PhaseCounts") -> None:
        """Add the counters of other samples."""
        for own, more in zip(self, other, strict=True):
            own[...] += more


class SampleCounts(NamedTuple):
    """What a free phase counts, sample by sample."""

    steps: NDArray[np.int64]  # (n,)
    spikes: NDArray[np.int64]  # (n, L)
    accumulates: NDArray[np.int64]  # (n,)
    multiply_accumulates: NDArray[np.int64]  # (n,)

    @classmethod
    def of_phase(cls, model: Model, counts: Counts, images: NDArray[np.int64]) -> "SampleCounts":
        """Those of a free phase that n samples have just ended.

        images: multiply-accumulates of the drive of each one's image, (n, L).
        """
        n = len(images)
        events, graded = counts.events[:n], counts.graded[:n]
        macs = model.forward_events(graded) + model.feedback_events(graded) + images
        return cls(
            steps=counts.steps[:n].astype(np.int64),
            spikes=counts.spikes[:n, : model.layers].astype(np.int64),
            accumulates=(model.forward_events(events) + model.feedback_events(events)).sum(axis=1),
            multiply_accumulates=macs.sum(axis=1),
        )


RATE_BINS = 33
"""Bins of mean firing probabilities: exactly 0, then 32 of equal width, each with its upper end."""


def hopfield(energy: NDArray[np.int64], feedback_gain: float, levels: tuple[int, ...]) -> float:
    """Energy function in units in which the lowest layer weighs 1 (docs/model.md), from `PhaseCounts.energy`.

    levels: of the layers (`LayerGraph.levels`).
    """
    shares = [int(share) * feedback_gain ** (level - 1) for share, level in zip(energy, levels, strict=True)]
    return math.fsum(shares) * 0.5 / ONE**2


@kernel
def add_rates(populations, state, n_samples, window, bins):
    """Count neurons by their mean firing probability, window sum / (window * 2**16).

    bins: int64 (L, RATE_BINS), added to.
    """
    window_sums = state.window
    for layer in range(bins.shape[0]):
        pop = populations[layer]
        pixels, channels, lanes = pop.height * pop.width, pop.channels, pop.lanes
        own = bins[layer]
        for sample in range(n_samples):
            silent, extent = np.int64(0), state.extent[sample, layer]
            for block in range(pop.blocks):
                last = min(lanes, channels - block * lanes)  # beyond: padding
                for pixel in range(pixels):
                    if pixel % pop.width >= extent:
                        continue
                    at = pop.state + (block * pixels + pixel) * lanes
                    for i in range(at, at + last):
                        total = np.int64(window_sums[0, sample, i]) + np.int64(window_sums[1, sample, i])
                        if total == 0:
                            silent += 1
                        else:
                            scaled = total * (RATE_BINS - 1)
                            own[(scaled + window * ONE - 1) // (window * ONE)] += 1
            own[0] += silent


@kernel
def _add_counts(counts, n_samples, forward, feedback, found):
    """Add the counters of samples to those of their phase (`PhaseCounts`).

    forward, feedback: int64 (L, T), 1 where a table leads into a layer.
    """
    layers, tables = forward.shape
    for sample in range(n_samples):
        found.steps[()] += counts.steps[sample]
        for layer in range(layers):
            found.spikes[layer] += counts.spikes[sample, layer]
            found.updates[layer] += counts.updates[sample, layer]
            found.residual[layer] += counts.residual[sample, layer]
            found.energy[layer] += counts.energy[sample, layer]
            for table in range(tables):
                up, down = forward[layer, table], feedback[layer, table]
                events, graded = counts.events[sample, table], counts.graded[sample, table]
                found.events_forward[layer] += up * events
                found.events_feedback[layer] += down * events
                found.macs[layer] += (up + down) * graded


@kernel
def _count_saturated(populations, membrane, n_samples, saturated):
    """Count the neurons of each layer whose p is at its maximum, int64 (L,)."""
    for layer in range(len(saturated)):
        pop = populations[layer]
        size = pop.height * pop.width * pop.blocks * pop.lanes
        total = np.int64(0)
        for sample in range(n_samples):
            own = membrane[sample, pop.state : pop.state + size]
            for i in range(size):
                total += own[i] >= P_MAX
        saturated[layer] = total
