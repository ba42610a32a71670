"""A balanced network of leaky integrate-and-fire neurons, which `sparse.py` runs beside NEST, in spikesim.

    python benchmarks/speed/lif_network.py '{"neurons": 12500, ...}'  # as a side of sparse.py

The network of N. Brunel, "Dynamics of sparsely connected networks of excitatory and inhibitory spiking neurons",
J. Comput. Neurosci. 8, 183 (2000), with his thresholds and weights, in mV. A neuron leaks, V <- V (1 - 2**-leak) + s,
with s the weights of what arrives in the step; where V reaches `THRESHOLD` it fires, and stays at `RESET` for
`REFRACTORY` steps, whatever arrives. Each has a Poisson input of its own, of excitatory weight; how many arrive in a
step follows from the wanted activity, by the mean field of that paper.

Instead of these neurons there may be those of `NEURONS` with synaptic currents or conductances of the same charge; then
the activity is only near what is wanted. Neurons of Izhikevich have parameters of their own.
"""

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from scipy import integrate, optimize, special
from sparse_network import INHIBITION, Spec, connect, serve

from spikesim.errors import InputError
from spikesim.sparse import STDP, LeakyIntegrateAndFire, Network, Population
from spikesim.sparse.neurons import MODELS

STEP_MS = 0.1
THRESHOLD, RESET = 20.0, 10.0
"""In mV above rest."""
REFRACTORY = 20
"""Steps: 2 ms."""
WEIGHT, SYNAPSES = 0.1, 1250
"""Of an excitatory synapse in mV, of a neuron with so many synapses; with fewer of them it grows by the root."""
SHARPEST = 2.0**-16
"""Width of a threshold, the narrowest that spikesim has: it fires without chance."""
ARRIVALS_MAX = 64.0
"""In a step, of a Poisson drive of spikesim."""
CAPACITANCE, TAU_SYN = 250.0, 2.0
"""Of neurons with synaptic currents, pF and ms."""
REVERSALS = {"E_ex": 70.0, "E_in": -15.0}
"""Of conductances, mV above rest."""
TYPICAL = 15.0
"""A potential at which conductances make the currents of the other neurons, mV above rest."""
NEURONS = ("lif", "iaf_psc_delta", "iaf_psc_exp", "iaf_psc_alpha", "iaf_cond_exp", "izhikevich")
FARTHEST = 26.0
"""Deviations to the threshold from which on a neuron never fires; exp of the square is a float64 still."""


def membrane_steps(leak: int) -> float:
    """The time constant, in steps, of a membrane that keeps 1 - 2**-leak in a step."""
    return -1 / math.log1p(-(2.0**-leak))


def mean_field_rate(mean: float, deviation: float, time_constant: float) -> float:
    """Spikes in a step of a neuron with white noise as its input (Brunel 2000, equation 21).

    Parameters
    ----------
    mean, deviation : float
        Of the input, mV, as in the paper: the potential alone would vary by deviation / sqrt(2).
    time_constant : float
        Steps.
    """
    low, high = ((level - mean) / deviation for level in (RESET, THRESHOLD))
    if high > FARTHEST:
        return 0.0
    passage, _ = integrate.quad(lambda u: special.erfcx(-u), low, high)  # exp(u**2) (1 + erf u)
    return float(1 / (REFRACTORY + time_constant * math.sqrt(math.pi) * passage))


