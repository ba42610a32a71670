"""Numbers as users give them: Python's, NumPy's, or something else, which is refused where it is given."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io import validation
from spikesim.io.validation import shown

__all__ = ["integer", "real", "reals", "shown"]


def integer(value: Any, what: str, low: int, high: int) -> int:
    """A whole number, also one of NumPy or one that is written as 1e3.

    Raises
    ------
    InputError
        It is none, or is not in ``low .. high``.
    """
    found = _scalar(value)
    if found is not None and np.isfinite(found) and found == np.rint(found):
        value = int(found)
    return validation.whole(value, what, validation.Limits(low, high))


def real(value: Any, what: str) -> float:
    """A finite number, also one of NumPy.

    Raises
    ------
    InputError
    """
    found = _scalar(value)
    return validation.number(value if found is None else found.item(), what)


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


def _scalar(value: Any) -> Any:
    found = _array(value)
    return None if found is None or found.shape != () or found.dtype.kind not in "iuf" else found[()]


def _array(value: Any) -> NDArray[Any] | None:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError, RuntimeError):  # lists of unequal lengths, tensors of other devices
        return None
