"""Numbers as users give them: Python's, NumPy's, or something else, which is refused where it is given."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io import fields as values


def integer(value: Any, what: str, low: int, high: int) -> int:
    """A whole number, also one of NumPy or one that is written as 1e3.

    Raises
    ------
    InputError
        It is none, or is not in ``low .. high``.
    """
    found = _scalar(value)
    number = int(found) if found is not None and np.isfinite(found) and found == np.rint(found) else None
    if number is None or not low <= number <= high:
        raise InputError(f"{what} is {shown(value)}; it must be an integer in {low} .. {_limit(high)}")
    return number


def real(value: Any, what: str) -> float:
    """A finite number.

    Raises
    ------
    InputError
    """
    found = _scalar(value)
    if found is None:
        raise InputError(f"{what} is {shown(value)}; it must be a number")
    if not np.isfinite(found):
        raise InputError(f"{what} is {shown(value)}; it must be finite")
    return float(found)


def reals(given: ArrayLike, what: str) -> NDArray[np.float64]:
    """A number or an array of numbers, float64; whether they are finite is not looked at.

    Raises
    ------
    InputError
        They are no real numbers.
    """
    found = _array(given)
    if found is None or found.dtype.kind not in "biuf":
        raise InputError(f"{what} are {shown(given)}; they must be numbers")
    return found.astype(np.float64)


def shown(value: Any) -> str:
    """What was given, on one line and not longer than a line can be."""
    return "missing" if value is None else " ".join(values.shown(value).split())


def _scalar(value: Any) -> Any:
    found = _array(value)
    return None if found is None or found.shape != () or found.dtype.kind not in "iuf" else found[()]


def _array(value: Any) -> NDArray[Any] | None:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # lists of unequal lengths, tensors of other devices
        return None


def _limit(high: int) -> str:
    bits = (high + 1).bit_length() - 1
    return f"2**{bits} - 1" if high + 1 == 1 << bits and bits > 16 else str(high)
