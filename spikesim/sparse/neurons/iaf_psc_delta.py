"""The leaky integrate-and-fire neuron whose arrivals are jumps of V: NEST's `iaf_psc_delta`.

In a step t

    V'     = V + ((u - V) (1 - exp(-dt / tau_m)) + D) + s,     unless it is refractory: then V' = V, and s is lost
    theta' = theta exp(-dt / tau_sfa)
    fires if V' >= V_th + theta';  then V' = V_reset, theta' += q_sfa, and it is refractory for t_ref

with u = E_L + I_e tau_m / C_m, s the weights of what arrives, and D what carries the rounding. The same kernel moves
neurons of `LeakyIntegrateAndFire` that differ or have another time constant than 2**k steps.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE, SHARE_LIMIT
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.iaf import CurrentBased, steps, threshold_columns, threshold_shared
from spikesim.sparse.neurons.model import General, Values
from spikesim.sparse.neurons.multipliers import rate

NAME = "iaf_psc_delta"


@dataclass(frozen=True)
class IafPscDelta(CurrentBased):
    """Leaky integrate-and-fire neurons whose arrivals are jumps of the potential: NEST's `iaf_psc_delta`.

    Weights are in mV. Every parameter but `C_m` and `width` may be an array or a distribution.

    Attributes
    ----------
    C_m : float
        Capacitance, pF.
    tau_m : float
        Membrane time constant, ms.
    E_L, I_e : float
        Resting potential, mV; a constant current, pA.
    V_m : float, optional
        Potential at the start, mV; E_L unless given.
    V_th, V_reset : float
        Threshold and reset, mV.
    t_ref : float
        Refractory period, ms, rounded to steps.
    width : float
        mV over which the probability of a spike rises from 0 to 1 above the threshold; 0 is a sharp threshold.
    q_sfa, tau_sfa : float
        By how much a spike raises the threshold, mV, and how fast that decays, ms: an adaptive threshold (ALIF).
    """

    weight_unit: ClassVar[str] = "mV"

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        return General(
            kernels=NAME,
            bias=self.rest(values),
            per_current=values["tau_m"] / self.C_m,
            initial=values.get("V_m", values["E_L"]),
            chance=self.chance(values),
            shared=threshold_shared(values),
            columns={step.LEAK: rate(steps(values["tau_m"], dt, "tau_m")), **threshold_columns(values, dt)},
            gains=(float(ONE),),
            variables=1,
            reach_limit=6 * SHARE_LIMIT / ONE,
        )


@kernel
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, refractory, bias, sums = cells.potential, cells.refractory, cells.bias, cells.excitation
    leak = step.row(columns, step.LEAK, potential.shape[0])
    gain, shift = step.narrow(shared[step.GAIN_EX]), shared[step.SHIFT_EX]
    part = step.carried(shift, dither.carry)
    for i in range(potential.shape[0]):
        v = np.int64(potential[i])
        change = ((np.int64(bias[i]) - v) * np.int64(leak[i]) + dither.leak) >> step.RATE_BITS
        moved = step.held(v + change + ((np.int64(sums[i]) * gain + part) >> shift))
        potential[i] = np.int32(moved if refractory[i] == 0 else v)
    step.cross(shared, columns, variables, cells, dither)
    step.rest(cells, variables, 0, 1)
