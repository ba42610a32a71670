"""Sums of products of the rates on either side of a connection, in exact integers.

For every weight, ``sum over samples and positions of post[position, c] * pre[position + offset, c']``. Most
postsynaptic terms are zero (a neuron that is silent in both phases does not change), so the work follows those that are
not: each channel has a list of them, and each entry adds a row of presynaptic rates, as a spike adds a row of weights.
Rates are window sums in int32, the sums int64: the same in any order and division of the samples. What one list adds
up to fits the 53 bits of a float64, in which products are twice as fast; should it not, it is added in int64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Connection
from spikesim.engine.simd.accumulate import SCALED_LANES, sum_scaled_rows_16, sum_scaled_rows_32
from spikesim.engine.simd.llvm import difference_word, lowest_bit
from spikesim.engine.synapses import Conv
from spikesim.jit.aligned import aligned_zeros
from spikesim.jit.compilation import kernel

NARROW, WIDE = SCALED_LANES
ALONE = np.zeros((0, 0), np.int32)
"""In place of the window sums of a second phase."""
EXACT = 2.0**53
"""Integers up to here are exact in float64."""


class Distances(NamedTuple):
    """Between samples, and between what lines and neighbouring positions of the target see."""

    sample: int
    line: int
    place: int


class Pieces(NamedTuple):
    """Pieces of neighbouring numbers that a position sees; int64, one each."""

    origins: NDArray[np.int64]  # where they begin, from where the first line that the first position sees would begin
    first_lines: NDArray[np.int64]  # lines of the target to which they matter: to others they are zero
    last_lines: NDArray[np.int64]  # behind the last
    sums: NDArray[np.int64]  # where the sums of a piece begin in those of a channel


class Terms(NamedTuple):
    """Postsynaptic terms that are not zero, channel by channel of the target and line by line."""

    ends: NDArray[np.int64]  # (channels, lines + 1): of the terms of a line, those of line 0 begin at the first
    offsets: NDArray[np.int32]  # where what they are multiplied with begins
    values: NDArray[np.float64]


class Rows(NamedTuple):
    """Presynaptic rates, laid out such that what a position sees is some pieces of neighbouring numbers.

    Maps ``[block of channels][sample][y][x][channel]``, with zeros left and right: the rates that a piece takes from
    all samples lie together. Few channels are one block, and its pieces are taken from whole lines.

    Attributes
    ----------
    rates : int32, flat
        With zeros behind the maps, as many as a piece has.
    largest : int
        None of their sizes is larger.
    distances : Distances
        A dense table has a single position, which sees the whole map.
    pieces : Pieces
    width : int
        Numbers of a piece.
    parts, length : int
        The sums of a channel are so many parts of that length, of which the numbers beyond the weights are of no use.
    """

    rates: NDArray[np.int32]
    largest: int
    distances: Distances
    pieces: Pieces
    width: int
    parts: int
    length: int


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


class _Layout(NamedTuple):
    """How rates are laid out (`Rows`), and what a position of the target sees of them.

    The frame, as wide as the padding, is left and right of the maps alone: lines beyond them are left out.
    """

    kernel: tuple[int, int]
    stride: int
    padding: int
    shape: tuple[int, int, int]  # of the maps
    width: int  # channels of a block
    blocks: int


def _layout(connection: Connection, shape: tuple[int, int, int]) -> _Layout:
    """shape: of the maps."""
    height, width, channels = shape
    table = connection.table
    if isinstance(table, Conv):
        kernel, stride, padding = (table.kernel, table.kernel), table.stride, table.padding
    else:
        kernel, stride, padding = (height, width), 1, 0
    lanes = channels if channels < NARROW else _piece(channels)
    return _Layout(kernel, stride, padding, shape, lanes, -(-channels // lanes))


def _piece(numbers: int) -> int:
    """Numbers of a piece, such that few are of no use."""
    return WIDE if -(-numbers // NARROW) % 2 == 0 else NARROW


def _room(layout: _Layout, samples: int) -> NDArray[np.int32]:
    """Room for the maps and for zeros behind them: (blocks, n, H, W + 2 padding, width) and a piece more, flat."""
    height, width, _ = layout.shape
    maps = layout.blocks * samples * height * (width + 2 * layout.padding) * layout.width
    return aligned_zeros(maps + WIDE, np.int32)


def _rows(layout: _Layout, targets: int, samples: int, flat: NDArray[np.int32], largest: int) -> Rows:
    """Rows of maps that are there.

    targets: lines of the target.
    """
    height, width, channels = layout.shape
    across, line = layout.width, (width + 2 * layout.padding) * layout.width
    rows, columns = layout.kernel
    if channels >= NARROW:
        piece, count, step = layout.width, layout.blocks, samples * height * line
    else:  # lines of the kernel, in pieces
        piece = step = _piece(columns * channels)
        count, columns = -(-columns * channels // piece), 1
    pieces = Pieces(*np.empty((4, count * rows * columns), np.int64))
    _cut(_Kernel(count, rows, columns), _Kernel(step, line, across), piece, layout, targets, pieces)
    return Rows(
        rates=flat,
        largest=largest,
        distances=Distances(height * line, layout.stride * line, layout.stride * across),
        pieces=pieces,
        width=piece,
        parts=rows * columns,
        length=count * piece,
    )


class _Kernel(NamedTuple):
    """Numbers, or distances, of what a kernel consists of."""

    side: int  # pieces side by side
    lines: int
    columns: int


@kernel
def _cut(counts, distances, piece, layout, targets, pieces):
    """Where pieces begin, to which lines of the target they matter, and where their sums go.

    counts, distances: `_Kernel`. piece: numbers of a piece. layout: `_Layout`. targets: lines of the target.
    """
    padding, stride, height = layout.padding, layout.stride, layout.shape[0]
    k = 0
    for i in range(counts.side):
        for row in range(counts.lines):
            first = min(max(-((row - padding) // stride), 0), targets)
            last = max(min((height - 1 - row + padding) // stride + 1, targets), first)
            for column in range(counts.columns):
                below = (row - padding) * distances.lines
                pieces.origins[k] = i * distances.side + below + column * distances.columns
                pieces.first_lines[k], pieces.last_lines[k] = first, last
                pieces.sums[k] = ((row * counts.columns + column) * counts.side + i) * piece
                k += 1


def image_rows(connection: Connection, images: NDArray[np.int16]) -> Rows:
    """Rows of images, (n, H, W, C)."""
    samples = len(images)
    if not isinstance(connection.table, Conv):
        images = images.reshape(samples, 1, 1, -1)
    layout = _layout(connection, images.shape[1:])
    height, width, channels = layout.shape
    flat = _room(layout, samples)
    maps = flat[:-WIDE].reshape(layout.blocks, samples, height, width + 2 * layout.padding, layout.width)
    for block in range(layout.blocks):
        begin = block * layout.width
        end = min(begin + layout.width, channels)
        maps[block, :, :, layout.padding : layout.padding + width, : end - begin] = images[..., begin:end]
    return _rows(layout, connection.target.shape[0], samples, flat, 2**15)


class RateMaps(NamedTuple):
    """Where the rates of a layer lie in the window sums of a sample, and how they are seen."""

    shape: tuple[int, int, int]
    lanes: int
    at: int
    pooled: bool  # added up over 2x2 cells


def rate_rows(
    connection: Connection, maps: RateMaps, first: NDArray[np.int32], second: NDArray[np.int32] = ALONE
) -> Rows:
    """Rows of the rates of a layer, added up over one or two phases and, where it is pooled, over 2x2 cells.

    Parameters
    ----------
    maps : RateMaps
    first, second : int32 (n, state size)
        Window sums.
    """
    height, width, channels = maps.shape
    layout = _layout(connection, (height // 2, width // 2, channels) if maps.pooled else maps.shape)
    flat = _room(layout, len(first))
    for sums in (first, second):
        if len(sums):
            _add_maps(sums, maps.at, maps.shape, maps.lanes, maps.pooled, layout.width, layout.padding, flat)
    return _rows(layout, connection.target.shape[0], len(first), flat, int(flat.max()))


@kernel
def _add_maps(sums, at, shape, lanes, pooled, width, frame, flat):
    """Add window sums ``[channel block][y][x][lane]`` to maps ``[block][sample][y][x][width]``, which may be pooled.

    Numbers of `step` channels lie together in both.
    """
    height, columns, channels = shape
    side = 2 if pooled else 1
    across, down = lanes, columns * lanes  # from a cell to its neighbours
    line = (columns // side + 2 * frame) * width
    step = min(lanes, width)
    for sample in range(sums.shape[0]):
        own = sums[sample]
        for first in range(0, channels, step):
            count = min(step, channels - first)
            source = at + first // lanes * lanes * height * columns + first % lanes
            target = (first // width * sums.shape[0] + sample) * (height // side) * line + frame * width + first % width
            for y in range(height // side):
                for x in range(columns // side):
                    i = source + side * (y * down + x * across)
                    j = target + y * line + x * width
                    if pooled:
                        for k in range(i, i + count):
                            cells = own[k] + own[k + across] + own[k + down] + own[k + down + across]
                            flat[j + k - i] += np.int32(cells)
                    else:
                        for k in range(i, i + count):
                            flat[j + k - i] += own[k]


def correlate(
    connection: Connection,
    rows: Rows,
    at: int,
    first: NDArray[np.int32],
    second: NDArray[np.int32] = ALONE,
    channels: slice | None = None,
    out: Correlation | None = None,
) -> Correlation:
    """Correlate the rates of the target of a connection in one phase, or their difference in two, with its source's.

    Parameters
    ----------
    rows : Rows
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
    lists = (part.stop - part.start) // (height * width)
    # each channel has room for all its terms
    length = len(first) * height * width
    ends = np.empty((lists, height + 1), np.int64)
    ends[:, 0] = np.arange(lists) * length
    terms = Terms(ends, np.empty(lists * length, np.int32), np.empty(lists * length))
    place, scratch = _Target(at + part.start, height, width, target.lanes), _Lanes(*np.zeros((2, 16), np.int32))
    largest = _list_terms(first, second, scratch, place, rows.distances, terms)
    count = chosen.stop - chosen.start
    if out is None:
        shape = count, *connection.integers.shape[:-1]
        out = Correlation(np.empty(shape, np.int64), np.empty(count, np.int64))
    weights = out.weights.reshape(count, rows.parts, -1)
    whole = weights.shape[2] == rows.length
    sums = weights if whole else np.empty((count, rows.parts, rows.length), np.int64)
    _sum_products(rows, largest * rows.largest, terms, sums, out.bias)
    if not whole:
        weights[...] = sums[:, :, : weights.shape[2]]
    return out


