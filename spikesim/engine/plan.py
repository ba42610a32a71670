"""The plan: a network as a handful of arrays, which is all that the compiled loop sees.

One row of `Plan.populations` describes a population, one row of `Plan.tables` one direction of a synapse table. The
columns are the constants below.

Layouts, B being the population's block of channels (16, 32 or 64; the channels are padded to a multiple of it):

- membrane, drives, window sums: ``[block][pixel][B]``, so that a block of channels is contiguous;
- spikes: one bit a neuron in words of 16, ``[pixel][word]``;
- event lists: ``events[start[pixel]:start[pixel + 1]]`` holds ``pixel * C + channel`` for the spikes of a pixel. Events
  of neighbouring pixels in a row are one run, and the weights of a kernel row are one table ``[kx * Cin][B]``:
  subtracting the offset of the first pixel from an event *is* its address in the table.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Columns of Plan.populations
(
    POP_HEIGHT,
    POP_WIDTH,
    POP_CHANNELS,
    POP_LANES,  # B
    POP_BLOCKS,
    POP_STATE,  # offset of the population in the state of a sample
    POP_WORDS,  # offset of its spike words
    POP_EVENTS,  # offset of its event list
    POP_START,  # offset of the list's delimiters
    POP_POOLED_EVENTS,  # the same for the list at half the resolution; -1: nobody reads it
    POP_POOLED_START,
    POP_BIAS,  # offset in Plan.bias
    POP_LEAK,  # k of alpha = 2**-k
    POP_LAYER,  # the layer number that keys its random numbers
    POP_STREAMED,  # 1: its spikes come from outside, it has no membrane
    POP_EXTERNAL,  # 1: it has an external drive
    POP_NUDGE,  # 1: it has a nudge
    POP_TOGETHER,  # samples that pass by while a slice of the tables stays in the cache
    POP_SPARSE,  # 1: a CSR table delivers into it
    POP_COLUMNS,
) = range(20)

# Columns of Plan.tables
(
    TABLE_SOURCE,
    TABLE_TARGET,
    TABLE_KIND,
    TABLE_POOLED,  # whether it reads the source's pooled list: NOT_POOLED, POOL_AVERAGE, POOL_SAMPLED
    TABLE_TILED,  # 1: it delivers at half the target's resolution
    TABLE_KERNEL_HEIGHT,
    TABLE_KERNEL_WIDTH,
    TABLE_PAD_HEIGHT,
    TABLE_PAD_WIDTH,
    TABLE_STRIDE,  # distance between what neighbouring targets read
    TABLE_APART,  # distance between the targets of neighbouring sources: the stride of the other direction
    TABLE_IN_HEIGHT,  # of the map it reads
    TABLE_IN_WIDTH,
    TABLE_IN_CHANNELS,
    TABLE_OUT_HEIGHT,  # of the map it delivers
    TABLE_OUT_WIDTH,
    TABLE_ROWS,  # rows of weights that a position can read: what its kernel covers, or the whole map; 0 in CSR
    TABLE_WEIGHTS,  # offset in Plan.weights, or in Plan.sparse_weights
    TABLE_POINTERS,  # CSR: offset in Plan.sparse_pointers
    TABLE_SHIFT,  # sums of spikes are shifted right by this to become drives
    TABLE_SHIFT_GRADED,  # the same for sums of graded events
    TABLE_COLUMNS,
) = range(22)

KIND_CONV, KIND_DENSE, KIND_SPARSE = range(3)

NOT_POOLED, POOL_AVERAGE, POOL_SAMPLED = range(3)

# How neurons fire; the last: they send signed deviations of their rates (`spikesim.ep.phases.linear_response`)
FIRING_IID, FIRING_STRATIFIED, FIRING_MEAN_FIELD, FIRING_DEVIATIONS = range(4)

# Which populations a step updates together, from the same spikes: all; first those with an even number, then the
# others; each for itself, from the first to the last
ORDER_SYNCHRONOUS, ORDER_PARITY, ORDER_UPWARDS = range(3)


class Plan(NamedTuple):
    """A network for the compiled loop. Built by `spikesim.engine.layout.lay_out`."""

    populations: NDArray[np.int64]  # (P, POP_COLUMNS)
    tables: NDArray[np.int64]  # (T, TABLE_COLUMNS)
    incoming_pointers: NDArray[np.int64]  # (P + 1,)
    incoming: NDArray[np.int64]  # tables by target population
    weights: NDArray[np.int16]  # all packed conv and dense tables
    bias: NDArray[np.int32]  # by population and padded channel
    sparse_pointers: NDArray[np.int64]  # CSR row pointers, a row per source neuron
    sparse_targets: NDArray[np.int32]  # offset of the target in its population's state
    sparse_weights: NDArray[np.int16]


class State(NamedTuple):
    """What a group of n samples carries from step to step."""

    membrane: NDArray[np.int32]  # (n, state size)
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
    sample_ids: NDArray[np.int64]  # (n,)
    active: NDArray[np.uint8]  # (n,): 0 for a sample that has settled


class Counts(NamedTuple):
    """What happened, by sample. Every reported figure derives from these."""

    spikes: NDArray[np.int64]  # (n, P)
    events: NDArray[np.int64]  # (n, T): synaptic events delivered (accumulates)
    graded: NDArray[np.int64]  # (n, T): graded synaptic events delivered (multiply-accumulates)
    updates: NDArray[np.int64]  # (n, P): neuron updates
    steps: NDArray[np.int64]  # (n,)
    energy: NDArray[np.int64]  # (n, P): sum of p (p - u - d + nudge) at the last step, unit 2**-32
    residual: NDArray[np.int64]  # (n, P): sum of |difference of the halves of the window|


class Scratch(NamedTuple):
    """Working memory of one thread; its content means nothing between calls."""

    lines: NDArray[np.int64]  # (2, kernel height): see `deliver_block`
    runs: NDArray[np.int64]  # (3, kernel height): runs of events, see `plain_deliver_runs`
    graded_sums: NDArray[np.float64]  # (64,)
    listed: NDArray[np.int32]  # (3, room): rows that a pixel hears, and their values, see `plain_list_rows`
    rows: NDArray[np.int32]  # (1, size): a row of pixels of zeros, then the memory of the next three
    drive: NDArray[np.int32]  # (width * B,): a row of pixels
    full: NDArray[np.int32]  # (together, pixels * B): drives of a block of channels
    tile: NDArray[np.int32]  # the same at half the resolution
    random: NDArray[np.uint16]  # (1, width * B)
    sparse: NDArray[np.int64]  # (state size of the largest population with a CSR table,)
    sparse_drive: NDArray[np.int32]  # (together, the same, or 1)


class Clock(NamedTuple):
    """Which random numbers a phase draws, how its neurons fire, and how it begins."""

    firing: int
    stream: int
    key_low: int
    key_high: int
    onset: int = 0  # steps before this one have no low pass: V is the drive
    order: int = 0  # in which order a step updates the populations
