"""The compiled loop: deliver the events of a step, wake whom they reach, move the active neurons, fire.

A neuron comes to *rest* in a step without arrivals that leaves its potential where it is going to stay. A resting
neuron is not visited: if its firing probability p is zero it is SILENT, else its next spike is SCHEDULED in the wheel,
after a number of steps drawn from the geometric law of p, and withdrawn when events arrive before. An ACTIVE neuron is
visited at every step.

In a step with many events all neurons are looked at in order, in a quiet one only those on lists: the same bits.
"""

import numpy as np

from spikesim.compilation import inline_kernel, kernel
from spikesim.delivery import shifted
from spikesim.fixedpoint import ONE, P_MAX
from spikesim.philox import philox4x32
from spikesim.sparse.layout import (
    ACTIVE,
    BLOCK_FIRST,
    BLOCK_POPULATION,
    BLOCK_SIZE,
    BLOCK_TABLES,
    BLOCK_TABLES_END,
    KIND_LIF,
    POP_FIRST,
    POP_KIND,
    POP_LEAK,
    POP_POISSON,
    POP_POISSON_DRIVE,
    POP_POISSON_TERMS,
    POP_RECORDED,
    POP_REFRACTORY,
    POP_RESET,
    POP_SHIFT,
    POP_SIZE,
    POP_SLOPE,
    POP_THRESHOLD,
    SCHEDULED,
    SILENT,
    TABLE_CONSTANT,
    TABLE_DELAY_COUNT,
    TABLE_DELAYS,
    TABLE_POINTERS,
    TABLE_PROJECTION,
    TABLE_SOURCE,
    TABLE_WEIGHT,
    TABLE_WEIGHTS,
    WHEEL_SLOTS,
)
from spikesim.sparse.wheel import insert, withdraw

GEOMETRIC_BITS = 31
"""Waiting times are below 2**31 steps."""
MEMBRANE_MAX = 2**30
STREAM_FIRE, STREAM_WAIT, STREAM_POISSON = 0, 1, 2
DENSE_SHARE = 8
"""All neurons of a population are looked at when an eighth of them is active or as many events have arrived."""


@inline_kernel
def random_words(key_low, key_high, trial, population, stream, step, counter):
    """Four 32-bit words for (counter, step, trial, population and stream)."""
    tag = (np.uint64(population) << np.uint64(24)) | np.uint64(stream)
    return philox4x32(
        np.uint64(counter), np.uint64(step), np.uint64(trial), tag, np.uint64(key_low), np.uint64(key_high)
    )


@kernel
def waiting_time(p, uniform, powers):
    """Steps until the first success of trials of probability p / 2**16: the smallest n with ``1 - q**n > uniform``.

    q = 1 - p / 2**16. By squarings of q, not by logarithms, whose last bits differ between machines; relative error of
    the law below 2**-30. At most 2**31 steps.

    Parameters
    ----------
    p : integer in 1 .. 65535
    uniform : float64 in [0, 1)
    powers : float64 (GEOMETRIC_BITS,)
        Overwritten.
    """
    survival = 1.0 - uniform  # in (0, 1]
    q = (ONE - p) / ONE
    highest = 0
    powers[0] = q
    while powers[highest] >= survival and highest < GEOMETRIC_BITS - 1:
        powers[highest + 1] = powers[highest] * powers[highest]
        highest += 1
    failures, reached = np.int64(0), 1.0  # the largest number with q**failures >= survival
    for bit in range(highest, -1, -1):
        if reached * powers[bit] >= survival:
            reached *= powers[bit]
            failures += np.int64(1) << bit
    return failures + 1


@inline_kernel
def firing_probability(kind, threshold, slope, potential):
    """p as 16 bits."""
    if kind == KIND_LIF:
        return min(max(((np.int64(potential) - threshold) * slope) >> 16, 0), P_MAX)
    return np.int64(min(max(potential, 0), P_MAX))


@inline_kernel
def moved(kind, leak, potential, bias, synaptic):
    """The membrane potential one step later; synaptic: what arrives, 1.0 = 2**16."""
    v, u = np.int64(potential), np.int64(bias)
    if kind == KIND_LIF:  # arrivals are jumps
        v = v + ((u - v) >> leak) + synaptic
    else:  # arrivals are a drive that the membrane averages
        v = v + ((u + synaptic - v) >> leak)
    return np.int32(min(max(v, -MEMBRANE_MAX), MEMBRANE_MAX))


