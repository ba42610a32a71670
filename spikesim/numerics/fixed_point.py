"""The integers of the dynamics: what one unit of each quantity means, and how real numbers become integers.

Integer addition commutes, so neither the order of events nor the number of threads can change a bit of a result.

=====================  ==========  =====================================================
membrane V, drive u    int32       1.0 = 2**16
firing probability p   uint16      clip(V, 0, 65535), unit 2**-16; a neuron at 65535 misses one step in 65536
weight                 int16       real value = integer * 2**-exponent, one exponent a table
analogue input         int16       1.0 = 2**12
=====================  ==========  =====================================================
"""

import math

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

ONE_BITS = 16
ONE = 1 << ONE_BITS
P_MAX = ONE - 1
INPUT_BITS = 12
WEIGHT_MAX = 2**15 - 1
DRIVE_LIMIT = 2**30
"""Drives and potentials stay below 7/8 of this, so that their difference, and what the leak adds, fits into int32."""
SHARE_LIMIT = DRIVE_LIMIT // 8
"""A bias, an external drive and a nudge stay below this, and all tables into a neuron together below four times this:
their sum stays below 7/8 of `DRIVE_LIMIT`."""
EXPONENT_MAX = 24
"""Weights all below 2**-9 gain nothing from a finer scale: their drive is below the resolution of V."""
WINDOW_MAX = 4096
"""Steps of the longest window: its sums of p stay below 2**28."""


def weight_exponent(largest: float, name: str = "weights") -> int:
    """Exponent of the finest power-of-two scale at which a weight of this magnitude fits into int16.

    Parameters
    ----------
    largest : float
        Largest magnitude among the weights of a table.
    name : str
        What the weights are called in an error message.

    Returns
    -------
    int
        e such that ``round(largest * 2**e) <= 32767``; at most 24, and negative for weights beyond 32767.

    Raises
    ------
    InputError
        The magnitude is not finite, or so large that a single spike would exceed the range of a drive.
    """
    if not math.isfinite(largest):
        raise InputError(f"{name} hold a value that is not finite; lower the learning rate or the gain")
    if largest >= DRIVE_LIMIT / ONE:
        raise InputError(
            f"{name} reach {largest:.3g}; a drive holds at most {DRIVE_LIMIT // ONE}: "
            "lower the learning rate or the gain"
        )
    if largest == 0:
        return EXPONENT_MAX
    exponent = min(EXPONENT_MAX, 15 - math.frexp(largest)[1])
    if round(largest * 2.0**exponent) > WEIGHT_MAX:  # 0.99999 rounds up to the next power of two
        exponent -= 1
    return exponent


def quantize_drive(values: NDArray[np.floating], name: str = "biases") -> NDArray[np.int32]:
    """Round real drives (a bias, for one) to int32 with 1.0 = 2**16.

    Raises
    ------
    InputError
        A value is not finite or exceeds the range of such a share of a drive.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    if not largest < SHARE_LIMIT / ONE:
        raise InputError(f"{name} reach {largest:.4g}; the limit is {SHARE_LIMIT // ONE}: lower the learning rate")
    return np.rint(values.astype(np.float64) * ONE).astype(np.int32)


def shift_rounding(values: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    """Multiply integers by 2**-shift, halves rounded up; the shift may be negative."""
    if shift <= 0:
        return values << -shift
    return (values + (1 << (shift - 1))) >> shift
