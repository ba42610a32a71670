"""Images as numbers between black and white."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError

PIXEL_MAX = 255


def brightness(images: ArrayLike) -> NDArray[np.float64]:
    """Images as numbers of 0 .. 1, float64 (images, pixels).

    Raises
    ------
    InputError
        They are no images, or out of range.
    """
    own = np.asarray(images)
    if own.ndim < 2 or not own.size or own.dtype.kind not in "biuf":
        raise InputError(f"images are {own.dtype} of shape {own.shape}; they must be numbers, (images, ...)")
    flat = own.reshape(len(own), -1).astype(np.float64) / (PIXEL_MAX if own.dtype == np.uint8 else 1)
    if not (flat.min() >= 0 and flat.max() <= 1):
        raise InputError(f"images reach from {flat.min():g} to {flat.max():g}; they must be uint8, or in 0 .. 1")
    return flat
