"""The synapses of a rule between two populations: drawn in pieces, asked for again and again, never stored whole."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.numerics.philox import seed_key
from spikesim.sparse.connections import drawing, synapses
from spikesim.sparse.connections.distributions import Values
from spikesim.sparse.connections.synapses import DELAY_MAX, Rows


class Pairs(Protocol):
    """Which neurons a rule connects, by source neuron."""

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all, int64 (sources + 1,)."""
        ...

    def targets(self, first: int, last: int) -> NDArray[np.integer[Any]]:
        """The targets of the source neurons first .. last - 1, one neuron after the other."""
        ...


class Bernoulli:
    """Each pair with the same probability."""

    def __init__(self, p: float, shape: tuple[int, int], omit_self: bool, seed: int) -> None:
        self._p, self._omit_self, self._key = p, omit_self, seed_key(seed)
        self._sources, self._targets = shape
        self._powers = np.zeros(drawing.POWERS)
        self._highest = drawing.success_powers(p, self._powers)
        self._pointers: NDArray[np.int64] | None = None

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all."""
        if self._pointers is None:
            self._pointers = np.zeros(self._sources + 1, np.int64)
            if self._p > 0.0:
                self._draw(0, self._pointers[1:], np.zeros(0, np.int64))
            np.cumsum(self._pointers, out=self._pointers)
        return self._pointers

    def targets(self, first: int, last: int) -> NDArray[np.int64]:
        """The targets of some source neurons, ascending for each."""
        pointers = self.pointers()
        found = np.empty(pointers[last] - pointers[first], np.int64)
        if len(found):
            self._draw(first, np.empty(last - first, np.int64), found)
        return found

    def _draw(self, first: int, counts: NDArray[np.int64], out: NDArray[np.int64]) -> None:
        drawing.draw_skips(
            first, len(counts), self._targets, self._omit_self, self._powers, self._highest, self._key, counts, out
        )


class OutDegree:
    """The same number of targets for each source neuron, ascending."""

    def __init__(self, number: int, shape: tuple[int, int], omit_self: bool, distinct: bool, seed: int) -> None:
        self._number, self._omit_self, self._distinct, self._key = number, omit_self, distinct, seed_key(seed)
        self._sources, self._targets = shape

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all."""
        return np.arange(self._sources + 1, dtype=np.int64) * self._number

    def targets(self, first: int, last: int) -> NDArray[np.int32]:
        """The targets of some source neurons, ascending for each."""
        found = partners(self._number, self._targets, range(first, last), self._omit_self, self._distinct, self._key)
        return found.reshape(-1)


class EveryPair:
    """Each pair once."""

    def __init__(self, shape: tuple[int, int], omit_self: bool) -> None:
        self._sources, self._targets, self._omit_self = *shape, omit_self

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all."""
        return np.arange(self._sources + 1, dtype=np.int64) * (self._targets - self._omit_self)

    def targets(self, first: int, last: int) -> NDArray[np.int64]:
        """The targets of some source neurons, ascending for each."""
        found = np.broadcast_to(
            np.arange(self._targets - self._omit_self), (last - first, self._targets - self._omit_self)
        )
        if self._omit_self:
            found = found + (found >= np.arange(first, last)[:, None])
        return found.reshape(-1)


class SameNumber:
    """Each source neuron with the target of its number."""

    def __init__(self, size: int) -> None:
        self._size = size

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all."""
        return np.arange(self._size + 1, dtype=np.int64)

    def targets(self, first: int, last: int) -> NDArray[np.int64]:
        """The targets of some source neurons."""
        return np.arange(first, last, dtype=np.int64)


class StoredPairs:
    """Pairs that are drawn in another order: 4 bytes a synapse are kept, sorted by source neuron."""

    def __init__(self, pointers: NDArray[np.int64], targets: NDArray[np.integer[Any]]) -> None:
        self._pointers, self._targets = pointers, targets

    def pointers(self) -> NDArray[np.int64]:
        """Number of the first synapse of each source neuron, and that of all."""
        return self._pointers

    def targets(self, first: int, last: int) -> NDArray[np.integer[Any]]:
        """The targets of some source neurons."""
        return self._targets[self._pointers[first] : self._pointers[last]]


