"""``spikesim train``: train a network, into a run file."""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import available_threads, takes, tell_compilation
from spikesim.cli.configuration import configuration_options, resolve, take_teacher, teacher_option
from spikesim.cli.launch import refuse_ranks, take_ranks
from spikesim.cli.terminal.streams import outlived_output
from spikesim.runtime.stopping import end_on_signals, stop_on_signals

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config


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


def _require_out(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    if value is None and not context.params["dry_run"]:
        raise click.MissingParameter(ctx=context, param=option)
    return value


@click.command()
@configuration_options()
@teacher_option
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=1024),
    help="Threads; they change the time, never a bit.  [default: $SLURM_CPUS_PER_TASK or the cores at hand]",
)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(min=1),
    help="Mini-batches between checkpoints; there is always one after an epoch.  [default: once a minute]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=_require_out,
    help="The run file, HDF5; only a dry run needs none.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    is_eager=True,
    help="Train for some seconds, write nothing, and print how long the whole run will take and what it will need.",
)
@click.option("--resume", is_flag=True, help="Go on with the run file if it exists.")
@click.option(
    "--overwrite", is_flag=True, help="Replace the run file if it exists; beside --resume, it counts for nothing."
)
@click.option(
    "--progress-every",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between lines of progress where there is no terminal.",
)
@takes(TrainOptions)
def train(options: TrainOptions, keys: dict[str, Any]) -> None:
    """Train a network of probabilistic spiking neurons by equilibrium propagation.

    The run is configured by the defaults, then --config, then --set, then the options. Ctrl-C, SIGTERM and SIGUSR1
    write a checkpoint and exit with 75; the same command with --resume goes on to the same result. A log that cannot be
    written and a terminal that is closed end nothing. Started as several processes by mpiexec or srun, it shares the
    samples of each mini-batch among them (docs/cluster.md).

    With --dry-run nothing is written or resumed: a few mini-batches and a part of the test are run and thrown away, and
    the time of a run from its beginning is estimated from them. Any signal ends it at once.

    \b
    Examples:
      spikesim train --arch conv --dataset fashion-mnist-mini --out run.h5
      spikesim train --arch vgg11 --dataset cifar10 --threads 8 --dry-run
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
    tell_compilation(options.progress_every)

    from spikesim.cli.terminal.progress import make_observer
    from spikesim.cli.views.estimate import print_estimate
    from spikesim.ep.inputs.dataset import load_dataset
    from spikesim.ep.training.dry_run import DryRun
    from spikesim.ep.training.run_store import RunOptions
    from spikesim.ep.training.trainer import Trainer
    from spikesim.runtime.text import counted

    config, dataset = load_dataset(config, options.data_dir, options.out if options.resume else None)
    soft_targets = None
    if options.teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, options.teacher_file)
    run = RunOptions(
        out=options.out or Path(),
        resume=options.resume,
        overwrite=options.overwrite,
        threads=options.threads or available_threads(ranks),
        checkpoint_every=options.checkpoint_every,
        command_line=shlex.join(["spikesim", *sys.argv[1:]]),
    )
    with make_observer(options.progress_every, silent=ranks.rank > 0, plain=options.dry_run) as observer:
        trainer = (DryRun if options.dry_run else Trainer)(config, dataset, run, observer, soft_targets, ranks)
        processes = f"{ranks.size} processes of " if ranks.size > 1 else ""
        observer.message(
            f"{config.model.arch} on {dataset.name} ({dataset.source}): "
            f"{counted(trainer.samples, 'training sample')}, {counted(trainer.batches, 'mini-batch')} an epoch, "
            f"{processes}{counted(run.threads, 'thread')}, seed {config.seed}"
        )
        if ranks.rank == 0:
            if config.data.validation:
                held = counted(len(trainer.dataset.test), "training sample")
                observer.message(f"tests are made on {held} held out for validation, not on the test set")
            for line in _what_was_read(trainer.config, dataset):
                observer.message(line)
        if isinstance(trainer, DryRun):
            print_estimate(trainer.measure(time.perf_counter() - began))
            return
        with stop_on_signals(trainer.request_stop):
            trainer.run()
    if ranks.rank == 0:
        click.echo(f"run file: {options.out}")


def _what_was_read(config: "Config", dataset: "Dataset") -> list[str]:
    """What the data set holds, in one line, and a line for each thing that looks odd."""
    from dataclasses import replace

    from spikesim.datasets.inspection.plausibility import of_limit, warnings
    from spikesim.datasets.inspection.summary import facts, summarise

    summary = replace(summarise(dataset), followed=config.data.duration if dataset.recordings else None)
    odd = [
        *warnings(summary),
        *of_limit(dataset.train.labels, config.data.limit, "data.limit"),
        *of_limit(dataset.test.labels, config.data.test_limit, "data.test_limit"),
    ]
    return [f"data: {'; '.join(facts(summary))}", *(f"warning: {line}" for line in odd)]