class _Target(NamedTuple):
    """Where the target lies in the state of a sample, and its size."""

    at: int
    height: int
    width: int
    lanes: int


class _Lanes(NamedTuple):
    """Working memory of `_list_terms`, int32 (16,)."""

    none: NDArray[np.int32]  # zeros
    difference: NDArray[np.int32]


@kernel
def _list_terms(first, second, scratch, target, distances, terms):
    """List the terms of each channel, and where what they are multiplied with begins, line by line of the target.

    Returns the largest |value|.
    """
    ends, height, width, lanes = terms.ends, target.height, target.width, target.lanes
    largest = 0.0
    alone = len(second) == 0
    for y in range(height):
        for channel in range(len(ends)):
            ends[channel, y + 1] = ends[channel, y]
        for sample in range(len(first)):
            one = first[sample]
            other = scratch.none if alone else second[sample]
            for channel in range(0, len(ends), 16):
                block = target.at + channel // lanes * lanes * height * width + channel % lanes
                for x in range(width):
                    i = block + (y * width + x) * lanes
                    word = difference_word(one, i, other, 0 if alone else i, scratch.difference)
                    offset = np.int32(sample * distances.sample + y * distances.line + x * distances.place)
                    while word:
                        lane = lowest_bit(word)
                        word &= word - np.uint64(1)
                        value = np.float64(scratch.difference[lane])
                        end = ends[channel + lane, y + 1]
                        terms.offsets[end], terms.values[end] = offset, value
                        ends[channel + lane, y + 1] = end + 1
                        largest = max(largest, abs(value))
    return largest


