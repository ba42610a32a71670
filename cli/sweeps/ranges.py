"""Ranges of values, evenly spaced or drawn at random."""

import math
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from spikesim.errors import InputError
from spikesim.io.validation import Limits, flag, items, number, require_keys, whole

__all__ = ["drawn", "is_range", "spaced"]

COUNT_MAX = 100_000
DIGITS = 4
"""Of a value between the ends of a range: enough for a search, and short in names."""


class _Range(NamedTuple):
    """From `low` to `high`, which belong to it; of integers where both are."""

    low: float
    high: float
    log: bool

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def between(self, place: float, high: float) -> float:
        """The value at a place from 0 to 1 on the way to `high`."""
        if self.log:
            return math.exp((1 - place) * math.log(self.low) + place * math.log(high))
        return (1 - place) * self.low + place * high

    def rounded(self, value: float) -> float:
        if self.log:
            short = float(f"{value:.{DIGITS}g}")
        else:
            short = round(value, DIGITS - 1 - math.floor(math.log10(self.high / 2 - self.low / 2)))
        return min(max(short, self.low), self.high)


def is_range(value: Any) -> bool:
    """Whether a table is a range; others are sections of the configuration."""
    return isinstance(value, Mapping) and not {"low", "high"}.isdisjoint(value)


def spaced(value: Any, what: str) -> list[Any]:
    """The values of an axis of a grid: a list, or a range with `count` values, both ends included.

    Raises
    ------
    InputError
        It is neither.
    """
    if not is_range(value):
        return items(value, what, "values, or a range { low, high, count }", lambda one, _: one, filled=True)
    ends = _range(value, what, ("low", "high", "count", "log"), ("low", "high", "count"))
    count = whole(value["count"], f"{what}.count", Limits(2, COUNT_MAX))
    inner = [ends.between(place / (count - 1), ends.high) for place in range(1, count - 1)]
    found = [ends.low, *(round(one) if ends.whole else ends.rounded(one) for one in inner), ends.high]
    if len(set(found)) < count:
        raise InputError(f"{what}.count is {count}, which gives some values twice; lower it, or give a list")
    return found


def drawn(value: Any, key: str, samples: int, seed: int) -> list[Any]:
    """Values of a key for a random search: one of a list each, or from a range, evenly or evenly in the logarithm.

    They depend on the key, the seed and their number alone: more samples begin with the same ones.

    Parameters
    ----------
    key : str
        Dotted.

    Raises
    ------
    InputError
        It is neither a list nor a range.
    """
    # Python guarantees the sequence of this generator; NumPy's may change with a version
    places, what = random.Random(f"{seed} {key}"), f"random.{key}"
    if not is_range(value):
        choices = items(value, what, "choices, or a range { low, high }", lambda one, _: one, filled=True)
        return [choices[int(places.random() * len(choices))] for _ in range(samples)]
    ends = _range(value, what, ("low", "high", "log"), ("low", "high"))
    if ends.whole:  # an integer has the interval up to the next one
        whole_ones = (math.floor(ends.between(places.random(), ends.high + 1)) for _ in range(samples))
        return [min(max(one, int(ends.low)), int(ends.high)) for one in whole_ones]
    return [ends.rounded(ends.between(places.random(), ends.high)) for _ in range(samples)]


def _range(value: Mapping[str, Any], what: str, known: tuple[str, ...], needed: tuple[str, ...]) -> _Range:
    require_keys(value, known, what, needed)
    log = flag(value.get("log", False), f"{what}.log")
    number(value["low"], f"{what}.low", Limits(above=0) if log else Limits())
    number(value["high"], f"{what}.high", Limits(above=value["low"]))
    return _Range(value["low"], value["high"], log)
