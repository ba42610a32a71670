"""Kernels that sort synapses into the tables of their blocks: count, then fill."""

import numpy as np

from spikesim.jit.compilation import kernel


@kernel
def count_rows(pointers, targets, delays, first_source, delay_at, delay_count, block_size, rows_at, counts):
    """Add the synapses of some rows to ``counts[rows_at[block] + source * delay_count + delay]``.

    delays: of each synapse, or empty; delay_at[delay] is its position among the delays of the projection.
    """
    for i in range(pointers.shape[0] - 1):
        for synapse in range(pointers[i], pointers[i + 1]):
            d = delay_at[delays[synapse]] if delays.shape[0] else 0
            block = targets[synapse] // block_size
            counts[rows_at[block] + (first_source + i) * delay_count + d] += 1


@kernel
def fill_rows(
    pointers, targets, delays, values, first_source, delay_at, delay_count, block_size, rows_at, next_at, out_targets,
    out_weights,
):  # fmt: skip
    """Write the synapses of some rows where ``next_at``, laid out as the counts, says; it moves on."""
    for i in range(pointers.shape[0] - 1):
        for synapse in range(pointers[i], pointers[i + 1]):
            d = delay_at[delays[synapse]] if delays.shape[0] else 0
            block = targets[synapse] // block_size
            row = rows_at[block] + (first_source + i) * delay_count + d
            at = next_at[row]
            next_at[row] = at + 1
            out_targets[at] = targets[synapse] - block * block_size
            if values.shape[0]:
                out_weights[at] = values[synapse]


@kernel
def add_magnitudes(pointers, targets, weights, scale, sums):
    """Add the magnitudes of the weights into each target to `sums`, or ones where all weights are equal.

    As integers, times `scale` and rounded up: their sum has no order.
    """
    for synapse in range(pointers[0], pointers[-1]):
        sums[targets[synapse]] += np.int64(np.ceil(abs(weights[synapse]) * scale)) if weights.shape[0] else 1
