"""Synapse tables: what connects two populations, in both directions.

A table knows which shapes it joins, how its weights are packed for the compiled loop, and what a dense evaluation
would cost. The reverse direction of a tied table is its exact transpose, built from the same integers.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.jit.compilation import kernel
from spikesim.numerics.quantization import largest_sums

Shape = tuple[int, int, int]
Pool = Literal["average", "sampled", "winner"]
Integer = TypeVar("Integer", bound=np.integer[Any])


def pooled(shape: Shape) -> Shape:
    """Shape after 2x2 pooling; an odd last row or column is left out."""
    return shape[0] // 2, shape[1] // 2, shape[2]


def add_cells(maps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over the cells of 2x2 pooling, (H, W, C) to (H // 2, W // 2, C)."""
    height, width, channels = pooled(maps.shape)
    cells = maps[: 2 * height, : 2 * width].reshape(height, 2, width, 2, channels)
    sums: NDArray[np.int64] = cells.sum(axis=(1, 3))
    return sums


@kernel
def _add_places(
    maps: NDArray[np.int64], padding: tuple[int, int], stride: int, target: tuple[int, int], places: NDArray[np.int64]
) -> None:
    """Add what each place of a kernel sees of maps (H, W, Cin), over the positions of the target, (H', W')."""
    height, width, channels = maps.shape
    above, left = padding
    for ky in range(places.shape[0]):
        for kx in range(places.shape[1]):
            sums = places[ky, kx]
            for y in range(ky - above, ky - above + stride * target[0], stride):
                if y < 0 or y >= height:
                    continue
                for x in range(kx - left, kx - left + stride * target[1], stride):
                    if x < 0 or x >= width:
                        continue
                    seen = maps[y, x]
                    for channel in range(channels):
                        sums[channel] += seen[channel]


def neurons(shape: Shape) -> int:
    """Number of neurons of a population of this shape."""
    return shape[0] * shape[1] * shape[2]


def _check_pool(pool: str | None, shape: Shape) -> Shape:
    if pool not in (None, "average", "sampled", "winner"):
        raise InputError(f"pooling is {pool!r}; it is 'average', 'sampled' or 'winner', or None for none")
    if pool is None:
        return shape
    if min(shape[:2]) < 2:
        raise InputError(f"a map of {shape[0]}x{shape[1]} is too small to pool; use a larger image or fewer pools")
    return pooled(shape)


