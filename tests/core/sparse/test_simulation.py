"""Sparse networks: bit for bit against a slow reference, and in law against neurons that are visited at every step."""

import math
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sparse_reference as sr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sparse_pairs import assert_equal, reference_of, small_network

from spikesim.engine.phase import phase_spec
from spikesim.errors import InputError
from spikesim.sparse import LeakyIntegrateAndFire, Network, Probabilistic, RandomSynapses, Simulation
from spikesim.sparse.assembly import assemble
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine.random_numbers import poisson_arrivals, poisson_chunk
from spikesim.sparse.engine.resting import GEOMETRIC_BITS, waiting_time
from spikesim.sparse.engine.wheel import insert, refill, withdraw
from spikesim.sparse.state import new_state

SEED = 2**33 + 5


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_spikes_and_potentials_are_those_of_the_reference(seed: int, quiet: bool) -> None:
    net, populations = small_network(seed, quiet=quiet)
    simulation = Simulation(net, seed=SEED, trials=2)
    simulation.record(*populations)
    simulation.run(120)
    for number in range(2):
        reference = reference_of(net, SEED, number)
        for t in range(120):
            reference.step(t)
        assert sum(map(len, reference.fired)) > 20
        assert_equal(simulation, net, reference, number)


def test_a_poisson_drive_is_that_of_the_reference() -> None:
    net, populations = small_network(7)
    net.add_poisson(populations[1], 0.7, 0.2)
    net.add_poisson(populations[2], 3.0, 0.05)
    simulation, reference = Simulation(net, seed=3), reference_of(net, 3)
    simulation.record(*populations)
    simulation.run(60)
    for t in range(60):
        reference.step(t)
    assert_equal(simulation, net, reference)


def test_poisson_arrivals_of_neighbours_are_those_of_each_neuron() -> None:
    """Also where 32 bits more decide, which a simulation hardly ever sees: the tails here begin with words drawn."""
    key, first, step, count = ly.TrialKey(phase_spec("iid", 0, 7), 3), 512, 11, 37
    words, found = np.empty(count + 3, np.uint32), np.empty(count, np.int32)
    poisson_chunk(np.empty(0, np.uint64), key, 2, first, step, words, found)
    assert not found.any()
    drawn = np.sort(words[:count:3].astype(np.uint64))[::-1]
    for below in (0, 2**31, 2**32 - 1):
        tails = (drawn << np.uint64(32)) | np.uint64(below)
        poisson_chunk(tails, key, 2, first, step, words, found)
        assert found.tolist() == [poisson_arrivals(tails, key, 2, first + i, step) for i in range(count)]
        assert found.max() >= len(drawn) - 1


@pytest.mark.filterwarnings("ignore::spikesim.sparse.RoundingWarning")
def test_weights_of_many_magnitudes_are_those_of_the_reference() -> None:
    """Several scales in one projection, another projection that is far stronger, and weights below 2**-16."""
    rng = np.random.default_rng(1)
    net = Network()
    source = net.add_source(20, 0.3)
    cells = net.add_population(12, Probabilistic(leak=1, bias=0.02), name="cells")
    lif = net.add_population(12, LeakyIntegrateAndFire(leak=4, threshold=1.0, width=3.0), name="lif")
    weights = 10.0 ** rng.uniform(-7, 1, (12, 20)) * rng.choice([-1, 1], (12, 20))
    net.connect(source, cells, sparse.csc_array(weights))
    net.connect(cells, lif, sparse.csc_array(np.abs(weights[:, :12]) / 100))
    net.connect(source, lif, RandomSynapses(3, 2e-6))
    net.connect(source, lif, RandomSynapses(1, -40.0, delay=4, seed=1))
    assert len(assemble(net).tables) > len(net.projections)
    simulation, reference = Simulation(net, seed=3), reference_of(net, 3)
    simulation.record(*net.populations)
    simulation.run(60)
    for t in range(60):
        reference.step(t)
    assert_equal(simulation, net, reference)


