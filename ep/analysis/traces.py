"""Phases step by step, and how the neurons of a layer differ in firing rate. Part of a report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.schema import PHASES, LayerInfo

__all__ = ["FiringRates", "TraceStep", "firing_rates", "trace_steps"]

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TraceStep:
    """A time step of a phase that was followed after an epoch, means over the samples that were followed.

    Attributes
    ----------
    epoch : int
        The epoch.
    phase : str
        The phase.
    step : int
        Step of the phase, from 1.
    hopfield : float
        Value of the energy function as the step finds it.
    residual : list of float
        By layer, in a window that ends with this step; NaN before there is a full one.
    activity : list of float
        Mean firing probability by layer after the step.
    """

    epoch: int
    phase: str
    step: int
    hopfield: float
    residual: list[float]
    activity: list[float]


@dataclass(frozen=True)
class FiringRates:
    """How the neurons of a layer are distributed by mean firing probability, in the test after an epoch.

    Attributes
    ----------
    epoch : int
        The epoch.
    layer : str
        The layer.
    shares : list of float
        Shares of the neurons of all test samples: those with probability 0, and then those in each of 32 equal
        intervals of (0, 1], the upper end of which belongs to it.
    """

    epoch: int
    layer: str
    shares: list[float]


def trace_steps(traces: Columns, epoch: int) -> list[TraceStep]:
    """Steps that were followed after an epoch, in order; none if there are none."""
    chosen = np.flatnonzero(traces["epoch"] == epoch)
    return [
        TraceStep(
            epoch=epoch,
            phase=PHASES[int(traces["phase"][row])],
            step=int(traces["step"][row]),
            hopfield=float(traces["hopfield"][row]),
            residual=[float(value) for value in traces["residual"][row]],
            activity=[float(value) for value in traces["activity"][row]],
        )
        for row in chosen
        if int(traces["phase"][row]) < len(PHASES)
    ]


def firing_rates(epochs: Columns, layers: list[LayerInfo], epoch: int) -> list[FiringRates]:
    """Distributions of an epoch's test, by layer; none without a test."""
    found: list[FiringRates] = []
    for row in np.flatnonzero(epochs["epoch"] == epoch):
        for layer, counts in zip(layers, epochs["test_rates"][row].astype(np.float64), strict=True):
            total = float(counts.sum())
            if total:
                found.append(FiringRates(epoch, layer.name, [float(count) / total for count in counts]))
    return found
