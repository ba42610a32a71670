"""``spikesim resume``: go on with the training of a run file, also beyond its end."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import available_threads, data_dir_option, run_argument, takes, tell_compilation
from spikesim.cli.configuration import take_teacher, teacher_option
from spikesim.cli.help_groups import GroupedCommand
from spikesim.cli.launch import take_ranks
from spikesim.cli.terminal.streams import outlived_output
from spikesim.cli.training import execution_options, introduce, observed, train_to_the_end

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config


@dataclass(frozen=True)
class ResumeOptions:
    """Options of the command."""

    run: str
    epochs: int | None
    data_dir: Path | None
    teacher_file: Path | None
    threads: int | None
    checkpoint_every: int | None
    progress_every: float
    verbosity: str | None
    log: Path | None
    tensorboard: Path | None


@click.command(cls=GroupedCommand)
@run_argument
@click.option(
    "--epochs", type=click.IntRange(min=1), help="Total number of epochs, more than before; also for a finished run."
)
@data_dir_option
@teacher_option
@execution_options
@takes(ResumeOptions)
def resume(options: ResumeOptions) -> None:
    """Continue the training of a run file, which holds the configuration and the place of the data.

    The result is that of a training that was never stopped. --epochs extends the run: from here on the learning rate
    follows the schedule of the new number of epochs, and the file records the mini-batch at which that begins.

    \b
    Examples:
      spikesim resume run.h5
      spikesim resume run.h5 --epochs 20
    """
    click.get_current_context().with_resource(outlived_output())
    ranks = take_ranks()
    tell_compilation(options.progress_every, options.verbosity)

    from spikesim.ep.training.extension import extended
    from spikesim.ep.training.run_store import RunOptions
    from spikesim.ep.training.trainer import Trainer

    path, soft_targets = Path(options.run), None
    config, dataset, command_line = _begun(path, options.data_dir)
    if options.epochs is not None:
        config = extended(config, path, options.epochs)
    if options.teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, options.teacher_file)
    run = RunOptions(
        out=path,
        resume=True,
        threads=options.threads or available_threads(ranks),
        checkpoint_every=options.checkpoint_every,
        command_line=command_line or shlex.join(["spikesim", *sys.argv[1:]]),
        going_on=_going_on(),
    )
    with observed(options, ranks, resume=True) as observer:
        trainer = Trainer(config, dataset, run, observer, soft_targets, ranks)
        introduce(trainer, dataset, observer)
        train_to_the_end(trainer)


def _begun(path: Path, data_dir: Path | None) -> "tuple[Config, Dataset, str]":
    """The configuration, the data and the command line of a run.

    Of one whose file is damaged or missing, from the log beside it, without the command line.
    """
    from spikesim.ep.config.parsing import config_of_run
    from spikesim.ep.inputs.dataset import load_dataset, load_of_run
    from spikesim.ep.runs.reader import RunReader
    from spikesim.ep.runs.row_log import log_path, logged_config
    from spikesim.errors import DamagedError, InputError
    from spikesim.io.checkpoint import checkpoint_folder

    try:
        with RunReader(path) as reader:
            return (*load_of_run(config_of_run(reader.config), reader, data_dir), reader.command_line)
    except InputError as error:
        logged = logged_config(log_path(checkpoint_folder(path)))
        if logged is None or not (isinstance(error, DamagedError) or not path.exists()):
            raise
    return (*load_dataset(config_of_run(logged), data_dir), "")


def _going_on() -> str:
    """What goes on from here, should it be stopped: the epochs are those of the file by then."""
    words = ["spikesim", *sys.argv[1:]]
    given = [number for number, word in enumerate(words) if word.partition("=")[0] == "--epochs"]
    if given:
        del words[given[0] : given[0] + (1 if "=" in words[given[0]] else 2)]
    return shlex.join(words)
