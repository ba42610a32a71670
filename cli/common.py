"""What several sub-commands share."""

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console

    from spikesim.runreader import RunReader

__all__ = ["available_threads", "make_console", "run_argument", "state_text", "style_option", "threads_option"]

PIPED_WIDTH = 100


def run_argument(command: Any) -> Any:
    """Add the argument RUN.h5, passed as `run`, to a command."""
    return click.argument("run", metavar="RUN.h5", type=click.Path())(command)


threads_option = click.option(
    "--threads", type=click.IntRange(min=1, max=1024), help="Threads.  [default: as for train]"
)
style_option = click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Form of the output.",
)


def make_console() -> "Console":
    """A console on standard output that writes text as it is, and wide enough for tables where there is no terminal."""
    import os
    import sys

    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def state_text(reader: "RunReader") -> str:
    """How a run stands, in words: a run that says that it is running may have been killed."""
    from spikesim.runlock import lock_holder

    status = reader.status
    if status == "finished":
        return "finished"
    if status == "stopped":
        return "stopped; the same command with --resume continues it"
    holder = lock_holder(reader.path)
    if holder is not None:
        return f"running ({holder})"
    return "ended before it was finished; the same command with --resume continues it"


def available_threads() -> int:
    """Threads to use: what a batch job was given, else the cores that this process may run on."""
    import os

    given = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if given.isdigit() and int(given) > 0:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
