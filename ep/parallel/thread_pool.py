"""The threads of a run, each with a workspace for a group of samples, and the other processes that share its work."""

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.communicator import Alone, Communicator
from spikesim.ep.phases import workspace as ph
from spikesim.runtime.free_memory import naming_memory, require_memory
from spikesim.runtime.processors import places

Item = TypeVar("Item")
Result = TypeVar("Result")
NEURON_BYTES = 16
"""Of a neuron of a sample at least: its potential, that at the end of the free phase, and sums of two windows."""
_ADVICE = "use fewer --threads, smaller samples or layers, or a machine with more memory"


class ThreadPool:
    """Threads, each with a workspace, and the flag that stops them.

    A thread makes its workspace itself and keeps it: on a machine of several memories the pages lie in the one near it.

    Parameters
    ----------
    model, config
    threads : int
    stop : uint8 (1,), optional
        Not zero: work in progress ends at once with `Stopped`.
    ranks : Communicator, optional
        The processes of the run; by default this one is alone.
    """

    def __init__(
        self,
        model: Model,
        config: Config,
        threads: int,
        stop: NDArray[np.uint8] | None = None,
        ranks: Communicator | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.threads = threads
        self.stop = np.zeros(1, np.uint8) if stop is None else stop
        self.ranks = Alone() if ranks is None else ranks
        self.executor = ThreadPoolExecutor(threads, initializer=places(threads).take)
        workers = threads * self.ranks.size
        self.group = max(1, min(model.compiled.best_group, -(-config.data.batch_size // workers)))
        self._own = threading.local()
        followed = config.stability.target_rate is not None
        state = model.compiled.sizes["state"]
        what = f"the samples of a group ({self.group} with {state:,} neurons on each of {threads} threads)"
        require_memory({what: threads * self.group * state * NEURON_BYTES}, _ADVICE)
        with naming_memory(what, _ADVICE):
            self._make_workspaces(followed)

    def _make_workspaces(self, followed: bool) -> None:
        """One on each thread, all of which exist from then on."""
        everyone = threading.Barrier(self.threads)  # a thread that has made its own would take the next one's turn

        def make() -> None:
            try:
                self._own.workspace = ph.Workspace(
                    self.model, self.config.dynamics, self.group, self.config.seed, followed=followed
                )
                everyone.wait()
            except threading.BrokenBarrierError:
                pass  # another thread says why
            except BaseException:
                everyone.abort()
                raise

        try:
            pending = [self.executor.submit(make) for _ in range(self.threads)]
        except BaseException:  # a thread could not be started, for which the others would wait
            everyone.abort()
            raise
        self.gather(pending)

    def __enter__(self) -> "ThreadPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop[0] = 1
        self.executor.shutdown(wait=True, cancel_futures=True)

    def groups(self, samples: int) -> list[slice]:
        """Cut a mini-batch into groups."""
        return [slice(first, min(first + self.group, samples)) for first in range(0, samples, self.group)]

    @property
    def workspace(self) -> ph.Workspace:
        """That of the calling thread, one of the pool's."""
        workspace: ph.Workspace = self._own.workspace
        return workspace

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Apply a function to items, on all threads; results in order.

        After a failure no more items are begun, and the first exception is raised.
        """
        todo = list(items)
        results: dict[int, Result] = {}
        failures: dict[int, Exception] = {}
        numbers = itertools.count()

        def pull() -> None:  # a task per thread, not an item: a task costs as much as a small item
            while not failures and (number := next(numbers)) < len(todo):
                try:
                    results[number] = work(todo[number])
                except Exception as error:
                    failures[number] = error

        self.gather([self.executor.submit(pull) for _ in range(min(self.threads, len(todo)))])
        if failures:
            raise failures[min(failures)]
        return [results[number] for number in range(len(todo))]

    def ahead(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results of a function in order, the next one being made on a thread of the pool while this one is used."""
        following: Future[Result] | None = None
        for item in items:
            present, following = following, self.executor.submit(work, item)
            if present is not None:
                yield present.result()
        if following is not None:
            yield following.result()

    def gather(self, futures: Iterable["Future[Result]"]) -> list[Result]:
        """Results in order; after a failure the rest is cancelled, ended and the first exception raised."""
        pending = list(futures)
        results: list[Result] = []
        failure: BaseException | None = None
        for future in pending:
            try:
                if failure is None:
                    results.append(future.result())
                else:
                    future.cancel() or future.exception()
            except Exception as error:
                failure = error
        if failure is not None:
            raise failure
        return results
