"""Sparse networks: resting neurons in law against those that are visited at every step, patterns, records, stops."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import integrate, optimize, sparse, special, stats
from sparse_pairs import small_network

from spikesim.errors import InputError, Stopped
from spikesim.sparse import (
    FixedInDegree,
    IafPscDelta,
    LeakyIntegrateAndFire,
    Network,
    Probabilistic,
    RandomSynapses,
    Simulation,
    Uniform,
)
from spikesim.sparse.engine import layout as ly


def lone(p: float, steps: int, size: int, seed: int = 0) -> Simulation:
    net = Network()
    cells = net.add_population(size, Probabilistic(leak=2, bias=p), name="cells")
    simulation = Simulation(net, seed=seed)
    simulation.record(cells)
    simulation.run(steps)
    return simulation


@pytest.mark.parametrize("p", [0.004, 0.1, 0.75])
def test_resting_neurons_fire_as_often_as_they_should(p: float) -> None:
    """Counts, and intervals by the geometric law, against what a neuron visited at every step would do."""
    simulation = lone(p, 3000, 64)
    [cells] = simulation._populations
    assert simulation.updates()[0] < 64 * 3000 * p * 1.2 + 64 * 80  # it is not visited without need
    spikes = simulation.spikes(cells)
    late = spikes.steps >= 100
    steps, neurons = spikes.steps[late], spikes.neurons[late]
    exact = p  # a neuron at rest fires with the exact probability
    expected = 2900 * exact
    counts = np.bincount(neurons, minlength=64)
    z = (counts.sum() - 64 * expected) / np.sqrt(64 * expected * (1 - exact))
    assert abs(z) < 4
    dispersion = ((counts - expected) ** 2 / (expected * (1 - exact))).sum()
    assert 1e-4 < stats.chi2.cdf(dispersion, 64) < 1 - 1e-4
    order = np.lexsort((steps, neurons))
    gaps = np.diff(steps[order])[np.diff(neurons[order]) == 0]
    bins = np.unique(stats.geom.ppf(np.linspace(0.05, 0.95, 10), exact)).astype(int)
    observed = np.histogram(gaps, [0, *(bins + 0.5), np.inf])[0]
    shares = np.diff(stats.geom.cdf([0, *bins, np.inf], exact))
    if len(shares) > 1:
        assert stats.chisquare(observed, shares * len(gaps)).pvalue > 1e-4


def test_events_withdraw_the_scheduled_spike() -> None:
    """First passages after an event, where the neuron rests with p > 0: those of a neuron visited at every step."""

    def first_passages(poisson: bool) -> np.ndarray:
        net = Network()
        trigger = net.add_population(
            1, LeakyIntegrateAndFire(leak=0, bias=1.0, threshold=0.5, width=2**-16, refractory=99)
        )
        cells = net.add_population(4000, Probabilistic(leak=2, bias=0.02))
        net.connect(trigger, cells, sparse.csc_array(np.full((4000, 1), -0.09)), delay=60)
        if poisson:  # arrivals of no weight: never at rest, a Bernoulli draw at every step
            net.add_poisson(cells, 0.5, 0.0)
        simulation = Simulation(net, seed=11)
        simulation.record(cells)
        simulation.run(160)
        spikes = simulation.spikes(cells)
        first = np.full(4000, 160)
        late = spikes.steps >= 61
        np.minimum.at(first, spikes.neurons[late], spikes.steps[late])
        assert simulation.updates()[1] == 4000 * 160 if poisson else simulation.updates()[1] < 4000 * 120
        return first

    event_driven, visited = first_passages(False), first_passages(True)
    assert stats.ks_2samp(event_driven, visited).pvalue > 1e-3
    assert np.mean(visited < 64) < 0.1 * np.mean(visited < 160)  # the event silences: it must be felt


def test_quiet_neurons_are_not_visited() -> None:
    def visits(resting: int) -> int:
        net = Network()
        source = net.add_source(10, 0.02)
        cells = net.add_population(100 + resting, Probabilistic(bias=-0.1))
        matrix = sparse.csc_array((np.full(100, 0.5), (np.arange(100), np.arange(100) % 10)), (100 + resting, 10))
        net.connect(source, cells, matrix)
        simulation = Simulation(net, seed=2)
        simulation.run(100)
        before = simulation.updates().sum()
        simulation.run(500)
        return int(simulation.updates().sum() - before)

    assert visits(0) == visits(5000) > 0


WIDE = """
import numpy as np
from spikesim.sparse import Network, Probabilistic, RandomSynapses, Simulation
from spikesim.sparse.assembly import assemble
from spikesim.sparse.engine import layout as ly

