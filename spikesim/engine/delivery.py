"""Delivery: the events of a population become drives of its targets, through one table at a time."""

import numpy as np

from spikesim.engine.plan import (
    FIRING_DEVIATIONS,
    FIRING_MEAN_FIELD,
    KIND_DENSE,
)
from spikesim.engine.simd.accumulate import (
    SMALL,
    Drive,
    Scale,
    Synapses,
    deliver_runs_16,
    deliver_runs_32,
    deliver_runs_64,
    deliver_values_16,
    deliver_values_32,
    deliver_values_64,
)
from spikesim.engine.simd.dot_products import deliver_lists, worth_lists
from spikesim.engine.simd.graded_rows import deliver_graded
from spikesim.engine.simd.llvm import prefetch
from spikesim.jit.aligned import LINE
from spikesim.jit.compilation import inline_kernel, kernel


@inline_kernel
def shifted(value, shift):
    """value * 2**-shift with halves rounded up; as `fixed_point.shift_rounding`."""
    if shift > 0:
        return (value + (np.int64(1) << (shift - 1))) >> shift
    return value << -shift


@kernel
def fetch_weights(plan, state, table, block, first, last):
    """Ask for the weights of a table onto one block of channels, if samples `first` to `last` will read them all.

    They read rows here and there, and would wait for each; one after the other they come from afar twice as fast.
    """
    row = plan.tables[table]
    source, target = plan.populations[row.source], plan.populations[row.target]
    start_at = source.pooled_start if row.pooled else source.start
    pixels, rows = row.in_height * row.in_width, row.rows
    dense, lanes = row.kind == KIND_DENSE, target.lanes
    events = 0
    for sample in range(first, last):
        if state.active[sample]:
            events += state.start[sample, start_at + pixels]
    if events < 2 * (rows if dense else row.in_channels):
        return
    for pixel in range(row.out_height * row.out_width if dense else 1):
        at = row.weights + (pixel * target.blocks + block) * rows * lanes
        for weight in range(at, at + rows * lanes, LINE // 2):
            prefetch(plan.weights, weight)


@kernel
def deliver_block(engine, firing, table, block, sample, out, first_table):
    """Drives of one block of channels of one sample from one conv or dense table, written or added to `out`.

    out: int32, ``[pixel][B]`` at the resolution at which the table delivers. Output-stationary: the sums of one pixel
    stay in registers while its events pass by, a run for each kernel row, or all in one list. Values of graded events
    are multiplied in two halves; deviations, which are small, as they are, and added in int32, as many at a time as
    `State.largest` shows to fit.
    """
    plan, state, counts, scratch = engine.plan, engine.state, engine.counts, engine.scratch
    row = plan.tables[table]
    source, target = plan.populations[row.source], plan.populations[row.target]
    lanes, blocks = target.lanes, target.blocks
    graded, deviations = firing >= FIRING_MEAN_FIELD, firing == FIRING_DEVIATIONS
    if row.pooled:
        events_at, start_at = source.pooled_events, source.pooled_start
    else:
        events_at, start_at = source.events, source.start
    # whole arrays and flat indices, as the vector functions take them
    synapses, start = Synapses(plan.weights, state.events, state.values), state.start
    events_at += sample * state.events.shape[1]
    in_height, in_width, in_channels = row.in_height, row.in_width, row.in_channels
    out_height, out_width = row.out_height, row.out_width
    pad_height, pad_width = row.pad_height, row.pad_width
    kernel_height, kernel_width = row.kernel_height, row.kernel_width
    stride, apart = row.stride, row.apart  # 1 or 2, one of them 1
    weights_at = row.weights
    dense = row.kind == KIND_DENSE
    rows = row.rows if dense else kernel_width * in_channels  # of a position, or of a line of its kernel
    shift = row.shift_graded if graded else row.shift
    runs, lines, keep = scratch.runs, scratch.lines, 0 if first_table else -1
    reach = SMALL // max(state.largest[sample, row.source], 1) if deviations else 1
    scale = Scale(reach, max(shift, 0), max(-shift, 0))
    pixels = in_height * in_width
    heard = start[sample, start_at + pixels] * (1 if dense else kernel_height * kernel_width)
    listed = worth_lists(lanes, heard, pixels, graded, deviations, reach)
    extent = state.extent[sample, row.target]
    columns_there = min(out_width, extent >> 1 if row.tiled else extent)
    delivered = 0
    for y in range(out_height):
        met = 0  # lines of the kernel that meet sources: the first source of the line, and where its weights would be
        for ky in range(kernel_height):
            at_y = y * stride + ky - pad_height
            in_y = at_y >> (apart - 1)
            if 0 <= in_y < in_height and not at_y & (apart - 1):
                line = in_y * in_width
                lines.start[met] = start_at + line
                lines.weights[met] = weights_at + ((block * kernel_height + ky) * rows - line * in_channels) * lanes
                met += 1
        for x in range(columns_there):
            pixel = y * out_width + x
            # where the kernel's first column that meets a source lies, perhaps outside, and how many there are: with
            # sources apart, there is one at every second position, for even columns or (odd is 1) for odd ones
            at_x = x * stride - pad_width
            odd = at_x & (apart - 1)
            in_x, columns = (at_x + odd) >> (apart - 1), (kernel_width - odd + apart - 1) >> (apart - 1)
            first_x, last_x = max(in_x, 0), min(in_x + columns, in_width)
            before = (in_x - odd * ((kernel_width + 1) >> 1)) * in_channels * lanes
            count = met if first_x < last_x else 0
            if dense:
                lines.start[0], lines.weights[0] = start_at, weights_at + (pixel * blocks + block) * rows * lanes
                first_x, last_x, before, count = 0, in_height * in_width, 0, 1
            for k in range(count):
                first, last = start[sample, lines.start[k] + first_x], start[sample, lines.start[k] + last_x]
                runs.first[k], runs.last[k] = events_at + first, events_at + last
                runs.origin[k] = lines.weights[k] - before
                delivered += last - first
            drive = Drive(out, pixel * lanes, keep)
            if listed:
                deliver_lists(synapses, runs, count, lanes, graded, scratch.listed, scale, drive)
            elif deviations:
                if lanes == 64:
                    deliver_values_64(synapses, runs, count, scale, drive)
                elif lanes == 32:
                    deliver_values_32(synapses, runs, count, scale, drive)
                else:
                    deliver_values_16(synapses, runs, count, scale, drive)
            elif graded:
                deliver_graded(synapses, runs, count, lanes, scratch.listed, scale, drive)
            elif lanes == 64:
                deliver_runs_64(synapses, runs, count, scale, drive)
            elif lanes == 32:
                deliver_runs_32(synapses, runs, count, scale, drive)
            else:
                deliver_runs_16(synapses, runs, count, scale, drive)
    if block == 0:
        if graded:
            counts.graded[sample, table] += delivered * target.channels
        else:
            counts.events[sample, table] += delivered * target.channels


@kernel
def deliver_sparse(engine, firing, table, sample, slot):
    """Add the drives of one sample from one CSR table to `scratch.sparse_drive[slot]`, in the layout of the state."""
    plan, state, counts, scratch = engine.plan, engine.state, engine.counts, engine.scratch
    row = plan.tables[table]
    source, target = plan.populations[row.source], plan.populations[row.target]
    size = target.height * target.width * target.blocks * target.lanes
    graded = firing == FIRING_MEAN_FIELD
    first = state.start[sample, source.start]
    last = state.start[sample, source.start + source.height * source.width]
    sums = scratch.sparse
    sums[:size] = 0
    delivered = 0
    for i in range(source.events + first, source.events + last):
        pointer = row.pointers + np.int64(state.events[sample, i])
        value = np.int64(state.values[sample, i]) if graded else np.int64(1)
        begin, end = plan.sparse_pointers[pointer], plan.sparse_pointers[pointer + 1]
        for synapse in range(row.weights + begin, row.weights + end):
            sums[plan.sparse_targets[synapse]] += value * np.int64(plan.sparse_weights[synapse])
        delivered += end - begin
    shift = row.shift_graded if graded else row.shift
    for i in range(size):
        scratch.sparse_drive[slot, i] += np.int32(shifted(sums[i], shift))
    if graded:
        counts.graded[sample, table] += delivered
    else:
        counts.events[sample, table] += delivered
