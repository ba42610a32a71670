"""The leaky integrate-and-fire neuron: arrivals are jumps, a spike resets it and makes it refractory.

p rises from 0 at the threshold to 1 at the threshold plus the width. Here its step and its reset are written once, for
neurons on a list, for chunks of neighbours in loops that become vectors, and for neurons that fire out of rest.
"""

from typing import NamedTuple

import numpy as np

from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.dither import leak_dither, sum_dither
from spikesim.numerics.fixed_point import P_MAX
from spikesim.sparse.engine.layout import MEMBRANE_MAX


class Step(NamedTuple):
    """What the neurons of a population share in a step, as numbers: a loop that reads a record is not made a vector."""

    leak: int
    leak_dither: np.int32
    threshold: int  # 1.0 = 2**16
    width: int  # 1.0 = 2**16
    slope: int  # unit 2**-48
    dither: int  # what is added to 48 bits of p before 32 of them are cut off


@inline_kernel
def begin(pop, t):
    """The constants of step t; pop: a record of `POPULATION`."""
    return Step(pop.leak, np.int32(leak_dither(t, pop.leak)), pop.threshold, pop.width, pop.slope, sum_dither(t, 32))


@inline_kernel
def advance(step, potential, refractory, bias, synaptic):
    """One step later: membrane potential, int32 (1.0 = 2**16); refractory steps left, int32; p, int64 (unit 2**-16).

    synaptic: what arrives, 1.0 = 2**16. A refractory neuron keeps its potential and does not fire.
    """
    free = refractory == 0
    v, u = np.int64(potential), np.int64(bias)
    v = v + ((u - v + step.leak_dither) >> step.leak) + synaptic if free else v
    moved = np.int32(min(max(v, -MEMBRANE_MAX), MEMBRANE_MAX))
    excess = min(max(np.int64(moved) - step.threshold, 0), step.width)
    p = min((excess * step.slope + step.dither) >> 32, P_MAX)
    return moved, np.int32(max(refractory - 1, 0)), p if free else 0


@inline_kernel
def reset(pop, membrane, refractory, neuron):
    """What a spike does to a neuron of these arrays."""
    membrane[neuron] = np.int32(pop.reset)
    refractory[neuron] = np.int32(pop.refractory)
