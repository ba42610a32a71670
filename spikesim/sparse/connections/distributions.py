"""Distributions of weights and delays: what each synapse gets, by its number in the projection."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.numerics.philox import seed_key
from spikesim.sparse.connections import drawing
from spikesim.sparse.connections.synapses import DELAY_MAX

OUTSIDE = ("redraw", "clip")
ACCEPTED = 0.01
"""A distribution is redrawn if at least so much of it lies between its limits."""


class Law(NamedTuple):
    """A distribution as the kernel draws it."""

    kind: int
    place: float
    spread: float
    low: float
    high: float
    clip: bool

    def draw(self, first: int, count: int, seed: int, stream: int) -> NDArray[np.float64]:
        """The numbers of the synapses first, first + 1, .., float64 (count,)."""
        out = np.empty(count, np.float64)
        drawing.draw_values(
            first, self.kind, self.place, self.spread, self.low, self.high, self.clip, stream, seed_key(seed), out
        )
        return out


@dataclass(frozen=True)
class Uniform:
    """Equally probable between two limits.

    Attributes
    ----------
    low, high : float

    Raises
    ------
    InputError
        No numbers, or `low` above `high`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        set_fields(self, low=real(self.low, "low of Uniform"), high=real(self.high, "high of Uniform"))
        if self.low > self.high:
            raise InputError(f"Uniform reaches from {self.low:g} to {self.high:g}; low must not be above high")

    def law(self, low: float, high: float) -> Law:
        """As the kernel draws it; the limits are those of what it is for."""
        if not low <= self.low <= self.high <= high:
            raise InputError(f"Uniform reaches from {self.low:g} to {self.high:g}; it must stay in {low:g} .. {high:g}")
        return Law(drawing.UNIFORM, 0.0, 0.0, self.low, self.high, True)


@dataclass(frozen=True)
class _Bounded:
    """What Normal and LogNormal have in common."""

    mean: float
    std: float
    low: float | None = None
    high: float | None = None
    outside: str = "redraw"

    def __post_init__(self) -> None:
        name = type(self).__name__
        set_fields(self, mean=real(self.mean, f"mean of {name}"), std=real(self.std, f"std of {name}"))
        for what in ("low", "high"):
            value = getattr(self, what)
            if value is not None:
                set_fields(self, **{what: real(value, f"{what} of {name}")})
        if self.std < 0:
            raise InputError(f"std of {name} is {self.std:g}; it must be at least 0")
        if not isinstance(self.outside, str) or self.outside not in OUTSIDE:
            raise InputError(f"outside of {name} is {shown(self.outside)}; it must be one of {', '.join(OUTSIDE)}")

    def _limits(self, low: float, high: float) -> tuple[float, float]:
        """The narrower of its own limits and of those of what it is for."""
        own = (
            max(low, -math.inf if self.low is None else self.low),
            min(high, math.inf if self.high is None else self.high),
        )
        if own[0] > own[1]:
            raise InputError(
                f"{type(self).__name__} is limited to {own[0]:g} .. {own[1]:g}; low must not be above high"
            )
        return own

    def _law(self, kind: int, low: float, high: float, limits: tuple[float, float]) -> Law:
        """limits: low and high on the scale on which it is normal."""
        if self.outside == "redraw" and (share := self._share(*limits)) < ACCEPTED:
            raise InputError(
                f"{share:.2g} of {type(self).__name__}(mean={self.mean:g}, std={self.std:g}) lies in {low:g} .. "
                f'{high:g}, and at least {ACCEPTED} must; choose other limits, or outside="clip"'
            )
        return Law(kind, self.mean, self.std, low, high, self.outside == "clip")

    def _share(self, low: float, high: float) -> float:
        """How much of the normal distribution lies between two limits."""
        if self.std == 0.0:
            return float(low <= self.mean <= high)
        above, below = ((limit - self.mean) / self.std / math.sqrt(2) for limit in (low, high))
        return 0.5 * (math.erfc(above) - math.erfc(below))


