"""The leaky integrate-and-fire neuron with currents of the form t exp(-t / tau_syn): NEST's `iaf_psc_alpha`.

In a step, for excitation and inhibition each with a rise R, a current I and a tau_syn of its own,

    V' = V + (u - V) (1 - exp(-dt / tau_m)) + P I + Q R      unless it is refractory: then V' = V
    I' = (I + R) exp(-dt / tau_syn)
    R' = R exp(-dt / tau_syn) + s e dt / tau_syn

with s the weights of what arrives: the peaks of the currents that they make. P and Q are exact, as those of
`iaf_psc_exp`; threshold, adaptation and reset are those of `iaf_psc_delta`.
"""

import math
from dataclasses import dataclass

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import (
    SynapticCurrents,
    steps,
    threshold_columns,
    threshold_shared,
)
from spikesim.sparse.neurons.iaf_psc_exp import bits
from spikesim.sparse.neurons.model import General, Values
from spikesim.sparse.neurons.multipliers import exps, from_current, from_rise, rate, scaled

NAME = "iaf_psc_alpha"
EXCITATION, INHIBITION, RISE_EX, RISE_IN = 1, 2, 3, 4
"""Variables: currents, in units of 2**-(16 + fine) mV a step, and their rises in a step, 2**-finer of that."""
RATE_EX, RATE_IN, PASSES_EX, PASSES_IN = range(step.OWN_SHARED, step.OWN_SHARED + 4)
INTO_EX, INTO_IN, FROM_EX, FROM_IN = range(step.OWN, step.OWN + 4)


@dataclass(frozen=True)
class IafPscAlpha(SynapticCurrents):
    """Leaky integrate-and-fire neurons with synaptic currents that rise and decay: NEST's `iaf_psc_alpha`.

    Weights are in pA, the peak of a current: those above zero are of excitation, those below of inhibition.

    Attributes
    ----------
    tau_syn_ex, tau_syn_in : float
        Time from an arrival to the peak of its current, ms.
    C_m, tau_m, E_L, I_e, V_m, V_th, V_reset, t_ref, width, q_sfa, tau_sfa
        As in `IafPscDelta`.
    """

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        tau_m = steps(values["tau_m"], dt, "tau_m")
        excitation, inhibition = (steps(values[name], dt, name) for name in ("tau_syn_ex", "tau_syn_in"))
        fine, finer = bits(tau_m), bits(np.maximum(excitation, inhibition))
        into, passes, risen = (step.RATE_BITS - own for own in (fine, finer, fine + finer))
        peak = math.ldexp(math.e * dt / self.C_m, ONE_BITS + fine + finer)
        return General(
            kernels=NAME,
            bias=self.rest(values),
            per_current=values["tau_m"] / self.C_m,
            initial=values.get("V_m", values["E_L"]),
            chance=self.chance(values),
            shared={
                RATE_EX: int(rate(excitation)[0]),
                RATE_IN: int(rate(inhibition)[0]),
                PASSES_EX: int(scaled(exps(-1.0 / excitation), passes)[0]),
                PASSES_IN: int(scaled(exps(-1.0 / inhibition), passes)[0]),
                **threshold_shared(values),
            },
            columns={
                step.LEAK: rate(tau_m),
                INTO_EX: scaled(from_current(tau_m, excitation), into),
                INTO_IN: scaled(from_current(tau_m, inhibition), into),
                FROM_EX: scaled(from_rise(tau_m, excitation), risen),
                FROM_IN: scaled(from_rise(tau_m, inhibition), risen),
                **threshold_columns(values, dt),
            },
            gains=(peak / float(excitation[0]), peak / float(inhibition[0])),
            variables=5,
        )


@inline_kernel
def _pass_on(current, rise, passes, rate, other):
    """A current one step later, and what its rise passes on to it."""
    passes, rate = step.narrow(passes), step.narrow(rate)
    for i in range(current.shape[0]):
        own = np.int64(current[i])
        change = (np.int64(rise[i]) * passes - own * rate + other) >> step.RATE_BITS
        current[i] = np.int32(step.held(own + change))


@kernel
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, refractory, bias = cells.potential, cells.refractory, cells.bias
    count = potential.shape[0]
    leak = step.row(columns, step.LEAK, count)
    excitation, inhibition = step.row(variables, EXCITATION, count), step.row(variables, INHIBITION, count)
    rise_ex, rise_in = step.row(variables, RISE_EX, count), step.row(variables, RISE_IN, count)
    into_ex, into_in = step.row(columns, INTO_EX, count), step.row(columns, INTO_IN, count)
    from_ex, from_in = step.row(columns, FROM_EX, count), step.row(columns, FROM_IN, count)
    for i in range(count):
        v = np.int64(potential[i])
        current = np.int64(excitation[i]) * np.int64(into_ex[i]) + np.int64(inhibition[i]) * np.int64(into_in[i])
        current += np.int64(rise_ex[i]) * np.int64(from_ex[i]) + np.int64(rise_in[i]) * np.int64(from_in[i])
        change = ((np.int64(bias[i]) - v) * np.int64(leak[i]) + current + dither.leak) >> step.RATE_BITS
        potential[i] = np.int32(step.held(v + change) if refractory[i] == 0 else v)
    _pass_on(excitation, rise_ex, shared[PASSES_EX], shared[RATE_EX], dither.other)
    _pass_on(inhibition, rise_in, shared[PASSES_IN], shared[RATE_IN], dither.other)
    carry = dither.carry
    step.decay(rise_ex, shared[RATE_EX], cells.excitation, shared[step.GAIN_EX], shared[step.SHIFT_EX], carry)
    step.decay(rise_in, shared[RATE_IN], cells.inhibition, shared[step.GAIN_IN], shared[step.SHIFT_IN], carry)
    step.cross(shared, columns, variables, cells, dither)
    step.rest(cells, variables, 0, 5)
