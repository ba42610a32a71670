"""What happens to images on their way into a network: padding, random changes, fixed-point numbers."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.datasets.samples.model import Augmentation
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import INPUT_BITS
from spikesim.numerics.philox import philox_words

INPUT_FRACTION_BITS = INPUT_BITS
"""Fractional bits of a pixel after `normalize`."""

# In the simulator's own draws the highest byte of the last counter word is the layer, and no network has a layer 255.
_STREAM = 0xFF000000
_WORD = 2**32


def pad(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Put images into the middle of larger, square, black ones.

    Parameters
    ----------
    images : uint8, shape (n, height, width, channels)
    size : int
        Height and width of the result; pixels.

    Returns
    -------
    uint8, shape (n, size, size, channels)

    Raises
    ------
    InputError
        An image is larger than `size`, or its margins would not be equal.
    """
    _check_images(images)
    height, width = images.shape[1:3]
    if height > size or width > size:
        raise InputError(
            f"images of {height}x{width} pixels do not fit into {size}x{size}; use a size that they fit into"
        )
    if (size - height) % 2 or (size - width) % 2:
        raise InputError(
            f"images of {height}x{width} pixels cannot be centred in {size}x{size}; use a size that differs by an even "
            "number"
        )
    y, x = (size - height) // 2, (size - width) // 2
    return np.pad(images, ((0, 0), (y, y), (x, x), (0, 0)))


def augment(
    images: NDArray[np.uint8],
    sample_ids: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    augmentation: Augmentation,
) -> NDArray[np.uint8]:
    """Shift and mirror images at random.

    Each image is shifted by a whole number of pixels, uniform in -crop .. crop in each direction, the pixels at the
    edge repeated where nothing comes in; and mirrored left to right with probability 1/2 if it may be. What happens to
    a sample depends on (seed, epoch, sample id) alone: not on the batch that it is in.

    Parameters
    ----------
    images : uint8, shape (n, height, width, channels)
    sample_ids : int64, shape (n,)
        Identity of each image in its data set; in 0 .. 2**32 - 1.
    seed : int
        In 0 .. 2**64 - 1.
    epoch : int
        In 0 .. 2**32 - 1.
    augmentation : Augmentation

    Returns
    -------
    uint8, shape (n, height, width, channels)
        A new array.

    Raises
    ------
    InputError
        An array has another shape or dtype, or a number is out of its range.
    """
    _check_images(images)
    n, height, width, _ = images.shape
    words = _words(n, sample_ids, seed, epoch)
    # The high half of a product is uniform in 0 .. 2 crop, to one part in 2**32.
    shifts = (words[:, :2] * (2 * augmentation.crop + 1) >> 32) - augmentation.crop
    # Indices beyond the edge, clipped, repeat the edge: no padded copy is made.
    rows = np.clip(np.arange(height) + shifts[:, :1], 0, height - 1)
    columns = np.clip(np.arange(width) + shifts[:, 1:], 0, width - 1)
    if augmentation.flip:
        columns = np.where(words[:, 2:3] >> 31 == 1, columns[:, ::-1], columns)
    shifted: NDArray[np.uint8] = images[
        np.arange(n)[:, np.newaxis, np.newaxis], rows[:, :, np.newaxis], columns[:, np.newaxis, :]
    ]
    return shifted


