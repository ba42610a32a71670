"""The processors that a job may use, and which of them a thread runs on."""

import os
import threading

__all__ = ["Places", "places"]


class Places:
    """Processors that threads take, one each, in order; none where they are not to be tied to one.

    Parameters
    ----------
    processors : tuple of int
    """

    def __init__(self, processors: tuple[int, ...]) -> None:
        self.processors = processors
        self._left = iter(processors)
        self._lock = threading.Lock()

    def take(self) -> None:
        """Tie the calling thread to the next processor, if there is one left."""
        with self._lock:
            processor = next(self._left, None)
        if processor is not None:
            try:
                os.sched_setaffinity(threading.get_native_id(), {processor})
            except OSError:  # the allocation has changed meanwhile: the thread runs where the system puts it
                pass


def places(threads: int) -> Places:
    """Where so many threads run.

    A scheduler (Slurm with task affinity, taskset, a container's set of processors) that gives a job a part of the
    machine, one processor for each thread, has chosen them for it: then each thread stays on one, so that the memory
    that it touches first stays near it. On a machine that is not divided other programs may want the same processors,
    and the system places the threads.
    """
    if not hasattr(os, "sched_getaffinity"):  # not Linux
        return Places(())
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    return Places(allowed if threads == len(allowed) and len(allowed) < (os.cpu_count() or 1) else ())