def test_blocks_of_a_large_population_are_one_population() -> None:
    """More neurons than a block holds, and a list of touched neurons that overflows."""
    rng = np.random.default_rng(0)
    net = Network()
    size = 2 * ly.BLOCK_SMALLEST + 3
    source = net.add_source(40, 0.3)
    cells = net.add_population(size, Probabilistic(bias=-1.0))
    columns = np.repeat(np.arange(40), 3000)
    plus = sparse.coo_array((np.full(len(columns), 0.5), (rng.integers(0, size, len(columns)), columns)), (size, 40))
    net.connect(source, cells, plus.tocsc())
    net.connect(source, cells, -plus.tocsc())  # drives return to zero: neurons are touched again
    net.connect(source, cells, plus.tocsc(), delay=2)
    tables = assemble(net)
    assert len(tables.blocks) > 1 + 1
    simulation = Simulation(net, seed=1)
    simulation.run(3)
    fired = Simulation(net, seed=1)
    fired.record(source)
    fired.run(3)
    spikes = fired.spikes(source)
    v = np.zeros(size, np.int64)
    shift = int(tables.parts["shift"][cells.index])
    integers = np.rint(np.ldexp(plus.toarray(), 16 + shift)).astype(np.int64)
    for t in range(3):
        arrived = np.zeros(size, np.int64)
        if t >= 2:
            arrived = integers[:, spikes.neurons[spikes.steps == t - 2]].sum(axis=1)
        s = arrived + sr.sum_dither(t, shift) >> shift
        v = v + (-(2**16) + s - v + sr.leak_dither(t, 2) >> 2)
    assert (simulation.potential(cells) * 2**16).tolist() == v.tolist()


@settings(deadline=None)
@given(st.floats(1e-300, 1) | st.integers(0, 40).map(lambda e: 2.0**-e), st.floats(0, 1, exclude_max=True))
def test_waiting_times_are_the_smallest_that_they_may_be(p: float, uniform: float) -> None:
    n = waiting_time(p, uniform, np.empty(GEOMETRIC_BITS))
    assert 1 <= n <= 2**GEOMETRIC_BITS

    def within(trials: int) -> float:  # the probability of a success
        return -math.expm1(trials * math.log1p(-p)) if p < 1 else float(trials > 0)

    if n < 2**GEOMETRIC_BITS:
        assert within(n) * (1 + 1e-13) >= uniform
    assert within(n - 1) <= uniform * (1 + 1e-13)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 3 * ly.WHEEL_SLOTS)), max_size=60))
def test_the_wheel_holds_what_was_put_in_and_not_withdrawn(moves: list[tuple[int, int]]) -> None:
    net = Network()
    net.add_population(8)
    tables = assemble(net)
    state = new_state(tables)
    wheel = state.wheel
    held: dict[int, int] = {}

    def contents() -> dict[int, int]:
        found = {}
        for slot in range(ly.WHEEL_SLOTS):
            neuron = int(wheel.slots[0, slot])
            before = -1
            while neuron >= 0:
                assert wheel.preceding[neuron] == before and wheel.due[neuron] % ly.WHEEL_SLOTS == slot
                found[neuron] = int(wheel.due[neuron])
                before, neuron = neuron, int(wheel.following[neuron])
        return found

    for neuron, due in moves:
        if neuron in held:
            withdraw(wheel, 0, neuron)
            del held[neuron]
        else:
            insert(wheel, 0, neuron, due)
            held[neuron] = due
    assert contents() == held
    state.doing[:] = ly.SILENT
    state.doing[list(held)] = ly.SCHEDULED
    refill(tables, state)
    assert contents() == held


def test_threads_and_breaks_change_nothing() -> None:
    net, populations = small_network(3)

    def run(threads: int, *stretches: int) -> Simulation:
        simulation = Simulation(net, seed=4, trials=3, threads=threads)
        simulation.record(*populations)
        for steps in stretches:
            simulation.run(steps)
        return simulation

    whole, parts = run(1, 700), run(2, 1, 299, 0, 400)
    for population in populations:
        for trial in range(3):
            a, b = whole.spikes(population, trial), parts.spikes(population, trial)
            np.testing.assert_array_equal(a.steps, b.steps)
            np.testing.assert_array_equal(a.neurons, b.neurons)
            np.testing.assert_array_equal(whole.counts(population, trial), parts.counts(population, trial))
            np.testing.assert_array_equal(
                whole.spike_counts(population, trial), np.bincount(a.neurons, minlength=population.size)
            )
    assert not np.array_equal(whole.counts(populations[1], 0), whole.counts(populations[1], 1))


def test_a_full_log_is_emptied_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    net, populations = small_network(5)
    whole = Simulation(net, seed=4)
    whole.record(*populations)
    whole.run(200)
    monkeypatch.setattr("spikesim.sparse.trial.LOG_ROOM", 1)
    tight = Simulation(net, seed=4)
    tight.record(*populations)
    tight.run(200)
    for population in populations:
        np.testing.assert_array_equal(whole.spikes(population).steps, tight.spikes(population).steps)
        np.testing.assert_array_equal(whole.counts(population), tight.counts(population))