@dataclass(frozen=True)
class Normal(_Bounded):
    """The normal distribution, within limits.

    Attributes
    ----------
    mean, std : float
    low, high : float, optional
        What lies outside of them is drawn again ("redraw"), or put to the limit ("clip").
    outside : str

    Raises
    ------
    InputError
        A value out of range.
    """

    def law(self, low: float, high: float) -> Law:
        """As the kernel draws it; the limits are those of what it is for."""
        low, high = self._limits(low, high)
        return self._law(drawing.NORMAL, low, high, (low, high))


@dataclass(frozen=True)
class LogNormal(_Bounded):
    """A distribution whose logarithm is normal, within limits.

    Attributes
    ----------
    mean, std : float
        Of the natural logarithm, as NEST, NumPy and Brian2 have it; the median is e**mean.
    low, high : float, optional
        What lies outside of them is drawn again ("redraw"), or put to the limit ("clip").
    outside : str

    Raises
    ------
    InputError
        A value out of range.
    """

    def law(self, low: float, high: float) -> Law:
        """As the kernel draws it; the limits are those of what it is for."""
        low, high = self._limits(low, high)
        logs = tuple(math.log(limit) if limit > 0 else -math.inf for limit in (low, high))
        return self._law(drawing.LOGNORMAL, low, high, (logs[0], logs[1]))


Distribution = Uniform | Normal | LogNormal


class Values:
    """The weights or the delays of a projection, by the number of the synapse.

    Attributes
    ----------
    constant : float or None
        The value of all of them.
    array : ndarray or None
        One value for each synapse.
    """

    def __init__(
        self, constant: float | None = None, array: NDArray[Any] | None = None, law: Law | None = None
    ) -> None:
        self.constant, self.array, self._law = constant, array, law

    def numbered(self, first: int, count: int, seed: int, stream: int) -> NDArray[np.float64]:
        """Values of the synapses first, first + 1, .., float64 (count,)."""
        if self.array is not None:
            return self.array[first : first + count].astype(np.float64)
        if self._law is not None:
            return self._law.draw(first, count, seed, stream)
        return np.full(count, self.constant)


def weight_values(given: Any) -> Values:
    """Weights from a number, an array or a distribution.

    Raises
    ------
    InputError
    """
    if isinstance(given, Distribution):
        return Values(law=given.law(-math.inf, math.inf))
    array = _array(given)
    if array is None:
        return Values(constant=real(given, "weight"))
    if not np.isfinite(array).all():
        raise InputError("the array of weights holds a value that is not finite")
    return Values(array=array)


def delay_values(given: Any) -> Values:
    """Delays in steps from a number, a pair (first, last), an array or a distribution, which is rounded to steps.

    Raises
    ------
    InputError
    """
    if isinstance(given, Distribution):
        return Values(law=given.law(1.0, float(DELAY_MAX)))
    if isinstance(given, list | tuple):
        if len(given) != 2:
            raise InputError(f"delay is {shown(given)}; it is a number of steps, or the first and the last one")
        low, high = (integer(one, "delay", 1, DELAY_MAX) for one in given)
        if low > high:
            raise InputError(f"delay is {shown(given)}; the first of the pair must be the smaller one")
        # rounded, each of them has the same probability, to 2**-30
        span = Law(drawing.UNIFORM, 0.0, 0.0, low - 0.5 + 2.0**-30, high + 0.5 - 2.0**-30, True)
        return Values(constant=float(low)) if low == high else Values(law=span)
    array = _array(given)
    if array is None:
        return Values(constant=float(integer(given, "delay", 1, DELAY_MAX)))
    if array.size and not (1 <= array.min() and array.max() <= DELAY_MAX):
        raise InputError(
            f"delays reach from {array.min():g} to {array.max():g} steps; they must be in 1 .. {DELAY_MAX}"
        )
    if np.any(array != np.rint(array)):
        raise InputError("the array of delays holds fractions; delays must be whole numbers of steps")
    return Values(array=array)


def _array(given: Any) -> NDArray[Any] | None:
    """An array of real numbers that has a dimension; None: it is something else."""
    if not isinstance(given, np.ndarray) or not given.ndim:
        return None
    if given.dtype.kind not in "biuf":
        raise InputError(f"an array of weights or delays holds {given.dtype}; it must hold real numbers")
    return given


def set_fields(frozen: Any, **values: Any) -> None:
    """Put checked values into a frozen record, while it is made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)
