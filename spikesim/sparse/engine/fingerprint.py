"""A number that says which synapses there are, the same however the tables are cut into blocks."""

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel


@inline_kernel
def _mixed(word):
    """A bijection of 64 bits in which every bit of the input changes about half of those of the output.

    splitmix64: Steele et al. 2014, "Fast splittable pseudorandom number generators".
    """
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@kernel
def synapse_sum(tables, index, begin):
    """The sum, modulo 2**64, of a number for each synapse of a table: of source, target, delay and weight.

    begin: number of the first neuron of the block within its population.

    Returns
    -------
    uint64
    """
    table = tables.tables[index]
    delays, total = table.delay_count, np.uint64(0)
    sources = np.int64(0)
    for part in range(table.sources, table.sources_end):
        sources += tables.parts[part].neurons
    for source in range(sources):
        for d in range(delays):
            row = table.pointers + source * delays + d
            start = _mixed(np.uint64(source) ^ (np.uint64(tables.delays[table.delays + d]) << np.uint64(32)))
            for synapse in range(tables.pointers[row], tables.pointers[row + 1]):
                weight = table.weight
                if table.rule >= 0:
                    weight = np.int64(tables.plastic.weights[table.weights + synapse])
                elif not table.constant:
                    weight = np.int64(tables.weights[table.weights + synapse]) << table.shift
                target = np.uint64(begin + np.int64(tables.targets[synapse]))
                total += _mixed(start + _mixed(target ^ (np.uint64(weight & 0xFFFFFFFF) << np.uint64(32))))
    return total
