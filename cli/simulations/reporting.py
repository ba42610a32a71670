"""``spikesim report`` for files of ``spikesim simulate``: one simulation, or several in one table."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import echo_csv
from spikesim.cli.selections import given_options
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.reports.writing import Outputs
    from spikesim.sparse.analysis.recorded import RecordedSimulation
    from spikesim.sparse.analysis.summary import SimulationReport
    from spikesim.sparse.analysis.window import Window

__all__ = ["SimulationOptions", "are_simulations", "report_simulations"]


@dataclass(frozen=True)
class SimulationOptions:
    """What of a simulation is reported; None, or nothing, for all."""

    populations: tuple[str, ...]
    start: str | None
    stop: str | None
    trial: int | None
    bins: str | None

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        values = {
            "--population": self.populations,
            "--from": self.start,
            "--to": self.stop,
            "--trial": self.trial,
            "--bin": self.bins,
        }
        return given_options(values)


def are_simulations(paths: Sequence[Path]) -> bool:
    """Whether files are simulations, and not runs.

    Raises
    ------
    InputError
        Some are and some are not.
    """
    from spikesim.ep.runs.reader import stored_format
    from spikesim.io.formats import SIMULATION_MAGIC

    found = [stored_format(path) == SIMULATION_MAGIC for path in paths]
    if any(found) and not all(found):
        one, other = paths[found.index(True)], paths[found.index(False)]
        raise InputError(f"{one} is a simulation and {other} is not; report them separately")
    return any(found)


def report_simulations(
    paths: Sequence[Path],
    chosen: SimulationOptions,
    neurons: dict[str, tuple[int, ...]],
    outputs: "Outputs",
    style: str | None,
) -> None:
    """Show simulations.

    Parameters
    ----------
    paths : sequence of Path
    chosen : SimulationOptions
    neurons : dict of str to tuple of int
        Whose spikes are drawn, by population.
    outputs : Outputs
        Where page and pictures go.
    style : str or None
        ``"table"``, ``"json"``, ``"csv"``, or nothing.
    """
    from spikesim.sparse.analysis.recorded import open_simulation

    if len(paths) > 1 and outputs.wanted:
        raise InputError("--html and --plot apply to a single simulation; leave them out, or give one SIM.h5")
    with ExitStack() as opened:
        readers = [opened.enter_context(open_simulation(path)) for path in paths]
        windows = [_window(reader, chosen) for reader in readers]
        reports = [reader.report(window, chosen.populations) for reader, window in zip(readers, windows, strict=True)]
        written = _write(readers[0], reports[0], chosen, neurons, outputs)
        if style == "json":
            _show_json(readers, reports)
        elif style == "csv":
            echo_csv(_rows(readers, reports))
        elif style == "table":
            from spikesim.cli.simulations.tables import print_comparison, print_simulation

            if len(readers) > 1:
                print_comparison(readers, reports)
            else:
                print_simulation(readers[0], reports[0])
        for path in written if style is None else ():
            click.echo(f"written: {path}")


def _window(reader: "RecordedSimulation", chosen: SimulationOptions) -> "Window":
    from spikesim.sparse.analysis.window import steps_of, time_step

    dt = time_step(reader)

    def steps(option: str, text: str | None) -> int | None:
        return None if text is None else steps_of(option, text, dt)

    return reader.window(
        steps("--from", chosen.start) or 0, steps("--to", chosen.stop), chosen.trial, steps("--bin", chosen.bins)
    )


def _write(
    reader: "RecordedSimulation",
    report: "SimulationReport",
    chosen: SimulationOptions,
    neurons: dict[str, tuple[int, ...]],
    outputs: "Outputs",
) -> list[Path]:
    from spikesim.ep.reports.simulations.drawing import DrawingChoice

    names = tuple(own.population for own in report.populations)
    whole = chosen.start is not None or chosen.stop is not None
    return outputs.write_simulation(reader, report, DrawingChoice.of_window(report.window, names, neurons, whole=whole))


def _show_json(readers: "list[RecordedSimulation]", reports: "list[SimulationReport]") -> None:
    from spikesim.ep.reports.document import json_text
    from spikesim.ep.reports.simulations.document import simulation_document

    found = [simulation_document(reader, report) for reader, report in zip(readers, reports, strict=True)]
    named = [{"file": str(reader.path), **own} for reader, own in zip(readers, found, strict=True)]
    click.echo(json_text(found[0] if len(found) == 1 else {"simulations": named}))


def _rows(readers: "list[RecordedSimulation]", reports: "list[SimulationReport]") -> Iterator[tuple[Any, ...]]:
    """Every number of the tables, a line a number."""
    from spikesim.sparse.analysis.recorded import flat

    several = len(readers) > 1
    yield ("file",) * several + ("section", "name", "metric", "value")
    for reader, report in zip(readers, reports, strict=True):
        named = [
            *(("populations", own.population, own) for own in report.populations),
            *(("projections", f"{own.source}->{own.target}", own) for own in report.projections),
            *(("potentials", f"{own.population}:{own.neuron}", own) for own in report.potentials),
            *(("plastic", f"{own.projection}:{own.source}->{own.target}", own) for own in report.plastic),
            *(("learning", f"epoch {own.epoch}", own) for own in report.learning),
        ]
        for section, name, own in named:
            for metric, value in flat(own):
                if value is not None and not isinstance(value, str) and metric not in ("neuron", "projection", "epoch"):
                    yield (str(reader.path),) * several + (section, name, metric, value)