class DrawnSynapses:
    """The synapses of a rule; to a projection what a matrix is.

    Parameters
    ----------
    pairs : Pairs
    shape : (int, int)
        Numbers of source and target neurons.
    weights, delays : Values
    seed : int

    Raises
    ------
    InputError
        Values for another number of synapses.
    """

    def __init__(self, pairs: Pairs, shape: tuple[int, int], weights: Values, delays: Values, seed: int) -> None:
        self._pairs, self._shape, self._weights, self._own_delays, self.seed = pairs, shape, weights, delays, seed
        self._largest: float | None = None
        self._found_delays: NDArray[np.int64] | None = None

    @property
    def weight(self) -> float | None:
        """The weight of all of them, None if they differ."""
        return self._weights.constant

    @property
    def largest(self) -> float:
        """Largest magnitude of a weight; 0 where there are none."""
        if self._largest is None:
            if self.weight is not None:
                self._largest = abs(self.weight) if self.count(self._shape[0]) else 0.0
            else:
                self._largest = max((float(np.abs(own).max()) for own in self._pieces(self._weights, 0)), default=0.0)
        return self._largest

    @property
    def delays(self) -> NDArray[np.int64]:
        """All delays that occur, ascending; one where there are no synapses."""
        if self._found_delays is None:
            if self._own_delays.constant is not None:
                self._found_delays = np.array([int(self._own_delays.constant)], np.int64)
            else:
                found = np.zeros(DELAY_MAX + 1, np.bool_)
                for own in self._pieces(self._own_delays, 1):
                    found[_steps(own)] = True
                self._found_delays = np.flatnonzero(found).astype(np.int64) if found.any() else np.ones(1, np.int64)
        return self._found_delays

    def check(self, sources: int, targets: int) -> None:
        """Refuse populations of other sizes."""
        if self._shape != (sources, targets):
            raise InputError(f"the rule was drawn for {self._shape} neurons; these are {(sources, targets)}")

    def count(self, sources: int) -> int:
        """Number of synapses of so many source neurons."""
        return int(self._pairs.pointers()[sources])

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """All rows, `CHUNK` synapses at a time, or one."""
        pointers = self._pairs.pointers()
        first = 0
        while first < sources:
            last = int(np.searchsorted(pointers, pointers[first] + synapses.CHUNK, side="right")) - 1
            last = min(max(last, first + 1), sources)
            begin, count = int(pointers[first]), int(pointers[last] - pointers[first])
            weights = None if self.weight is not None else self._numbered(self._weights, begin, count, 0)
            delays = None
            if self._own_delays.constant is None:
                delays = _steps(self._numbered(self._own_delays, begin, count, 1))
            yield Rows(
                pointers[first : last + 1] - begin,
                self._pairs.targets(first, last).astype(np.int64, copy=False),
                weights,
                delays,
            )
            first = last

    def _numbered(self, values: Values, first: int, count: int, which: int) -> NDArray[np.float64]:
        stream = drawing.STREAM_DELAYS if which else drawing.STREAM_WEIGHTS
        return values.numbered(first, count, self.seed, stream)

    def _pieces(self, values: Values, which: int) -> Iterator[NDArray[np.float64]]:
        total = self.count(self._shape[0])
        for first in range(0, total, synapses.CHUNK):
            yield self._numbered(values, first, min(synapses.CHUNK, total - first), which)


def _steps(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(values + 0.5).astype(np.int64)


def partners(
    number: int, among: int, rows: range, omit_self: bool, distinct: bool, key: NDArray[np.uint32]
) -> NDArray[np.int32]:
    """So many neurons among others for each of some neurons, ascending, int32 (rows, number)."""
    out = np.empty((len(rows), number), np.int32)
    seen = np.full(among if distinct else 0, -1, np.int32)
    drawing.draw_partners(rows.start, among, omit_self, distinct, seen, key, out)
    out.sort(axis=1)
    return out


def in_degree(
    number: int, shape: tuple[int, int], omit_self: bool, distinct: bool, seed: int
) -> tuple[StoredPairs, NDArray[np.int64]]:
    """The same number of source neurons for each target.

    Returns
    -------
    StoredPairs
    ndarray of int64
        For each synapse its place in an array (targets, number) in which the source neurons of each target ascend.
    """
    from scipy import sparse

    sources, targets = shape
    found = partners(number, sources, range(targets), omit_self, distinct, seed_key(seed))
    count = targets * number
    kind: Any = np.int32 if count < 2**31 else np.int64
    pointers = np.arange(targets + 1, dtype=kind) * kind(number)
    # SciPy counts into columns in one go, each in the order of the rows, and adds nothing up
    table = sparse.csr_array(
        (np.arange(count, dtype=kind), found.reshape(-1), pointers), shape=(targets, sources)
    ).tocsc()
    return StoredPairs(table.indptr.astype(np.int64), table.indices), table.data


def total_number(number: int, shape: tuple[int, int], omit_self: bool, distinct: bool, seed: int) -> StoredPairs:
    """So many pairs among all."""
    sources, targets = shape
    among = targets - 1 if omit_self else targets
    key, cells = seed_key(seed), sources * among
    if not distinct:
        found = np.empty(number, np.int64)
        drawing.draw_cells(0, sources, among, key, found)
        found.sort()
    elif number > cells // 2:
        left = np.ones(cells, np.bool_)
        left[_distinct_cells(cells - number, sources, among, key)] = False
        found = np.flatnonzero(left)
    else:
        found = np.sort(_distinct_cells(number, sources, among, key))
    source, target = np.divmod(found, max(among, 1))
    if omit_self:
        target += target >= source
    pointers = np.searchsorted(source, np.arange(sources + 1))
    return StoredPairs(pointers.astype(np.int64), target.astype(np.int32))


def _distinct_cells(number: int, sources: int, among: int, key: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The first so many cells that are drawn, each once, in no order; at most half of all."""
    found, drawn = np.zeros(0, np.int64), 0
    while len(found) < number:
        more = np.empty(2 * (number - len(found)) + 16, np.int64)
        drawing.draw_cells(drawn, sources, among, key, more)
        drawn += len(more)
        both = np.concatenate([found, more])
        firsts = np.sort(np.unique(both, return_index=True)[1])
        found = both[firsts[:number]]
    return found
