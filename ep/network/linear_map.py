"""The table between two layers as a linear map in float64, with its adjoint."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Connection
from spikesim.engine.synapses import Conv, Dense, Lookup, Shape, pooled
from spikesim.numerics.fixed_point import ONE

Reals = NDArray[np.float64]


def columns(maps: Reals, kernel: tuple[int, int], padding: tuple[int, int], stride: int = 1) -> Reals:
    """What each position of a convolution sees: (n, H, W, C) to (n, H', W', kernel height * width * C)."""
    above, left = padding
    pad = [(0, 0), (above, above), (left, left), (0, 0)]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(maps, pad), kernel, axis=(1, 2))
    windows = windows[:, ::stride, ::stride]
    n, height, width = windows.shape[:3]  # windows: (n, H', W', C, ky, kx)
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(n, height, width, -1)


def _cells(maps: Reals) -> Reals:
    """The four cells of each pooled position, in their order: (n, H, W, C) to (n, H // 2, W // 2, C, 4)."""
    n, height, width, channels = maps.shape
    even = maps[:, : height // 2 * 2, : width // 2 * 2]
    cells = even.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    return cells.reshape(n, height // 2, width // 2, channels, 4)


@dataclass(frozen=True, eq=False)
class Link:
    """The table from one layer to the next as a linear map, with its adjoint; a lookup has no way down.

    Attributes
    ----------
    source, target : Shape
        Of the layers, before the pool.
    weights : float64, of the table's weight shape
    winners : float64 (n, *source), optional
        Behind pools of winners, 1 for the neuron of each cell and channel that is passed on, 0 for the others; by
        default those with the highest rates, with which the map is not linear and has no adjoint.
    """

    table: Conv | Dense | Lookup
    source: Shape
    target: Shape
    weights: Reals
    winners: Reals | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, connection: Connection) -> "Link":
        """The connection of two layers with the quantized weights that it has."""
        table = connection.table
        assert isinstance(table, Conv | Dense | Lookup)
        if isinstance(table, Lookup):
            assert connection.rows is not None
            rows = np.rint(connection.rows.astype(np.float64) * ONE) / ONE
            return cls(table, connection.source.shape, connection.target.shape, rows)
        weights = connection.integers.astype(np.float64) * 2.0**-connection.exponent
        return cls(table, connection.source.shape, connection.target.shape, weights)

    def selecting(self, below: Reals) -> "Link":
        """The map whose winners are those of these rates, (n, *source); the same where there are none."""
        if getattr(self.table, "pool", None) != "winner":
            return self
        four = _cells(below)  # (n, h, w, C, 4)
        first = np.eye(4)[four.argmax(axis=-1)]
        winners, (n, h, w, channels) = np.zeros(below.shape), four.shape[:4]
        winners[:, : 2 * h, : 2 * w] = (
            first.reshape(n, h, w, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, channels)
        )
        return replace(self, winners=winners)

    def pool(self, below: Reals) -> Reals:
        """What the table sees of the layer below, (n, H, W, C) to (n, h, w, C): means over 2x2 cells behind a pool, or
        their winners."""
        assert not isinstance(self.table, Lookup)
        if self.table.pool is None:
            return below
        if self.table.pool != "winner":
            return np.asarray(_cells(below).mean(axis=-1))
        if self.winners is None:
            return np.asarray(_cells(below).max(axis=-1))
        return np.asarray(_cells(below * self.winners).sum(axis=-1))

    def up(self, below: Reals) -> Reals:
        """W * Pool(below), (n, *source) to (n, *target)."""
        if isinstance(self.table, Lookup):
            numbers = below[..., 0].astype(np.int64)
            return np.asarray(self.weights[numbers] * (numbers != 0)[..., np.newaxis])
        seen, outputs = self.pool(below), self.target[2]
        if isinstance(self.table, Conv):
            table = self.table
            return columns(seen, table.sides, table.frame, table.stride) @ self.weights.reshape(-1, outputs)
        return (seen.reshape(len(seen), -1) @ self.weights).reshape(-1, *self.target)

    def down(self, above: Reals) -> Reals:
        """The adjoint of `up`, Pool^T(W^T * above), (n, *target) to (n, *source)."""
        assert not isinstance(self.table, Lookup)
        n, (height, width, channels) = len(above), self.source
        if isinstance(self.table, Conv):
            table = self.table
            flipped = self.weights[::-1, ::-1].transpose(0, 1, 3, 2).reshape(-1, channels)  # (ky * kx * Cout, Cin)
            sent = columns(self._spread(above), table.sides, table.reverse_frame) @ flipped
        else:
            sent = above.reshape(n, -1) @ self.weights.T
        if self.table.pool is None:
            return sent.reshape(n, *self.source)
        rows, row = height // 2, width // 2
        share = 1.0 if self.table.pool == "winner" else 0.25
        quarter = sent.reshape(n, rows, 1, row, 1, channels) * share
        spread = np.zeros((n, *self.source))  # an odd last row or column hears nothing
        spread[:, : 2 * rows, : 2 * row] = np.broadcast_to(quarter, (n, rows, 2, row, 2, channels)).reshape(
            n, 2 * rows, 2 * row, channels
        )
        if self.table.pool == "winner":
            assert self.winners is not None
            spread *= self.winners
        return spread

    def _spread(self, above: Reals) -> Reals:
        """Maps as if a convolution with a stride had been one without: zeros where it leaves positions out."""
        assert isinstance(self.table, Conv)
        if self.table.stride == 1:
            return above
        seen = pooled(self.source) if self.table.pool else self.source
        height, width = replace(self.table, stride=1).output(seen[:2])
        spread = np.zeros((len(above), height, width, self.target[2]))
        spread[:, :: self.table.stride, :: self.table.stride] = above
        return spread

    def correlate(self, below: Reals, above: Reals) -> Reals:
        """Derivative of <W * Pool(below), above>, summed over samples, in the weights; of the weights' shape."""
        if isinstance(self.table, Lookup):
            found, numbers = np.zeros(self.weights.shape), below[..., 0].astype(np.int64)
            np.add.at(found, numbers[numbers != 0], above[numbers != 0])
            return found
        seen, outputs = self.pool(below), self.target[2]
        if isinstance(self.table, Conv):
            terms = columns(seen, self.table.sides, self.table.frame, self.table.stride)
            product = terms.reshape(-1, terms.shape[-1]).T @ above.reshape(-1, outputs)
        else:
            product = seen.reshape(len(seen), -1).T @ above.reshape(len(above), -1)
        return product.reshape(self.weights.shape)
