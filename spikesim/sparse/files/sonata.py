"""Networks and spikes in SONATA files: nodes, edges, spikes (github.com/AllenInstitute/sonata, the developer guide).

Nothing that such a file says of itself is trusted: numbers of neurons, groups and places in them are checked before
anything is looked up by them. Files are read in pieces.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.hdf5_reader import Contents, HDF5File, NotRead
from spikesim.sparse.files.number_table import read_types

PIECE = 1 << 18
"""Rows that are read at a time."""
NODES_MAX = 2**31 - 1
_GROUPS_MAX = 1000
_T = TypeVar("_T")


class Edges(NamedTuple):
    """The edges of a population, in the order of the file."""

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64] | None  # None: the file has none
    delays: NDArray[np.float64] | None  # milliseconds; None: the file has none


def node_populations(path: str | os.PathLike[str]) -> dict[str, int]:
    """The populations of a file of nodes, and their numbers of neurons.

    Raises
    ------
    InputError
        It cannot be read, or is no file of nodes.
    """

    def read(contents: Contents) -> dict[str, int]:
        return {name: _length(contents, f"/nodes/{name}/node_type_id") for name in _names(contents, "nodes")}

    return _read(path, "nodes", read)


def read_edges(
    path: str | os.PathLike[str], population: str | None = None, types: str | os.PathLike[str] | None = None
) -> Edges:
    """The edges of a population, with `syn_weight` and `delay` of each edge, or else of its type.

    Parameters
    ----------
    population : str, optional
        Needed if the file has several.
    types : path-like, optional
        The table of the types of edges (CSV).

    Raises
    ------
    InputError
        A file cannot be read or is no such file, or there is no such population.
    """
    known = {} if types is None else read_types(types, "edge_type_id")

    def read(contents: Contents) -> Edges:
        group = f"/edges/{_chosen(contents, 'edges', population, path)}"
        count = _length(contents, f"{group}/source_node_id")
        sources, targets = (_integers(contents, f"{group}/{end}_node_id", count) for end in ("source", "target"))
        values = [_attribute(contents, group, count, name, known, path) for name in ("syn_weight", "delay")]
        return Edges(sources, targets, values[0], values[1])

    return _read(path, "edges", read)


def read_spikes(
    path: str | os.PathLike[str], population: str | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Neurons and times (milliseconds) of the spikes of a population.

    Raises
    ------
    InputError
        As for `read_edges`.
    """

    def read(contents: Contents) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        group = f"/spikes/{_chosen(contents, 'spikes', population, path)}"
        if not contents.is_group(group) or not contents.has(f"{group}/node_ids"):
            raise NotRead(
                f"{group} has no node_ids: it is not a population of spikes as SONATA has had them since 2019"
            )
        count = _length(contents, f"{group}/node_ids")
        return _integers(contents, f"{group}/node_ids", count), _reals(contents, f"{group}/timestamps", count)

    return _read(path, "spikes", read)


def _read(path: str | os.PathLike[str], kind: str, what: Callable[[Contents], _T]) -> _T:
    file = HDF5File(path, f"give a SONATA file of {kind}", "write it again")
    with contextlib.closing(file):
        return file.read(what)


def _names(contents: Contents, kind: str) -> list[str]:
    if not contents.has(f"/{kind}") or not contents.is_group(f"/{kind}"):
        raise NotRead(f"it has no group /{kind}; it must be a SONATA file of {kind}")
    return sorted(contents.names(f"/{kind}"))


def _chosen(contents: Contents, kind: str, population: str | None, path: Any) -> str:
    names = _names(contents, kind)
    if population is None and len(names) == 1:
        return names[0]
    if population not in names:
        asked = "several populations" if population is None else f"no population {population!r}"
        raise InputError(f"{path} has {asked}; choose one of {', '.join(names) or 'none'}")
    return population


def _length(contents: Contents, path: str) -> int:
    shape = contents.dataset(path).shape
    if shape is None or len(shape) != 1:
        raise NotRead(f"{path} has the shape {shape}; it must have one dimension")
    return int(shape[0])


def _pieces(contents: Contents, path: str, count: int, kinds: str, what: str) -> Iterator[NDArray[Any]]:
    """A column of so many numbers, some at a time."""
    if _length(contents, path) != count:
        raise NotRead(f"{path} has {_length(contents, path)} rows and those beside it have {count}")
    dtype = contents.dataset(path).dtype
    if dtype.kind not in kinds:
        raise NotRead(f"{path} holds {dtype}; it must hold {what}")
    for start in range(0, count, PIECE):
        yield contents.rows(path, start, min(start + PIECE, count), dtype, (), compressed=True)


def _integers(contents: Contents, path: str, count: int) -> NDArray[np.int64]:
    found = []
    for own in _pieces(contents, path, count, "iu", "integers"):
        if len(own) and not 0 <= int(own.min()) <= int(own.max()) <= NODES_MAX:
            raise NotRead(f"{path} reaches from {own.min()} to {own.max()}; it must be in 0 .. {NODES_MAX}")
        found.append(own.astype(np.int64))
    return np.concatenate([np.zeros(0, np.int64), *found])


def _reals(contents: Contents, path: str, count: int) -> NDArray[np.float64]:
    found = []
    for own in _pieces(contents, path, count, "iuf", "real numbers"):
        if not np.isfinite(own).all():
            raise NotRead(f"{path} holds a value that is not finite")
        found.append(own.astype(np.float64))
    return np.concatenate([np.zeros(0), *found])


def _attribute(
    contents: Contents, group: str, count: int, name: str, types: dict[int, dict[str, str]], path: Any
) -> NDArray[np.float64] | None:
    """What the edges have under a name, in their groups or else by their types; None: they have none."""
    own_groups = [one for one in contents.names(group) if one.isdigit()]
    if len(own_groups) > _GROUPS_MAX:
        raise NotRead(f"{group} has {len(own_groups)} groups; at most {_GROUPS_MAX} are read")
    holding = {
        int(one) for one in own_groups if contents.is_group(f"{group}/{one}") and contents.has(f"{group}/{one}/{name}")
    }
    of_types = {number: row[name] for number, row in types.items() if row.get(name, "NULL") not in ("NULL", "")}
    if not holding and not of_types:
        return None
    found = np.full(count, np.nan)
    if of_types:
        numbers = _integers(contents, f"{group}/edge_type_id", count)
        for number, text in of_types.items():
            found[numbers == number] = _number(text, f"{name} of the edge type {number} of {path}")
    if holding:
        groups = _integers(contents, f"{group}/edge_group_id", count)
        places = _integers(contents, f"{group}/edge_group_index", count)
        for one in sorted(holding):
            column = f"{group}/{one}/{name}"
            values = _reals(contents, column, _length(contents, column))
            own = groups == one
            if own.any() and int(places[own].max()) >= len(values):
                raise NotRead(
                    f"{group}/edge_group_index reaches to {places[own].max()}; {column} has {len(values)} rows"
                )
            found[own] = values[places[own]]
    missing = np.flatnonzero(np.isnan(found))
    if len(missing):
        raise InputError(
            f"{path}: {len(missing)} of {count} edges of {group} have no {name}, among them number {missing[0]}; give "
            "it for all, or name the table of their types"
        )
    return found


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise InputError(f"{what} is {text!r}; it must be a finite number")
    return value
