"""Arrays that the compiled loop runs on: what is fixed (`Tables`) and what moves (`State`), and their columns.

Neurons of all populations have one numbering, population after population. The targets of a population are cut into
blocks whose drives stay in a core's cache; a *table* holds the synapses of one projection into one block, a row for
each (source neuron, delay).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Columns of Tables.populations
(
    POP_FIRST,  # number of its first neuron
    POP_SIZE,
    POP_KIND,
    POP_LEAK,
    POP_SHIFT,  # a sum of weights counts 2**-shift in units of 2**-16; 0 .. 28
    POP_THRESHOLD,
    POP_RESET,
    POP_WIDTH,  # excess over the threshold above which p rises no further
    POP_SLOPE,  # probability an excess over the threshold, unit 2**-48
    POP_REFRACTORY,
    POP_POISSON,  # offset of its Poisson probabilities, -1: none
    POP_POISSON_TERMS,
    POP_POISSON_DRIVE,  # what one of its arrivals adds to the sum of weights
    POP_RECORDED,
    POP_COLUMNS,
) = range(15)
KIND_PROBABILISTIC, KIND_LIF, KIND_SOURCE = 0, 1, 2

# Columns of Tables.blocks
BLOCK_POPULATION, BLOCK_FIRST, BLOCK_SIZE, BLOCK_TABLES, BLOCK_TABLES_END, BLOCK_COLUMNS = range(6)

# Columns of Tables.tables
(
    TABLE_SOURCE,  # population
    TABLE_PROJECTION,
    TABLE_POINTERS,  # offset of its rows
    TABLE_DELAYS,  # offset of its delays
    TABLE_DELAY_COUNT,
    TABLE_WEIGHTS,  # offset of its weights minus that of its targets, unless all are equal
    TABLE_CONSTANT,  # 1: all weights are TABLE_WEIGHT
    TABLE_WEIGHT,
    TABLE_SHIFT,  # other weights count 2**shift in the sums
    TABLE_COLUMNS,
) = range(10)

# What a neuron is doing
SILENT, SCHEDULED, ACTIVE = 0, 1, 2

WHEEL_SLOTS = 4096
"""A spike that is due in more steps than this stays in its slot for more than one turn of the wheel."""
BLOCK_SMALLEST, BLOCK_LARGEST = 2**13, 2**16
CHUNK = 512
"""Neurons whose potentials, probabilities and random numbers stay in the cache between the loops; a multiple of 16."""
ROW_SYNAPSES = 256
"""Synapses that a row should have at least, or reading where it begins costs more than reading it."""
ROW_SHORTEST = 64
"""Where rows of the largest blocks have fewer, blocks take in all neurons and targets are numbered in 32 bits."""


class Tables(NamedTuple):
    """The network, the same for all trials."""

    populations: NDArray[np.int64]  # (populations, POP_COLUMNS)
    blocks: NDArray[np.int64]  # (blocks, BLOCK_COLUMNS)
    tables: NDArray[np.int64]  # (tables, TABLE_COLUMNS)
    bias: NDArray[np.int32]  # (neurons,): 1.0 = 2**16
    resting: NDArray[np.float64]  # (neurons,): probability of a spike in a step of rest
    poisson: NDArray[np.uint64]  # probabilities of more than 0, 1, .. arrivals, unit 2**-64
    delays: NDArray[np.int64]  # of each table, ascending, at least 1
    pointers: NDArray[np.int64]  # of each table, (sources * delays + 1,), positions in `targets`
    targets: NDArray[np.uint16] | NDArray[np.uint32]  # (synapses,): within the block
    weights: NDArray[np.int16]  # (synapses whose weights differ,)


class Chunk(NamedTuple):
    """Working memory for some neighbouring neurons."""

    synaptic: NDArray[np.int32]  # (CHUNK,)
    probability: NDArray[np.uint16]  # (CHUNK,)
    random: NDArray[np.uint16]  # (CHUNK,)
    resting: NDArray[np.uint8]  # (CHUNK,)


class State(NamedTuple):
    """One trial."""

    membrane: NDArray[np.int32]  # (neurons,): 1.0 = 2**16
    drive: NDArray[np.int32]  # (neurons,): sums of weights of the present step; zero between steps
    doing: NDArray[np.uint8]  # (neurons,): SILENT, SCHEDULED or ACTIVE
    refractory: NDArray[np.int32]  # (neurons,): steps left
    due: NDArray[np.int64]  # (neurons,): step of the scheduled spike
    following: NDArray[np.int32]  # (neurons,): in the slot of the wheel, -1: none
    preceding: NDArray[np.int32]  # (neurons,)
    slots: NDArray[np.int32]  # (populations, WHEEL_SLOTS): first neuron of each slot, -1: none
    dense: NDArray[np.uint8]  # (populations,): many are active, all are looked at and `active` is out of date
    active: NDArray[np.int32]  # (neurons,): the active ones of each population, from its first neuron on
    active_count: NDArray[np.int64]  # (populations,)
    touched: NDArray[np.int32]  # (neurons,): those that events have reached in this step, by block
    ring: NDArray[np.int32]  # (longest delay + 1, neurons): spikes of the last steps, as `active`
    ring_count: NDArray[np.int64]  # (longest delay + 1, populations)
    powers: NDArray[np.float64]  # (GEOMETRIC_BITS,): working memory
    chunk: "Chunk"
    spikes: NDArray[np.int64]  # (neurons,): counted so far
    events: NDArray[np.int64]  # (projections,): synaptic events so far
    updates: NDArray[np.int64]  # (populations,): neurons visited so far


class Log(NamedTuple):
    """What a stretch of steps records."""

    steps: NDArray[np.int64]  # (capacity,): step of each recorded spike
    neurons: NDArray[np.int32]  # (capacity,)
    used: NDArray[np.int64]  # (1,)
    counts: NDArray[np.int64]  # (steps, populations): spikes
    probes: NDArray[np.int64]  # (probed,): neurons whose membrane potentials are recorded
    traces: NDArray[np.int32]  # (steps, probed)
