"""Models of neurons against real numbers, closed forms and each other; parameters as users give them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.integrate import solve_ivp

from spikesim.errors import InputError
from spikesim.sparse import (
    IafCondExp,
    IafPscAlpha,
    IafPscDelta,
    IafPscExp,
    Izhikevich,
    LeakyIntegrateAndFire,
    Network,
    Normal,
    Population,
    Probabilistic,
    RandomSynapses,
    Simulation,
    Spikes,
    TimeCourse,
    Uniform,
)

Reals = NDArray[np.float64]
UNIT = 2.0**-16
FAR = 1000.0  # a threshold that is never reached, mV


def responses(model: Any, arrivals: dict[int, float], steps: int, dt: float = 0.1) -> Reals:
    """Potentials of a neuron to which weights arrive in given steps, after each step."""
    net = Network(dt=dt)
    at = np.array(sorted(arrivals)) - 1
    source = net.add_spike_trains(len(at), Spikes.at_steps(np.arange(len(at)), at))
    cells = net.add_population(1, model)
    weights = np.array([[arrivals[int(step) + 1] for step in at]])
    net.connect(source, cells, sparse.csc_array(weights))
    simulation = Simulation(net)
    simulation.record_potential(cells, 0)
    simulation.run(steps)
    return simulation.potentials(cells)[:, 0]


# -- Against real numbers ---------------------------------------------------------------------------------------------


def after(steps: int, arrival: int, dt: float) -> Reals:
    """Time since an arrival, at the end of each step."""
    return np.maximum(np.arange(steps) - arrival, 0) * dt


@pytest.mark.parametrize(("tau_m", "tau"), [(10.0, 2.0), (20.0, 5.0), (5.0, 5.0), (3.0, 12.0)])
def test_potentials_of_one_arrival_are_the_closed_forms(tau_m: float, tau: float) -> None:
    """To some units of 2**-16 mV, for arrivals of either sign."""
    dt, steps, c, weight = 0.1, 900, 250.0, 500.0
    t, t_in = after(steps, 10, dt), after(steps, 300, dt)

    def decays(t: Reals) -> Reals:  # the integral of exp(-s / tau) exp(-(t - s) / tau_m)
        if tau == tau_m:
            return t * np.exp(-t / tau)
        return (np.exp(-t / tau) - np.exp(-t / tau_m)) / (1 / tau_m - 1 / tau)

    def rises(t: Reals) -> Reals:  # the same of s / tau exp(1 - s / tau)
        if tau == tau_m:
            return math.e / tau * t**2 / 2 * np.exp(-t / tau)
        rate = 1 / tau - 1 / tau_m
        return math.e / tau * (np.exp(-t / tau_m) - np.exp(-t / tau) * (1 + rate * t)) / rate**2

    fixed = {"tau_m": tau_m, "C_m": c, "V_th": FAR}
    for model, form in (
        (IafPscExp(tau_syn_ex=tau, tau_syn_in=tau, **fixed), decays),
        (IafPscAlpha(tau_syn_ex=tau, tau_syn_in=tau, **fixed), rises),
    ):
        found = responses(model, {10: weight, 300: -weight}, steps, dt)
        exact = -70 + weight / c * (form(t) - form(t_in))
        assert np.abs(found - exact).max() < 12 * UNIT
        assert exact.max() > -68


def test_conductances_are_those_of_the_differential_equation() -> None:
    """Within two ten-thousandths of the response at a step of 0.1 ms, and of second order in the step."""
    off = []
    for dt in (0.1, 0.2):
        first, second, steps = round(4 / dt), round(8 / dt), round(40 / dt)
        model = IafCondExp(tau_syn_ex=0.5, tau_syn_in=3.0, V_th=FAR, I_e=50.0)
        found = responses(model, {first: 40.0, second: -30.0}, steps, dt)

        def slope(t: float, state: Reals) -> list[float]:
            v, g_ex, g_in = state
            return [(16.6667 * (-70 - v) - g_ex * v - g_in * (85 + v) + 50) / 250, -g_ex / 0.5, -g_in / 3]

        state, exact = np.array([-70.0, 0.0, 0.0]), []
        for begin, end, jump in ((0, first, (0, 40, 0)), (first, second, (0, 0, 30)), (second, steps - 1, (0, 0, 0))):
            own = np.arange(begin + (begin > 0), end + 1) + 1.0
            start = (begin + (begin > 0)) * dt
            solution = solve_ivp(slope, (start, own[-1] * dt), state, t_eval=own * dt, rtol=1e-9, atol=1e-12)
            exact += solution.y[0].tolist()
            state = solution.y[:, -1] + jump
        off.append(np.abs(found - exact).max() / np.ptp(exact))
        assert np.ptp(exact) > 4
    assert off[0] < 2e-4 and 2.5 < off[1] / off[0] < 6


def test_izhikevich_neurons_are_those_of_floating_point() -> None:
    """By Euler's method both; at rest they stay where the two curves meet."""
    dt, steps = 0.2, 1500
    for a, b, c, d, current in ((0.02, 0.2, -65, 8, 10), (0.1, 0.2, -65, 2, 10), (0.02, 0.2, -50, 2, 10)):
        found = responses(Izhikevich(a=a, b=b, c=c, d=d, I_e=current), {steps: 0.5}, steps, dt)
        v, u = -65.0, b * -65.0
        times = []
        for t in range(steps):
            v, u = v + dt * (0.04 * v * v + 5 * v + 140 - u + current), u + dt * a * (b * v - u)
            if v >= 30:
                v, u = float(c), u + d
                times.append(t)
            if not times:
                assert abs(found[t] - v) < 1e-3
        spikes = np.flatnonzero(found == c)  # what rounding changes grows with every spike
        assert np.abs(spikes[:6] - times[:6]).max() <= 1 and abs(len(spikes) - len(times)) <= 1
    found = responses(Izhikevich(a=0.1, b=0.26), {5: 0.5}, 6000, dt)
    assert abs(found[-1] + 62.5) < UNIT


