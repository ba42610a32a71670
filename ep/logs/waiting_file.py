"""A file that is appended to beside a training: in pieces, and without ever ending the training."""

import os
import time
import warnings
from pathlib import Path

__all__ = ["WaitingFile"]

FLUSH_SECONDS = 1.0
"""What comes within this time is written in one piece."""


class WaitingFile:
    """Bytes at the end of a file. What cannot be written waits, and is tried again with what comes later.

    Parameters
    ----------
    path : Path
    length : int
        Bytes of a file that exists that stay; what is behind them goes.

    Raises
    ------
    OSError
        It cannot be opened.
    """

    def __init__(self, path: Path, length: int = 0) -> None:
        self._path = path
        self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        if path.is_file():
            os.ftruncate(self._number, length)
        self._waiting = bytearray()
        self._flushed = time.monotonic()
        self._told = False

    def add(self, content: bytes) -> None:
        """Append, at the latest with what comes a second later."""
        self._waiting += content
        if time.monotonic() - self._flushed >= FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits; the first failure is a warning."""
        self._flushed = time.monotonic()
        try:
            while self._waiting:
                del self._waiting[: os.write(self._number, self._waiting)]
        except OSError as error:
            if not self._told:
                self._told = True
                reason = f"{self._path} cannot be written: {error.strerror}"
                warnings.warn(f"{reason}; the training continues and keeps the lines in memory", stacklevel=2)

    def close(self) -> None:
        """Write what waits; what cannot be written is lost with a warning."""
        self.flush()
        os.close(self._number)
        if self._waiting:
            warnings.warn(f"{self._path} lacks its last {len(self._waiting)} bytes", stacklevel=2)
