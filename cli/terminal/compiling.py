"""Telling that kernels are being compiled: the first start of a version is silent for a minute or more otherwise."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event

from spikesim.jit.compilation import cache_folder
from spikesim.jit.compile_time import COMPILING
from spikesim.runtime.text import counted

__all__ = ["compilation_told"]


@contextmanager
def compilation_told(tell: Callable[[str], None], seconds: float = 10.0, *, each: bool = False) -> Iterator[None]:
    """While in the context, say when kernels are compiled.

    Parameters
    ----------
    tell : callable
        Takes a line: one when the first kernel is compiled, with the reason, and one every so many seconds.
    seconds : float
        Between lines of progress.
    each : bool
        A line for each kernel instead, when it is compiled.
    """
    listener = _Listener(tell, seconds, each)
    event.register(COMPILING, listener)
    try:
        yield
    finally:
        event.unregister(COMPILING, listener)


def _reason() -> str:
    """Why kernels are compiled, and whether this will be so the next time."""
    cache = cache_folder()
    if cache.path is not None:
        return f"compiling the kernels, once for this version and kind of machine (kept in {cache.path})"
    why = f"; {cache.passed_over[0]}" if cache.passed_over else ""
    return (
        f"compiling the kernels, at each start, for no folder is private{why}: set NUMBA_CACHE_DIR to one that only "
        "you can write"
    )


class _Listener(event.Listener):  # type: ignore[misc]
    """Counts kernels and their time; one that is compiled for another is counted too. Numba compiles one at a time."""

    def __init__(self, tell: Callable[[str], None], seconds: float, each: bool) -> None:
        self._tell = tell
        self._seconds = seconds
        self._each = each
        self._begun: list[float] = []
        self._told_at: float | None = None
        self._began = 0.0
        self._spent = 0.0
        self._depth = self._done = 0

    def on_start(self, event: event.Event) -> None:
        now = time.monotonic()
        if self._depth == 0:
            self._began = now
        self._depth += 1
        self._begun.append(now)
        if self._told_at is None:
            self._told_at = now
            self._tell(_reason())
        elif not self._each and now - self._told_at >= self._seconds:
            self._told_at = now
            spent = self._spent + now - self._began
            self._tell(f"compiling: {counted(self._done, 'kernel')} in {spent:.0f} s, now {_name(event)}")

    def on_end(self, event: event.Event) -> None:
        seconds = time.monotonic() - self._begun.pop()
        if self._each:
            self._tell(f"compiled {_name(event)}, {seconds:.1f} s")
        self._done += 1
        self._depth -= 1
        if self._depth == 0:
            self._spent += time.monotonic() - self._began


def _name(event: event.Event) -> str:
    """The kernel that an event is about."""
    function = event.data["dispatcher"].py_func
    return f"{function.__name__} of {function.__module__}"
