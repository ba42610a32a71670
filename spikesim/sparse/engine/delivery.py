"""Delivery: the events of a step become drives, a block of target neurons at a time."""

import numpy as np

from spikesim.engine.simd.llvm import prefetch
from spikesim.jit.compilation import kernel

AHEAD_POINTERS, AHEAD_ROWS = 12, 6
"""Spikes between the one whose row is being read and those that are fetched."""
LINE_BYTES = 64
"""Of the cache."""


@kernel
def deliver(tables, state, block, t, listed):
    """Add the weights of all events that reach a block in step t.

    listed: whether to list the neurons whose drive was zero, from the block's first neuron of `touched` on.

    Returns
    -------
    int
        How many would be listed: a neuron can come more than once. If there are more than neurons, the list is of no
        use.
    """
    first, size = tables.blocks[block].first, tables.blocks[block].neurons
    touched = state.scratch.touched[first : first + size]
    targets, weights = tables.targets, tables.weights
    depth, in_line = state.ring.neurons.shape[0], LINE_BYTES // targets.itemsize
    n = np.int64(0)
    for index in range(tables.blocks[block].tables, tables.blocks[block].tables_end):
        table = tables.tables[index]
        drive = state.drive[first + table.drive : first + table.drive + size]
        delays, source_begin = table.delay_count, table.begin
        constant, weight, shift = table.constant, np.int32(table.weight), np.int32(table.shift)
        pointers = tables.pointers[table.pointers :]
        weights_at, delivered = table.weights, np.int64(0)
        sources = table.sources_end - table.sources
        for visit in range(delays * sources):
            d, source = visit // sources, table.sources + visit % sources
            slot = (t - tables.delays[table.delays + d]) % depth
            fired = state.ring.neurons[slot, tables.parts[source].first :]
            count = state.ring.counts[slot, source]
            for i in range(count):
                # a row is a few cache lines somewhere in memory: ask for those of later spikes, or wait for each
                if i + AHEAD_POINTERS < count:
                    prefetch(pointers, (np.int64(fired[i + AHEAD_POINTERS]) - source_begin) * delays + d)
                if i + AHEAD_ROWS < count:
                    at = (np.int64(fired[i + AHEAD_ROWS]) - source_begin) * delays + d
                    for line in range(pointers[at], pointers[at + 1], in_line):
                        prefetch(targets, line)
                        if not constant:
                            prefetch(weights, weights_at + line)
                at = (np.int64(fired[i]) - source_begin) * delays + d
                begin, end = pointers[at], pointers[at + 1]
                delivered += end - begin
                # slices: loops from 0 need no checks for negative indices, which cost more than the addition
                row_targets = targets[begin:end]
                row_weights = weights[:0] if constant else weights[weights_at + begin : weights_at + end]
                if listed:
                    for j in range(row_targets.shape[0]):
                        target = np.int64(row_targets[j])
                        before = drive[target]
                        if before == 0:
                            if n < size:
                                touched[n] = np.int32(first + target)
                            n += 1
                        own = weight if constant else np.int32(np.int32(row_weights[j]) << shift)
                        drive[target] = np.int32(before + own)
                elif constant:
                    for j in range(row_targets.shape[0]):
                        drive[np.int64(row_targets[j])] += weight
                else:
                    for j in range(row_targets.shape[0]):
                        drive[np.int64(row_targets[j])] += np.int32(np.int32(row_weights[j]) << shift)
        state.counts.events[index] += delivered
    return n
