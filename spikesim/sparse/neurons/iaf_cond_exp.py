"""The leaky integrate-and-fire neuron with conductances that decay exponentially: NEST's `iaf_cond_exp`.

In a step, with the mean of a conductance over it, in units of C_m / dt,

    a  = g_L + g_ex + g_in
    V' = V + (g_L (u - V) + g_ex (E_ex - V) + g_in (E_in - V)) / (1 + a / 2)      unless it is refractory: then V' = V
    g' = g exp(-dt / tau_syn) + s

with u = E_L + I_e / g_L and s the weights of what arrives, without their signs. This is the trapezoidal rule, of second
order: beside an exact solution V is off by some (a**2 / 12) of a change. Threshold, adaptation and reset are those of
`iaf_psc_delta`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from spikesim.errors import InputError
from spikesim.jit.compilation import kernel
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import TAU, Threshold, steps, threshold_columns, threshold_shared
from spikesim.sparse.neurons.model import POTENTIAL, General, Values, parameter, potential
from spikesim.sparse.neurons.multipliers import mean_decay, rate, scaled

NAME = "iaf_cond_exp"
EXCITATION, INHIBITION = 1, 2
"""Variables: conductances, in units of 2**-30 C_m / dt."""
RATE_EX, RATE_IN, MEAN_EX, MEAN_IN, E_EX, E_IN = range(step.OWN_SHARED, step.OWN_SHARED + 6)
UNIT_BITS = 30


@dataclass(frozen=True)
class IafCondExp(Threshold):
    """Leaky integrate-and-fire neurons with synaptic conductances that jump and decay: NEST's `iaf_cond_exp`.

    Weights are in nS: those above zero are added to the conductance of excitation, those below, without their sign, to
    that of inhibition.

    Attributes
    ----------
    C_m, g_L : float
        Capacitance, pF, and conductance of the leak, nS; C_m / g_L is the time constant in ms.
    E_ex, E_in : float
        Reversal potentials, mV.
    tau_syn_ex, tau_syn_in : float
        Time constants of the conductances, ms.
    E_L, I_e, V_m, V_th, V_reset, t_ref, width, q_sfa, tau_sfa
        As in `IafPscDelta`.
    """

    weight_unit: ClassVar[str] = "nS"

    C_m: float = parameter(250.0, "pF", above=0.0, high=1e9)
    g_L: ArrayLike = parameter(16.6667, "nS", by_neuron=True, above=0.0, high=1e9)
    E_L: ArrayLike = parameter(-70.0, "mV", by_neuron=True, **POTENTIAL)
    I_e: ArrayLike = parameter(0.0, "pA", by_neuron=True)
    V_m: ArrayLike | None = parameter(None, "mV", by_neuron=True, **POTENTIAL)
    V_reset: ArrayLike = parameter(-60.0, "mV", by_neuron=True, **POTENTIAL)
    E_ex: float = parameter(0.0, "mV", **POTENTIAL)
    E_in: float = parameter(-85.0, "mV", **POTENTIAL)
    tau_syn_ex: float = parameter(0.2, "ms", **TAU)
    tau_syn_in: float = parameter(2.0, "ms", **TAU)

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        leak = values["g_L"] * dt / self.C_m
        if leak.max() > 1.0:
            raise InputError(f"C_m / g_L is {dt / leak.max():g} ms; it must be at least a step, {dt:g} ms")
        steps(dt / leak, dt, "C_m / g_L")
        excitation, inhibition = (steps(values[name], dt, name) for name in ("tau_syn_ex", "tau_syn_in"))
        unit = math.ldexp(dt / self.C_m, UNIT_BITS)
        return General(
            kernels=NAME,
            bias=values["E_L"] + values["I_e"] / values["g_L"],
            per_current=1.0 / values["g_L"],
            initial=values.get("V_m", values["E_L"]),
            chance=self.chance(values),
            shared={
                RATE_EX: int(rate(excitation)[0]),
                RATE_IN: int(rate(inhibition)[0]),
                MEAN_EX: int(scaled(mean_decay(excitation), step.RATE_BITS)[0]),
                MEAN_IN: int(scaled(mean_decay(inhibition), step.RATE_BITS)[0]),
                E_EX: int(potential(values["E_ex"])[0]),
                E_IN: int(potential(values["E_in"])[0]),
                **threshold_shared(values),
            },
            columns={step.LEAK: scaled(leak, UNIT_BITS), **threshold_columns(values, dt)},
            gains=(unit, -unit),
            variables=3,
        )


@kernel
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, refractory, bias = cells.potential, cells.refractory, cells.bias
    count = potential.shape[0]
    leak = step.row(columns, step.LEAK, count)
    excitation, inhibition = step.row(variables, EXCITATION, count), step.row(variables, INHIBITION, count)
    share_ex, share_in, e_ex, e_in = shared[MEAN_EX], shared[MEAN_IN], shared[E_EX], shared[E_IN]
    for i in range(count):
        v, g = np.int64(potential[i]), np.int64(leak[i])
        mean_ex = (np.int64(excitation[i]) * share_ex) >> step.RATE_BITS
        mean_in = (np.int64(inhibition[i]) * share_in) >> step.RATE_BITS
        flow = g * (np.int64(bias[i]) - v) + mean_ex * (e_ex - v) + mean_in * (e_in - v)
        divisor = np.int64(1 << UNIT_BITS) + ((g + mean_ex + mean_in) >> 1)
        moved = step.held(v + (flow + ((divisor * dither.leak) >> step.RATE_BITS)) // divisor)
        potential[i] = np.int32(moved if refractory[i] == 0 else v)
    carry = dither.carry
    step.decay(excitation, shared[RATE_EX], cells.excitation, shared[step.GAIN_EX], shared[step.SHIFT_EX], carry)
    step.decay(inhibition, shared[RATE_IN], cells.inhibition, shared[step.GAIN_IN], shared[step.SHIFT_IN], carry)
    step.cross(shared, columns, variables, cells, dither)
    step.rest(cells, variables, 0, 3)
