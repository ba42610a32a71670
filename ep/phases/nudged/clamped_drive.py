"""Clamped drives: in the nudged phases, what a layer receives from below is its mean in the free phase.

The drive of a layer in a nudged phase is

    u_l = h_l + eta Pool^T( W_{l+1}^T * (s_{l+1} - r_{l+1}) ) + nudge_l
    h_l = b_l + W_l * Pool(r_{l-1}) + gamma Pool^T( W_{l+1}^T * r_{l+1} )

with r the rates of the free phase, s the present spikes, gamma the feedback gain and eta the error gain. Without a
nudge the network stays where the free phase left it. With one, its answer d_l = r+_l - r-_l obeys

    d_l = D_l ( eta Pool^T( W_{l+1}^T * d_{l+1} ) + nudge+_l - nudge-_l ),      D_l: neurons strictly between 0 and 1

so that errors travel down and only down, as in backpropagation. With live drives a layer also answers to the nudges of
the heads below it, which its weights send up at full strength: an answer that has nothing to do with its own error.

Graded errors are p - r in place of s - r: `spikesim.ep.phases.nudged.linear_response`.

That predictions are held while errors settle is the *fixed prediction assumption* of predictive coding, under which its
errors are those of backpropagation (Millidge, Tschantz & Buckley 2022); neurons that answer to the deviation from what
they expect to receive from above are those of Sacramento et al. 2018. The synapse needs no more than with live drives:
the presynaptic rate of the free phase, and the change of the postsynaptic rate between the nudged phases.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.delivery import deliver_block
from spikesim.engine.phase import Window
from spikesim.engine.plan import FIRING_MEAN_FIELD
from spikesim.engine.state import Engine, State, clear_counts
from spikesim.ep.network.model import Model
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import Nudge
from spikesim.ep.phases.nudged.mean_rates import mean_rates, send_probabilities
from spikesim.ep.phases.nudged.response import NudgeResponse
from spikesim.ep.phases.nudged.spiking import run_spiking
from spikesim.jit.aligned import aligned_zeros
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import SHARE_LIMIT

CLAMPED_LIMIT = SHARE_LIMIT - 1
"""Clamped drives are cut off here, far beyond where a neuron always fires: they are external drives."""


@kernel
def clamp_drives(engine, held, n_samples, window):
    """Set the external drives of all populations to what holds them where the free phase has them, at the mean rates.

    Membranes, spikes and event lists are overwritten. Of the first population, the drive of its image, or that of the
    mean of its input's spikes, is part of what holds it.

    engine: with the plan of the free phase. held: `ClampedNetwork.plan`. window: number of steps in the window.
    """
    plan, state, scratch = engine.plan, engine.state, engine.scratch
    nudged = Engine(held, state, engine.counts, scratch)
    mean_rates(state, n_samples, window, state.membrane)
    for population in range(plan.populations.shape[0]):
        for sample in range(n_samples):
            send_probabilities(engine, population, sample)
    for population in range(plan.populations.shape[0]):
        pop = plan.populations[population]
        if pop.spike_input:
            continue
        size = pop.height * pop.width * pop.lanes
        for block in range(pop.blocks):
            begin = pop.state + block * size
            if not pop.external:
                state.external[:n_samples, begin : begin + size] = 0
            for way in range(2):  # what comes in the free phase, less what comes back in the nudged ones
                sign, there = np.int32(1 - 2 * way), nudged if way else engine
                tables = there.plan
                first, last = tables.incoming_pointers[population], tables.incoming_pointers[population + 1]
                for table in tables.incoming[first:last]:
                    tiled = tables.tables[table].tiled
                    out = scratch.tile[0] if tiled else scratch.full[0]
                    for sample in range(n_samples):
                        deliver_block(there, FIRING_MEAN_FIELD, table, block, sample, out, True)
                        drive = state.external[sample, begin : begin + size]
                        _add_drives(out, drive, sign, pop, tiled)
            for sample in range(n_samples):
                for i in range(begin, begin + size):
                    drive = state.external[sample, i]
                    state.external[sample, i] = np.int32(min(max(drive, -CLAMPED_LIMIT), CLAMPED_LIMIT))


@kernel
def _add_drives(out, drive, sign, pop, tiled):
    """Add the drives that a table delivered for a block of channels."""
    height, width, lanes = pop.height, pop.width, pop.lanes
    if not tiled:
        for i in range(height * width * lanes):
            drive[i] += sign * out[i]
        return
    for y in range(height // 2 * 2):
        for x in range(width // 2 * 2):
            to, at = (y * width + x) * lanes, ((y // 2) * (width // 2) + x // 2) * lanes
            for lane in range(lanes):
                drive[to + lane] += sign * out[at + lane]


class ClampedDrive(NudgeResponse):
    """Spikes; the feedforward drive of each layer is clamped to its mean in the free phase."""

    def extended(self, model: Model, state: State) -> State:
        return state._replace(
            values=np.zeros(state.events.shape, np.int32), nudge=aligned_zeros(state.membrane.shape, np.int32)
        )

    def keep(self, group: Group, n: int) -> NDArray[np.int64]:
        group.keep_state(n)
        clear_counts(group.engine.counts)
        clamp_drives(group.engine, group.model.clamped_network.plan, n, group.dynamics.window_free)
        group.restore(n)
        return group.multiplied(n)

    def run(self, group: Group, n: int, stream: int, window: Window, nudge: Nudge, stop: NDArray[np.uint8]) -> bool:
        phase = group.begin(n, stream, group.model.graph.depth, "synchronous")
        engine = group.engine._replace(plan=group.model.clamped_network.plan)
        return run_spiking(group, engine, phase, n, window, nudge, stop)
