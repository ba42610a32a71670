"""What the steps of all neurons that are visited one by one have in common: records, columns, rounding, thresholds.

A neuron has a row of `COLUMNS` integers, its parameters, and a row of variables, which are 0 at rest. Time constants
are *rates*: the share 1 - exp(-1 / tau) that is lost in a step, unit 2**-31.
"""

from typing import NamedTuple

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.dither import reversed_bits, sum_dither
from spikesim.numerics.fixed_point import ONE, P_MAX

RATE_BITS = 31
GAIN_BITS = 30
SHIFT_LARGEST = 62
MEMBRANE_MAX = 2**30
"""No membrane potential is larger in magnitude, and no variable of a neuron."""
CERTAIN = ONE
"""p of a neuron that fires for sure."""

PLASTIC = 3242174889
"""2**32 over the plastic number, the real root of x**3 = x + 1; odd."""

GAIN_EX, GAIN_IN, SHIFT_EX, SHIFT_IN = 0, 1, 2, 3  # of the sums of weights
LEAK = 4  # rate of the membrane
THRESHOLD, WIDTH, SLOPE, RESET, REFRACTORY = 5, 6, 7, 8, 9  # as in `spikesim.sparse.engine.layout.PART`
ADAPTATION_RATE, ADAPTATION_STEP = 10, 11  # of the threshold
OWN = 12  # from here on each model has its own
COLUMNS = 20
"""Columns of a row of parameters."""
ADAPTATION = 0
"""The variable by which the threshold is raised, 1.0 = 2**16."""


class Dithers(NamedTuple):
    """What carries the rounding of a step."""

    leak: np.int64  # 0 .. 2**31 - 1: the number of the step in reverse order, for potentials
    carry: np.int64  # 0 .. 2**32 - 1: the fraction of step / golden ratio, for what arrives and for variables
    other: np.int64  # 0 .. 2**31 - 1: the fraction of step / plastic number, for variables that others are added to


class Cell(NamedTuple):
    """A neuron before a step."""

    potential: np.int64  # 1.0 = 2**16
    refractory: np.int64  # steps left
    bias: np.int64  # what drives it alone, 1.0 = 2**16


class Arrived(NamedTuple):
    """Sums of the weights that arrive in a step."""

    excitatory: np.int64  # of all, where a neuron has one sum
    inhibitory: np.int64


class Moved(NamedTuple):
    """A neuron after a step."""

    potential: np.int64
    refractory: np.int64
    p: np.int64  # probability that it fires, unit 2**-16; CERTAIN: it does
    still: bool  # whether it stays as it is from now on, if nothing arrives


class Fired(NamedTuple):
    """A neuron after a spike."""

    potential: np.int64
    refractory: np.int64


@inline_kernel
def dithers(t):
    """Those of step t."""
    leak = np.int64((reversed_bits(t) << 15) | (reversed_bits(t >> 16) >> 1))
    return Dithers(leak, np.int64(sum_dither(t, 32)), np.int64(((t * PLASTIC) & 0xFFFFFFFF) >> 1))


@inline_kernel
def gained(total, gain, shift, carry):
    """What a sum of weights adds: ``total * gain * 2**-shift``, and what is cut off is carried."""
    if total == 0:
        return np.int64(0)
    part = carry << (shift - 32) if shift >= 32 else carry >> (32 - shift)
    return np.int64((total * gain + part) >> shift)


@inline_kernel
def decayed(value, rate, carry):
    """A variable one step later, on its way to 0, where it stays."""
    value = np.int64(value)
    return value - ((value * rate + (carry >> 1)) >> RATE_BITS)


@inline_kernel
def held(value):
    """Within the range of potentials and variables."""
    return min(max(value, np.int64(-MEMBRANE_MAX)), np.int64(MEMBRANE_MAX))


@inline_kernel
def crossing(p, x, potential, dither):
    """Probability of a spike, unit 2**-16, of a potential and a threshold that adapts."""
    excess = potential - p[THRESHOLD] - np.int64(x[ADAPTATION])
    if excess < 0:
        return np.int64(0)
    if p[WIDTH] == 0:
        return np.int64(CERTAIN)
    return np.int64(min((min(excess, p[WIDTH]) * p[SLOPE] + dither.carry) >> 32, P_MAX))


@inline_kernel
def adapt(p, x, dither):
    """The threshold one step later."""
    if x[ADAPTATION] != 0:
        x[ADAPTATION] = np.int32(decayed(x[ADAPTATION], p[ADAPTATION_RATE], dither.carry))


@kernel
def reset(p, x, cell, arrived, dither):
    """What a spike does to an integrate-and-fire neuron."""
    x[ADAPTATION] = np.int32(held(np.int64(x[ADAPTATION]) + p[ADAPTATION_STEP]))
    return Fired(p[RESET], p[REFRACTORY])
