"""Refractory neurons: the engine against the slow reference to the bit, and the law of their rates."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import FIRINGS, Pair, assert_equal_arrays, assert_same, everything
from reference import mean_rate

from spikesim.engine.neurons import Memory
from spikesim.engine.neurons.refractory import REFRACTORY, REFRACTORY_RATE
from spikesim.engine.phase import ORDERS
from spikesim.engine.simd import fire as firing
from spikesim.engine.synapses import Conv, Dense
from spikesim.errors import InputError
from spikesim.jit.compilation import JIT
from spikesim.network import Network
from spikesim.simulator import Simulator

ONE = 2**16


def network(seed: int = 3, pool: str = "average") -> Pair:
    """Refractory neurons above and below clipped linear ones, in blocks of 16, 32 and 64 channels."""
    pair = Pair(seed)
    stream = pair.stream(6, 6, 3)
    lower = pair.population(6, 6, 17, external=True, refractory=2, leak=1, bias=(0.1, 0.9))
    middle = pair.population(3, 3, 33, bias=(0.0, 0.9))
    top = pair.population(1, 1, 65, refractory=64, nudged=True, leak=0, bias=(0.1, 0.9))
    pair.connect(stream, lower, Conv(3, 1))
    pair.connect(lower, middle, Conv(3, 1, pool=pool), tied=True)  # type: ignore[arg-type]
    pair.connect(middle, top, Dense(), tied=True)
    pair.connect(top, top, pair.sparse(top, top))
    return pair


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pool", ["average", "sampled"])
def test_a_mixed_network_equals_the_reference(firing: str, order: str, pool: str) -> None:
    """Two phases, the second from the state of the first."""
    simulator, model = network(pool=pool).build(3, firing, steps=12)
    for stream, length in ((0, 12), (5, 8)):
        simulator.run(length, window=6, stream=stream, onset=2, order=order)
        model.run(length, window=6, stream=stream, onset=2, order=order)
        assert_same(simulator, model)
    if firing != "mean-field":
        assert model.countdown[1].any() and model.countdown[3].max() > 50


@pytest.mark.parametrize("firing", FIRINGS)
def test_parts_groups_and_rest_change_no_bit(firing: str) -> None:
    simulator, _ = network().build(3, firing, steps=9)
    simulator.run(9)
    whole = everything(simulator)
    ids = simulator.state.sample_ids.copy()
    simulator.reset(ids)
    assert not any(array.any() for array in simulator.state.memory)
    for first, steps in ((0, 4), (4, 5)):
        simulator.run(steps, first=first)
    assert_equal_arrays(everything(simulator), whole)
    together, _ = network().build(3, firing, steps=9, together=2)
    together.run(9)
    assert_equal_arrays(everything(together), whole)


def driven(p: float, refractory: int, firing: str, neurons: int = 512) -> tuple[Simulator, object]:
    net = Network()
    cells = net.add_population((1, 1, neurons), leak=0, neuron="refractory", refractory=refractory)
    simulator = Simulator(net.compile(external=(cells,)), 2, firing=firing, seed=7)  # type: ignore[arg-type]
    simulator.set_external(cells, np.full(cells.shape, p))
    return simulator, cells


@pytest.mark.parametrize("refractory", [1, 3, 20, 64])
@pytest.mark.parametrize("p", [0.03, 0.4, 2.0])
def test_the_mean_rate_of_constant_drive(p: float, refractory: int) -> None:
    """A renewal process: intervals of R steps and a geometric number more."""
    simulator, cells = driven(p, refractory, "iid")
    simulator.run(400)
    simulator.run(4000, window=4000, first=400, stream=1)
    p, found = min(p, 1.0), simulator.rates(cells)
    expected, gap = p / (1 + refractory * p), refractory + 1 / p
    deviation = np.sqrt((1 - p) / p**2) / gap**1.5 / np.sqrt(4000)  # of a neuron's rate, from the spread of intervals
    assert abs(found.mean() - expected) < 4 * deviation / np.sqrt(found.size) + refractory / 4000 * expected + 2e-5
    graded, cells = driven(p, refractory, "mean-field")
    graded.run(2, window=2)
    np.testing.assert_allclose(graded.rates(cells), expected, atol=1.1 / ONE)


@pytest.mark.parametrize("firing", ["iid", "stratified"])
@pytest.mark.parametrize("refractory", [1, 5, 64])
def test_spikes_are_at_least_a_period_and_a_step_apart(firing: str, refractory: int) -> None:
    simulator, cells = driven(0.7, refractory, firing)
    last, closest = np.full((2, *cells.shape), -1000), 1000
    for t in range(200):
        simulator.run(1, first=t)
        fired = simulator.spikes(cells)
        closest = min(closest, int((t - last)[fired].min(initial=1000)))
        last[fired] = t
    assert closest == refractory + 1


def compiled(neuron: object) -> SimpleNamespace:
    def firer(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(membrane, drives, window, threshold, low_pass):  # type: ignore[no-untyped-def]
            return function(membrane, drives, window, threshold, low_pass)

        return call

    return SimpleNamespace(
        fire=[firer(build(neuron, summed=True, counted=True)) for build in (firing.vector_fire, firing.plain_fire)]
    )


@pytest.fixture(scope="module")
def both() -> dict[str, SimpleNamespace]:
    if not JIT:
        pytest.skip("vectors need the compiler")
    return {neuron.name: compiled(neuron) for neuron in (REFRACTORY, REFRACTORY_RATE)}


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    refractory=st.integers(1, 64),
    graded=st.booleans(),
    bits=st.sampled_from([4, 15, 16, 17, 26]),
    places=st.tuples(*[st.integers(0, 8)] * 3),
)
def test_plain_and_vector_twins(
    both: dict[str, SimpleNamespace], seed: int, refractory: int, graded: bool, bits: int, places: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    n, m, r = places
    v, drives, sums = rng.integers(-(2**bits), 2**bits, (3, 24)).astype(np.int32)
    random, steps = rng.integers(0, 65536, 24).astype(np.uint16), rng.integers(0, 100, 24).astype(np.uint16)
    wait = (rng.integers(0, refractory + 2, 24) * (rng.random(24) < 0.5)).astype(np.uint8)
    own, zeros = slice(n, n + 16), np.zeros(24, np.int32)
    moved = v[own].astype(np.int64) + ((drives[:16] - v[own].astype(np.int64) + 1) >> 1)
    left = np.maximum(wait[own].astype(np.int64) - 1, 0) * (not graded)
    p = mean_rate(moved.clip(0, 65535), refractory) if graded else np.where(left > 0, 0, moved.clip(0, 65535))
    fired = random[r : r + 16] < p
    for fire in both[(REFRACTORY_RATE if graded else REFRACTORY).name].fire:
        now, total, counted, memory = v.copy(), sums.copy(), steps.copy(), Memory(wait.copy())
        word = fire(
            firing.Membrane(now, n, memory, refractory),
            firing.Drives(drives, 0, 0, zeros, 0, zeros, 0)._replace(rows=np.concatenate([drives, zeros]), cell=24),
            firing.WindowSums(total, counted, m),
            firing.Threshold(random, r, np.uint16(0)),
            firing.LowPass(1, 1),
        )
        assert int(word) == int(fired @ (1 << np.arange(16)))
        follows = (moved > 0) & (moved < 65535) & (left == 0)
        changes = ((now, v, n, moved - v[own]), (total, sums, m, p), (counted, steps, m, follows))
        for array, before, at, change in changes:
            after = before.astype(np.int64)
            after[at : at + 16] += change
            np.testing.assert_array_equal(array, after)
        after = wait.astype(np.int64)
        after[own] = wait[own] if graded else np.where(fired, refractory + 1, left)
        np.testing.assert_array_equal(memory.wait, after)


@pytest.mark.parametrize(
    ("neuron", "refractory", "message"),
    [
        ("lif", 0, "neuron is 'lif'; it must be one of clipped-linear, refractory"),
        ("clipped-linear", 2, "refractory is 2; with neuron 'clipped-linear' it must be 0"),
        ("refractory", 0, r"refractory is 0; with neuron 'refractory' it must be an integer in 1 \.\. 64"),
        ("refractory", 65, "refractory is 65"),
    ],
)
def test_what_a_population_refuses(neuron: str, refractory: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Network().add_population((1, 1, 1), neuron=neuron, refractory=refractory)


def test_no_population_that_needs_it_no_array() -> None:
    net = Network()
    net.add_population((2, 2, 5))
    assert all(array.size == 0 for array in Simulator(net.compile(), 2).state.memory)
