"""A recorded simulation in Python: ``spikesim.open_simulation("SIM.h5")`` gives arrays, and tables with units."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.runtime.table import Table
from spikesim.sparse.analysis.distribution import QUANTILES, Distribution
from spikesim.sparse.analysis.plastic import LearnedEpoch, PlasticWeights
from spikesim.sparse.analysis.summary import (
    Curve,
    NeuronActivity,
    PopulationActivity,
    PotentialSummary,
    ProjectionActivity,
    SimulationReport,
    make_simulation_report,
)
from spikesim.sparse.analysis.window import Window, make_window
from spikesim.sparse.recording import SimulationReader

__all__ = ["RecordedSimulation", "flat", "open_simulation"]

KINDS = {
    "populations": PopulationActivity,
    "projections": ProjectionActivity,
    "potentials": PotentialSummary,
    "plastic": PlasticWeights,
    "learning": LearnedEpoch,
}
"""Sections with a row for each record, and these records."""
SECTIONS = (*KINDS, "neurons", "population_rates", "intervals", "weights")


class RecordedSimulation(SimulationReader):
    """A `SimulationReader` with tables. All of it is read when it is asked for, also from a simulation in progress.

    Examples
    --------
    >>> with open_simulation("sim.h5") as simulation:  # doctest: +SKIP
    ...     simulation.table("populations")["cv"]
    ...     simulation.table("neurons", simulation.window(start=200)).where(population="cells")["rate"]
    """

    def window(
        self, start: int = 0, stop: int | None = None, trial: int | None = None, bin_steps: int | None = None
    ) -> Window:
        """A part of the simulation, to be reported.

        Parameters
        ----------
        start, stop : int
            The first step, and the one before which it ends; by default all steps.
        trial : int, optional
            By default all trials.
        bin_steps : int, optional
            Width of the bins in which spikes are counted; by default 10 ms, or 10 steps.

        Raises
        ------
        InputError
            There is no such trial or step.
        """
        return make_window(self, start, stop, trial, bin_steps)

    def spike_trains(self, population: str, trial: int = 0) -> list[NDArray[np.int64]]:
        """Steps of the recorded spikes of each neuron, ascending.

        Raises
        ------
        InputError
            No such population or trial, or its spikes were not recorded.
        """
        spikes = self.spikes(population, trial)
        order = np.argsort(spikes.neurons, kind="stable")
        ends = np.searchsorted(spikes.neurons[order], np.arange(1, self.neurons(population)))
        return np.split(spikes.steps[order], ends)

    def report(self, window: Window | None = None, populations: Sequence[str] = ()) -> SimulationReport:
        """All numbers of ``spikesim report``.

        Parameters
        ----------
        window : Window, optional
            By default all steps and trials.
        populations : sequence of str
            By default all.

        Raises
        ------
        InputError
            There is no such population, or the file is damaged.
        """
        return make_simulation_report(self, window, populations)

    def table(self, section: str, window: Window | None = None) -> Table:
        """A section of the report as a table.

        Parameters
        ----------
        section : str
            ``"populations"``, ``"neurons"`` (of populations whose spikes were recorded), ``"projections"``,
            ``"potentials"``, ``"population_rates"`` (over time), ``"intervals"`` (a histogram), ``"plastic"`` (of
            projections whose weights move), ``"weights"`` (a row for each of their synapses in each trial) or
            ``"learning"`` (the epochs of a network that learns by phases).
        window : Window, optional
            By default all steps and trials.

        Returns
        -------
        Table
            NaN where something was not recorded, or a neuron has too few spikes.

        Raises
        ------
        InputError
            There is no such section, or the file is damaged.
        """
        if section not in SECTIONS:
            raise InputError(f"there is no section {section!r}; choose from {', '.join(SECTIONS)}")
        if section == "weights":
            return _weight_table(self, self.window() if window is None else window)
        report = self.report(window)
        units = {"rate": report.rate_unit, "time": report.time_unit, "interval": report.time_unit}
        if section == "neurons":
            columns = _neuron_columns(report.neurons)
        elif section in ("population_rates", "intervals"):
            names = {"population_rates": ("time", "rate"), "intervals": ("interval", "share")}[section]
            columns = _curve_columns(getattr(report, section), *names)
        else:
            rows = [dict(flat(row)) for row in getattr(report, section)]
            columns = {name: _column([row[name] for row in rows]) for name in _names(KINDS[section])}
            units |= {name: report.rate_unit for name in columns if name.startswith("rates")}
        return Table(columns, {name: units.get(name, _UNITS.get(name, "1")) for name in columns})


_UNITS = {"neurons": "neurons", "spikes": "spikes", "synapses": "synapses", "events": "events"}


def open_simulation(path: str | os.PathLike[str]) -> RecordedSimulation:
    """Open the file of a simulation, finished, in progress or left behind.

    Parameters
    ----------
    path : path-like
        What ``spikesim simulate --out`` wrote.

    Returns
    -------
    RecordedSimulation
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    InputError
        If the file is missing, is not that of a simulation, has another format version, or is damaged.
    """
    return RecordedSimulation(path)


def flat(row: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a record; a `Distribution` has one for each of its numbers, ``cv`` being the mean."""
    for field in fields(row):
        value = getattr(row, field.name)
        if Distribution in get_args(field.type):
            value = Distribution.of([]) if value is None else value
            numbers = (value.mean, value.sd, value.count, *value.quantiles)
            yield from zip(_distribution_names(field.name), numbers, strict=True)
        else:
            yield field.name, value


