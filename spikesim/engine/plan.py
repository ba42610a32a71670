"""The plan: a network as a handful of arrays, which is all that the compiled loop sees.

One row of `Plan.populations` (`POPULATION`) describes a population, one row of `Plan.tables` (`TABLE`) one direction of
a synapse table.

Layouts, B being the population's block of channels (16, 32 or 64; the channels are padded to a multiple of it):

- membrane, drives, window sums: ``[block][pixel][B]``, so that a block of channels is contiguous;
- spikes: one bit a neuron in words of 16, ``[pixel][word]``;
- event lists: ``events[start[pixel]:start[pixel + 1]]`` holds ``pixel * C + channel`` for the spikes of a pixel. Events
  of neighbouring pixels in a row are one run, and the weights of a kernel row are one table ``[kx * Cin][B]``:
  subtracting the offset of the first pixel from an event *is* its address in the table.
"""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray


def record(*fields: tuple[str, str]) -> np.dtype[np.record]:
    """A type of rows whose fields have names: ``rows["height"]`` of all, ``rows[i].height`` of one, also in kernels."""
    return cast("np.dtype[np.record]", np.dtype((np.record, list(fields))))


POPULATION = record(
    ("height", "i8"),
    ("width", "i8"),
    ("channels", "i8"),
    ("lanes", "i8"),  # B
    ("blocks", "i8"),
    ("state", "i8"),  # offset of the population in the state of a sample
    ("words", "i8"),  # offset of its spike words
    ("events", "i8"),  # offset of its event list
    ("start", "i8"),  # offset of the list's delimiters
    ("pooled_events", "i8"),  # the same for the list at half the resolution; -1: nobody reads it
    ("pooled_start", "i8"),
    ("bias", "i8"),  # offset in Plan.bias
    ("leak", "i8"),  # k of alpha = 2**-k
    ("layer", "i8"),  # the layer number that keys its random numbers
    ("streamed", "i8"),  # 1: its spikes come from outside, it has no membrane
    ("external", "i8"),  # 1: it has an external drive
    ("nudge", "i8"),  # 1: it has a nudge
    ("together", "i8"),  # samples that pass by while a slice of the tables stays in the cache
    ("sparse", "i8"),  # 1: a CSR table delivers into it
)
"""A row of `Plan.populations`."""

TABLE = record(
    ("source", "i8"),
    ("target", "i8"),
    ("kind", "i8"),
    ("pooled", "i8"),  # whether it reads the source's pooled list: NOT_POOLED, POOL_AVERAGE, POOL_SAMPLED
    ("tiled", "i8"),  # 1: it delivers at half the target's resolution
    ("kernel_height", "i8"),
    ("kernel_width", "i8"),
    ("pad_height", "i8"),
    ("pad_width", "i8"),
    ("stride", "i8"),  # distance between what neighbouring targets read
    ("apart", "i8"),  # distance between the targets of neighbouring sources: the stride of the other direction
    ("in_height", "i8"),  # of the map it reads
    ("in_width", "i8"),
    ("in_channels", "i8"),
    ("out_height", "i8"),  # of the map it delivers
    ("out_width", "i8"),
    ("rows", "i8"),  # rows of weights that a position can read: what its kernel covers, or the whole map; 0 in CSR
    ("weights", "i8"),  # offset in Plan.weights, or in Plan.sparse_weights
    ("pointers", "i8"),  # CSR: offset in Plan.sparse_pointers
    ("shift", "i8"),  # sums of spikes are shifted right by this to become drives
    ("shift_graded", "i8"),  # the same for sums of graded events
)
"""A row of `Plan.tables`."""

KIND_CONV, KIND_DENSE, KIND_SPARSE = range(3)

NOT_POOLED, POOL_AVERAGE, POOL_SAMPLED = range(3)

# How neurons fire; the last: they send signed deviations of their rates (`spikesim.ep.phases.linear_response`)
FIRING_IID, FIRING_STRATIFIED, FIRING_MEAN_FIELD, FIRING_DEVIATIONS = range(4)

# Which populations a step updates together, from the same spikes: all; first those with an even number, then the
# others; each for itself, from the first to the last
ORDER_SYNCHRONOUS, ORDER_PARITY, ORDER_UPWARDS = range(3)


class Plan(NamedTuple):
    """A network for the compiled loop. Built by `spikesim.engine.layout.lay_out`."""

    populations: NDArray[np.record]  # (P,) of POPULATION
    tables: NDArray[np.record]  # (T,) of TABLE
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
