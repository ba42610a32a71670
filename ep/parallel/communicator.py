"""The processes of a run that is spread over a cluster, each of which does its share of every mini-batch.

All of them hold the same parameters. What the samples of a mini-batch add up to are integers, so the sums over the
processes, hence the next parameters, are the same to the bit however many there are.
"""

import functools
import os
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")


class Communicator(Protocol):
    """The processes of a run, as one of them sees them. Every method but `share` is called by all, in the same order.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and of all.
    """

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""

    @property
    def size(self) -> int:
        """Number of processes."""

    def first(self, work: Callable[[], Result]) -> Result:
        """What the first process makes, for all; an `InputError` or `Stopped` is raised in all of them."""

    def any(self, flag: bool) -> bool:
        """Whether one of them says yes."""

    def gather(self, item: Result) -> list[Result]:
        """The items of all, in the order of the processes."""

    def add(self, arrays: Iterable[NDArray[np.int64]]) -> None:
        """Add arrays up over the processes, in place."""

    def join(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows of all, in the order of the processes."""

    def fold(self, items: Iterable[Result], add: Callable[[Result, Result], Result]) -> Result:
        """All items added up, one by one in the order of the processes: the same to the bit for floats too."""

    def by_node(self, work: Callable[[], None]) -> None:
        """Do something, on each machine first one of its processes and then the others."""

    def cores_each(self) -> int:
        """Cores that a process of this machine can have for itself."""


def own_cores() -> list[int]:
    """Numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def share(ranks: Communicator, count: int) -> slice:
    """Which of `count` items a process takes: stretches whose lengths differ by one at most, and may be empty."""
    size, more = divmod(count, ranks.size)
    first = ranks.rank * size + min(ranks.rank, more)
    return slice(first, first + size + (ranks.rank < more))


class Alone:
    """A run of one process."""

    rank = 0
    size = 1

    def first(self, work: Callable[[], Result]) -> Result:
        """What this process makes."""
        return work()

    def any(self, flag: bool) -> bool:
        """Whether it says yes."""
        return flag

    def gather(self, item: Result) -> list[Result]:
        """Its item."""
        return [item]

    def add(self, arrays: Iterable[NDArray[np.int64]]) -> None:
        """Nothing to add."""

    def join(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Its rows."""
        return rows

    def fold(self, items: Iterable[Result], add: Callable[[Result, Result], Result]) -> Result:
        """Its items added up, one by one."""
        return functools.reduce(add, items)

    def by_node(self, work: Callable[[], None]) -> None:
        """Do it."""
        work()

    def cores_each(self) -> int:
        """The cores that this process may run on."""
        return len(own_cores())
