"""Nudged phases in spikes: the nudges are taken anew before each step."""

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.events import add_spikes
from spikesim.engine.phase import Moment, PhaseSpec, Window, half
from spikesim.engine.state import Engine
from spikesim.engine.step import measure_residual, step
from spikesim.ep.network import heads as hd
from spikesim.ep.phases.nudged.group import Group
from spikesim.jit.compilation import kernel

__all__ = ["run_spiking"]


def run_spiking(
    group: Group, engine: Engine, phase: PhaseSpec, n: int, window: Window, nudge: hd.Nudge, stop: NDArray[np.uint8]
) -> bool:
    """A nudged phase of the first n samples whose low pass sees the present state; False: stopped in the middle.

    Parameters
    ----------
    engine : Engine
        With the plan of the nudged phases.
    """
    for sample in range(n):
        for head, row in enumerate(nudge.heads.table):
            hd.block_sums(engine.plan, engine.state, nudge, head, sample, nudge.trace[sample, row.at :])
    return bool(nudged_steps(engine, phase, n, window, nudge, group.dynamics.contrast == "spikes", stop))


@kernel
def nudged_steps(engine, phase, n_samples, window, nudge, contrast_spikes, stop):
    """A nudged phase: before each step the nudges are taken anew from the present state.

    window: `Window` of the phase. contrast_spikes: whether it accumulates spikes instead of probabilities.

    Returns
    -------
    bool
        False: stopped in the middle.
    """
    for t in range(window.steps):
        if stop[0]:
            return False
        for sample in range(n_samples):
            for head in range(nudge.strengths.shape[0]):
                if nudge.strengths[head] != 0.0:
                    hd.nudge_sample(engine.plan, engine.state, nudge, head, sample, t)
        part = half(window, t)
        step(engine, phase, n_samples, Moment(t, -1 if contrast_spikes else part, t == window.steps - 1))
        if contrast_spikes and part >= 0:
            accumulate_spikes(engine.plan, engine.state, n_samples, part)
    for sample in range(n_samples):
        measure_residual(engine.plan, engine.state, engine.counts, sample)
    return True


@kernel
def accumulate_spikes(plan, state, n_samples, half):
    """Add each spike of the present step to the window, with the weight of p = 1."""
    for population in range(plan.populations.shape[0]):
        for sample in range(n_samples):
            add_spikes(plan.populations[population], state, sample, half)
