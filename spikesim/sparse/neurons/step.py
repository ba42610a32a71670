"""What the steps of all general neurons have in common: arrays of neurons, columns, rounding, thresholds.

A general neuron is moved together with some others, as arrays: each loop is over a few of them and becomes vectors.
What the neurons of a population share is a row of `SHARED` integers; what they may differ in are `COLUMNS` integers of
32 bits each; variables, which are 0 at rest, are rows of an array. Time constants are *rates*: the share
1 - exp(-1 / tau) that is lost in a step, unit 2**-31.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.dither import reversed_bits, sum_dither
from spikesim.numerics.fixed_point import ONE, P_MAX

RATE_BITS = 31
GAIN_BITS = 30
SHIFT_LARGEST = 62
MEMBRANE_MAX = 2**30
"""No membrane potential is larger in magnitude, and no variable of a neuron."""
RAISED_MAX = 2**29
"""No threshold is raised by more."""
CERTAIN = ONE
"""p of a neuron that fires for sure."""
PLASTIC = 3242174889
"""2**32 over the plastic number, the real root of x**3 = x + 1; odd."""

GAIN_EX, GAIN_IN, SHIFT_EX, SHIFT_IN = 0, 1, 2, 3  # of the sums of weights
WIDTH, SLOPE = 4, 5  # of the threshold, as in `spikesim.sparse.engine.layout.PART`
ADAPTS = 6  # 1: the threshold adapts
OWN_SHARED = 7  # from here on each model has its own
SHARED = 13
"""Integers that the neurons of a population share."""

LEAK = 0  # rate of the membrane
THRESHOLD, RESET, REFRACTORY = 1, 2, 3  # 1.0 = 2**16; steps
ADAPTATION_RATE, ADAPTATION_STEP = 4, 5  # of the threshold
OWN = 6  # from here on each model has its own
COLUMNS = 11
"""Integers in which the neurons of a population may differ."""
ADAPTATION = 0
"""The variable by which the threshold is raised, 1.0 = 2**16."""


class Dithers(NamedTuple):
    """What carries the rounding of a step."""

    leak: np.int64  # 0 .. 2**31 - 1: the number of the step in reverse order, for potentials
    carry: np.int64  # 0 .. 2**32 - 1: the fraction of step / golden ratio, for what arrives and for variables
    other: np.int64  # 0 .. 2**31 - 1: the fraction of step / plastic number, for variables that others are added to


class Rows(NamedTuple):
    """Columns or variables of some neighbours: those of an array from a place on."""

    array: NDArray[np.int32]  # (columns or variables, neurons)
    at: int | np.int64


class Cells(NamedTuple):
    """Some neurons, (neurons,) each."""

    potential: NDArray[np.int32]  # 1.0 = 2**16
    refractory: NDArray[np.int32]  # steps left
    bias: NDArray[np.int32]  # what drives a neuron alone, 1.0 = 2**16
    excitation: NDArray[np.int32]  # sum of the weights that arrive, of all where a neuron has one sum
    inhibition: NDArray[np.int32]
    p: NDArray[np.int32]  # to be filled: probability of a spike, unit 2**-16; CERTAIN: it fires
    still: NDArray[np.uint8]  # to be filled: 1: it stays as it is from now on, if nothing arrives


@inline_kernel
def dithers(t):
    """Those of step t."""
    leak = np.int64((reversed_bits(t) << 15) | (reversed_bits(t >> 16) >> 1))
    return Dithers(leak, np.int64(sum_dither(t, 32)), np.int64(((t * PLASTIC) & 0xFFFFFFFF) >> 1))


@inline_kernel
def row(rows, which, count):
    """One of the columns or variables."""
    return rows.array[which, rows.at : rows.at + count]


@inline_kernel
def narrow(value):
    """An integer of 32 bits in 64: two such are multiplied by one instruction."""
    return np.int64(np.int32(value))


@inline_kernel
def carried(shift, carry):
    """What is added to a product before it loses so many bits."""
    return carry << (shift - 32) if shift >= 32 else carry >> (32 - shift)


@inline_kernel
def held(value):
    """Within the range of potentials and variables."""
    return min(max(value, np.int64(-MEMBRANE_MAX)), np.int64(MEMBRANE_MAX))


@inline_kernel
def decay(x, rate, sums, gain, shift, carry):
    """A variable one step later: on its way to 0, where it stays, and what arrives is added."""
    rate, gain = narrow(rate), narrow(gain)
    half, part = carry >> 1, carried(shift, carry)
    for i in range(x.shape[0]):
        value = np.int64(x[i])
        lost = (value * rate + half) >> RATE_BITS
        x[i] = np.int32(held(value - lost + ((np.int64(sums[i]) * gain + part) >> shift)))


@inline_kernel
def cross(shared, columns, variables, cells, dither):
    """Probabilities of spikes, of a threshold that may adapt, and the refractory steps that are left.

    What a refractory neuron has become in this step must not be seen: it keeps its potential before.
    """
    p, potential, refractory = cells.p, cells.potential, cells.refractory
    count = potential.shape[0]
    threshold = row(columns, THRESHOLD, count)
    for i in range(count):
        p[i] = np.int32(potential[i] - threshold[i])
    if shared[ADAPTS]:
        raised, rate = row(variables, ADAPTATION, count), row(columns, ADAPTATION_RATE, count)
        half = dither.carry >> 1
        for i in range(count):
            value = np.int64(raised[i])
            raised[i] = np.int32(value - ((value * np.int64(rate[i]) + half) >> RATE_BITS))
        for i in range(count):
            p[i] = np.int32(p[i] - raised[i])
    if shared[WIDTH] == 0:
        for i in range(count):
            p[i] = np.int32(CERTAIN) if p[i] >= 0 and refractory[i] == 0 else np.int32(0)
    else:
        width, slope = shared[WIDTH], shared[SLOPE]
        for i in range(count):
            excess = min(max(np.int64(p[i]), 0), width)
            own = min((excess * slope + dither.carry) >> 32, P_MAX)
            p[i] = np.int32(own if refractory[i] == 0 else 0)
    for i in range(count):
        refractory[i] = np.int32(max(refractory[i] - 1, 0))


@inline_kernel
def rest(cells, variables, first, end):
    """Which neurons stay as they are: at their bias, not refractory, and with variables first .. end - 1 at 0."""
    still, potential, refractory, bias = cells.still, cells.potential, cells.refractory, cells.bias
    count = still.shape[0]
    for i in range(count):
        still[i] = np.uint8((potential[i] == bias[i]) & (refractory[i] == 0))
    for variable in range(first, end):
        x = row(variables, variable, count)
        for i in range(count):
            still[i] &= np.uint8(x[i] == 0)


@kernel
def reset(shared, columns, variables, cells, i):
    """What a spike does to an integrate-and-fire neuron."""
    if shared[ADAPTS]:
        raised = variables.array[ADAPTATION, variables.at + i] + np.int64(
            columns.array[ADAPTATION_STEP, columns.at + i]
        )
        variables.array[ADAPTATION, variables.at + i] = np.int32(min(raised, RAISED_MAX))
    cells.potential[i] = columns.array[RESET, columns.at + i]
    cells.refractory[i] = columns.array[REFRACTORY, columns.at + i]
