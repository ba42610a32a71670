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
from functools import partial

import numpy as np

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import TAU, CurrentBased, resting_probability, steps, threshold_columns
from spikesim.sparse.neurons.iaf_psc_exp import bits
from spikesim.sparse.neurons.model import General, Values, parameter
from spikesim.sparse.neurons.multipliers import exps, from_current, from_rise, rate, scaled

NAME = "iaf_psc_alpha"
EXCITATION, INHIBITION, RISE_EX, RISE_IN = 1, 2, 3, 4
"""Variables: currents, in units of 2**-(16 + fine) mV a step, and their rises in a step, 2**-finer of that."""
RATE_EX, RATE_IN, INTO_EX, INTO_IN, RISES_EX, RISES_IN, FROM_EX, FROM_IN = range(step.OWN, step.OWN + 8)


@dataclass(frozen=True)
class IafPscAlpha(CurrentBased):
    """Leaky integrate-and-fire neurons with synaptic currents that rise and decay: NEST's `iaf_psc_alpha`.

    Weights are in pA, the peak of a current: those above zero are of excitation, those below of inhibition.

    Attributes
    ----------
    tau_syn_ex, tau_syn_in : float
        Time from an arrival to the peak of its current, ms.
    C_m, tau_m, E_L, I_e, V_m, V_th, V_reset, t_ref, width, q_sfa, tau_sfa
        As in `IafPscDelta`.
    """

    tau_syn_ex: float = parameter(2.0, "ms", **TAU)
    tau_syn_in: float = parameter(2.0, "ms", **TAU)

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        tau_m = steps(values["tau_m"], dt, "tau_m")
        excitation, inhibition = (steps(values[name], dt, name) for name in ("tau_syn_ex", "tau_syn_in"))
        fine, finer = bits(tau_m), bits(np.maximum(excitation, inhibition))
        into, rises, risen = (step.RATE_BITS - own for own in (fine, finer, fine + finer))
        threshold = {"threshold": values["V_th"], "width": values["width"]}
        peak = math.ldexp(math.e * dt / self.C_m, ONE_BITS + fine + finer)
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
                INTO_EX: scaled(from_current(tau_m, excitation), into),
                INTO_IN: scaled(from_current(tau_m, inhibition), into),
                RISES_EX: scaled(exps(-1.0 / excitation), rises),
                RISES_IN: scaled(exps(-1.0 / inhibition), rises),
                FROM_EX: scaled(from_rise(tau_m, excitation), risen),
                FROM_IN: scaled(from_rise(tau_m, inhibition), risen),
                **threshold_columns(values, dt),
            },
            gains=(peak / float(excitation[0]), peak / float(inhibition[0])),
            variables=5,
        )


@kernel
def visit(p, x, cell, arrived, dither):
    """One step of a neuron."""
    step.adapt(p, x, dither)
    excitation, inhibition = np.int64(x[EXCITATION]), np.int64(x[INHIBITION])
    rise_ex, rise_in = np.int64(x[RISE_EX]), np.int64(x[RISE_IN])
    added_ex = step.gained(arrived.excitatory, p[step.GAIN_EX], p[step.SHIFT_EX], dither.carry)
    added_in = step.gained(arrived.inhibitory, p[step.GAIN_IN], p[step.SHIFT_IN], dither.carry)
    x[RISE_EX] = np.int32(step.held(step.decayed(rise_ex, p[RATE_EX], dither.carry) + added_ex))
    x[RISE_IN] = np.int32(step.held(step.decayed(rise_in, p[RATE_IN], dither.carry) + added_in))
    change_ex = (rise_ex * p[RISES_EX] - excitation * p[RATE_EX] + dither.other) >> step.RATE_BITS
    change_in = (rise_in * p[RISES_IN] - inhibition * p[RATE_IN] + dither.other) >> step.RATE_BITS
    x[EXCITATION] = np.int32(step.held(excitation + change_ex))
    x[INHIBITION] = np.int32(step.held(inhibition + change_in))
    if cell.refractory > 0:
        return step.Moved(cell.potential, cell.refractory - 1, np.int64(0), False)
    current = excitation * p[INTO_EX] + inhibition * p[INTO_IN] + rise_ex * p[FROM_EX] + rise_in * p[FROM_IN]
    change = ((cell.bias - cell.potential) * p[step.LEAK] + current + dither.leak) >> step.RATE_BITS
    moved = step.held(cell.potential + change)
    still = moved == cell.bias and x[step.ADAPTATION] == 0 and x[EXCITATION] == 0 and x[INHIBITION] == 0
    still = still and x[RISE_EX] == 0 and x[RISE_IN] == 0
    return step.Moved(moved, np.int64(0), step.crossing(p, x, moved, dither), still)
