"""Sparse networks against real numbers: leaks, rates, weights and drives of all magnitudes; what is said of them."""

import math
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy import sparse, stats
from sparse_pairs import assert_equal, reference_of

from spikesim.cli.commands.simulate import simulate
from spikesim.engine.phase import PhaseSpec
from spikesim.engine.plan import FIRING_IID
from spikesim.errors import InputError
from spikesim.numerics.dither import sum_dither
from spikesim.numerics.philox import philox_words
from spikesim.sparse import (
    LeakyIntegrateAndFire,
    Network,
    Population,
    Probabilistic,
    RandomSynapses,
    RoundingWarning,
    Simulation,
)
from spikesim.sparse.assembly import assemble
from spikesim.sparse.engine.layout import TrialKey
from spikesim.sparse.engine.random_numbers import STREAM_FIRE, STREAM_POISSON, STREAM_POISSON_FINE, poisson_arrivals
from spikesim.sparse.rounding import fitting_exponent, poisson_tails

LEAKS = (0, 1, 2, 4, 8, 10, 12, 15)


def silent(leak: int, bias: Any = 0.0) -> LeakyIntegrateAndFire:
    """A leaky membrane that never fires."""
    return LeakyIntegrateAndFire(leak, bias, threshold=2000.0, width=1.0)


def recorded(simulation: Simulation, population: Population) -> NDArray[np.bool_]:
    """Which of the neurons fired, (steps, neurons)."""
    spikes = simulation.spikes(population)
    fired = np.zeros((simulation.step, population.size), np.bool_)
    fired[spikes.steps, spikes.neurons] = True
    return fired


