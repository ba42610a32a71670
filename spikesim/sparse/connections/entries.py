"""The stored entries of a sparse matrix: each is a synapse, also where several have the same source and target.

SciPy adds up entries of the same place in many operations, converting to another format among them; none of those is
used here. What says where the entries are is checked in full: compiled code, SciPy's own too, trusts it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

_COMPRESSED = ("csc", "csr", "bsr")
_PADDED = ("bsr", "dia")
"""Formats that store whole blocks or diagonals: a zero there is no entry."""
_KINDS = {"c": "complex numbers", "S": "text", "U": "text", "M": "dates", "m": "times", "V": "records", "O": "objects"}


class Entries(NamedTuple):
    """Entries in the order in which a matrix stores them."""

    shape: tuple[int, int]  # (targets, sources)
    targets: NDArray[np.integer[Any]]
    sources: NDArray[np.integer[Any]]
    values: NDArray[Any]  # booleans, integers or floating-point numbers


def stored_entries(matrix: Any, what: str) -> Entries:
    """The entries of a matrix of `scipy.sparse`, of any format.

    Parameters
    ----------
    matrix : scipy.sparse matrix or array, shape (targets, sources)
    what : str
        What it is called in an error message.

    Raises
    ------
    InputError
        It has not two dimensions, its values are no real numbers, or its entries do not lie within it.
    """
    if matrix.ndim != 2:
        raise InputError(f"{what} has {matrix.ndim} dimensions; it must have two, (targets, sources)")
    values = np.asarray(getattr(matrix, "data", 0.0) if matrix.format not in ("lil", "dok") else 0.0)
    require_real(values, what)
    for name in ("indices", "indptr", "offsets", "row", "col"):
        if matrix.format not in ("lil", "dok") and hasattr(matrix, name):
            require_whole(np.asarray(getattr(matrix, name)), f"{what}: {name}")
    try:
        if matrix.format in _COMPRESSED:
            _require_pointers(matrix)
            parts = matrix.data, matrix.indices, matrix.indptr
            matrix = type(matrix)(parts, shape=matrix.shape)  # checking may cut arrays and change their types
            matrix.check_format(full_check=True)
        found = matrix.tocoo(copy=False)
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{what} is not a sound matrix: {text}") from None
    entries = Entries(tuple(found.shape), np.asarray(found.row), np.asarray(found.col), np.asarray(found.data))
    require_real(entries.values, what)
    _require_within(entries, what)
    if matrix.format in _PADDED:
        kept = entries.values != 0
        entries = Entries(entries.shape, *(array[kept] for array in entries[1:]))
    return entries


def _require_pointers(matrix: Any) -> None:
    """Refuse pointers that lead outside the indices.

    SciPy looks at them only where the last one says that there are entries, takes the difference of unsigned ones for
    positive, and then writes as many places as they say.

    Raises
    ------
    ValueError
    """
    pointers, indices = np.asarray(matrix.indptr), np.asarray(matrix.indices)
    rows, columns = matrix.shape
    if matrix.format == "bsr":
        rows //= matrix.blocksize[0]
    major = columns if matrix.format == "csc" else rows
    if pointers.shape != (major + 1,) or indices.ndim != 1 or len(matrix.data) < len(indices):
        raise ValueError(f"{len(pointers)} pointers, {len(indices)} indices and {len(matrix.data)} values do not fit")
    if pointers[0] != 0 or (pointers[1:] < pointers[:-1]).any() or int(pointers[-1]) > len(indices):
        raise ValueError(f"its pointers do not ascend from 0 to {len(indices)} at most")


def require_real(values: NDArray[Any], what: str) -> None:
    """Refuse values that are no real numbers.

    Raises
    ------
    InputError
    """
    if values.dtype.kind not in "biuf":
        kind = _KINDS.get(values.dtype.kind, "of another kind")
        raise InputError(f"{what} holds {kind} ({values.dtype}); it must hold real numbers")


def require_whole(values: NDArray[Any], what: str) -> None:
    """Refuse indices that are no integers: SciPy cuts off fractions.

    Raises
    ------
    InputError
    """
    if values.dtype.kind not in "iu" and values.size:
        raise InputError(f"{what} are {values.dtype}; they must be integers")


def _require_within(entries: Entries, what: str) -> None:
    if not len(entries.targets) == len(entries.sources) == len(entries.values):
        raise InputError(f"{what} has {len(entries.targets)} rows for {len(entries.values)} values")
    for axis, own, size in zip(("row", "column"), entries[1:3], entries.shape, strict=True):
        if len(own) and not 0 <= int(own.min()) <= int(own.max()) < size:
            raise InputError(f"{what} has entries in the {axis}s {own.min()} .. {own.max()}; it has {size} {axis}s")


def paired_values(entries: Entries, other: Entries) -> NDArray[Any]:
    """The values of a second matrix with the same entries, in the order of the first.

    Stored in the same order, the entries belong together one by one. Otherwise their places tell. Where several entries
    have the same place, the values of one matrix must be equal there, or it is not known which belong together.

    Raises
    ------
    InputError
        The second matrix has other entries, or it is not known which belong together.
    """
    if all(np.array_equal(entries[part], other[part]) for part in range(3)):
        return other.values
    orders = [np.lexsort((own.targets, own.sources)) for own in (entries, other)]
    targets, sources = (own[orders[0]] for own in entries[1:3])
    if not (
        entries.shape == other.shape
        and np.array_equal(targets, other.targets[orders[1]])
        and np.array_equal(sources, other.sources[orders[1]])
    ):
        raise InputError("the matrix of delays must store the same entries as that of the weights")
    same = (targets[1:] == targets[:-1]) & (sources[1:] == sources[:-1])
    if same.any():
        place = np.cumsum(~same)
        unequal = [
            same & (own.values[order][1:] != own.values[order][:-1])
            for own, order in zip((entries, other), orders, strict=True)
        ]
        unclear = np.intersect1d(place[unequal[0]], place[unequal[1]])
        if len(unclear):
            at = int(np.flatnonzero(same & (place == unclear[0]))[0])
            raise InputError(
                f"several synapses lead from neuron {sources[at]} to neuron {targets[at]}, and the matrices of weights "
                "and of delays store their entries in different orders; store both in the same order, as scipy.sparse."
                "coo_array"
            )
    found = np.empty_like(other.values)
    found[orders[0]] = other.values[orders[1]]
    return found


def group_by_source(entries: Entries) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Where the entries of each source begin once they are sorted, and the order that sorts them; None if they are."""
    sources, count = entries.sources, len(entries.sources)
    pointers = np.zeros(entries.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(sources, minlength=entries.shape[1]), out=pointers[1:])
    if np.all(sources[1:] >= sources[:-1]):
        return pointers, None
    from scipy import sparse

    # a matrix with one entry a row is counted into columns by SciPy in one go, each in the order of the rows
    rows = np.arange(count + 1, dtype=np.int32 if count < 2**31 - 1 else np.int64)
    alone = sparse.csr_array((np.ones(count, np.bool_), sources, rows), shape=(count, entries.shape[1]))
    return pointers, alone.tocsc().indices
