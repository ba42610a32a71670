"""Plastic synapses: beside a slow reference and closed forms, and the same bits however they are computed."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import stdp_reference as ref

from spikesim.errors import InputError
from spikesim.jit.compilation import JIT
from spikesim.sparse import (
    STDP,
    AllToAll,
    EdgeList,
    FixedInDegree,
    IafCondExp,
    LeakyIntegrateAndFire,
    Network,
    OneToOne,
    Population,
    Probabilistic,
    Simulation,
    Spikes,
    Uniform,
    assembly,
)
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.network import Projection

RULES: dict[str, dict[str, Any]] = {
    "multiplicative": {"Wmax": 0.5, "lambda_": 0.05},
    "additive, axonal": {"Wmax": 0.5, "lambda_": 0.02, "alpha": 1.1, "mu_plus": 0, "mu_minus": 0, "dendritic_delay": 0},
    "between, partly dendritic": {
        "Wmax": 0.4, "Wmin": 0.1, "lambda_": 0.3, "mu_plus": 0.4, "mu_minus": 2.5, "dendritic_delay": 1,
        "tau_plus": 3.0, "tau_minus": 41.0,
    },
    "inhibition, nearest": {"Wmax": -0.2, "lambda_": 0.1, "alpha": 0.8, "mu_plus": 0, "pairing": "nearest"},
    "nearest, axonal": {"Wmax": 0.5, "lambda_": 0.1, "pairing": "nearest", "dendritic_delay": 0, "tau_minus": 7.0},
    "slow": {"Wmax": 0.5, "lambda_": 0.002, "tau_plus": 2000.0, "tau_minus": 900.0, "mu_minus": 0.5},
}  # fmt: skip


def firing(stdp: STDP, seed: int = 0) -> tuple[Network, Population, Population, Projection]:
    """Neurons whose potential is what arrives in a step, and which fire with it as their probability."""
    net = Network(seed=seed)
    source = net.add_source(12, 0.06, name="source")
    cells = net.add_population(9, Probabilistic(leak=0, bias=0.15), name="cells")
    low, high = sorted((stdp.Wmin, stdp.Wmax))
    rule = FixedInDegree(10, weight=Uniform(low, high), delay=(1, 4))
    return net, source, cells, net.connect(source, cells, rule, plasticity=stdp)


@pytest.mark.parametrize("given", RULES.values(), ids=list(RULES))
def test_weights_and_what_arrives_are_those_of_the_reference(given: dict[str, Any]) -> None:
    stdp = STDP(**given)
    net, source, cells, projection = firing(stdp)
    simulation = Simulation(net, seed=3, trials=2)
    start = simulation.synapses(projection)
    simulation.record(source, cells)
    simulation.record_potential(cells, range(9))
    steps = 400
    simulation.run(steps)
    rule = ref.Rule(
        stdp.Wmax, stdp.Wmin, stdp.tau_plus, stdp.tau_minus, stdp.lambda_, stdp.alpha, stdp.mu_plus, stdp.mu_minus,
        stdp.pairing == "nearest",
    )  # fmt: skip
    for trial in range(2):
        fired = [simulation.spikes(own, trial) for own in (source, cells)]
        pre, post = ([own.steps[own.neurons == i].tolist() for i in range(12)] for own in fired)
        expected, potentials = [], np.full((steps, 9), 0.15)
        for i, j, delay, weight in zip(*start[:4], strict=True):
            dendritic = int(delay) if stdp.dendritic_delay is None else stdp.dendritic_delay
            arrived, final = ref.weights(rule, weight, pre[i], post[j], int(delay), dendritic, steps)
            expected.append(final)
            for step, own in arrived:
                potentials[step, j] += own
        found = simulation.weights(projection, trial)
        assert np.abs(found - start.weights).max() > 0.02 * abs(stdp.Wmax)
        assert np.abs(found - expected).max() < 2e-6 * abs(stdp.Wmax)
        assert np.abs(simulation.potentials(cells, trial) - potentials).max() < 2.0**-15


def test_a_pair_moves_a_weight_by_the_window() -> None:
    """lambda exp(-dt / tau_plus) if the target is later, -alpha lambda exp(dt / tau_minus) if the source is."""
    for dendritic, delay in ((None, 3), (0, 3), (1, 1)):
        net = Network(dt=0.5)
        gaps = np.arange(-40, 41)
        source = net.add_spike_trains(81, Spikes.at_steps(np.arange(81), 100 - gaps), name="source")
        driver = net.add_spike_trains(1, Spikes.at_steps([0], [99]), name="driver")
        cells = net.add_population(81, LeakyIntegrateAndFire(threshold=0.5, width=0.0), name="cells")
        net.connect(driver, cells, AllToAll(weight=1.0))
        stdp = STDP(0.01, 0, 6.0, 9.0, 0.04, 1.5, 0, 0, dendritic_delay=dendritic)
        projection = net.connect(source, cells, OneToOne(weight=0.005, delay=delay), plasticity=stdp)
        simulation = Simulation(net)
        simulation.record(cells)
        simulation.run(160)
        assert (simulation.spikes(cells).steps == 100).all()
        own = delay if dendritic is None else dendritic
        at = (gaps + 2 * own - delay) * 0.5  # ms from the spike of the source to that of the target, at the synapse
        with np.errstate(over="ignore"):
            window = np.where(at > 0, np.exp(-at / 6), np.where(at < 0, -1.5 * np.exp(at / 9), 0))
        assert np.abs(simulation.weights(projection) - 0.005 - 0.01 * 0.04 * window).max() < 1e-10


def recurrent(order: np.ndarray | None = None) -> tuple[Network, list[Projection]]:
    """Plastic and fixed projections of every kind onto populations that threads divide."""
    net = Network(seed=4)
    noise = net.add_source(300, 0.03, name="noise")
    cells = net.add_population(1537, Probabilistic(leak=2, bias=-0.05), name="cells")
    lif = net.add_population(1541, LeakyIntegrateAndFire(leak=4, threshold=0.4, refractory=2), name="lif")
    few = net.add_population(5, IafPscLike(), name="few")
    net.add_poisson(lif, 0.3, 0.05)
    rng = np.random.default_rng(0)
    edges = [rng.integers(0, 300, 9000), rng.integers(0, 1537, 9000), rng.integers(1, 5, 9000)]
    weights = rng.random(9000) * 0.3  # the same for synapses of the same place, which have no order but that given
    weights = weights[np.unique(np.stack(edges), axis=1, return_inverse=True)[1].ravel()]
    order = np.arange(9000) if order is None else order
    listed = EdgeList(edges[0][order], edges[1][order], weight=weights[order], delay=edges[2][order])
    found = [
        net.connect(noise, cells, listed, plasticity=STDP(0.3, lambda_=0.05, mu_plus=0, mu_minus=0)),
        net.connect(cells, lif, FixedInDegree(20, weight=0.2, delay=3), plasticity=STDP(0.4, mu_plus=0.3)),
        net.connect(lif, lif, FixedInDegree(9, weight=-0.1, delay=(1, 7)), plasticity=STDP(-0.3, dendritic_delay=1)),
    ]
    net.connect(noise, cells, FixedInDegree(40, weight=0.2, delay=(1, 4)))
    net.connect(lif, cells, FixedInDegree(20, weight=-0.1, delay=2))
    found.append(net.connect(cells, few, FixedInDegree(30, weight=0.3), plasticity=STDP(2.0, dendritic_delay=0)))
    return net, found


def IafPscLike() -> LeakyIntegrateAndFire:
    """A neuron that `visiting` moves."""
    return LeakyIntegrateAndFire(tau=9.0, threshold=0.5)


def bits(simulation: Simulation, net: Network, projections: list[Projection], trial: int = 0) -> list[Any]:
    found: list[Any] = [simulation.events(trial).tolist(), simulation.updates(trial).tolist()]
    for own in net.populations:
        spikes = simulation.spikes(own, trial)
        found += [spikes.steps.tolist(), spikes.neurons.tolist(), simulation.potential(own, trial).tolist()]
    for projection in projections:
        found.append(simulation.weights(projection, trial).tolist())
        found += [own.tolist() for own in simulation.recorded_weights(projection, trial)]
    return found


def ready(net: Network, projections: list[Projection], threads: int = 1, trials: int = 1) -> Simulation:
    simulation = Simulation(net, seed=5, threads=threads, trials=trials)
    simulation.record(*net.populations)
    for projection in projections:
        simulation.record_weights(projection, every=16, synapses=[40, 0, 7])
    return simulation


def test_threads_room_and_breaks_change_no_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    net, projections = recurrent()
    alone = ready(net, projections)
    start = [alone.weights(own) for own in projections]
    alone.run(40)
    alone.save(tmp_path / "one.h5")
    alone.run(40)
    expected = bits(alone, net, projections)
    for own, before in zip(projections, start, strict=True):
        assert np.abs(alone.weights(own) - before).max() > 0.01
        assert alone.recorded_weights(own).steps.tolist() == [0, 16, 32, 48, 64, 80]
        for row, number in zip(alone.recorded_weights(own).weights[-1], [40, 0, 7], strict=True):
            assert row == alone.weights(own)[number]
    monkeypatch.setattr(assembly, "PART_SMALLEST", ly.CHUNK)
    monkeypatch.setattr(ly, "BLOCK_SMALLEST", ly.CHUNK)
    for threads, posts in ((1, 4), (2, 4), (2, 64)):
        monkeypatch.setattr(ly, "POSTS", posts)  # spikes of targets that are kept: sweeps, and no room even so
        together = ready(net, projections, threads)
        if JIT:
            assert len(together._trials[0].threads) == threads
        together.run(23)
        together.run(17)
        together.save(tmp_path / "other.h5")
        together.run(40)
        assert bits(together, net, projections) == expected, (threads, posts)
        swept = together._trials[0].state.plastic.swept
        assert (posts == 4) == bool(swept.any()), "the case that this is about"
        assert together._trials[0].state.plastic.posts.shape[1] > 4
        with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "other.h5") as other:
            for name in (f"trial0/plastic{own.index}/{part}" for own in projections for part in one["trial0/plastic0"]):
                assert np.array_equal(one[name], other[name]), name
        restored = ready(net, projections, threads)
        restored.restore(tmp_path / "one.h5")
        restored.run(40)
        alone.forget_records()
        assert bits(restored, net, projections)[:2] == expected[:2]
        for own in projections:
            assert np.array_equal(restored.weights(own), alone.weights(own))
            assert restored.recorded_weights(own).steps.tolist() == [48, 64, 80]


def test_the_order_in_which_synapses_are_given_changes_no_bit() -> None:
    net, projections = recurrent()
    expected = ready(net, projections)
    expected.run(40)
    other_net, other = recurrent(np.random.default_rng(1).permutation(9000))
    shuffled = ready(other_net, other)
    shuffled.run(40)
    assert bits(shuffled, other_net, other) == bits(expected, net, projections)
    own = shuffled.synapses(other[0])
    order = np.lexsort((own.targets, own.delays, own.sources))
    assert (order == np.arange(9000)).all()
    assert own.matrix().shape == (1537, 300) and own.matrix().nnz == 9000


def test_trials_have_weights_of_their_own_which_can_be_set() -> None:
    net, _, _, projection = firing(STDP(Wmax=0.5, lambda_=0.1))
    simulation = Simulation(net, trials=2)
    simulation.run(50)
    one, other = simulation.weights(projection, 0), simulation.weights(projection, 1)
    assert not np.array_equal(one, other)
    simulation.set_weights(projection, other, 0)
    assert np.array_equal(simulation.weights(projection, 0), simulation.weights(projection, 1))
    assert np.array_equal(simulation.weights(projection, 1), other)
    again = Network()
    before, after = again.add_source(12, 0.1), again.add_population(9, Probabilistic(leak=0))
    copied = again.connect(before, after, simulation.synapses(projection, 1).matrix(), plasticity=STDP(Wmax=0.5))
    assert np.array_equal(np.sort(Simulation(again).weights(copied)), np.sort(other))


def test_correlated_inputs_grow_and_others_shrink() -> None:
    """Additive rule, depression a little stronger (Song et al. 2000): weights go to both ends, by correlation."""
    rng = np.random.default_rng(2)
    steps, inputs = 100_000, 100
    alone = np.nonzero(rng.random((steps, inputs)) < np.repeat([0.01, 0.015], 50))
    event, neuron = np.nonzero(
        rng.random((steps // 100, 50)) < 0.5
    )  # half of the first 50, within 6 steps: all fire alike
    shared = np.sort(rng.integers(0, steps - 6, steps // 100))[event] + rng.integers(0, 6, len(event)), neuron
    at, neurons = np.unique(np.concatenate([alone, shared], axis=1), axis=1)
    net = Network()
    source = net.add_spike_trains(inputs, Spikes.at_steps(neurons, at), name="source")
    cell = net.add_population(1, LeakyIntegrateAndFire(tau=10.0, threshold=1.0, width=0.0, refractory=2), name="cell")
    stdp = STDP(Wmax=0.06, lambda_=0.02, alpha=1.2, mu_plus=0, mu_minus=0, dendritic_delay=0)
    projection = net.connect(source, cell, AllToAll(weight=0.03), plasticity=stdp)
    simulation = Simulation(net, seed=1)
    simulation.run(steps)
    own = simulation.synapses(projection)
    grown = own.weights[np.argsort(own.sources)] / 0.06
    assert grown[:50].mean() > 0.75 and grown[50:].mean() < 0.15
    assert np.mean((grown < 0.1) | (grown > 0.9)) > 0.6  # at both ends


def test_inhibition_that_has_sums_of_its_own() -> None:
    net = Network(dt=0.1)
    source = net.add_spike_trains(1, Spikes.at_steps([0], [3]), name="source")
    cells = net.add_population(2, IafCondExp(), name="cells")
    given = [net.connect(source, cells, EdgeList([0], [target], weight=w), plasticity=rule)
             for target, w, rule in ((0, 20.0, STDP(30.0)), (1, -20.0, STDP(-30.0)))]  # fmt: skip
    simulation = Simulation(net)
    simulation.run(20)
    up, down = simulation.potential(cells) + 70
    assert up > 0 > down
    assert [simulation.weights(own)[0] for own in given] == pytest.approx([20.0, -20.0], rel=1e-8)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"Wmax": 0.0}, "Wmin is 0 and Wmax 0"),
        ({"Wmax": 1.0, "Wmin": -0.5}, "Wmin is -0.5 and Wmax 1"),
        ({"Wmax": 1.0, "lambda_": 2.0}, "lambda is 2; it must be in 0 .. 1"),
        ({"Wmax": 1.0, "tau_plus": 0.0}, "tau_plus is 0; it must be above 0"),
        ({"Wmax": 1.0, "pairing": "some"}, "pairing is 'some'; it must be one of all, nearest"),
        ({"Wmax": 1.0, "alpha": 1e5}, "alpha times lambda is 1000; it must be 0 or in 1e-09 .. 1"),
    ],
)
def test_rules_that_cannot_be(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told.replace("(", r"\(")):
        STDP(**given)


def test_what_goes_with_a_rule_is_checked() -> None:
    net = Network()
    source, cells = net.add_source(3, 0.1, name="a"), net.add_population(3, name="b")
    with pytest.raises(InputError, match="plasticity is 'stdp'; it must be an STDP"):
        net.connect(source, cells, OneToOne(weight=0.1), plasticity="stdp")  # type: ignore[arg-type]
    fixed = net.connect(source, cells, OneToOne(weight=0.1))
    plastic = net.connect(source, cells, OneToOne(weight=0.1), plasticity=STDP(0.2))
    simulation = Simulation(net)
    for refused, told in (
        (lambda: simulation.weights(fixed), "a -> b has no plasticity"),
        (lambda: simulation.set_weights(plastic, [0.1, 0.1]), r"weights have shape \(2,\); a -> b has 3 synapses"),
        (lambda: simulation.set_weights(plastic, [0.1, 0.3, 0.1]), r"reach from 0.1 to 0.3; .* be in 0 .. 0.2"),
        (lambda: simulation.record_weights(plastic, every=2, synapses=[3]), "integers in 0 .. 2"),
        (lambda: simulation.recorded_weights(plastic), "weights of a -> b are not recorded"),
    ):
        with pytest.raises(InputError, match=told):
            refused()
    for rule, weight, told in (
        (STDP(0.2), 0.3, r"the weights of a -> b reach from 0.3 to 0.3; .* 0 .. 0.2 \(Wmin, Wmax\)"),
        (STDP(0.2, dendritic_delay=2), 0.1, "dendritic_delay of a -> b is 2, and it has a delay of 1"),
        (STDP(0.2, tau_plus=2e5), 0.1, "a time constant of a -> b has 200000 steps"),
        (STDP(5000.0), 0.1, "add up to"),
    ):
        own = Network()
        before, after = own.add_source(3, 0.1, name="a"), own.add_population(3, name="b")
        for _ in range(3):
            own.connect(before, after, OneToOne(weight=weight), plasticity=rule)
        with pytest.raises(InputError, match=told):
            Simulation(own)


def test_another_rule_is_another_network(tmp_path: Path) -> None:
    net, *_ = firing(STDP(Wmax=0.5))
    Simulation(net).save(tmp_path / "state.h5")
    for other in (STDP(Wmax=0.5, tau_plus=21.0), STDP(Wmax=0.5, lambda_=0.02), STDP(Wmax=0.5, dendritic_delay=0)):
        with pytest.raises(InputError, match="is the state of another network"):
            Simulation(firing(other)[0]).restore(tmp_path / "state.h5")


def test_damaged_states_are_refused(tmp_path: Path) -> None:
    net, *_ = firing(STDP(Wmax=0.5))
    simulation = Simulation(net)
    simulation.run(100)
    for name, value in (("weights", 2**30 + 1), ("last", 100), ("traces", -1), ("post_counts", 99), ("posts", 2**31)):
        simulation.save(tmp_path / "state.h5")
        with h5py.File(tmp_path / "state.h5", "r+") as file:
            file[f"trial0/plastic0/{name}"][0] = value
        with pytest.raises(InputError, match="is damaged"):
            Simulation(net).restore(tmp_path / "state.h5")
