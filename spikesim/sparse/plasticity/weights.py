"""Plastic weights of a trial: made, read, put, saved and restored."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import shown
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine import plastic_synapses as ps
from spikesim.sparse.plasticity.integers import Plasticity

SYNAPSE_BYTES, ROW_BYTES, TARGET_BYTES = 4, 12, 8 * ly.POSTS + 16
"""Of each plastic projection, in each trial."""
SORTED = 1 << 20
"""Synapses that are sorted at a time, unless a row has more."""
Saved = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint8] | NDArray[np.uint32]


class Places(NamedTuple):
    """Where a plastic projection is in the tables.

    Attributes
    ----------
    rule : int
    tables, blocks : int64 (blocks,)
        Its tables, by block, and these blocks.
    synapses, rows : int
        Rows: (source neuron, delay).
    """

    rule: int
    tables: NDArray[np.int64]
    blocks: NDArray[np.int64]
    synapses: int
    rows: int


class Plastic(NamedTuple):
    """A plastic projection of a simulation.

    Attributes
    ----------
    shape : (int, int)
        Numbers of targets and sources.
    """

    places: Places
    plasticity: Plasticity
    name: str
    shape: tuple[int, int]

    def real(self, integers: NDArray[np.int32]) -> NDArray[np.float64]:
        """Integer weights as real ones."""
        return np.asarray(np.ldexp(integers.astype(np.float64), -ly.WEIGHT_BITS) * self.plasticity.Wmax)

    def locate(self, tables: ly.Tables, synapses: ArrayLike | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The chosen synapses, or all, and where they are (`spikesim.sparse.engine.plastic_synapses.locate`).

        Raises
        ------
        InputError
            There are no such synapses.
        """
        count = self.places.synapses
        chosen = np.arange(count) if synapses is None else np.atleast_1d(np.asarray(synapses))
        whole = chosen.ndim == 1 and (chosen.dtype.kind in "iu" or not chosen.size)
        if not whole or chosen.min(initial=0) < 0 or chosen.max(initial=-1) >= count:
            raise InputError(f"synapses of {self.name} are {shown(synapses)}; they are integers in 0 .. {count - 1}")
        chosen = chosen.astype(np.int64)
        order = np.argsort(chosen, kind="stable")
        found = np.empty((len(chosen), 4), np.int64)
        ps.locate(tables, self.places.tables, self.places.blocks, chosen[order], found)
        places = np.empty_like(found)
        places[order] = found
        return chosen, places


class SynapseList(NamedTuple):
    """Synapses of a projection, by source, delay, target, then in the order in which they were given.

    Attributes
    ----------
    sources, targets, delays : int64 (synapses,)
        Neurons within their populations, and steps.
    weights : float64 (synapses,)
    shape : (int, int)
        Targets and sources of the projection.
    """

    sources: NDArray[np.int64]
    targets: NDArray[np.int64]
    delays: NDArray[np.int64]
    weights: NDArray[np.float64]
    shape: tuple[int, int]

    def matrix(self) -> Any:
        """The weights as a `scipy.sparse.coo_array` (targets, sources), an entry for each synapse, in their order."""
        from scipy import sparse

        return sparse.coo_array((self.weights, (self.targets, self.sources)), self.shape)


def plastic_bytes(synapses: int, rows: int, targets: int) -> int:
    """What a plastic projection takes in a trial."""
    return SYNAPSE_BYTES * synapses + ROW_BYTES * rows + TARGET_BYTES * targets


def rules_digest(tables: ly.Tables) -> bytes:
    """SHA-256 of the rules of all plastic projections."""
    digest = hashlib.sha256()
    own: tuple[NDArray[Any], ...] = (ly.as_matrix(tables.plastic.rules), ly.as_matrix(tables.plastic.sides))
    for given in (*own, tables.plastic.decays, tables.plastic.powers):
        digest.update(f"{given.dtype.str} {given.shape}".encode())
        digest.update(np.ascontiguousarray(given).tobytes())
    return digest.digest()


