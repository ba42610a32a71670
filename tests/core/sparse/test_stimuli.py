"""Given spikes, rates and currents with a time course: against the slow reference, and as users have them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import stats
from sparse_pairs import assert_equal, reference_of, small_network

from spikesim.errors import InputError
from spikesim.jit.compilation import JIT
from spikesim.sparse import (
    IafPscDelta,
    LeakyIntegrateAndFire,
    Network,
    OneToOne,
    Population,
    Probabilistic,
    RoundingWarning,
    Simulation,
    SimulationReader,
    Spikes,
    TimeCourse,
    assembly,
    read_spikes,
)
from spikesim.sparse.description import make_network
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.job import Job

STEPS = 90


def stimulated(seed: int) -> tuple[Network, list[Population]]:
    """The small network, with every kind of input: for all neurons, for some, and for each another one."""
    rng = np.random.default_rng(seed)
    net, populations = small_network(seed, quiet=True)
    _, cells, lif = populations
    given = Spikes.at_steps(rng.integers(0, 5, 60), rng.integers(0, STEPS, 60))
    player = net.add_spike_trains(5, given, name="player")
    burst = net.add_source(7, TimeCourse([10, 40, 41, 70], [0.3, 0.0, 1.0, 0.02]), name="burst")
    wave = net.add_source(4, TimeCourse([0, 30, 60], rng.random((3, 4)) * [[1.0], [0.0], [0.4]]), name="wave")
    alike = net.add_population(6, LeakyIntegrateAndFire(leak=2, bias=0.1, threshold=0.5, width=0.3), name="alike")
    driven = net.add_population(5, Probabilistic(leak=1, bias=-0.1), name="driven")
    net.add_poisson(alike, TimeCourse([0, 33, 60], [0.2, 0.0, 3.0]), 0.1)
    net.add_poisson(driven, TimeCourse([40, 41, 55], [3.0, 0.4, 3.0]), 0.2)
    net.add_current(alike, TimeCourse([20, 50], [0.6, -0.1]))
    net.add_current(alike, 0.05)
    net.add_current(cells, rng.normal(0.0, 0.4, (35, 19)))
    net.add_current(lif, TimeCourse([5, 65], [0.5, 0.0]), neurons=[0, 7, 10])
    for source, target in ((player, cells), (burst, lif), (wave, cells)):
        net.connect(source, target, rng.normal(0, 0.5, (target.size, source.size)), delay=2)
    return net, net.populations


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.filterwarnings("ignore::spikesim.sparse.RoundingWarning")
def test_all_inputs_are_those_of_the_reference(seed: int) -> None:
    net, populations = stimulated(seed)
    simulation, reference = Simulation(net, seed=seed), reference_of(net, seed)
    simulation.record(*populations)
    simulation.run(37)
    simulation.run(STEPS - 37)
    for t in range(STEPS):
        reference.step(t)
    assert min(simulation.counts(own).sum() for own in populations[3:]) > 10
    assert_equal(simulation, net, reference)


def records(simulation: Simulation, populations: list[Population], trial: int = 1) -> list[Any]:
    return [
        (spikes.steps.tolist(), spikes.neurons.tolist(), simulation.potential(own, trial).tolist())
        for own in populations
        for spikes in [simulation.spikes(own, trial)]
    ]


@pytest.mark.filterwarnings("ignore::spikesim.sparse.RoundingWarning")
@pytest.mark.parametrize("at", [0, 40, 55])
def test_restored_in_the_middle_of_a_time_course(at: int, tmp_path: Path) -> None:
    """40 is a step in which a rate changes."""
    net, populations = stimulated(1)
    whole = Simulation(net, seed=5, trials=2)
    whole.run(at)
    whole.save(tmp_path / "state.h5")
    again = Simulation(net, seed=5, trials=2)
    again.run(3)  # what it did before does not count
    again.restore(tmp_path / "state.h5")
    for simulation in (whole, again):
        simulation.record(*populations)
        simulation.run(STEPS - at)
    assert records(again, populations) == records(whole, populations)
    net.populations[1].currents.pop()
    with pytest.raises(InputError, match="the state of another network"):
        Simulation(net, seed=5, trials=2).restore(tmp_path / "state.h5")


@pytest.mark.skipif(not JIT, reason="the interpreter shares no trial")
def test_threads_share_populations_with_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "PART_SMALLEST", ly.CHUNK)
    monkeypatch.setattr(ly, "BLOCK_SMALLEST", ly.CHUNK)
    rng = np.random.default_rng(3)
    net = Network()
    size = 3 * ly.CHUNK + 5
    cells_of_time = rng.choice(size * 40, 900, replace=False)
    player = net.add_spike_trains(size, Spikes.at_steps(cells_of_time % size, cells_of_time // size))
    source = net.add_source(size, TimeCourse([3, 20], np.stack([rng.random(size) * 0.02, np.zeros(size)])))
    cells = net.add_population(size, Probabilistic(bias=-0.1))
    net.add_current(cells, TimeCourse([10, 12], [0.2, 0.0]))
    net.add_current(cells, TimeCourse([15], [0.5]), neurons=rng.permutation(size)[:40])
    for own in (player, source):
        net.connect(own, cells, OneToOne(weight=0.6))
    found = []
    for threads in (1, 2, 3):
        simulation = Simulation(net, seed=1, threads=threads)
        simulation.record(*net.populations)
        simulation.run(40)
        found.append((records(simulation, net.populations, 0), simulation.updates().tolist()))
    assert found[0] == found[1] == found[2] and len(found[0][0][2][0]) > 400


def test_rates_between_changes_are_exact_and_free() -> None:
    """Counts and first spikes have the law of independent draws; visits are spikes and changes."""
    size, rates = 20000, [0.02, 0.0, 0.1]
    net = Network()
    source = net.add_source(size, TimeCourse([0, 30, 50], rates))
    simulation = Simulation(net, seed=4)
    simulation.record(source)
    simulation.run(70)
    counts = simulation.counts(source)
    assert not counts[30:50].any()
    for part, rate in ((slice(0, 30), 0.02), (slice(50, 70), 0.1)):
        steps = counts[part]
        chances = ((steps - size * rate) ** 2 / (size * rate * (1 - rate))).sum()
        assert 1e-3 < stats.chi2.cdf(chances, len(steps)) < 1 - 1e-3
    spikes = simulation.spikes(source)
    late = spikes.steps >= 50
    first = np.full(size, 70)
    np.minimum.at(first, spikes.neurons[late], spikes.steps[late])
    expected = size * np.append(0.1 * 0.9 ** np.arange(20), 0.9**20)
    assert stats.chisquare(np.bincount(first - 50, minlength=21), expected).pvalue > 1e-3
    assert simulation.updates()[0] == counts.sum() + 2 * size


def test_poisson_rates_of_neurons_with_units_change() -> None:
    """Potentials are the numbers of arrivals where nothing leaks; the same rate again changes no bit."""
    steps, rates, size = [10, 30, 50, 70], [0.5, 4.0, 0.0, 1.0], 3000

    def potentials(rate: float | TimeCourse) -> np.ndarray:
        net = Network(dt=0.1)
        cells = net.add_population(size, IafPscDelta(tau_m=5000.0, E_L=0.0, V_m=0.0, V_th=2000.0))
        net.add_poisson(cells, rate, 4.0)
        simulation = Simulation(net, seed=2)
        simulation.record_potential(cells, np.arange(size))
        simulation.run(90)
        return simulation.potentials(cells)

    arrivals = np.rint(np.diff(potentials(TimeCourse(steps, rates)), axis=0, prepend=0.0) / 4.0)
    expected = TimeCourse(steps, rates).values[np.searchsorted(steps, np.arange(90), side="right") - 1]
    expected[:10] = 0.0
    assert (np.abs(arrivals.mean(axis=1) - expected) <= 4.5 * np.sqrt(expected / size)).all()
    assert np.array_equal(potentials(TimeCourse([0, 31], [1.5, 1.5])), potentials(1.5))


@pytest.mark.parametrize(
    ("course", "words"),
    [
        (TimeCourse([0, 5], [1.0, 65.0]), "the Poisson rate of cells becomes 65; it must be 0, or in 1e-12 .. 64"),
        (TimeCourse([0, 5], [0.0, -1.0]), "becomes -1"),
        (TimeCourse([3], [0.0]), "stays 0"),
        (TimeCourse([3], np.ones((1, 4))), "has values for each neuron; give one for all"),
    ],
)
def test_poisson_rates_out_of_range_are_refused(course: TimeCourse, words: str) -> None:
    net = Network()
    cells = net.add_population(4, name="cells")
    with pytest.raises(InputError, match=words):
        net.add_poisson(cells, course, 0.1)


def test_a_constant_current_is_a_bias() -> None:
    def potential(bias: float, current: float) -> np.ndarray:
        net = Network()
        cells = net.add_population(5, LeakyIntegrateAndFire(bias=bias, threshold=3.0))
        net.add_current(cells, current)
        simulation = Simulation(net)
        simulation.run(20)
        return simulation.potential(cells)

    np.testing.assert_array_equal(potential(0.25, 0.5), potential(0.75, 0.0))


def test_neurons_without_a_change_are_not_woken() -> None:
    net = Network()
    cells = net.add_population(1000, Probabilistic(bias=-0.5))
    net.add_current(cells, TimeCourse([200, 201], [0.1, 0.0]), neurons=[3])
    net.add_current(cells, np.full((300, 1000), 0.1))
    simulation = Simulation(net)
    simulation.run(200)
    before = simulation.updates()[0]
    simulation.run(90)
    assert 0 < simulation.updates()[0] - before < 90


# -- Arrays and files -------------------------------------------------------------------------------------------------


def played(size: int, spikes: Spikes, steps: int) -> set[tuple[int, int]]:
    net = Network()
    source = net.add_spike_trains(size, spikes)
    simulation = Simulation(net)
    simulation.record(source)
    simulation.run(steps)
    found = simulation.spikes(source)
    return set(zip(found.neurons.tolist(), found.steps.tolist(), strict=True))


def test_spikes_by_steps_and_by_times() -> None:
    assert played(4, Spikes.at_steps([3, 0, 3], [5, 0, 2]), 6) == {(3, 5), (0, 0), (3, 2)}
    steps = np.arange(2000)
    exact = Spikes.at_times(np.zeros(2000, int), steps * 0.1, step_ms=0.1)
    assert exact.steps.tolist() == steps.tolist(), "0.30000000000000004 / 0.1 is a step, and so is 0.6 / 0.1"
    shifted = Spikes.at_times([0, 1, 2], [4.9, 5.0, 6.99], start=5.0)
    assert shifted.steps.tolist() == [0, 1] and shifted.neurons.tolist() == [1, 2]
    net = Network()
    net.add_spike_trains(2, Spikes.at_times([0, 0, 1], [3.1, 3.9, 3.5]), name="twice")
    with pytest.warns(RoundingWarning, match="1 of 3 spikes given to twice are left out"):
        Simulation(net)


def test_images_as_rates_latencies_and_currents() -> None:
    images = np.array([[[0, 255], [51, 128]], [[255, 0], [0, 0]]], np.uint8)
    course = TimeCourse.of_images(images, 10, pause=2, scale=0.5)
    assert course.steps.tolist() == [0, 10, 12, 22]
    np.testing.assert_allclose(course.values[:2], [[0, 0.5, 0.1, 64 / 255], [0, 0, 0, 0]])
    spikes = Spikes.of_latencies(images, 10, pause=2)
    expected = [(0, 1), ((255 - 128) * 10 // 255, 3), ((255 - 51) * 10 // 255, 2), (12, 0)]
    assert list(zip(spikes.steps.tolist(), spikes.neurons.tolist(), strict=True)) == expected
    assert TimeCourse.of_images(images / 255, 10).steps.tolist() == [0, 10, 20]


def test_spikes_of_files_are_those_that_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [(0, 2), (3, 1), (3, 4), (7, 0)]
    steps, neurons = np.transpose(expected)
    (tmp_path / "steps.csv").write_text("neuron, step\n" + "".join(f"{n},{t}\n" for t, n in expected) + "\n")
    (tmp_path / "times.csv").write_text("comment,time_ms,neuron\n" + "".join(f"x,{t * 0.5},{n}\n" for t, n in expected))
    with h5py.File(tmp_path / "sonata.h5", "w") as file:
        for name in ("v1", "lgn"):
            file[f"spikes/{name}/node_ids"] = neurons.astype("u8")
            file.create_dataset(f"spikes/{name}/timestamps", data=steps * 0.1, compression="gzip")
    values = {"population": [{"name": "a", "size": 5, "kind": "spikes", "record": True, "spikes": "steps.csv"}]}
    Job(make_network(values, tmp_path), tmp_path / "sim.h5").run(10)
    found = [
        read_spikes(tmp_path / "steps.csv"),
        read_spikes(tmp_path / "times.csv", step_ms=0.5),
        read_spikes(tmp_path / "sonata.h5", population="lgn", step_ms=0.1),
        read_spikes(tmp_path / "sim.h5"),
    ]
    with SimulationReader(tmp_path / "sim.h5") as reader:
        found.append(reader.spikes("a"))
    for own in found:
        assert list(zip(own.steps.tolist(), own.neurons.tolist(), strict=True)) == expected
    monkeypatch.setattr("spikesim.sparse.inputs.spike_files.PIECE", 3)
    monkeypatch.setattr("spikesim.sparse.files.sonata.PIECE", 3)
    for path in ("sim.h5", "sonata.h5"):
        assert len(read_spikes(tmp_path / path, population="a" if path == "sim.h5" else "v1").steps) == 4


FAULTY_SPIKES: list[tuple[str, str]] = [
    ("", "no column neuron"),
    ("neuron\n1\n", "column step or a column time_ms"),
    ("neuron,step,time_ms\n1,2,3\n", "and not both"),
    ("neuron,step\n1,2\n1\n", "line 3: step is missing; it must be a finite number"),
    ("neuron,step\n1,two\n", "line 2: step is 'two'"),
    ("neuron,step\n1,nan\n", "line 2: step is 'nan'"),
    ("neuron,step\n1,2.5\n", "step is 2.5 in row 1; it must be whole"),
    ("neuron,step\n-1,2\n", "neurons of spikes reach from -1.0 to -1.0"),
    ("neuron,step\n1,1e12\n", "steps of spikes reach from"),
    ("neuron,step\n9,1\n", "a has 5 neurons, numbered from 0, and is given spikes of neuron 9"),
    ("neuron,neuron,step\n9,1,1\n", "more than one column neuron"),
]


@pytest.mark.parametrize(("text", "words"), FAULTY_SPIKES)
def test_faulty_files_of_spikes_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    values = {"population": [{"name": "a", "size": 5, "kind": "spikes", "spikes": "bad.csv"}]}
    with pytest.raises(InputError) as caught:
        make_network(values, tmp_path)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.pop("spikes"), "has no group /spikes"),
        (lambda file: file["spikes/a"].pop("timestamps"), "timestamps is missing"),
        (lambda file: file["spikes"].create_group("b"), "several populations; choose one of a, b"),
        (lambda file: file["spikes/a"].move("node_ids", "gids"), "as SONATA has had them since"),
        (lambda file: file["spikes/a/timestamps"].resize((2,)), "2 rows and those beside it have 3"),
        (lambda file: file["spikes/a/node_ids"].write_direct(np.full(3, 2**40, "u8")), "reaches from 1099511627776"),
        (lambda file: file["spikes/a/timestamps"].write_direct(np.full(3, np.nan)), "not finite"),
    ],
)
def test_faulty_sonata_files_of_spikes_are_refused(change: Any, words: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["spikes/a/node_ids"] = np.arange(3, dtype="u8")
        file.create_dataset("spikes/a/timestamps", data=np.arange(3.0), maxshape=(None,))
        change(file)
    with pytest.raises(InputError) as caught:
        read_spikes(tmp_path / "bad.h5")
    assert words in str(caught.value) and "\n" not in str(caught.value)


def refused(call: Any) -> str:
    net = Network()
    cells, source = net.add_population(3, name="cells"), net.add_source(2, 0.1, name="source")
    with pytest.raises(InputError) as caught:
        call(net, cells, source)
    return str(caught.value)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, cells, source: net.add_current(source, 0.1), "source is a source; no current"),
        (lambda net, cells, source: net.add_current(cells, np.nan), "not finite"),
        (lambda net, cells, source: net.add_current(cells, 1e5), "currents into cells reach 1e+05"),
        (lambda net, cells, source: net.add_current(cells, np.ones((4, 2))), "values for 2 neurons; it must have 3"),
        (lambda net, cells, source: net.add_current(cells, 0.1, neurons=[0, 3]), "integers in 0 .. 2, each once"),
        (lambda net, cells, source: net.add_current(cells, 0.1, neurons=[1, 1]), "each once"),
        (lambda net, cells, source: net.add_source(3, TimeCourse([0], [1.5])), "rates reach from 1.5"),
        (lambda net, cells, source: net.add_source(3, TimeCourse([0], [[0.5, 0.5]])), "values for 2 neurons"),
        (lambda net, cells, source: TimeCourse([0, 0], [1, 2]), "each must be later"),
        (lambda net, cells, source: TimeCourse([0, 1.5], [1, 2]), "must be whole"),
        (lambda net, cells, source: TimeCourse([0, 1], [1]), "shape (2,) and values of shape (1,)"),
        (lambda net, cells, source: TimeCourse.of_images(np.ones((2, 2, 2)) * 300, 5), "reach from 300 to 300"),
        (lambda net, cells, source: net.add_spike_trains(3, [[1], [2]]), "they must be Spikes"),
        (lambda net, cells, source: Spikes.at_steps([1, 2], [1]), "2 neurons and 1 steps"),
        (lambda net, cells, source: Spikes.at_times([1], [1], step_ms=0), "step_ms is 0"),
        (
            lambda net, cells, source: (net.add_current(cells, 2000), net.add_current(cells, 2000), Simulation(net)),
            "biases of cells, with its currents, reach 4000",
        ),
    ],
)
def test_inputs_that_cannot_be_are_refused(call: Any, words: str) -> None:
    assert words in refused(call)
