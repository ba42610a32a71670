"""The plastic synapses of a projection in one order: by source, delay, target, then as they were given.

It does not depend on how the tables are cut into blocks. The kernels take the tables of the projection in the order of
their blocks (`indices`), and these blocks (`blocks`).
"""

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.plastic import present, row_of, side_of


@inline_kernel
def _rows(tables, indices):
    """How many rows each of the tables has."""
    first, sources = tables.tables[indices[0]], np.int64(0)
    for part in range(first.sources, first.sources_end):
        sources += tables.parts[part].neurons
    return sources * first.delay_count


@kernel
def list_synapses(tables, indices, blocks, sources, targets, delays):
    """Write source, target and delay of each synapse, int64 (synapses,)."""
    at = 0
    for number in range(_rows(tables, indices)):
        for i in range(indices.shape[0]):
            table, block = tables.tables[indices[i]], tables.blocks[blocks[i]]
            begin = block.first - tables.parts[block.part].begin
            row = table.pointers + number
            for synapse in range(tables.pointers[row], tables.pointers[row + 1]):
                sources[at] = number // table.delay_count
                targets[at] = begin + np.int64(tables.targets[synapse])
                delays[at] = tables.delays[table.delays + number % table.delay_count]
                at += 1


@kernel
def list_weights(tables, state, indices, blocks, t, out):
    """Write the weight of each synapse as a spike that comes in step t finds it, int32 (synapses,)."""
    at = 0
    for number in range(_rows(tables, indices)):
        for i in range(indices.shape[0]):
            table, block = tables.tables[indices[i]], tables.blocks[blocks[i]]
            rule, plus = tables.plastic.rules[table.rule], side_of(tables.plastic, 2 * table.rule)
            row = row_of(tables, state, indices[i], number, number % table.delay_count, t)
            posts = rule.posts + block.first - rule.begin
            begin, end = tables.pointers[table.pointers + number], tables.pointers[table.pointers + number + 1]
            for synapse in range(begin, end):
                weight = np.int64(state.plastic.weights[table.weights + synapse])
                out[at] = present(tables, state, plus, row, posts + np.int64(tables.targets[synapse]), weight)
                at += 1


@kernel
def put_weights(tables, state, indices, values):
    """Give each synapse another weight, int32 (synapses,)."""
    at = 0
    for number in range(_rows(tables, indices)):
        for i in range(indices.shape[0]):
            table = tables.tables[indices[i]]
            row = table.pointers + number
            for synapse in range(tables.pointers[row], tables.pointers[row + 1]):
                state.plastic.weights[table.weights + synapse] = values[at]
                at += 1


@kernel
def locate(tables, indices, blocks, numbers, places):
    """Where some synapses are whose numbers ascend: table, block, row and synapse, int64 (synapses, 4)."""
    at, n = 0, 0
    for number in range(_rows(tables, indices)):
        for i in range(indices.shape[0]):
            row = tables.tables[indices[i]].pointers + number
            begin, end = tables.pointers[row], tables.pointers[row + 1]
            while n < numbers.shape[0] and numbers[n] < at + end - begin:
                places[n, 0], places[n, 1], places[n, 2] = indices[i], blocks[i], number
                places[n, 3] = begin + numbers[n] - at
                n += 1
            at += end - begin


@kernel
def chosen_weights(tables, state, places, t, out):
    """The weights of located synapses as spikes that come in step t find them, int32 (synapses,)."""
    for i in range(places.shape[0]):
        index, number, synapse = places[i, 0], places[i, 2], places[i, 3]
        table, block = tables.tables[index], tables.blocks[places[i, 1]]
        rule, plus = tables.plastic.rules[table.rule], side_of(tables.plastic, 2 * table.rule)
        row = row_of(tables, state, index, number, number % table.delay_count, t)
        target = rule.posts + block.first - rule.begin + np.int64(tables.targets[synapse])
        weight = np.int64(state.plastic.weights[table.weights + synapse])
        out[i] = present(tables, state, plus, row, target, weight)
