"""A run in Python: ``spikesim.open_run("RUN.h5")`` gives arrays, and tidy tables with names and units."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.analysis.layers import LayerLearning, layer_learning
from spikesim.ep.analysis.summary import (
    EpochMetrics,
    LayerWork,
    ParameterSummary,
    PhaseSummary,
    Report,
    epoch_metrics,
    layer_work,
    make_report,
    parameter_summaries,
    summarise_phases,
)
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES, READOUT, TABLES, Column
from spikesim.errors import InputError
from spikesim.runtime.manual import manual
from spikesim.runtime.table import Table

__all__ = ["Run", "Table", "open_run"]

_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "neurons": "neurons",
        "samples": "samples",
        "train_samples": "samples",
        "test_samples": "samples",
        "steps": "steps",
        "spikes": "spikes",
        "dense_forward": "operations",
        "dense_feedback": "operations",
        "effective_acs_forward": "operations",
        "effective_acs_feedback": "operations",
        "effective_macs": "operations",
        "neuron_updates": "updates",
        "joule": "J",
        "input_ms": "ms",
        "activity_per_ms": "1/ms",
        "operations_per_ms": "operations/ms",
        "train_loss": "nats",
        "test_loss": "nats",
        "head_loss": "nats",
        "seconds": "s",
        "test_seconds": "s",
        "footprint_bytes": "B",
    }
)
"""Units of what a report computes; all else has none, "1"."""

_KINDS: Mapping[str, type] = MappingProxyType(
    {
        "layers": LayerWork,
        "epochs": EpochMetrics,
        "phases": PhaseSummary,
        "learning": LayerLearning,
        "parameters": ParameterSummary,
    }
)


class Run(RunReader):
    """A `RunReader` with tables. All of it is read when it is asked for, also from a run in progress.

    Examples
    --------
    >>> with open_run("run.h5") as run:  # doctest: +SKIP
    ...     run.batches["spikes"].shape  # (mini-batches, phases, layers)
    ...     run.table("layers").where(phase="free", layer="conv1")["activity"]
    """

    def report(self, epoch: int | None = None) -> Report:
        """All numbers of ``spikesim report``.

        Parameters
        ----------
        epoch : int, optional
            Epoch of the table by layer. Default: the last complete one.

        Raises
        ------
        InputError
            If the run has no rows of that epoch, or is damaged.
        """
        return make_report(self, epoch)

    def table(self, section: str) -> Table:
        """A section of the report as a table, of all epochs.

        Parameters
        ----------
        section : str
            ``"layers"`` (what each layer did in each phase and test), ``"epochs"``, ``"phases"``, ``"learning"`` or
            ``"parameters"``, as in ``spikesim report --format csv``.

        Returns
        -------
        Table
            The columns that ``spikesim manual run-file`` lists; NaN where something was not measured.

        Raises
        ------
        InputError
            If there is no such section, or the file is damaged.
        """
        if section not in _KINDS:
            raise InputError(f"there is no section {section!r}; choose from {', '.join(_KINDS)}")
        kind = _KINDS[section]
        with np.errstate(over="ignore", invalid="ignore"):
            return _table(kind, self._entries(kind))

    def tidy(self, path: str) -> Table:
        """A column of the file in long form: a row a number, beside the epoch, mini-batch, phase and layer it is of.

        Parameters
        ----------
        path : str
            Path of the column in the file, such as ``"batches/spikes"`` or ``"epochs/test_spikes"``.

        Returns
        -------
        Table
            The last column has the name of the column in the file, and its unit.

        Raises
        ------
        InputError
            If there is no such column, or the file is damaged.
        """
        columns = {column.path.strip("/"): (table, column) for table, own in TABLES.items() for column in own}
        if path.strip("/") not in columns:
            raise InputError(f"{self.path} has no column {path!r}; {manual('run-file')} lists them")
        table, column = columns[path.strip("/")]
        values = self._table(table)
        axes = [self._labels(symbol, size) for symbol, size in self._axes(column)]
        return _long(column, self._named(values), axes)

    def _named(self, values: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The columns of a table of the file, with names in place of the indices of phases and layers."""
        found = dict(values)
        for key, names in (("phase", list(PHASES)), ("layer", [layer.name for layer in self.layers])):
            if key in found:
                if len(found[key]) and int(found[key].max()) >= len(names):
                    raise InputError(f"{self.path} is damaged: its column {key} has {int(found[key].max())}")
                found[key] = np.array(names)[found[key]]
        return found

    def _entries(self, kind: type) -> Sequence[Any]:
        if kind is ParameterSummary:
            return parameter_summaries(self)
        batches, epochs = self.batches, self.epochs
        if kind is EpochMetrics:
            return epoch_metrics(batches, epochs)
        if kind is PhaseSummary:
            return summarise_phases(batches, self)
        if kind is LayerLearning:
            return layer_learning(batches, epochs, self.layers)
        return [
            work for epoch in np.unique(batches["epoch"]).tolist() for work in layer_work(batches, epochs, self, epoch)
        ]

    def _axes(self, column: Column) -> list[tuple[str, int]]:
        return list(zip(column.trailing, column.row_shape(len(self.layers)), strict=True))

    def _labels(self, symbol: str, size: int) -> tuple[str, NDArray[Any]]:
        """Name and values of the column that an axis of the file becomes."""
        layers = [layer.name for layer in self.layers]
        named = {"P": ("phase", list(PHASES)), "L": ("layer", layers), "L+1": ("layer", [*layers, READOUT])}
        name, labels = named.get(symbol, ("bin", list(range(size))))
        return name, np.array(labels)


