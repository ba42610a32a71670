"""What a head reads of a layer: values summed over blocks of cells, or their mean or maximum over all positions."""

import numpy as np

from spikesim.engine.simd.rows import ROW, add_clipped
from spikesim.ep.network.heads import BLOCKS, MEAN, MEAN_BITS
from spikesim.jit.compilation import kernel


@kernel
def add_blocks(plan, heads, head, extent, values, limit, features):
    """Add values within 0 .. limit, int32 (state size,), to the features of a head, int32 or int64.

    extent: columns of the map that exist. Values of a head with a mean are added over all positions, for
    `mean_over_positions`; that with a maximum takes those above its features.
    """
    row = heads.table[head]
    pop = plan.populations[row.population]
    height, width, lanes, side = pop.height, pop.width, pop.lanes, row.side
    if row.pooling != BLOCKS:
        for block in range(pop.blocks):
            for y in range(height):
                for x in range(extent):
                    pixel, n = pop.state + ((block * height + y) * width + x) * lanes, block * lanes
                    if row.pooling == MEAN:
                        for lane in range(0, lanes, ROW):
                            add_clipped(values, pixel + lane, np.int32(limit), features, n + lane)
                    else:
                        for lane in range(lanes):
                            value = min(max(values[pixel + lane], np.int32(0)), np.int32(limit))
                            features[n + lane] = max(features[n + lane], value)
        return
    rows, columns = height // side, width // side
    for block in range(pop.blocks):
        for y in range(rows * side):
            for x in range(columns):
                n = ((block * rows + y // side) * columns + x) * lanes
                for cell in range(side):
                    pixel = pop.state + ((block * height + y) * width + x * side + cell) * lanes
                    for lane in range(0, lanes, ROW):
                        add_clipped(values, pixel + lane, np.int32(limit), features, n + lane)


@kernel
def mean_over_positions(plan, heads, head, extent, features):
    """Divide the sums of a head with a mean by the number of its positions, halves rounded up; in place.

    extent: columns of the map that exist. features: int32 or int64; a mean of 1 becomes 2**MEAN_BITS.
    """
    row = heads.table[head]
    if row.pooling == MEAN:
        positions = np.int64(plan.populations[row.population].height * extent)
        for i in range(row.features):
            features[i] = ((np.int64(features[i]) << (MEAN_BITS + 1)) + positions) // (2 * positions)
