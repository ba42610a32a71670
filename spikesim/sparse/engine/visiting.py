"""Visiting the active neurons of a part one by one, for all models but the two that `updating` moves as vectors.

Where many are active all are looked at in order; else those on the list. The same bits: what is done to a neuron is
written once.
"""

from typing import NamedTuple

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.layout import ACTIVE, CHUNK, KIND_GENERAL
from spikesim.sparse.engine.random_numbers import firing_bits, poisson_chunk
from spikesim.sparse.engine.resting import fire_general, schedule, wake_range
from spikesim.sparse.neurons import step, visit


class Visited(NamedTuple):
    """What came of a visit."""

    fires: bool
    rests: bool


@inline_kernel
def _visit(tables, state, key, pop, neuron, t, arrivals, dither):
    """Move an active neuron and let it fire.

    arrivals: what its Poisson drive adds to the sums of weights.
    """
    at = np.uint64(neuron)  # an index that needs no check for being negative
    excitation, inhibition = np.int64(state.drive[at]), np.int64(0)
    state.drive[at] = 0
    if pop.lanes == 2:
        other = np.uint64(state.doing.shape[0] + neuron)
        inhibition = np.int64(state.drive[other])
        state.drive[other] = 0
    arrived = excitation != 0 or inhibition != 0
    if pop.lanes == 2 and arrivals < 0:
        inhibition += arrivals
    else:
        excitation += arrivals
    local = neuron - pop.begin
    p, x = tables.parameters[np.uint64(pop.parameters + local * pop.varies)], state.variables[at]
    cell = step.Cell(np.int64(state.membrane[at]), np.int64(state.refractory[at]), np.int64(tables.bias[at]))
    moved = visit(pop.kind - KIND_GENERAL, p, x, cell, step.Arrived(excitation, inhibition), dither)
    state.membrane[at] = np.int32(moved.potential)
    state.refractory[at] = np.int32(moved.refractory)
    fires = moved.p == step.CERTAIN
    if not fires and moved.p > 0:
        fires = firing_bits(key, pop.population, t, local) < moved.p
    if fires:
        state.counts.spikes[at] += 1
        fire_general(tables, state, pop, neuron, dither)
    return Visited(fires, moved.still and not (arrived or fires or pop.poisson >= 0))


@kernel
def visit_part(tables, state, key, part, t, slot, many):
    """Visit the active neurons of a part: if there are many, all are looked at, else those on its list.

    A part with a Poisson drive always has many: none of its neurons rests. After a visit of all the list is out of
    date.
    """
    pop = tables.parts[part]
    first, dither = pop.first, step.dithers(t)
    tails, arrivals = tables.poisson[max(pop.poisson, 0) :][: pop.poisson_terms], state.scratch.synaptic
    fired, active = state.ring.neurons[slot, first:], state.active.neurons[first:]
    if many:
        wake_range(tables, state, part, first, first + pop.neurons)
    kept, n, visited = 0, state.ring.counts[slot, part], 0
    count = pop.neurons if many else state.active.counts[part]
    arrivals[:] = 0
    for i in range(count):
        if pop.poisson >= 0 and i % CHUNK == 0:
            own = arrivals[: min(CHUNK, count - i)]
            poisson_chunk(tails, key, pop.population, first + i - pop.begin, t, state.scratch.words, own)
        neuron = first + i if many else np.int64(active[i])
        if state.doing[np.uint64(neuron)] != ACTIVE:
            continue
        drive = np.int64(arrivals[np.uint64(i) & np.uint64(CHUNK - 1)]) * pop.poisson_weight
        done = _visit(tables, state, key, pop, neuron, t, drive, dither)
        visited += 1
        if done.fires:
            fired[n] = np.int32(neuron)
            n += 1
        if done.rests:
            schedule(tables, state, key, part, neuron, t)
            continue
        if not many:
            active[kept] = np.int32(neuron)
        kept += 1
    state.ring.counts[slot, part] = n
    state.active.counts[part] = kept
    state.counts.updates[part] += visited