@kernel
def _sum_products(rows, largest, terms, sums, bias):
    """Add up the rows of rates behind the terms of a channel, each times its term: the sums of the channel.

    largest: no product is larger.
    """
    rates, width, pieces = rows.rates, rows.width, rows.pieces
    ends, offsets, values = terms.ends, terms.offsets, terms.values
    channels, last = sums.shape[0], ends.shape[1] - 1
    length = sums.shape[1] * sums.shape[2]
    flat = sums.reshape(-1)
    for channel in range(channels):
        total = np.int64(0)
        for i in range(ends[channel, 0], ends[channel, last]):
            total += np.int64(values[i])
        bias[channel] = total
    # a piece of the rows at a time, which stays in the cache for all channels
    for piece in range(len(pieces.origins)):
        origin, top, bottom = pieces.origins[piece], pieces.first_lines[piece], pieces.last_lines[piece]
        for channel in range(channels):
            begin, end = ends[channel, top], ends[channel, bottom]
            to = channel * length + pieces.sums[piece]
            if (end - begin) * largest > EXACT:
                flat[to : to + width] = 0
                for i in range(begin, end):
                    row = origin + np.int64(offsets[i])
                    for k in range(width):
                        flat[to + k] += np.int64(values[i]) * np.int64(rates[row + k])
            elif width == WIDE:
                sum_scaled_rows_32(rates, origin, offsets, values, begin, end, flat, to)
            else:
                sum_scaled_rows_16(rates, origin, offsets, values, begin, end, flat, to)