def test_intervals_are_those_of_a_constant_current() -> None:
    """A sharp threshold, a refractory period, and time constants that are no powers of 2."""
    net = Network(dt=0.1)
    taus, t_refs = np.array([7.3, 10.0, 21.7]), np.array([0.0, 2.0, 5.5])
    cells = [
        net.add_population(3, kind(tau_m=taus, t_ref=t_refs, I_e=600.0))
        for kind in (IafPscDelta, IafPscExp, IafPscAlpha)
    ]
    simulation = Simulation(net)
    simulation.record(*cells)
    simulation.run(5000)
    rise = 600.0 * taus / 250.0
    exact = t_refs + np.ceil(np.where(rise > 15, taus * np.log(rise / np.maximum(rise - 15, 1e-9)), 0) / 0.1) * 0.1
    for own in cells:
        spikes = simulation.spikes(own)
        for i in range(3):
            intervals = np.diff(spikes.steps[spikes.neurons == i]) * 0.1
            if rise[i] <= 15:
                assert not len(intervals)
            else:
                assert np.abs(intervals - exact[i]).max() < 0.11 and len(intervals) > 5
    assert np.abs(simulation.rates(cells[0])[1:] * exact[1:] / 1000 - 1).max() < 0.1
    np.testing.assert_allclose(simulation.spike_times(cells[1]), simulation.spikes(cells[1]).steps * 0.1)


def test_a_threshold_that_adapts_spaces_the_spikes() -> None:
    """The threshold after n spikes is a sum of exponentials; the intervals grow to those of a balance."""
    net = Network(dt=0.1)
    cells = net.add_population(2, IafPscExp(I_e=600.0, q_sfa=[0.0, 3.0], tau_sfa=80.0))
    simulation = Simulation(net)
    simulation.record(cells)
    simulation.run(6000)
    spikes = simulation.spikes(cells)
    plain, adapted = (np.diff(spikes.steps[spikes.neurons == i]) * 0.1 for i in range(2))
    assert np.ptp(plain) < 0.11 and adapted[-1] > 1.5 * plain[-1] and adapted[0] < adapted[1] < adapted[2]
    mean = 3.0 / math.expm1(adapted[-1] / 80.0)  # of the threshold just before a spike
    rise, start = 600.0 * 10 / 250, 0.0
    assert abs(2.0 + 10 * math.log((rise - start) / (rise - 15 - mean)) - adapted[-1]) < 0.3


def test_a_current_in_picoampere_moves_the_potential() -> None:
    net = Network(dt=0.1)
    cells = [net.add_population(2, kind(V_th=FAR)) for kind in (IafPscDelta, IafPscExp, IafPscAlpha, IafCondExp)]
    izhikevich = net.add_population(2, Izhikevich())
    for own in cells:
        net.add_current(own, TimeCourse([1500, 3000], [250.0, 0.0]))
    net.add_current(izhikevich, TimeCourse([1500, 3000], [[10.0, 0.0], [0.0, 0.0]]))
    simulation = Simulation(net)
    for own in cells:
        simulation.record_potential(own, 0)
    simulation.run(6000)
    for own in cells:
        v = simulation.potentials(own)[:, 0]
        tau, rise = (15.0, 15.0) if own is cells[3] else (10.0, 10.0)
        assert abs(v[2999] - (-70 + rise)) < 0.01 and v[1499] == v[-1] == -70
        assert abs(v[1500 + round(tau / 0.1) - 1] - (-70 + rise * (1 - math.exp(-1)))) < 0.01
        assert simulation.updates()[own.index] < 2 * 6000
    counts = simulation.spike_counts(izhikevich)
    assert counts[0] > 3 and counts[1] == 0


