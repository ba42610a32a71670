"""The leaky integrate-and-fire neuron with currents that decay exponentially: NEST's `iaf_psc_exp`.

In a step, for excitation and inhibition each with an I and a tau_syn of its own,

    V' = V + (u - V) (1 - exp(-dt / tau_m)) + P I      unless it is refractory: then V' = V
    I' = I exp(-dt / tau_syn) + s

with s the weights of what arrives, and P what a current that decays adds to V within a step (exact integration: Rotter
& Diesmann 1999). Threshold, adaptation and reset are those of `iaf_psc_delta`.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import (
    SynapticCurrents,
    steps,
    threshold_columns,
    threshold_shared,
)
from spikesim.sparse.neurons.model import General, Values
from spikesim.sparse.neurons.multipliers import from_current, rate, scaled

NAME = "iaf_psc_exp"
EXCITATION, INHIBITION = 1, 2
"""Variables: currents, in units of 2**-(16 + fine) mV a step."""
RATE_EX, RATE_IN = range(step.OWN_SHARED, step.OWN_SHARED + 2)
INTO_EX, INTO_IN = range(step.OWN, step.OWN + 2)


@dataclass(frozen=True)
class IafPscExp(SynapticCurrents):
    """Leaky integrate-and-fire neurons with synaptic currents that jump and decay: NEST's `iaf_psc_exp`.

    Weights are in pA: those above zero are added to the current of excitation, those below to that of inhibition.

    Attributes
    ----------
    tau_syn_ex, tau_syn_in : float
        Time constants of the currents, ms.
    C_m, tau_m, E_L, I_e, V_m, V_th, V_reset, t_ref, width, q_sfa, tau_sfa
        As in `IafPscDelta`.
    """

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        tau_m = steps(values["tau_m"], dt, "tau_m")
        excitation, inhibition = (steps(values[name], dt, name) for name in ("tau_syn_ex", "tau_syn_in"))
        fine = bits(tau_m)
        return General(
            kernels=NAME,
            bias=self.rest(values),
            per_current=values["tau_m"] / self.C_m,
            initial=values.get("V_m", values["E_L"]),
            chance=self.chance(values),
            shared={
                RATE_EX: int(rate(excitation)[0]),
                RATE_IN: int(rate(inhibition)[0]),
                **threshold_shared(values),
            },
            columns={
                step.LEAK: rate(tau_m),
                INTO_EX: scaled(from_current(tau_m, excitation), step.RATE_BITS - fine),
                INTO_IN: scaled(from_current(tau_m, inhibition), step.RATE_BITS - fine),
                **threshold_columns(values, dt),
            },
            gains=(math.ldexp(dt / self.C_m, ONE_BITS + fine),) * 2,
            variables=3,
        )


def bits(tau: NDArray[np.float64]) -> int:
    """How many bits finer a variable should be than what sums it up over a time constant."""
    return max(0, math.ceil(math.log2(float(tau.max()))))


@kernel
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, refractory, bias = cells.potential, cells.refractory, cells.bias
    count = potential.shape[0]
    leak, into_ex, into_in = (
        step.row(columns, step.LEAK, count),
        step.row(columns, INTO_EX, count),
        step.row(columns, INTO_IN, count),
    )
    excitation, inhibition = step.row(variables, EXCITATION, count), step.row(variables, INHIBITION, count)
    for i in range(count):
        v = np.int64(potential[i])
        current = np.int64(excitation[i]) * np.int64(into_ex[i]) + np.int64(inhibition[i]) * np.int64(into_in[i])
        change = ((np.int64(bias[i]) - v) * np.int64(leak[i]) + current + dither.leak) >> step.RATE_BITS
        potential[i] = np.int32(step.held(v + change) if refractory[i] == 0 else v)
    carry = dither.carry
    step.decay(excitation, shared[RATE_EX], cells.excitation, shared[step.GAIN_EX], shared[step.SHIFT_EX], carry)
    step.decay(inhibition, shared[RATE_IN], cells.inhibition, shared[step.GAIN_IN], shared[step.SHIFT_IN], carry)
    step.cross(shared, columns, variables, cells, dither)
    step.rest(cells, variables, 0, 3)
