"""The report of a simulation: one record of numbers for tables, JSON, pages and pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.sparse.analysis.activity import RateCurve, Trains, read_potentials, read_rate, read_trains
from spikesim.sparse.analysis.distribution import BARS, QUANTILES, Distribution, class_edges
from spikesim.sparse.analysis.plastic import (
    LearnedEpoch,
    PlasticWeights,
    WeightCourse,
    WeightHistogram,
    read_epochs,
    read_plastic,
)
from spikesim.sparse.analysis.trains import LONGEST
from spikesim.sparse.analysis.window import Window, make_window, potential_unit
from spikesim.sparse.recording import SimulationReader

__all__ = [
    "QUANTILES",
    "Curve",
    "Distribution",
    "NeuronActivity",
    "PopulationActivity",
    "PotentialSummary",
    "ProjectionActivity",
    "SimulationReport",
    "make_simulation_report",
]


@dataclass(frozen=True)
class PopulationActivity:
    """What a population did. All but the first fields are None where its spikes were not recorded.

    Attributes
    ----------
    population : str
    neurons, spikes : int
        The spikes are those of all trials.
    rate : float or None
        Mean rate of its neurons, in the report's unit of rates; None before the first step.
    silent : float or None
        Share of the neurons without a spike.
    rates : Distribution or None
        Of the mean rates of its neurons.
    cv, cv2, fano : Distribution or None
        Over its neurons: coefficients of variation of inter-spike intervals (of neurons with two intervals), local
        variation (of those with two consecutive ones), Fano factors of the spike counts in bins.
    correlation : Distribution or None
        Over pairs of neurons: correlation coefficients of their spike counts in bins.
    sampled : int or None
        Neurons of which all pairs were looked at.
    """

    population: str
    neurons: int
    spikes: int
    rate: float | None
    silent: float | None = None
    rates: Distribution | None = None
    cv: Distribution | None = None
    cv2: Distribution | None = None
    fano: Distribution | None = None
    correlation: Distribution | None = None
    sampled: int | None = None


@dataclass(frozen=True, eq=False)
class NeuronActivity:
    """What each neuron of a population did: arrays (neurons,), with NaN where it has too few spikes."""

    population: str
    spikes: NDArray[np.int64]
    rate: NDArray[np.float64]
    cv: NDArray[np.float64]
    cv2: NDArray[np.float64]
    fano: NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Numbers of a population over time, or a histogram.

    Attributes
    ----------
    population : str
    x : list of float
        Middles of the intervals of time, or of the classes.
    y : list of float
        Rates, or the share of all that is in the class.
    width : float
        Of an interval or a class.
    beyond : float
        Share that is above the last class.
    """

    population: str
    x: list[float]
    y: list[float]
    width: float
    beyond: float = 0.0


@dataclass(frozen=True)
class PotentialSummary:
    """Recorded potentials of a neuron: mean, standard deviation, lowest and highest over steps and trials.

    The `unit` is that of the network's description, None where it says none.
    """

    population: str
    neuron: int
    unit: str | None
    mean: float
    sd: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class ProjectionActivity:
    """Synaptic events of a projection in all steps of the file.

    Attributes
    ----------
    source, target : str
    synapses, events : int
        The events are those of the trials of the window.
    rate : float or None
        Events per synapse, in the report's unit of rates.
    """

    source: str
    target: str
    synapses: int
    events: int
    rate: float | None


