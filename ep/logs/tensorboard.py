"""A training as event files, which TensorBoard shows while it runs."""

import json
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikesim.ep.logs.file_log import FileLog, hashes_of
from spikesim.ep.logs.waiting_file import WaitingFile
from spikesim.ep.training.observer import Beginning, EpochSummary, Progress
from spikesim.errors import InputError

__all__ = ["TensorBoardLog"]

FILES = "events.out.tfevents.*"
HASH_DIGITS = 16
"""Of the configuration, at the end of the name of an event file."""


class TensorBoardLog(FileLog):
    """Writes scalars over the mini-batches of the run into a folder; a context that writes the last when it ends.

    Of a training that goes on from a checkpoint, TensorBoard passes over what files of before have of mini-batches that
    are trained again. Events are those of tensorboardX, but not its writer: its queue stops a training when the disk is
    full.

    Parameters
    ----------
    folder : Path
        Is made if it does not exist.
    resume, overwrite : bool
        What to do with event files in it: go on with them, or replace them; of both, go on.

    Raises
    ------
    InputError
        tensorboardX is missing, or there are event files that are neither to be continued nor to be replaced.
    """

    def __init__(self, folder: str | os.PathLike[str], *, resume: bool = False, overwrite: bool = False) -> None:
        super().__init__()
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise InputError(
                "event files need tensorboardX, which is not installed; pip install 'spikesim[tensorboard]' brings it"
            ) from None
        self._folder = Path(folder)
        self._resume = resume
        self._batches = 0
        if self._folder.exists() and not self._folder.is_dir():
            raise InputError(f"{self._folder} is a file; event files go into a folder of their own")
        if not resume and not overwrite and any(self._folder.glob(FILES)):
            raise InputError(
                f"{self._folder} has event files; choose another folder, replace them with --overwrite, or --resume"
            )

    def begin(self, beginning: Beginning) -> None:
        """Open an event file.

        Raises
        ------
        InputError
            The newest one is that of another run, or none can be written.
        """
        from tensorboardX.proto.event_pb2 import SessionLog
        from tensorboardX.summary import text

        self._batches = beginning.batches
        done = self._step(beginning.epoch, beginning.batch)
        hashes = [whole[:HASH_DIGITS] for whole in hashes_of(beginning)]
        files = sorted(self._folder.glob(FILES), key=lambda path: path.stat().st_mtime)
        if self._resume and files and files[-1].suffix[1:] not in hashes:
            raise InputError(
                f"{self._folder} has event files of a run with another configuration; choose another folder"
            )
        name = FILES.replace("*", f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}.{hashes[0]}")
        try:
            self._folder.mkdir(exist_ok=True)
            for path in files if not self._resume else ():
                path.unlink()
            self._file = WaitingFile(self._folder / name)
        except OSError as error:
            raise InputError(f"cannot write into {self._folder}: {error.strerror}; choose another folder") from error
        self._write(file_version="brain.Event:2")
        if self._resume and files:
            self._write(step=done + 1, session_log=SessionLog(status=SessionLog.START))
        shown = f"    {json.dumps(beginning.config.to_dict(), indent=1)}".replace("\n", "\n    ")
        self._write(step=done, summary=text("configuration", shown))
        self._file.flush()

    def batch(self, progress: Progress) -> None:
        """The figures of a mini-batch."""
        values = {
            "loss/mini-batch": progress.loss,
            "accuracy/mini-batch": progress.accuracy,
            "activity/mini-batch": progress.activity,
            "schedule/learning rate": progress.learning_rate,
            "schedule/beta": progress.beta,
            "seconds/mini-batch": progress.seconds,
        }
        self._add(values, self._step(progress.epoch - 1, progress.batch))

    def epoch(self, summary: EpochSummary) -> None:
        """The figures of an epoch, at its last mini-batch."""
        values = {
            "loss/training": summary.train_loss,
            "accuracy/training": summary.train_accuracy,
            f"loss/{summary.tested_on}": summary.test_loss,
            f"accuracy/{summary.tested_on}": summary.test_accuracy,
            "seconds/epoch": summary.seconds,
        }
        self._add(values, self._step(summary.epoch, 0))
        if self._file is not None:
            self._file.flush()

    def _add(self, values: Mapping[str, float], step: int) -> None:
        from tensorboardX.proto.summary_pb2 import Summary

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step=step, summary=Summary(value=scalars))

    def _write(self, **fields: Any) -> None:
        """Add an event, as a record of TensorFlow."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import masked_crc32c

        content = Event(wall_time=time.time(), **fields).SerializeToString()
        length = struct.pack("<Q", len(content))
        if self._file is not None:
            for part in (length, content):
                self._file.add(part + struct.pack("<I", masked_crc32c(part)))

    def _step(self, epochs: int, batches: int) -> int:
        """Mini-batches since the beginning of the run."""
        return epochs * self._batches + batches
