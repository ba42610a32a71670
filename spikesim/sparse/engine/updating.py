"""Moving and firing the active neurons of a population.

Where many are active all are looked at in order, a chunk at a time and in loops that the compiler turns into vectors;
else those on the list. The same bits.
"""

import numpy as np

from spikesim.engine.simd.fire import spike_word
from spikesim.engine.simd.llvm import lowest_bit
from spikesim.engine.step import fill_random
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.dither import leak_dither, sum_dither
from spikesim.numerics.fixed_point import P_MAX
from spikesim.sparse.engine.layout import (
    ACTIVE,
    CHUNK,
    KIND_LIF,
    POP_FIRST,
    POP_KIND,
    POP_LEAK,
    POP_POISSON,
    POP_POISSON_DRIVE,
    POP_POISSON_TERMS,
    POP_REFRACTORY,
    POP_RESET,
    POP_SHIFT,
    POP_SIZE,
    POP_SLOPE,
    POP_THRESHOLD,
    POP_WIDTH,
)
from spikesim.sparse.engine.resting import (
    MEMBRANE_MAX,
    STREAM_FIRE,
    STREAM_POISSON,
    STREAM_POISSON_FINE,
    random_words,
    schedule,
    wake_range,
)


@kernel
def poisson_arrivals(tails, clock, trial, population, local, t):
    """Number of Poisson arrivals at one neuron in one step; tails: probabilities of more than 0, 1, ...."""
    w0, w1, w2, w3 = random_words(clock, trial, population, STREAM_POISSON, t, local >> 2)
    lane = local & 3
    word = w0 if lane == 0 else w1 if lane == 1 else w2 if lane == 2 else w3
    count = 0
    while count < tails.shape[0] and word < tails[count] >> np.uint64(32):
        count += 1
    if count < tails.shape[0] and word == tails[count] >> np.uint64(32):  # 32 bits more decide
        fine, _, _, _ = random_words(clock, trial, population, STREAM_POISSON_FINE, t, local)
        while (
            count < tails.shape[0]
            and word == tails[count] >> np.uint64(32)
            and fine < tails[count] & np.uint64(0xFFFFFFFF)
        ):
            count += 1
    return count


@inline_kernel
def firing_probability(kind, threshold, width, slope, potential, dither):
    """p as 16 bits; dither: what is added to 48 bits of it before the others are cut off."""
    if kind == KIND_LIF:
        excess = min(max(np.int64(potential) - threshold, 0), width)
        return min((excess * slope + dither) >> 32, P_MAX)
    return np.int64(min(max(potential, 0), P_MAX))


@inline_kernel
def moved(kind, leak, potential, bias, synaptic, dither):
    """The membrane potential one step later; synaptic: what arrives, 1.0 = 2**16; dither: as `leak_dither`."""
    v, u = np.int64(potential), np.int64(bias)
    if kind == KIND_LIF:  # arrivals are jumps
        v = v + ((u - v + dither) >> leak) + synaptic
    else:  # arrivals are a drive that the membrane averages
        v = v + ((u + synaptic - v + dither) >> leak)
    return np.int32(min(max(v, -MEMBRANE_MAX), MEMBRANE_MAX))


@kernel
def update_listed(tables, state, clock, trial, population, t, slot):
    """Move the active neurons on the list of a population and let them fire or rest."""
    pop = tables.populations[population]
    first, size, kind, leak, shift = pop[POP_FIRST], pop[POP_SIZE], pop[POP_KIND], pop[POP_LEAK], pop[POP_SHIFT]
    threshold, width, slope = pop[POP_THRESHOLD], pop[POP_WIDTH], pop[POP_SLOPE]
    reset, refractory_steps = np.int32(pop[POP_RESET]), np.int32(pop[POP_REFRACTORY])
    poisson, poisson_drive = pop[POP_POISSON] >= 0, pop[POP_POISSON_DRIVE]
    tails = tables.poisson[max(pop[POP_POISSON], 0) :][: pop[POP_POISSON_TERMS]]
    of_leak, of_sums, of_p = leak_dither(t, leak), sum_dither(t, shift), sum_dither(t, 32)
    # slices from the population's first neuron on: loops from 0 need no checks for negative indices
    membrane, drive = state.membrane[first : first + size], state.drive[first : first + size]
    refractory, bias = state.refractory[first : first + size], tables.bias[first : first + size]
    active, spikes = state.active[first : first + size], state.spikes[first : first + size]
    fired = state.ring[slot, first : first + size]
    kept, n = 0, state.ring_count[slot, population]
    count = state.active_count[population]
    for i in range(count):
        local = np.int64(active[i]) - first
        total = np.int64(drive[local])
        arrived = total != 0
        drive[local] = 0
        p = np.int64(0)
        if refractory[local] > 0:
            refractory[local] -= 1
        else:
            if poisson:
                total += poisson_arrivals(tails, clock, trial, population, local, t) * poisson_drive
            synaptic = (total + of_sums) >> shift
            membrane[local] = moved(kind, leak, membrane[local], bias[local], synaptic, of_leak)
            p = firing_probability(kind, threshold, width, slope, membrane[local], of_p)
        if p > 0:
            w0, w1, w2, w3 = random_words(clock, trial, population, STREAM_FIRE, t, local >> 3)
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
        still = not arrived and membrane[local] == bias[local]
        if still and refractory[local] == 0 and not poisson:
            schedule(tables, state, clock, trial, population, first + local, t)
        else:
            active[kept] = np.int32(first + local)
            kept += 1
    state.ring_count[slot, population] = n
    state.active_count[population] = kept
    state.updates[population] += count