@kernel
def schedule(tables, state, key, trial, population, neuron, step, p):
    """Let a neuron rest from this step on; with p > 0, its next spike goes into the wheel."""
    if p == 0:
        state.doing[neuron] = SILENT
        return
    counter = neuron - tables.populations[population, POP_FIRST]
    w0, w1, _, _ = random_words(key[0], key[1], trial, population, STREAM_WAIT, step, counter)
    uniform = ((w0 >> np.uint64(5)) * 67108864.0 + (w1 >> np.uint64(6))) / 9007199254740992.0  # 53 bits
    state.doing[neuron] = SCHEDULED
    insert(state, population, neuron, step + waiting_time(p, uniform, state.powers))


@kernel
def deliver(tables, state, block, t, listed):
    """Add the weights of all events that reach a block in step t.

    listed: whether to list the neurons whose drive was zero, from the block's first neuron of `state.touched` on.

    Returns
    -------
    int
        How many would be listed: a neuron can come more than once. If there are more than neurons, the list is of no
        use.
    """
    row = tables.blocks[block]
    first, size = row[BLOCK_FIRST], row[BLOCK_SIZE]
    drive, touched = state.drive[first : first + size], state.touched[first : first + size]
    targets, weights = tables.targets, tables.weights
    depth = state.ring.shape[0]
    n = np.int64(0)
    for index in range(row[BLOCK_TABLES], row[BLOCK_TABLES_END]):
        table = tables.tables[index]
        source, delays = table[TABLE_SOURCE], table[TABLE_DELAY_COUNT]
        source_first = tables.populations[source, POP_FIRST]
        constant, weight = table[TABLE_CONSTANT], np.int32(table[TABLE_WEIGHT])
        pointers = tables.pointers[table[TABLE_POINTERS] :]
        weights_at, delivered = table[TABLE_WEIGHTS], np.int64(0)
        for d in range(delays):
            slot = (t - tables.delays[table[TABLE_DELAYS] + d]) % depth
            fired = state.ring[slot, source_first:]
            for i in range(state.ring_count[slot, source]):
                at = (np.int64(fired[i]) - source_first) * delays + d
                begin, end = pointers[at], pointers[at + 1]
                delivered += end - begin
                if listed:
                    for synapse in range(begin, end):
                        target = np.int64(targets[synapse])
                        before = drive[target]
                        if before == 0:
                            if n < size:
                                touched[n] = np.int32(first + target)
                            n += 1
                        own = weight if constant else np.int32(weights[weights_at + synapse])
                        drive[target] = np.int32(before + own)
                elif constant:
                    for synapse in range(begin, end):
                        drive[np.int64(targets[synapse])] += weight
                else:
                    for synapse in range(begin, end):
                        drive[np.int64(targets[synapse])] += np.int32(weights[weights_at + synapse])
        state.events[table[TABLE_PROJECTION]] += delivered
    return n


@kernel
def wake(tables, state, population, neuron):
    """Put a resting neuron onto the list of the active ones."""
    if state.doing[neuron] == SCHEDULED:
        withdraw(state, population, neuron)
    state.doing[neuron] = ACTIVE
    state.active[tables.populations[population, POP_FIRST] + state.active_count[population]] = neuron
    state.active_count[population] += 1


@kernel
def wake_range(tables, state, population, first, last):
    """Wake those of some neurons whose drive is not zero."""
    doing, drive = state.doing, state.drive
    for neuron in range(first, last):
        if drive[neuron] != 0 and doing[neuron] != ACTIVE:
            wake(tables, state, population, neuron)


@kernel
def poisson_arrivals(terms, key, trial, population, local, t):
    """Number of Poisson arrivals at one neuron in one step; terms: the cumulative probabilities."""
    w0, w1, w2, w3 = random_words(key[0], key[1], trial, population, STREAM_POISSON, t, local >> 2)
    lane = local & 3
    word = w0 if lane == 0 else w1 if lane == 1 else w2 if lane == 2 else w3
    count = 0
    while count < terms.shape[0] and word >= terms[count]:
        count += 1
    return count


