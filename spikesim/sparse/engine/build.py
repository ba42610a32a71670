"""Kernels that sort synapses into the tables of their blocks: count, then fill."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel


class SynapseRows(NamedTuple):
    """Synapses of some consecutive source neurons."""

    first_source: int
    pointers: NDArray[np.int64]  # (sources + 1,)
    targets: NDArray[np.int64]  # (synapses,): within the population
    delays: NDArray[np.int64]  # (synapses,): steps; empty: all are equal


class TableLayout(NamedTuple):
    """Where the tables of a projection have their rows.

    A synapse counts in ``counts[rows_at[block] + source * delay_count + delay]``, an array of all its tables.
    """

    delay_at: NDArray[np.int64]  # (longest delay + 1,): position of a delay among those of the projection
    delay_count: int
    block_size: int  # neurons
    rows_at: NDArray[np.int64]  # (blocks,)


@kernel
def count_rows(rows, layout, counts):
    """Add the synapses of some rows to the `counts` of their tables."""
    pointers, targets, delays = rows.pointers, rows.targets, rows.delays
    for i in range(pointers.shape[0] - 1):
        for synapse in range(pointers[i], pointers[i + 1]):
            d = layout.delay_at[delays[synapse]] if delays.shape[0] else 0
            block = targets[synapse] // layout.block_size
            counts[layout.rows_at[block] + (rows.first_source + i) * layout.delay_count + d] += 1


@kernel
def fill_rows(rows, values, layout, next_at, out_targets, out_weights):
    """Write the synapses of some rows where ``next_at``, laid out as the counts, says; it moves on.

    values: int16, the weights of the synapses, or empty where all are equal.
    """
    pointers, targets, delays = rows.pointers, rows.targets, rows.delays
    for i in range(pointers.shape[0] - 1):
        for synapse in range(pointers[i], pointers[i + 1]):
            d = layout.delay_at[delays[synapse]] if delays.shape[0] else 0
            block = targets[synapse] // layout.block_size
            row = layout.rows_at[block] + (rows.first_source + i) * layout.delay_count + d
            at = next_at[row]
            next_at[row] = at + 1
            out_targets[at] = targets[synapse] - block * layout.block_size
            if values.shape[0]:
                out_weights[at] = values[synapse]


@kernel
def add_magnitudes(pointers, targets, weights, scale, sums):
    """Add the magnitudes of the weights into each target to `sums`, or ones where all weights are equal.

    As integers, times `scale` and rounded up: their sum has no order.
    """
    for synapse in range(pointers[0], pointers[-1]):
        sums[targets[synapse]] += np.int64(np.ceil(abs(weights[synapse]) * scale)) if weights.shape[0] else 1