@kernel
def update_all(tables, state, clock, trial, population, t, slot):
    """Move all neurons of a population that are active or have been reached, and let them fire or rest.

    The list of the active ones is out of date afterwards.
    """
    pop = tables.populations[population]
    first, size, kind, leak, shift = pop[POP_FIRST], pop[POP_SIZE], pop[POP_KIND], pop[POP_LEAK], pop[POP_SHIFT]
    threshold, width, slope = pop[POP_THRESHOLD], pop[POP_WIDTH], pop[POP_SLOPE]
    reset, refractory_steps = np.int32(pop[POP_RESET]), np.int32(pop[POP_REFRACTORY])
    poisson, poisson_drive = pop[POP_POISSON] >= 0, pop[POP_POISSON_DRIVE]
    tails = tables.poisson[max(pop[POP_POISSON], 0) :][: pop[POP_POISSON_TERMS]]
    of_leak, of_sums, of_p = np.int32(leak_dither(t, leak)), np.int32(sum_dither(t, shift)), sum_dither(t, 32)
    synaptic, probability, random, resting = state.chunk
    fired = state.ring[slot, first : first + size]
    n = state.ring_count[slot, population]
    for begin in range(0, size, CHUNK):
        count = min(CHUNK, size - begin)
        at = first + begin
        membrane, drive, doing = (
            state.membrane[at : at + count],
            state.drive[at : at + count],
            state.doing[at : at + count],
        )
        refractory, bias = state.refractory[at : at + count], tables.bias[at : at + count]
        drives, states = np.int32(0), np.uint8(0)
        for i in range(count):
            drives = np.int32(drives | drive[i])
        for i in range(count):
            states = np.uint8(states | doing[i])  # ACTIVE has a bit of its own
        if drives == 0 and not states & ACTIVE:
            continue  # all rest: their potentials are where they are going to stay
        waking = np.int32(0)
        for i in range(count):
            waking = np.int32(waking | (drive[i] if doing[i] != ACTIVE else np.int32(0)))
        if waking:
            wake_range(tables, state, population, at, at + count)
        for i in range(count):
            synaptic[i] = np.int32(np.int32(drive[i] + of_sums) >> shift)
        if poisson:
            for i in range(count):
                arrived = poisson_arrivals(tails, clock, trial, population, begin + i, t) * poisson_drive
                synaptic[i] = np.int32((drive[i] + arrived + of_sums) >> shift)
        if kind == KIND_LIF:
            for i in range(count):
                free = refractory[i] == 0
                v = membrane[i]
                v = v + ((bias[i] - v + of_leak) >> leak) + synaptic[i] if free else v
                v = np.int32(min(max(v, -MEMBRANE_MAX), MEMBRANE_MAX))
                membrane[i] = v
                excess = min(max(np.int64(v) - threshold, 0), width)
                p = min((excess * slope + of_p) >> 32, P_MAX)
                probability[i] = np.uint16(p if free and doing[i] == ACTIVE else 0)
                refractory[i] = np.int32(max(refractory[i] - 1, 0))
        else:
            for i in range(count):
                v = np.int32(membrane[i] + ((bias[i] + synaptic[i] - membrane[i] + of_leak) >> leak))
                membrane[i] = v
                p = np.uint16(min(max(v, np.int32(0)), np.int32(P_MAX)))
                probability[i] = p if doing[i] == ACTIVE else np.uint16(0)
        for i in range(count, (count + 15) // 16 * 16):
            probability[i] = 0
        fill_random(clock, trial, population, t, begin // 8, (count + 7) // 8, random, 0)
        for i in range(0, count, 16):
            bits = np.uint64(spike_word(probability, random, i))
            while bits:
                local = i + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                fired[n] = np.int32(at + local)
                n += 1
                state.spikes[at + local] += 1
                if kind == KIND_LIF:
                    membrane[local], refractory[local] = reset, refractory_steps
        found = np.int64(0)
        for i in range(count):
            still = (membrane[i] == bias[i]) & (drive[i] == 0) & (refractory[i] == 0) & (doing[i] == ACTIVE)
            resting[i] = still
            found += np.int64(still)
            drive[i] = 0
        if found and not poisson:
            for i in range(count):
                if resting[i]:
                    schedule(tables, state, clock, trial, population, at + i, t)
            state.active_count[population] -= found
            state.updates[population] += found
    state.ring_count[slot, population] = n
    state.updates[population] += state.active_count[population]


@kernel
def list_active(tables, state, population):
    """The list of the active neurons of a population, anew."""
    first, n = tables.populations[population, POP_FIRST], 0
    for neuron in range(first, first + tables.populations[population, POP_SIZE]):
        if state.doing[neuron] == ACTIVE:
            state.active[first + n] = np.int32(neuron)
            n += 1
    state.active_count[population] = n
