"""Statistics of spike trains: beside their formulas train by train, and what is known of some processes."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from spikesim.sparse.analysis.correlations import Correlations, sampled_neurons
from spikesim.sparse.analysis.trains import CountStatistics, IntervalStatistics, Runs

NEURONS, TRIALS, STEPS, WIDTH = 30, 3, 1000, 7
BINS = STEPS // WIDTH

Found = dict[str, np.ndarray]


def pieces(spikes: np.ndarray, cuts: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Trial, step and neuron as in a file: stretches of steps, in each trial by trial, cut anywhere."""
    stretches = [spikes[:, low : low + 90] for low in range(0, spikes.shape[1], 90)]
    found = []
    for number, stretch in enumerate(stretches):
        trial, step, neuron = np.nonzero(stretch)
        found.append(np.stack([trial, step + 90 * number, neuron]))
    for part in np.split(np.concatenate(found, axis=1), cuts, axis=1):
        yield part[0], part[1], part[2]


def statistics(spikes: np.ndarray, cuts: list[int], width: int = WIDTH) -> Found:
    """All statistics of spikes, bool (trials, steps, neurons)."""
    trials, steps, neurons = spikes.shape
    bins = steps // width
    intervals, counts = IntervalStatistics(neurons, trials), CountStatistics(neurons, trials, bins)
    correlations = Correlations(neurons, sampled_neurons(neurons), trials, bins)
    for trial, step, neuron in pieces(spikes, cuts):
        runs = Runs.sort(trial * neurons + neuron, step)
        intervals.add(runs)
        counts.add(runs._replace(step=runs.step // width))
        correlations.add(trial, step // width, neuron)
    return {
        "spikes": intervals.spikes,
        "cv": intervals.variation(),
        "cv2": intervals.local_variation(),
        "fano": counts.fano(),
        "histogram": intervals.histogram,
        "correlations": correlations.coefficients(),
    }


def binned(spikes: np.ndarray, width: int) -> np.ndarray:
    """Spike counts, (trials * bins, neurons)."""
    trials, steps, neurons = spikes.shape
    return spikes[:, : steps // width * width].reshape(trials * (steps // width), width, neurons).sum(axis=1)


def by_formula(spikes: np.ndarray, width: int = WIDTH) -> Found:
    """The same as its definition says, neuron by neuron."""
    trials, _, neurons = spikes.shape
    trains = [[np.flatnonzero(spikes[trial, :, neuron]) for trial in range(trials)] for neuron in range(neurons)]
    intervals = [[np.diff(train) for train in own] for own in trains]
    joined = [np.concatenate(own) for own in intervals]
    local = [[2 * abs(b - a) / (b + a) for one in own for a, b in pairwise(one)] for own in intervals]
    counts = binned(spikes, width)
    with np.errstate(invalid="ignore"):
        fano = counts.var(axis=0) / counts.mean(axis=0)
    varying = counts[:, counts.var(axis=0) > 0]
    return {
        "spikes": np.array([sum(map(len, own)) for own in trains]),
        "cv": np.array([np.std(own) / np.mean(own) if len(own) > 1 else np.nan for own in joined]),
        "cv2": np.array([np.mean(own) if own else np.nan for own in local]),
        "fano": fano,
        "histogram": np.bincount(np.concatenate(joined)),
        "correlations": np.corrcoef(varying.T)[np.triu_indices(varying.shape[1], 1)],
    }


@pytest.fixture(scope="module")
def spikes() -> np.ndarray:
    """Neurons of rates from 0 to 0.5, one of which never fires, one once, one twice, and one as another."""
    rng = np.random.default_rng(1)
    found = rng.random((TRIALS, STEPS, NEURONS)) < np.linspace(0, 0.5, NEURONS)
    found[:, :, 1] = found[:, :, 2] = False
    found[1, 400, 1] = found[0, 10, 2] = found[0, 990, 2] = True
    found[:, :, 3] = found[:, :, 20]
    return found


@pytest.mark.parametrize("cuts", [[], [1, 2, 3, 700, 701, 4000], list(range(0, 22000, 37))], ids=len)
def test_they_are_their_formulas_however_the_spikes_are_cut(spikes, cuts) -> None:
    found, expected = statistics(spikes, cuts), by_formula(spikes)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-10, atol=1e-12, err_msg=name)
    assert np.isnan(found["cv"][:3]).all() and np.isnan(found["fano"][0]) and found["spikes"][:3].tolist() == [0, 1, 2]


def test_a_clock_has_no_variation_and_a_bernoulli_process_that_of_its_geometric_intervals() -> None:
    clocks = np.zeros((1, 20_000, 2), bool)
    clocks[0, 3::10, 0] = clocks[0, ::13, 1] = True
    found = statistics(clocks, [100], width=130)
    assert found["cv"].tolist() == found["cv2"].tolist() == found["fano"].tolist() == [0, 0]
    assert len(found["correlations"]) == 0  # their counts in bins do not vary
    p = 0.02
    process = np.random.default_rng(2).random((2, 40_000, 20)) < p
    found = statistics(process, [], width=100)
    assert found["cv"].mean() == pytest.approx((1 - p) ** 0.5, abs=0.01)
    sums = np.arange(2, 3000)  # of two intervals, of which the first may be any part
    parts = [np.mean(2 * np.abs(2 * np.arange(1, total) - total) / total) for total in sums]
    assert found["cv2"].mean() == pytest.approx(np.sum((sums - 1) * p**2 * (1 - p) ** (sums - 2) * parts), abs=0.01)
    assert found["fano"].mean() == pytest.approx(1 - p, abs=0.04)
    assert found["correlations"].mean() == pytest.approx(0, abs=0.01)


def test_a_common_source_correlates_as_it_must() -> None:
    """Each neuron has spikes of its own, with probability p, and common ones, q: both fire with q + (1 - q) p**2."""
    rng, p, q = np.random.default_rng(3), 0.03, 0.02
    common = rng.random((1, 60_000, 1)) < q
    spikes = (rng.random((1, 60_000, 12)) < p) | common
    rate = 1 - (1 - p) * (1 - q)
    expected = (q + (1 - q) * p**2 - rate**2) / (rate * (1 - rate))
    assert statistics(spikes, [])["correlations"].mean() == pytest.approx(expected, abs=0.02)


def test_a_large_population_is_sampled_and_the_same_each_time() -> None:
    sampled = sampled_neurons(5000)
    assert len(np.unique(sampled)) == 200 and sampled.max() > 4000
    assert sampled.tolist() == sampled_neurons(5000).tolist()
    assert sampled_neurons(7).tolist() == list(range(7))


def test_spikes_out_of_order_are_refused() -> None:
    statistics_ = IntervalStatistics(2, 1)
    statistics_.add(Runs.sort(np.array([0, 1]), np.array([5, 6])))
    with pytest.raises(ValueError, match="order"):
        statistics_.add(Runs.sort(np.array([0]), np.array([4])))