@kernel
def update_population(tables, state, key, trial, population, t, slot, dense):
    """Move the active neurons of a population and let them fire or rest; dense: look at all of its neurons."""
    pop = tables.populations[population]
    first, size, kind, leak, shift = pop[POP_FIRST], pop[POP_SIZE], pop[POP_KIND], pop[POP_LEAK], pop[POP_SHIFT]
    threshold, slope = pop[POP_THRESHOLD], pop[POP_SLOPE]
    reset, refractory_steps = np.int32(pop[POP_RESET]), np.int32(pop[POP_REFRACTORY])
    poisson, poisson_drive = pop[POP_POISSON] >= 0, pop[POP_POISSON_DRIVE]
    terms = tables.poisson[max(pop[POP_POISSON], 0) :][: pop[POP_POISSON_TERMS]]
    # slices from the population's first neuron on: loops from 0 need no checks for negative indices
    membrane, drive = state.membrane[first : first + size], state.drive[first : first + size]
    doing, refractory = state.doing[first : first + size], state.refractory[first : first + size]
    active, bias = state.active[first : first + size], tables.bias[first : first + size]
    fired, spikes = state.ring[slot, first : first + size], state.spikes[first : first + size]
    zero = np.uint64(0)
    w0, w1, w2, w3 = zero, zero, zero, zero
    octet = np.int64(-1)
    kept, visited, n = 0, 0, state.ring_count[slot, population]
    if dense:
        wake_range(tables, state, population, first, first + size)
    for i in range(size if dense else state.active_count[population]):
        local = np.int64(i) if dense else np.int64(active[i]) - first
        if doing[local] != ACTIVE:
            continue
        visited += 1
        arrived = drive[local] != 0
        synaptic = shifted(np.int64(drive[local]), shift)
        drive[local] = 0
        p = np.int64(0)
        if refractory[local] > 0:
            refractory[local] -= 1
        else:
            if poisson:
                synaptic += poisson_arrivals(terms, key, trial, population, local, t) * poisson_drive
            membrane[local] = moved(kind, leak, membrane[local], bias[local], synaptic)
            p = firing_probability(kind, threshold, slope, membrane[local])
        if p > 0:
            if local >> 3 != octet:
                octet = local >> 3
                w0, w1, w2, w3 = random_words(key[0], key[1], trial, population, STREAM_FIRE, t, octet)
            pair = (local & 7) >> 1
            word = w0 if pair == 0 else w1 if pair == 1 else w2 if pair == 2 else w3
            bits = np.int64((word >> np.uint64(16 * (local & 1))) & np.uint64(0xFFFF))
            if bits < p:
                fired[n] = np.int32(first + local)
                n += 1
                spikes[local] += 1
                if kind == KIND_LIF:
                    membrane[local], refractory[local] = reset, refractory_steps
        # one under steady fire stays active: drawing a waiting time costs more than some visits
        still = not arrived and moved(kind, leak, membrane[local], bias[local], np.int64(0)) == membrane[local]
        if still and refractory[local] == 0 and not poisson:
            p = firing_probability(kind, threshold, slope, membrane[local])
            schedule(tables, state, key, trial, population, first + local, t, p)
        else:
            active[kept] = np.int32(first + local)
            kept += 1
    state.ring_count[slot, population] = n
    state.active_count[population] = kept
    state.updates[population] += visited


@kernel
def fire_due(tables, state, key, trial, population, t, slot):
    """Spikes of resting neurons that are due in this step."""
    pop = tables.populations[population]
    first, kind, leak = pop[POP_FIRST], pop[POP_KIND], pop[POP_LEAK]
    neuron = np.int64(state.slots[population, t % WHEEL_SLOTS])
    while neuron >= 0:
        after = np.int64(state.following[neuron])
        if state.due[neuron] == t:
            withdraw(state, population, neuron)
            state.updates[population] += 1
            state.ring[slot, first + state.ring_count[slot, population]] = neuron
            state.ring_count[slot, population] += 1
            state.spikes[neuron] += 1
            if kind == KIND_LIF:
                state.membrane[neuron] = np.int32(pop[POP_RESET])
                state.refractory[neuron] = np.int32(pop[POP_REFRACTORY])
            potential = state.membrane[neuron]
            still = moved(kind, leak, potential, tables.bias[neuron], np.int64(0)) == potential
            state.doing[neuron] = SILENT  # it is in no list now
            if still and state.refractory[neuron] == 0:
                p = firing_probability(kind, pop[POP_THRESHOLD], pop[POP_SLOPE], potential)
                schedule(tables, state, key, trial, population, neuron, t, p)
            else:
                wake(tables, state, population, neuron)
        neuron = after


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
def run_steps(tables, state, key, trial, t, steps, room, log, stop):
    """Steps t .. t + steps - 1 of one trial.

    room: largest number of spikes that a step can record.

    Returns
    -------
    int
        Steps done: fewer if the log is full or a stop was asked for.
    """
    populations = tables.populations.shape[0]
    dense = np.zeros(populations, np.uint8)
    for i in range(steps):
        if stop[0] or log.used[0] + room > log.steps.shape[0]:
            return i
        now = t + i
        slot = now % state.ring.shape[0]
        for population in range(populations):
            state.ring_count[slot, population] = 0
            dense[population] = state.active_count[population] * DENSE_SHARE > tables.populations[population, POP_SIZE]
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
            update_population(tables, state, key, trial, population, now, slot, dense[population])
            fire_due(tables, state, key, trial, population, now, slot)
        record(tables, state, log, i, now, slot)
    return steps
