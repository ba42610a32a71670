"""Presynaptic rates, laid out for the products of the contrast.

Each is divided into two halves of 16 bits, and lies beside what the next position of a pair sees in its place
(`spikesim.engine.simd.pair_products`).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Connection
from spikesim.engine.simd.pair_products import LANES, PairedNumbers, half_bits, largest_half, words_of_halves
from spikesim.engine.synapses import Conv
from spikesim.jit.aligned import aligned_empty, aligned_zeros
from spikesim.jit.compilation import kernel

ALONE = np.zeros((0, 0), np.int32)
"""In place of the window sums of a second phase."""


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


class Rows(NamedTuple):
    """Presynaptic rates, laid out such that what a position sees is some pieces of neighbouring numbers.

    Maps ``[block of channels][sample][y][x][channel]``, with zeros left and right: the rates that a piece takes from
    all samples lie together. Few channels are one block, and its pieces are taken from whole lines.

    Attributes
    ----------
    rates : PairedNumbers
        Each beside what the next position of a pair sees in its place; with zeros behind the maps.
    largest : int
        None of the sizes of the halves is larger.
    by_sample : bool
        Whether a pair is two samples, not two positions: a dense table has a single one, which sees the whole map.
    distances : Distances
    pieces : Pieces
    parts, length : int
        The sums of a channel are so many parts of that length, of which the numbers beyond the weights are of no use.
    """

    rates: PairedNumbers
    largest: int
    by_sample: bool
    distances: Distances
    pieces: Pieces
    parts: int
    length: int


class _Layout(NamedTuple):
    """How rates are laid out (`Rows`), and what a position of the target sees of them.

    The frame, as wide as the padding, is left and right of the maps alone: lines beyond them are left out.
    """

    by_sample: bool  # as in `Rows`
    kernel: tuple[int, int]
    stride: int
    padding: tuple[int, int]  # above and below, left and right
    shape: tuple[int, int, int]  # of the maps
    width: int  # channels of a block
    blocks: int


def _layout(connection: Connection, shape: tuple[int, int, int]) -> _Layout:
    """shape: of the maps."""
    height, width, channels = shape
    table = connection.table
    if isinstance(table, Conv):
        kernel, stride, padding = table.sides, table.stride, table.frame
    else:
        kernel, stride, padding = (height, width), 1, (0, 0)
    lanes = min(channels, LANES)
    return _Layout(not isinstance(table, Conv), kernel, stride, padding, shape, lanes, -(-channels // lanes))


def _room(layout: _Layout, samples: int) -> NDArray[np.int32]:
    """Room for the maps, (blocks, n, H, W + 2 padding, width), flat."""
    height, width, _ = layout.shape
    return aligned_zeros(layout.blocks * samples * height * (width + 2 * layout.padding[1]) * layout.width, np.int32)


def _rows(connection: Connection, layout: _Layout, samples: int, flat: NDArray[np.int32]) -> Rows:
    """Rows of maps that are there."""
    height, width, channels = layout.shape
    across, line = layout.width, (width + 2 * layout.padding[1]) * layout.width
    distances = Distances(height * line, layout.stride * line, layout.stride * across)
    rows, columns = layout.kernel
    if channels >= LANES:
        count, step = layout.blocks, samples * height * line
    else:  # lines of the kernel, in pieces
        count, step, columns = -(-columns * channels // LANES), LANES, 1
    pieces = Pieces(*np.empty((4, count * rows * columns), np.int64))
    targets = connection.target.shape[0]
    _cut(_Kernel(count, rows, columns), _Kernel(step, line, across), layout, targets, pieces)
    rates, largest = _paired(flat, distances.sample if layout.by_sample else distances.place)
    return Rows(rates, largest, layout.by_sample, distances, pieces, rows * columns, count * LANES)


def _paired(flat: NDArray[np.int32], partner: int) -> tuple[PairedNumbers, int]:
    """Numbers in halves, each beside its partner so far behind it, and the largest size of a half."""
    size = int(_largest(flat))
    bits = half_bits(size)
    low, high = aligned_empty((2, len(flat) + LANES), np.int32)
    _pair_up(flat, partner, bits, low, high)
    return PairedNumbers(low, high, bits), largest_half(size, bits)


@kernel
def _pair_up(flat, partner, bits, low, high):
    """Divide numbers into halves of so many bits, with their signs, and put each into a word with its partner.

    Zeros follow behind the numbers.
    """
    for k in range(len(flat) - partner):
        low[k], high[k] = words_of_halves(flat[k], flat[k + partner], bits)
    for k in range(max(len(flat) - partner, 0), len(flat)):
        low[k], high[k] = words_of_halves(flat[k], np.int32(0), bits)
    for k in range(len(flat), len(low)):
        low[k], high[k] = np.int32(0), np.int32(0)


@kernel
def _largest(numbers):
    """The largest magnitude."""
    largest = np.int32(0)
    for k in range(len(numbers)):
        largest = max(largest, np.int32(abs(numbers[k])))
    return largest


class _Kernel(NamedTuple):
    """Numbers, or distances, of what a kernel consists of."""

    side: int  # pieces side by side
    lines: int
    columns: int


@kernel
def _cut(counts, distances, layout, targets, pieces):
    """Where pieces begin, to which lines of the target they matter, and where their sums go.

    counts, distances: `_Kernel`. layout: `_Layout`. targets: lines of the target.
    """
    padding, stride, height = layout.padding[0], layout.stride, layout.shape[0]
    k = 0
    for i in range(counts.side):
        for row in range(counts.lines):
            first = min(max(-((row - padding) // stride), 0), targets)
            last = max(min((height - 1 - row + padding) // stride + 1, targets), first)
            for column in range(counts.columns):
                below = (row - padding) * distances.lines
                pieces.origins[k] = i * distances.side + below + column * distances.columns
                pieces.first_lines[k], pieces.last_lines[k] = first, last
                pieces.sums[k] = ((row * counts.columns + column) * counts.side + i) * LANES
                k += 1


def image_rows(connection: Connection, images: NDArray[np.int16]) -> Rows:
    """Rows of images, (n, H, W, C)."""
    samples = len(images)
    if not isinstance(connection.table, Conv):
        images = images.reshape(samples, 1, 1, -1)
    layout = _layout(connection, images.shape[1:])
    height, width, channels = layout.shape
    flat = _room(layout, samples)
    frame = layout.padding[1]
    maps = flat.reshape(layout.blocks, samples, height, width + 2 * frame, layout.width)
    for block in range(layout.blocks):
        begin = block * layout.width
        end = min(begin + layout.width, channels)
        maps[block, :, :, frame : frame + width, : end - begin] = images[..., begin:end]
    return _rows(connection, layout, samples, flat)


class TokenRows(NamedTuple):
    """What a lookup sees: which row each position looks up.

    Attributes
    ----------
    places : int64 (n, W)
        Place of the row among those that learn; -1: none.
    learned : int
        Rows that learn.
    """

    places: NDArray[np.int64]
    learned: int


def token_rows(maps: NDArray[np.int32], rows: NDArray[np.int64]) -> TokenRows:
    """Those of texts; maps: numbers of tokens (n, 1, W, 1), rows: that learn, ascending."""
    numbers = maps[:, 0, :, 0]
    return TokenRows(np.where(numbers == 0, -1, np.searchsorted(rows, numbers)), len(rows))


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
            _add_maps(sums, maps.at, maps.shape, maps.lanes, maps.pooled, layout.width, layout.padding[1], flat)
    return _rows(connection, layout, len(first), flat)


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