@pytest.mark.parametrize("at", [0, 1, 57])
def test_a_restored_simulation_goes_on_as_if_never_stopped(tmp_path: Path, at: int) -> None:
    net, populations = small_network(6)
    whole = Simulation(net, seed=9, trials=2)
    whole.record(*populations)
    whole.run(at)
    whole.save(tmp_path / "state.h5")
    whole.run(150)
    restored = Simulation(net, seed=9, trials=2)
    restored.record(*populations)
    restored.restore(tmp_path / "state.h5")
    assert restored.step == at
    restored.run(150)
    for population in populations:
        for trial in range(2):
            spikes, expected = restored.spikes(population, trial), whole.spikes(population, trial)
            late = expected.steps >= at
            np.testing.assert_array_equal(spikes.steps, expected.steps[late])
            np.testing.assert_array_equal(spikes.neurons, expected.neurons[late])
            np.testing.assert_array_equal(restored.potential(population, trial), whole.potential(population, trial))
            np.testing.assert_array_equal(
                restored.spike_counts(population, trial), whole.spike_counts(population, trial)
            )
        np.testing.assert_array_equal(restored.updates(), whole.updates())
        np.testing.assert_array_equal(restored.events(), whole.events())
    assert [path.name for path in tmp_path.iterdir()] == ["state.h5"]


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    net, _ = small_network(6)
    simulation = Simulation(net, seed=9)
    simulation.run(5)
    simulation.save(tmp_path / "state.h5")
    with pytest.raises(InputError, match="of another network"):
        Simulation(small_network(7)[0], seed=9).restore(tmp_path / "state.h5")
    with pytest.raises(InputError, match="1 trial of seed 9, this simulation has 1 of seed 8"):
        Simulation(net, seed=8).restore(tmp_path / "state.h5")
    with pytest.raises(InputError, match="1 trial of seed 9, this simulation has 2 of seed 9"):
        Simulation(net, seed=9, trials=2).restore(tmp_path / "state.h5")
    (tmp_path / "text.h5").write_text("no state")
    with pytest.raises(InputError, match=r"text\.h5 is not an HDF5 file"):
        simulation.restore(tmp_path / "text.h5")
    for name, value in {
        "ring_count": 99,
        "ring": -1,
        "doing": 7,
        "due": -1,
        "refractory": -1,
        "membrane": 2**31 - 1,
    }.items():
        shutil.copy(tmp_path / "state.h5", tmp_path / "damaged.h5")
        with h5py.File(tmp_path / "damaged.h5", "r+") as file:
            file[f"trial0/{name}"][...] = value
        with pytest.raises(InputError, match=r"damaged\.h5 is damaged"):
            Simulation(net, seed=9).restore(tmp_path / "damaged.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other\.h5 is damaged"):
        simulation.restore(tmp_path / "other.h5")
    with pytest.raises(InputError, match="cannot be written"):
        simulation.save(tmp_path / "nowhere" / "state.h5")


def altered(change: str) -> Network:
    """A network of one structure, in which one thing may be another."""
    rows = [1, 0, 1] if change == "target" else [0, 0, 1]
    weights = [0.5, 0.25, -0.5 if change == "sign" else 0.5]
    delays = [2, 3, 1] if change == "delay" else [3, 2, 1]
    net = Network()
    a = net.add_population(3, Probabilistic(bias=[0.1, 0.2, 0.4 if change == "bias" else 0.3]))
    b = net.add_population(2, LeakyIntegrateAndFire(threshold=0.75 if change == "threshold" else 0.5))
    net.add_poisson(b, 1.5 if change == "rate" else 2.0, 0.1)
    places = rows, [0, 1, 2]
    net.connect(a, b, sparse.coo_array((weights, places), (2, 3)), delay=sparse.coo_array((delays, places), (2, 3)))
    net.connect(a, a, RandomSynapses(2, 0.1, seed=1 if change == "seed" else 0))
    return net