# -- Against each other -----------------------------------------------------------------------------------------------


def outcome(build: Any, steps: int = 700) -> tuple[Any, ...]:
    net = Network()
    source = net.add_source(40, 0.05)
    cells = build(net)
    net.connect(source, cells, RandomSynapses(20, 0.35, (1, 3)))
    net.connect(cells, cells, RandomSynapses(8, -0.2, 2))
    simulation = Simulation(net, seed=2)
    simulation.record(cells)
    simulation.run(steps)
    spikes = simulation.spikes(cells)
    return spikes.steps.tolist(), spikes.neurons.tolist(), simulation.potential(cells).tolist()


def test_neurons_that_may_differ_have_the_bits_of_those_that_do_not() -> None:
    """Both kernels of a leaky neuron do the same."""
    bias = np.linspace(-0.3, 0.9, 60)

    def leaky(**given: Any) -> Any:
        return lambda net: net.add_population(60, LeakyIntegrateAndFire(leak=5, bias=bias, width=0.3, **given))

    same = outcome(leaky(threshold=1.0, reset=-0.1, refractory=3))
    assert outcome(leaky(threshold=[1.0] * 60, reset=-0.1, refractory=3)) == same and len(same[0]) > 100
    sharp = outcome(leaky(threshold=[1.0] * 60, reset=-0.1, refractory=[3] * 60))
    assert sharp == same


def mixed(threads: int = 1) -> tuple[Simulation, list[Population]]:
    """Every model in one network, each with arrivals of both signs."""
    net = Network(seed=4, dt=0.2)
    source = net.add_source(60, net.per_step(40.0))
    scales = {IafPscDelta: 1.0, IafPscExp: 150.0, IafPscAlpha: 60.0, IafCondExp: 40.0, Izhikevich: 2.0}
    cells = [net.add_population(1100, kind(V_m=Uniform(-75, -55))) for kind in scales]
    cells.append(net.add_population(600, Probabilistic(tau=12.0, refractory=3, initial=Uniform(0, 0.3))))
    for own, scale in zip(cells, [*scales.values(), 0.3], strict=True):
        net.connect(source, own, RandomSynapses(900, scale, (1, 4)))
        net.connect(source, own, RandomSynapses(200, -scale, 2))
        net.connect(own, own, sparse.random_array((own.size, own.size), density=0.005, rng=0) * scale)
    net.add_poisson(cells[1], 0.05, -80.0)
    net.add_poisson(cells[2], 0.05, 50.0)
    simulation = Simulation(net, seed=6, threads=threads)
    simulation.record(*cells)
    return simulation, cells


def records(simulation: Simulation, cells: list[Population]) -> list[Any]:
    found = [simulation.events().tolist(), simulation.updates().tolist()]
    for own in cells:
        spikes = simulation.spikes(own)
        found += [spikes.steps.tolist(), spikes.neurons.tolist(), simulation.potential(own).tolist()]
    return found


def test_threads_and_breaks_and_a_restored_state_change_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesim.sparse.assembly.PART_SMALLEST", 512)
    whole, cells = mixed()
    whole.run(60)
    whole.save(tmp_path / "state.h5")
    whole.run(60)
    expected = records(whole, cells)
    assert all(whole.spike_counts(own).sum() > 20 for own in cells)
    shared, cells = mixed(threads=2)
    assert len(shared._trials[0].threads) == 2
    shared.run(60)
    shared.run(60)
    assert records(shared, cells) == expected
    again, cells = mixed(threads=2)
    again.restore(tmp_path / "state.h5")
    again.run(60)
    for number, own in enumerate(cells):
        spikes = again.spikes(own)
        late = np.array(expected[2 + 3 * number]) >= 60
        assert spikes.steps.tolist() == np.array(expected[2 + 3 * number])[late].tolist()
        assert again.potential(own).tolist() == expected[4 + 3 * number]
    other, _ = mixed()
    other._tables.shared[0, 0] += 1
    with pytest.raises(InputError, match="of another network"):
        other.restore(tmp_path / "state.h5")


# -- Parameters -------------------------------------------------------------------------------------------------------