@dataclass(frozen=True)
class LifSpec(Spec):
    """The balanced network and how long it runs, for either side; a step is 0.1 ms."""

    warm: int = 1000
    neuron: str = "lif"  # one of NEURONS
    plastic: bool = False  # synapses among excitatory neurons, by `stdp`

    @property
    def jump(self) -> float:
        """What an excitatory synapse adds to V in all, but for the leak, mV."""
        return WEIGHT * math.sqrt(SYNAPSES / self.synapses)

    @property
    def weight(self) -> float:
        """Of an excitatory synapse, in the unit of the neuron."""
        charge = self.jump * CAPACITANCE
        return {
            "iaf_psc_exp": charge / TAU_SYN,
            "iaf_psc_alpha": charge / (TAU_SYN * math.e),
            "iaf_cond_exp": charge / (TAU_SYN * (REVERSALS["E_ex"] - TYPICAL)),
            "izhikevich": 5 * self.jump,
        }.get(self.neuron, self.jump)

    @property
    def inhibition(self) -> float:
        """How much stronger an inhibitory synapse is than an excitatory one."""
        if self.neuron != "iaf_cond_exp":
            return INHIBITION
        return INHIBITION * (REVERSALS["E_ex"] - TYPICAL) / (TYPICAL - REVERSALS["E_in"])

    @property
    def stdp(self) -> dict[str, float]:
        """The rule under NEST's names; multiplicative and balanced: weights stay about half of Wmax."""
        return {
            "Wmax": 2 * self.weight,
            "lambda": 0.01,
            "alpha": 1.0,
            "mu_plus": 1.0,
            "mu_minus": 1.0,
            "tau_plus": 20.0,
        }

    @property
    def parameters(self) -> dict[str, float]:
        """Of the neuron, under the names that NEST has, too; of "lif" none."""
        if self.neuron in ("lif", "izhikevich"):
            return {}
        given = {"C_m": CAPACITANCE, "E_L": 0.0, "V_m": 0.0, "V_th": THRESHOLD, "V_reset": RESET}
        given["t_ref"] = REFRACTORY * STEP_MS
        tau = membrane_steps(self.leak) * STEP_MS
        given |= {"g_L": CAPACITANCE / tau, **REVERSALS} if self.neuron == "iaf_cond_exp" else {"tau_m": tau}
        return given | ({} if self.neuron == "iaf_psc_delta" else {"tau_syn_ex": TAU_SYN, "tau_syn_in": TAU_SYN})

    @property
    def arrivals(self) -> float:
        """Of the Poisson input, in a step, so that the neurons fire at the wanted rate.

        Raises
        ------
        InputError
            There is none that spikesim can draw.
        """
        time_constant = membrane_steps(self.leak)
        recurrent = self.synapses * self.rate

        def excess(arrivals: float) -> float:
            mean = time_constant * self.jump * (recurrent * (0.8 - 0.2 * INHIBITION) + arrivals)
            variance = time_constant * self.jump**2 * (recurrent * (0.8 + 0.2 * INHIBITION**2) + arrivals)
            return mean_field_rate(mean, math.sqrt(variance), time_constant) - self.rate

        if not excess(0.0) < 0 <= excess(ARRIVALS_MAX):
            raise InputError(
                f"no Poisson input of at most {ARRIVALS_MAX:g} arrivals a step makes {100 * self.rate:g} % of the"
                " neurons fire in it; change --rate or --leak"
            )
        return float(optimize.brentq(excess, 0.0, ARRIVALS_MAX))

    def derived(self) -> dict[str, Any]:
        """What a side need not work out for itself."""
        return {
            "excitatory": self.excitatory,
            "weight": self.weight,
            "inhibition": self.inhibition,
            "model": "iaf_psc_delta" if self.neuron == "lif" else self.neuron,
            "parameters": self.parameters,
            "stdp": self.stdp if self.plastic else None,
            "arrivals": self.arrivals,
            "threshold": THRESHOLD,
            "reset": RESET,
            "refractory": REFRACTORY,
            "step_ms": STEP_MS,
            "membrane_ms": membrane_steps(self.leak) * STEP_MS,
        }


def model(spec: LifSpec) -> Any:
    """The neuron."""
    if spec.neuron == "lif":
        return LeakyIntegrateAndFire(spec.leak, threshold=THRESHOLD, width=SHARPEST, reset=RESET, refractory=REFRACTORY)
    return MODELS[spec.neuron](**spec.parameters)


def build(spec: LifSpec, seed: int) -> tuple[Network, list[Population]]:
    """The network in spikesim, and its populations."""
    net = Network(dt=STEP_MS)
    sizes = {"excitatory": spec.excitatory, "inhibitory": spec.neurons - spec.excitatory}
    live = [net.add_population(size, model(spec), name=name) for name, size in sizes.items()]
    for population in live:
        net.add_poisson(population, spec.arrivals, spec.weight)
    rule = STDP(**{"lambda_" if name == "lambda" else name: own for name, own in spec.stdp.items()})
    connect(net, live, spec, seed, plasticity=rule if spec.plastic else None)
    return net, live


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]), LifSpec, build)
