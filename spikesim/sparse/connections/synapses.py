"""What a projection needs of its synapses, and the two simplest kinds: a matrix, and a fixed out-degree.

A pattern gives the synapses of some source neurons after the other (`Rows`). It is asked more than once, to count and
to fill, and answers the same each time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.jit.compilation import kernel
from spikesim.numerics.philox import philox4x32, seed_key
from spikesim.sparse.connections.entries import Entries, group_by_source, paired_values, require_real, stored_entries

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


class MatrixSynapses:
    """The stored entries of a sparse matrix: each is a synapse, also several with the same source and target.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, ndarray, shape (targets, sources), or Entries
        Weights; explicit zeros are synapses, except in arrays of NumPy, in blocks (bsr) and in diagonals (dia), which
        have zeros where there is nothing.
    delay : int, or scipy.sparse matrix, ndarray or Entries
        Steps from a spike to its arrival, at least 1; a matrix with the same entries as that of the weights, or an
        array of NumPy, of which those in the places of weights count.
    shape : (int, int), optional
        What the matrices must have, (targets, sources); looked at before memory is taken for as many.

    Raises
    ------
    InputError
        Not a sparse matrix, one with entries outside of it, a weight that is not finite, a delay out of range, or
        delays of other entries.
    """

    def __init__(self, matrix: Any, delay: Any = 1, shape: tuple[int, int] | None = None) -> None:
        entries = _entries(matrix, "the matrix of weights")
        if entries is None:
            raise InputError(
                "synapses are a matrix (scipy.sparse, NumPy), a rule (FixedInDegree, ..) or an EdgeList, not "
                f"{type(matrix).__name__}"
            )
        self._shape = entries.shape
        if shape is not None:
            self.check(shape[1], shape[0])
        found = _delays_in_places(delay, entries) if _is_table(delay) else _entries(delay, "the matrix of delays")
        given = None if found is None else _delays(paired_values(entries, found))
        if given is None:
            self.delays = np.array([_steps(delay)], np.int64)
        else:
            self.delays = np.unique(given).astype(np.int64)
        self._pointers, order = group_by_source(entries)
        ordered: Any = (lambda values: values.copy()) if order is None else (lambda values: values[order])
        self._targets, self._weights = ordered(entries.targets), ordered(entries.values)
        self._own_delays = None if given is None else ordered(given)
        weights = self._weights.astype(np.float64)
        if not np.isfinite(weights).all():
            raise InputError("the matrix of weights holds a value that is not finite")
        self.largest = float(np.abs(weights).max(initial=0.0))
        self.weight = float(weights[0]) if len(weights) and np.all(weights == weights[0]) else None

    def check(self, sources: int, targets: int) -> None:
        """Refuse populations of other sizes."""
        if self._shape != (targets, sources):
            raise InputError(
                f"the matrix of weights has shape {self._shape}; (targets, sources) is {(targets, sources)}"
            )

    def count(self, sources: int) -> int:
        """Number of stored entries."""
        return len(self._weights)

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """All rows at once: they are in memory anyway."""
        weights = None if self.weight is not None else self._weights.astype(np.float64)
        delays = None if self._own_delays is None else self._own_delays.astype(np.int64)
        yield Rows(self._pointers, self._targets.astype(np.int64), weights, delays)


def _entries(matrix: Any, what: str) -> Entries | None:
    from scipy import sparse

    if isinstance(matrix, Entries):
        return matrix
    if _is_table(matrix):
        require_real(matrix, what)
        if matrix.ndim != 2:
            raise InputError(f"{what} has {matrix.ndim} dimensions; it must have two, (targets, sources)")
        targets, sources = np.nonzero(matrix)
        return Entries(matrix.shape, targets, sources, np.asarray(matrix[targets, sources]).reshape(-1))
    return stored_entries(matrix, what) if sparse.issparse(matrix) else None


def _is_table(given: Any) -> bool:
    """Whether it is an array of NumPy that is not a single number."""
    return isinstance(given, np.ndarray) and given.ndim > 0


def _delays_in_places(delay: NDArray[Any], entries: Entries) -> Entries:
    """The delays of some entries out of a whole array."""
    if delay.shape != entries.shape:
        raise InputError(f"the array of delays has shape {delay.shape}; (targets, sources) is {entries.shape}")
    require_real(delay, "the array of delays")
    return entries._replace(values=np.asarray(delay[entries.targets, entries.sources]).reshape(-1))


def _delays(values: NDArray[Any]) -> NDArray[np.int16]:
    """Delays as integers."""
    if len(values) and not (1 <= values.min() and values.max() <= DELAY_MAX):
        low, high = f"{values.min():g}", f"{values.max():g}"
        raise InputError(f"delays reach from {low} to {high} steps; they must be in 1 .. {DELAY_MAX}")
    if np.any(values != np.rint(values)):
        raise InputError("the matrix of delays holds fractions; delays must be whole numbers of steps")
    return values.astype(np.int16)


def _steps(given: Any) -> int:
    """The delay of all synapses."""
    delay = real(given, "delay")
    if delay != np.rint(delay):
        raise InputError(f"delay is {shown(given)}; delays must be whole numbers of steps")
    return int(_delays(np.array([delay]))[0])


@dataclass(frozen=True)
class RandomSynapses:
    """Every source neuron has `number` synapses, each onto a target drawn at random, the same one again included.

    The shortest rule: `FixedOutDegree` has more, as distributions and connections that are left out. NEST calls it
    `fixed_outdegree` (with multapses and autapses), PyNN `FixedNumberPostConnector` (with replacement).

    Attributes
    ----------
    number : int
        Synapses a source neuron: the out-degree.
    weight : float
        Of every synapse.
    delay : int or (int, int)
        Steps; of a pair, each delay is uniform between the two, both included.
    seed : int, optional
        0 .. 2**64 - 1. Unless it is given, `Network.connect` chooses one that no other pattern of the network has.

    Raises
    ------
    InputError
        A value that is no number, or is out of range.
    """

    number: int
    weight: float
    delay: int | tuple[int, int] = 1
    seed: int | None = None

    def __post_init__(self) -> None:
        known = {
            "number": integer(self.number, "number", 0, 2**31 - 1),
            "weight": real(self.weight, "weight"),
            "delay": _delay(self.delay),
            "seed": None if self.seed is None else integer(self.seed, "seed", 0, 2**64 - 1),
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

    def _range(self) -> tuple[int, int]:
        return self.delay if isinstance(self.delay, tuple) else (self.delay, self.delay)

    @property
    def largest(self) -> float:
        """Magnitude of the weight; 0 if no synapse has it."""
        return abs(self.weight) if self.number else 0.0

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
        key = seed_key(self.seed or 0)
        for first in range(0, sources, many):
            count = min(many, sources - first)
            drawn = np.empty((count, self.number), np.int64)
            delays = np.empty((count, self.number if high > low else 0), np.int64)
            _draw(drawn, delays, first, targets, low, high - low + 1, key)
            pointers = np.arange(count + 1, dtype=np.int64) * self.number
            yield Rows(pointers, drawn.ravel(), None, delays.ravel() if high > low else None)


def _delay(given: Any) -> int | tuple[int, int]:
    """A delay, or the first and the last one; a list as TOML has it will do."""
    if not isinstance(given, list | tuple):
        return _steps(given)
    if len(given) != 2:
        raise InputError(f"delay is {shown(given)}; it is a number of steps, or the first and the last one")
    low, high = map(_steps, given)
    if low > high:
        raise InputError(f"delay is {shown(given)}; the first of the pair must be the smaller one")
    return low, high


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
