"""How the real numbers of a sparse network become integers, and what is said where these cannot hold them.

The drives of a population are sums of integers, 1.0 = 2**exponent, with the finest exponent at which no sum can leave
its range. A projection has a scale of its own: its weights are integers of 16 bits, or one of 32 if all are equal, that
are shifted to the scale of the sums when they are added.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE, ONE_BITS, SHARE_LIMIT, WEIGHT_MAX
from spikesim.sparse.neurons.model import SHIFT_MAX

SUM_BITS = 30
"""Sums of weights stay below 2**30."""
FINEST = ONE_BITS + SHIFT_MAX
"""Exponent of the finest sums."""
REACH_LIMIT = 6 * SHARE_LIMIT / ONE
"""All that can reach a neuron in one step stays below this, and with its bias below 7/8 of `DRIVE_LIMIT`."""
CHUNK = 1 << 16
"""Weights that are looked at together."""
TOLD = 0.01
"""A change by more than this, relative to the number itself, is told."""
SPLIT, RANGE_BITS, PARTS_MAX = 0.001, 8, 5
"""A projection has several scales, each for weights within a factor of 2**8, if one changes its weights by more."""
POISSON_TAIL = 2.0**-33
"""Numbers of Poisson arrivals whose probability, given that there is any, is below this do not occur."""


def scaled(values: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """``values * 2**exponent``, as `numpy.ldexp`; faster where the power is a number."""
    if abs(exponent) < 1000:
        return values * 2.0**exponent
    return np.ldexp(values, exponent)


class Part(NamedTuple):
    """Weights of a projection that share a scale: real value = integer * 2**-exponent."""

    exponent: int
    above: float  # their magnitudes are larger than this, -1: whatever they are
    largest: float  # and up to this
    sign: int = 0  # 1: those from zero on; -1: those below; 0: both

    def of(self, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which weights these are."""
        magnitudes: NDArray[np.float64] = np.abs(weights)
        within = (magnitudes > self.above) & (magnitudes <= self.largest)
        return within & ((weights < 0) == (self.sign < 0)) if self.sign else within

    def integers(self, weights: NDArray[np.float64]) -> NDArray[np.int16]:
        """Such weights as integers, to nearest."""
        return np.rint(scaled(weights, self.exponent)).astype(np.int16)

    def real(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """What such weights become."""
        return scaled(np.rint(scaled(weights, self.exponent)), -self.exponent)


def sum_exponent(reach: float, finest: int = FINEST) -> int:
    """Exponent of the sums of a population: the finest one, if all that can reach a neuron adds up to `reach`."""
    if reach == 0.0:
        return finest
    return min(SUM_BITS - math.frexp(reach)[1], finest)


def fitting_exponent(largest: float) -> int:
    """Exponent of the finest scale at which a weight of this magnitude fits into int16."""
    if largest == 0.0:
        return ONE_BITS + SHIFT_MAX
    fraction, exponent = math.frexp(largest)
    # 0.99999 rounds up to the next power of two
    return 15 - exponent - (round(math.ldexp(fraction, 15)) > WEIGHT_MAX)


class Changes(NamedTuple):
    """What rounding does to numbers that are not zero."""

    number: int
    mean: float  # change relative to a number, 1 where it becomes 0
    many: int  # change by more than `TOLD`
    none: int  # become 0
    example: tuple[float, float]  # one that changes most, and what it becomes


def split(weights: NDArray[np.float64], largest: float, exponent: int) -> tuple[list[Part], Changes]:
    """The scales of the weights of a projection, of magnitudes up to `largest`, onto sums with such an exponent.

    One, unless it would change the weights by more than `SPLIT` on average: then those below 2**-8 of the largest
    have a finer scale of their own, and so on.
    """
    parts: list[Part] = []
    left = weights
    while True:
        own = Part(min(fitting_exponent(largest), exponent), -1.0, largest)
        found = _changes(left, [own])
        if own.exponent == exponent or len(parts) == PARTS_MAX - 1 or found.mean <= SPLIT:
            break
        border = math.ldexp(largest, -RANGE_BITS)
        below = left[np.abs(left) <= border]
        if not below.any():
            break
        parts.append(own._replace(above=border))
        left, largest = below, float(np.abs(below).max())
    parts.append(own)
    return parts, found if len(parts) == 1 else _changes(weights, parts)


def _changes(weights: NDArray[np.float64], parts: Sequence[Part]) -> Changes:
    """What the scales of a projection do to its weights; some at a time, for there may be many."""
    number, total, many, none, worst, example = 0, 0.0, 0, 0, 0.0, (0.0, 0.0)
    for begin in range(0, len(weights), CHUNK):
        given = weights[begin : begin + CHUNK]
        if not given.all():
            given = given[given != 0.0]
        become = parts[-1].real(given)
        for part in parts[:-1]:
            own = part.of(given)
            become[own] = part.real(given[own])
        changed = np.minimum(np.abs(become / given - 1.0), 1.0)
        number, total = number + len(given), total + float(changed.sum())
        many, none = many + int((changed > TOLD).sum()), none + int((become == 0.0).sum())
        if changed.max(initial=0.0) > worst:
            at = int(np.argmax(changed))
            worst, example = float(changed[at]), (float(given[at]), float(become[at]))
    return Changes(number, total / max(number, 1), many, none, example)


def check_reach(weights: float, arrivals: int, poisson: float, name: str, limit: float = REACH_LIMIT) -> None:
    """Refuse what the integers of a population cannot add up.

    Parameters
    ----------
    weights : float
        Sum of the magnitudes of the weights onto a neuron.
    arrivals : int
        Largest number of Poisson arrivals in a step, each of magnitude `poisson`.

    Raises
    ------
    InputError
        Their sum reaches the limit.
    """
    reach = weights + arrivals * poisson
    if reach < limit:
        return
    if not arrivals:
        raise InputError(
            f"the weights onto a neuron of {name} add up to {reach:.6g}; they must stay below {limit:g}: lower "
            "the weights or their number"
        )
    beside = f", with the weights onto a neuron {reach:.6g}" if weights else ""
    raise InputError(
        f"the Poisson drive of {name}, up to {arrivals} arrivals of {poisson:.6g} in a step, can be "
        f"{arrivals * poisson:.6g}{beside}; it must stay below {limit:g}: lower its rate or its weight"
    )


def round_bias(values: NDArray[np.float64], name: str) -> NDArray[np.int32]:
    """Biases as int32, 1.0 = 2**16.

    Raises
    ------
    InputError
        A value is not finite or out of range.
    """
    largest = float(np.max(np.abs(values), initial=0.0))
    if not largest < SHARE_LIMIT / ONE:
        raise InputError(f"biases of {name} reach {largest:.4g}; their magnitudes must be below {SHARE_LIMIT // ONE}")
    return np.rint(values * ONE).astype(np.int32)


def told_bias(values: NDArray[np.float64], integers: NDArray[np.int32], name: str) -> str | None:
    """A line on biases that rounding changes a lot, measured by their Euclidean norm."""
    own, lost = float(np.linalg.norm(values)), float(np.linalg.norm(values - integers / ONE))
    if lost <= TOLD * own:
        return None
    at = int(np.argmax(np.abs(values - integers / ONE)))
    return (
        f"biases of {name} are rounded to multiples of 2**-16, which changes them by {lost / own:.0%}: "
        f"{values[at]:.4g} becomes {integers[at] / ONE:.4g} (a neuron at rest fires with the exact probability)"
    )


def told_number(value: float, what: str) -> str | None:
    """A line on a number in units of the potential that rounding changes a lot."""
    becomes = round(value * ONE) / ONE
    if abs(becomes - value) <= TOLD * abs(value):
        return None
    return f"{what} is rounded to a multiple of 2**-16: {value:.4g} becomes {becomes:.4g}"


def told_weight(value: float, integer: int, exponent: int, what: str, reach: float) -> str | None:
    """A line on a single number that is a weight onto a population with such a `reach`."""
    becomes = math.ldexp(integer, -exponent)
    if abs(becomes - value) <= TOLD * abs(value):
        return None
    beside = _beside(exponent, reach)
    return f"{what} is rounded to a multiple of 2**-{exponent}{beside}: {value:.4g} becomes {becomes:.4g}"


def told_weights(found: Changes, exponent: int, what: str, reach: float) -> str | None:
    """A line on weights that rounding to multiples of 2**-exponent changes by more than `TOLD` on average."""
    if found.mean <= TOLD:
        return None
    value, becomes = found.example
    return (
        f"{what} are rounded to multiples of 2**-{exponent}{_beside(exponent, reach)}: "
        f"{found.many:,} of {found.number:,} change by more than {TOLD:.0%}, and {found.none:,} become 0; "
        f"{value:.4g} becomes {becomes:.4g}"
    )


def _beside(exponent: int, reach: float) -> str:
    """Why weights onto a population with such a `reach` have no finer scale, if it is why."""
    if exponent >= FINEST:
        return ""
    return f" (all weights onto a neuron together reach {reach:.4g})"


def poisson_tails(rate: float) -> NDArray[np.uint64]:
    """P(X > k) for k = 0, 1, ..., in units of 2**-64, as far as it counts."""
    terms = [math.exp(-rate)]
    while len(terms) < 2 * rate or terms[-1] > 1e-30 * rate:
        terms.append(terms[-1] * rate / len(terms))
    tails: list[float] = []
    total = 0.0
    for term in reversed(terms[1:]):  # the small ones first
        total += term
        tails.append(total)
    tails.reverse()
    kept = [tail for tail in tails if tail > POISSON_TAIL * tails[0]]
    return np.array([min(round(math.ldexp(tail, 64)), 2**64 - 1) for tail in kept], np.uint64)
