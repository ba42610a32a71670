"""``spikesim train``: train a network, into a run file."""

import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import available_threads
from spikesim.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikesim.datasets import Dataset
    from spikesim.ep.config import Config

# Options that stand for a key of the configuration, in the order of --help.
_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("--arch", "model.arch", str),
    ("--dataset", "data.dataset", str),
    ("--width", "model.width", float),
    ("--epochs", "optimiser.epochs", int),
    ("--batch-size", "data.batch_size", int),
    ("--limit", "data.limit", int),
    ("--test-limit", "data.test_limit", int),
    ("--steps-free", "dynamics.steps_free", int),
    ("--steps-nudged", "dynamics.steps_nudged", int),
    ("--beta", "dynamics.beta", float),
    ("--inference", "dynamics.inference", str),
    ("--noise", "dynamics.noise", str),
    ("--firing", "dynamics.firing", str),
    ("--pooling", "dynamics.pooling", str),
    ("--signals", "signals.kind", str),
    ("--target-rate", "stability.target_rate", float),
    ("--seed", "seed", int),
)


def _configuration_options(command: Any) -> Any:
    """Add an option for each of the keys; its help and default are those of the configuration."""
    from spikesim.ep.config import describe

    rows = {key: (default, allowed, text) for key, default, allowed, text in describe()}
    for flag, key, kind in reversed(_KEYS):
        default, allowed, text = rows[key]
        notes = [f"[{allowed}]"] if allowed else []
        if default is not None:
            notes.append(f"[default: {default}]")
        option = click.option(flag, key.replace(".", "__"), type=kind, help=" ".join([text, *notes]))
        command = option(command)
    return command


@click.command()
@_configuration_options
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of data sets.  [default: $SPIKESIM_DATA]")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="TOML file with any key of the configuration (docs/configuration.md).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set any key of the configuration, after the file and before the options above; may be repeated.",
)
@click.option(
    "--teacher",
    "teacher_file",
    metavar="FILE.h5",
    type=click.Path(path_type=Path),
    help="Teacher file (docs/teacher-file.md), for --signals kd and both; 'spikesim teacher' makes one of a run.",
)
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
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The run file, HDF5.")
@click.option("--resume", is_flag=True, help="Go on with the run file if it exists.")
@click.option("--overwrite", is_flag=True, help="Replace the run file if it exists.")
@click.option(
    "--progress-every",
    type=click.FloatRange(min=0.1),
    default=10.0,
    show_default=True,
    help="Seconds between lines of progress where there is no terminal.",
)
def train(
    data_dir: Path | None,
    config_file: Path | None,
    settings: tuple[str, ...],
    teacher_file: Path | None,
    threads: int | None,
    checkpoint_every: int | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    progress_every: float,
    **keys: Any,
) -> None:
    """Train a network of probabilistic spiking neurons by equilibrium propagation.

    The run is configured by the defaults, then --config, then --set, then the options. Ctrl-C and SIGTERM write a
    checkpoint and exit with 75; the same command with --resume goes on to the same result.

    \b
    Example:
      spikesim train --arch conv --dataset fashion-mnist-mini --out run.h5
    """
    config = resolve(config_file, settings, {key.replace("__", "."): value for key, value in keys.items()})

    from spikesim.cli.progress import make_observer
    from spikesim.datasets import load
    from spikesim.ep.trainer import RunOptions, Trainer

    dataset = load(config.data.dataset, data_dir)
    soft_targets = None
    if teacher_file is not None:
        config, soft_targets = take_teacher(config, dataset, teacher_file)
    options = RunOptions(
        out=out,
        resume=resume,
        overwrite=overwrite,
        threads=threads or available_threads(),
        checkpoint_every=checkpoint_every,
        command_line=shlex.join(["spikesim", *sys.argv[1:]]),
    )
    with make_observer(progress_every) as observer:
        trainer = Trainer(config, dataset, options, observer, soft_targets)
        observer.message(
            f"{config.model.arch} on {dataset.name} ({dataset.source}): {trainer.samples} training samples, "
            f"{trainer.batches} mini-batches an epoch, {options.threads} threads, seed {config.seed}"
        )
        with stop_on_signals(trainer.request_stop):
            trainer.run()
    click.echo(f"run file: {out}")


def resolve(config_file: Path | None, settings: tuple[str, ...], options: dict[str, Any]) -> "Config":
    """The configuration of a command line.

    Parameters
    ----------
    config_file : path of a TOML file, or None
    settings : ``key=value`` texts
    options : key to value; None for an option that was not given
    """
    from spikesim.ep.config import make_config, merge, parse_setting, read_toml

    values = read_toml(config_file) if config_file is not None else {}
    values = merge(values, [parse_setting(text) for text in settings])
    return make_config(merge(values, [(key, value) for key, value in options.items() if value is not None]))


def take_teacher(config: "Config", dataset: "Dataset", path: Path) -> "tuple[Config, NDArray[np.float64]]":
    """The configuration with the digest of a teacher file, and the teacher's softened answers.

    The digest stands for the teacher in the configuration and the path does not, so that a run goes on with the same
    logits only, wherever they lie.

    Raises
    ------
    InputError
        The signals have no use for a teacher, or the configuration names another one.
    """
    from spikesim.ep.config import make_config, merge
    from spikesim.ep.signals import has_teacher
    from spikesim.ep.teacher import read_teacher, soften

    signals = config.signals
    if not has_teacher(signals):
        raise InputError(
            f"--teacher has no use with signals.kind {signals.kind!r}; leave it out, or add --signals kd or both"
        )
    teacher = read_teacher(path, dataset)
    if signals.teacher not in ("", teacher.digest):
        raise InputError(
            f"signals.teacher is {signals.teacher!r}, but the digest of {path} is {teacher.digest!r}; "
            "give the file of that digest, or leave the key out"
        )
    named = make_config(merge(config.to_dict(), [("signals.teacher", teacher.digest)]))
    return named, soften(teacher.logits, signals.temperature)


class stop_on_signals:
    """While in the context, SIGINT and SIGTERM call `request_stop`; a second one ends the program the usual way."""

    def __init__(self, request_stop: Callable[[], None]) -> None:
        self._request_stop = request_stop
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "stop_on_signals":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def _handle(self, number: int, _: object) -> None:
        signal.signal(number, self._previous[number])
        self._request_stop()
