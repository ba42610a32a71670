"""The compiled loop: deliver the events of a step, wake whom they reach, move the active neurons, fire.

Which neurons rest and what becomes of their spikes is in `resting`. In a population with many active neurons all are
looked at in order, in a quiet one only those on lists: the same bits.
"""

from spikesim.jit.compilation import kernel
from spikesim.sparse.engine.delivery import deliver
from spikesim.sparse.engine.layout import (
    ACTIVE,
    BLOCK_FIRST,
    BLOCK_POPULATION,
    BLOCK_SIZE,
    POP_FIRST,
    POP_RECORDED,
    POP_SIZE,
)
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
        count = state.ring_count[slot, population]
        log.counts[i, population] = count
        if pop[POP_RECORDED]:
            for j in range(count):
                log.steps[used] = t
                log.neurons[used] = state.ring[slot, pop[POP_FIRST] + j]
                used += 1
    log.used[0] = used
    for j in range(log.probes.shape[0]):
        log.traces[i, j] = state.membrane[log.probes[j]]


@kernel
def run_steps(tables, state, clock, trial, t, steps, room, log, stop):
    """Steps t .. t + steps - 1 of one trial.

    room: largest number of spikes that a step can record.

    Returns
    -------
    int
        Steps done: fewer if the log is full or a stop was asked for.
    """
    populations = tables.populations.shape[0]
    dense = state.dense
    for i in range(steps):
        if stop[0] or log.used[0] + room > log.steps.shape[0]:
            return i
        now = t + i
        slot = now % state.ring.shape[0]
        for population in range(populations):
            state.ring_count[slot, population] = 0
            many = state.active_count[population] * DENSE_SHARE > tables.populations[population, POP_SIZE]
            if dense[population] and not many:
                list_active(tables, state, population)
            dense[population] = many
        for block in range(tables.blocks.shape[0]):
            row = tables.blocks[block]
            population = row[BLOCK_POPULATION]
            first, size = row[BLOCK_FIRST], row[BLOCK_SIZE]
            reached = deliver(tables, state, block, now, not dense[population])
            if dense[population]:
                continue
            if reached > size:
                wake_range(tables, state, population, first, first + size)
                continue
            for j in range(reached):
                neuron = state.touched[first + j]
                if state.doing[neuron] != ACTIVE and state.drive[neuron] != 0:
                    wake(tables, state, population, neuron)
        for population in range(populations):
            if dense[population]:
                update_all(tables, state, clock, trial, population, now, slot)
            else:
                update_listed(tables, state, clock, trial, population, now, slot)
            fire_due(tables, state, clock, trial, population, now, slot)
        record(tables, state, log, i, now, slot)
    return steps
