"""``spikesim simulate``: run a sparse network that a TOML file describes."""

import math
import shlex
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import available_threads, make_console, takes, tell_compilation
from spikesim.cli.launch import refuse_ranks
from spikesim.runtime.stopping import stop_on_signals

if TYPE_CHECKING:
    from spikesim.sparse.description import Description
    from spikesim.sparse.job import Job, JobProgress
    from spikesim.sparse.learning.job import LearningJob, LearningProgress


@dataclass(frozen=True)
class SimulateOptions:
    """Options of the command."""

    network: Path
    steps: int | None
    epochs: int | None
    out: Path
    trials: int | None
    seed: int | None
    threads: int | None
    resume: bool
    overwrite: bool
    progress_every: float


@click.command()
@click.argument("network", metavar="NET.toml", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(min=1), help="Steps in total, from the beginning of the simulation.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    help="Of a network with [learning], instead of steps: epochs in total.  [default: as in the file]",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file of the simulation, HDF5.")
@click.option("--trials", type=click.IntRange(min=1), help="Independent repetitions.  [default: as in the file, or 1]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all random numbers.  [default: as in the file, or 0]")
@click.option(
    "--threads",
    type=click.IntRange(min=1, max=1024),
    help="Threads, for trials and for large populations.  [default: as for train]",
)
@click.option("--resume", is_flag=True, help="Continue the file if it exists, also to more steps.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists; ignored with --resume.")
@click.option(
    "--progress-every",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between lines of progress.",
)
@takes(SimulateOptions)
def simulate(options: SimulateOptions) -> None:
    """Simulate a network of populations, synapses with delays, and inputs, event by event.

    spikesim manual sparse-networks has the keys of NET.toml. With [learning] the network is trained for epochs.
    Ctrl-C and SIGTERM save the state and exit with 75; the same command with --resume continues to the same result.

    \b
    Example:
      spikesim simulate balanced.toml --steps 1000 --out balanced.h5
      spikesim simulate xor.toml --out xor.h5
    """
    refuse_ranks("simulate")
    tell_compilation(options.progress_every)

    from spikesim.cli.sample_source import DatasetSamples
    from spikesim.ep.parallel.communicator import Alone
    from spikesim.sparse.description import read_network
    from spikesim.sparse.simulation import RoundingWarning

    named = {"trials": options.trials, "seed": options.seed, "epochs": options.epochs}
    given = {key: value for key, value in named.items() if value is not None}
    description = read_network(options.network, samples=DatasetSamples(options.network.parent), **given)
    kind = _kind(options, description)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", RoundingWarning)
        job = kind(
            description,
            options.out,
            threads=options.threads or available_threads(Alone()),
            resume=options.resume,
            overwrite=options.overwrite,
            command_line=shlex.join(["spikesim", *sys.argv[1:]]),
        )
    for warning in told:
        click.echo(f"warning: {warning.message}", err=True)
    if job.note:
        click.echo(job.note, err=True)
    with stop_on_signals(job.request_stop):
        _run(job, options)
    click.echo(f"simulation file: {options.out}")


def _kind(options: SimulateOptions, description: "Description") -> "type[Job]":
    """The job for a network that learns, or for one that does not."""
    from spikesim.errors import InputError
    from spikesim.sparse.job import Job
    from spikesim.sparse.learning.job import LearningJob

    if description.learning is None:
        if options.steps is None:
            raise InputError("--steps is missing; give the number of steps to simulate")
        return Job
    if options.steps is not None:
        raise InputError("--steps is given, and the network learns: its phases have steps; give --epochs, or nothing")
    return LearningJob


def _run(job: "Job", options: SimulateOptions) -> None:
    from spikesim.sparse.learning.job import LearningJob

    if isinstance(job, LearningJob):
        job.learn(_EpochLines(options.progress_every))
        _summarise_learning(job)
    else:
        assert options.steps is not None
        _summarise(job, job.run(options.steps, _Lines(options.progress_every)))


class _EpochLines:
    """A line on standard error for an epoch, every so many seconds, and for the last one."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -math.inf

    def __call__(self, progress: "LearningProgress") -> None:
        if time.monotonic() - self._last >= self._seconds or progress.epoch == progress.epochs:
            from spikesim.cli.simulations.tables import learned_words

            self._last = time.monotonic()
            click.echo(f"epoch {progress.epoch}/{progress.epochs}: {learned_words(progress.numbers)}", err=True)


class _Lines:
    """A line on standard error every so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self, progress: "JobProgress") -> None:
        if time.monotonic() - self._last < self._seconds:
            return
        self._last = time.monotonic()
        click.echo(f"step {progress.step}/{progress.steps}, {_speed(progress)}", err=True)


def _speed(progress: "JobProgress") -> str:
    return f"{progress.events / max(progress.seconds, 1e-9) / 1e6:.1f} M synaptic events/s"


def _summarise_learning(job: "LearningJob") -> None:
    from spikesim.cli.simulations.tables import learned_words
    from spikesim.runtime.text import counted

    done = job.progress
    samples = f"{len(job.task.train.inputs)} samples in batches of {job.task.batch_size}"
    click.echo(f"{counted(done.epoch, 'epoch')} of {samples}: {learned_words(done.numbers)}")


def _summarise(job: "Job", progress: "JobProgress") -> None:
    from spikesim.cli.terminal.tables import Table, print_table
    from spikesim.runtime.text import counted

    simulation, description = job.simulation, job.description
    trials = range(simulation.trials)
    dt = simulation.dt
    length = counted(simulation.step, "step") + (f" of {dt:g} ms" if dt else "")
    table = Table(f"{length}, {counted(simulation.trials, 'trial')}", ("population",))
    table.add_columns("neurons", "spikes", "rate" if dt else "fire in a step", "visits")
    for population in description.network.populations:
        spikes = sum(int(simulation.spike_counts(population, trial).sum()) for trial in trials)
        visits = sum(int(simulation.updates(trial)[population.index]) for trial in trials)
        chances = population.size * simulation.step * simulation.trials
        rate = f"{1000 / dt * spikes / chances:.3g} Hz" if dt else f"{spikes / chances:.3%}"
        table.add_row(population.name, str(population.size), f"{spikes:,}", rate, f"{visits / chances:.1%}")
    console = make_console()
    print_table(console, table)
    events = sum(int(simulation.events(trial).sum()) for trial in trials)
    speed = f"; {_speed(progress)} on {counted(simulation.threads, 'thread')}" if progress.seconds > 0 else ""
    console.print(f"{events:,} synaptic event{'' if events == 1 else 's'}{speed}")
