"""What the commands that train share: how a run is carried out, and what is said of it."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from spikesim.runtime.stopping import stop_on_signals

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config
    from spikesim.ep.training.observer import Observer
    from spikesim.ep.training.trainer import Trainer

__all__ = ["execution_options", "introduce", "train_to_the_end"]

_OPTIONS = (
    click.option(
        "--threads",
        type=click.IntRange(min=1, max=1024),
        help="Threads; they change the time, never a bit.  [default: $SLURM_CPUS_PER_TASK or the cores at hand]",
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(min=1),
        help="Mini-batches between checkpoints; there is always one after an epoch.  [default: once a minute]",
    ),
    click.option(
        "--progress-every",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help="Seconds between lines of progress where there is no terminal.",
    ),
)


def execution_options(command: Any) -> Any:
    """Add the options that change how a training is carried out, and not a bit of its results."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def introduce(trainer: "Trainer", dataset: "Dataset", observer: "Observer") -> None:
    """Say what is going to be trained, and on what; the first process says it for all."""
    from spikesim.runtime.text import counted

    config, ranks = trainer.config, trainer.ranks
    processes = f"{ranks.size} processes of " if ranks.size > 1 else ""
    observer.message(
        f"{config.model.arch} on {dataset.name} ({dataset.source}): "
        f"{counted(trainer.samples, 'training sample')}, {counted(trainer.batches, 'mini-batch')} an epoch, "
        f"{processes}{counted(trainer.options.threads, 'thread')}, seed {config.seed}"
    )
    if ranks.rank > 0:
        return
    if config.data.validation:
        held = counted(len(trainer.dataset.test), "training sample")
        observer.message(f"tests are made on {held} held out for validation, not on the test set")
    for line in _what_was_read(config, dataset):
        observer.message(line)


def train_to_the_end(trainer: "Trainer") -> None:
    """Train until the run is finished or a signal asks for a stop."""
    with stop_on_signals(trainer.request_stop):
        trainer.run()
    if trainer.ranks.rank == 0:
        click.echo(f"run file: {trainer.options.out}")


def _what_was_read(config: "Config", dataset: "Dataset") -> list[str]:
    """What the data set holds, in one line, and a line for each thing that looks odd."""
    from spikesim.datasets.inspection.plausibility import of_limit, warnings
    from spikesim.datasets.inspection.summary import facts, summarise

    summary = replace(summarise(dataset), followed=config.data.duration if dataset.recordings else None)
    odd = [
        *warnings(summary),
        *of_limit(dataset.train.labels, config.data.limit, "data.limit"),
        *of_limit(dataset.test.labels, config.data.test_limit, "data.test_limit"),
    ]
    return [f"data: {'; '.join(facts(summary))}", *(f"warning: {line}" for line in odd)]
