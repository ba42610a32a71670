"""The arrays that a group of samples carries through a phase, and the working memory of a thread."""

import numpy as np
from numpy.typing import NDArray

from spikesim.engine import plan as p
from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.simd.compress import SLACK
from spikesim.jit.aligned import aligned_zeros


def new_state(compiled: CompiledNetwork, samples: int, firing: int) -> p.State:
    """State of `samples` samples at rest: V = 0, no spikes."""
    sizes = compiled.sizes
    populations = compiled.plan.populations
    graded, stratified = firing == p.FIRING_MEAN_FIELD, firing == p.FIRING_STRATIFIED
    has_external, has_nudge = populations["external"].any(), populations["nudge"].any()
    return p.State(
        membrane=aligned_zeros((samples, sizes["state"]), np.int32),
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
        sample_ids=np.arange(samples, dtype=np.int64),
        active=np.ones(samples, np.uint8),
    )


def new_counts(compiled: CompiledNetwork, samples: int) -> p.Counts:
    """Counters at zero."""
    populations, tables = len(compiled.plan.populations), len(compiled.plan.tables)

    def zeros(*shape: int) -> NDArray[np.int64]:
        return np.zeros((samples, *shape), np.int64)

    return p.Counts(
        spikes=zeros(populations),
        events=zeros(tables),
        graded=zeros(tables),
        updates=zeros(populations),
        steps=zeros(),
        energy=zeros(populations),
        residual=zeros(populations),
    )


def clear_counts(counts: p.Counts) -> None:
    """Set all counters to zero."""
    for array in counts:
        array[...] = 0


def new_scratch(compiled: CompiledNetwork) -> p.Scratch:
    """Working memory for one thread."""
    populations = compiled.plan.populations
    populations = populations[populations["streamed"] == 0]  # nothing is delivered to the others
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
    return p.Scratch(
        lines=np.zeros((2, kernel_height), np.int64),
        runs=np.zeros((3, kernel_height), np.int64),
        graded_sums=np.zeros(64, np.float64),
        listed=np.zeros((3, room_for_lists(compiled.plan)), np.int32),
        rows=rows[None],
        drive=rows[row : 2 * row],
        full=full_and_tile[0],
        tile=full_and_tile[1],
        random=aligned_zeros((1, row), np.uint16),
        sparse=np.zeros(sparse_size, np.int64),
        sparse_drive=np.zeros((slots, max(1, sparse_size)), np.int32),
    )


def room_for_lists(plan: p.Plan) -> int:
    """Numbers that the list of a pixel may need, whatever fires."""
    room = 0
    for row in plan.tables:
        room = max(room, row.rows * (4 if row.pooled else 1))
    return int(room) + SLACK
