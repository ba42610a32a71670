"""``spikesim watch`` for a simulation that another process writes."""

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from spikesim.cli.common import make_console
from spikesim.cli.simulations.tables import learned_words, plain
from spikesim.cli.terminal.tables import Table
from spikesim.ep.reports.following import follow_file, state_words
from spikesim.errors import Stopped
from spikesim.runtime.printable import printable
from spikesim.runtime.text import counted, si
from spikesim.sparse.analysis.activity import read_rate
from spikesim.sparse.analysis.window import make_window, time_step
from spikesim.sparse.recording import SimulationReader

__all__ = ["SimulationLook", "follow_simulation", "watch_simulation"]

STEPS = 1000
"""Rates are those of the last steps of the file, at most so many."""


@dataclass(frozen=True)
class PopulationLook:
    """A population: the mean rate over the last steps, and its neurons."""

    name: str
    neurons: int
    rate: float | None


@dataclass(frozen=True)
class SimulationLook:
    """A simulation at one time.

    Attributes
    ----------
    state, holder
        As of `spikesim.ep.reports.following.Snapshot`.
    steps : int
        In the file.
    recent : int
        Of these, the last ones, over which the rates are.
    dt : float or None
    rate_unit : str
    learned : str or None
        Of a network that learns by phases, which has steps at the end alone: how it stands after the last epoch.
    populations : list of PopulationLook
    seen_at : float
        Seconds of a clock that goes evenly.
    """

    state: str
    holder: str | None
    steps: int
    recent: int
    dt: float | None
    rate_unit: str
    learned: str | None
    populations: list[PopulationLook]
    seen_at: float = field(default_factory=time.monotonic)


def follow_simulation(path: Path, interval: float) -> Iterator[SimulationLook]:
    """Look at a simulation until it ends; see `spikesim.ep.reports.following.follow`."""
    return follow_file(path, SimulationReader, _stand, _look, interval)


def _stand(reader: SimulationReader) -> tuple[str, object]:
    learning = reader.learning()
    return reader.status, (reader.steps, len(learning.epochs["train_error"]) if learning else 0)


def _learned(reader: SimulationReader) -> str | None:
    learning = reader.learning()
    if learning is None:
        return None
    done, wanted = len(learning.epochs["train_error"]), reader.network["learning"].get("epochs", "?")
    numbers = {name: float(values[-1]) for name, values in learning.epochs.items() if done}
    return f"epoch {done}/{wanted}" + (f": {learned_words(numbers)}" if done else "")


def _look(reader: SimulationReader, state: str, holder: str | None) -> SimulationLook:
    window = make_window(reader, max(0, reader.steps - STEPS))
    found = []
    for name in reader.populations:
        neurons = reader.neurons(name)
        chances = neurons * window.steps * reader.trials
        rate = window.rate(read_rate(reader, name, window).spikes / chances) if chances else None
        found.append(PopulationLook(name, neurons, rate))
    learned, dt = _learned(reader), time_step(reader)
    return SimulationLook(state, holder, reader.steps, window.steps, dt, window.rate_unit, learned, found)


def watch_simulation(path: Path, interval: float) -> None:
    """Show a simulation until it ends: a table on a terminal, else a line for every look that finds something new.

    Raises
    ------
    Stopped
        It is not finished.
    """
    import sys

    view = _LiveView(path) if sys.stdout.isatty() else _LineView()
    last = None
    with view.shown():
        for look in follow_simulation(path, interval):
            view.show(look, last)
            last = look
    if last is None or last.state != "finished":
        raise Stopped(f"{path}: {state_words(last)}")
    click.echo(f"{path}: finished")


def _progress(look: SimulationLook, last: SimulationLook | None) -> str:
    """Steps in the file, and how many more a second."""
    long = "" if look.dt is None else f" ({si(look.steps * look.dt * 1e-3)}s)"
    if last is None or look.seen_at <= last.seen_at or look.steps <= last.steps:
        return f"{counted(look.steps, 'step')}{long}"
    return (
        f"{counted(look.steps, 'step')}{long}, {si((look.steps - last.steps) / (look.seen_at - last.seen_at))}steps/s"
    )


def _unit(look: SimulationLook) -> str:
    return "Hz" if look.dt is not None else "per step"


class _LineView:
    """A line for each look."""

    def shown(self) -> Any:
        return nullcontext()

    def show(self, look: SimulationLook, last: SimulationLook | None) -> None:
        rates = ", ".join(f"{printable(own.name)} {plain(own.rate)} {_unit(look)}" for own in look.populations)
        if look.learned and (last is None or look.learned != last.learned):
            click.echo(look.learned)
        if look.steps and (last is None or look.steps != last.steps):
            click.echo(f"{_progress(look, last)}; last {counted(look.recent, 'step')}: {rates}")


class _LiveView:
    """A table that is renewed in place."""

    def __init__(self, path: Path) -> None:
        from rich.live import Live

        self._path = path
        self._live = Live(console=make_console(), auto_refresh=False, vertical_overflow="crop")

    def shown(self) -> Any:
        return self._live

    def show(self, look: SimulationLook, last: SimulationLook | None) -> None:
        from rich.console import Group
        from rich.text import Text

        table = Table(f"Rates over the last {counted(look.recent, 'step')}", ("population",))
        table.add_columns("neurons", look.rate_unit)
        for own in look.populations:
            table.add_row(own.name, str(own.neurons), plain(own.rate))
        progress = [Text(own) for own in (look.learned, _progress(look, last)) if own]
        parts: list[Any] = [Text(f"{self._path}: {state_words(look)}"), *progress, Text(""), table]
        self._live.update(Group(*parts), refresh=True)
