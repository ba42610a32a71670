"""Commands as processes of this machine, so many at a time, that are all told to stop when this one is."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from spikesim.errors import InputError
from spikesim.runtime.stopping import EXIT_STOPPED

__all__ = ["Ended", "Job", "Workers"]

LOOK_SECONDS = 0.1
TAIL_BYTES = 8192


class Job(NamedTuple):
    """A command and the file to which its output is appended."""

    name: str
    command: list[str]
    log: Path


class Ended(NamedTuple):
    """How a job ended.

    Attributes
    ----------
    code : int
        Exit code, or less the number of the signal that killed it.
    seconds : float
    reason : str
        The last line of a failed job that says why; empty for others.
    """

    job: Job
    code: int
    seconds: float
    reason: str

    @property
    def stopped(self) -> bool:
        """Whether it can go on."""
        return self.code == EXIT_STOPPED


class _Running(NamedTuple):
    job: Job
    process: subprocess.Popen[bytes]
    began: float
    offset: int


class Workers:
    """Run jobs, so many at a time and in order. One that fails does not stop the others.

    Each has a session of its own, so that Ctrl-C reaches this process alone, which then tells them.

    Parameters
    ----------
    jobs : sequence of Job
    at_a_time : int
    began : callable
        Called with each job as it begins.
    ended : callable
        Called with each `Ended`.
    """

    def __init__(
        self, jobs: Sequence[Job], at_a_time: int, began: Callable[[Job], None], ended: Callable[[Ended], None]
    ) -> None:
        self._waiting = list(jobs)
        self._at_a_time = at_a_time
        self._began, self._ended = began, ended
        self._running: list[_Running] = []
        self._stop = False

    def request_stop(self) -> None:
        """Begin no more jobs and stop those that run; safe in a signal handler."""
        self._stop = True

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def run(self) -> None:
        """Run them to their ends, or to the stop.

        Raises
        ------
        InputError
            A log cannot be written.
        """
        told = False
        try:
            while self._running or (self._waiting and not self._stop):
                while self._waiting and len(self._running) < self._at_a_time and not self._stop:
                    self._begin(self._waiting.pop(0))
                if self._stop and not told:
                    self._tell()
                    told = True
                time.sleep(LOOK_SECONDS)
                self._collect()
        finally:
            self._tell()  # of what an error, or a second Ctrl-C, leaves behind

    def _begin(self, job: Job) -> None:
        try:
            with open(job.log, "ab") as log:
                offset = log.tell()
                process = subprocess.Popen(
                    job.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise InputError(f"cannot start {job.name} with its log {job.log}: {error.strerror}") from None
        self._running.append(_Running(job, process, time.monotonic(), offset))
        self._began(job)

    def _tell(self) -> None:
        for running in self._running:
            running.process.send_signal(signal.SIGTERM)

    def _collect(self) -> None:
        for running in list(self._running):
            code = running.process.poll()
            if code is None:
                continue
            self._running.remove(running)
            if self._stop and code == -signal.SIGTERM:  # before it could write anything
                code = EXIT_STOPPED
            reason = "" if code in (0, EXIT_STOPPED) else _reason(running.job.log, running.offset)
            self._ended(Ended(running.job, code, time.monotonic() - running.began, reason))


def _reason(log: Path, offset: int) -> str:
    """The last error that a job has printed, or its last line."""
    try:
        with open(log, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(offset, size - TAIL_BYTES))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    lines = [line.strip() for line in lines if line.strip()]
    errors = [line for line in lines if line.startswith("Error: ")]
    return (errors or lines or [""])[-1]