def in_blocks(values: NDArray[Integer], lanes: int) -> NDArray[Integer]:
    """(..., C) as (..., blocks, lanes), padded with zeros; a view where nothing is to be padded."""
    lead, channels = values.shape[:-1], values.shape[-1]
    if channels % lanes:  # np.pad takes longer than all the rest of a small network's tables
        padded = np.zeros((*lead, -(-channels // lanes) * lanes), values.dtype)
        padded[..., :channels] = values
        values = padded
    return values.reshape(*lead, -1, lanes)


def pair_of(sides: int | tuple[int, int]) -> tuple[int, int]:
    """Two numbers, (of the height, of the width), of one for both or of two."""
    return sides if isinstance(sides, tuple) else (sides, sides)


@dataclass(frozen=True)
class Conv:
    """Convolution with shared kernels, optionally behind 2x2 pooling or with a stride.

    Parameters
    ----------
    kernel : int or (int, int)
        Side of a square kernel, or height and width.
    padding : int or (int, int)
        Zeros around the map that is convolved, 0 .. kernel - 1; above and below, left and right.
    pool : {None, "average", "sampled", "winner"}
        Fused pooling of the source: every cell's spikes at a quarter of the weight; or, each step, the spikes of one
        of the four cells (the same mean field); or those of the cell with the highest potential, the first of several,
        for each channel. The reverse direction gives each cell a quarter, or all to the present winner.
    stride : {1, 2}
        Distance between the positions of the (pooled) source that neighbouring targets see.

    Weights have the shape (kernel height, kernel width, Cin, Cout).
    """

    kernel: int | tuple[int, int] = 3
    padding: int | tuple[int, int] = 1
    pool: Pool | None = None
    stride: int = 1

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return pair_of(self.kernel)

    @property
    def frame(self) -> tuple[int, int]:
        """Zeros above and below the map, and left and right of it."""
        return pair_of(self.padding)

    @property
    def reverse_frame(self) -> tuple[int, int]:
        """The same of the reverse direction."""
        (height, width), (above, left) = self.sides, self.frame
        return height - 1 - above, width - 1 - left

    @property
    def title(self) -> str:
        """The size of the kernel in messages, ``3x3``."""
        return "x".join(map(str, self.sides))

    def weight_shape(self, source: Shape, target: Shape) -> tuple[int, ...]:
        """Shape of the weights between these populations.

        Raises
        ------
        InputError
            The shapes do not fit.
        """
        for side, zeros in zip(self.sides, self.frame, strict=True):
            if side < 1:
                raise InputError(f"kernel is {self.kernel}; it must be positive")
            if not 0 <= zeros < side:
                raise InputError(f"padding is {self.padding}; for a kernel of {self.kernel} it is 0 .. {side - 1}")
        if self.stride not in (1, 2):
            raise InputError(f"stride is {self.stride}; it is 1 or 2")
        height, width, channels = _check_pool(self.pool, source)
        expected = self.output((height, width))
        if min(expected) < 1:
            raise InputError(f"a {self.title} kernel does not fit into a map of {height}x{width}")
        if expected != target[:2]:
            raise InputError(
                f"a {self.title} convolution of a {height}x{width} map with padding {self.padding} "
                f"and stride {self.stride} gives {expected[0]}x{expected[1]}, the target has {target[0]}x{target[1]}"
            )
        return *self.sides, channels, target[2]

    def output(self, source: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the target of a (pooled) source; below 1 where the kernel does not fit."""
        return int(self._along(0, source[0])), int(self._along(1, source[1]))

    def columns(self, source: NDArray[np.int64]) -> NDArray[np.int64]:
        """Columns of the target of a (pooled) source with so many; below 1 where the kernel does not fit."""
        return np.asarray(self._along(1, source))

    def _along(self, axis: int, side: Any) -> Any:
        return (side + 2 * self.frame[axis] - self.sides[axis]) // self.stride + 1

    def pack(self, weights: NDArray[np.int16], lanes: int) -> NDArray[np.int16]:
        """Weights in the order of the loop, ``[block][ky][kx][Cin][lanes]``; a view where nothing is to be padded."""
        return in_blocks(weights, lanes).transpose(3, 0, 1, 2, 4)

    def transpose(self, weights: NDArray[np.int16]) -> NDArray[np.int16]:
        """Weights of the reverse direction: flipped kernels, channels exchanged."""
        return weights[::-1, ::-1].transpose(0, 1, 3, 2)

    def pack_reverse(self, weights: NDArray[np.int16], lanes: int) -> NDArray[np.int16]:
        """The same of the reverse direction; with a stride of 2 even kx come first, then odd ones.

        A position of the source receives from targets at every second column only: they see the runs of events of
        neighbouring targets through every second column of the kernel.
        """
        columns = [kx for first in range(self.stride) for kx in range(first, self.sides[1], self.stride)]
        return self.pack(self.transpose(weights)[:, columns], lanes)

    def bounds(self, weights: NDArray[np.int16]) -> tuple[int, int]:
        """Largest sums of magnitudes into one target, forward and backward; bounds of them with a stride."""
        return largest_sums(weights.reshape(-1, *weights.shape[2:]))

    def dense_operations(self, source: Shape, target: Shape) -> int:
        """Synapses between the (pooled) source and the target, padding not counted: operations of a dense step."""
        rows, columns = self._reach(source, target)
        return int(rows.sum() * columns.sum()) * source[2] * target[2]

    def seen(self, maps: NDArray[np.int64], target: Shape) -> NDArray[np.int64]:
        """Sum over the target's positions of what each place of the kernel sees, zeros where it sees padding.

        Parameters
        ----------
        maps : int64 (H, W, Cin)
            The (pooled) source.

        Returns
        -------
        int64 (kernel height, kernel width, Cin)
        """
        places = np.zeros((*self.sides, maps.shape[2]), np.int64)
        _add_places(np.ascontiguousarray(maps, np.int64), self.frame, self.stride, target[:2], places)
        return places

    def _reach(self, source: Shape, target: Shape) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows, and columns, of the target at which each row, and column, of the kernel lies in the map."""
        counts = [
            [sum(0 <= y * self.stride + k - zeros < side for y in range(out)) for k in range(own)]
            for side, out, own, zeros in zip(
                _check_pool(self.pool, source)[:2], target[:2], self.sides, self.frame, strict=True
            )
        ]
        return np.array(counts[0], np.int64), np.array(counts[1], np.int64)

    def apply(self, weights: NDArray[Any], images: NDArray[Any]) -> NDArray[np.float64]:
        """Dense convolution of analogue images, in float64.

        Parameters
        ----------
        weights : shape (kernel height, kernel width, Cin, Cout)
        images : shape (n, H, W, Cin)
            Integers of weights and images give exact integers as long as the sums stay below 2**53.

        Returns
        -------
        float64, shape (n, H', W', Cout)
        """
        above, left = self.frame
        pad = [(0, 0), (above, above), (left, left), (0, 0)]
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(images.astype(np.float64), pad), self.sides, axis=(1, 2)
        )[:, :: self.stride, :: self.stride]  # (n, H', W', Cin, ky, kx)
        n, height, width = windows.shape[:3]
        columns = windows.reshape(n * height * width, -1)
        matrix = weights.transpose(2, 0, 1, 3).reshape(columns.shape[1], -1).astype(np.float64)
        return (columns @ matrix).reshape(n, height, width, -1)


@dataclass(frozen=True)
class Dense:
    """Every (pooled) source neuron to every target neuron.

    Weights have the shape (source neurons, target neurons), neurons in the order (y, x, channel).
    """

    pool: Pool | None = None

    def weight_shape(self, source: Shape, target: Shape) -> tuple[int, ...]:
        """Shape of the weights between these populations."""
        return neurons(_check_pool(self.pool, source)), neurons(target)

    def pack(self, weights: NDArray[np.int16], lanes: int, pixels: int) -> NDArray[np.int16]:
        """Weights in the order of the loop, ``[target pixel][block][source neuron][lanes]``, perhaps a view."""
        blocked = in_blocks(weights.reshape(weights.shape[0], pixels, -1), lanes)  # (source, pixel, block, lanes)
        return blocked.transpose(1, 2, 0, 3)

    def transpose(self, weights: NDArray[np.int16]) -> NDArray[np.int16]:
        """Weights of the reverse direction."""
        return weights.T

    def bounds(self, weights: NDArray[np.int16]) -> tuple[int, int]:
        """Largest sums of magnitudes into one target, forward and backward."""
        return largest_sums(weights[np.newaxis])

    def dense_operations(self, source: Shape, target: Shape) -> int:
        """Synapses between the (pooled) source and the target."""
        return neurons(_check_pool(self.pool, source)) * neurons(target)

    def apply(self, weights: NDArray[Any], images: NDArray[Any]) -> NDArray[np.float64]:
        """Dense product of images (n, H, W, C), float64 (n, target neurons); exact for integers below 2**53."""
        flat: NDArray[np.float64] = images.reshape(len(images), -1).astype(np.float64)
        return flat @ weights.astype(np.float64)


@dataclass(frozen=True)
class Sparse:
    """Any sparse connectivity, from a scipy.sparse matrix.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, shape (target neurons, source neurons)
        The weights; neurons in the order (y, x, channel). Explicit zeros are synapses.

    Its weights in and out are the values of the stored synapses, in the order of `indices`: by source neuron, then by
    target neuron.
    """

    matrix: Any
    pointers: NDArray[np.int64] = field(init=False, repr=False)
    indices: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        from scipy import sparse

        if not sparse.issparse(self.matrix):
            raise InputError(f"a sparse table needs a scipy.sparse matrix, not {type(self.matrix).__name__}")
        columns = sparse.csc_array(self.matrix, copy=True)  # by source neuron
        columns.sum_duplicates()
        object.__setattr__(self, "matrix", columns)
        object.__setattr__(self, "pointers", columns.indptr.astype(np.int64))
        object.__setattr__(self, "indices", columns.indices.astype(np.int64))

    @property
    def values(self) -> NDArray[np.float64]:
        """The weights of the matrix, in the order of the synapses."""
        return np.asarray(self.matrix.data, dtype=np.float64)

    def weight_shape(self, source: Shape, target: Shape) -> tuple[int, ...]:
        """Shape of the weights: one for each stored synapse.

        Raises
        ------
        InputError
            The matrix does not fit the populations.
        """
        expected = (neurons(target), neurons(source))
        if self.matrix.shape != expected:
            raise InputError(f"the sparse matrix has shape {self.matrix.shape}; targets x sources is {expected}")
        return self.indices.shape

    def reverse_order(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The same synapses by target neuron: row pointers, source neurons, and each one's position in the weights."""
        sources = np.repeat(np.arange(self.matrix.shape[1]), np.diff(self.pointers))
        order = np.lexsort((sources, self.indices))
        counts = np.bincount(self.indices, minlength=self.matrix.shape[0])
        return np.concatenate([[0], np.cumsum(counts)]), sources[order], order

    def bounds(self, weights: NDArray[np.int16]) -> tuple[int, int]:
        """Largest sums of magnitudes into one target, forward and backward."""
        size = np.abs(weights.astype(np.float64))  # exact: below 2**53
        sources = np.repeat(np.arange(self.matrix.shape[1]), np.diff(self.pointers))
        forward = np.bincount(self.indices, weights=size, minlength=1)
        backward = np.bincount(sources, weights=size, minlength=1)
        return int(forward.max(initial=0)), int(backward.max(initial=0))

    def dense_operations(self, source: Shape, target: Shape) -> int:
        """Number of synapses."""
        return len(self.indices)


@dataclass(frozen=True)
class Lookup:
    """A row of a table for each position, whose number the input gives: an embedding.

    It drives as a 1x1 convolution of one-hot maps would, and no such map exists: the drive of a position is the row of
    its number, and number 0 drives nothing. Rows stay in float32 and become drives when they are looked up, rounded to
    multiples of 2**-16.

    Parameters
    ----------
    rows : int
        Numbers are 0 .. rows - 1.

    Weights have the shape (rows, Cout).
    """

    rows: int

    def weight_shape(self, source: Shape, target: Shape) -> tuple[int, ...]:
        """Shape of the weights between these populations.

        Raises
        ------
        InputError
            The shapes do not fit.
        """
        if self.rows < 1:
            raise InputError(f"a table has {self.rows} rows; it needs 1 or more")
        if source[2] != 1 or source[:2] != target[:2]:
            raise InputError(
                f"a lookup of {source[0]}x{source[1]} positions with {source[2]} numbers each cannot drive "
                f"{target[0]}x{target[1]}; it needs as many positions and one number"
            )
        return self.rows, target[2]

    def look_up(self, weights: NDArray[np.float32], numbers: NDArray[np.int32]) -> NDArray[np.float64]:
        """Drives of positions, (..., 1) to float64 (..., Cout)."""
        found: NDArray[np.float64] = weights[numbers[..., 0]].astype(np.float64)
        found[numbers[..., 0] == 0] = 0.0
        return found

    def dense_operations(self, source: Shape, target: Shape) -> int:
        """None: nothing is added or multiplied."""
        return 0


Table = Conv | Dense | Sparse | Lookup
