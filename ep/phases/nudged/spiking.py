"""Nudged phases in spikes: the nudges are taken anew before each step."""

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.events import add_spikes
from spikesim.engine.phase import Moment, PhaseSpec, Window, half
from spikesim.engine.settling import is_full, largest_residual, rest, rolling_half
from spikesim.engine.state import Engine
from spikesim.engine.step import step
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import Nudge, block_sums, nudge_sample
from spikesim.jit.compilation import kernel

__all__ = ["run_spiking"]


def run_spiking(
    group: Group, engine: Engine, phase: PhaseSpec, n: int, window: Window, nudge: Nudge, stop: NDArray[np.uint8]
) -> bool:
    """A nudged phase of the first n samples whose low pass sees the present state; False: stopped in the middle.

    Parameters
    ----------
    engine : Engine
        With the plan of the nudged phases.
    """
    for sample in range(n):
        for head, row in enumerate(nudge.heads.table):
            block_sums(engine.plan, engine.state, nudge, head, sample, nudge.trace[sample, row.at :])
    residual = group.dynamics.residual_tolerance_nudged
    if residual is None or window.length == 0:  # a step by itself has no window in which it could settle
        residual = -1.0
    contrast_spikes = group.dynamics.contrast_spikes
    return bool(nudged_steps(engine, phase, n, window, nudge, contrast_spikes, residual, stop))


@kernel
def nudged_steps(engine, phase, n_samples, window, nudge, contrast_spikes, residual, stop):
    """A nudged phase: before each step the nudges are taken anew from the present state.

    window: `Window` of the phase. contrast_spikes: whether it accumulates spikes instead of probabilities. residual:
    a sample's phase ends when no layer's residual is larger (`spikesim.engine.settling`); negative: at the last
    step.

    Returns
    -------
    bool
        False: stopped in the middle.
    """
    state, length = engine.state, max(1, window.length // 2)
    for t in range(window.steps):
        if stop[0]:
            return False
        for sample in range(n_samples):
            if not state.active[sample]:
                continue
            for head in range(nudge.strengths.shape[0]):
                if nudge.strengths[head] != 0.0:
                    nudge_sample(engine.plan, engine.state, nudge, head, sample, t)
        last = t == window.steps - 1
        if residual < 0.0:
            part, looked = half(window, t), last
        else:
            position = t - window.steps % length
            part, looked = rolling_half(state, n_samples, position, length), is_full(position, length)
        step(engine, phase, n_samples, Moment(t, -1 if contrast_spikes else part, looked))
        if contrast_spikes and part >= 0:
            accumulate_spikes(engine.plan, state, n_samples, part)
        running = 0
        for sample in range(n_samples):
            if not state.active[sample]:
                continue
            if last or (looked and largest_residual(engine.plan, state, sample, length) <= residual):
                rest(engine, sample)
            else:
                running += 1
        if running == 0:
            break
    return True


@kernel
def accumulate_spikes(plan, state, n_samples, half):
    """Add each spike of the present step to the window, with the weight of p = 1."""
    for population in range(plan.populations.shape[0]):
        for sample in range(n_samples):
            if state.active[sample]:
                add_spikes(plan.populations[population], state, sample, half)
