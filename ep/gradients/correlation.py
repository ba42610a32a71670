"""Sums of products of the rates on either side of a connection, in exact integers.

For every weight, ``sum over samples and positions of post[position, c] * pre[position + offset, c']``. Rates are window
sums in int32, the sums int64: the same in any order and division of the samples. The products are those of numbers of
16 bits, added to 32 (`spikesim.engine.simd.pair_products`): presynaptic rates are divided into two halves, and so are
postsynaptic terms that need it; where 32 bits are not sure to hold a sum, it is made in stretches.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Connection
from spikesim.engine.simd.pair_products import (
    ABREAST,
    LANES,
    PairedTerms,
    PairSums,
    add_pairs,
    half_bits,
    largest_half,
    word_of,
    words_of_halves,
)
from spikesim.ep.gradients.presynaptic import ALONE, Rows, TokenRows
from spikesim.jit.compilation import kernel

SHORT = 2**15 - 1
"""Terms up to here, of either sign, are not divided."""
INT32_MAX = 2**31 - 1


class Correlation(NamedTuple):
    """Sums over the samples of one phase, or of the difference of two.

    Attributes
    ----------
    weights : int64 (channels, ...)
        Behind the channels that were chosen the axes of the connection's weights, whose last one has the channels.
    bias : int64 (channels,)
        Sum of the postsynaptic terms of a channel.
    """

    weights: NDArray[np.int64]
    bias: NDArray[np.int64]

    def as_weights(self) -> NDArray[np.int64]:
        """The sums in the order of the connection's weights, a view."""
        return np.moveaxis(self.weights, 0, -1)


