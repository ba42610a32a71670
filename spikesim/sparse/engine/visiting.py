"""Moving and firing the active neurons of a part of all models but the two that `updating` knows.

Where many are active all are looked at in order, a chunk at a time and in place; else those on the list, a chunk of
them at a time, gathered. The same kernels of the model move both, so that the bits are the same: a neuron at rest,
which a chunk in place may hold, stays as it is, and does not fire.
"""

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.inputs import arrival_tails
from spikesim.sparse.engine.layout import ACTIVE, CHUNK, KIND_GENERAL
from spikesim.sparse.engine.random_numbers import firing_bits, poisson_chunk
from spikesim.sparse.engine.resting import schedule, wake_range
from spikesim.sparse.neurons import fire, step, visit


@inline_kernel
def _fire(tables, state, key, pop, cells, columns, variables, numbers, t, fired, n):
    """Let neurons that have been moved fire; the number of spikes of the step so far."""
    any_p = np.int32(0)
    for i in range(cells.p.shape[0]):
        any_p |= cells.p[i]
    if any_p == 0:
        return n
    for i in range(cells.p.shape[0]):
        p = np.int64(cells.p[i])
        if p == 0:
            continue
        neuron = np.int64(numbers[i])
        if p == step.CERTAIN or firing_bits(key, pop.population, t, neuron - pop.begin) < p:
            fired[n] = np.int32(neuron)
            n += 1
            state.counts.spikes[neuron] += 1
            fire(pop.kind - KIND_GENERAL, tables.shared[pop.shared], columns, variables, cells, i)
            cells.still[i] = 0
    return n


@kernel
def visit_listed(tables, state, key, part, t, slot):
    """Move the neurons on the list of a part and let them fire or rest.

    A part with a Poisson drive has none to be visited so: all of its neurons are active at all times.
    """
    pop, dither = tables.parts[part], step.dithers(t)
    fired, active = state.ring.neurons[slot, pop.first :], state.active.neurons[pop.first :]
    scratch, neurons = state.scratch, state.doing.shape[0]
    kept, n, total = 0, state.ring.counts[slot, part], state.active.counts[part]
    for begin in range(0, total, CHUNK):
        count = min(CHUNK, total - begin)
        numbers, gathered = scratch.numbers[:count], scratch.gathered
        cells = step.Cells(
            gathered[0, :count],
            gathered[1, :count],
            gathered[2, :count],
            gathered[3, :count],
            gathered[4, :count],
            gathered[5, :count],
            scratch.resting[:count],
        )
        columns, variables = step.Rows(tables.columns, pop.columns), step.Rows(scratch.variables, np.int64(0))
        for i in range(count):
            neuron = np.int64(active[begin + i])
            numbers[i] = np.int32(neuron)
            cells.potential[i], cells.refractory[i] = state.membrane[neuron], state.refractory[neuron]
            cells.bias[i], cells.excitation[i] = tables.bias[neuron], state.drive[neuron]
            cells.inhibition[i] = state.drive[neurons + neuron] if pop.lanes == 2 else np.int32(0)
            for variable in range(state.variables.shape[0]):
                scratch.variables[variable, i] = state.variables[variable, neuron]
        if pop.varies:
            columns = step.Rows(scratch.columns, np.int64(0))
            for column in range(tables.columns.shape[0]):
                for i in range(count):
                    at = pop.columns + numbers[i] - pop.begin
                    scratch.columns[column, i] = tables.columns[column, at]
        visit(pop.kind - KIND_GENERAL, tables.shared[pop.shared], columns, variables, cells, dither)
        n = _fire(tables, state, key, pop, cells, columns, variables, numbers, t, fired, n)
        for i in range(count):
            neuron = np.int64(numbers[i])
            state.membrane[neuron], state.refractory[neuron] = cells.potential[i], cells.refractory[i]
            for variable in range(state.variables.shape[0]):
                state.variables[variable, neuron] = scratch.variables[variable, i]
            state.drive[neuron] = 0
            if pop.lanes == 2:
                state.drive[neurons + neuron] = 0
            if cells.still[i] and cells.excitation[i] == 0 and cells.inhibition[i] == 0:
                schedule(tables, state, key, part, neuron, t)
            else:
                active[kept] = np.int32(neuron)
                kept += 1
    state.ring.counts[slot, part] = n
    state.active.counts[part] = kept
    state.counts.updates[part] += total


@kernel
def visit_all(tables, state, key, part, t, slot):
    """Move all neurons of a part that are active or have been reached, and let them fire or rest.

    The list of the active ones is out of date afterwards.
    """
    pop, dither = tables.parts[part], step.dithers(t)
    first, size, poisson = pop.first, pop.neurons, pop.poisson >= 0
    tails = arrival_tails(tables, state, part)
    fired, n = state.ring.neurons[slot, first:], state.ring.counts[slot, part]
    scratch, other = state.scratch, state.doing.shape[0] if pop.lanes == 2 else np.int64(0)
    for begin in range(0, size, CHUNK):
        count = min(CHUNK, size - begin)
        at = first + begin
        numbers, gathered, doing = scratch.numbers[:count], scratch.gathered, state.doing[at : at + count]
        drive, second = state.drive[at : at + count], state.drive[other + at : other + at + count]
        sums, states, waking = np.int32(0), np.uint8(0), np.int32(0)
        for i in range(count):
            sums |= drive[i] | second[i]
            states |= doing[i]  # ACTIVE has a bit of its own
            waking |= (drive[i] | second[i]) if doing[i] != ACTIVE else np.int32(0)
        if sums == 0 and not states & ACTIVE:
            continue  # all rest
        if waking:
            wake_range(tables, state, part, at, at + count)
        cells = step.Cells(
            state.membrane[at : at + count],
            state.refractory[at : at + count],
            tables.bias[at : at + count],
            gathered[3, :count],
            gathered[4, :count],
            gathered[5, :count],
            scratch.resting[:count],
        )
        columns = step.Rows(tables.columns, pop.columns + (at - pop.begin if pop.varies else np.int64(0)))
        variables = step.Rows(state.variables, at)
        excitation, inhibition = cells.excitation, cells.inhibition
        for i in range(count):
            excitation[i] = drive[i]
            inhibition[i] = second[i] if other else np.int32(0)
            numbers[i] = np.int32(at + i)
        if poisson:
            own = inhibition if other and pop.poisson_weight < 0 else excitation
            arrivals = scratch.synaptic[:count]
            poisson_chunk(tails, key, pop.population, at - pop.begin, t, scratch.words, arrivals)
            for i in range(count):
                own[i] = np.int32(own[i] + arrivals[i] * pop.poisson_weight)
        visit(pop.kind - KIND_GENERAL, tables.shared[pop.shared], columns, variables, cells, dither)
        for i in range(count):
            cells.p[i] = cells.p[i] if doing[i] == ACTIVE else np.int32(0)
        n = _fire(tables, state, key, pop, cells, columns, variables, numbers, t, fired, n)
        found = np.int64(0)
        for i in range(count):
            rests = (cells.still[i] != 0) & (drive[i] == 0) & (second[i] == 0) & (doing[i] == ACTIVE)
            cells.still[i] = np.uint8(rests)
            found += np.int64(rests)
        for i in range(count):
            drive[i] = 0
            second[i] = 0
        if found and not poisson:
            for i in range(count):
                if cells.still[i]:
                    schedule(tables, state, key, part, at + i, t)
            state.active.counts[part] -= found
            state.counts.updates[part] += found
    state.ring.counts[slot, part] = n
    state.counts.updates[part] += state.active.counts[part]
