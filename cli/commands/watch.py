"""``spikesim watch``: a run or a simulation in progress, live."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.completion import run_files
from spikesim.errors import Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from spikesim.cli.terminal.tables import Table
    from spikesim.ep.analysis.summary import EpochMetrics
    from spikesim.ep.reports.following import Snapshot

EPOCHS_SHOWN = 8
BAR_WIDTH = 80


@click.command()
@click.argument("run", metavar="RUN.h5", type=click.Path(path_type=Path), shell_complete=run_files)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=2.0,
    show_default=True,
    help="Seconds between two reads of the file; more if reading takes longer.",
)
def watch(run: Path, interval: float) -> None:
    """Follow a run or a simulation that another process writes, until it ends.

    On a terminal it refreshes tables; otherwise it prints a line whenever it finds something new. The file is only
    read. Of a simulation it shows the rates of the populations over the last 1000 steps. Ctrl-C ends this command (exit
    code 130), not the run.

    Exit codes: 0 when the run is finished, 75 when it stopped or its process was killed, so that --resume continues it.
    """
    import sys

    from spikesim.cli.common import make_console
    from spikesim.cli.simulations.reporting import are_simulations
    from spikesim.ep.reports.following import follow, state_words

    if are_simulations([run]):
        from spikesim.cli.simulations.watching import watch_simulation

        watch_simulation(run, interval)
        return
    console = make_console()
    view: LiveView | LineView = LiveView(console, run) if sys.stdout.isatty() else LineView()
    last = None
    with view.shown():
        for snapshot in follow(run, interval):
            view.show(snapshot)
            last = snapshot
    if last is None or last.state != "finished":
        raise Stopped(f"{run}: {state_words(last)}")
    click.echo(f"{run}: finished")


class LineView:
    """A line for each epoch, and for each look at the epoch in progress."""

    def __init__(self) -> None:
        self._told = 0
        self._last: EpochMetrics | None = None

    def shown(self) -> AbstractContextManager[Any]:
        """Nothing that needs an end."""
        return nullcontext()

    def show(self, snapshot: "Snapshot") -> None:
        """Print what is new."""
        from spikesim.cli.terminal.progress import epoch_line

        complete = [summary for summary in snapshot.report.epochs if summary.complete]
        for summary in complete[self._told :]:
            click.echo(epoch_line(summary, snapshot.epochs, snapshot.report.tested_on))
        self._told = len(complete)
        if snapshot.last is not None and not snapshot.last.complete and snapshot.last != self._last:
            click.echo(_progress_line(snapshot, snapshot.last))
        self._last = snapshot.last


class LiveView:
    """Tables that are renewed in place.

    Parameters
    ----------
    console : Console
        Where.
    run : Path
        The run file, for the heading.
    """

    def __init__(self, console: "Console", run: Path) -> None:
        from rich.live import Live

        self._run = run
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def shown(self) -> AbstractContextManager[Any]:
        """While in the context, the tables are on the screen; afterwards the last ones stay."""
        return self._live

    def show(self, snapshot: "Snapshot") -> None:
        """Renew the tables."""
        from rich.console import Group
        from rich.text import Text

        from spikesim.cli.views.report_tables import accuracy_table
        from spikesim.ep.reports.following import state_words

        parts: list[Any] = [Text(f"{self._run}: {state_words(snapshot)}")]
        if snapshot.last is None:
            parts.append(Text("The first mini-batch has not ended yet."))
        else:
            parts += [Text(_progress_line(snapshot, snapshot.last)), _bar(snapshot, snapshot.last)]
            parts += [
                accuracy_table(snapshot.report.epochs[-EPOCHS_SHOWN:], snapshot.report.tested_on),
                _layers_table(snapshot),
            ]
        self._live.update(Group(*parts), refresh=True)


def _progress_line(snapshot: "Snapshot", last: "EpochMetrics") -> str:
    from spikesim.cli.terminal.progress import duration, of
    from spikesim.runtime.text import fixed, percent

    total = [work for work in snapshot.report.layers if work.layer == "total" and work.phase == "free"]
    speed, left = snapshot.samples_per_second, snapshot.seconds_left
    return (
        f"epoch {of(last.epoch, snapshot.epochs)}, {of(last.train_samples, snapshot.samples)} samples: "
        f"loss {fixed(last.train_loss)}, accuracy {percent(last.train_accuracy)}, "
        f"activity {percent(total[0].activity if total else None)}, "
        f"{'--' if speed is None else f'{speed:.1f}'} samples/s, {'--' if left is None else duration(left)} left"
    )


def _bar(snapshot: "Snapshot", last: "EpochMetrics") -> Any:
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar

    complete = sum(summary.complete for summary in snapshot.report.epochs)
    part = 0.0 if last.complete or not snapshot.samples else min(last.train_samples / snapshot.samples, 1.0)
    bar = ProgressBar(total=float(snapshot.epochs or complete + 1), completed=complete + part, width=BAR_WIDTH)
    return Padding(bar, (0, 0, 1, 0))


def _layers_table(snapshot: "Snapshot") -> "Table":
    """What the free phase did and how each layer learns, in the epoch in progress."""
    from spikesim.cli.terminal.tables import Table
    from spikesim.runtime.text import percent, scientific, si

    report = snapshot.report
    table = Table(f"Free phase and learning by layer in epoch {report.epoch}", ("layer",))
    table.add_columns("spikes", "activity", "ACs", "energy", "residual", "|r+ - r-|", "|dW|", "head accuracy")
    work = {own.layer: own for own in report.layers if own.phase == "free"}
    for item in report.learning:
        own = work.get(item.layer)
        if item.epoch != report.epoch or own is None:
            continue
        table.add_row(
            item.layer,
            si(own.spikes),
            percent(own.activity),
            si(own.effective_acs_forward + own.effective_acs_feedback),
            f"{si(own.joule)}J",
            scientific(own.residual),
            scientific(item.rate_difference),
            scientific(item.weight_change),
            percent(item.head_accuracy),
        )
    return table
