"""Standard output and standard error as they are in practice: full, closed, or without a character that is printed."""

import codecs
import errno
import io
import os
import select
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from spikesim.runtime.printable import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["EXIT_PIPE", "OutputLost", "guarded_streams", "outlived_output", "plain_warnings"]

EXIT_PIPE = 128 + signal.SIGPIPE
"""What a shell reports of a program whose reader has gone."""
_STREAMS = {"stdout": 1, "stderr": 2}
_ERRORS = "spikesim.replaced"


class OutputLost(Exception):
    """Standard output cannot be written; what follows is dropped.

    Attributes
    ----------
    is_pipe : bool
        Its reader has gone, as in ``spikesim report run.h5 | head``: that is nobody's fault.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"standard output cannot be written: {error.strerror}")
        self.is_pipe = error.errno == errno.EPIPE


class _Guard(io.RawIOBase):
    """A file descriptor that drops what it cannot write, after an `OutputLost` if it is `strict`.

    Every write is tried: a disk may have room again, and then a log goes on.
    """

    def __init__(self, number: int, *, strict: bool) -> None:
        self.strict = strict
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer") -> int:
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                select.select([], [self._number], [])
            except OSError as error:
                if not self.strict:
                    return memoryview(data).nbytes
                self.strict = False
                raise OutputLost(error) from None


def _replaced(error: UnicodeError) -> tuple[bytes, int]:
    """A question mark for a character that an encoding lacks; the bytes of a name that could not be decoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return b"".join(bytes([ord(c) - 0xDC00]) if "\udc80" <= c <= "\udcff" else b"?" for c in text), error.end


class _Stream(io.TextIOWrapper):
    """A text stream on a guard; characters that its encoding lacks become question marks.

    It shows no `buffer`, where click would write UTF-8 if the encoding is ASCII.
    """

    buffer = None  # type: ignore[assignment]

    def __init__(self, guard: _Guard, old: TextIO | None) -> None:
        self.guard = guard
        super().__init__(
            io.BufferedWriter(guard),
            encoding=getattr(old, "encoding", "utf-8"),
            errors=_ERRORS,
            line_buffering=getattr(old, "line_buffering", True),
        )


def _take_numbers() -> None:
    """Open what is closed of the first three descriptors: a file would get that number, and what is printed with it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """While in the context, writing to ``sys.stderr`` never fails and writing to ``sys.stdout`` with `OutputLost` only.

    What is written to a stream that was closed from the start is dropped. Streams that somebody has replaced are left
    alone.
    """
    _take_numbers()
    codecs.register_error(_ERRORS, _replaced)
    replaced = {name: getattr(sys, name) for name in _STREAMS if getattr(sys, name) is getattr(sys, f"__{name}__")}
    for name, old in replaced.items():
        if old is not None:
            old.flush()
        setattr(sys, name, _Stream(_Guard(_STREAMS[name], strict=name == "stdout"), old))
    try:
        yield
    finally:
        for name, old in replaced.items():
            setattr(sys, name, old)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """While in the context, a warning is a line without the place in the code that gives it."""

    def show(message: Warning | str, *place: object, **more: object) -> None:
        print(f"warning: {printable(str(message))}", file=sys.stderr)

    previous = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = previous


@contextmanager
def outlived_output() -> Iterator[None]:
    """While in the context, what cannot be printed is dropped, and the terminal can be closed: the work goes on."""
    if isinstance(sys.stdout, _Stream):
        sys.stdout.guard.strict = False
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, previous)
