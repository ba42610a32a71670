"""Moving and firing the active neurons of a part of a population.

Where many are active all are looked at in order, a chunk at a time and in loops that the compiler turns into vectors;
else those on the list. The same bits.
"""

import numpy as np

from spikesim.engine.random_numbers import fill_random
from spikesim.engine.simd.fire import spike_word
from spikesim.engine.simd.llvm import lowest_bit
from spikesim.jit.compilation import kernel
from spikesim.numerics.dither import sum_dither
from spikesim.sparse.engine.inputs import arrival_tails
from spikesim.sparse.engine.layout import ACTIVE, CHUNK, KIND_LIF
from spikesim.sparse.engine.random_numbers import firing_bits, poisson_arrivals, poisson_chunk
from spikesim.sparse.engine.resting import schedule, wake_range
from spikesim.sparse.neurons import lif, probabilistic


@kernel
def update_listed(tables, state, key, part, t, slot):
    """Move the active neurons on the list of a part and let them fire or rest."""
    pop = tables.parts[part]
    first, size, kind, shift, population = pop.first, pop.neurons, pop.kind, pop.shift, pop.population
    before = first - pop.begin  # neurons of the population before those of the part
    poisson, poisson_weight = pop.poisson >= 0, pop.poisson_weight
    tails = arrival_tails(tables, state, part)
    of_lif, of_probabilistic, of_sums = lif.begin(pop, t), probabilistic.begin(pop, t), sum_dither(t, shift)
    # slices from the part's first neuron on: loops from 0 need no checks for negative indices
    membrane, drive = state.membrane[first : first + size], state.drive[first : first + size]
    refractory, bias = state.refractory[first : first + size], tables.bias[first : first + size]
    active, spikes = state.active.neurons[first : first + size], state.counts.spikes[first : first + size]
    fired = state.ring.neurons[slot, first : first + size]
    kept, n = 0, state.ring.counts[slot, part]
    count = state.active.counts[part]
    for i in range(count):
        local = np.int64(active[i]) - first
        total = np.int64(drive[local])
        arrived = total != 0
        drive[local] = 0
        if poisson and refractory[local] == 0:  # else nothing that arrives counts
            total += poisson_arrivals(tails, key, population, before + local, t) * poisson_weight
        synaptic = (total + of_sums) >> shift
        if kind == KIND_LIF:
            v, left, p = lif.advance(of_lif, membrane[local], refractory[local], bias[local], synaptic)
            if refractory[local] > 0:
                refractory[local] = left
        else:
            v, p = probabilistic.advance(of_probabilistic, membrane[local], bias[local], synaptic)
        membrane[local] = v
        if p > 0:
            if firing_bits(key, population, t, before + local) < p:
                fired[n] = np.int32(first + local)
                n += 1
                spikes[local] += 1
                if kind == KIND_LIF:
                    lif.reset(pop, membrane, refractory, local)
        # one under steady fire stays active: drawing a waiting time costs more than some visits
        still = not arrived and membrane[local] == bias[local]
        if still and refractory[local] == 0 and not poisson:
            schedule(tables, state, key, part, first + local, t)
        else:
            active[kept] = np.int32(first + local)
            kept += 1
    state.ring.counts[slot, part] = n
    state.active.counts[part] = kept
    state.counts.updates[part] += count


@kernel
def update_all(tables, state, key, part, t, slot):
    """Move all neurons of a part that are active or have been reached, and let them fire or rest.

    The list of the active ones is out of date afterwards.
    """
    pop = tables.parts[part]
    first, size, kind, shift, population = pop.first, pop.neurons, pop.kind, pop.shift, pop.population
    before = first - pop.begin
    poisson, poisson_weight = pop.poisson >= 0, pop.poisson_weight
    tails = arrival_tails(tables, state, part)
    of_lif, of_probabilistic, of_sums = lif.begin(pop, t), probabilistic.begin(pop, t), np.int32(sum_dither(t, shift))
    synaptic, probability = state.scratch.synaptic, state.scratch.probability
    random, resting = state.scratch.random, state.scratch.resting
    fired = state.ring.neurons[slot, first : first + size]
    n = state.ring.counts[slot, part]
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
            wake_range(tables, state, part, at, at + count)
        if poisson:
            poisson_chunk(tails, key, population, before + begin, t, state.scratch.words, synaptic[:count])
            for i in range(count):
                synaptic[i] = np.int32((drive[i] + synaptic[i] * poisson_weight + of_sums) >> shift)
        else:
            for i in range(count):
                synaptic[i] = np.int32(np.int32(drive[i] + of_sums) >> shift)
        if kind == KIND_LIF:
            for i in range(count):
                v, left, p = lif.advance(of_lif, membrane[i], refractory[i], bias[i], synaptic[i])
                membrane[i], refractory[i] = v, left
                probability[i] = np.uint16(p if doing[i] == ACTIVE else 0)
        else:
            for i in range(count):
                v, p = probabilistic.advance(of_probabilistic, membrane[i], bias[i], synaptic[i])
                membrane[i] = v
                probability[i] = np.uint16(p if doing[i] == ACTIVE else 0)
        for i in range(count, (count + 15) // 16 * 16):
            probability[i] = 0
        fill_random(key.phase, key.trial, population, t, (before + begin) // 8, (count + 7) // 8, random, np.int64(0))
        for i in range(0, count, 16):
            bits = np.uint64(spike_word(probability, random, i))
            while bits:
                local = i + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                fired[n] = np.int32(at + local)
                n += 1
                state.counts.spikes[at + local] += 1
                if kind == KIND_LIF:
                    lif.reset(pop, membrane, refractory, local)
        found = np.int64(0)
        for i in range(count):
            still = (membrane[i] == bias[i]) & (drive[i] == 0) & (refractory[i] == 0) & (doing[i] == ACTIVE)
            resting[i] = still
            found += np.int64(still)
            drive[i] = 0
        if found and not poisson:
            for i in range(count):
                if resting[i]:
                    schedule(tables, state, key, part, at + i, t)
            state.active.counts[part] -= found
            state.counts.updates[part] += found
    state.ring.counts[slot, part] = n
    state.counts.updates[part] += state.active.counts[part]


@kernel
def list_active(tables, state, part):
    """The list of the active neurons of a part, anew."""
    first, size, n = tables.parts[part].first, tables.parts[part].neurons, 0
    for neuron in range(first, first + size):
        if state.doing[neuron] == ACTIVE:
            state.active.neurons[first + n] = np.int32(neuron)
            n += 1
    state.active.counts[part] = n
