"""``spikesim teacher``: make a teacher file of a run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from spikesim.cli.common import (
    available_threads,
    data_dir_option,
    inference_option,
    run_argument,
    takes,
    tell_compilation,
    threads_option,
    weights_option,
)
from spikesim.cli.completion import complete_dataset
from spikesim.cli.launch import take_ranks

_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class TeacherOptions:
    """Options of the command."""

    run: str
    weights: str
    out: Path
    dataset: str | None
    data_dir: Path | None
    inference: str | None
    repeats: int
    threads: int | None
    overwrite: bool


@click.command()
@run_argument
@weights_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The teacher file, HDF5.")
@click.option(
    "--dataset",
    shell_complete=complete_dataset,
    help="Data set whose training images are shown.  [default: that of the run]",
)
@data_dir_option
@inference_option
@click.option(
    "--repeats",
    type=click.IntRange(min=1, max=10000),
    default=1,
    show_default=True,
    help="Free phases with fresh random numbers over which the logits are averaged.",
)
@threads_option
@click.option("--overwrite", is_flag=True, help="Replace the teacher file if it exists.")
@takes(TeacherOptions)
def teacher(options: TeacherOptions) -> None:
    """Write the logits that the network of a run gives to every training image into a teacher file.

    All training images are shown without augmentation, even if the run was limited to some. Use the file with `spikesim
    train --signals kd --teacher FILE.h5`; spikesim manual teacher-file describes it. The run file is not changed.
    """
    ranks = take_ranks()
    tell_compilation()

    from spikesim.ep.config.parsing import config_of_run
    from spikesim.ep.evaluation.from_run import training_logits
    from spikesim.ep.inputs.dataset import load_of_run
    from spikesim.ep.inputs.teacher import check_target, write_teacher
    from spikesim.ep.runs.reader import RunReader
    from spikesim.runtime.text import counted

    out, repeats = options.out, options.repeats
    ranks.first(lambda: check_target(out, overwrite=options.overwrite))
    with RunReader(options.run) as reader:
        changes = {"data.dataset": options.dataset, "dynamics.inference": options.inference}
        given = [(key, value) for key, value in changes.items() if value is not None]
        config = config_of_run(reader.config, given)
        config, images = load_of_run(config, reader, options.data_dir)
        progress = _lines(repeats * len(images.train.labels)) if ranks.rank == 0 else None
        threads = options.threads or available_threads(ranks)
        logits = training_logits(reader, config, images, repeats, threads, progress, ranks, options.weights)
        best = f"best epoch, {reader.best_epoch}, of the " if options.weights == "best" else ""
        description = (
            f"{config.model.arch}, {config.dynamics.inference}, mean of {repeats}, of the {best}run with the "
            f"configuration {reader.config_hash}"
        )
    if ranks.rank > 0:
        return
    written = write_teacher(out, logits, images.name, description, overwrite=options.overwrite)
    right = (logits.argmax(axis=1) == images.train.labels).mean()
    click.echo(f"{counted(len(logits), 'training sample')} of {images.name}, {right:.2%} right")
    click.echo(f"teacher file: {out}")
    click.echo(f"digest: {written.digest}")


def _lines(total: int) -> Callable[[int], None]:
    """Progress as plain lines, one every few seconds."""
    shown, done = time.monotonic(), 0

    def show(samples: int) -> None:
        nonlocal shown, done
        done += samples
        if time.monotonic() - shown >= _SECONDS_BETWEEN_LINES:
            shown = time.monotonic()
            click.echo(f"{done}/{total}", err=True)

    return show
