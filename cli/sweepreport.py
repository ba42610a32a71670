"""One table of many runs, such as the members of a sweep."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import echo_csv, flat_settings, make_console, state_text
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.runreader import RunReader

__all__ = ["print_runs"]

SETTINGS_SHOWN = 6
"""Columns of settings in a table, at most."""


@dataclass(frozen=True)
class RunRow:
    """A run in one row; figures are those of its last complete epoch, None before that and for what is no run file.

    Operations and energy (joule) are a test sample's, seconds those of all complete epochs.
    """

    run: str
    state: str
    epochs: int
    train_accuracy: float | None
    test_accuracy: float | None
    activity: float | None
    accumulates: float | None
    multiply_accumulates: float | None
    joule: float | None
    seconds: float | None


def read_runs(folder: Path) -> tuple[list[RunRow], list[dict[str, Any]]]:
    """The runs of a folder, and the settings in which their configurations differ.

    Raises
    ------
    InputError
        There are none.
    """
    from spikesim.runreader import RunReader

    paths = sorted(folder.glob("*.h5"), key=_natural) if folder.is_dir() else []
    if not paths:
        raise InputError(f"{folder} holds no run files, *.h5; give the folder that was --out of the sweep")
    rows, configurations = [], []
    for path in paths:
        try:
            with RunReader(path) as reader:
                rows.append(_row(path.name, reader))
                configurations.append(dict(flat_settings(reader.config)))
        except InputError as error:
            rows.append(RunRow(path.name, str(error), 0, *[None] * 7))
            configurations.append({})
    keys = list(dict.fromkeys(key for configuration in configurations for key in configuration))
    read = [configuration for configuration in configurations if configuration]
    differing = [key for key in keys if len({json.dumps(own.get(key)) for own in read}) > 1]
    return rows, [{key: own.get(key) for key in differing} for own in configurations]


def _row(name: str, reader: "RunReader") -> RunRow:
    epochs = reader.epochs
    done = len(epochs["epoch"])
    if done == 0:
        return RunRow(name, state_text(reader), 0, *[None] * 7)
    last = {key: values[-1] for key, values in epochs.items()}
    samples = int(last["test_samples"])
    accumulates = last["test_events_forward"] + last["test_events_feedback"]
    energy = reader.energy_model.estimate(accumulates, last["test_macs"])
    return RunRow(
        run=name,
        state=state_text(reader),
        epochs=done,
        train_accuracy=float(last["train_correct"] / last["train_samples"]),
        test_accuracy=float(last["test_correct"] / samples),
        activity=float(last["test_spikes"].sum() / last["test_neuron_updates"].sum()),
        accumulates=float(accumulates.sum() / samples),
        multiply_accumulates=float(last["test_macs"].sum() / samples),
        joule=float(energy.sum() / samples),
        seconds=float(epochs["seconds"].sum() + epochs["test_seconds"].sum()),
    )


def _natural(path: Path) -> tuple[Any, ...]:
    """Numbers in names count as numbers."""
    import re

    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name))


def print_runs(folder: Path, style: str) -> None:
    """Print the runs of a folder as a table, JSON or CSV.

    Raises
    ------
    InputError
        There are none.
    """
    rows, settings = read_runs(folder)
    if style == "json":
        runs = [{**asdict(row), "settings": own} for row, own in zip(rows, settings, strict=True)]
        click.echo(json.dumps({"folder": str(folder), "runs": runs}, indent=2))
    elif style == "csv":
        values = ([*asdict(row).values(), *own.values()] for row, own in zip(rows, settings, strict=True))
        echo_csv([[*asdict(rows[0]), *settings[0]], *values])
    else:
        _print_table(rows, settings)


def _print_table(rows: list[RunRow], settings: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    shown = list(settings[0])[:SETTINGS_SHOWN]
    for key in shown:
        table.add_column(key.rpartition(".")[2].replace("_", " "), justify="right")
    for heading in ("epochs", "train", "test", "activity", "ACs", "energy", "hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", overflow="fold")
    for row, own in zip(rows, settings, strict=True):
        table.add_row(
            row.run,
            *("-" if own.get(key) is None else str(own[key]) for key in shown),
            str(row.epochs),
            _shown(row.train_accuracy, "{:.2%}"),
            _shown(row.test_accuracy, "{:.2%}"),
            _shown(row.activity, "{:.1%}"),
            _shown(row.accumulates, "{:.3g}"),
            _shown(None if row.joule is None else row.joule * 1e6, "{:.3g} uJ"),
            _shown(None if row.seconds is None else row.seconds / 3600, "{:.2f}"),
            row.state.partition(";")[0],
        )
    console = make_console()
    console.print(table)
    finished = sum(row.state == "finished" for row in rows)
    console.print(f"{finished} of {len(rows)} runs are finished")
    if len(settings[0]) > len(shown):
        console.print(f"{len(settings[0]) - len(shown)} more settings differ; --format csv and json have them")


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
