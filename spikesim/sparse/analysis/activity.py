"""What a population did in a window of a simulation, read from its file piece by piece."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import DamagedError
from spikesim.sparse.analysis.correlations import Correlations, sampled_neurons
from spikesim.sparse.analysis.trains import CountStatistics, IntervalStatistics, Runs
from spikesim.sparse.analysis.window import Window
from spikesim.sparse.recording import SimulationReader

__all__ = ["CURVE_MAX", "Potentials", "RateCurve", "Trains", "read_potentials", "read_rate", "read_trains"]

CURVE_MAX = 500
"""Points of a curve of rates; bins are joined until there are no more."""
VALUES = 1 << 20
"""Counts or potentials that are read at a time."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RateCurve:
    """Spikes of a population over time, mean of the trials.

    Attributes
    ----------
    steps : int
        Width of a point; the last one may be shorter.
    start : int64 (points,)
        First step of each point.
    per_step : float64 (points,)
        Spikes per neuron and step.
    spikes : int
        Of all neurons and trials.
    """

    steps: int
    start: NDArray[np.int64]
    per_step: Floats
    spikes: int


@dataclass(frozen=True, eq=False)
class Trains:
    """Statistics of the spike trains of a population.

    Attributes
    ----------
    spikes, intervals : int64 (neurons,)
        Of all trials.
    cv, cv2, fano : float64 (neurons,)
        NaN where a neuron has too few spikes.
    histogram : int64 (lengths,)
        Intervals of all neurons by their length in steps.
    correlations : float64 (pairs,)
        Of the pairs of `sampled` neurons that have one.
    sampled : int64 (sampled,)
    """

    spikes: NDArray[np.int64]
    intervals: NDArray[np.int64]
    cv: Floats
    cv2: Floats
    fano: Floats
    histogram: NDArray[np.int64]
    correlations: Floats
    sampled: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Potentials:
    """Recorded potentials of the neurons of a population, over all steps and trials.

    Attributes
    ----------
    neurons : tuple of int
    mean, deviation, lowest, highest : float64 (neurons,)
        The deviation is the standard deviation.
    """

    neurons: tuple[int, ...]
    mean: Floats
    deviation: Floats
    lowest: Floats
    highest: Floats


def read_rate(reader: SimulationReader, population: str, window: Window) -> RateCurve:
    """The rate of a population over time, from its counts.

    Raises
    ------
    InputError
        The file is damaged.
    """
    bins = max(1, -(-window.steps // window.bin_steps))
    width = window.bin_steps * -(-bins // CURVE_MAX)
    start = np.arange(window.start, max(window.stop, window.start + 1), width)
    sums = np.zeros(len(start), np.int64)
    rows = max(1, VALUES // reader.trials)
    for first in range(window.start, window.stop, rows):
        last = min(first + rows, window.stop)
        counts = reader.rows(population, "counts", first, last)[:, window.trials].sum(axis=1, dtype=np.int64)
        place = (np.arange(first, last) - window.start) // width
        np.add.at(sums, place, counts)
    long = np.minimum(start + width, window.stop) - start
    with np.errstate(invalid="ignore"):
        per_step = sums / (long * len(window.trials) * reader.neurons(population))
    return RateCurve(width, start, per_step, int(sums.sum()))


def read_trains(reader: SimulationReader, population: str, window: Window) -> Trains | None:
    """Statistics of the spike trains of a population; None where its spikes were not recorded.

    Raises
    ------
    InputError
        The file is damaged.
    """
    if not reader.has(population, "spikes"):
        return None
    neurons, trials = reader.neurons(population), len(window.trials)
    place = np.full(reader.trials, -1, np.int64)
    place[list(window.trials)] = np.arange(trials)
    sampled = sampled_neurons(neurons)
    intervals = IntervalStatistics(neurons, trials)
    counts = CountStatistics(neurons, trials, window.bins)
    correlations = Correlations(neurons, sampled, trials, window.bins)
    for trial, step, neuron in reader.spike_pieces(population, window.stop):
        own = place[trial]
        kept = (own >= 0) & (step >= window.start)
        own, step, neuron = own[kept], step[kept] - window.start, neuron[kept]
        runs = Runs.sort(own * neurons + neuron, step)
        try:
            intervals.add(runs)
        except ValueError as error:
            raise DamagedError(f"{reader.path} is damaged ({error}); use a copy of it") from error
        counts.add(runs._replace(step=runs.step // window.bin_steps))
        correlations.add(own, step // window.bin_steps, neuron)
    return Trains(
        spikes=intervals.spikes,
        intervals=intervals.intervals,
        cv=intervals.variation(),
        cv2=intervals.local_variation(),
        fano=counts.fano(),
        histogram=intervals.histogram,
        correlations=correlations.coefficients(),
        sampled=sampled,
    )


def read_potentials(reader: SimulationReader, population: str, window: Window) -> Potentials | None:
    """Statistics of recorded potentials; None where none were recorded.

    Raises
    ------
    InputError
        The file is damaged.
    """
    neurons = reader.potential_neurons(population)
    if not neurons:
        return None
    count = len(neurons)
    shift, sums, squares = None, np.zeros(count), np.zeros(count)
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    rows = max(1, VALUES // (reader.trials * count))
    for first in range(window.start, window.stop, rows):
        values = reader.rows(population, "potentials", first, min(first + rows, window.stop))
        values = values[:, window.trials].reshape(-1, count).astype(np.float64)
        shift = values[0] if shift is None else shift
        sums += (values - shift).sum(axis=0)
        squares += ((values - shift) ** 2).sum(axis=0)
        lowest, highest = np.minimum(lowest, values.min(axis=0)), np.maximum(highest, values.max(axis=0))
    if shift is None:
        nothing = np.full(count, math.nan)
        return Potentials(neurons, nothing, nothing, nothing, nothing)
    number = window.steps * len(window.trials)
    deviation = np.sqrt(np.maximum(squares / number - (sums / number) ** 2, 0))
    return Potentials(neurons, shift + sums / number, deviation, lowest, highest)