def open_run(path: str | os.PathLike[str]) -> Run:
    """Open a run file, finished, in progress or left behind.

    Parameters
    ----------
    path : path-like
        The run file.

    Returns
    -------
    Run
        To be closed, or used in a ``with`` statement.

    Raises
    ------
    InputError
        If the file is missing, is not a run file, has another format version, or is damaged. Files of
        ``spikesim simulate`` are for `spikesim.open_simulation`.
    """
    return Run(path)


def _table(kind: type, entries: Sequence[Any]) -> Table:
    names = [field.name for field in dataclasses.fields(kind)]
    columns = {name: _column(kind, name, [getattr(entry, name) for entry in entries]) for name in names}
    return Table(columns, {name: _UNITS.get(name, "1") for name in names})


def _column(kind: type, name: str, values: list[Any]) -> NDArray[Any]:
    declared = next(field.type for field in dataclasses.fields(kind) if field.name == name)
    if declared is str:
        return np.array(values, dtype=np.str_)
    if declared in (int, bool):
        return np.array(values) if values else np.zeros(0, np.int64 if declared is int else np.bool_)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _long(column: Column, values: Mapping[str, NDArray[Any]], axes: list[tuple[str, NDArray[Any]]]) -> Table:
    found = values[column.name]
    rows = len(found)
    known = ("epoch", "batch", "phase", "step", "sample", "layer")
    keys = [name for name in known if name in values and name != column.name]
    shape = (rows, *(len(labels) for _, labels in axes))
    columns: dict[str, NDArray[Any]] = {}
    for key in keys:
        columns[key] = np.broadcast_to(values[key].reshape(-1, *(1 for _ in axes)), shape).ravel()
    for place, (name, labels) in enumerate(axes):
        columns[name] = np.broadcast_to(labels.reshape(-1, *(1 for _ in axes[place + 1 :])), shape).ravel()
    columns[column.name] = found.ravel()
    return Table(columns, {**dict.fromkeys(columns, "1"), column.name: column.unit})


if TYPE_CHECKING:

    def _typed(path: str) -> Table:
        with open_run(path) as run:  # a Run, not what it derives from
            return run.table("layers")
