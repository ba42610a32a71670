"""What a phase needs that ends once its samples have settled: a window that rolls on by halves, and its residual."""

import numpy as np

from spikesim.engine.step import measure_residual, population_residual
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE

__all__ = ["is_full", "largest_residual", "rest", "rolling_half"]


@kernel
def rolling_half(state, n_samples, position, length):
    """Half of the window, 0 or 1, that a step belongs to when halves of this length follow each other; -1: to none.

    position: of the step in the succession of halves; negative before it. The half that the step begins is emptied.
    """
    if position < 0:
        return -1
    half = position // length % 2
    if position % length == 0:
        for sample in range(n_samples):
            if state.active[sample]:
                state.window[half, sample] = 0
                state.unclipped[half, sample] = 0
                state.wins[half, sample] = 0
    return half


@kernel
def is_full(position, length):
    """Whether the step ends a half and the other half has been filled before."""
    return position >= 2 * length - 1 and position % length == length - 1


@kernel
def rest(engine, sample):
    """End the phase of a sample."""
    measure_residual(engine.plan, engine.state, engine.counts, sample)
    engine.state.active[sample] = 0


@kernel
def largest_residual(plan, state, sample, steps):
    """Largest over the layers: mean |difference of p| between the halves, of `steps` steps, of a sample's window."""
    largest = 0.0
    for population in range(plan.populations.shape[0]):
        pop = plan.populations[population]
        if pop.spike_input:
            continue
        total = np.float64(population_residual(pop, state.window, sample))
        columns = state.extent[sample, population]
        largest = max(largest, total / (np.float64(ONE) * steps * pop.height * columns * pop.channels))
    return largest