# -- Leaks ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["probabilistic", "lif"])
def membranes(request: pytest.FixtureRequest) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Potentials by leak, and those in real numbers, of six neurons: three without arrivals, and three with them."""
    steps, bias = 6000, np.array([0.05, -0.05, 0.4, 0.05, -0.05, 0.4])
    net = Network()
    source = net.add_source(30, 0.1)
    weights = np.zeros((6, 30))
    weights[3:] = np.random.default_rng(0).uniform(-0.02, 0.04, (3, 30))
    cells = {}
    for leak in LEAKS:
        probabilistic = request.param == "probabilistic"
        cells[leak] = net.add_population(6, Probabilistic(leak, bias) if probabilistic else silent(leak, bias))
        net.connect(source, cells[leak], sparse.csc_array(weights * (1.0 if probabilistic else 2.0**-leak)))
    simulation = Simulation(net, seed=2)
    simulation.record(source)
    for own in cells.values():
        simulation.record_potential(own, np.arange(6))
    simulation.run(steps)
    fired = recorded(simulation, source)
    arrived = np.concatenate([np.zeros((1, 6)), fired[:-1] @ weights.T])
    found = {}
    for leak, own in cells.items():
        v, real = np.zeros(6), np.empty((steps, 6))
        for t in range(steps):
            v = real[t] = v + 2.0**-leak * (bias + arrived[t] - v)
        found[leak] = simulation.potentials(own), real
    return found


@pytest.mark.parametrize("leak", LEAKS)
def test_potentials_are_those_of_real_numbers(membranes: Any, leak: int) -> None:
    """To a few units of 2**-16; with arrivals, what the rounding of each step makes of a random walk that leaks."""
    found, real = membranes[leak]
    off = np.abs(found - real).max(axis=0) * 2**16
    assert off[:3].max() < 3 + leak / 2
    assert off[3:].max() < 4 + 2 ** (leak / 2) * 0.75
    # the shift alone is off by half of 2**leak on average
    assert abs(((found - real)[3000:, 3:] * 2**16).mean()) < 1 + 2 ** (leak / 2) / 5


@pytest.mark.parametrize("kind", [Probabilistic, silent])
@pytest.mark.parametrize("bias", [0.05, -0.05])
def test_a_membrane_comes_to_rest_at_its_drive(kind: Any, bias: float) -> None:
    net = Network()
    cells = [net.add_population(1, kind(leak, bias)) for leak in (0, 3, 9)]
    simulation = Simulation(net)
    simulation.run(9000)
    visits = simulation.updates()
    for own, leak in zip(cells, (0, 3, 9), strict=True):
        assert simulation.potential(own)[0] * 2**16 == round(bias * 2**16)
        assert visits[own.index] < 2**leak * 12 + 9000 * max(bias, 0) * 1.4
    simulation.run(2000)
    assert (bias > 0 and kind is Probabilistic) or np.array_equal(simulation.updates(), visits)


@pytest.mark.parametrize("leak", [4, 8, 12, 13])
def test_slow_neurons_fire_at_the_rate_of_real_numbers(leak: int) -> None:
    """A sharp threshold a little below the bias: a membrane that stalls never comes to it."""
    steps, bias = 60000, 1.02
    net = Network()
    model = LeakyIntegrateAndFire(leak, bias, threshold=1.0, width=2.0**-16)
    cells = net.add_population(5, model)
    simulation = Simulation(net)
    simulation.run(steps)
    interval = math.log(bias / (bias - 1.0)) / -math.log1p(-(2.0**-leak)) if leak else 1.0
    assert interval < steps
    np.testing.assert_allclose(simulation.spike_counts(cells), steps / interval, rtol=0.01, atol=1)


def test_the_step_number_of_the_leak_survives_a_break(tmp_path: Any) -> None:
    net = Network()
    cells = net.add_population(3, Probabilistic(12, [0.05, -0.05, 0.7]))
    whole, first, second = (Simulation(net, seed=1) for _ in range(3))
    whole.run(5000)
    first.run(1234)
    first.save(tmp_path / "state.h5")
    second.restore(tmp_path / "state.h5")
    second.run(5000 - 1234)
    np.testing.assert_array_equal(whole.potential(cells), second.potential(cells))


# -- Probabilities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e-7, 5e-6, 1e-5, 2e-5, 1e-4, 1e-3, 0.3])
def test_sources_fire_at_their_rate(rate: float) -> None:
    net = Network()
    size = 200_000 if rate < 0.01 else 2000
    source = net.add_source(size, rate)
    simulation = Simulation(net, seed=5)
    simulation.run(1000)
    expected = rate * size * 1000
    assert abs(simulation.counts(source).sum() - expected) < 5 * math.sqrt(expected)
    late = simulation.counts(source)[500:].sum()
    assert abs(late - expected / 2) < 5 * math.sqrt(expected)


def test_a_source_of_rate_one_fires_in_every_step() -> None:
    net = Network()
    source = net.add_source(100, [0.0, 1.0] * 50)
    simulation = Simulation(net)
    simulation.run(1000)
    assert simulation.spike_counts(source).tolist() == [0, 1000] * 50


@pytest.mark.parametrize(
    "model",
    [Probabilistic(0, 2e-5), LeakyIntegrateAndFire(0, 0.502, threshold=0.5, width=100.0)],
    ids=["probabilistic", "lif"],
)
@pytest.mark.filterwarnings("ignore::spikesim.sparse.RoundingWarning")
def test_neurons_at_rest_fire_at_their_exact_rate(model: Any) -> None:
    net = Network()
    cells = net.add_population(200_000, model)
    simulation = Simulation(net, seed=6)
    simulation.run(500)
    expected = 2e-5 * 200_000 * 500
    assert abs(simulation.counts(cells)[1:].sum() - expected) < 5 * math.sqrt(expected)


def test_active_neurons_fire_at_the_rate_of_their_excess() -> None:
    """A wide threshold, p = 1.5 * 2**-16: the half is carried. A drive without weight keeps the neurons awake."""
    net = Network()
    p = 1.5 * 2.0**-16
    cells = net.add_population(20_000, LeakyIntegrateAndFire(0, 0.5 + 100 * p, threshold=0.5, width=100.0))
    net.add_poisson(cells, 1.0, 0.0)
    simulation = Simulation(net, seed=7)
    simulation.run(1000)
    assert simulation.updates()[0] == 20_000 * 1000
    expected = p * 20_000 * 999
    assert abs(simulation.counts(cells)[1:].sum() - expected) < 5 * math.sqrt(expected)


@pytest.mark.parametrize("rate", [1e-12, 1e-9, 1e-6, 1e-3, 0.7, 5.0, 64.0])
def test_poisson_probabilities(rate: float) -> None:
    tails = poisson_tails(rate).astype(np.float64) / 2.0**64
    exact = stats.poisson.sf(np.arange(len(tails) + 1), rate)
    np.testing.assert_allclose(tails, exact[:-1], rtol=1e-7, atol=2.0**-64)
    np.testing.assert_allclose(tails.sum(), rate, rtol=1e-6)  # the mean
    assert exact[-1] < exact[0] * 2.0**-32


def test_poisson_arrivals_are_decided_by_64_bits() -> None:
    key = TrialKey(PhaseSpec(FIRING_IID, STREAM_FIRE, 5, 0), 1)

    def arrivals(*tails: int) -> int:
        return int(poisson_arrivals(np.array(tails, np.uint64), key, 2, 6, 9))

    tag = 2 << 24
    word = int(philox_words(np.array([[6 >> 2, 9, 1, tag | STREAM_POISSON]], np.uint32), 5)[0, 6 & 3])
    fine = int(philox_words(np.array([[6, 9, 1, tag | STREAM_POISSON_FINE]], np.uint32), 5)[0, 0])
    number = (word << 32) | fine
    assert arrivals(number) == 0 and arrivals(number + 1) == 1
    assert arrivals(2**64 - 1, number + 2, number + 1, number, number - 1) == 3
    assert arrivals(2**64 - 1, 1 << 32) == 1


# -- Weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.7, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("others", [0.0, -500.0, -2000.0, -10000.0], ids=str)
def test_a_strong_projection_does_not_coarsen_the_others(weight: float, others: float) -> None:
    """Said where it does; the strong one, which never fires, apart and in the same matrix."""
    net = Network()
    source, strong = net.add_source(100, 0.5), net.add_source(1, 0.0)
    apart, together = net.add_population(1, silent(0)), net.add_population(1, silent(0))
    net.connect(source, apart, RandomSynapses(1, weight))
    net.connect(strong, apart, RandomSynapses(1, others))
    net.connect(source, together, sparse.csc_array(np.full((1, 100), weight)))
    matrix = sparse.csc_array(np.array([[weight] * 99 + [others]]))
    mixed = net.add_population(1, silent(0))
    quiet = net.add_source(100, [0.5] * 99 + [0.0])
    net.connect(quiet, mixed, matrix)
    coarse = abs(others) > weight * 5e7
    if coarse:
        with pytest.warns(RoundingWarning, match="weight") as told:
            simulation = Simulation(net, seed=3)
        assert len(told) == 2 and f"{weight:.4g} becomes " in str(told[0].message)
    else:
        simulation = Simulation(net, seed=3)
    simulation.record(source, quiet)
    for cells in (apart, together, mixed):
        simulation.record_potential(cells, 0)
    steps = 3000
    simulation.run(steps)
    given = [recorded(simulation, source).sum(), recorded(simulation, source).sum(), recorded(simulation, quiet).sum()]
    for cells, spikes in zip((apart, together, mixed), given, strict=True):
        if cells is together or not coarse:
            expected = weight * spikes / steps
            # an arrival of less than a unit is one now and then, in its share of the steps
            assert abs(simulation.potentials(cells).mean() - expected) < 0.01 * expected + 2.0**-16 / 30


@pytest.mark.parametrize("number", [40_000, 60_000, 100_000])
def test_many_equal_synapses_onto_a_neuron(number: int) -> None:
    net = Network()
    source = net.add_source(number, 0.01)
    cells = net.add_population(1, silent(0))
    net.connect(source, cells, RandomSynapses(1, 0.01))
    simulation = Simulation(net)
    simulation.record_potential(cells, 0)
    simulation.run(3)
    arrived = 0.01 * simulation.counts(source)[:-1]
    np.testing.assert_allclose(simulation.potentials(cells)[1:, 0], arrived, rtol=1e-4)


def test_sums_fit_into_their_range_up_to_the_limit() -> None:
    """Every synapse active at once, with the largest bias and Poisson drive there may be."""
    net = Network()
    source = net.add_source(1000, 1.0)
    cells = {net.add_population(3, Probabilistic(1, sign * 2047.9)): sign for sign in (1, -1)}
    cells[net.add_population(3, silent(1, -2047.9))] = -1
    lif = list(cells)[-1]
    for own, sign in cells.items():
        scale = sign * (0.5 if own is lif else 1.0)
        weights = scale * (8.0 + np.arange(1000) % 2)
        net.connect(source, own, sparse.csc_array(np.tile(weights, (3, 1))))
        net.add_poisson(own, 64.0, scale * 31.0)
    simulation = Simulation(net)
    for own in cells:
        simulation.record_potential(own, np.arange(3))
    simulation.run(60)
    for own, sign in cells.items():
        v = simulation.potentials(own)[20:]
        np.testing.assert_allclose(v.mean(axis=0), sign * (8500 + 2047.9 + 31 * 64), rtol=0.02)
        assert np.all(np.abs(v - v.mean(axis=0)) < 31 * 64)


def test_what_the_sums_lose_is_spread_evenly() -> None:
    for stride in (1, 2, 7, 16, 1000, 4096):
        carried = [sum_dither(stride * k, 10) for k in range(4096)]
        assert stats.kstest(np.array(carried) / 1024, "uniform").statistic < 0.01
    assert {sum_dither(k, 0) for k in range(100)} == {0}


@pytest.mark.parametrize("largest", [0.5, 0.99999, 1.0, 3.7, 1e-30, 1e30])
def test_the_finest_exponent_that_fits(largest: float) -> None:
    exponent = fitting_exponent(largest)
    assert round(math.ldexp(largest, exponent)) <= 2**15 - 1 < round(math.ldexp(largest, exponent + 1))


def any_number(rng: np.random.Generator) -> float:
    """A number of any magnitude, ordinary ones more often than not."""
    low, high = ((-3, 0), (-3, 0), (-12, 4), (2, 4), (-300, 300))[rng.integers(5)]
    return float(rng.choice([-1, 1]) * 10.0 ** rng.uniform(low, high) * (rng.random() < 0.9))


def any_network(rng: np.random.Generator) -> Network:
    """A network of some populations, or an `InputError`."""
    net = Network()
    populations = [net.add_source(int(rng.integers(1, 6)), float(rng.choice([0.0, 1.0, 0.5, 1e-3, rng.random()])))]
    for _ in range(int(rng.integers(1, 4))):
        size, leak = int(rng.integers(1, 7)), int(rng.integers(16))
        bias = rng.uniform(-0.3, 1, size) if rng.random() < 0.7 else [any_number(rng) for _ in range(size)]
        width = float(rng.choice([2.0**-16, 0.1, 1024.0, rng.uniform(1e-4, 10)]))
        lif = LeakyIntegrateAndFire(leak, bias, 0.5, width, any_number(rng) / 10, int(rng.integers(3)))
        cells = net.add_population(size, lif if rng.random() < 0.5 else Probabilistic(leak, bias))
        if rng.random() < 0.3:
            net.add_poisson(cells, float(rng.choice([1e-12, 1e-6, 0.3, 64.0])), any_number(rng))
        populations.append(cells)
    for _ in range(int(rng.integers(6))):
        before, after = populations[rng.integers(len(populations))], populations[rng.integers(1, len(populations))]
        if rng.random() < 0.4:
            net.connect(
                before, after, RandomSynapses(int(rng.integers(4)), any_number(rng), (1, int(rng.integers(1, 5))))
            )
        else:
            shape = (after.size, before.size)
            weights = np.array([any_number(rng) for _ in range(math.prod(shape))]).reshape(shape)
            kept = np.where(rng.random(shape) < 0.7, np.clip(weights, -1000, 1000), 0.0)
            net.connect(before, after, sparse.csc_array(kept), delay=int(rng.integers(1, 4)))
    return net


@pytest.mark.filterwarnings("ignore::spikesim.sparse.RoundingWarning")
def test_any_network_is_that_of_the_reference_or_is_refused() -> None:
    rng = np.random.default_rng(0)
    compared = refused = 0
    while compared < 25:
        try:
            net = any_network(rng)
            simulation = Simulation(net, seed=compared)
        except InputError:
            refused += 1
            continue
        simulation.record(*net.populations)
        simulation.run(20)
        reference = reference_of(net, compared)
        for t in range(20):
            reference.step(t)
        assert_equal(simulation, net, reference)
        compared += 1
    assert refused > 10


# -- What is refused or said ------------------------------------------------------------------------------------------


def told(build: Any) -> list[str]:
    net = Network()
    build(net)
    with pytest.warns(RoundingWarning) as found:
        Simulation(net)
    return [str(one.message) for one in found]


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (
            lambda net: net.add_population(2, Probabilistic(bias=[1e-5, 0.0]), name="a"),
            "biases of a are rounded to multiples of 2**-16, which changes them by 53%: 1e-05 becomes 1.526e-05",
        ),
        (
            lambda net: net.add_population(2, LeakyIntegrateAndFire(threshold=1e-6), name="a"),
            "threshold of a is rounded to a multiple of 2**-16: 1e-06 becomes 0",
        ),
        (
            lambda net: net.connect(net.add_source(1, 0.1), net.add_population(1), RandomSynapses(1, 1e-15)),
            "the weight of population0 -> population1 is rounded to a multiple of 2**-44: 1e-15 becomes 0",
        ),
        (
            lambda net: net.add_poisson(net.add_population(1, name="a"), 1.0, 1e-15),
            "the Poisson weight of a is rounded to a multiple of 2**-44: 1e-15 becomes 0",
        ),
        (
            lambda net: net.connect(
                net.add_source(4, 0.1), net.add_population(1), sparse.csc_array([[4000.0, -1e-6, 3e-7, 0.0]])
            ),
            "the weights of population0 -> population1 are rounded to multiples of 2**-18 (all weights onto a neuron "
            "together reach 4000): 2 of 3 change by more than 1%, and 2 become 0; -1e-06 becomes -0",
        ),
    ],
    ids=["bias", "threshold", "weight", "poisson", "matrix"],
)
def test_numbers_that_change_are_said(build: Any, line: str) -> None:
    [found] = told(build)
    assert found.startswith(line)


def test_the_command_says_them_too(tmp_path: Any) -> None:
    (tmp_path / "net.toml").write_text('[[population]]\nname = "a"\nsize = 3\nbias = 2e-6\nleak = 0\n')
    command = [str(tmp_path / "net.toml"), "--steps", "2", "--out", str(tmp_path / "a.h5"), "--threads", "1"]
    result = CliRunner().invoke(simulate, command, obj=None)
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("warning: ")]
    assert line.startswith("warning: biases of a are rounded") and "2e-06 becomes 0 " in line


def test_ordinary_numbers_are_not_spoken_of() -> None:
    """Of matrices with weights of any usual law, and biases about zero, some entries are always close to zero."""
    rng = np.random.default_rng(0)
    net = Network()
    source = net.add_source(200, 0.1)
    for law in (rng.normal, rng.standard_cauchy, lambda size: rng.lognormal(0, 3, size=size), rng.uniform):
        cells = net.add_population(100, Probabilistic(bias=rng.uniform(-0.1, 0.1, 100)))
        net.connect(source, cells, sparse.csc_array(law(size=(100, 200)) * 0.01))
    assemble(net)
    Simulation(net)


@pytest.mark.parametrize(
    ("rate", "weight", "words"),
    [
        (
            64,
            600.0,
            "the Poisson drive of a, up to 121 arrivals of 600 in a step, can be 72600; it must stay below 12288",
        ),
        (64, -102.0, "up to 121 arrivals of 102"),
        (1.0, 1e5, "up to 12 arrivals of 100000"),
        (1.0, math.nan, "Poisson weight of a is nan"),
        (1e-13, 0.1, "Poisson rate of a is 1e-13; it must be in 1e-12 .. 64"),
        (65, 0.1, "Poisson rate of a is 65"),
    ],
)
def test_poisson_drives_that_do_not_fit_are_refused(rate: float, weight: float, words: str) -> None:
    net = Network()
    cells = net.add_population(3, name="a")
    with pytest.raises(InputError) as error:
        net.add_poisson(cells, rate, weight)
    assert words in str(error.value)


def test_a_poisson_drive_and_weights_that_do_not_fit_together_are_refused() -> None:
    net = Network()
    source, cells = net.add_source(10, 0.1), net.add_population(1, name="a")
    net.add_poisson(cells, 64, 100.0)
    net.connect(source, cells, RandomSynapses(1, -20.0))
    with pytest.raises(
        InputError, match=r"can be 12100, with the weights onto a neuron 12300; it must stay below 12288"
    ):
        Simulation(net)


def test_an_unused_weight_may_be_anything() -> None:
    net = Network()
    source, cells = net.add_source(10, 0.1), net.add_population(1, silent(0))
    net.connect(source, cells, RandomSynapses(0, 1e300))
    simulation = Simulation(net)
    simulation.run(5)
    assert simulation.potential(cells)[0] == 0.0
