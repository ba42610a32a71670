"""The constant drive of an analogue image through a convolution, in integers."""

import numpy as np

from spikesim.engine.delivery import shifted
from spikesim.jit.compilation import kernel


@kernel
def convolve_images(images, weights, padding, stride, shift, room, drive):
    """Convolve images and bring the sums to the scale of a drive, halves rounded up; returns the largest magnitude.

    images: int16 (n, H, W, Cin).
    weights: integers of int16, as float64 (kernel, kernel, Cin, Cout): sums of fewer than 2**23 products, each below
    2**30, are exact, and processors multiply float64 several times as fast as int64.
    shift: sums count 2**-shift of a drive; may be negative.
    room: float64 (Cout,). drive: int64 (n, H', W', Cout), overwritten.
    """
    kernel_height, kernel_width, channels, outputs = weights.shape
    largest = np.int64(0)
    for sample in range(drive.shape[0]):
        for y in range(drive.shape[1]):
            for x in range(drive.shape[2]):
                for j in range(outputs):
                    room[j] = 0.0
                top, left = y * stride - padding, x * stride - padding
                for ky in range(max(0, -top), min(kernel_height, images.shape[1] - top)):
                    for kx in range(max(0, -left), min(kernel_width, images.shape[2] - left)):
                        pixel = images[sample, top + ky, left + kx]
                        for channel in range(channels):
                            value, row = np.float64(pixel[channel]), weights[ky, kx, channel]
                            for j in range(outputs):
                                room[j] += value * row[j]
                own = drive[sample, y, x]
                for j in range(outputs):
                    own[j] = shifted(np.int64(room[j]), shift)
                    largest = max(largest, abs(own[j]))
    return largest