def sort_rows(pointers: NDArray[np.int64], targets: NDArray[Any], weights: NDArray[np.int32]) -> None:
    """Sort the synapses of each row by target, in place; those of one target stay in their order."""
    begin, rows = 0, len(pointers) - 1
    while begin < rows:
        end = max(begin + 1, int(np.searchsorted(pointers, pointers[begin] + SORTED, side="right")) - 1)
        own = slice(int(pointers[begin]), int(pointers[end]))
        numbers = np.repeat(np.arange(end - begin), np.diff(pointers[begin : end + 1]))
        order = np.lexsort((targets[own], numbers))
        targets[own], weights[own] = targets[own][order], weights[own][order]
        begin = end


def plastic_places(tables: ly.Tables) -> dict[int, Places]:
    """Where the plastic projections are, by their numbers."""
    found = {}
    owners = np.zeros(len(tables.tables), np.int64)
    for number, block in enumerate(tables.blocks):
        owners[int(block["tables"]) : int(block["plastic_end"])] = number
    for rule, record in enumerate(tables.plastic.rules):
        own = np.flatnonzero(tables.tables["rule"] == rule)
        first = tables.tables[own[0]]
        sources = int(tables.parts["neurons"][int(first["sources"]) : int(first["sources_end"])].sum())
        rows = sources * int(first["delay_count"])
        begins, ends = tables.tables["pointers"][own], tables.tables["pointers"][own] + rows
        synapses = int((tables.pointers[ends] - tables.pointers[begins]).sum())
        found[int(record["projection"])] = Places(rule, own, owners[own], synapses, rows)
    return found


def new_plastic_state(tables: ly.Tables) -> ly.PlasticState:
    """Weights as they are at the start, before any spike."""
    plastic, targets = tables.plastic, int(tables.plastic.rules["neurons"].sum())
    return ly.PlasticState(
        weights=plastic.weights.copy(),
        last=np.full(plastic.rows, -1, np.int64),
        traces=np.zeros(plastic.rows, np.int32),
        swept=np.zeros(len(tables.tables), np.int64),
        posts=np.zeros((targets, ly.POSTS, 2), np.uint32),
        counts=np.zeros(targets, np.int64),
        seen=np.zeros(targets, np.int64),
        crowded=np.zeros(len(tables.parts), np.uint8),
    )


def widened(state: ly.PlasticState) -> ly.PlasticState:
    """The same with room for twice as many spikes of each target."""
    kept = state.posts.shape[1]
    posts = np.zeros((len(state.posts), 2 * kept, 2), np.uint32)
    targets = np.arange(len(posts))
    for back in range(1, kept + 1):
        own = state.counts >= back
        spikes = state.counts[own] - back
        posts[targets[own], spikes % (2 * kept)] = state.posts[targets[own], spikes % kept]
    return state._replace(posts=posts, crowded=np.zeros_like(state.crowded))


def list_synapses(tables: ly.Tables, own: Places) -> tuple[NDArray[np.int64], ...]:
    """Sources, targets and delays, int64 (synapses,)."""
    found = tuple(np.empty(own.synapses, np.int64) for _ in range(3))
    ps.list_synapses(tables, own.tables, own.blocks, *found)
    return found


def read_weights(tables: ly.Tables, state: ly.State, own: Places, step: int) -> NDArray[np.int32]:
    """The weights as spikes that come in a step find them, int32 (synapses,)."""
    found = np.empty(own.synapses, np.int32)
    ps.list_weights(tables, state, own.tables, own.blocks, step, found)
    return found


def put_weights(tables: ly.Tables, state: ly.State, own: Places, weights: NDArray[np.int32], step: int) -> None:
    """Give the synapses other weights before a step: what moved them until then is done."""
    ps.put_weights(tables, state, own.tables, weights)
    state.plastic.swept[own.tables] = step


def _targets(tables: ly.Tables, own: Places) -> slice:
    """Its targets among all that have plastic synapses."""
    rule = tables.plastic.rules[own.rule]
    return slice(int(rule["posts"]), int(rule["posts"] + rule["neurons"]))


