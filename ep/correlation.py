"""Sums of products of the rates on either side of a connection, in exact integers.

For every weight, ``sum over samples and positions of post[position, c] * pre[position + offset, c']``. Most
postsynaptic terms are zero (a neuron that is silent in both phases does not change), so the work follows those that are
not: each channel has a list of them, and each entry adds a row of presynaptic rates, as a spike adds a row of weights.
Rates are window sums in int32, products and sums int64: the same in any order and division of the samples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.compilation import kernel
from spikesim.populations import Connection, Population
from spikesim.rows import SCALED_LANES, add_scaled_rows_16, add_scaled_rows_32
from spikesim.tables import Conv

NARROW, WIDE = SCALED_LANES
ALONE = np.zeros((0, 0), np.int32)
"""In place of the window sums of a second phase."""


class Rows(NamedTuple):
    """Presynaptic rates, laid out such that what a position sees is a few runs of numbers.

    Attributes
    ----------
    rates : int32, flat
        Maps ``[sample][y][x][channel]`` in a frame of zeros, and zeros behind them, as many as a run is rounded up by.
    sample, line, place : int
        Distance between samples, and between what lines and neighbouring positions of the target see; of a dense table,
        whose single position sees the whole map, only that between samples.
    runs, length, apart : int
        Runs that a position sees (lines of the convolution's kernel), the length of each and the distance between them.
    """

    rates: NDArray[np.int32]
    sample: int
    line: int
    place: int
    runs: int
    length: int
    apart: int


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


def _rows(connection: Connection, samples: int, shape: tuple[int, int, int]) -> tuple[Rows, NDArray[np.int32]]:
    """Rows of zeros, and a view of them without their frame, (n, H, W, C)."""
    height, width, channels = shape
    conv = connection.table if isinstance(connection.table, Conv) else None
    frame = conv.padding if conv else 0
    line = (width + 2 * frame) * channels
    sample = (height + 2 * frame) * line
    flat = np.zeros(samples * sample + NARROW, np.int32)
    framed = flat[: samples * sample].reshape(samples, height + 2 * frame, width + 2 * frame, channels)
    maps = framed[:, frame : frame + height, frame : frame + width]
    if conv:
        step = conv.stride
        return Rows(flat, sample, step * line, step * channels, conv.kernel, conv.kernel * channels, line), maps
    return Rows(flat, sample, 0, 0, 1, sample, 0), maps


def image_rows(connection: Connection, images: NDArray[np.int16]) -> Rows:
    """Rows of images, (n, H, W, C)."""
    rows, maps = _rows(connection, len(images), images.shape[1:])
    maps[:] = images
    return rows


def rate_rows(
    connection: Connection,
    source: Population,
    pooled: bool,
    at: int,
    first: NDArray[np.int32],
    second: NDArray[np.int32] = ALONE,
) -> Rows:
    """Rows of the rates of a layer, added up over one or two phases and, where it is pooled, over 2x2 cells.

    Parameters
    ----------
    at : int
        Where the layer lies in the state of a sample.
    first, second : int32 (n, state size)
        Window sums.
    """
    height, width, channels = source.shape
    shape = (height // 2, width // 2, channels) if pooled else source.shape
    rows, maps = _rows(connection, len(first), shape)
    for sums in (first, second):
        if len(sums):
            _add_maps(sums, at, height, width, source.lanes, pooled, maps)
    return rows


@kernel
def _add_maps(sums, at, height, width, lanes, pooled, maps):
    """Add window sums ``[channel block][y][x][lane]`` to maps (n, H, W, C) or, pooled, (n, H / 2, W / 2, C)."""
    channels = maps.shape[3]
    side = 2 if pooled else 1
    for sample in range(maps.shape[0]):
        own = sums[sample]
        for y in range(maps.shape[1] * side):
            for x in range(maps.shape[2] * side):
                cell = maps[sample, y // side, x // side]
                for first in range(0, channels, lanes):
                    begin = at + first * height * width + (y * width + x) * lanes
                    for lane in range(min(lanes, channels - first)):
                        cell[first + lane] += own[begin + lane]


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
    chosen = slice(0, target.shape[2]) if channels is None else channels
    part = target.part_of_state(chosen)
    places = (
        np.arange(target.shape[0])[:, None] * rows.line + np.arange(target.shape[1]) * rows.place
    ).ravel()  # (H W,)
    lists = (part.stop - part.start) // len(places)
    # each channel has room for all its terms and one more, which the branchless listing may write to
    length = len(first) * len(places) + 1
    start = np.arange(lists) * length
    offsets, values, ends = np.empty(lists * length, np.int32), np.empty(lists * length, np.int32), start.copy()
    _list_terms(first, second, at + part.start, places, rows.sample, target.lanes, ends, offsets, values)
    count, padded = chosen.stop - chosen.start, -(-rows.length // NARROW) * NARROW
    if out is None:
        shape = count, *connection.integers.shape[:-1]
        out = Correlation(np.empty(shape, np.int64), np.empty(count, np.int64))
    room = out.weights if padded == rows.length else np.empty((count, rows.runs, padded), np.int64)
    sums = room.reshape(count, rows.runs, padded)
    sums.fill(0)
    out.bias.fill(0)
    _add_products(rows.rates, rows.apart, start, ends, offsets, values, sums, out.bias)
    if padded != rows.length:
        out.weights[...] = sums[:, :, : rows.length].reshape(out.weights.shape)
    return out


@kernel
def _list_terms(first, second, at, places, step, lanes, ends, offsets, values):
    """List the terms of each channel and where what they are multiplied with begins; `ends` moves behind the last."""
    alone = len(second) == 0
    for sample in range(len(first)):
        for block in range(len(ends) // lanes):
            for position in range(len(places)):
                begin = at + (block * len(places) + position) * lanes
                offset = np.int32(sample * step + places[position])
                for lane in range(lanes):
                    other = np.int32(0) if alone else second[sample, begin + lane]
                    value = np.int32(first[sample, begin + lane] - other)
                    end = ends[block * lanes + lane]
                    offsets[end], values[end] = offset, value
                    ends[block * lanes + lane] = end + (value != 0)


@kernel
def _add_products(rates, apart, start, ends, offsets, values, sums, bias):
    """Add the row of rates behind every term, times the term, to the sums of its channel."""
    channels, runs, length = sums.shape
    flat = sums.reshape(-1)
    for channel in range(channels):
        for i in range(start[channel], ends[channel]):
            bias[channel] += values[i]
    # a piece of the rows at a time, which stays in the cache for all channels
    for run in range(runs):
        piece = 0
        while piece < length:
            wide = length - piece >= WIDE
            origin = run * apart + piece
            for channel in range(channels):
                to = (channel * runs + run) * length + piece
                begin, end = start[channel], ends[channel]
                if wide:
                    add_scaled_rows_32(rates, origin, offsets, values, begin, end, flat, to)
                else:
                    add_scaled_rows_16(rates, origin, offsets, values, begin, end, flat, to)
            piece += WIDE if wide else NARROW