def outcome(shortest):
    ly.BLOCK_SMALLEST, ly.BLOCK_LARGEST, ly.ROW_SHORTEST = 75, 300, shortest
    net = Network()
    source = net.add_source(20, 0.1)
    cells = net.add_population(ly.BLOCK_LARGEST + 100, Probabilistic(bias=-0.05))
    net.connect(source, cells, RandomSynapses(60, 0.3, delay=(1, 3), seed=1))
    net.connect(cells, cells, RandomSynapses(30, 0.2, delay=2, seed=2))
    tables = assemble(net)
    simulation = Simulation(net, seed=5)
    simulation.run(25)
    return (str(tables.targets.dtype), len(tables.blocks)), simulation.spike_counts(cells), simulation.potential(cells)

narrow, wide = outcome(0), outcome(64)
same = all((one == other).all() for one, other in zip(narrow[1:], wide[1:]))
print(*narrow[0], *wide[0], same, narrow[1].sum() > 100)
"""


@pytest.mark.parametrize("jit", [False, True])
def test_wide_targets_are_the_same_network(jit: bool) -> None:
    """More neurons than 16 bits number, here more than 300: in blocks, and as one block.

    For wide targets the loop is compiled once more, which takes most of a minute: only with SPIKESIM_MANUAL=all.
    """
    if jit and os.environ.get("SPIKESIM_MANUAL") != "all":
        pytest.skip("compiles for most of a minute: SPIKESIM_MANUAL=all runs it")
    done = subprocess.run(
        [sys.executable, "-c", WIDE],
        env={**os.environ, "NUMBA_DISABLE_JIT": str(int(not jit))}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["uint16", "3", "uint32", "2", "True", "True"]


@pytest.mark.parametrize("times", [4, 40])
def test_neurons_at_rest_change_nothing(times: int) -> None:
    """Behind the others, whole chunks of them: all looked at in order, and on lists."""

    def outcome(resting: int) -> tuple[list[tuple[int, int]], np.ndarray]:
        size = ly.CHUNK + resting
        net = Network()
        source = net.add_source(40, 0.3)
        cells = net.add_population(size, Probabilistic(bias=np.where(np.arange(size) < ly.CHUNK, 0.01, -0.1)))
        rows = np.arange(4000) % ly.CHUNK
        matrix = sparse.coo_array((np.full(4000, 0.1), (rows, np.arange(4000) % 40)), (size, 40))
        net.connect(source, cells, matrix.tocsc())
        simulation = Simulation(net, seed=4)
        simulation.record(cells)
        simulation.run(80)
        spikes = simulation.spikes(cells)
        found = list(zip(spikes.steps.tolist(), spikes.neurons.tolist(), strict=True))
        return found, simulation.potential(cells)

    (alone, before), (beside, after) = outcome(0), outcome(times * ly.CHUNK)
    assert alone == beside and len(alone) > 1000
    np.testing.assert_array_equal(before, after[: ly.CHUNK])
    np.testing.assert_allclose(after[ly.CHUNK :], -0.1, atol=1e-3)


def test_random_synapses() -> None:
    pattern = RandomSynapses(50, weight=0.1, delay=(2, 4), seed=3)
    [rows] = pattern.rows(400, 90)
    assert np.array_equal(rows.pointers, 50 * np.arange(401)) and rows.weights is None
    assert rows.delays is not None
    assert stats.chisquare(np.bincount(rows.targets, minlength=90)).pvalue > 1e-3
    assert stats.chisquare(np.bincount(rows.delays - 2, minlength=3)).pvalue > 1e-3
    table = np.histogram2d(rows.targets, rows.delays, bins=[9, 3])[0]
    assert stats.chi2_contingency(table).pvalue > 1e-3
    [again] = pattern.rows(400, 90)
    np.testing.assert_array_equal(rows.targets, again.targets)
    [other] = RandomSynapses(50, weight=0.1, delay=(2, 4), seed=4).rows(400, 90)
    assert np.mean(rows.targets == other.targets) < 0.05


def test_random_synapses_by_chunks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = RandomSynapses(7, weight=0.1, delay=(1, 2))
    [whole] = pattern.rows(20, 9)
    monkeypatch.setattr("spikesim.sparse.connections.synapses.CHUNK", 30)
    parts = list(pattern.rows(20, 9))
    assert [len(part.pointers) - 1 for part in parts] == [4] * 5
    np.testing.assert_array_equal(np.concatenate([part.targets for part in parts]), whole.targets)
    np.testing.assert_array_equal(np.concatenate([part.delays for part in parts]), whole.delays)


def test_recorded_potentials() -> None:
    net = Network()
    a = net.add_population(3, Probabilistic(leak=1, bias=[0.5, -0.25, 0.125]), name="a")
    b = net.add_population(2, Probabilistic(leak=0, bias=[0.5, 1.0]), name="b")
    simulation = Simulation(net)
    simulation.record_potential(b, [1])
    simulation.record_potential(a, [2, 0])
    simulation.run(2)
    simulation.run(1)
    np.testing.assert_array_equal(simulation.potentials(a), [[0.0625, 0.25], [0.09375, 0.375], [0.109375, 0.4375]])
    np.testing.assert_array_equal(simulation.potentials(b), [[1.0]] * 3)
    with pytest.raises(InputError, match="before run"):
        simulation.record_potential(a, 0)


def test_a_stop_ends_a_run() -> None:
    net, _ = small_network(1)
    simulation = Simulation(net)
    run_steps = simulation._trials[0].run

    def stop_first(*arguments: Any) -> None:
        simulation.stop()
        run_steps(*arguments)

    simulation._trials[0].run = stop_first  # type: ignore[method-assign]
    with pytest.raises(Stopped):
        simulation.run(10)


def test_a_balanced_network_fires_as_the_mean_field_theory_says() -> None:
    """Siegert's rate for Gaussian input, made consistent as by Brunel (2000)."""
    tau, t_ref, threshold, weight, inhibition, excitatory, inhibitory, dt = 20.0, 2.0, 20.0, 0.2, 6.0, 160, 40, 0.1
    external = 2 * threshold / (weight * tau) * 1000  # Hz: twice what holds V at the threshold

    def rate(own: float) -> float:
        mean = tau / 1000 * weight * (excitatory * own + external - inhibition * inhibitory * own)
        variance = tau / 1000 * weight**2 * (excitatory * own + external + inhibition**2 * inhibitory * own)
        spread = np.sqrt(variance)
        higher = threshold + 0.5826 * spread * np.sqrt(dt / tau)  # V is compared once a step
        area, _ = integrate.quad(lambda x: special.erfcx(-x), -mean / spread, (higher - mean) / spread)
        return 1000 / (t_ref + tau * np.sqrt(np.pi) * area)

    expected = optimize.brentq(lambda own: rate(own) - own, 0.1, 400)
    net = Network(seed=1, dt=dt)
    model = IafPscDelta(tau_m=tau, E_L=0.0, V_reset=0.0, V_th=threshold, t_ref=t_ref, V_m=Uniform(0, threshold))
    populations = net.add_population(1000, model), net.add_population(250, model)
    for cells in populations:
        net.add_poisson(cells, float(net.per_step(external)), weight)
        net.connect(populations[0], cells, FixedInDegree(excitatory, weight=weight, delay=net.steps(1.5)))
        net.connect(populations[1], cells, FixedInDegree(inhibitory, weight=-inhibition * weight, delay=net.steps(1.5)))
    simulation = Simulation(net, seed=1)
    simulation.run(8000)
    counts = sum(simulation.counts(cells)[2000:].sum() for cells in populations)
    assert counts / 1250 / 0.6 == pytest.approx(expected, rel=0.04)
