"""How long the compiler has been at work."""

from collections.abc import Iterator
from contextlib import contextmanager

from numba.core import event

__all__ = ["COMPILING", "CompileTime", "compile_time"]

COMPILING = "numba:compile"
"""Numba's name of the event; kernels that come from the cache cause none."""


class CompileTime:
    """The time in which kernels were compiled so far, one inside another counted once."""

    def __init__(self, listener: event.TimingListener) -> None:
        self._listener = listener

    @property
    def seconds(self) -> float:
        """Seconds; 0 if every kernel came from the cache."""
        return float(self._listener.duration) if self._listener.done else 0.0


@contextmanager
def compile_time() -> Iterator[CompileTime]:
    """While in the context, the time in which kernels are compiled is counted."""
    listener = event.TimingListener()
    event.register(COMPILING, listener)
    try:
        yield CompileTime(listener)
    finally:
        event.unregister(COMPILING, listener)
