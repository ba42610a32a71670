"""Lists of given spikes: what they hold is what a dense array would, and the simulator takes either."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import dense, everything, mixed

from spikesim.engine.spike_trains import SpikeTrains
from spikesim.errors import InputError

NEURONS = 6


SPIKES = st.tuples(st.integers(0, 4), st.integers(0, 5), st.lists(st.integers(0, 10**6), max_size=40), st.booleans())


@given(SPIKES)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_list_in_any_order_is_what_the_dense_array_is(
    case: tuple[int, int, list[int], bool],
) -> None:
    samples, steps, numbers, twice = case
    wanted = np.zeros((samples, steps, NEURONS), bool)
    chosen = np.array(numbers if wanted.size else [], np.int64) % max(1, wanted.size)
    wanted.reshape(-1)[chosen] = True
    listed = np.concatenate([chosen, chosen[::-1]]) if twice else chosen
    places = np.unravel_index(listed, wanted.shape) if wanted.size else (listed, listed, listed)
    trains = SpikeTrains.of_steps(*places, (samples, steps))
    np.testing.assert_array_equal(dense(trains, NEURONS), wanted)
    assert len(trains.neurons) == wanted.sum(), "a neuron spikes once a step"
    np.testing.assert_array_equal(dense(SpikeTrains.of_dense(wanted), NEURONS), wanted)


def test_parts_joins_and_counts() -> None:
    spikes = np.random.default_rng(0).random((5, 7, NEURONS)) < 0.4
    trains = SpikeTrains.of_dense(spikes)
    np.testing.assert_array_equal(dense(trains[1:4], NEURONS), spikes[1:4])
    np.testing.assert_array_equal(
        dense(SpikeTrains.join([trains[3:], trains[:3]]), NEURONS), np.roll(spikes, 2, axis=0)
    )
    np.testing.assert_array_equal(trains.counts(NEURONS, 2, 6), spikes[:, 2:6].sum(axis=1))
    assert trains.counts(NEURONS, 3, 3).sum() == 0


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
def test_the_simulator_takes_lists_as_it_takes_arrays(firing: str) -> None:
    """Also lists that are out of order and name a neuron twice; the mean of the input over the window is its rate."""
    (simulator, model), (other, _) = (mixed().build(3, firing, steps=8) for _ in range(2))
    (stream,) = (population for population in simulator.compiled.populations if population.spike_input)
    spikes = model.populations[stream.index].stream
    assert spikes is not None
    trains = SpikeTrains.of_dense(spikes)
    pieces, pointers = [], [0]
    for first, last in zip(trains.pointers[:, :-1].ravel(), trains.pointers[:, 1:].ravel(), strict=True):
        own = trains.neurons[first:last][::-1]
        pieces += [own, own[:2]]
        pointers.append(pointers[-1] + len(own) + len(own[:2]))
    at = np.arange(3)[:, None] * 8 + np.arange(9)
    other.set_input_spikes(stream, SpikeTrains(np.concatenate(pieces), np.array(pointers)[at]))
    simulator.run(8, window=4)
    other.run(8, window=4)
    for one, two in zip(everything(simulator), everything(other), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(simulator.rates(stream).reshape(3, -1), spikes[:, 4:].mean(axis=1))


@pytest.mark.parametrize(
    ("neurons", "pointers", "words"),
    [
        ([0, 6], [[0, 1, 2]], "neurons 0 .. 6"),
        ([-1, 3], [[0, 1, 2]], "neurons -1 .. 3"),
        ([0, 3], [[0, 2, 1]], "ascend"),
        ([0, 3], [[0, 1, 3]], "within 0 .. 2"),
        ([0, 3], [[-1, 1, 2]], "ascend"),
        ([0, 3], [0, 1, 2], "1 dimensions"),
    ],
)
def test_lists_that_no_population_can_have(neurons: list[int], pointers: list[int], words: str) -> None:
    trains = SpikeTrains(np.array(neurons, np.int32), np.array(pointers, np.int64))
    with pytest.raises(InputError, match=words):
        trains.check("input", NEURONS)


def test_spikes_of_other_samples_are_refused() -> None:
    simulator, _ = mixed().build(2, "iid")
    (stream,) = (population for population in simulator.compiled.populations if population.spike_input)
    with pytest.raises(InputError, match="3 samples, not 2"):
        simulator.set_input_spikes(stream, SpikeTrains.of_dense(np.zeros((3, 4, *stream.shape), bool)))
