"""Equilibrium propagation in recurrent networks: that of mean rates, symmetry, bits, a task that is learned."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from spikesim.errors import InputError
from spikesim.sparse import Contrastive, IafCondExp, LeakyIntegrateAndFire, Network, OneToOne, Probabilistic, Simulation
from spikesim.sparse.learning import EquilibriumPropagation, Phases

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "recurrent_ep.py"
HIDDEN = 7


def small(samples: int, phases: Phases, threads: int = 1) -> tuple[EquilibriumPropagation, list[np.ndarray]]:
    """A recurrent network with symmetric weights, and these: inputs to hidden, hidden to hidden, hidden to outputs."""
    rng = np.random.default_rng(0)
    net = Network()
    inputs = net.add_source(5, 0.0, name="inputs")
    hidden = net.add_population(HIDDEN, Probabilistic(leak=3, bias=0.3), name="hidden")
    outputs = net.add_population(2, Probabilistic(leak=3, bias=0.3), name="outputs")
    among = np.triu(rng.normal(0, 0.15, (HIDDEN, HIDDEN)), 1)
    weights = [rng.normal(0, 0.2, (HIDDEN, 5)), among + among.T, rng.normal(0, 0.2, (2, HIDDEN))]
    for source, target, own in (
        (inputs, hidden, weights[0]),
        (hidden, hidden, weights[1]),
        (hidden, outputs, weights[2]),
        (outputs, hidden, weights[2].T.copy()),
    ):
        net.connect(source, target, own, plasticity=Contrastive(limit=1.0))
    return EquilibriumPropagation(net, inputs, outputs, samples=samples, phases=phases, threads=threads), weights


def mean_rates(weights: list[np.ndarray], inputs: np.ndarray, nudge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the rates of hidden and output neurons settle without noise."""
    hidden, output = np.zeros(HIDDEN), np.zeros(2)
    for _ in range(500):
        drives = (
            0.3 + weights[0] @ inputs + weights[1] @ hidden + weights[2].T @ output,
            0.3 + weights[2] @ hidden + nudge,
        )
        hidden, output = (
            own + 0.2 * (np.clip(drive, 0, 1) - own) for own, drive in zip((hidden, output), drives, strict=True)
        )
    return hidden, output


@pytest.mark.parametrize("nudging", ["centered", "one-sided"])
def test_the_contrast_is_that_of_mean_rates(nudging: str) -> None:
    beta, samples = 0.4, 3
    learner, weights = small(samples, Phases(free=4000, nudged=6000, window=3900, beta=beta, nudging=nudging))
    rng = np.random.default_rng(1)
    inputs, targets = rng.random((samples, 5)), rng.random((samples, 2))
    found = learner.contrast(inputs, targets)
    expected = [np.zeros_like(own) for own in weights]
    error = 0.0
    for given, wanted in zip(inputs, targets, strict=True):
        missing = wanted - mean_rates(weights, given, np.zeros(2))[1]
        error += float(np.mean(missing**2)) / samples
        signs = (1, -1) if nudging == "centered" else (1, 0)
        for sign, side in zip(signs, (1, -1), strict=True):
            hidden, output = mean_rates(weights, given, sign * beta * missing)
            scale = side / ((signs[0] - signs[1]) * beta * samples)
            for own, pair in zip(expected, ((hidden, given), (hidden, hidden), (output, hidden)), strict=True):
                own += scale * np.outer(*pair)
    assert found.error == pytest.approx(error, rel=0.2)
    for number, own in enumerate(expected):
        synapses = learner.weights(number)
        wanted = own[synapses.targets, synapses.sources]
        assert np.corrcoef(found.weights[number], wanted)[0, 1] > 0.9
        assert np.linalg.norm(found.weights[number]) == pytest.approx(np.linalg.norm(wanted), rel=0.35)


def test_symmetric_weights_stay_so_and_threads_change_no_bit() -> None:
    phases, rng = Phases(free=30, nudged=20, window=15), np.random.default_rng(2)
    given = [(rng.random((4, 5)), rng.random((4, 2))) for _ in range(3)]
    found = []
    for threads in (1, 3):
        learner, before = small(4, phases, threads)
        for inputs, targets in given:
            learner.learn(inputs, targets, rate=0.5)
        matrices = [learner.weights(number).matrix().toarray() for number in range(4)]
        assert np.array_equal(matrices[1], matrices[1].T) and np.array_equal(matrices[2], matrices[3].T)
        assert all((own != start).any() for own, start in zip(matrices, before, strict=False))
        assert max(np.abs(own).max() for own in matrices) <= 1.0
        found.append([own.tolist() for own in (*matrices, *learner.biases.values())])
    assert found[0] == found[1]


