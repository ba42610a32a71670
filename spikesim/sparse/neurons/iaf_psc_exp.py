"""The leaky integrate-and-fire neuron with currents that decay exponentially: NEST's `iaf_psc_exp`.

In a step, for excitation and inhibition each with an I and a tau_syn of its own,

    V' = V + (u - V) (1 - exp(-dt / tau_m)) + P I      unless it is refractory: then V' = V
    I' = I exp(-dt / tau_syn) + s

with s the weights of what arrives, and P what a current that decays adds to V within a step (exact integration: Rotter
& Diesmann 1999). Threshold, adaptation and reset are those of `iaf_psc_delta`.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import TAU, CurrentBased, resting_probability, steps, threshold_columns
from spikesim.sparse.neurons.model import General, Values, parameter
from spikesim.sparse.neurons.multipliers import from_current, rate, scaled

NAME = "iaf_psc_exp"
EXCITATION, INHIBITION = 1, 2
"""Variables: currents, in units of 2**-(16 + fine) mV a step."""
RATE_EX, RATE_IN, INTO_EX, INTO_IN = range(step.OWN, step.OWN + 4)


@dataclass(frozen=True)
class IafPscExp(CurrentBased):
    """Leaky integrate-and-fire neurons with synaptic currents that jump and decay: NEST's `iaf_psc_exp`.

    Weights are in pA: those above zero are added to the current of excitation, those below to that of inhibition.

    Attributes
    ----------
    tau_syn_ex, tau_syn_in : float
        Time constants of the currents, ms.
    C_m, tau_m, E_L, I_e, V_m, V_th, V_reset, t_ref, width, q_sfa, tau_sfa
        As in `IafPscDelta`.
    """

    tau_syn_ex: float = parameter(2.0, "ms", **TAU)
    tau_syn_in: float = parameter(2.0, "ms", **TAU)

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        tau_m = steps(values["tau_m"], dt, "tau_m")
        excitation, inhibition = (steps(values[name], dt, name) for name in ("tau_syn_ex", "tau_syn_in"))
        fine = bits(tau_m)
        threshold = {"threshold": values["V_th"], "width": values["width"]}
        return General(
            kernels=NAME,
            bias=self.rest(values),
            per_current=values["tau_m"] / self.C_m,
            initial=values.get("V_m", values["E_L"]),
            chance=partial(resting_probability, threshold),
            columns={
                step.LEAK: rate(tau_m),
                RATE_EX: rate(excitation),
                RATE_IN: rate(inhibition),
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
def visit(p, x, cell, arrived, dither):
    """One step of a neuron."""
    step.adapt(p, x, dither)
    excitation, inhibition = np.int64(x[EXCITATION]), np.int64(x[INHIBITION])
    added_ex = step.gained(arrived.excitatory, p[step.GAIN_EX], p[step.SHIFT_EX], dither.carry)
    added_in = step.gained(arrived.inhibitory, p[step.GAIN_IN], p[step.SHIFT_IN], dither.carry)
    x[EXCITATION] = np.int32(step.held(step.decayed(excitation, p[RATE_EX], dither.carry) + added_ex))
    x[INHIBITION] = np.int32(step.held(step.decayed(inhibition, p[RATE_IN], dither.carry) + added_in))
    if cell.refractory > 0:
        return step.Moved(cell.potential, cell.refractory - 1, np.int64(0), False)
    current = excitation * p[INTO_EX] + inhibition * p[INTO_IN]
    change = ((cell.bias - cell.potential) * p[step.LEAK] + current + dither.leak) >> step.RATE_BITS
    moved = step.held(cell.potential + change)
    still = moved == cell.bias and x[step.ADAPTATION] == 0 and x[EXCITATION] == 0 and x[INHIBITION] == 0
    return step.Moved(moved, np.int64(0), step.crossing(p, x, moved, dither), still)
