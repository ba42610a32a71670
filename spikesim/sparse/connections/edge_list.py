"""Lists of edges: from arrays, CSV files and SONATA."""

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.sparse.connections import drawing
from spikesim.sparse.connections.distributions import Values, delay_values, weight_values
from spikesim.sparse.connections.entries import Entries
from spikesim.sparse.connections.synapses import DELAY_MAX, MatrixSynapses
from spikesim.sparse.files import sonata
from spikesim.sparse.files.number_table import read_columns


class EdgeList:
    """Synapses one by one: each edge is one, also where several have the same source and target.

    Parameters
    ----------
    sources, targets : array of int (edges,)
        Numbers of neurons within their populations.
    weight : float, array (edges,) or distribution
    delay : int, (int, int), array (edges,) or distribution
        Steps.

    Attributes
    ----------
    seed : int or None
        Of the distributions, 0 .. 2**64 - 1; unless it is set, `Network.connect` chooses one.

    Raises
    ------
    InputError
        Arrays of different lengths, or values out of range.

    Examples
    --------
    >>> from spikesim.sparse import EdgeList
    >>> len(EdgeList([0, 0, 1], [1, 2, 2], weight=0.5, delay=[1, 2, 1]))
    3
    """

    def __init__(self, sources: ArrayLike, targets: ArrayLike, weight: Any, delay: Any = 1) -> None:
        self.seed: int | None = None
        self._sources, self._targets = _indices(sources, "sources"), _indices(targets, "targets")
        if len(self._sources) != len(self._targets):
            raise InputError(f"an edge list has {len(self._sources)} sources and {len(self._targets)} targets")
        self._weights, self._delays = weight_values(_listed(weight)), delay_values(_listed_delay(delay))
        for name, values in (("weights", self._weights), ("delays", self._delays)):
            if values.array is not None and values.array.shape != (len(self),):
                raise InputError(f"{name} of an edge list have shape {values.array.shape}; it must be ({len(self)},)")

    def __len__(self) -> int:
        return len(self._sources)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str], *, weight: Any = None, delay: Any = None) -> "EdgeList":
        """Read a CSV file whose first line names the columns `source`, `target`, and perhaps `weight` and `delay`.

        Parameters
        ----------
        weight, delay : optional
            As for the list; in place of what the file has. Without any, delays are 1.

        Raises
        ------
        InputError
            The file cannot be read, or there are no weights.
        """
        whole = ("source", "target", "delay")
        found = read_columns(path, ("source", "target"), ("weight", "delay"), whole=whole)
        weight, delay = (
            found.get("weight") if weight is None else weight,
            found.get("delay") if delay is None else delay,
        )
        return cls._made(path, found["source"], found["target"], weight, delay)

    @classmethod
    def from_sonata(
        cls,
        path: str | os.PathLike[str],
        *,
        population: str | None = None,
        edge_types: str | os.PathLike[str] | None = None,
        step_ms: float = 1.0,
        weight: Any = None,
        delay: Any = None,
    ) -> "EdgeList":
        """Read the edges of a SONATA file (HDF5), with `syn_weight` and `delay`.

        Parameters
        ----------
        population : str, optional
            Needed if the file has several.
        edge_types : path-like, optional
            The table of types (CSV), for weights and delays that are given there.
        step_ms : float
            Milliseconds of a step; delays of the file are rounded to the nearest step, and to 1 at least.
        weight, delay : optional
            As for the list; in place of what the files have. Without any, delays are 1.

        Raises
        ------
        InputError
            A file cannot be read, or there are no weights.
        """
        step_ms = real(step_ms, "step_ms")
        if step_ms <= 0:
            raise InputError(f"step_ms is {step_ms:g}; it must be above 0")
        found = sonata.read_edges(path, population, edge_types)
        if delay is None and found.delays is not None:
            if len(found.delays) and found.delays.min() < 0:
                raise InputError(f"{path} has a delay of {found.delays.min():g} ms; delays must be at least 0")
            delay = np.maximum(np.rint(found.delays / step_ms), 1.0)
        return cls._made(path, found.sources, found.targets, found.weights if weight is None else weight, delay)

    @classmethod
    def _made(cls, path: Any, sources: Any, targets: Any, weight: Any, delay: Any) -> "EdgeList":
        if weight is None:
            raise InputError(f"{path} has no weights; give a weight for all of its edges")
        try:
            return cls(sources, targets, weight, 1 if delay is None else delay)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def bind(self, sources: int, targets: int, seed: int) -> MatrixSynapses:
        """The synapses between populations of these sizes.

        Raises
        ------
        InputError
            An edge leads from or to a neuron that there is not, or a seed out of range.
        """
        seed = seed if self.seed is None else integer(self.seed, "seed", 0, 2**64 - 1)
        for name, own, size in (("source", self._sources, sources), ("target", self._targets, targets)):
            if len(own) and int(own.max()) >= size:
                at = int(np.argmax(own))
                raise InputError(
                    f"edge {at} has the {name} neuron {own[at]}; the population has {size} neurons, numbered from 0"
                )

        def entries(values: NDArray[Any]) -> Entries:
            return Entries((targets, sources), self._targets, self._sources, values)

        weights = entries(self._numbered(self._weights, seed, drawing.STREAM_WEIGHTS))
        if self._delays.constant is not None:
            return MatrixSynapses(weights, int(self._delays.constant))
        steps = np.floor(self._numbered(self._delays, seed, drawing.STREAM_DELAYS) + 0.5)
        return MatrixSynapses(weights, entries(np.clip(steps, 1, DELAY_MAX)))

    def _numbered(self, values: Values, seed: int, stream: int) -> NDArray[np.float64]:
        return values.numbered(0, len(self), seed, stream)


def _indices(given: ArrayLike, what: str) -> NDArray[np.int64]:
    try:
        found = np.asarray(given)
    except (ValueError, TypeError, OverflowError):
        found = np.zeros((0, 0))
    whole = found.dtype.kind in "iu" or (found.dtype.kind == "f" and bool((found == np.rint(found)).all()))
    if found.ndim == 1 and (whole or not len(found)):
        low, high = (int(found.min()), int(found.max())) if len(found) else (0, 0)
        if low < 0 or high > sonata.NODES_MAX:
            raise InputError(f"{what} of an edge list reach from {low} to {high}; they must be in 0 .. 2**31 - 1")
        return found.astype(np.int64)
    raise InputError(f"{what} of an edge list are {shown(given)}; they must be whole numbers, one for each edge")


def _listed(given: Any) -> Any:
    """A list of numbers as an array."""
    return np.asarray(given) if isinstance(given, list | tuple) else given


def _listed_delay(given: Any) -> Any:
    """The same of delays, of which a tuple is a first and a last one."""
    return np.asarray(given) if isinstance(given, list) else given
