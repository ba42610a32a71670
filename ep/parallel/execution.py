"""Who carries out a piece of work, and who is told about it: what changes the time and no result."""

from collections.abc import Callable
from dataclasses import dataclass

from spikesim.ep.parallel.communicator import Communicator

__all__ = ["Execution"]


def _silent(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Execution:
    """Threads, processes, and what is told of the progress.

    Attributes
    ----------
    threads : int
    ranks : Communicator or None
        The processes that share the work; None: this one is alone.
    progress : callable
        Called with a line on what is being done.
    """

    threads: int = 1
    ranks: Communicator | None = None
    progress: Callable[[str], None] = _silent
