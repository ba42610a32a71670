"""Plastic weights of a simulation at the start, at the end and in between, and what a network has learned by phases."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.sparse.analysis.distribution import Distribution, class_edges
from spikesim.sparse.analysis.window import Window
from spikesim.sparse.recording import LEARNING_COLUMNS, SimulationReader

CONTRASTIVE = "contrastive"
"""The rule that learning by phases moves."""

__all__ = [
    "CONTRASTIVE",
    "LearnedEpoch",
    "PlasticWeights",
    "WeightCourse",
    "WeightHistogram",
    "final_weights",
    "plastic_rule",
    "read_epochs",
    "read_plastic",
]


@dataclass(frozen=True)
class PlasticWeights:
    """Weights of a projection with a plasticity, over its synapses and the trials that are reported.

    Attributes
    ----------
    projection : int
        Its number.
    source, target : str
    rule, unit : str or None
        As the description of the network says.
    synapses, step : int
        The weights are those after so many steps.
    initial : Distribution or None
        Before the first step; None: not in the file.
    weights : Distribution or None
    """

    projection: int
    source: str
    target: str
    rule: str | None
    unit: str | None
    synapses: int
    step: int
    initial: Distribution | None
    weights: Distribution | None


@dataclass(frozen=True)
class WeightHistogram:
    """Synapses of a projection by weight.

    Attributes
    ----------
    projection : int
    name : str
    x : list of float
        Middles of the classes.
    initial, weights : list of float
        Shares of the synapses before the first step, if that is known, and at the end.
    width : float
        Of a class.
    """

    projection: int
    name: str
    x: list[float]
    initial: list[float] | None
    weights: list[float]
    width: float


@dataclass(frozen=True)
class WeightCourse:
    """Recorded weights of a projection over time.

    Attributes
    ----------
    projection : int
    name : str
    synapses : int
        That were recorded.
    x : list of float
        Times, in the report's unit.
    mean, sd : list of float
        Over these synapses and the trials that are reported.
    """

    projection: int
    name: str
    synapses: int
    x: list[float]
    mean: list[float]
    sd: list[float]


@dataclass(frozen=True)
class LearnedEpoch:
    """An epoch of learning by phases, from 1: mean squared errors of the outputs, and shares of right answers."""

    epoch: int
    train_error: float | None
    train_accuracy: float | None
    test_error: float | None
    test_accuracy: float | None


def plastic_rule(reader: SimulationReader, projection: int) -> str | None:
    """The rule of a projection, as the description of the network says."""
    found: Any = reader.network.get("projection", [])
    found = found[projection].get("plasticity") if projection < len(found) else None
    rule = found.get("rule") if isinstance(found, dict) else None
    return rule if isinstance(rule, str) else None


def final_weights(reader: SimulationReader, projection: int, trials: Sequence[int]) -> NDArray[np.float64]:
    """Weights at the end, float64 (trials, synapses)."""
    return np.stack([reader.weights(projection, trial) for trial in trials])


def read_plastic(
    reader: SimulationReader, names: Sequence[str], window: Window
) -> Iterator[tuple[PlasticWeights, WeightHistogram, WeightCourse | None]]:
    """Each projection with a plasticity that ends or begins at one of some populations.

    Raises
    ------
    InputError
        The file is damaged.
    """
    projections = reader.projections()
    for number in reader.plastic_projections():
        own = projections[number]
        if own.source in names or own.target in names:
            name = f"{number}: {own.source} -> {own.target}"
            initial, weights = reader.initial_weights(number), final_weights(reader, number, window.trials)
            summary = PlasticWeights(
                number,
                own.source,
                own.target,
                plastic_rule(reader, number),
                _unit(reader, own.target),
                own.synapses,
                reader.weights_step(number),
                None if initial is None else Distribution.of(initial),
                Distribution.of(weights),
            )
            yield summary, _histogram(number, name, initial, weights), _course(reader, number, name, window)


def _unit(reader: SimulationReader, target: str) -> str | None:
    found: Any = reader.network
    for key in ("units", "populations", target, "weight"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def _histogram(
    number: int, name: str, initial: NDArray[np.float64] | None, weights: NDArray[np.float64]
) -> WeightHistogram:
    both = np.concatenate([np.zeros(0) if initial is None else initial, weights.reshape(-1)])
    if not both.size:
        return WeightHistogram(number, name, [], None, [], 0.0)
    edges = class_edges(both)

    def shares(values: NDArray[np.float64]) -> list[float]:
        return (np.histogram(values, edges)[0] / max(1, values.size)).tolist()  # type: ignore[no-any-return]

    middles = ((edges[1:] + edges[:-1]) / 2).tolist()
    start = None if initial is None else shares(initial)
    return WeightHistogram(number, name, middles, start, shares(weights), float(edges[1] - edges[0]))


def _course(reader: SimulationReader, number: int, name: str, window: Window) -> WeightCourse | None:
    rows = reader.weight_rows(number, reader.steps)
    if not rows:
        return None
    kept = (rows["step"] >= window.start) & (rows["step"] <= window.stop)
    weights = rows["weights"][kept][:, list(window.trials)].astype(np.float64)
    if not weights.size:
        return None
    times = [window.time(step) for step in rows["step"][kept].tolist()]
    mean, sd = weights.mean(axis=(1, 2)).tolist(), weights.std(axis=(1, 2)).tolist()
    return WeightCourse(number, name, weights.shape[2], times, mean, sd)


def read_epochs(reader: SimulationReader) -> list[LearnedEpoch]:
    """The epochs of a network that learns by phases; none of another one."""
    found = reader.learning()
    if found is None:
        return []
    rows = zip(*(found.epochs[name].tolist() for name in LEARNING_COLUMNS), strict=True)
    return [
        LearnedEpoch(number, *(None if math.isnan(value) else value for value in row))
        for number, row in enumerate(rows, 1)
    ]
