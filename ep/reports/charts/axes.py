"""Axes of charts: which range is shown, where the ticks are, and what they say."""

import math
from dataclasses import dataclass

__all__ = ["Axis", "linear_axis", "log_axis"]

SMALLEST = 1e-200
"""Values that are nearer are the same to an axis."""


@dataclass(frozen=True)
class Axis:
    """From values to positions between 0 and 1.

    Attributes
    ----------
    low, high : float
        The range; logarithms of base 10 on a logarithmic axis.
    ticks : list of float
        Values with a tick.
    log : bool
        Whether the axis is logarithmic.
    """

    low: float
    high: float
    ticks: list[float]
    log: bool = False

    def position(self, value: float) -> float:
        """Place of a value, 0 at the low end and 1 at the high one."""
        return ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)


def linear_axis(values: list[float], *, zero: bool = False, integers: bool = False, count: int = 5) -> Axis:
    """An axis that ends at ticks, around values.

    Parameters
    ----------
    values : list of float
        What must fit.
    zero : bool
        Begin at zero.
    integers : bool
        Only whole numbers have ticks, and the axis ends with the values.
    count : int
        About how many intervals.
    """
    low, high = min(values), max(values)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    size = max(abs(low), abs(high))
    if high - low <= max(1e-9 * size, SMALLEST):
        margin = max(1.0, 1e-6 * size) if integers or size <= SMALLEST else 0.1 * size
        low, high = low - margin, high + margin
    rough = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough * 0.999)
    if integers:
        step = max(1.0, step)
        first, last = math.ceil(low / step), math.floor(high / step)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        low, high = first * step, last * step
    digits = max(0, -math.floor(math.log10(step)))
    return Axis(low, high, [round(tick * step, digits) for tick in range(first, last + 1)])


def log_axis(values: list[float]) -> Axis:
    """A logarithmic axis around positive values, with two ticks or more: powers of ten, others where these are few."""
    low, high = math.log10(min(values)), math.log10(max(values))
    margin = max(0.05 * (high - low), 0.05)
    low, high = low - margin, high + margin
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    if len(decades) > 8:
        decades = decades[:: math.ceil(len(decades) / 6)]
    ticks = [factor * 10.0**power for power in decades for factor in factors]
    ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
    for count in (4, 8):  # within a decade: round numbers at equal distances
        if len(ticks) < 3 and high - low < 2.5:
            found = linear_axis([10.0**low, 10.0**high], count=count).ticks
            ticks = [tick for tick in found if tick > 0 and low <= math.log10(tick) <= high]
    return Axis(low, high, ticks, log=True)
