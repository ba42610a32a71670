"""The report of a simulation as one JSON object: what ``--format json`` prints, and what a page shows and embeds."""

import dataclasses
from typing import Any

from spikesim.io.formats import finite
from spikesim.runtime.text import counted
from spikesim.sparse.analysis.summary import SimulationReport
from spikesim.sparse.analysis.window import Window
from spikesim.sparse.recording import SimulationReader

__all__ = ["simulation_document", "simulation_words", "window_words"]


def simulation_document(reader: SimulationReader, report: SimulationReport) -> dict[str, Any]:
    """A simulation and its numbers as plain values.

    Parameters
    ----------
    reader : SimulationReader
    report : SimulationReport
        What `make_simulation_report` says of it.

    Returns
    -------
    dict
        Values that JSON has, without the numbers of single neurons. None stands for what has no value.
    """
    head = {
        "status": reader.status,
        "steps": reader.steps,
        "trials": reader.trials,
        "dt": report.window.dt,
        "seed": reader.seed,
        "created": reader.created,
        "spikesim_version": reader.spikesim_version,
    }
    numbers = {
        field.name: _plain(getattr(report, field.name))
        for field in dataclasses.fields(report)
        if field.name != "neurons"
    }
    found: dict[str, Any] = finite({"simulation": head, **numbers})
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [dataclasses.asdict(one) for one in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def simulation_words(reader: SimulationReader, dt: float | None) -> str:
    """How far the simulation is."""
    long = "" if dt is None else f" of {dt:g} ms"
    return f"{reader.status}, {counted(reader.steps, 'step')}{long}, {counted(reader.trials, 'trial')}"


def window_words(reader: SimulationReader, window: Window) -> str:
    """Which steps and trials are reported, and the width of the bins."""
    every = window.steps == reader.steps
    steps = "all steps" if every else f"steps {window.start} to {window.stop - 1}"
    one = len(window.trials) < reader.trials
    trials = f", trial {window.trials[0]}" if one else ", all trials" if reader.trials > 1 else ""
    long = "" if window.dt is None else f" ({window.time(window.bin_steps):g} ms)"
    return f"{steps}{trials}; bins of {counted(window.bin_steps, 'step')}{long}"