@dataclass(frozen=True)
class SimulationReport:
    """All numbers of ``spikesim report`` for a simulation.

    Attributes
    ----------
    window : Window
    time_unit, rate_unit : str
        ``"ms"`` and ``"Hz"``, or ``"steps"`` and ``"spikes per step"`` where a step has no duration.
    populations : list of PopulationActivity
    projections : list of ProjectionActivity
    potentials : list of PotentialSummary
    population_rates : list of Curve
        Over time.
    rates, intervals, variations, correlations : list of Curve
        Histograms: neurons by rate, intervals by length, neurons by CV, pairs by correlation.
    plastic : list of PlasticWeights
        Of projections whose weights move.
    weights : list of WeightHistogram
        At the start and at the end.
    mean_weights : list of WeightCourse
        Over time, where they were recorded.
    learning : list of LearnedEpoch
        Of a network that learns by phases.
    neurons : list of NeuronActivity
    """

    window: Window
    time_unit: str
    rate_unit: str
    populations: list[PopulationActivity]
    projections: list[ProjectionActivity]
    potentials: list[PotentialSummary]
    population_rates: list[Curve]
    rates: list[Curve]
    intervals: list[Curve]
    variations: list[Curve]
    correlations: list[Curve]
    plastic: list[PlasticWeights]
    weights: list[WeightHistogram]
    mean_weights: list[WeightCourse]
    learning: list[LearnedEpoch]
    neurons: list[NeuronActivity]


def make_simulation_report(
    reader: SimulationReader, window: Window | None = None, populations: Sequence[str] = ()
) -> SimulationReport:
    """The numbers of a simulation.

    Parameters
    ----------
    reader : SimulationReader
    window : Window, optional
        By default all steps and trials.
    populations : sequence of str
        By default all.

    Raises
    ------
    InputError
        There is no such population, or the file is damaged.
    """
    window = make_window(reader) if window is None else window
    unknown = [name for name in populations if name not in reader.populations]
    if unknown:
        raise InputError(f"{reader.path} has no population {unknown[0]!r}; it has {', '.join(reader.populations)}")
    names = [name for name in reader.populations if name in populations or not populations]
    curves = {name: read_rate(reader, name, window) for name in names}
    trains = {name: found for name in names if (found := read_trains(reader, name, window)) is not None}
    sizes = {name: reader.neurons(name) for name in names}
    plastic = list(read_plastic(reader, names, window))
    return SimulationReport(
        window=window,
        time_unit=window.time_unit,
        rate_unit=window.rate_unit,
        populations=[_activity(name, sizes[name], curves[name], trains.get(name), window) for name in names],
        projections=_projections(reader, names, window),
        potentials=[own for name in names for own in _potentials(reader, name, window)],
        population_rates=[_over_time(name, curves[name], window) for name in names],
        rates=_rate_histograms(trains, window),
        intervals=_interval_histograms(trains, window),
        variations=_histograms({name: own.cv for name, own in trains.items()}, 0.0),
        correlations=_histograms({name: own.correlations for name, own in trains.items()}, None),
        plastic=[own for own, _, _ in plastic],
        weights=[own for _, own, _ in plastic],
        mean_weights=[own for _, _, own in plastic if own is not None],
        learning=read_epochs(reader),
        neurons=[
            NeuronActivity(name, own.spikes, _rates(own, window), own.cv, own.cv2, own.fano)
            for name, own in trains.items()
        ],
    )


def _activity(name: str, neurons: int, curve: RateCurve, trains: Trains | None, window: Window) -> PopulationActivity:
    chances = neurons * window.steps * len(window.trials)
    rate = window.rate(curve.spikes / chances) if chances else None
    if trains is None or not chances:
        return PopulationActivity(name, neurons, curve.spikes, rate)
    return PopulationActivity(
        name,
        neurons,
        curve.spikes,
        rate,
        silent=float(np.mean(trains.spikes == 0)),
        rates=Distribution.of(_rates(trains, window)),
        cv=Distribution.of(trains.cv),
        cv2=Distribution.of(trains.cv2),
        fano=Distribution.of(trains.fano),
        correlation=Distribution.of(trains.correlations),
        sampled=len(trains.sampled),
    )


def _rates(trains: Trains, window: Window) -> NDArray[np.float64]:
    """The rate of each neuron."""
    chances = window.steps * len(window.trials)
    return trains.spikes * np.float64(window.rate(1 / chances) if chances else math.nan)