def saved_plastic(tables: ly.Tables, state: ly.State, own: Places, step: int) -> dict[str, Saved]:
    """What is saved of a plastic projection, by name; nothing of it says how populations were cut.

    Of the spikes of its targets those that a spike to come can see: not yet looked at, and two before them.
    """
    plastic, targets = state.plastic, _targets(tables, own)
    lag, kept = int(tables.plastic.rules["lag"][own.rule]), plastic.posts.shape[1]
    counts, posts = plastic.counts[targets], plastic.posts[targets]
    places = counts[:, None] - 1 - np.arange(kept)  # from the newest one back
    there = places >= 0
    steps = np.take_along_axis(posts[:, :, 0], places % kept, axis=1).astype(np.int64)
    unseen = (there & (steps > step - lag)).sum(axis=1)
    lengths = np.minimum(unseen + 2, np.minimum(counts, kept))
    neurons = np.repeat(np.arange(len(counts)), lengths)
    ends = np.cumsum(lengths)
    back = ends[neurons] - np.arange(int(lengths.sum()))  # oldest first
    first = int(tables.tables["rows"][own.tables[0]])
    return {
        "weights": read_weights(tables, state, own, step),
        "last": plastic.last[first : first + own.rows].copy(),
        "traces": plastic.traces[first : first + own.rows].copy(),
        "post_counts": lengths,
        "posts": posts[neurons, (counts[neurons] - back) % kept],
    }


def saved_kinds(tables: ly.Tables, own: Places) -> dict[str, tuple[DTypeLike, tuple[int, ...] | None]]:
    """Types and shapes of what `saved_plastic` has; None: any shape."""
    return {
        "weights": (np.int32, (own.synapses,)),
        "last": (np.int64, (own.rows,)),
        "traces": (np.int32, (own.rows,)),
        "post_counts": (np.int64, (int(tables.plastic.rules["neurons"][own.rule]),)),
        "posts": (np.uint32, None),
    }


def take_up_plastic(tables: ly.Tables, state: ly.State, own: Places, saved: dict[str, Any], step: int) -> ly.State:
    """Put what was saved of a plastic projection before a step into a state; the state, with more room if need be.

    Raises
    ------
    ValueError
        It would lead the compiled loop out of its arrays or its numbers.
    """
    rule, targets = tables.plastic.rules[own.rule], _targets(tables, own)
    lengths, posts = np.asarray(saved["post_counts"]), np.asarray(saved["posts"])
    weights, last, traces = saved["weights"], saved["last"], saved["traces"]
    if (
        posts.ndim != 2
        or posts.shape[1] != 2
        or np.any(lengths < 0)
        or np.any(lengths > 2**20)
        or lengths.sum() != len(posts)
    ):
        raise ValueError("spikes of targets that are not there")
    neurons = np.repeat(np.arange(len(lengths)), lengths)
    steps = posts[:, 0].astype(np.int64)
    later = (np.diff(steps) > 0) | (np.diff(neurons) > 0)
    if not (
        np.all((weights >= rule["lowest"]) & (weights <= ly.WEIGHT_ONE))
        and np.all((last >= -1) & (last < step))
        and np.all(traces >= 0)
        and np.all(steps < step)
        and np.all(posts[:, 1] < 2**31)
        and np.all(later)
    ):
        raise ValueError("plastic synapses are out of range")
    while int(lengths.max(initial=0)) + ly.POSTS // 8 > state.plastic.posts.shape[1]:
        state = state._replace(plastic=widened(state.plastic))
    put_weights(tables, state, own, np.asarray(weights, np.int32), step)
    for table in own.tables:
        first = int(tables.tables["rows"][table])
        state.plastic.last[first : first + own.rows] = last
        state.plastic.traces[first : first + own.rows] = traces
    begins = np.cumsum(lengths) - lengths
    state.plastic.posts[targets][neurons, np.arange(len(posts)) - begins[neurons]] = posts
    state.plastic.counts[targets] = lengths
    unseen = np.bincount(neurons[steps > step - int(rule["lag"])], minlength=len(lengths))
    state.plastic.seen[targets] = lengths - unseen
    return state