def cut_out(
    images: NDArray[np.uint8],
    sample_ids: NDArray[np.int64],
    *,
    seed: int,
    epoch: int,
    side: int,
    fill: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Cover a square of each image, at a random place, with one colour (DeVries and Taylor, arXiv:1708.04552).

    The middle of the square is uniform over the pixels of the image, so that a part of it may lie outside. Like that of
    `augment`, the place depends on (seed, epoch, sample id) alone.

    Parameters
    ----------
    images, sample_ids, seed, epoch
        As for `augment`.
    side : int
        Of the square; pixels.
    fill : uint8, shape (channels,)
        The colour.

    Returns
    -------
    uint8, shape (n, height, width, channels)
        A new array.

    Raises
    ------
    InputError
        As for `augment`.
    """
    _check_images(images)
    n, height, width, _ = images.shape
    place = _words(n, sample_ids, seed, epoch)[:, 3]  # the first three words are those of `augment`
    top = ((place >> 16) * height >> 16) - side // 2
    left = ((place & 0xFFFF) * width >> 16) - side // 2
    rows, columns = np.arange(height) - top[:, np.newaxis], np.arange(width) - left[:, np.newaxis]
    covered = ((rows >= 0) & (rows < side))[:, :, np.newaxis] & ((columns >= 0) & (columns < side))[:, np.newaxis]
    changed: NDArray[np.uint8] = np.where(covered[..., np.newaxis], fill, images)
    return changed


def normalize(images: NDArray[np.uint8], mean: ArrayLike, std: ArrayLike, std_factor: float = 1.0) -> NDArray[np.int16]:
    """Pixels as fixed-point numbers: ``round((x / 255 - mean) / (std * std_factor) * 2**12)``, ties to even.

    Parameters
    ----------
    images : uint8, shape (n, height, width, channels)
    mean, std : float, shape (channels,)
        Of pixels scaled to [0, 1].
    std_factor : float
        The pixels of the result have the deviation ``1 / std_factor``.

    Returns
    -------
    int16, shape (n, height, width, channels)
        12 fractional bits. Values beyond -8 .. 8 - 2**-12 become these limits.

    Raises
    ------
    InputError
        mean and std do not fit the channels, are not finite, or a divisor is not positive.
    """
    _check_images(images)
    channels = images.shape[3]
    mean = np.asarray(mean, dtype=np.float64)
    std = np.asarray(std, dtype=np.float64)
    for name, values in (("mean", mean), ("std", std)):
        if values.shape != (channels,) or not np.isfinite(values).all():
            raise InputError(f"{name} is {values.tolist()}; it must be {channels} finite number(s), one per channel")
    with np.errstate(over="ignore"):
        divisor = std * std_factor
    if not (np.isfinite(divisor) & (divisor > 0)).all():
        raise InputError(f"std {std.tolist()} times std_factor {std_factor} must be positive and finite")
    # A pixel has 256 values: the division is done once for each, in float64, and not once for each pixel.
    limits = np.iinfo(np.int16)
    with np.errstate(over="ignore"):
        exact = (np.arange(256)[:, np.newaxis] / 255 - mean) / divisor * 2**INPUT_FRACTION_BITS
    table = np.clip(np.rint(exact), limits.min, limits.max).astype(np.int16)
    fixed: NDArray[np.int16] = table[:, 0][images] if channels == 1 else table[images, np.arange(channels)]
    return fixed


def _words(count: int, sample_ids: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Four random words for each of so many images, (count, 4)."""
    ids = np.asarray(sample_ids)
    if ids.shape != (count,) or not np.issubdtype(ids.dtype, np.integer):
        raise InputError(f"sample ids are {ids.dtype} of shape {ids.shape}; they must be integers of shape ({count},)")
    if count and not (0 <= int(ids.min()) and int(ids.max()) < _WORD):
        raise InputError(f"sample ids reach from {ids.min()} to {ids.max()}; they must be in 0 .. 2**32 - 1")
    if not 0 <= epoch < _WORD:
        raise InputError(f"epoch is {epoch}; it must be in 0 .. 2**32 - 1")
    if not 0 <= seed < 2**64:
        raise InputError(f"seed is {seed}; it must be in 0 .. 2**64 - 1")
    counters = np.empty((count, 4), dtype=np.uint32)
    counters[:, 0] = ids
    counters[:, 1] = epoch
    counters[:, 2] = 0
    counters[:, 3] = _STREAM
    return philox_words(counters, seed).astype(np.int64)


def _check_images(images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4:
        raise InputError(
            f"images are {images.dtype} of shape {images.shape}; "
            "they must be uint8 of shape (n, height, width, channels)"
        )


def standardize(
    series: NDArray[np.float32],
    lengths: NDArray[np.int64],
    mean: NDArray[np.float64],
    std: NDArray[np.float64],
    std_factor: float = 1.0,
) -> NDArray[np.int16]:
    """Series as fixed-point numbers: ``z = (x - mean) / (std * std_factor)`` as its positive and its negative part.

    Parameters
    ----------
    series : float32, shape (n, 1, frames, channels)
    lengths : int64, shape (n,)
        Frames behind so many become zeros.
    mean, std : float64, shape (channels,)
    std_factor : float

    Returns
    -------
    int16, shape (n, 1, frames, 2 * channels)
        max(z, 0) of all channels, then max(-z, 0); 12 fractional bits, ties to even, values beyond 8 - 2**-12 become
        this limit.
    """
    z = (series.astype(np.float64) - mean) / (std * std_factor)
    z *= (np.arange(series.shape[2]) < lengths[:, np.newaxis])[:, np.newaxis, :, np.newaxis]
    limit = np.iinfo(np.int16).max
    parts = np.concatenate([np.maximum(z, 0.0), np.maximum(-z, 0.0)], axis=3)
    fixed: NDArray[np.int16] = np.minimum(np.rint(parts * (1 << INPUT_BITS)), limit).astype(np.int16)
    return fixed
