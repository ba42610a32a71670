"""The leaky integrate-and-fire neuron: arrivals are jumps, a spike resets it and makes it refractory.

p rises from 0 at the threshold to 1 at the threshold plus the width. Here its step and its reset are written once, for
neurons on a list, for chunks of neighbours in loops that become vectors, and for neurons that fire out of rest. Where
neurons differ, or have another time constant, the kernel of `iaf_psc_delta` moves them: where both can, to the same
bits.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.dither import leak_dither, sum_dither
from spikesim.numerics.fixed_point import ONE, P_MAX, SHARE_LIMIT
from spikesim.sparse.neurons import iaf_psc_delta
from spikesim.sparse.neurons import step as st
from spikesim.sparse.neurons.iaf import resting_probability, width_shared
from spikesim.sparse.neurons.model import POTENTIAL, General, Model, Values, parameter, potential
from spikesim.sparse.neurons.probabilistic import leak_rate
from spikesim.sparse.neurons.step import MEMBRANE_MAX


@dataclass(frozen=True)
class LeakyIntegrateAndFire(Model):
    """A leaky integrate-and-fire neuron with a stochastic threshold, or a sharp one.

    V' = V + (u - V) alpha + s, where what is cut off is carried; p = clip((V - threshold) / width, 0, 1); a spike
    puts V to `reset`, where it stays for `refractory` steps, whatever arrives (escape noise: Gerstner & Kistler 2002,
    section 5.3, with a linear hazard). All but `leak` and `width` may be arrays or distributions.

    Attributes
    ----------
    leak : int, optional
        k of alpha = 2**-k, 0 .. 15; 3 unless it or `tau` is given.
    tau : float, optional
        Time constant in steps, alpha = 1 - exp(-1 / tau), in place of a leak.
    bias : float
        u, the potential at which a neuron alone comes to rest, unless it fires before.
    threshold, width : float
        p rises from 0 to 1 between the threshold and the threshold plus the width; of width 0 the threshold is sharp,
        and a neuron fires for sure.
    reset : float
    refractory : int
        Steps.
    initial : float
        V at the start.
    """

    default_leak: ClassVar[int] = 3

    leak: int | None = None
    bias: ArrayLike = 0.0
    threshold: ArrayLike = parameter(1.0, by_neuron=True, **POTENTIAL)
    width: float = parameter(0.1, low=0.0, high=1024.0)
    reset: ArrayLike = parameter(0.0, by_neuron=True, **POTENTIAL)
    refractory: ArrayLike = parameter(0, "steps", by_neuron=True, whole=True, low=0, high=2**31 - 1)
    tau: ArrayLike | None = parameter(None, "steps", by_neuron=True, above=0.0, high=1e5)
    initial: ArrayLike = parameter(0.0, by_neuron=True, **POTENTIAL)

    def general(self, values: Values, dt: float) -> General | None:
        """The integers of such neurons; None if all share what `advance` takes."""
        same = all(len(values[name]) == 1 for name in ("threshold", "reset", "refractory"))
        if self.leak is not None and self.width > 0.0 and same:
            return None
        return General(
            kernels=iaf_psc_delta.NAME,
            bias=values["bias"],
            per_current=np.ones(1),
            initial=values["initial"],
            chance=partial(resting_probability, values),
            shared=width_shared(values["width"]),
            columns={
                st.LEAK: leak_rate(self.leak, values),
                st.THRESHOLD: potential(values["threshold"]),
                st.RESET: potential(values["reset"]),
                st.REFRACTORY: values["refractory"].astype(np.int64),
            },
            gains=(float(ONE),),
            variables=1,
            reach_limit=6 * SHARE_LIMIT / ONE,
        )

    def shared(self) -> dict[str, int]:
        """What neurons that are not general have in common."""
        width = width_shared(_one(self.width))
        return {
            "leak": self.leak or 0,
            "threshold": int(potential(_one(self.threshold))[0]),
            "reset": int(potential(_one(self.reset))[0]),
            "refractory": int(_one(self.refractory)[0]),
            "width": width[st.WIDTH],
            "slope": width[st.SLOPE],
        }

    def resting(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a spike in a step of neurons at rest."""
        return resting_probability({"threshold": _one(self.threshold), "width": _one(self.width)}, bias)


def _one(value: ArrayLike) -> NDArray[np.float64]:
    """A number as an array."""
    return np.asarray(value, np.float64).reshape(1)


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
