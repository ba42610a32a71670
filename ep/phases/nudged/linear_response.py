"""Graded errors: nudged phases in which the mean rates of the free phase answer, and deviations from them are sent.

A neuron whose potential fluctuates, V(t) in the window of the free phase, fires at the mean rate r = <clip(V)>. Shift
its drive by u, and to first order its rate is

    p = clip(r + s u),      s = <1 if 0 < V < 1 else 0>,

s the share of the window in which p followed V. (That is the clipped linear neuron; others have a `response` of their
own, see `spikesim.engine.neurons.neuron`.) It sends down the deviation d = p - r, a graded event with a sign, unless it
is zero; a layer is shifted by what comes from above and by its nudge,

    u_l = eta Pool^T( W_{l+1}^T * d_{l+1} ) + nudge_l.

Behind a pool of winners Pool^T gives each neuron of a cell the share of the window in which it won, which is the
derivative of what the cell passed on.

These are clamped drives (`spikesim.ep.phases.nudged.clamped_drive`) without the noise of the nudged phases, and with
the window's mean of the derivative in place of a sample of it: no random number enters. Nothing that moves depends on
what lies below, so within a step the layers answer one after the other, from the top down, and the error of the top
reaches the bottom in one step; a second one takes the nudges anew, from the rates that the first one moved.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.delivery import deliver_block, fetch_weights
from spikesim.engine.neurons import Followed
from spikesim.engine.neurons import respond as respond_row
from spikesim.engine.phase import FIRINGS, Moment, Window, half, model_of
from spikesim.engine.plan import FIRING_DEVIATIONS
from spikesim.engine.simd.compress import list_changes
from spikesim.engine.state import State
from spikesim.engine.step import measure_residual
from spikesim.ep.network.model import Model
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import Nudge, nudge_sample
from spikesim.ep.phases.nudged.mean_rates import mean_rates
from spikesim.ep.phases.nudged.response import NudgeResponse
from spikesim.jit.aligned import aligned_zeros
from spikesim.jit.compilation import kernel


class Rest(NamedTuple):
    """Where the free phase left n samples."""

    rates: NDArray[np.int32]  # (n, state size): mean rates over its window, 1.0 = 2**16
    window: int  # steps of its window
    firing: int  # how neurons fired


@kernel
def respond(engine, rest, n_samples, window, nudge, stop):
    """A nudged phase with graded errors, from the mean rates, which the membranes hold too.

    engine: with `ClampedNetwork.plan`. window: `Window` of the phase. nudge: without a low pass; its trace may hold
    anything.

    Returns
    -------
    bool
        False: stopped in the middle.
    """
    plan, state, counts = engine.plan, engine.state, engine.counts
    state.window[:, :n_samples] = 0
    state.nudge[:n_samples] = 0
    for t in range(window.steps):
        if stop[0]:
            return False
        now = Moment(t, half(window, t), t == window.steps - 1)
        for population in range(plan.populations.shape[0] - 1, -1, -1):
            pop = plan.populations[population]
            if pop.spike_input:
                continue
            for head in range(nudge.strengths.shape[0]):
                if nudge.strengths[head] != 0.0 and nudge.heads.table[head].population == population:
                    for sample in range(n_samples):
                        nudge_sample(plan, state, nudge, head, sample, t)
            _answer(engine, rest, now, population, n_samples)
            for sample in range(n_samples):
                if population:  # the lowest has nobody to tell
                    _list_deviations(plan, state, rest.rates, population, sample)
                counts.updates[sample, population] += pop.height * state.extent[sample, population] * pop.channels
        for sample in range(n_samples):
            counts.steps[sample] += 1
    for sample in range(n_samples):
        measure_residual(engine.plan, engine.state, engine.counts, sample)
    return True


@kernel
def _answer(engine, rest, now, population, n_samples):
    """Deliver to one population and move its rates, the membranes, for a group of samples."""
    plan, scratch = engine.plan, engine.scratch
    pop = plan.populations[population]
    first_incoming, last_incoming = plan.incoming_pointers[population], plan.incoming_pointers[population + 1]
    together = pop.together
    for begin in range(0, n_samples, together):
        end = min(begin + together, n_samples)
        for block in range(pop.blocks):
            deliveries = np.int64(0)  # a literal would have the block compiled twice
            for i in range(first_incoming, last_incoming):
                table = plan.incoming[i]
                tiled = plan.tables[table].tiled
                flag = 2 if tiled else 1
                if together > 1:
                    fetch_weights(plan, engine.state, table, block, begin, end)
                for sample in range(begin, end):
                    out = scratch.tile[sample - begin] if tiled else scratch.full[sample - begin]
                    # a literal would have the kernel compiled once more
                    deliver_block(engine, np.int64(FIRING_DEVIATIONS), table, block, sample, out, not deliveries & flag)
                deliveries |= flag
            for sample in range(begin, end):
                energy = _answer_block(engine, rest, now, population, block, sample, sample - begin, deliveries)
                engine.counts.energy[sample, population] += energy


@kernel
def _answer_block(engine, rest, now, population, block, sample, slot, deliveries):
    """p = clip(r + s u) for one block of channels of one sample, a row of pixels at a time; its share of the energy."""
    plan, state, scratch = engine.plan, engine.state, engine.scratch
    pop = plan.populations[population]
    height, width, lanes = pop.height, pop.width, pop.lanes
    extent = state.extent[sample, population]
    size, count, there = height * width * lanes, width * lanes, extent * lanes
    block_at = pop.state + block * size
    nudge = state.nudge[sample, block_at if pop.nudge else 0 :]
    drive, full, tile = scratch.drive, scratch.full[slot], scratch.tile[slot]
    steps, model = np.float64(rest.window), model_of(pop, rest.firing)
    energy = np.int64(0)
    for y in range(height):
        at = y * count
        rates = rest.rates[sample, block_at + at : block_at + at + there]
        early = state.unclipped[0, sample, block_at + at : block_at + at + there]
        late = state.unclipped[1, sample, block_at + at : block_at + at + there]
        moved = state.membrane[sample, block_at + at : block_at + at + there]
        for i in range(there):
            drive[i] = 0
        if deliveries & 1:
            row = full[at : at + there]
            for i in range(there):
                drive[i] += row[i]
        if deliveries & 2 and y < height // 2 * 2:
            row = tile[(y // 2) * (width // 2) * lanes : (y // 2 + 1) * (width // 2) * lanes]
            if pop.winner:
                _drive_winners(
                    state.wins, sample, block_at + at, row, rest.window, lanes, drive[: extent // 2 * 2 * lanes]
                )
            else:
                for x in range(extent // 2 * 2):
                    for lane in range(lanes):
                        drive[x * lanes + lane] += row[(x // 2) * lanes + lane]
        if now.measure:  # as `step.update_block` has it, r being what the clamped drives make, a constant
            for i in range(there):
                energy += np.int64(moved[i]) * (np.int64(moved[i]) - 2 * np.int64(rates[i]) - np.int64(drive[i]))
        if pop.nudge:
            row = nudge[at : at + there]
            for i in range(there):
                drive[i] += row[i]
        respond_row(model, moved, rates, drive, Followed(early, late, steps), pop.refractory)
        if now.half >= 0:
            sums = state.window[now.half, sample, block_at + at : block_at + at + there]
            for i in range(there):
                sums[i] += moved[i]
    return energy


@kernel
def _drive_winners(wins, sample, at, tile, window, lanes, drive):
    """Add drives at half the resolution, of a row, to the neurons of its cells: to each the share of the window that it
    won.

    drive: int32, of a row of an even number of pixels, the first of which is at `at` in the state of a sample.
    """
    for i in range(len(drive)):
        won = np.int64(wins[0, sample, at + i]) + np.int64(wins[1, sample, at + i])
        whole = np.int64(tile[i // (2 * lanes) * lanes + i % lanes]) * won
        drive[i] += np.int32((2 * whole + window) // (2 * window))


@kernel
def _list_deviations(plan, state, rates, population, sample):
    """Make graded events of the deviations of a population's rates from the mean ones."""
    pop = plan.populations[population]
    pixels, channels, lanes = pop.height * pop.width, pop.channels, pop.lanes
    moved, events, values, start_at = state.membrane, state.events, state.values, pop.start
    moved_at = sample * moved.shape[1] + pop.state
    begin = sample * events.shape[1] + pop.events
    end, largest = begin, np.int64(0)
    for pixel in range(pixels):
        state.start[sample, start_at + pixel] = end - begin
        for block in range(pop.blocks):
            at, first = moved_at + (block * pixels + pixel) * lanes, pixel * channels + block * lanes
            for lane in range(0, lanes, 16):  # padding, at rest, never differs
                count, size = list_changes(moved, rates, at + lane, first + lane, events, values, end)
                end += count
                largest = max(largest, size)
    state.start[sample, start_at + pixels] = end - begin
    state.largest[sample, population] = largest


class LinearResponse(NudgeResponse):
    """Graded events: the first-order response of the mean rates, without noise, one layer after the other."""

    spiking = False
    counts_followed = True

    def extended(self, model: Model, state: State) -> State:
        samples, populations = len(state.membrane), len(model.compiled.plan.populations)
        return state._replace(
            values=np.zeros(state.events.shape, np.int32),
            nudge=aligned_zeros(state.membrane.shape, np.int32),
            largest=np.zeros((samples, populations), np.int64),
        )

    def keep(self, group: Group, n: int) -> NDArray[np.int64]:
        mean_rates(group.engine.state, n, group.dynamics.window_free, group.membrane)
        group.words[:n] = 0  # nothing has moved yet
        group.restore(n)
        return np.zeros(group.model.layers, np.int64)

    def run(self, group: Group, n: int, stream: int, window: Window, nudge: Nudge, stop: NDArray[np.uint8]) -> bool:
        group.clear(n)
        engine = group.engine._replace(plan=group.model.clamped_network.plan)
        rest = Rest(group.membrane, group.dynamics.window_free, FIRINGS[group.dynamics.engine_firing])
        return bool(respond(engine, rest, n, window, nudge, stop))
