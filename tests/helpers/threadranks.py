"""Ranks that are threads of one process: the same exchanges as between the processes of an MPI job."""

import functools
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")


class ThreadRanks:
    """One of several ranks (`spikesim.ep.parallel.communicator.Communicator`); they meet in a list that all of them
    fill."""

    def __init__(self, rank: int, size: int, barrier: threading.Barrier, places: list[Any]) -> None:
        self.rank, self.size = rank, size
        self._barrier, self._places = barrier, places

    def _gather(self, own: Any) -> list[Any]:
        self._places[self.rank] = own
        self._barrier.wait()
        found = list(self._places)
        self._barrier.wait()
        return found

    def first(self, work: Callable[[], Result]) -> Result:
        outcome = None
        if self.rank == 0:
            try:
                outcome = work(), None
            except Exception as error:
                outcome = None, error
        value, failure = self._gather(outcome)[0]
        if failure is not None:
            raise failure
        return value

    def gather(self, item: Result) -> list[Result]:
        return self._gather(item)

    def any(self, flag: bool) -> bool:
        return any(self._gather(flag))

    def add(self, arrays: Iterable[NDArray[np.int64]]) -> None:
        own = list(arrays)
        everyone = self._gather([array.copy() for array in own])
        for i, array in enumerate(own):
            array[...] = sum(others[i] for others in everyone)

    def join(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate(self._gather(rows))

    def fold(self, items: Iterable[Result], add: Callable[[Result, Result], Result]) -> Result:
        return functools.reduce(add, [item for own in self._gather(list(items)) for item in own])

    def by_node(self, work: Callable[[], None]) -> None:
        self.first(work)
        if self.rank > 0:
            work()

    def cores_each(self) -> int:
        return 1


def on_ranks(size: int, work: Callable[[ThreadRanks], Result]) -> list[Result]:
    """What each of so many ranks returns."""
    barrier, places = threading.Barrier(size, timeout=300), [None] * size

    def run(rank: int) -> Result:
        try:
            return work(ThreadRanks(rank, size, barrier, places))
        except BaseException:
            barrier.abort()  # the others would wait for ever
            raise

    with ThreadPoolExecutor(size) as executor:
        return list(executor.map(run, range(size)))
