"""Threads that share a trial: the same bits however many there are, and none waits for one that is gone."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from spikesim.errors import Stopped
from spikesim.jit.compilation import JIT
from spikesim.sparse import LeakyIntegrateAndFire, Network, Probabilistic, RandomSynapses, Simulation, assembly, trial
from spikesim.sparse.engine import layout as ly

pytestmark = pytest.mark.skipif(not JIT, reason="the interpreter shares no trial")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembly, "PART_SMALLEST", ly.CHUNK)
    monkeypatch.setattr(ly, "BLOCK_SMALLEST", ly.CHUNK)  # several blocks a part


def network(activity: float = 0.03) -> Network:
    """Every kind of neuron and synapse; sizes that threads divide evenly, unevenly and not at all."""
    net = Network()
    noise = net.add_source(1100, activity, name="noise")
    cells = net.add_population(2600, Probabilistic(leak=2, bias=-0.05), name="cells")
    firing = net.add_population(1541, LeakyIntegrateAndFire(leak=4, threshold=0.4, refractory=2), name="firing")
    few = net.add_population(3, Probabilistic(bias=0.2), name="few")
    net.add_poisson(firing, 0.3, 0.05)
    net.connect(noise, cells, RandomSynapses(60, 0.3, delay=(1, 4), seed=1))
    net.connect(cells, firing, RandomSynapses(20, 0.2, delay=3, seed=2))
    net.connect(firing, cells, RandomSynapses(40, -0.2, delay=(2, 9), seed=3))
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.2, (1541, 3)) * (rng.random((1541, 3)) < 0.3)
    net.connect(few, firing, sparse.csr_array(weights))
    net.connect(cells, few, RandomSynapses(1, 0.5, seed=4))
    return net


def simulated(net: Network, threads: int, trials: int = 1) -> Simulation:
    simulation = Simulation(net, seed=11, threads=threads, trials=trials)
    simulation.record(*net.populations)
    simulation.record_potential(net.populations[1], [2599, 0, 1300])
    simulation.record_potential(net.populations[2], [1540])
    return simulation


def records(simulation: Simulation, net: Network) -> list[list[Any]]:
    found: list[list[Any]] = []
    for number in range(simulation.trials):
        found.append([simulation.events(number).tolist(), simulation.updates(number).tolist()])
        for own in net.populations:
            spikes = simulation.spikes(own, number)
            found[-1] += [spikes.steps.tolist(), spikes.neurons.tolist(), simulation.counts(own, number).tolist()]
            found[-1] += [simulation.spike_counts(own, number).tolist(), simulation.potential(own, number).tolist()]
            found[-1].append(simulation.potentials(own, number).tolist())
    return found


@pytest.mark.parametrize("activity", [0.03, 0.0005])
def test_the_number_of_threads_changes_no_bit(activity: float) -> None:
    net = network(activity)
    alone = simulated(net, 1)
    alone.run(80)
    expected = records(alone, net)
    assert sum(map(len, expected[0])) > 3000
    for threads in (2, 3, 5):
        together = simulated(net, threads)
        parts = np.bincount(together._tables.parts["population"])
        assert parts.max() == len(together._trials[0].threads) == min(threads, 3) and parts[3] == 1
        together.run(33)
        together.run(47)
        assert records(together, net) == expected, threads


def test_trials_and_threads_that_share_them() -> None:
    net = network()
    alone, together = simulated(net, 1, trials=3), simulated(net, 7, trials=3)
    assert len(together._trials[0].threads) == 2
    alone.run(30)
    together.run(30)
    assert records(together, net) == records(alone, net)


def test_a_full_log_is_emptied_by_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    alone = simulated(net, 1)
    alone.run(40)
    monkeypatch.setattr(trial, "LOG_ROOM", 500)
    together = simulated(net, 3)
    together.run(40)
    assert len(together._trials[0].counts) > 2  # stretches
    assert records(together, net) == records(alone, net)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 5)])
def test_a_state_is_the_same_file_for_any_number_of_threads(tmp_path: Path, before: int, after: int) -> None:
    net = network()
    whole = simulated(net, 1)
    whole.run(40)
    whole.save(tmp_path / "one.h5")
    first = simulated(net, before)
    first.run(40)
    first.save(tmp_path / "state.h5")
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "state.h5") as other:
        assert sorted(one["trial0"]) == sorted(other["trial0"])
        for name in set(one["trial0"]) - {"ring"}:  # spikes of a slot are a set
            assert np.array_equal(one[f"trial0/{name}"], other[f"trial0/{name}"]), name
        assert np.array_equal(one["network"], other["network"])
    whole.forget_records()
    whole.run(40)
    second = simulated(net, after)
    second.restore(tmp_path / "state.h5")
    second.run(40)
    assert records(second, net) == records(whole, net)


def test_a_thread_that_fails_lets_no_other_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    together, run_steps = simulated(network(), 3), trial.run_steps
    for failing in together._trials[0].threads:

        def fail(*task: Any, parts: Any = failing.parts) -> int:
            if task[4].parts is parts:
                raise MemoryError("no room")
            return int(run_steps(*task))

        monkeypatch.setattr(trial, "run_steps", fail)
        with pytest.raises(MemoryError, match="no room"):
            together.run(10)


def test_a_stop_ends_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    together, run_steps = simulated(network(), 3), trial.run_steps

    def stop_then_run(*task: Any) -> int:
        together.stop()
        return int(run_steps(*task))

    monkeypatch.setattr(trial, "run_steps", stop_then_run)
    with pytest.raises(Stopped):
        together.run(1000)