def correlate(
    connection: Connection,
    rows: Rows | TokenRows,
    at: int,
    first: NDArray[np.int32],
    second: NDArray[np.int32] = ALONE,
    channels: slice | None = None,
    out: Correlation | None = None,
) -> Correlation:
    """Correlate the rates of the target of a connection in one phase, or their difference in two, with its source's.

    Parameters
    ----------
    rows : Rows or TokenRows
        Of the source.
    at : int
        Where the target lies in the state of a sample.
    first, second : int32 (n, state size)
        Window sums.
    channels : slice, optional
        Channels of the target to look at, whole blocks of them; all by default.
    out : Correlation, optional
        Where the sums go; contiguous.
    """
    target = connection.target
    height, width, _ = target.shape
    chosen = slice(0, target.shape[2]) if channels is None else channels
    part = target.part_of_state(chosen)
    count, padded = chosen.stop - chosen.start, (part.stop - part.start) // (height * width)
    if isinstance(rows, TokenRows):
        if out is None:
            out = Correlation(np.empty((count, rows.learned), np.int64), np.empty(count, np.int64))
        out.weights.fill(0)
        out.bias.fill(0)
        _add_by_row(first, second, _Target(at + part.start, height, width, target.lanes, False), rows.places, out)
        return out
    place = _Target(at + part.start, height, width, target.lanes, rows.by_sample)
    largest = int(_largest_term(first, second, place.at, at + part.stop))
    bits = half_bits(largest)
    parts, term = (1, largest) if largest <= SHORT else (2, largest_half(largest, bits))
    line = -(-len(first) // 2) if rows.by_sample else len(first) * -(-width // 2)
    shape = parts, padded // ABREAST, height * line
    terms = _Terms(np.empty((*shape, ABREAST), np.int32), np.empty(shape[-1], np.int32), line, bits)
    bias = np.zeros(padded, np.int64)
    _pair_terms(first, second, place, rows.distances, terms, bias)
    if out is None:
        out = Correlation(np.empty((count, *connection.integers.shape[:-1]), np.int64), np.empty(count, np.int64))
    out.bias[...] = bias[:count]
    weights = out.weights.reshape(count, rows.parts, -1)
    whole = weights.shape[2] == rows.length and count == padded
    sums = weights if whole else np.empty((padded, rows.parts, rows.length), np.int64)
    _sum_products(rows, terms, INT32_MAX // max(2 * rows.largest * term, 1), sums)
    if not whole:
        weights[...] = sums[:count, :, : weights.shape[2]]
    return out


class _Target(NamedTuple):
    """Where the target lies in the state of a sample, and its size."""

    at: int
    height: int
    width: int
    lanes: int
    by_sample: bool  # pairs are of two samples, not of two positions


class _Terms(NamedTuple):
    """Postsynaptic terms by two, line by line of the target.

    Attributes
    ----------
    words : int32 (parts, groups of channels, pairs, ABREAST)
        The terms, or their halves.
    offsets : int32 (pairs,)
        Where what the first term of a pair is multiplied with begins.
    line : int
        Pairs of a line, over all samples.
    bits : int
        Of the first of two halves.
    """

    words: NDArray[np.int32]
    offsets: NDArray[np.int32]
    line: int
    bits: int


@kernel
def _add_by_row(first, second, target, places, out):
    """Add the terms of each position to its row of a lookup, and all of them to the biases."""
    alone, lanes = len(second) == 0, target.lanes
    weights, bias = out
    for sample in range(len(first)):
        for channel in range(len(bias)):
            block = target.at + channel // lanes * lanes * target.width + channel % lanes
            total = np.int64(0)
            for x in range(target.width):
                i = block + x * lanes
                term = np.int64(first[sample, i])
                if not alone:
                    term -= np.int64(second[sample, i])
                total += term
                if places[sample, x] >= 0:
                    weights[channel, places[sample, x]] += term
            bias[channel] += total


@kernel
def _largest_term(first, second, begin, end):
    """The largest size of a term."""
    largest = np.int32(0)
    for sample in range(len(first)):
        if len(second):
            one, other = first[sample, begin:end], second[sample, begin:end]
            for i in range(len(one)):
                largest = max(largest, np.int32(abs(one[i] - other[i])))
        else:
            one = first[sample, begin:end]
            for i in range(len(one)):
                largest = max(largest, np.int32(abs(one[i])))
    return largest


@kernel
def _pair_terms(first, second, target, distances, terms, bias):
    """Put the terms of neighbouring positions, or samples, into words, and add up those of each channel."""
    words, alone, lanes = terms.words, len(second) == 0, target.lanes
    samples, across = len(first), (target.width + 1) // 2
    for y in range(target.height):
        for unit in range(terms.line):
            pair = y * terms.line + unit
            if target.by_sample:
                sample, x = 2 * unit, 0
                next_sample, next_x = min(sample + 1, samples - 1), 0
                both = np.int32(sample + 1 < samples)
            else:
                sample, x = unit // across, 2 * (unit % across)
                next_sample, next_x = sample, min(x + 1, target.width - 1)
                both = np.int32(x + 1 < target.width)
            terms.offsets[pair] = np.int32(sample * distances.sample + y * distances.line + x * distances.place)
            one, other = first[sample], first[next_sample]
            for channel in range(0, len(bias), ABREAST):
                block = target.at + channel // lanes * lanes * target.height * target.width + channel % lanes
                i = block + (y * target.width + x) * lanes
                j = block + (y * target.width + next_x) * lanes
                group = channel // ABREAST
                for k in range(ABREAST):
                    a, b = one[i + k], other[j + k]
                    if not alone:
                        a, b = a - second[sample, i + k], b - second[next_sample, j + k]
                    b *= both
                    bias[channel + k] += np.int64(a) + np.int64(b)
                    if len(words) == 1:
                        words[0, group, pair, k] = word_of(a, b)
                    else:
                        low, high = words_of_halves(a, b, terms.bits)
                        words[0, group, pair, k], words[1, group, pair, k] = low, high


@kernel
def _sum_products(rows, terms, reach, sums):
    """Add up the products of the terms of each channel and what they see.

    reach: pairs of which int32 holds the sums.
    """
    pieces, words = rows.pieces, terms.words
    flat, length = sums.reshape(-1), sums.shape[1] * sums.shape[2]
    # a piece of the rows at a time, which stays in the cache for all channels
    for piece in range(len(pieces.origins)):
        origin = pieces.origins[piece]
        first, last = pieces.first_lines[piece] * terms.line, pieces.last_lines[piece] * terms.line
        for group in range(words.shape[1]):
            to = group * ABREAST * length + pieces.sums[piece]
            if first == last:
                for channel in range(ABREAST):
                    flat[to + channel * length : to + channel * length + LANES] = 0
            keep = 0
            for part in range(words.shape[0]):
                own = PairedTerms(words[part, group], terms.offsets)
                for begin in range(first, last, reach):
                    target = PairSums(flat, to, length, part * terms.bits, keep)
                    add_pairs(rows.rates, origin, own, begin, min(begin + reach, last), target)
                    keep = -1
