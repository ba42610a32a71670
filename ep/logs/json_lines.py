"""A training as JSON lines: an object for each mini-batch, epoch and message, in the order in which they come."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

from spikesim import __version__
from spikesim.ep.logs.file_log import FileLog, hashes_of
from spikesim.ep.logs.waiting_file import WaitingFile
from spikesim.ep.training.observer import Beginning, EpochSummary, Progress
from spikesim.errors import InputError

__all__ = ["JsonLog"]


class JsonLog(FileLog):
    """Writes what it is told to a file, a line of JSON each; a context that writes the last lines when it ends.

    A training that goes on from a checkpoint goes on with its file: lines of mini-batches and epochs behind the
    checkpoint are taken away first, for these are trained again. A file that cannot be written ends no training: its
    lines wait until it can be.

    Parameters
    ----------
    path : Path
    resume, overwrite : bool
        What to do with a file that exists: go on with it, or replace it; of both, go on.

    Raises
    ------
    InputError
        It exists, and is neither to be continued nor to be replaced; or its folder is missing.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False, overwrite: bool = False) -> None:
        super().__init__()
        self._path = Path(path)
        self._resume = resume
        self._before: list[bytes] = []  # what is told before the file is open
        if not self._path.parent.is_dir():
            raise InputError(f"the folder {self._path.parent} of the log does not exist; make it, or choose another")
        if self._path.is_file() and not resume and not overwrite:
            raise InputError(
                f"{self._path} exists; choose another log, replace it with --overwrite, or --resume the run"
            )

    def begin(self, beginning: Beginning) -> None:
        """Open the file where the training begins.

        Raises
        ------
        InputError
            The file is that of another run, no log, or cannot be written.
        """
        hashes = hashes_of(beginning)
        try:
            length = self._kept(beginning, hashes) if self._resume and self._path.is_file() else 0
            self._file = WaitingFile(self._path, length)
        except OSError as error:
            raise InputError(f"cannot write {self._path}: {error.strerror}; choose another log") from error
        self._add(
            "begin",
            run=os.path.abspath(beginning.out),
            spikesim=__version__,
            config_hash=hashes[0],
            epoch=beginning.epoch,
            batch=beginning.batch,
            epochs=beginning.config.optimizer.epochs,
            batches=beginning.batches,
            samples=beginning.samples,
            config=beginning.config.to_dict(),
        )
        for line in self._before:
            self._file.add(line)
        self._file.flush()

    def message(self, text: str) -> None:
        """A line."""
        self._add("message", level="info", text=text)

    def warning(self, text: str) -> None:
        """A line."""
        self._add("message", level="warning", text=text)

    def batch(self, progress: Progress) -> None:
        """A line."""
        self._add(
            "batch",
            epoch=progress.epoch,
            batch=progress.batch,
            samples=progress.samples,
            loss=_finite(progress.loss),
            accuracy=progress.accuracy,
            activity=progress.activity,
            learning_rate=progress.learning_rate,
            beta=progress.beta,
            seconds=round(progress.seconds, 6),
        )

    def epoch(self, summary: EpochSummary) -> None:
        """A line."""
        self._add(
            "epoch",
            epoch=summary.epoch,
            train_loss=_finite(summary.train_loss),
            train_accuracy=summary.train_accuracy,
            test_loss=_finite(summary.test_loss),
            test_accuracy=summary.test_accuracy,
            tested_on=summary.tested_on,
            seconds=round(summary.seconds, 6),
        )
        if self._file is not None:
            self._file.flush()

    def _add(self, event: str, **values: Any) -> None:
        entry = {"event": event, "time": round(time.time(), 3), **values}
        line = json.dumps(entry, allow_nan=False).encode() + b"\n"
        if self._file is None:
            self._before.append(line)
        else:
            self._file.add(line)

    def _kept(self, beginning: Beginning, hashes: list[str]) -> int:
        """Bytes of the lines before a mini-batch that is to be trained again.

        Raises
        ------
        InputError
            The file is that of another run, or no log.
        """
        length, own = 0, False
        with self._path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    event, place = entry["event"], (entry.get("epoch", 0), entry.get("batch", math.inf))
                    own = entry["config_hash"] in hashes if event == "begin" else own
                except (ValueError, LookupError, TypeError, AttributeError):
                    if line.endswith(b"\n"):
                        raise InputError(f"{self._path} is not the log of a training; choose another log") from None
                    break  # a kill has cut the last line
                if event in ("batch", "epoch") and place > (beginning.epoch + 1, beginning.batch):
                    break
                length += len(line)
        if length and not own:
            raise InputError(f"{self._path} is the log of a run with another configuration; choose another log")
        return length


def _finite(value: float) -> float | None:
    """JSON has no infinity."""
    return value if math.isfinite(value) else None
