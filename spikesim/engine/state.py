"""The arrays that a group of samples carries through a phase, and the working memory of a thread."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.neurons import ARRAYS, MODELS, Memory
from spikesim.engine.plan import FIRING_MEAN_FIELD, FIRING_STRATIFIED, Plan
from spikesim.engine.simd.accumulate import Runs
from spikesim.engine.simd.compress import SLACK
from spikesim.engine.simd.dot_products import Listed
from spikesim.jit.aligned import aligned_zeros


class State(NamedTuple):
    """What a group of n samples carries from step to step."""

    membrane: NDArray[np.int32]  # (n, state size)
    memory: Any  # Memory: what the models of neurons carry besides
    words: NDArray[np.uint16]  # (n, words): spikes of the present step
    events: NDArray[np.int32]  # (n, events)
    values: NDArray[np.int32]  # (n, events) in the mean-field mode, else (n, 0)
    start: NDArray[np.int64]  # (n, delimiters)
    largest: NDArray[np.int64]  # (n, P) for deviations, else (n, 0): size of the largest value of the events
    threshold: NDArray[np.uint16]  # (n, state size) for stratified firing, else (n, 0)
    external: NDArray[np.int32]  # (n, state size) or (n, 0)
    nudge: NDArray[np.int32]  # (n, state size) or (n, 0)
    window: NDArray[np.int32]  # (2, n, state size): sums over the two halves of the window
    unclipped: NDArray[np.uint16]  # (2, n, state size) or (2, n, 0): steps of the halves in which p followed V
    winners: NDArray[np.uint16]  # (n, words) where there are winners of cells, else (n, 0): a bit for each of them
    wins: NDArray[np.uint16]  # (2, n, state size) or (2, n, 0): steps of the halves in which a neuron won its cell
    sample_ids: NDArray[np.int64]  # (n,)
    active: NDArray[np.uint8]  # (n,): 0 for a sample that has settled
    extent: NDArray[np.int64]  # (n, P): columns of a map that exist; neurons beyond them stay at rest


class Counts(NamedTuple):
    """What happened, by sample. Every reported figure derives from these."""

    spikes: NDArray[np.int64]  # (n, P)
    events: NDArray[np.int64]  # (n, T): synaptic events delivered (accumulates)
    graded: NDArray[np.int64]  # (n, T): graded synaptic events delivered (multiply-accumulates)
    updates: NDArray[np.int64]  # (n, P): neuron updates
    steps: NDArray[np.int64]  # (n,)
    energy: NDArray[np.int64]  # (n, P): sum of p (p - u - d + nudge) at the last step, unit 2**-32
    residual: NDArray[np.int64]  # (n, P): sum of |difference of the halves of the window|


class Lines(NamedTuple):
    """Lines of a kernel that meet sources, int64 (kernel height,); see `spikesim.engine.delivery.deliver_block`."""

    start: NDArray[np.int64]  # where the delimiters of the line's first source are
    weights: NDArray[np.int64]  # where the weights of event 0 would be


class Scratch(NamedTuple):
    """Working memory of one thread; its content means nothing between calls."""

    lines: Lines
    runs: Runs  # (kernel height,)
    listed: Listed  # (room,): rows that a pixel hears
    rows: NDArray[np.int32]  # (1, size): a row of pixels of zeros, then the memory of the next three
    drive: NDArray[np.int32]  # (width * B,): a row of pixels
    full: NDArray[np.int32]  # (together, pixels * B): drives of a block of channels
    tile: NDArray[np.int32]  # the same at half the resolution
    random: NDArray[np.uint16]  # (1, width * B)
    sparse: NDArray[np.int64]  # (state size of the largest population with a CSR table,)
    sparse_drive: NDArray[np.int32]  # (together, the same, or 1)


class Engine(NamedTuple):
    """What the loop runs: a network, what its samples carry and count, and the working memory of a thread."""

    plan: Plan
    state: State
    counts: Counts
    scratch: Scratch


def new_state(compiled: CompiledNetwork, samples: int, firing: int) -> State:
    """State of `samples` samples at rest: V = 0, no spikes."""
    sizes = compiled.sizes
    populations = compiled.plan.populations
    graded, stratified = firing == FIRING_MEAN_FIELD, firing == FIRING_STRATIFIED
    has_external, has_nudge = populations["external"].any(), populations["nudge"].any()
    return State(
        membrane=aligned_zeros((samples, sizes["state"]), np.int32),
        memory=_new_memory(compiled, samples, "mean_field" if graded else "model"),
        words=np.zeros((samples, sizes["words"]), np.uint16),
        events=np.zeros((samples, sizes["events"]), np.int32),
        values=np.zeros((samples, sizes["events"] if graded else 0), np.int32),
        start=np.zeros((samples, sizes["start"]), np.int64),
        largest=np.zeros((samples, 0), np.int64),
        threshold=aligned_zeros((samples, sizes["state"] if stratified else 0), np.uint16),
        external=aligned_zeros((samples, sizes["state"] if has_external else 0), np.int32),
        nudge=aligned_zeros((samples, sizes["state"] if has_nudge else 0), np.int32),
        window=aligned_zeros((2, samples, sizes["state"]), np.int32),
        unclipped=aligned_zeros((2, samples, 0), np.uint16),
        winners=np.zeros((samples, sizes["words"] if populations["winner"].any() else 0), np.uint16),
        wins=aligned_zeros((2, samples, 0), np.uint16),
        sample_ids=np.arange(samples, dtype=np.int64),
        active=np.ones(samples, np.uint8),
        extent=np.tile(populations["width"].astype(np.int64), (samples, 1)),
    )


def _new_memory(compiled: CompiledNetwork, samples: int, column: str) -> Any:
    """What the models of a network carry, at rest; column: of the plan, which has their numbers."""
    needed = {own.name for model in np.unique(compiled.plan.populations[column]) for own in MODELS[model].arrays}
    arrays = {
        name: aligned_zeros((samples, compiled.sizes["state"] if name in needed else 0), own.dtype)
        for name, own in ARRAYS.items()
    }
    for name, array in arrays.items():
        array[...] = ARRAYS[name].rest
    return Memory(**arrays)


def put_to_rest(state: State, n: int) -> None:
    """The first n samples to rest: V = 0, no spikes, and what the models carry."""
    state.membrane[:n] = 0
    state.words[:n] = 0
    for name, own in ARRAYS.items():
        getattr(state.memory, name)[:n] = own.rest


def new_counts(compiled: CompiledNetwork, samples: int) -> Counts:
    """Counters at zero."""
    populations, tables = len(compiled.plan.populations), len(compiled.plan.tables)

    def zeros(*shape: int) -> NDArray[np.int64]:
        return np.zeros((samples, *shape), np.int64)

    return Counts(
        spikes=zeros(populations),
        events=zeros(tables),
        graded=zeros(tables),
        updates=zeros(populations),
        steps=zeros(),
        energy=zeros(populations),
        residual=zeros(populations),
    )


def clear_counts(counts: Counts) -> None:
    """Set all counters to zero."""
    for array in counts:
        array[...] = 0


def new_scratch(compiled: CompiledNetwork) -> Scratch:
    """Working memory for one thread."""
    populations = compiled.plan.populations
    populations = populations[populations["spike_input"] == 0]  # nothing is delivered to the others
    block = populations["height"] * populations["width"] * populations["lanes"]
    together = populations["together"]
    slots, largest = int(together.max()), int((block * together).max())
    row = int((populations["width"] * populations["lanes"]).max())
    sparse = populations["sparse"] > 0
    sparse_size = int((block * populations["blocks"])[sparse].max(initial=0))
    kernel_height = int(compiled.plan.tables["kernel_height"].max(initial=1))
    per_slot = max(-(-largest // slots), int(block.max()))
    rows = aligned_zeros(2 * row + 2 * slots * per_slot, np.int32)
    full_and_tile = rows[2 * row :].reshape(2, slots, per_slot)
    return Scratch(
        lines=Lines(*np.zeros((2, kernel_height), np.int64)),
        runs=Runs(*np.zeros((3, kernel_height), np.int64)),
        listed=Listed(*np.zeros((3, room_for_lists(compiled.plan)), np.int32)),
        rows=rows[None],
        drive=rows[row : 2 * row],
        full=full_and_tile[0],
        tile=full_and_tile[1],
        random=aligned_zeros((1, row), np.uint16),
        sparse=np.zeros(sparse_size, np.int64),
        sparse_drive=np.zeros((slots, max(1, sparse_size)), np.int32),
    )


def room_for_lists(plan: Plan) -> int:
    """Numbers that the list of a pixel may need, whatever fires."""
    room = 0
    for row in plan.tables:
        room = max(room, row.rows * (4 if row.pooled else 1))
    return int(room) + SLACK
