"""What several sub-commands share."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.completion import run_files
from spikesim.cli.help_groups import grouped

if TYPE_CHECKING:
    from rich.console import Console

    from spikesim.ep.parallel.communicator import Communicator
    from spikesim.ep.parallel.execution import Execution

__all__ = [
    "available_threads",
    "batch_option",
    "data_dir_option",
    "echo_csv",
    "inference_option",
    "make_console",
    "make_execution",
    "repeats_option",
    "run_argument",
    "style_option",
    "takes",
    "tell_compilation",
    "tell_terminal",
    "threads_option",
    "weights_option",
]

PIPED_WIDTH = 100


def run_argument(command: Any) -> Any:
    """Add the argument RUN.h5, passed as `run`, to a command."""
    return click.argument("run", metavar="RUN.h5", type=click.Path(), shell_complete=run_files)(command)


threads_option = click.option(
    "--threads", type=click.IntRange(min=1, max=1024), help="Threads.  [default: as for train]"
)
weights_option = click.option(
    "--weights",
    type=click.Choice(["last", "best"]),
    default="last",
    show_default=True,
    help="Weights of the last checkpoint, or of the best epoch on the validation set, if the run has one.",
)
data_dir_option = grouped(
    "Data", "--data-dir", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $SPIKESIM_DATA]"
)
inference_option = click.option(
    "--inference",
    type=click.Choice(["stochastic", "mean-field"]),
    help="Spiking dynamics or the deterministic mean field.  [default: that of the run]",
)
batch_option = click.option(
    "--batch", type=click.IntRange(min=1, max=65536), default=64, show_default=True, help="Samples in a mini-batch."
)
repeats_option = click.option(
    "--repeats",
    type=click.IntRange(min=1, max=10000),
    default=1,
    show_default=True,
    help="Mini-batches to average over, each with fresh random numbers.",
)
style_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the output.",
)


def tell_terminal(text: str) -> None:
    """A line about the work in progress, on standard error, if somebody watches."""
    import sys

    if sys.stderr.isatty():
        click.echo(text, err=True)


def tell_compilation(seconds: float | None = None, verbosity: str | None = None) -> None:
    """For the rest of this command, which runs kernels, say on standard error when they are compiled.

    Parameters
    ----------
    seconds : float or None
        Between lines of progress; None says it on a terminal only.
    verbosity : str or None
        ``"quiet"`` says nothing, ``"verbose"`` has a line for each kernel.
    """
    from spikesim.cli.launch import is_first
    from spikesim.cli.terminal.compiling import compilation_told
    from spikesim.jit.startup import leave_out_blas

    leave_out_blas()
    if not is_first() or verbosity == "quiet":
        return
    if seconds is None:
        told = compilation_told(tell_terminal)
    else:
        each = verbosity == "verbose"
        told = compilation_told(lambda text: click.echo(text, err=True), seconds, each=each)
    click.get_current_context().with_resource(told)


def make_console(piped_width: int = PIPED_WIDTH) -> "Console":
    """A console on standard output that writes text as it is, as wide as the terminal, or this wide without one."""
    import os
    import sys

    from spikesim.cli.terminal.console import PlainConsole

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else piped_width
    return PlainConsole(width=width)


def echo_csv(rows: Iterable[Iterable[Any]]) -> None:
    """Write rows to standard output, the first of which names the columns."""
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    click.echo(text.getvalue(), nl=False)


def available_threads(ranks: "Communicator") -> int:
    """Threads to use: what a batch job was given, else the cores that this process may run on, or its share of them."""
    import os

    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    return ranks.cores_each()


def make_execution(threads: int | None, ranks: "Communicator") -> "Execution":
    """So many threads of each of these processes, the first of which tells of its progress."""
    from spikesim.ep.parallel.execution import Execution

    progress = tell_terminal if ranks.rank == 0 else lambda text: None
    return Execution(threads or available_threads(ranks), ranks, progress)


def takes(record: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function that takes its options as one record.

    Parameters
    ----------
    record : dataclass
        A field for each option of the command. Options that it has no field for are keys of the configuration: the
        function takes them as a second argument, if there may be any.
    """
    names = [item.name for item in dataclasses.fields(record)]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            options = record(**{name: given.pop(name) for name in names})
            function(options, given) if "keys" in inspect.signature(function).parameters else function(options)

        return command

    return decorate