def test_a_state_belongs_to_one_network_to_the_bit(tmp_path: Path) -> None:
    """Also where both have the same number of everything; what is recorded is no part of the network."""
    simulation = Simulation(altered(""), seed=1)
    simulation.run(4)
    simulation.save(tmp_path / "state.h5")
    for change in ("sign", "delay", "bias", "threshold", "rate", "seed", "target"):
        with pytest.raises(InputError, match=r"state\.h5 is the state of another network"):
            Simulation(altered(change), seed=1).restore(tmp_path / "state.h5")
    net = altered("")
    same = Simulation(net, seed=1)
    same.record(net.populations[0])
    same.restore(tmp_path / "state.h5")
    assert same.step == 4


MATRIX = sparse.csc_array(np.ones((2, 3)))


def bad(call: Any) -> str:
    net = Network()
    a, b = net.add_population(3, name="a"), net.add_population(2, name="b")
    with pytest.raises(InputError) as error:
        call(net, a, b)
    return str(error.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, a, b: net.add_population(0), "size of population2 is 0"),
        (lambda net, a, b: net.add_population(5, name="a"), "named 'a' already"),
        (lambda net, a, b: net.add_population(5, Probabilistic(leak=16)), "leak of population2 is 16"),
        (lambda net, a, b: net.add_population(5, Probabilistic(bias=[1, 2])), "shape (2,); it must be () or (5,)"),
        (lambda net, a, b: net.add_population(5, Probabilistic(bias=1e5)), "biases of population2 reach 1e+05"),
        (lambda net, a, b: net.add_population(5, LeakyIntegrateAndFire(width=-1)), "width of population2 is -1"),
        (lambda net, a, b: net.add_population(5, LeakyIntegrateAndFire(threshold=1e5)), "threshold of population2"),
        (lambda net, a, b: net.add_population(5, LeakyIntegrateAndFire(refractory=-1)), "refractory of population2"),
        (lambda net, a, b: net.add_source(5, 1.5), "rates reach from 1.5"),
        (lambda net, a, b: net.connect(a, b, np.ones(3)), "has 1 dimensions"),
        (lambda net, a, b: net.connect(a, b, "all"), "or an EdgeList, not str"),
        (lambda net, a, b: net.connect(b, a, MATRIX), "shape (2, 3); (targets, sources) is (3, 2)"),
        (lambda net, a, b: net.connect(a, b, MATRIX, delay=0), "delays reach from 0 to 0"),
        (lambda net, a, b: net.connect(a, b, MATRIX, delay=1.5), "whole numbers of steps"),
        (lambda net, a, b: net.connect(a, b, MATRIX, delay=MATRIX[:, :2]), "the same entries"),
        (lambda net, a, b: net.connect(a, b, MATRIX * np.nan), "not finite"),
        (lambda net, a, b: net.connect(a, net.add_source(2, 0.1), MATRIX), "is a source"),
        (lambda net, a, b: net.connect(a, b, RandomSynapses(3, 0.1), delay=2), "brings its own delays"),
        (lambda net, a, b: RandomSynapses(-1, 0.1), "number is -1"),
        (lambda net, a, b: RandomSynapses(1, np.inf), "weight is inf"),
        (lambda net, a, b: RandomSynapses(1, 0.1, delay=(3, 2)), "the smaller one"),
        (lambda net, a, b: RandomSynapses(1, 0.1, delay=9999), "1 .. 4096"),
        (lambda net, a, b: RandomSynapses(1, 0.1, seed=-1), "seed is -1"),
        (lambda net, a, b: net.connect(a, Network().add_population(2), MATRIX), "not a population of this network"),
        (lambda net, a, b: net.add_poisson(a, 0, 0.1), "Poisson rate of a is 0"),
        (lambda net, a, b: net.add_poisson(net.add_source(1, 0.1), 1, 0.1), "cannot take this Poisson drive"),
        (lambda net, a, b: Simulation(Network()), "no neurons"),
        (lambda net, a, b: Simulation(net, trials=0), "trials is 0"),
        (lambda net, a, b: Simulation(net, threads=0), "threads is 0"),
        (lambda net, a, b: Simulation(net, seed=-1), "seed is -1"),
        (lambda net, a, b: Simulation(net).run(-1), "steps is -1"),
        (lambda net, a, b: Simulation(net).record(Network().add_population(2)), "not a population of this simulation"),
        (lambda net, a, b: Simulation(net).record_potential(a, 3), "integers in 0 .. 2"),
        (
            lambda net, a, b: (net.connect(a, b, MATRIX * 16000), Simulation(net)),
            "add up to 48000; they must stay below 12288",
        ),
    ],
)
def test_what_cannot_be_is_refused(call: Any, words: str) -> None:
    assert words in bad(call)
