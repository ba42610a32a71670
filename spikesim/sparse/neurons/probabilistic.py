"""The probabilistic neuron: arrivals are a drive that the membrane averages, and p = clip(V, 0, 1).

Its step is here twice: `advance`, for neurons on a list and for chunks of neighbours in loops that become vectors, and
`visit`, for those of any time constant and with a refractory period. Where both can be, they have the same bits.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.dither import leak_dither
from spikesim.numerics.fixed_point import ONE, P_MAX, SHARE_LIMIT
from spikesim.sparse.neurons import step as st
from spikesim.sparse.neurons.model import POTENTIAL, General, Model, Values, parameter
from spikesim.sparse.neurons.multipliers import rate

NAME = "probabilistic"


@dataclass(frozen=True)
class Probabilistic(Model):
    """The neuron of the rest of the program: V moves to its drive, p = clip(V, 0, 1).

    V' = V + (u + s - V) alpha, with s the weights of what arrives in the step; what is cut off is carried. All but
    `leak` may be arrays or distributions.

    Attributes
    ----------
    leak : int, optional
        k of alpha = 2**-k, 0 .. 15; 2 unless it or `tau` is given.
    tau : float, optional
        Time constant in steps, alpha = 1 - exp(-1 / tau), in place of a leak.
    bias : float
        u, the drive of a neuron alone.
    refractory : int
        Steps after a spike in which p is 0; V goes on.
    initial : float
        V at the start.
    """

    default_leak: ClassVar[int] = 2

    leak: int | None = None
    bias: ArrayLike = 0.0
    tau: ArrayLike | None = parameter(None, "steps", by_neuron=True, above=0.0, high=1e5)
    refractory: ArrayLike = parameter(0, "steps", by_neuron=True, whole=True, low=0, high=2**31 - 1)
    initial: ArrayLike = parameter(0.0, by_neuron=True, **POTENTIAL)

    def general(self, values: Values, dt: float) -> General | None:
        """The integers of such neurons; None if all share what `advance` takes."""
        if self.leak is not None and not values["refractory"].any():
            return None
        return General(
            kernels=NAME,
            bias=values["bias"],
            per_current=np.ones(1),
            initial=values["initial"],
            chance=self.resting,
            shared={},
            columns={st.LEAK: leak_rate(self.leak, values), st.REFRACTORY: values["refractory"].astype(np.int64)},
            gains=(float(ONE),),
            variables=0,
            reach_limit=6 * SHARE_LIMIT / ONE,
        )

    def shared(self) -> dict[str, int]:
        """What neurons that are not general have in common."""
        return {"leak": self.leak or 0}

    def resting(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a spike in a step of neurons at rest."""
        return np.clip(bias, 0.0, P_MAX / ONE)


def leak_rate(leak: int | None, values: Values) -> NDArray[np.int64]:
    """The rate of a membrane whose `leak` or `tau` is given."""
    return rate(values["tau"]) if leak is None else np.full(1, 1 << (st.RATE_BITS - leak), np.int64)


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


@kernel
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, refractory, bias, sums, p = cells.potential, cells.refractory, cells.bias, cells.excitation, cells.p
    count = potential.shape[0]
    leak = st.row(columns, st.LEAK, count)
    gain, shift = st.narrow(shared[st.GAIN_EX]), shared[st.SHIFT_EX]
    part = st.carried(shift, dither.carry)
    for i in range(count):
        v, drive = np.int64(potential[i]), (np.int64(sums[i]) * gain + part) >> shift
        change = (np.int64(bias[i]) + drive - v) * np.int64(leak[i]) + dither.leak
        potential[i] = np.int32(v + (change >> st.RATE_BITS))
    for i in range(count):
        own = min(max(potential[i], np.int32(0)), np.int32(P_MAX))
        p[i] = own if refractory[i] == 0 else np.int32(0)
        refractory[i] = np.int32(max(refractory[i] - 1, 0))
    st.rest(cells, variables, 0, 0)


@kernel
def fire(shared, columns, variables, cells, i):
    """What a spike does to a neuron: V goes on."""
    cells.refractory[i] = columns.array[st.REFRACTORY, columns.at + i]
