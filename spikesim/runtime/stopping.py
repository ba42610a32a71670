"""Signals that stop a command which can be resumed, from its first moment to its last.

Imports nothing of the program: it is at work before the rest is imported.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["EXIT_STOPPED", "RESUMABLE", "SIGNALS", "end_on_signals", "stop_early", "stop_on_signals"]

EXIT_STOPPED = 75
RESUMABLE = ("train", "resume", "sweep", "simulate")
"""Commands that can be taken up, by the same command and --resume; `resume` and `sweep` need no option for that."""
DRY_RUN = "--dry-run"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""USR1 is what batch systems are asked to send some time before a job's end."""
TOGETHER_SECONDS = 1.0
"""Signals within this time are one: coreutils' timeout sends its signal to the process and to its group, and mpiexec
and other wrappers pass on what the process has received itself."""


def stop_early(command: str, *options: str) -> None:
    """From now on, until `stop_on_signals` takes over, a signal ends a command that can be resumed with 75.

    Nothing is open for writing then, so the process ends at once, as a kill would end it, in whatever import or
    compilation it is.

    Parameters
    ----------
    command : str
        The sub-command; nothing is done for one that cannot be resumed.
    options : str
        What follows it; with ``--dry-run`` there is nothing to resume.
    """
    if command in RESUMABLE and DRY_RUN not in options:
        for number in SIGNALS:
            signal.signal(number, _end)


def end_on_signals() -> None:
    """From now on a signal ends the process as the system does, wherever it is: for work of which nothing is kept."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    again = "the same command" if sys.argv[1:2] in (["resume"], ["sweep"]) else "the same command with --resume"
    text = f"Stopped by {signal.Signals(number).name}; {again} continues from there.\n"
    try:
        os.write(2, text.encode())
    except OSError:  # standard error is closed, or full
        pass
    os._exit(EXIT_STOPPED)


class stop_on_signals:
    """While in the context, SIGINT, SIGTERM and SIGUSR1 call `request_stop`; one that comes later ends the process.

    Behind it the handlers are those from before, but for those of `stop_early`: when the work is done or saved, nothing
    that comes while Python ends changes the exit code.

    Parameters
    ----------
    request_stop : callable
        Safe in a signal handler.
    """

    def __init__(self, request_stop: Callable[[], None]) -> None:
        self._request_stop = request_stop
        self._previous: dict[int, Any] = {}
        self._first: float | None = None

    def __enter__(self) -> "stop_on_signals":
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, signal.SIG_IGN if previous is _end else previous)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            self._request_stop()
        elif now - self._first >= TOGETHER_SECONDS:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.stderr.flush()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
