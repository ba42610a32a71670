"""The constant drive of an analogue image through a convolution, in integers."""

import numpy as np

from spikesim.engine.delivery import shifted
from spikesim.jit.compilation import kernel


@kernel
def convolve_images(images, weights, padding, stride, shift, drive):
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
                top, left = y * stride - padding, x * stride - padding
                for ky in range(max(0, -top), min(kernel_height, images.shape[1] - top)):
                    for kx in range(max(0, -left), min(kernel_width, images.shape[2] - left)):
                        pixel = images[sample, top + ky, left + kx]
                        for channel in range(channels):
                            value, row = np.int64(pixel[channel]), weights[ky, kx, channel]
                            for j in range(outputs):
                                sums[j] += value * np.int64(row[j])
                for j in range(outputs):
                    sums[j] = shifted(sums[j], shift)
