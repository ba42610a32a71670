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
    ("winner", "i8"),  # 1: the cell with the highest potential stands for a pooled position
    ("pooled_state", "i8"),  # then: offset, in the state of a sample, of the window sums of what is passed on
    ("bias", "i8"),  # offset in Plan.bias
    ("leak", "i8"),  # k of alpha = 2**-k
    ("layer", "i8"),  # the layer number that keys its random numbers
    ("spike_input", "i8"),  # 1: its spikes come from outside, it has no membrane
    ("external", "i8"),  # 1: it has an external drive
    ("nudge", "i8"),  # 1: it has a nudge
    ("together", "i8"),  # samples that pass by while a slice of the tables stays in the cache
    ("sparse", "i8"),  # 1: a CSR table delivers into it
    ("model", "i8"),  # its neurons' number in spikesim.engine.neurons.MODELS
    ("mean_field", "i8"),  # the same where rates are sent
    ("refractory", "i8"),  # setting of the model: steps after a spike in which a neuron does not fire
)
"""A row of `Plan.populations`."""

TABLE = record(
    ("source", "i8"),
    ("target", "i8"),
    ("kind", "i8"),
    ("pooled", "i8"),  # whether it reads the source's pooled list: NOT_POOLED, POOL_AVERAGE, ..
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

NOT_POOLED, POOL_AVERAGE, POOL_SAMPLED, POOL_WINNER = range(4)

POOLS = {"average": POOL_AVERAGE, "sampled": POOL_SAMPLED, "winner": POOL_WINNER}
"""Ways to pool, by name."""

# How neurons fire; the last two: the membranes hold rates, and signed deviations from others, or they themselves, are
# sent (`spikesim.ep.phases.nudged.linear_response`, `spikesim.ep.phases.nudged.mean_rates`)
FIRING_IID, FIRING_STRATIFIED, FIRING_MEAN_FIELD, FIRING_DEVIATIONS, FIRING_RATES = range(5)

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

    def delivering(self, rows: NDArray[np.int64]) -> "Plan":
        """The plan in which these tables alone are in use, given by their rows; all arrays but two are the same."""
        targets = self.tables["target"][rows]
        counts = np.bincount(targets, minlength=len(self.populations))
        return self._replace(
            incoming_pointers=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            incoming=rows[np.argsort(targets, kind="stable")],
        )
