"""Delivery: the events of a population become drives of its targets, through one table at a time."""

import numpy as np

from spikesim.engine.plan import (
    FIRING_DEVIATIONS,
    FIRING_MEAN_FIELD,
    KIND_DENSE,
    POP_BLOCKS,
    POP_CHANNELS,
    POP_EVENTS,
    POP_HEIGHT,
    POP_LANES,
    POP_POOLED_EVENTS,
    POP_POOLED_START,
    POP_START,
    POP_WIDTH,
    TABLE_APART,
    TABLE_IN_CHANNELS,
    TABLE_IN_HEIGHT,
    TABLE_IN_WIDTH,
    TABLE_KERNEL_HEIGHT,
    TABLE_KERNEL_WIDTH,
    TABLE_KIND,
    TABLE_OUT_HEIGHT,
    TABLE_OUT_WIDTH,
    TABLE_PAD_HEIGHT,
    TABLE_PAD_WIDTH,
    TABLE_POINTERS,
    TABLE_POOLED,
    TABLE_ROWS,
    TABLE_SHIFT,
    TABLE_SHIFT_GRADED,
    TABLE_SOURCE,
    TABLE_STRIDE,
    TABLE_TARGET,
    TABLE_WEIGHTS,
)
from spikesim.engine.simd.accumulate import (
    SMALL,
    add_graded_rows_16,
    add_graded_rows_32,
    add_graded_rows_64,
    deliver_runs_16,
    deliver_runs_32,
    deliver_runs_64,
    deliver_values_16,
    deliver_values_32,
    deliver_values_64,
)
from spikesim.engine.simd.dot_products import deliver_lists, worth_lists
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
    source, target = plan.populations[row[TABLE_SOURCE]], plan.populations[row[TABLE_TARGET]]
    start_at = source[POP_POOLED_START] if row[TABLE_POOLED] else source[POP_START]
    pixels, rows = row[TABLE_IN_HEIGHT] * row[TABLE_IN_WIDTH], row[TABLE_ROWS]
    dense, lanes = row[TABLE_KIND] == KIND_DENSE, target[POP_LANES]
    events = 0
    for sample in range(first, last):
        if state.active[sample]:
            events += state.start[sample, start_at + pixels]
    if events < 2 * (rows if dense else row[TABLE_IN_CHANNELS]):
        return
    for pixel in range(row[TABLE_OUT_HEIGHT] * row[TABLE_OUT_WIDTH] if dense else 1):
        at = row[TABLE_WEIGHTS] + (pixel * target[POP_BLOCKS] + block) * rows * lanes
        for weight in range(at, at + rows * lanes, LINE // 2):
            prefetch(plan.weights, weight)


@kernel
def deliver_block(plan, state, counts, scratch, firing, table, block, sample, out, first_table):
    """Drives of one block of channels of one sample from one conv or dense table, written or added to `out`.

    out: int32, ``[pixel][B]`` at the resolution at which the table delivers. Output-stationary: the sums of one pixel
    stay in registers while its events pass by, a run for each kernel row, or all in one list. Products of graded events
    are added in float64, which holds them all; those of deviations, which are small, in int32, as many at a time as
    `State.largest` shows to fit.
    """
    row = plan.tables[table]
    source, target = plan.populations[row[TABLE_SOURCE]], plan.populations[row[TABLE_TARGET]]
    lanes, blocks = target[POP_LANES], target[POP_BLOCKS]
    graded, deviations = firing >= FIRING_MEAN_FIELD, firing == FIRING_DEVIATIONS
    if row[TABLE_POOLED]:
        events_at, start_at = source[POP_POOLED_EVENTS], source[POP_POOLED_START]
    else:
        events_at, start_at = source[POP_EVENTS], source[POP_START]
    # whole arrays and flat indices, as the vector functions take them
    events, values, start, weights = state.events, state.values, state.start, plan.weights
    events_at += sample * events.shape[1]
    in_height, in_width, in_channels = row[TABLE_IN_HEIGHT], row[TABLE_IN_WIDTH], row[TABLE_IN_CHANNELS]
    out_height, out_width = row[TABLE_OUT_HEIGHT], row[TABLE_OUT_WIDTH]
    pad_height, pad_width = row[TABLE_PAD_HEIGHT], row[TABLE_PAD_WIDTH]
    kernel_height, kernel_width = row[TABLE_KERNEL_HEIGHT], row[TABLE_KERNEL_WIDTH]
    stride, apart = row[TABLE_STRIDE], row[TABLE_APART]  # 1 or 2, one of them 1
    weights_at = row[TABLE_WEIGHTS]
    dense = row[TABLE_KIND] == KIND_DENSE
    rows = row[TABLE_ROWS] if dense else kernel_width * in_channels  # of a position, or of a line of its kernel
    shift = row[TABLE_SHIFT_GRADED] if graded else row[TABLE_SHIFT]
    right, left = max(shift, 0), max(-shift, 0)
    runs, lines, keep = scratch.runs, scratch.lines, np.int64(0 if first_table else -1)
    reach = SMALL // max(state.largest[sample, row[TABLE_SOURCE]], 1) if deviations else 1
    pixels = in_height * in_width
    heard = start[sample, start_at + pixels] * (1 if dense else kernel_height * kernel_width)
    listed = worth_lists(lanes, heard, pixels, graded, deviations, reach)
    delivered = 0
    for y in range(out_height):
        met = 0  # lines of the kernel that meet sources: the first source of the line, and where its weights would be
        for ky in range(kernel_height):
            at_y = y * stride + ky - pad_height
            in_y = at_y >> (apart - 1)
            if 0 <= in_y < in_height and not at_y & (apart - 1):
                line = in_y * in_width
                lines[0, met] = start_at + line
                lines[1, met] = weights_at + ((block * kernel_height + ky) * rows - line * in_channels) * lanes
                met += 1
        for x in range(out_width):
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
                lines[0, 0], lines[1, 0] = start_at, weights_at + (pixel * blocks + block) * rows * lanes
                first_x, last_x, before, count = 0, in_height * in_width, 0, 1
            for k in range(count):
                first, last = start[sample, lines[0, k] + first_x], start[sample, lines[0, k] + last_x]
                runs[0, k], runs[1, k], runs[2, k] = events_at + first, events_at + last, lines[1, k] - before
                delivered += last - first
            at = pixel * lanes
            if listed:
                deliver_lists(
                    weights, events, values, runs, count, lanes, graded, scratch.listed, reach, right, left, out, at,
                    keep,
                )  # fmt: skip
            elif deviations:
                if lanes == 64:
                    deliver_values_64(weights, events, values, runs, count, reach, right, left, out, at, keep)
                elif lanes == 32:
                    deliver_values_32(weights, events, values, runs, count, reach, right, left, out, at, keep)
                else:
                    deliver_values_16(weights, events, values, runs, count, reach, right, left, out, at, keep)
            elif graded:
                add_graded(plan, values, events, scratch, runs, count, lanes, shift, out, at, first_table)
            elif lanes == 64:
                deliver_runs_64(weights, events, values, runs, count, reach, right, left, out, at, keep)
            elif lanes == 32:
                deliver_runs_32(weights, events, values, runs, count, reach, right, left, out, at, keep)
            else:
                deliver_runs_16(weights, events, values, runs, count, reach, right, left, out, at, keep)
    if block == 0:
        if graded:
            counts.graded[sample, table] += delivered * target[POP_CHANNELS]
        else:
            counts.events[sample, table] += delivered * target[POP_CHANNELS]


@inline_kernel
def add_graded(plan, values, events, scratch, runs, count, lanes, shift, out, at, first_table):
    """Drives of one pixel from runs of graded events, added in float64."""
    weights, sums = plan.weights, scratch.graded_sums
    for lane in range(lanes):
        sums[lane] = 0.0
    for run in range(count):
        first, last, origin = runs[0, run], runs[1, run], runs[2, run]
        if lanes == 64:
            add_graded_rows_64(weights, origin, events, values, first, last, sums)
        elif lanes == 32:
            add_graded_rows_32(weights, origin, events, values, first, last, sums)
        else:
            add_graded_rows_16(weights, origin, events, values, first, last, sums)
    for lane in range(lanes):
        drive = np.int32(shifted(np.int64(sums[lane]), shift))
        out[at + lane] = drive if first_table else out[at + lane] + drive


@kernel
def deliver_sparse(plan, state, counts, scratch, firing, table, sample, slot):
    """Add the drives of one sample from one CSR table to `scratch.sparse_drive[slot]`, in the layout of the state."""
    row = plan.tables[table]
    source, target = plan.populations[row[TABLE_SOURCE]], plan.populations[row[TABLE_TARGET]]
    size = target[POP_HEIGHT] * target[POP_WIDTH] * target[POP_BLOCKS] * target[POP_LANES]
    graded = firing == FIRING_MEAN_FIELD
    first = state.start[sample, source[POP_START]]
    last = state.start[sample, source[POP_START] + source[POP_HEIGHT] * source[POP_WIDTH]]
    sums = scratch.sparse
    sums[:size] = 0
    delivered = 0
    for i in range(source[POP_EVENTS] + first, source[POP_EVENTS] + last):
        pointer = row[TABLE_POINTERS] + np.int64(state.events[sample, i])
        value = np.int64(state.values[sample, i]) if graded else np.int64(1)
        begin, end = plan.sparse_pointers[pointer], plan.sparse_pointers[pointer + 1]
        for synapse in range(row[TABLE_WEIGHTS] + begin, row[TABLE_WEIGHTS] + end):
            sums[plan.sparse_targets[synapse]] += value * np.int64(plan.sparse_weights[synapse])
        delivered += end - begin
    shift = row[TABLE_SHIFT_GRADED] if graded else row[TABLE_SHIFT]
    for i in range(size):
        scratch.sparse_drive[slot, i] += np.int32(shifted(sums[i], shift))
    if graded:
        counts.graded[sample, table] += delivered
    else:
        counts.events[sample, table] += delivered
