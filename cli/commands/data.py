"""``spikesim data``: which data sets there are, whether they are whole, and how to get them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikesim.errors import InputError

if TYPE_CHECKING:
    from rich.progress import TaskID

    from spikesim.datasets.catalogue.registry import Entry
    from spikesim.datasets.fetching.download import Progress

__all__ = ["data"]

_SECONDS_BETWEEN_LINES = 5.0
PATHS_WIDTH = 5000
"""Width of a table with paths where there is no terminal: a line per row, however long they are."""

_data_dir = click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder with data sets, searched before the one that $SPIKESIM_DATA names.",
)


@click.group()
def data() -> None:
    """List, check and fetch data sets.

    A data set is looked for in --data-dir, in the folder that $SPIKESIM_DATA names, and where the system's package
    installs it. fashion-mnist-mini and japanese-vowels come with the program.
    """


@data.command("list")
@_data_dir
def list_sets(data_dir: Path | None) -> None:
    """List the data sets and where each is found.

    Files are not read: `spikesim data check` does that.
    """
    from spikesim.cli.common import make_console
    from spikesim.cli.terminal.tables import Table, print_table
    from spikesim.datasets import find
    from spikesim.datasets.catalogue import registry

    table = Table("", ("name",))
    table.add_columns("classes", "sample", "training", "test")
    table.add_columns("found", left=True)
    missing = False
    for entry in registry.entries():
        source = find(entry.name, data_dir)
        table.add_row(
            entry.name,
            str(len(entry.class_names)),
            _sample(entry),
            str(entry.n_train),
            str(entry.n_test),
            source or "no",
        )
        missing |= source is None
    print_table(make_console(PATHS_WIDTH), table)
    if missing:
        click.echo(f"what is missing: spikesim data fetch NAME --data-dir {data_dir or 'DIR'}")


def _sample(entry: "Entry") -> str:
    """The sizes of a sample: height, width and channels, frames and channels; of texts there are none."""
    sizes = {"series": entry.shape[1:], "text": ()}.get(entry.kind, entry.shape)
    return "x".join(map(str, sizes)) or entry.kind


@data.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_data_dir
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text for people; json for programs: a list with one entry per data set.",
)
def check(names: tuple[str, ...], data_dir: Path | None, form: str) -> None:
    """Check whether data sets are complete; show what they hold and what looks odd.

    The files of published ones are compared with their sha256; folders of recordings or texts, and files of your own
    (.npz, .h5, .ts, .tsv, .csv), are read. Without NAME, every data set that is found is checked. Exits with code 2 if
    a requested one is missing or bad; warnings do not count.
    """
    import json
    from typing import Any

    from spikesim import datasets
    from spikesim.datasets.inspection.plausibility import warnings
    from spikesim.datasets.inspection.summary import as_json, facts
    from spikesim.datasets.loading import inspect, require_known

    for name in names:
        require_known(name)
    entries: list[dict[str, Any]] = []
    for name in dict.fromkeys(names) or datasets.names():
        entry: dict[str, Any]
        if not names and datasets.find(name, data_dir) is None:
            lines, entry = [f"{name}: not found"], {"name": name, "state": "missing"}
        else:
            try:
                source, summary = inspect(name, data_dir)
                odd = warnings(summary)
                lines = [f"{name}: good ({source})", *facts(summary), *(f"warning: {line}" for line in odd)]
                entry = {"name": name, "state": "good", "source": source, **as_json(summary), "warnings": odd}
            except InputError as error:
                lines, entry = [f"{name}: BAD: {error}"], {"name": name, "state": "bad", "error": str(error)}
        entries.append(entry)
        if form == "text":
            click.echo("\n  ".join(lines))
    if form == "json":
        click.echo(json.dumps(entries, indent=1))
    bad = [entry["name"] for entry in entries if entry["state"] == "bad"]
    if bad:
        where = "the lines above say" if form == "text" else "its error says"
        raise InputError(f"incomplete or damaged: {', '.join(bad)}; {where} why and what to do")


@data.command()
@click.argument("name")
@click.option(
    "--data-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    envvar="SPIKESIM_DATA",
    show_envvar=True,
    required=True,
    help="Folder for data sets; the files go into a sub-folder of it.",
)
@click.option(
    "--mirror",
    "mirrors",
    metavar="URL",
    multiple=True,
    help="Address of a folder with the published files, instead of the published ones. May be given several times.",
)
def fetch(name: str, data_dir: Path, mirrors: tuple[str, ...]) -> None:
    """Download a data set, check it and put it into a data folder.

    An interrupted download is kept: the same command continues it.
    """
    import sys

    from spikesim.cli.launch import refuse_ranks
    from spikesim.datasets.fetching.fetch import fetch as fetch_set

    refuse_ranks("data fetch")

    with _bars() if sys.stderr.isatty() else nullcontext(_lines()) as progress:
        folder = fetch_set(name, data_dir, progress=progress, base_urls=mirrors or None)
    click.echo(f"{name}: good ({folder})")


def _lines() -> "Progress":
    """Progress as plain lines, one every few seconds, for logs."""
    import time

    shown = time.monotonic()

    def show(name: str, done: int, total: int | None) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            click.echo(f"{name}: {_megabytes(done)}" + (f" of {_megabytes(total)}" if total else ""), err=True)

    return show


@contextmanager
def _bars() -> Iterator["Progress"]:
    """Progress as a bar a file, for a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name)
            bars.update(tasks[name], completed=done, total=total)

        yield show


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
