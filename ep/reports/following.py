"""A run, or a simulation, that is followed while another process writes it, to its end, however it ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from spikesim.ep.analysis.summary import EpochMetrics, Report, make_report
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError
from spikesim.io.hdf5_tables import FollowedFile
from spikesim.io.lock import lock_holder

__all__ = ["RUNNING", "Snapshot", "follow", "follow_file", "state_words"]

RUNNING, STOPPED, FINISHED, ENDED = "running", "stopped", "finished", "ended"
LOOKS = 3
"""A file that cannot be read is looked at as often before it counts as damaged: its writer may just be closing it."""
SHARE = 4
"""Pauses are this many times as long as a look, at least: following a long run takes a fifth of a core at most."""


_File = TypeVar("_File", bound=FollowedFile)
_Look = TypeVar("_Look")


@dataclass(frozen=True)
class Snapshot:
    """A run at one time.

    Attributes
    ----------
    state : str
        ``"running"``, ``"stopped"``, ``"finished"``, or ``"ended"``: no process writes it, and it is not finished.
    holder : str or None
        The process that writes it.
    report : Report
        Its numbers; the table by layer is that of the epoch in progress, or else of the last one.
    epochs : int or None
        Epochs that the run is to have.
    samples : int or None
        Training samples of an epoch, as far as the file tells.
    """

    state: str
    holder: str | None
    report: Report
    epochs: int | None
    samples: int | None

    @property
    def last(self) -> EpochMetrics | None:
        """The epoch in progress, or else the last one; None before the first mini-batch has ended."""
        return self.report.epochs[-1] if self.report.epochs else None

    @property
    def samples_per_second(self) -> float | None:
        """Speed of the training in that epoch."""
        last = self.last
        return last.train_samples / last.seconds if last is not None and last.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the end of the run at the speed of this epoch and its tests; None where that is not known."""
        last, speed = self.last, self.samples_per_second
        if last is None or speed is None or self.epochs is None or self.samples is None:
            return None
        tests = [own.test_seconds for own in self.report.epochs if own.test_seconds is not None]
        test = sum(tests) / len(tests) if tests else 0.0
        complete = sum(own.complete for own in self.report.epochs)
        done = 0 if last.complete else last.train_samples
        return max(0.0, (self.epochs - complete) * (self.samples / speed + test) - done / speed)


class Standing(Protocol):
    """How a file that is written stands: a `Snapshot`, and the like of simulations."""

    @property
    def state(self) -> str:
        """As of `Snapshot`."""

    @property
    def holder(self) -> str | None:
        """As of `Snapshot`."""


def state_words(look: Standing | None) -> str:
    """How a run or a simulation stands."""
    if look is None:
        return "nothing was read"
    return {
        RUNNING: f"running ({look.holder})" if look.holder else "no process holds its lock; looking again",
        FINISHED: "finished",
        STOPPED: "stopped; the same command with --resume continues it",
        ENDED: "its process was killed or has crashed (nobody holds the lock); the same command with --resume "
        "continues it",
    }[look.state]


def follow(path: Path, interval: float = 2.0) -> Iterator[Snapshot]:
    """Look at a run until it ends.

    A file that says "running" while nobody holds its lock, and which stays as it is for another look, was left behind
    by a process that was killed or crashed.

    Parameters
    ----------
    path : Path
        The run file, which must exist. It may be replaced meanwhile, as ``--resume`` does.
    interval : float
        Seconds between looks, or more where a look takes long.

    Yields
    ------
    Snapshot
        Whenever something has changed, and at the end of the run.

    Raises
    ------
    InputError
        The file is missing, is no run file, or is damaged.
    """
    return follow_file(path, RunReader, lambda reader: (reader.status, reader.rows), _look, interval)


def follow_file(
    path: Path,
    open_file: Callable[[Path], _File],
    stand: Callable[[_File], tuple[str, object]],
    look: Callable[[_File, str, str | None], _Look],
    interval: float,
) -> Iterator[_Look]:
    """Look at a file until nobody writes it any more; see `follow`.

    Parameters
    ----------
    path : Path
    open_file : callable
        Makes a reader.
    stand : callable
        Status of the file, and what tells whether anything has changed.
    look : callable
        What to yield of a reader, the state (`Snapshot.state`) and the process that writes.
    interval : float

    Raises
    ------
    InputError
        As the reader does.
    """
    seen: object = None
    failures = 0
    while True:
        began = time.monotonic()
        holder = lock_holder(path)  # before the status: a writer sets that and then lets go of the lock
        try:
            with open_file(path) as reader:
                state, rows = stand(reader)
                mark = (state, holder, rows)
                abandoned = state == RUNNING and holder is None and mark == seen
                if abandoned or mark != seen:
                    yield look(reader, ENDED if abandoned else state, holder)
            failures = 0
        except InputError:
            failures += 1
            if seen is None or failures >= LOOKS:
                raise
        else:
            if abandoned or state != RUNNING:
                return
            seen = mark
        time.sleep(max(interval, SHARE * (time.monotonic() - began)))


def _look(reader: RunReader, state: str, holder: str | None) -> Snapshot:
    report = make_report(reader, current=True)
    epochs, limit = reader.setting("optimizer.epochs"), reader.setting("data.limit")
    complete = [own.train_samples for own in report.epochs if own.complete]
    samples = complete[-1] if complete else limit
    return Snapshot(
        state,
        holder,
        report,
        epochs if isinstance(epochs, int) else None,
        samples if isinstance(samples, int) else None,
    )
