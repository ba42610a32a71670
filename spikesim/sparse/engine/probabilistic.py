"""The probabilistic neuron: arrivals are a drive that the membrane averages, and p = clip(V, 0, 1).

Here its step is written once, for neurons on a list and for chunks of neighbours in loops that become vectors.
"""

from typing import NamedTuple

import numpy as np

from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.dither import leak_dither
from spikesim.numerics.fixed_point import P_MAX


class Step(NamedTuple):
    """What the neurons of a population share in a step, as numbers: a loop that reads a record is not made a vector."""

    leak: int
    leak_dither: np.int32


@inline_kernel
def begin(pop, t):
    """The constants of step t; pop: a record of `POPULATION`."""
    return Step(pop.leak, np.int32(leak_dither(t, pop.leak)))


@inline_kernel
def advance(step, potential, bias, synaptic):
    """Membrane potential one step later, int32 (1.0 = 2**16), and p, int32 in units of 2**-16.

    synaptic: what arrives, 1.0 = 2**16. No drive is so large that V could leave the range of int32 (`REACH_LIMIT`).
    """
    v, u = np.int64(potential), np.int64(bias)
    moved = np.int32(v + ((u + synaptic - v + step.leak_dither) >> step.leak))
    return moved, min(max(moved, np.int32(0)), np.int32(P_MAX))
