"""Where synapses come from: a scipy.sparse matrix, or a random pattern that is drawn and never stored whole.

A pattern gives the synapses of some source neurons after the other (`Rows`). It is asked more than once, to count and
to fill, and answers the same each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.compilation import kernel
from spikesim.errors import InputError
from spikesim.philox import philox4x32, seed_key

DELAY_MAX = 4096
CHUNK = 1 << 18
"""Synapses that are held at a time while tables are built."""


class Rows(NamedTuple):
    """Synapses of some consecutive source neurons."""

    pointers: NDArray[np.int64]  # (sources + 1,)
    targets: NDArray[np.int64]
    weights: NDArray[np.float64] | None  # None: all are `Synapses.weight`
    delays: NDArray[np.int64] | None  # None: all are the one of `Synapses.delays`


class Synapses(Protocol):
    """What a projection needs to know of its synapses."""

    @property
    def weight(self) -> float | None:
        """The weight of all of them, None if they differ."""
        ...

    @property
    def largest(self) -> float:
        """No weight is larger in magnitude."""
        ...

    @property
    def delays(self) -> NDArray[np.int64]:
        """All delays that may occur, ascending."""
        ...

    def check(self, sources: int, targets: int) -> None:
        """Refuse populations of other sizes."""
        ...

    def count(self, sources: int) -> int:
        """Number of synapses of so many source neurons."""
        ...

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """All rows, some at a time."""
        ...


def _check_delays(delays: NDArray[np.int64]) -> NDArray[np.int64]:
    found = np.unique(delays)
    if len(found) and not (1 <= found[0] and found[-1] <= DELAY_MAX):
        raise InputError(f"delays reach from {found[0]} to {found[-1]} steps; they must be in 1 .. {DELAY_MAX}")
    return found


class MatrixSynapses:
    """The stored entries of a sparse matrix.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, shape (targets, sources)
        Weights; explicit zeros are synapses.
    delay : int, or scipy.sparse matrix of the same entries
        Steps from a spike to its arrival, at least 1.

    Raises
    ------
    InputError
        Not a sparse matrix, a weight that is not finite, a delay out of range, or delays of other entries.
    """

    def __init__(self, matrix: Any, delay: Any = 1) -> None:
        from scipy import sparse

        if not sparse.issparse(matrix):
            raise InputError(f"synapses are a scipy.sparse matrix or a random pattern, not {type(matrix).__name__}")
        self._matrix = sparse.csc_array(matrix, copy=True)
        self._matrix.sum_duplicates()
        weights = np.asarray(self._matrix.data, np.float64)
        if not np.isfinite(weights).all():
            raise InputError("the matrix of weights holds a value that is not finite")
        self.largest = float(np.abs(weights).max(initial=0.0))
        self.weight = float(weights[0]) if len(weights) and np.all(weights == weights[0]) else None
        self._delays: NDArray[np.int64] | None = None
        if sparse.issparse(delay):
            given = sparse.csc_array(delay, copy=True)
            given.sum_duplicates()
            same = given.shape == self._matrix.shape and np.array_equal(given.indptr, self._matrix.indptr)
            if not (same and np.array_equal(given.indices, self._matrix.indices)):
                raise InputError("the matrix of delays must store the same entries as that of the weights")
            self._delays = _whole(given.data)
            self.delays = _check_delays(self._delays)
        else:
            self.delays = _check_delays(_whole([delay]))

    def check(self, sources: int, targets: int) -> None:
        """Refuse populations of other sizes."""
        if self._matrix.shape != (targets, sources):
            raise InputError(
                f"the matrix of weights has shape {self._matrix.shape}; (targets, sources) is {(targets, sources)}"
            )

    def count(self, sources: int) -> int:
        """Number of stored entries."""
        return len(self._matrix.data)

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """All rows at once: they are in memory anyway."""
        weights = None if self.weight is not None else np.asarray(self._matrix.data, np.float64)
        indices = self._matrix.indices.astype(np.int64)
        yield Rows(self._matrix.indptr.astype(np.int64), indices, weights, self._delays)


@dataclass(frozen=True)
class RandomSynapses:
    """Every source neuron has `number` synapses, each onto a target drawn at random, the same one again included.

    Attributes
    ----------
    number : int
        Synapses a source neuron.
    weight : float
    delay : int or (int, int)
        Steps; of a pair, each delay is uniform between the two, both included.
    seed : int
        0 .. 2**64 - 1.
    """

    number: int
    weight: float
    delay: int | tuple[int, int] = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.number != int(self.number) or not 0 <= self.number < 2**31:
            raise InputError(f"number is {self.number}; it must be an integer in 0 .. 2**31 - 1")
        if not np.isfinite(self.weight):
            raise InputError(f"weight is {self.weight}; it must be finite")
        low, high = self._range()
        if low > high:
            raise InputError(f"delay is {self.delay}; the first of the pair must be the smaller one")
        _check_delays(_whole([low, high]))
        seed_key(self.seed)

    def _range(self) -> tuple[int, int]:
        return self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)

    @property
    def largest(self) -> float:
        """Magnitude of the weight."""
        return abs(self.weight)

    @property
    def delays(self) -> NDArray[np.int64]:
        """All delays that may occur."""
        low, high = self._range()
        return np.arange(low, high + 1, dtype=np.int64)

    def check(self, sources: int, targets: int) -> None:
        """Any sizes will do."""

    def count(self, sources: int) -> int:
        """Number of synapses of so many source neurons."""
        return sources * self.number

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """Rows, `CHUNK` synapses at a time."""
        low, high = self._range()
        many = max(1, CHUNK // max(1, self.number))
        for first in range(0, sources, many):
            count = min(many, sources - first)
            drawn = np.empty((count, self.number), np.int64)
            delays = np.empty((count, self.number if high > low else 0), np.int64)
            _draw(drawn, delays, first, targets, low, high - low + 1, seed_key(self.seed))
            pointers = np.arange(count + 1, dtype=np.int64) * self.number
            yield Rows(pointers, drawn.ravel(), None, delays.ravel() if high > low else None)


@kernel
def _draw(drawn, delays, first, targets, delay_first, delay_count, key):
    """Targets (and delays) of the sources first, first + 1, ...."""
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for i in range(drawn.shape[0]):
        row = drawn[i]
        for j in range(row.shape[0]):
            w0, w1, _, _ = philox4x32(np.uint64(j), np.uint64(first + i), np.uint64(0), np.uint64(0xFC000000), k0, k1)
            row[j] = np.int64((w0 * np.uint64(targets)) >> np.uint64(32))
            if delays.shape[1]:
                delays[i, j] = delay_first + np.int64(((w1 & low) * np.uint64(delay_count)) >> np.uint64(32))


def _whole(values: ArrayLike) -> NDArray[np.int64]:
    """Delays as integers."""
    given = np.asarray(values)
    if given.dtype.kind not in "iuf" or not np.all(given == np.rint(given)):
        raise InputError("delays must be whole numbers of steps")
    return given.astype(np.int64)
