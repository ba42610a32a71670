"""Random numbers of sparse networks: functions of seed, trial, population, neuron and step, without a state."""

import numpy as np

from spikesim.engine.simd.random_words import BLOCKS, Counter, Key, eight_blocks
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.philox import philox4x32

STREAM_FIRE, STREAM_WAIT, STREAM_POISSON, STREAM_POISSON_FINE = 0, 1, 2, 3
"""What they are drawn for."""


@inline_kernel
def numbered(key, population, stream, step, counter):
    """Counter and key of the words for (counter, step, trial, population and stream)."""
    tag = (np.uint64(population) << np.uint64(24)) | np.uint64(stream)
    own = Counter(np.uint64(counter), np.uint64(step), np.uint64(key.trial), tag)
    return own, Key(np.uint64(key.phase.key_low), np.uint64(key.phase.key_high))


@inline_kernel
def random_words(key, population, stream, step, counter):
    """Four 32-bit words for (counter, step, trial, population and stream)."""
    own, seed = numbered(key, population, stream, step, counter)
    return philox4x32(own.first, own.step, own.sample, own.tag, seed.low, seed.high)


@inline_kernel
def firing_bits(key, population, t, local):
    """16 bits that are compared with the probability of a spike of one neuron in one step."""
    w0, w1, w2, w3 = random_words(key, population, STREAM_FIRE, t, local >> 3)
    pair = (local & 7) >> 1
    word = w0 if pair == 0 else w1 if pair == 1 else w2 if pair == 2 else w3
    return np.int64((word >> np.uint64(16 * (local & 1))) & np.uint64(0xFFFF))


@kernel
def poisson_arrivals(tails, key, population, local, t):
    """Number of Poisson arrivals at one neuron in one step; tails: probabilities of more than 0, 1, ...."""
    w0, w1, w2, w3 = random_words(key, population, STREAM_POISSON, t, local >> 2)
    lane = local & 3
    word = w0 if lane == 0 else w1 if lane == 1 else w2 if lane == 2 else w3
    count = 0
    while count < tails.shape[0] and word < tails[count] >> np.uint64(32):
        count += 1
    if count < tails.shape[0] and word == tails[count] >> np.uint64(32):  # 32 bits more decide
        fine, _, _, _ = random_words(key, population, STREAM_POISSON_FINE, t, local)
        while (
            count < tails.shape[0]
            and word == tails[count] >> np.uint64(32)
            and fine < tails[count] & np.uint64(0xFFFFFFFF)
        ):
            count += 1
    return count


@kernel
def poisson_chunk(tails, key, population, first, t, words, arrivals):
    """Numbers of Poisson arrivals at neighbouring neurons in one step, of four at a time with one block of words.

    first: the number of the first of them, a multiple of four; arrivals, int32 (neurons,), is filled; words, uint32, is
    scratch for as many and up to three more.
    """
    count = arrivals.shape[0]
    blocks = (count + 3) // 4
    together = blocks // BLOCKS * BLOCKS
    for block in range(0, together, BLOCKS):
        counter, seed = numbered(key, population, STREAM_POISSON, t, (first >> 2) + block)
        eight_blocks(counter, seed, words, 4 * block)
    for block in range(together, blocks):
        w0, w1, w2, w3 = random_words(key, population, STREAM_POISSON, t, (first >> 2) + block)
        words[4 * block] = np.uint32(w0)
        words[4 * block + 1] = np.uint32(w1)
        words[4 * block + 2] = np.uint32(w2)
        words[4 * block + 3] = np.uint32(w3)
    arrivals[:] = 0
    for k in range(tails.shape[0]):
        limit = np.uint32(tails[k] >> np.uint64(32))
        below = np.int32(0)
        ties = np.int32(0)
        for i in range(count):
            arrivals[i] += np.int32(words[i] < limit)
            below |= np.int32(words[i] <= limit)
            ties |= np.int32(words[i] == limit)
        if ties:  # 32 bits more decide
            for i in range(count):
                if words[i] == limit:
                    arrivals[i] = poisson_arrivals(tails, key, population, first + i, t)
                    words[i] = np.uint32(0xFFFFFFFF)
        if below == 0:
            return
