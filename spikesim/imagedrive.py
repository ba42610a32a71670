"""The constant drive of an analogue image through a convolution, in integers."""

import numpy as np

from spikesim.compilation import kernel
from spikesim.delivery import shifted


@kernel
def convolve_images(images, weights, padding, shift, drive):
    """Convolve images and bring the sums to the scale of a drive, halves rounded up.

    images: int16 (n, H, W, Cin).
    weights: int16 (kernel, kernel, Cin, Cout).
    shift: sums count 2**-shift of a drive; may be negative.
    drive: int64 (n, H', W', Cout), overwritten. Sums of fewer than 2**23 products, each below 2**30, are exact.
    """
    kernel_height, kernel_width, channels, outputs = weights.shape
    for sample in range(drive.shape[0]):
        for y in range(drive.shape[1]):
            for x in range(drive.shape[2]):
                sums = drive[sample, y, x]
                for j in range(outputs):
                    sums[j] = 0
                for ky in range(max(0, padding - y), min(kernel_height, images.shape[1] + padding - y)):
                    for kx in range(max(0, padding - x), min(kernel_width, images.shape[2] + padding - x)):
                        pixel = images[sample, y + ky - padding, x + kx - padding]
                        for channel in range(channels):
                            value, row = np.int64(pixel[channel]), weights[ky, kx, channel]
                            for j in range(outputs):
                                sums[j] += value * np.int64(row[j])
                for j in range(outputs):
                    sums[j] = shifted(sums[j], shift)
