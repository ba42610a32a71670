"""What the commands that train share: how a run is carried out, and what is said of it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from spikesim.cli.help_groups import grouped
from spikesim.runtime.stopping import stop_on_signals

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config
    from spikesim.ep.parallel.communicator import Communicator
    from spikesim.ep.training.observer import Observer
    from spikesim.ep.training.trainer import Trainer

__all__ = ["Watching", "execution_options", "introduce", "observed", "train_to_the_end"]


class Watching(Protocol):
    """The options of a command that say who watches its training."""

    @property
    def progress_every(self) -> float: ...
    @property
    def verbosity(self) -> str | None: ...
    @property
    def log(self) -> Path | None: ...
    @property
    def tensorboard(self) -> Path | None: ...


_OPTIONS = (
    grouped(
        "Execution",
        "--threads",
        type=click.IntRange(min=1, max=1024),
        help="Threads; the result does not depend on their number.  [default: $SLURM_CPUS_PER_TASK or the cores at "
        "hand]",
    ),
    grouped(
        "Execution",
        "--checkpoint-every",
        type=click.IntRange(min=1),
        help="Mini-batches between checkpoints; there is always one after an epoch.  [default: once per minute]",
    ),
    grouped(
        "Messages and logs",
        "--progress-every",
        type=click.FloatRange(min=0.1),
        default=10.0,
        show_default=True,
        help="Seconds between lines of progress where there is no terminal.",
    ),
    grouped(
        "Messages and logs",
        "-v",
        "--verbose",
        "verbosity",
        flag_value="verbose",
        help="Also report compilations and checkpoints.",
    ),
    grouped(
        "Messages and logs",
        "-q",
        "--quiet",
        "verbosity",
        flag_value="quiet",
        help="Print only warnings and the path of the run file.",
    ),
    grouped(
        "Messages and logs",
        "--log",
        metavar="FILE.jsonl",
        type=click.Path(path_type=Path),
        help="Also write a line of JSON for each mini-batch, epoch and message; a resumed run appends.",
    ),
    grouped(
        "Messages and logs",
        "--tensorboard",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Also write event files for TensorBoard (needs tensorboardX).",
    ),
)


def execution_options(command: Any) -> Any:
    """Add the options that change how a training is carried out, and not a bit of its results."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextmanager
def observed(
    options: Watching, ranks: "Communicator", *, resume: bool, overwrite: bool = False, dry_run: bool = False
) -> "Iterator[Observer]":
    """Who watches a training: what is shown, and the logs that are asked for; of a dry run there are none.

    Raises
    ------
    InputError
        A log exists and must not be replaced, or cannot be written.
    """
    from spikesim.cli.terminal.progress import make_observer
    from spikesim.ep.logs.json_lines import JsonLog
    from spikesim.ep.logs.tensorboard import TensorBoardLog
    from spikesim.ep.training.observer import Observers

    logs: list[JsonLog | TensorBoardLog] = []

    def make_logs() -> None:
        for kind, path in ((JsonLog, options.log), (TensorBoardLog, options.tensorboard)):
            if path is not None and not dry_run:
                logs.append(kind(path, resume=resume, overwrite=overwrite))

    ranks.first(make_logs)
    silent = ranks.rank > 0
    with ExitStack() as stack:
        watchers = [stack.enter_context(log) for log in logs]
        shown = make_observer(options.progress_every, silent=silent, plain=dry_run, verbosity=options.verbosity)
        yield Observers([*watchers, stack.enter_context(shown)])


def introduce(trainer: "Trainer", dataset: "Dataset", observer: "Observer") -> None:
    """Say what is going to be trained, and on what; the first process says it for all."""
    from spikesim.runtime.text import counted

    config, ranks = trainer.config, trainer.ranks
    processes = f"{ranks.size} processes of " if ranks.size > 1 else ""
    observer.message(
        f"{config.model.arch} on {dataset.name} ({dataset.source}): "
        f"{counted(trainer.samples, 'training sample')}, {counted(trainer.batches, 'mini-batch')} per epoch, "
        f"{processes}{counted(trainer.options.threads, 'thread')}, seed {config.seed}"
    )
    if ranks.rank > 0:
        return
    if config.data.validation:
        held = counted(len(trainer.dataset.test), "training sample")
        observer.message(f"the run is tested on {held} held out for validation, not on the test set")
    _tell_what_was_read(config, dataset, observer)
    _tell_details(trainer, observer)


def train_to_the_end(trainer: "Trainer") -> None:
    """Train until the run is finished or a signal asks for a stop."""
    with stop_on_signals(trainer.request_stop):
        trainer.run()
    if trainer.ranks.rank == 0:
        click.echo(f"run file: {trainer.options.out}")


def _tell_what_was_read(config: "Config", dataset: "Dataset", observer: "Observer") -> None:
    """What the data set holds, in one line, and a warning for each thing that looks odd."""
    from spikesim.datasets.inspection.plausibility import of_limit, warnings
    from spikesim.datasets.inspection.summary import facts, summarise

    summary = replace(summarise(dataset), followed=config.data.duration if dataset.recordings else None)
    observer.message(f"data: {'; '.join(facts(summary))}")
    for line in (
        *warnings(summary),
        *of_limit(dataset.train.labels, config.data.limit, "data.limit"),
        *of_limit(dataset.test.labels, config.data.test_limit, "data.test_limit"),
    ):
        observer.warning(line)


def _tell_details(trainer: "Trainer", observer: "Observer") -> None:
    """Versions, the place of compiled kernels, and what of the configuration is not as the preset has it."""
    import json

    from spikesim import __version__
    from spikesim.ep.config.parsing import beyond_preset
    from spikesim.ep.runs.schema import hash_of_config
    from spikesim.io.hdf5_writer import versions
    from spikesim.jit.compilation import cache_folder

    own = ", ".join(f"{name} {version}" for name, version in versions().items())
    observer.detail(f"spikesim {__version__}, {own}")
    observer.detail(f"compiled kernels: {cache_folder().path or 'not kept'}")
    values = trainer.config.to_dict()
    name, differing = beyond_preset(values)
    keys = ", ".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in differing)
    observer.detail(f"preset {name}{', but for ' if keys else ''}{keys}")
    observer.detail(f"configuration {hash_of_config(values)}")