def test_distributions_are_drawn_with_the_seed_of_the_network() -> None:
    def drawn(seed: int) -> list[Population]:
        net = Network(seed, dt=0.1)
        given = {"V_m": Uniform(-70, -60), "V_th": Normal(-50, 2, low=-54), "t_ref": Uniform(0, 3)}
        return [net.add_population(3000, IafPscExp(**given)) for _ in range(2)]

    (one, two), (again, _), (other, _) = drawn(1), drawn(1), drawn(2)
    model: Any = one.model
    assert -70 <= model.V_m.min() < -69.9 and -60.1 < model.V_m.max() <= -60 and abs(model.V_m.mean() + 65) < 0.3
    assert model.V_th.min() >= -54 and abs(model.V_th.std() - 1.9) < 0.2
    for population, same in ((again, True), (two, False), (other, False)):
        for name in ("V_m", "V_th"):
            assert np.array_equal(getattr(population.model, name), getattr(model, name)) == same
    net = Network(dt=0.1)
    with pytest.raises(InputError, match=r"C_m of population0 is the same for all neurons"):
        net.add_population(5, IafPscExp(C_m=Uniform(100, 200)))  # type: ignore[arg-type]


def test_potentials_begin_where_they_are_told() -> None:
    net = Network(dt=0.1)
    start = np.array([-70.0, -60.0, -57.5])
    cells = [net.add_population(3, kind(V_m=start)) for kind in (IafPscDelta, IafPscExp, IafPscAlpha, IafCondExp)]
    plain = net.add_population(3, Probabilistic(bias=-0.1, initial=[0.0, 0.25, 0.5]))
    simulation = Simulation(net)
    for own in cells:
        np.testing.assert_array_equal(simulation.potential(own), start)
    np.testing.assert_array_equal(simulation.potential(plain), [0.0, 0.25, 0.5])
    simulation.run(5)
    assert np.all((simulation.potential(cells[0]) + 70)[1:] > 0)


BAD: list[tuple[Any, str]] = [
    (IafPscExp(tau_m=0), "tau_m of cells is 0.0; it must be above 0"),
    (IafPscExp(tau_m=[1.0, 2.0]), r"tau_m of cells has shape (2,); it must be () or (3,)"),
    (IafPscExp(tau_m=1e5), "cells: tau_m is 100000 ms, 1e+06 steps; it must be at most 100000 steps"),
    (IafPscExp(V_reset=-50), "cells: V_reset reaches -50 mV, and V_th -55 mV; a reset must be below the threshold"),
    (IafPscExp(V_th=math.nan), "V_th of cells is nan; it must be finite"),
    (IafPscExp(V_th="x"), "V_th of cells is 'x'; it must be a number"),
    (
        IafPscExp(V_th=Normal(0, 1, low=3000)),
        "V_th of cells: Normal is limited to 3000 .. 2048; low must not be above high",
    ),
    (IafPscExp(t_ref=-1), "t_ref of cells is -1.0; it must be at least 0"),
    (IafPscExp(I_e=1e5), "biases of cells, what I_e adds included, reach 3930"),
    (IafPscExp(width=1e-9), "cells: width is 1e-09; it must be 0, or at least 2**-16"),
    (IafCondExp(g_L=1e5), "cells: C_m / g_L is 0.0025 ms; it must be at least a step, 0.1 ms"),
    (Izhikevich(a=-1), "a of cells is -1.0; it must be at least 0"),
    (LeakyIntegrateAndFire(leak=2, tau=5.0), "cells has a leak and a tau; give one of them"),
    (LeakyIntegrateAndFire(refractory=[0, 1, 1.5]), "refractory of cells is 1.5; it must be a whole number"),
    (Probabilistic(tau=-2.0), "tau of cells is -2.0; it must be above 0"),
]


@pytest.mark.parametrize(("model", "words"), BAD, ids=range(len(BAD)))
def test_parameters_that_cannot_be_are_refused(model: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        Network(dt=0.1).add_population(3, model, name="cells")
    assert words in str(error.value)


def test_units_need_a_step() -> None:
    net = Network()
    with pytest.raises(InputError, match=r"cells has parameters in ms and mV, and the network has no step in ms"):
        net.add_population(3, IafPscExp(), name="cells")
    for call in (
        lambda: net.steps(1.0),
        lambda: net.per_step(1.0),
        lambda: Simulation(one()).rates(one().populations[0]),
    ):
        with pytest.raises(InputError):
            call()
    with pytest.raises(InputError, match=r"dt is 0 ms"):
        Network(dt=0)
    net = Network(dt=0.1)
    assert net.steps(1.5) == 15 and net.per_step(20.0) == 0.002
    with pytest.raises(InputError, match=r"1.53 ms is 15.3 steps of 0.1 ms; it must be a multiple of a step"):
        net.steps(1.53)


def one() -> Network:
    net = Network()
    net.add_population(1)
    return net