def _distribution_names(name: str) -> list[str]:
    return [name, f"{name}_sd", f"{name}_count", *(f"{name}_q{100 * share:02.0f}" for share in QUANTILES)]


def _names(kind: type) -> list[str]:
    """The names that `flat` has for a record of a kind."""
    found: list[str] = []
    for field in fields(kind):
        found += _distribution_names(field.name) if Distribution in get_args(field.type) else [field.name]
    return found


def _column(values: list[Any]) -> NDArray[Any]:
    if values and isinstance(values[0], str):
        return np.array(values, np.str_)
    if values and all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _weight_table(reader: RecordedSimulation, window: Window) -> Table:
    """A row for each plastic synapse in each trial; `initial` is NaN where the file does not have it."""
    columns: dict[str, list[NDArray[Any]]] = {}
    for number in reader.plastic_projections():
        initial = reader.initial_weights(number)
        for trial in window.trials:
            own = reader.synapses(number, trial)
            count = len(own.weights)
            row = {
                "projection": np.full(count, number),
                "trial": np.full(count, trial),
                "source": own.sources,
                "target": own.targets,
                "delay": own.delays,
                "initial": np.full(count, np.nan) if initial is None else initial,
                "weight": own.weights,
            }
            for name, values in row.items():
                columns.setdefault(name, []).append(values)
    names = ("projection", "trial", "source", "target", "delay", "initial", "weight")
    units = dict.fromkeys(names, "1") | {"delay": "steps"}
    return Table({name: np.concatenate(columns.get(name, [np.zeros(0)])) for name in units}, units)


def _neuron_columns(found: list[NeuronActivity]) -> dict[str, NDArray[Any]]:
    names = ("spikes", "rate", "cv", "cv2", "fano")
    return {
        "population": np.repeat([own.population for own in found], [len(own.spikes) for own in found]).astype(np.str_),
        "neuron": np.concatenate([np.zeros(0, np.int64), *(np.arange(len(own.spikes)) for own in found)]),
        **{name: np.concatenate([np.zeros(0), *(getattr(own, name) for own in found)]) for name in names},
    }


def _curve_columns(curves: list[Curve], x: str, y: str) -> dict[str, NDArray[Any]]:
    return {
        "population": np.repeat([own.population for own in curves], [len(own.x) for own in curves]).astype(np.str_),
        x: np.array([value for own in curves for value in own.x], np.float64),
        y: np.array([value for own in curves for value in own.y], np.float64),
    }
