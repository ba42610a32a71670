"""The compiled loop: deliver the events of a step, wake whom they reach, move the active neurons, fire.

Which neurons rest and what becomes of their spikes is in `resting`. In a population with many active neurons all are
looked at in order, in a quiet one only those on lists: the same bits.
"""

from spikesim.jit.compilation import kernel
from spikesim.sparse.engine.delivery import deliver
from spikesim.sparse.engine.layout import ACTIVE
from spikesim.sparse.engine.resting import fire_due, wake, wake_range
from spikesim.sparse.engine.updating import list_active, update_all, update_listed

DENSE_SHARE = 20
"""All neurons of a population are looked at when more than a twentieth of them is active."""


@kernel
def record(tables, state, log, i, t, slot):
    """Write what is wanted of step t, the i-th of this stretch."""
    used = log.used[0]
    for population in range(tables.populations.shape[0]):
        pop = tables.populations[population]
        count = state.ring.counts[slot, population]
        log.counts[i, population] = count
        if pop.recorded:
            for j in range(count):
                log.steps[used] = t
                log.neurons[used] = state.ring.neurons[slot, pop.first + j]
                used += 1
    log.used[0] = used
    for j in range(log.probes.shape[0]):
        log.traces[i, j] = state.membrane[log.probes[j]]


@kernel
def run_steps(tables, state, key, stretch, log, stop):
    """The steps of a stretch, for one trial.

    stop: uint8 (1,), not zero once a stop is asked for.

    Returns
    -------
    int
        Steps done: fewer if the log is full or a stop was asked for.
    """
    populations = tables.populations.shape[0]
    active, dense = state.active, state.active.dense
    for i in range(stretch.steps):
        if stop[0] or log.used[0] + stretch.spikes_max > log.steps.shape[0]:
            return i
        now = stretch.first + i
        slot = now % state.ring.neurons.shape[0]
        for population in range(populations):
            state.ring.counts[slot, population] = 0
            many = active.counts[population] * DENSE_SHARE > tables.populations[population].neurons
            if dense[population] and not many:
                list_active(tables, state, population)
            dense[population] = many
        for block in range(tables.blocks.shape[0]):
            row = tables.blocks[block]
            population, first, size = row.population, row.first, row.neurons
            reached = deliver(tables, state, block, now, not dense[population])
            if dense[population]:
                continue
            if reached > size:
                wake_range(tables, state, population, first, first + size)
                continue
            for j in range(reached):
                neuron = state.scratch.touched[first + j]
                if state.doing[neuron] != ACTIVE and state.drive[neuron] != 0:
                    wake(tables, state, population, neuron)
        for population in range(populations):
            if dense[population]:
                update_all(tables, state, key, population, now, slot)
            else:
                update_listed(tables, state, key, population, now, slot)
            fire_due(tables, state, key, population, now, slot)
        record(tables, state, log, i, now, slot)
    return stretch.steps
