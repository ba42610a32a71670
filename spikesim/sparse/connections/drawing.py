"""Kernels that draw pairs of neurons, weights and delays, each number a function of the seed and of what it is for.

So a rule can be asked for any of its synapses, in pieces of any size, by any number of threads.
"""

import math

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.philox import philox4x32
from spikesim.numerics.portable_math import exp, log

STREAM_PARTNERS, STREAM_SKIPS, STREAM_WEIGHTS, STREAM_DELAYS = 0xFC000001, 0xFC000002, 0xFC000003, 0xFC000004
"""Last words of the counters; that of `RandomSynapses` is 0xFC000000."""
UNIFORM, NORMAL, LOGNORMAL = 0, 1, 2
POWERS = 34
"""Probabilities of a success in 1, 2, 4, .. trials that are looked at: up to more trials than there are neurons."""
UNIFORM_MAX = 1.0 - 2.0**-53


@inline_kernel
def _words(number, attempt, stream, key):
    """Four 32-bit words for (number, attempt, stream)."""
    number = np.uint64(number)
    return philox4x32(
        number & np.uint64(0xFFFFFFFF),
        number >> np.uint64(32),
        np.uint64(attempt),
        np.uint64(stream),
        np.uint64(key[0]),
        np.uint64(key[1]),
    )


@inline_kernel
def _below(high, low, count):
    """An integer of 0 .. count - 1 from two words; count is at most 2**31."""
    count = np.uint64(count)
    return np.int64((high * count + ((low * count) >> np.uint64(32))) >> np.uint64(32))


@inline_kernel
def _uniform(high, low):
    """A number in [0, 1) from two words."""
    return min(np.float64(high) * 2.0**-32 + np.float64(low) * 2.0**-64, UNIFORM_MAX)


@kernel
def success_powers(p, powers):
    """Probabilities of a success in 1, 2, 4, .. trials of probability p, as far as they can be told from 1.

    Returns
    -------
    int
        The position of the last one.
    """
    powers[0] = p
    highest = 0
    while powers[highest] < UNIFORM_MAX and highest < POWERS - 1:
        powers[highest + 1] = powers[highest] * (2.0 - powers[highest])
        highest += 1
    return highest


@inline_kernel
def _failures(uniform, powers, highest):
    """Trials before the first success; the law of `waiting_time` in the engine."""
    bit = 0
    while bit < highest and powers[bit] <= uniform:
        bit += 1
    failures, reached = np.int64(0), 0.0
    while bit >= 0:  # without branches, which nobody could foresee
        longer = reached + powers[bit] * (1.0 - reached)
        more = longer <= uniform
        reached = longer if more else reached
        failures += np.int64(more) << bit
        bit -= 1
    return failures


@kernel
def draw_skips(first, rows, targets, omit_self, powers, highest, key, counts, out):
    """Targets of some source neurons, each with the same probability: by the gaps between them.

    Parameters
    ----------
    first, rows : int
        The source neurons.
    omit_self : bool
        Leave out the target of the same number.
    powers, highest
        Of `success_powers`.
    counts : int64 (rows,)
        Filled with the number of targets of each.
    out : int64
        Filled with the targets, unless it is empty.
    """
    filled = out.shape[0] > 0
    n = 0
    for i in range(rows):
        source, begin, at, k = first + i, n, np.int64(-1), np.int64(0)
        a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
        while True:
            if k & 1 == 0:
                a, b, c, d = _words((np.uint64(source) << np.uint64(32)) | np.uint64(k >> 1), 0, STREAM_SKIPS, key)
                uniform = _uniform(a, b)
            else:
                uniform = _uniform(c, d)
            k += 1
            at += 1 + _failures(uniform, powers, highest)
            if at >= targets:
                break
            if omit_self and at == source:
                continue
            if filled:
                out[n] = at
            n += 1
        counts[i] = n - begin


@kernel
def draw_partners(first, partners, omit_self, distinct, seen, key, out):
    """Neurons at the other end of the synapses of some neurons, the same number for each.

    Parameters
    ----------
    first : int
        The neuron of the first row.
    partners : int
        Among how many they are drawn.
    omit_self, distinct : bool
        Leave out the neuron of the same number; take none twice (Floyd's sample: Bentley & Floyd, CACM 30, 1987).
    seen : int32 (partners,), or empty unless `distinct`
        Filled with -1 before the first call.
    out : int32 (rows, synapses of each)
    """
    count = out.shape[1]
    for i in range(out.shape[0]):
        own = first + i
        among = partners - 1 if omit_self else partners
        a, b, c, d = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
        for j in range(count):
            if j & 1 == 0:
                a, b, c, d = _words((np.uint64(own) << np.uint64(32)) | np.uint64(j >> 1), 0, STREAM_PARTNERS, key)
                high, low = a, b
            else:
                high, low = c, d
            if distinct:
                last = among - count + j
                found = _below(high, low, last + 1)
                if seen[found] == own:
                    found = last
                seen[found] = own
            else:
                found = _below(high, low, among)
            if omit_self and found >= own:
                found += 1
            out[i, j] = found


@kernel
def draw_cells(first, sources, targets, key, out):
    """Cells ``source * targets + target`` of a table, each with the same probability; number `first` and those after
    it."""
    for i in range(out.shape[0]):
        a, b, c, d = _words(np.uint64(first + i), 0, STREAM_PARTNERS, key)
        out[i] = _below(a, b, sources) * np.int64(targets) + _below(c, d, targets)


@kernel
def draw_values(first, law, place, spread, low, high, clip, stream, key, out):
    """Numbers of a distribution: number `first` and those after it.

    Parameters
    ----------
    law : int
        UNIFORM between `low` and `high`; NORMAL or LOGNORMAL, of which `place` and `spread` are mean and standard
        deviation (of the logarithm).
    clip : bool
        What lies outside of low .. high is put to the limit; else it is drawn again.
    out : float64
    """
    for i in range(out.shape[0]):
        attempt = np.int64(0)
        while True:
            a, b, c, d = _words(np.uint64(first + i), attempt, stream, key)
            attempt += 1
            if law == UNIFORM:
                out[i] = low + (high - low) * _uniform(a, b)
                break
            # the polar method (Marsaglia & Bray 1964): log and square root alone, which are the same everywhere
            u, v = 2.0 * _uniform(a, b) - 1.0, 2.0 * _uniform(c, d) - 1.0
            square = u * u + v * v
            if square >= 1.0 or square == 0.0:
                continue
            value = place + spread * (u * math.sqrt(-2.0 * log(square) / square))
            if law == LOGNORMAL:
                value = exp(min(value, 700.0))
            if clip:
                value = min(max(value, low), high)
            if low <= value <= high:
                out[i] = value
                break
