"""Training from Python in one call: a run file like that of the command, and the network in it."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spikesim.datasets import Dataset
from spikesim.datasets.formats.image_arrays import of_arrays
from spikesim.datasets.formats.sequences import series_arrays
from spikesim.datasets.formats.sequences.series_arrays import SERIES
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.evaluation.network import TrainedNetwork, load
from spikesim.ep.inputs.dataset import load_dataset
from spikesim.ep.parallel.communicator import Alone
from spikesim.ep.training.observer import Observer, Observers
from spikesim.ep.training.progress_line import ProgressLine
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.ep.training.transfer.source import take_weights
from spikesim.errors import InputError, Stopped

__all__ = ["fit"]

LOOK_SECONDS = 0.2
"""Between two looks at whether somebody interrupts."""


def fit(
    data: str | os.PathLike[str] | Mapping[str, Any],
    out: str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    observers: Sequence[Observer] = (),
    progress: bool = True,
    threads: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> TrainedNetwork:
    """Train a network into a run file, as ``spikesim train`` does, to the same bits.

    Parameters
    ----------
    data : str, path or mapping of str to array_like
        Name of a data set, a file of images, or the arrays of such a file: ``train_images`` and ``test_images``, uint8
        of shape (n, height, width[, channels]), ``train_labels`` and ``test_labels``, integers from 0; perhaps
        ``crop`` and ``flip``; or of series, ``train_series`` and ``test_series``, (n, frames, channels), with their
        labels and perhaps ``train_lengths`` and ``test_lengths`` (``spikesim manual own-data``).
    out : path-like
        The run file.
    settings : mapping, optional
        Keys of the configuration in place of the defaults, ``{"model.arch": "conv", "optimizer.epochs": 3}``, or tables
        of them by section (``spikesim manual configuration``); ``preset`` and ``seed`` are keys, too. The data set is
        `data`. ``"model.weights": "other.h5"`` starts from the weights of another run (``spikesim manual transfer``).
    observers : sequence of Observer
        Are told of each mini-batch and epoch, on another thread than the caller's. One that raises `Stopped` ends the
        training after the present mini-batch.
    progress : bool
        Show a line of progress on standard error.
    threads : int, optional
        By default the cores that this process may use. They change no bit.
    resume, overwrite : bool
        What to do with a run file that exists: go on with it, or replace it.

    Returns
    -------
    TrainedNetwork
        As ``spikesim.load(out)`` gives it.

    Raises
    ------
    InputError
        Something that was given is wrong.
    Stopped
        An observer ended the training, or Ctrl-C or a notebook's interrupt did. What was learned is kept, and the same
        call with ``resume=True`` goes on to the same result.
    """
    config, dataset = _prepared(data, settings or {}, Path(out) if resume else None)
    watched = [*observers, *([ProgressLine()] if progress else [])]
    told = Observers(watched)
    run = RunOptions(Path(out), resume, overwrite, threads or Alone().cores_each())
    config, weights = take_weights(config)
    trainer = Trainer(config, dataset, run, told, weights=weights)
    told.request_stop = trainer.request_stop
    try:
        _interruptible(trainer)
    except Stopped as stop:
        where = str(stop).partition(";")[0] or "Stopped"
        raise Stopped(f"{where}; the same call with resume=True continues from there") from None
    return load(out)


def _prepared(
    data: str | os.PathLike[str] | Mapping[str, Any], settings: Mapping[str, Any], resumed: Path | None
) -> tuple[Config, Dataset]:
    """The configuration and the data set."""
    if "data.dataset" in settings:
        raise InputError(f"data.dataset is {settings['data.dataset']!r}; give it as the first argument of fit")
    if isinstance(data, Mapping):
        series = series_arrays.form_of_arrays(data) is SERIES
        dataset = series_arrays.of_arrays(data) if series else of_arrays(data)
        return make_config(merge({}, [*settings.items(), ("data.dataset", dataset.name)])), dataset
    if not isinstance(data, str | os.PathLike):
        raise InputError(f"data is of type {type(data).__name__}; give a name, a path or a mapping of arrays")
    return load_dataset(make_config(merge({}, [*settings.items(), ("data.dataset", os.fspath(data))])), None, resumed)


def _interruptible(trainer: Trainer) -> None:
    """Train on another thread; an interrupt on this one ends the training as a signal ends the command.

    No signal handler is installed, so it works on any thread; where signals come to another one, nothing interrupts.
    """
    failures: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            trainer.run()
        except BaseException as error:
            failures.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name="spikesim-fit").start()
    while not ended.is_set():
        try:
            ended.wait(LOOK_SECONDS)  # a join that is interrupted takes its thread for ended (Python 3.11)
        except KeyboardInterrupt:
            trainer.request_stop()
    if failures:
        raise failures[0]
