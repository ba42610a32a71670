"""The compiled loop: deliver the events of a step, wake whom they reach, move the active neurons, fire.

Which neurons rest and what becomes of their spikes is in `resting`. In a part with many active neurons all are looked
at in order, in a quiet one only those on lists: the same bits. Threads that share a trial run this loop at the same
time, each for its own parts. They wait for each other between steps: in a step they read spikes of earlier ones, and
write nothing that is not theirs.
"""

from spikesim.jit.compilation import kernel
from spikesim.sparse.engine.delivery import deliver
from spikesim.sparse.engine.gate import pass_gate
from spikesim.sparse.engine.inputs import apply_changes, fire_given
from spikesim.sparse.engine.layout import ACTIVE, KIND_GENERAL
from spikesim.sparse.engine.plastic import deliver_plastic, make_room, note_posts
from spikesim.sparse.engine.resting import fire_due, reaches, wake, wake_range
from spikesim.sparse.engine.updating import list_active, update_all, update_listed
from spikesim.sparse.engine.visiting import visit_all, visit_listed

DENSE_SHARE = 20
"""All neurons of a part are looked at when more than a twentieth of them is active."""


@kernel
def record(tables, state, share, log, i, t, slot):
    """Write what is wanted of step t, the i-th of this stretch."""
    used = log.used[0]
    for part in share.parts:
        pop = tables.parts[part]
        count = state.ring.counts[slot, part]
        log.counts[i, part] = count
        if pop.recorded:
            for j in range(count):
                log.steps[used] = t
                log.neurons[used] = state.ring.neurons[slot, pop.first + j]
                used += 1
    log.used[0] = used
    for column in log.columns:
        log.traces[i, column] = state.membrane[log.probes[column]]


@kernel
def run_steps(tables, state, key, stretch, share, log, stop):
    """The steps of a stretch, for one trial: what one of its threads does.

    stop: uint8 (1,), not zero once a stop is asked for.

    Returns
    -------
    int
        Steps done, the same for all threads: fewer if a log is full, a target of plastic synapses has no room for
        another spike, a stop was asked for or another thread has failed.
    """
    active, dense, plastic = state.active, state.active.dense, tables.plastic.rules.shape[0] > 0
    for i in range(stretch.steps):
        full = log.used[0] + stretch.spikes_max > log.steps.shape[0]
        if plastic and make_room(tables, state, share, stretch.first + i):
            full = True
        if not pass_gate(share.gate, i, full or (share.leads and stop[0] != 0)):
            return i
        now = stretch.first + i
        slot = now % state.ring.neurons.shape[0]
        for part in share.parts:
            state.ring.counts[slot, part] = 0
            apply_changes(tables, state, key, part, now)
            many = active.counts[part] * DENSE_SHARE > tables.parts[part].neurons
            if dense[part] and not many:
                list_active(tables, state, part)
            dense[part] = many
        for block in share.blocks:
            row = tables.blocks[block]
            part, first, size = row.part, row.first, row.neurons
            reached = deliver(tables, state, block, now, not dense[part])
            if row.plastic_end > row.tables_end:
                reached = deliver_plastic(tables, state, block, now, not dense[part], reached)
            if dense[part]:
                continue
            if reached > size:
                wake_range(tables, state, part, first, first + size)
                continue
            for j in range(reached):
                neuron = state.scratch.touched[first + j]
                if state.doing[neuron] != ACTIVE and reaches(state, neuron):
                    wake(tables, state, part, neuron)
        for part in share.parts:
            if tables.parts[part].kind >= KIND_GENERAL:
                if dense[part]:
                    visit_all(tables, state, key, part, now, slot)
                else:
                    visit_listed(tables, state, key, part, now, slot)
            elif dense[part]:
                update_all(tables, state, key, part, now, slot)
            else:
                update_listed(tables, state, key, part, now, slot)
            fire_due(tables, state, key, part, now, slot)
            fire_given(tables, state, part, now, slot)
            if plastic:
                note_posts(tables, state, part, now, slot)
        record(tables, state, share, log, i, now, slot)
    return stretch.steps
