"""``spikesim train``: train a network, into a run file."""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from spikesim.cli.common import available_threads, takes, tell_compilation
from spikesim.cli.configuration import configuration_options, resolve, take_teacher, teacher_option
from spikesim.cli.help_groups import GroupedCommand, grouped
from spikesim.cli.launch import refuse_ranks, take_ranks
from spikesim.cli.terminal.streams import outlived_output
from spikesim.cli.training import execution_options, introduce, observed, train_to_the_end
from spikesim.runtime.stopping import end_on_signals


@dataclass(frozen=True)
class TrainOptions:
    """Options of the command."""

    data_dir: Path | None
    config_file: Path | None
    settings: tuple[str, ...]
    teacher_file: Path | None
    threads: int | None
    checkpoint_every: int | None
    out: Path | None
    dry_run: bool
    resume: bool
    overwrite: bool
    progress_every: float
    verbosity: str | None
    log: Path | None
    tensorboard: Path | None


def _require_out(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    if value is None and not context.params["dry_run"]:
        raise click.MissingParameter(ctx=context, param=option)
    return value


@click.command(cls=GroupedCommand)
@configuration_options()
@teacher_option
@execution_options
@grouped(
    "Run file",
    "--out",
    type=click.Path(path_type=Path),
    callback=_require_out,
    help="The run file, HDF5; only a dry run needs none.",
)
@grouped(
    "Execution",
    "--dry-run",
    is_flag=True,
    is_eager=True,
    help="Train for some seconds, write nothing, and print how long the whole run will take and what it will need.",
)
@grouped("Run file", "--resume", is_flag=True, help="Continue the run file if it exists.")
@grouped(
    "Run file",
    "--overwrite",
    is_flag=True,
    help="Replace the run file if it exists; ignored with --resume.",
)
@takes(TrainOptions)
def train(options: TrainOptions, keys: dict[str, Any]) -> None:
    """Train a network of probabilistic spiking neurons by equilibrium propagation.

    The run is configured by the defaults, then --config, then --set, then the options. Ctrl-C, SIGTERM and SIGUSR1
    write a checkpoint and exit with 75; spikesim resume, or the same command with --resume, continues to the same
    result. The training continues if a log cannot be written or the terminal is closed. Under mpiexec or srun the
    processes share the samples of each mini-batch (spikesim manual cluster).

    --dry-run writes and resumes nothing. It runs a few mini-batches and a part of the test, estimates the time of the
    whole run from them, and discards them. Any signal ends it at once.

    \b
    Examples:
      spikesim train --arch conv --dataset fashion-mnist-mini --out run.h5
      spikesim train --arch vgg11 --dataset cifar10 --threads 8 --dry-run
      spikesim train --init-from run.h5 --freeze conv1 --arch conv --dataset mine.npz --out onward.h5
      mpiexec -n 4 spikesim train --arch vgg11 --dataset cifar10 --out run.h5
    """
    began = time.perf_counter()
    if options.dry_run:
        refuse_ranks("train --dry-run")
        end_on_signals()
    else:
        click.get_current_context().with_resource(outlived_output())
    ranks = take_ranks()
    config = resolve(options.config_file, options.settings, keys)
    tell_compilation(options.progress_every, options.verbosity)

    from spikesim.cli.views.estimate import print_estimate
    from spikesim.ep.inputs.dataset import load_dataset
    from spikesim.ep.training.dry_run import DryRun
    from spikesim.ep.training.run_store import RunOptions
    from spikesim.ep.training.trainer import Trainer
    from spikesim.ep.training.transfer.source import take_weights

    config, dataset = load_dataset(config, options.data_dir, options.out if options.resume else None)
    soft_targets = None
    if options.teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, options.teacher_file)
    config, weights = take_weights(config)
    run = RunOptions(
        out=options.out or Path(),
        resume=options.resume,
        overwrite=options.overwrite,
        threads=options.threads or available_threads(ranks),
        checkpoint_every=options.checkpoint_every,
        command_line=shlex.join(["spikesim", *sys.argv[1:]]),
    )
    watching = observed(options, ranks, resume=options.resume, overwrite=options.overwrite, dry_run=options.dry_run)
    with watching as observer:
        trainer = (DryRun if options.dry_run else Trainer)(config, dataset, run, observer, soft_targets, ranks, weights)
        introduce(trainer, dataset, observer)
        if isinstance(trainer, DryRun):
            print_estimate(trainer.measure(time.perf_counter() - began))
            return
        train_to_the_end(trainer)