def test_feedback_of_its_own_is_learned_with_a_decay() -> None:
    net, rng = Network(), np.random.default_rng(3)
    inputs = net.add_source(4, 0.0)
    hidden = net.add_population(6, LeakyIntegrateAndFire(leak=3, threshold=0.4, bias=0.3))
    outputs = net.add_population(2, Probabilistic(bias=0.3))
    net.connect(inputs, hidden, rng.normal(0, 0.3, (6, 4)), plasticity=Contrastive(1.0))
    there = net.connect(hidden, outputs, rng.normal(0, 0.3, (2, 6)), plasticity=Contrastive(1.0))
    back = net.connect(outputs, hidden, rng.normal(0, 0.3, (6, 2)), plasticity=Contrastive(1.0))
    learner = EquilibriumPropagation(net, inputs, outputs, samples=2, phases=Phases(free=20, nudged=20, window=15))

    def apart() -> float:
        forward, backward = (learner.weights(own.index).matrix() for own in (there, back))
        return float(np.abs(forward.toarray() - backward.toarray().T).max())

    before = apart()
    for _ in range(20):
        learner.learn(rng.random((2, 4)), rng.random((2, 2)), rate=0.05, decay=0.1)
    assert apart() == pytest.approx(before * 0.9**20, rel=1e-6)


def test_the_example_learns() -> None:
    own = runpy.run_path(str(EXAMPLE))
    rng = np.random.default_rng(0)
    learner = own["build"](rng, 16, 0, 1)
    for _ in range(90):
        inputs, targets, _ = own["draw"](rng, 16)
        learner.learn(inputs, targets, rate=0.1)
    right = []
    for _ in range(3):
        inputs, _, answers = own["draw"](rng, 16)
        right += (own["decide"](learner.rates(inputs)) == answers).tolist()
    assert np.mean(right) > 0.85  # by chance 0.5, of 48


def test_a_snapshot_goes_back_to_the_same_bits_with_other_inputs_or_the_same() -> None:
    net = Network()
    source = net.add_source(20, 0.1, name="source")
    cells = net.add_population(20, Probabilistic(leak=2), name="cells")
    net.connect(source, cells, OneToOne(weight=0.5, delay=3))
    simulation = Simulation(net, trials=2)
    simulation.record(source, cells)
    simulation.run(10)
    start = simulation.snapshot()
    found = []
    for current in (0.0, 0.4, 0.0):
        simulation.rewind(start)
        simulation.set_input(cells, current, 1)
        assert simulation.step == 10
        simulation.run(50)
        found.append([simulation.spikes(own, trial).neurons.tolist() for trial in (0, 1) for own in (source, cells)])
    assert found[0] == found[2] and found[0][:3] == found[1][:3] and len(found[1][3]) > len(found[0][3])
    simulation.set_input(source, np.repeat([0.0, 1.0], 10))
    simulation.forget_records()
    simulation.run(5)
    assert simulation.spikes(source).neurons.tolist() == 5 * list(range(10, 20))


def test_a_state_has_what_was_learned_and_the_inputs_that_were_set(tmp_path: Path) -> None:
    rng, phases = np.random.default_rng(4), Phases(free=15, nudged=10, window=8)
    given = [(rng.random((2, 5)), rng.random((2, 2))) for _ in range(4)]
    whole, first, second = (small(2, phases)[0] for _ in range(3))
    errors = [whole.learn(*own, rate=0.5) for own in given]
    found = [first.learn(*own, rate=0.5) for own in given[:2]]
    first.save(tmp_path / "state.h5", {"number": np.array([2.0])})
    assert second.restore(tmp_path / "state.h5")["number"] == 2
    assert [*found, *(second.learn(*own, rate=0.5) for own in given[2:])] == errors
    assert all((second.biases[index] == own).all() for index, own in whole.biases.items())
    for number in range(4):
        assert (second.weights(number).weights == whole.weights(number).weights).all()


def test_what_cannot_learn_is_refused() -> None:
    net = Network(dt=0.1)
    source, cells = net.add_source(3, 0.1, name="a"), net.add_population(3, name="b")
    conducting = net.add_population(3, IafCondExp(), name="c")
    net.add_current(conducting, [0.1, 0.2])
    net.connect(source, cells, OneToOne(weight=0.1))
    with pytest.raises(InputError, match="no projection learns"):
        EquilibriumPropagation(net, source, cells)
    with pytest.raises(InputError, match="c has a variable for excitation and another for inhibition"):
        net.connect(source, conducting, OneToOne(weight=0.1), plasticity=Contrastive(1.0))
    net.connect(source, cells, OneToOne(weight=0.1), plasticity=Contrastive(1.0))
    with pytest.raises(InputError, match="a cannot be nudged"):
        EquilibriumPropagation(net, source, source)
    with pytest.raises(InputError, match="limit of Contrastive is 0"):
        Contrastive(0.0)
    with pytest.raises(InputError, match="free, with a window of 20, is 10; it must be at least 20"):
        Phases(free=10, window=20)
    simulation = Simulation(net)
    with pytest.raises(InputError, match="c has an input that is fixed in advance"):
        simulation.set_input(conducting, 1.0)
    with pytest.raises(InputError, match=r"rates reach from 2 to 2; they must be in 0 .. 1"):
        simulation.set_input(source, 2.0)
