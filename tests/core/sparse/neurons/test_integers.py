"""General neurons: bit for bit against a slow reference that moves each of them in every step."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from neuron_reference import Neuron, simulate
from numpy.typing import NDArray
from scipy import sparse

from spikesim.sparse import Network, Population, Simulation, Spikes
from spikesim.sparse.neurons import (
    IafCondExp,
    IafPscAlpha,
    IafPscDelta,
    IafPscExp,
    Izhikevich,
    LeakyIntegrateAndFire,
    Model,
    Probabilistic,
)

DT, STEPS, SOURCES, SIZE, SEED = 0.5, 1200, 12, 5, 9
SPREAD = np.linspace(-1, 1, SIZE)


def inputs() -> NDArray[np.bool_]:
    """Spikes in bursts, and a long time without any: neurons come to rest and are woken."""
    fired = np.random.default_rng(3).random((STEPS, SOURCES)) < 0.04
    fired[200:240] = fired[400:] = False
    fired[1000, 3] = True
    return fired


def weights(scale: float) -> NDArray[np.float64]:
    """Of both signs and of different magnitudes."""
    rng = np.random.default_rng(4)
    return scale * rng.uniform(-0.4, 1, (SIZE, SOURCES)) * (rng.random((SIZE, SOURCES)) < 0.8)


def network(model: Model, scale: float, threads: int = 1) -> tuple[Simulation, Population]:
    net = Network(dt=DT)
    steps, numbers = np.nonzero(inputs())
    source = net.add_spike_trains(SOURCES, Spikes.at_steps(numbers, steps))
    cells = net.add_population(SIZE, model, name="cells")
    net.connect(source, cells, sparse.csc_array(weights(scale)))
    simulation = Simulation(net, seed=SEED, threads=threads)
    simulation.record(cells)
    simulation.record_potential(cells, range(SIZE))
    return simulation, cells


def number(value: float) -> int:
    return round(value * 2**16)


def each(model: Model, what: str) -> list[float]:
    return np.broadcast_to(np.asarray(getattr(model, what), float), (SIZE,)).tolist()


def iaf(kind: str, model: Any) -> list[Neuron]:
    """The same neurons for the reference."""
    names = ("E_L", "I_e", "V_th", "V_reset", "t_ref", "q_sfa", "tau_sfa")
    columns = [dict(zip(names, row, strict=True)) for row in zip(*(each(model, name) for name in names), strict=True)]
    taus = [model.C_m / g for g in each(model, "g_L")] if kind == "cond" else each(model, "tau_m")
    found = []
    for own, tau in zip(columns, taus, strict=True):
        given: dict[str, Any] = {
            "tau": tau / DT,
            "tau_widest": max(taus) / DT,
            "C": model.C_m / DT,
            "rest": number(own["E_L"] + own["I_e"] * tau / model.C_m),
            "threshold": number(own["V_th"]),
            "width": model.width,
            "reset": number(own["V_reset"]),
            "refractory": round(own["t_ref"] / DT),
            "q_sfa": number(own["q_sfa"]),
            "tau_sfa": own["tau_sfa"] / DT,
        }
        if kind != "delta":
            given |= {"tau_ex": model.tau_syn_ex / DT, "tau_in": model.tau_syn_in / DT}
        if kind == "cond":
            given |= {"E_ex": number(model.E_ex), "E_in": number(model.E_in)}
        start = own["E_L"] if model.V_m is None else each(model, "V_m")[len(found)]
        found.append(Neuron(kind, given, v=number(start)))
    return found


def izhikevich(model: Izhikevich) -> list[Neuron]:
    """The same neurons for the reference."""
    found = []
    for a, b, c, d, current in zip(*(each(model, name) for name in ("a", "b", "c", "d", "I_e")), strict=True):
        given: dict[str, Any] = {"dt": DT, "a": a, "b": b, "rest": number(current), "threshold": number(30.0)}
        given |= {"reset": number(c), "d": number(d)}
        roots = np.roots([0.04, 5 - b, 140 + current])
        if np.isreal(roots).all() and 0.08 * roots.min() + 5 < a:
            given["fixed_point"] = number(roots.min()), number(b * roots.min())
        found.append(Neuron("izhikevich", given, v=number(-65.0), x={"u": number(b * -65.0)}))
    return found


def numbers(kind: str, model: Any) -> list[Neuron]:
    """Models without units."""
    found = []
    for i in range(SIZE):
        given = {"rest": number(each(model, "bias")[i]), "refractory": round(each(model, "refractory")[i])}
        given["tau"] = each(model, "tau")[i]
        if kind == "delta":
            given |= {"threshold": number(each(model, "threshold")[i]), "reset": number(each(model, "reset")[i])}
            given["width"] = model.width
        found.append(Neuron(kind, given, v=number(each(model, "initial")[i])))
    return found


SAME = {"C_m": 200.0, "V_reset": -65.0, "q_sfa": 1.5, "tau_sfa": 20.0}
VARIED = {"tau_m": 8 + 4 * SPREAD, "V_th": -55 + 2 * SPREAD, "t_ref": 1 + SPREAD, "E_L": -70 + SPREAD}
VARIED |= {"I_e": 100 * SPREAD, "V_m": -60 + 4 * SPREAD, "V_reset": -66 + SPREAD, "q_sfa": 1 + SPREAD}
CASES: dict[str, tuple[Model, float, list[Neuron]]] = {}
for _name, _kind, _model, _scale in (
    ("IafPscDelta", "delta", IafPscDelta(**SAME), 3.0),
    ("IafPscExp", "exp", IafPscExp(tau_syn_in=7.0, **SAME), 700.0),
    ("IafPscAlpha", "alpha", IafPscAlpha(tau_syn_in=0.7, **SAME), 300.0),
    ("IafPscAlpha, equal times", "alpha", IafPscAlpha(tau_m=2.0, V_m=-57.0), 900.0),
    ("IafCondExp", "cond", IafCondExp(tau_syn_ex=2.0, **SAME), 8.0),
    ("IafPscDelta, by neuron", "delta", IafPscDelta(**VARIED, width=0.5), 3.0),
    ("IafPscExp, by neuron", "exp", IafPscExp(**VARIED), 700.0),
    ("IafPscAlpha, by neuron", "alpha", IafPscAlpha(**VARIED), 300.0),
):
    CASES[_name] = _model, _scale, iaf(_kind, _model)
for _name, _izhikevich, _scale in (
    ("Izhikevich", Izhikevich(a=0.1), 9.0),
    ("Izhikevich, by neuron", Izhikevich(a=0.06 + 0.04 * SPREAD, b=0.23 + 0.03 * SPREAD, d=4 + 2 * SPREAD), 4.0),
    ("Izhikevich, driven", Izhikevich(I_e=3 + 3 * SPREAD, c=-55 + 5 * SPREAD), 1.0),
):
    CASES[_name] = _izhikevich, _scale, izhikevich(_izhikevich)
_leaky = LeakyIntegrateAndFire(
    tau=15 + 5 * SPREAD, bias=0.2 * SPREAD, threshold=0.8, reset=-0.1, refractory=[0, 1, 2, 3, 4]
)
_leaky = dataclasses.replace(_leaky, width=0.0, initial=SPREAD)
CASES["LeakyIntegrateAndFire"] = _leaky, 0.4, numbers("delta", _leaky)
_slow = Probabilistic(tau=7.3, bias=-0.05, refractory=[0, 1, 5, 20, 2], initial=0.4)
CASES["Probabilistic"] = _slow, 0.8, numbers("probabilistic", _slow)


@pytest.mark.parametrize("case", CASES)
def test_bits_are_those_of_the_reference(case: str) -> None:
    """And neurons at rest are not visited."""
    model, scale, neurons = CASES[case]
    simulation, cells = network(model, scale)
    simulation.run(STEPS)
    traces, spikes = simulate(neurons, weights(scale).tolist(), inputs().tolist(), STEPS, SEED)
    found = simulation.spikes(cells)
    assert list(zip(found.steps.tolist(), found.neurons.tolist(), strict=True)) == spikes and len(spikes) > 5
    np.testing.assert_array_equal(simulation.potentials(cells) * 2**16, traces)
    visits = simulation.updates()[cells.index]
    assert visits < 0.95 * STEPS * SIZE or "driven" in case
