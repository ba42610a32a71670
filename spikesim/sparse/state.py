"""The state of a trial as the compiled loop has it: made, saved, checked and restored."""

import numpy as np
from numpy.typing import NDArray

from spikesim.runtime.free_memory import gibibytes, naming_memory
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine.resting import GEOMETRIC_BITS
from spikesim.sparse.engine.wheel import refill


def new_state(tables: ly.Tables, projections: int) -> ly.State:
    """V = 0, no spikes; all neurons active, until `start_sources`."""
    neurons, populations = len(tables.bias), len(tables.populations)
    depth = int(tables.delays.max(initial=1)) + 1
    return ly.State(
        membrane=np.zeros(neurons, np.int32),
        drive=np.zeros(neurons, np.int32),
        doing=np.full(neurons, ly.ACTIVE, np.uint8),
        refractory=np.zeros(neurons, np.int32),
        wheel=ly.Wheel(
            slots=np.full((populations, ly.WHEEL_SLOTS), -1, np.int32),
            due=np.zeros(neurons, np.int64),
            following=np.empty(neurons, np.int32),
            preceding=np.empty(neurons, np.int32),
        ),
        active=ly.ActiveList(
            neurons=np.arange(neurons, dtype=np.int32),
            counts=tables.populations["neurons"].copy(),
            dense=np.zeros(populations, np.uint8),
        ),
        ring=ly.SpikeRing(neurons=new_ring(depth, neurons), counts=np.zeros((depth, populations), np.int64)),
        counts=ly.Counts(
            spikes=np.zeros(neurons, np.int64),
            events=np.zeros(projections, np.int64),
            updates=np.zeros(populations, np.int64),
        ),
        scratch=ly.Scratch(
            touched=np.empty(neurons, np.int32),
            powers=np.empty(GEOMETRIC_BITS, np.float64),
            synaptic=np.empty(ly.CHUNK, np.int32),
            probability=np.empty(ly.CHUNK, np.uint16),
            random=np.empty(ly.CHUNK, np.uint16),
            words=np.empty(ly.CHUNK, np.uint32),
            resting=np.empty(ly.CHUNK, np.uint8),
        ),
    )


def new_ring(depth: int, neurons: int) -> NDArray[np.int32]:
    """Room for the spikes of the last steps; memory is taken from the machine for those only that are fired."""
    size = f"{gibibytes(4 * depth * neurons)} for {neurons:,} neurons x {depth:,} steps"
    with naming_memory(
        f"the ring of spikes of a trial, which reaches back as far as the longest delay: {size}",
        "shorten the longest delay or lower the number of neurons",
    ):
        return np.empty((depth, neurons), np.int32)


def saved_arrays(state: ly.State) -> dict[str, NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint8]]:
    """What is saved of a state besides the spikes of the ring, by name: wheel and lists follow from it."""
    return {
        "membrane": state.membrane,
        "doing": state.doing,
        "refractory": state.refractory,
        "due": state.wheel.due,
        "ring_count": state.ring.counts,
        "spikes": state.counts.spikes,
        "events": state.counts.events,
        "updates": state.counts.updates,
    }


def ring_contents(tables: ly.Tables, state: ly.State) -> NDArray[np.int32]:
    """Spikes of the ring, slot by slot and population by population."""
    ring = state.ring
    parts = [
        ring.neurons[slot, first : first + ring.counts[slot, index]]
        for slot in range(len(ring.neurons))
        for index, first in enumerate(tables.populations["first"])
    ]
    return np.concatenate(parts)


def check_state(tables: ly.Tables, state: ly.State) -> None:
    """Refuse what would lead the compiled loop out of its arrays.

    Raises
    ------
    ValueError
    """
    counts = state.ring.counts
    if not (
        np.all((counts >= 0) & (counts <= tables.populations["neurons"]))
        and np.all(state.doing <= ly.ACTIVE)
        and np.all(state.refractory >= 0)
        and np.all(state.wheel.due >= 0)
        and np.all(np.abs(state.membrane.astype(np.int64)) <= ly.MEMBRANE_MAX)
    ):
        raise ValueError("numbers out of range")


def fill_ring(tables: ly.Tables, state: ly.State, contents: NDArray[np.int32]) -> None:
    """The inverse of `ring_contents`, for the counts of the state.

    Raises
    ------
    ValueError
        There are fewer spikes than the counts say, or some of neurons of another population.
    """
    at, ring = 0, state.ring
    for slot in range(len(ring.neurons)):
        for index, population in enumerate(tables.populations):
            first, count = int(population["first"]), int(ring.counts[slot, index])
            own = contents[at : at + count]
            if len(own) != count or np.any((own < first) | (own >= first + population["neurons"])):
                raise ValueError("spikes of neurons that are not there")
            ring.neurons[slot, first : first + count] = own
            at += count


def rebuild(tables: ly.Tables, state: ly.State) -> None:
    """Lists and wheel, from what each neuron is doing."""
    state.drive[:] = 0
    state.active.dense[:] = 0
    for index, population in enumerate(tables.populations):
        first, size = int(population["first"]), int(population["neurons"])
        active = np.flatnonzero(state.doing[first : first + size] == ly.ACTIVE) + first
        state.active.neurons[first : first + len(active)] = active
        state.active.counts[index] = len(active)
    refill(tables, state)
