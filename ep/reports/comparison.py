"""Several runs side by side: a row for each, the settings in which they differ, and their curves."""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.analysis.costs import EnergyCosts
from spikesim.ep.analysis.summary import best_epoch, epoch_metrics
from spikesim.ep.config.parsing import as_recorded
from spikesim.ep.config.sections import tested_on
from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.plan import read_plan
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.state import state_text
from spikesim.errors import InputError
from spikesim.io.config_diff import differing_settings
from spikesim.io.formats import finite

__all__ = ["ComparedRun", "EpochPoint", "RunRow", "compare", "comparison_document", "run_files"]


@dataclass(frozen=True)
class RunRow:
    """A run in one row; figures are those of its last complete epoch, None before that and for what is no run file.

    Attributes
    ----------
    run : str
        Name of the file, with as much of its folder as tells the runs apart.
    state : str
        How it stands, or why it cannot be read.
    epochs : int
        Complete epochs.
    tested_on : str
        What the tests were made on: "test", or "validation" for a share of the training set; "" where it is unknown.
    train_accuracy, test_accuracy : float or None
        Shares from 0 to 1.
    best_validation_accuracy, best_epoch : float and int, or None
        The highest accuracy of a test, and its epoch; None where the tests are not made on a validation set.
    activity : float or None
        Spikes a neuron and step, in the test.
    accumulates, multiply_accumulates, neuron_updates : float or None
        Operations of a test sample.
    joule : float or None
        Estimated energy of a test sample.
    seconds : float or None
        Wall time of all complete epochs and their tests.
    """

    run: str
    state: str
    epochs: int
    tested_on: str = ""
    train_accuracy: float | None = None
    test_accuracy: float | None = None
    best_validation_accuracy: float | None = None
    best_epoch: int | None = None
    activity: float | None = None
    accumulates: float | None = None
    multiply_accumulates: float | None = None
    neuron_updates: float | None = None
    joule: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class EpochPoint:
    """A complete epoch of a run; operations and energy (joule) are a test sample's, None without a test."""

    epoch: int
    train_loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    activity: float | None
    accumulates: float | None
    joule: float | None
    seconds: float


@dataclass(frozen=True)
class ComparedRun:
    """A run beside others: its row, the settings in which it differs from them, its complete epochs, its penalties."""

    row: RunRow
    settings: dict[str, Any]
    epochs: list[EpochPoint]
    energy: EnergyModel


def run_files(folder: Path) -> list[Path]:
    """The run files of a folder, ``*.h5``: members of a sweep in its order, numbers in names counting as numbers.

    Raises
    ------
    InputError
        There are none, or the plan of the sweep cannot be read.
    """
    places = {member.path(folder): place for place, member in enumerate(read_plan(folder))}
    paths = sorted(folder.glob("*.h5"), key=_natural) if folder.is_dir() else []
    paths.sort(key=lambda path: places.get(path, len(places)))
    if not paths:
        raise InputError(f"{folder} has no run files, *.h5; give the folder that was --out of the sweep")
    return paths


def compare(paths: Iterable[Path], *, strict: bool, costs: EnergyCosts | None = None) -> list[ComparedRun]:
    """Read runs.

    Parameters
    ----------
    paths : iterable of Path
        The run files.
    strict : bool
        Refuse what cannot be read. Otherwise its row says why, and it has no figures.
    costs : EnergyCosts, optional
        What operations cost; by default as the files say.

    Raises
    ------
    InputError
        A file is no run file or is damaged, and `strict`.
    """
    paths = list(paths)
    found: list[tuple[RunRow, list[EpochPoint], EnergyModel]] = []
    configurations: list[dict[str, Any] | None] = []
    for path, name in zip(paths, _short_names(paths), strict=True):
        try:
            with RunReader(path) as reader, np.errstate(over="ignore", invalid="ignore"):
                if costs is not None:
                    reader.energy_model = costs.model(reader)
                found.append((*_read(name, reader), reader.energy_model))
                configurations.append(as_recorded(reader.config))
        except InputError as error:
            if strict:
                raise
            found.append((RunRow(name, str(error), 0), [], EnergyModel()))
            configurations.append(None)
    settings = differing_settings(configurations)
    return [ComparedRun(row, own, epochs, energy) for (row, epochs, energy), own in zip(found, settings, strict=True)]


def comparison_document(runs: list[ComparedRun]) -> dict[str, Any]:
    """Runs as plain values: ``runs``, a list of rows with ``settings``, ``curves`` (an entry for each epoch) and
    ``energy_model``."""
    return {
        "runs": [
            finite(
                {
                    **asdict(run.row),
                    "settings": run.settings,
                    "energy_model": asdict(run.energy),
                    "curves": [asdict(point) for point in run.epochs],
                }
            )
            for run in runs
        ]
    }


def _read(name: str, reader: RunReader) -> tuple[RunRow, list[EpochPoint]]:
    columns = reader.epochs
    done = len(columns["epoch"])
    state = state_text(reader)
    if done == 0:
        return RunRow(name, state, 0), []
    samples = columns["test_samples"].astype(np.float64)
    forward, feedback, macs, spikes, updates = (
        columns[f"test_{what}"].sum(axis=1, dtype=np.float64)
        for what in ("events_forward", "events_feedback", "macs", "spikes", "neuron_updates")
    )
    joule = reader.energy_model.estimate(forward + feedback, macs, updates)
    seconds = columns["seconds"] + columns["test_seconds"]
    points = [
        EpochPoint(
            epoch=summary.epoch,
            train_loss=summary.train_loss,
            train_accuracy=summary.train_accuracy,
            test_loss=summary.test_loss,
            test_accuracy=summary.test_accuracy,
            activity=_ratio(spikes, updates, row),
            accumulates=_ratio(forward + feedback, samples, row),
            joule=_ratio(joule, samples, row),
            seconds=float(seconds[row]),
        )
        for row, summary in enumerate(epoch_metrics(reader.batches, columns)[:done])
    ]
    last = points[-1]
    number = best_epoch(reader, columns)
    best = next((point for point in points if point.epoch == number), None)
    row = RunRow(
        run=name,
        state=state,
        epochs=done,
        tested_on=tested_on(reader.setting("data.validation")),
        train_accuracy=last.train_accuracy,
        test_accuracy=last.test_accuracy,
        best_validation_accuracy=best.test_accuracy if best else None,
        best_epoch=number,
        activity=last.activity,
        accumulates=last.accumulates,
        multiply_accumulates=_ratio(macs, samples, -1),
        neuron_updates=_ratio(updates, samples, -1),
        joule=last.joule,
        seconds=float(seconds.sum()),
    )
    return row, points


def _ratio(numerator: NDArray[Any], denominator: NDArray[Any], row: int) -> float | None:
    return float(numerator[row] / denominator[row]) if denominator[row] else None


def _short_names(paths: list[Path]) -> list[str]:
    """Names of files; where two have the same name, as many folders before it as all of them need to differ."""
    for count in range(1, max((len(path.parts) for path in paths), default=1) + 1):
        names = [str(Path(*path.parts[-count:])) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names


def _natural(path: Path) -> tuple[Any, ...]:
    """Numbers in names count as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?)", path.name)
    return tuple((0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts))
