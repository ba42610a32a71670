"""The constant drive of an analogue image through a convolution, in integers."""

import numpy as np

from spikesim.engine.delivery import shifted
from spikesim.engine.simd.rows import ROW, add_products
from spikesim.jit.compilation import kernel


@kernel
def convolve_images(images, weights, padding, stride, shift, room, drive):
    """Convolve images and bring the sums to the scale of a drive, halves rounded up; returns the largest magnitude.

    images: int16 (n, H, W, Cin), contiguous.
    weights: integers of int16, as float64 (kernel height, width, Cin, Cout or more, a multiple of 16), contiguous: sums
    of fewer than 2**23 products, each below 2**30, are exact, and processors multiply float64 several times as fast as
    int64.
    padding: above and below, left and right. shift: sums count 2**-shift of a drive; may be negative.
    room: float64, as many as the weights have in their last axis. drive: int32 (n, H', W', Cout), overwritten, and of
    no use where the largest magnitude is beyond it.
    """
    kernel_height, kernel_width, channels, lanes = weights.shape
    height, width = images.shape[1], images.shape[2]
    flat, flat_weights = images.reshape(-1), weights.reshape(-1)
    largest = np.int64(0)
    for sample in range(drive.shape[0]):
        for y in range(drive.shape[1]):
            for x in range(drive.shape[2]):
                for j in range(lanes):
                    room[j] = 0.0
                top, left = y * stride - padding[0], x * stride - padding[1]
                first, last = max(0, -left), min(kernel_width, width - left)
                for ky in range(max(0, -top), min(kernel_height, height - top)):
                    pixel = ((sample * height + top + ky) * width + left + first) * channels
                    row = (ky * kernel_width + first) * channels * lanes
                    for lane in range(0, lanes, ROW):
                        count = (last - first) * channels
                        add_products(flat, pixel, count, flat_weights, row + lane, lanes, room, lane)
                own = drive[sample, y, x]
                for j in range(len(own)):
                    value = shifted(np.int64(room[j]), shift)
                    largest = max(largest, abs(value))
                    own[j] = np.int32(value)
    return largest
