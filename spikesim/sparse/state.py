"""The state of a trial as the compiled loop has it: made, saved, checked and restored."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.runtime.free_memory import gibibytes, naming_memory
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine.resting import GEOMETRIC_BITS
from spikesim.sparse.engine.wheel import refill
from spikesim.sparse.neurons.step import MEMBRANE_MAX
from spikesim.sparse.plasticity.weights import new_plastic_state


def new_state(tables: ly.Tables) -> ly.State:
    """No spikes; all neurons active, until `start_sources`."""
    neurons, parts = len(tables.bias), len(tables.parts)
    depth = int(tables.delays.max(initial=1)) + 1
    return ly.State(
        membrane=tables.initial.copy(),
        variables=tables.start.copy(),
        drive=np.zeros(neurons * tables.lanes, np.int32),
        doing=np.full(neurons, ly.ACTIVE, np.uint8),
        refractory=np.zeros(neurons, np.int32),
        wheel=ly.Wheel(
            slots=np.full((parts, ly.WHEEL_SLOTS), -1, np.int32),
            due=np.zeros(neurons, np.int64),
            following=np.empty(neurons, np.int32),
            preceding=np.empty(neurons, np.int32),
        ),
        active=ly.ActiveList(
            neurons=np.arange(neurons, dtype=np.int32),
            counts=tables.parts["neurons"].copy(),
            dense=np.zeros(parts, np.uint8),
        ),
        ring=ly.SpikeRing(neurons=new_ring(depth, neurons), counts=np.zeros((depth, parts), np.int64)),
        counts=ly.Counts(
            spikes=np.zeros(neurons, np.int64),
            events=np.zeros(len(tables.tables), np.int64),
            updates=np.zeros(parts, np.int64),
        ),
        cursors=ly.Cursors(
            tables.given.pointers[:-1].copy(), tables.changes.pointers[:-1].copy(), tables.rates.pointers[:-1].copy()
        ),
        plastic=new_plastic_state(tables),
        scratch=new_scratch(np.empty(neurons, np.int32), tables),
    )


def copied(state: Any) -> Any:
    """A state in arrays of its own; working memory, which nothing outlives, stays where it is."""
    if isinstance(state, np.ndarray) or isinstance(state, ly.Scratch):
        return state.copy() if isinstance(state, np.ndarray) else state
    return type(state)(*map(copied, state))


def own_tables(tables: ly.Tables) -> ly.Tables:
    """The tables of a trial: those of all, but for what it changes."""
    if not len(tables.changes.steps):
        return tables
    return tables._replace(bias=tables.bias.copy(), resting=tables.resting.copy())


def seek(tables: ly.Tables, own: ly.Tables, state: ly.State, step: int) -> None:
    """Put the cursors of a trial, its biases and its probabilities at rest to where they are before a step."""
    given, changes, rates = tables.given, tables.changes, tables.rates
    if own is not tables:
        own.bias[...], own.resting[...] = tables.bias, tables.resting
    for part, record in enumerate(tables.parts):
        begin, end = given.pointers[part : part + 2]
        state.cursors.given[part] = begin + np.searchsorted(given.steps[begin:end], step)
        begin, end = rates.pointers[part : part + 2]
        state.cursors.rates[part] = begin + np.searchsorted(rates.steps[begin:end], step)
        begin, end = changes.pointers[part : part + 2]
        last = begin + np.searchsorted(changes.steps[begin:end], step)
        state.cursors.changes[part] = last
        whole = slice(int(record["first"]), int(record["first"] + record["neurons"]))
        for row in range(begin, last):
            entries = slice(changes.entries[row], changes.entries[row + 1])
            neurons = changes.neurons[entries]
            where = whole if len(neurons) and neurons[0] < 0 else neurons
            own.bias[where], own.resting[where] = changes.bias[entries], changes.resting[entries]


def new_scratch(touched: NDArray[np.int32], tables: ly.Tables) -> ly.Scratch:
    """Working memory of a thread, but for the lists of blocks, which threads of a trial have in one array."""
    return ly.Scratch(
        touched=touched,
        powers=np.empty(GEOMETRIC_BITS, np.float64),
        synaptic=np.empty(ly.CHUNK, np.int32),
        probability=np.empty(ly.CHUNK, np.uint16),
        random=np.empty(ly.CHUNK, np.uint16),
        words=np.empty(ly.CHUNK, np.uint32),
        resting=np.empty(ly.CHUNK, np.uint8),
        numbers=np.empty(ly.CHUNK, np.int32),
        gathered=np.zeros((6, ly.CHUNK), np.int32),
        variables=np.empty((len(tables.start), ly.CHUNK), np.int32),
        columns=np.empty((len(tables.columns), ly.CHUNK), np.int32),
    )


def new_ring(depth: int, neurons: int) -> NDArray[np.int32]:
    """Room for the spikes of the last steps; memory is taken from the machine for those only that are fired."""
    size = f"{gibibytes(4 * depth * neurons)} for {neurons:,} neurons x {depth:,} steps"
    with naming_memory(
        f"the ring of spikes of a trial, which reaches back as far as the longest delay: {size}",
        "shorten the longest delay or lower the number of neurons",
    ):
        return np.empty((depth, neurons), np.int32)


def first_parts(tables: ly.Tables) -> NDArray[np.int64]:
    """The first part of each population, int64 (populations,)."""
    return np.flatnonzero(tables.parts["first"] == tables.parts["begin"])


def parts_by_population(tables: ly.Tables) -> list[NDArray[np.int64]]:
    """The parts of each population, ascending."""
    return np.split(np.arange(len(tables.parts)), first_parts(tables)[1:])


def by_population(tables: ly.Tables, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sums over the parts of each population: (..., parts) to (..., populations)."""
    return np.asarray(np.add.reduceat(numbers, first_parts(tables), axis=-1))