def _projections(reader: SimulationReader, names: list[str], window: Window) -> list[ProjectionActivity]:
    """Those that end or begin at one of the populations."""
    trial = window.trials[0] if len(window.trials) < reader.trials else None
    found = []
    for own in reader.projections(trial):
        if own.source in names or own.target in names:
            chances = own.synapses * reader.steps * len(window.trials)
            rate = window.rate(own.events / chances) if chances else None
            found.append(ProjectionActivity(own.source, own.target, own.synapses, own.events, rate))
    return found


def _potentials(reader: SimulationReader, name: str, window: Window) -> list[PotentialSummary]:
    found = read_potentials(reader, name, window) if window.steps else None
    if found is None:
        return []
    columns = zip(found.neurons, found.mean, found.deviation, found.lowest, found.highest, strict=True)
    unit = potential_unit(reader, name)
    return [PotentialSummary(name, neuron, unit, *map(float, numbers)) for neuron, *numbers in columns]


def _over_time(name: str, curve: RateCurve, window: Window) -> Curve:
    ends = np.minimum(curve.start + curve.steps, window.stop)
    middles = [window.time(step) for step in ((curve.start + ends) / 2).tolist()]
    rates = [window.rate(value) for value in curve.per_step.tolist()]
    return Curve(name, middles, rates, window.time(curve.steps)) if window.steps else Curve(name, [], [], 0.0)


def _rate_histograms(trains: dict[str, Trains], window: Window) -> list[Curve]:
    """Neurons by rate. A class has whole numbers of spikes, the same ones for all populations."""
    most = max((int(own.spikes.max()) for own in trains.values()), default=0)
    if not most:
        return []
    width = -(-(most + 1) // BARS)
    unit = window.rate(1 / (window.steps * len(window.trials)))
    return [
        _whole_classes(name, np.bincount(own.spikes), 0, width, -(-(most + 1) // width), unit)
        for name, own in trains.items()
    ]


def _interval_histograms(trains: dict[str, Trains], window: Window) -> list[Curve]:
    """Intervals by length, up to the longest 99 % quantile of a population."""
    ends = []
    for own in trains.values():
        total = own.histogram.sum()
        if total:
            ends.append(int(np.searchsorted(np.cumsum(own.histogram), 0.99 * total)))
    if not ends:
        return []
    longest = min(max(ends), LONGEST - 1)
    width = -(-longest // BARS)
    return [
        _whole_classes(name, own.histogram, 1, width, -(-longest // width), window.time(1))
        for name, own in trains.items()
        if own.histogram.sum()
    ]


def _whole_classes(name: str, counts: NDArray[np.int64], first: int, width: int, classes: int, unit: float) -> Curve:
    """A histogram of whole numbers from `first` on, in classes of `width` of them."""
    end = first + width * classes
    padded = np.zeros(max(end, len(counts)), np.int64)
    padded[: len(counts)] = counts
    total = int(padded[first:].sum())
    shares = padded[first:end].reshape(classes, width).sum(axis=1) / total
    middles = (first + width * np.arange(classes) + (width - 1) / 2) * unit
    return Curve(name, middles.tolist(), shares.tolist(), width * unit, float(padded[end:].sum() / total))


def _histograms(values: dict[str, NDArray[np.float64]], low: float | None) -> list[Curve]:
    """Histograms in the same classes for all, from a fixed lowest value or that of the values."""
    found = {name: own[np.isfinite(own)] for name, own in values.items()}
    found = {name: own for name, own in found.items() if len(own)}
    if not found:
        return []
    edges = class_edges(np.concatenate(list(found.values())), low)
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    width = float(edges[1] - edges[0])
    return [
        Curve(name, middles, (np.histogram(own, edges)[0] / len(own)).tolist(), width) for name, own in found.items()
    ]