def by_projection(tables: ly.Tables, numbers: NDArray[np.int64], projections: int) -> NDArray[np.int64]:
    """Sums over the tables of each projection: (tables,) to (projections,)."""
    found = np.zeros(projections, np.int64)
    np.add.at(found, tables.tables["projection"], numbers)
    return found


Saved = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint8]


def saved_arrays(tables: ly.Tables, state: ly.State, projections: int) -> dict[str, Saved]:
    """What is saved of a state besides the spikes of the ring, by name: wheel and lists follow from it.

    Nothing of it says how populations were cut into parts.
    """
    own: dict[str, Saved] = {"variables": state.variables} if state.variables.size else {}
    return own | {
        "membrane": state.membrane,
        "doing": state.doing,
        "refractory": state.refractory,
        "due": state.wheel.due,
        "ring_count": by_population(tables, state.ring.counts),
        "spikes": state.counts.spikes,
        "events": by_projection(tables, state.counts.events, projections),
        "updates": by_population(tables, state.counts.updates),
    }


def ring_contents(tables: ly.Tables, state: ly.State) -> NDArray[np.int32]:
    """Spikes of the ring, slot by slot and population by population."""
    ring = state.ring
    parts = [
        ring.neurons[slot, first : first + ring.counts[slot, index]]
        for slot in range(len(ring.neurons))
        for index, first in enumerate(tables.parts["first"])
    ]
    return np.concatenate(parts)


def take_up(tables: ly.Tables, state: ly.State, saved: dict[str, Saved], ring: NDArray[np.int32]) -> None:
    """Put what was saved into a state, lists and wheel included.

    Parameters
    ----------
    saved : dict
        As `saved_arrays` has it.
    ring : int32
        As `ring_contents` has it.

    Raises
    ------
    ValueError
        It would lead the compiled loop out of its arrays.
    """
    state.membrane[...], state.doing[...] = saved["membrane"], saved["doing"]
    state.refractory[...], state.wheel.due[...] = saved["refractory"], saved["due"]
    state.counts.spikes[...] = saved["spikes"]
    if state.variables.size:
        state.variables[...] = saved["variables"]
    if not (
        np.all(state.doing <= ly.ACTIVE)
        and np.all(state.refractory >= 0)
        and np.all(state.wheel.due >= 0)
        and np.all(np.abs(state.membrane.astype(np.int64)) <= MEMBRANE_MAX)
        and np.all(np.abs(state.variables.astype(np.int64)) <= MEMBRANE_MAX)
    ):
        raise ValueError("numbers out of range")
    state.counts.updates[...] = 0
    state.counts.updates[first_parts(tables)] = saved["updates"]
    state.counts.events[...] = 0
    projections, first_tables = np.unique(tables.tables["projection"], return_index=True)
    state.counts.events[first_tables] = saved["events"][projections]
    _fill_ring(tables, state, saved["ring_count"], ring)
    _rebuild(tables, state)


def _fill_ring(tables: ly.Tables, state: ly.State, counts: Saved, contents: NDArray[np.int32]) -> None:
    """The inverse of `ring_contents`, for the counts of each slot and population."""
    at, ring, firsts = 0, state.ring, first_parts(tables)
    begins, sizes = tables.parts["begin"][firsts], by_population(tables, tables.parts["neurons"])
    parts = parts_by_population(tables)
    for slot in range(len(ring.neurons)):
        for begin, size, count, of_population in zip(begins, sizes, counts[slot].tolist(), parts, strict=True):
            own = contents[at : at + max(count, 0)]
            if not 0 <= count <= size or len(own) != count or np.any((own < begin) | (own >= begin + size)):
                raise ValueError("spikes of neurons that are not there")
            for part in of_population:
                first, neurons = int(tables.parts["first"][part]), int(tables.parts["neurons"][part])
                held = own[(own >= first) & (own < first + neurons)]
                if len(held) > neurons:
                    raise ValueError("more spikes than neurons")
                ring.neurons[slot, first : first + len(held)] = held
                ring.counts[slot, part] = len(held)
            at += count


def _rebuild(tables: ly.Tables, state: ly.State) -> None:
    """Lists and wheel, from what each neuron is doing."""
    state.drive[:] = 0
    state.active.dense[:] = 0
    for index, part in enumerate(tables.parts):
        first, size = int(part["first"]), int(part["neurons"])
        active = np.flatnonzero(state.doing[first : first + size] == ly.ACTIVE) + first
        state.active.neurons[first : first + len(active)] = active
        state.active.counts[index] = len(active)
    refill(tables, state)
