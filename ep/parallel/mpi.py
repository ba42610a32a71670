"""Ranks of an MPI job, by mpi4py, which is imported by nothing else."""

import functools
import hashlib
import time
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from spikesim.ep.parallel.communicator import own_cores
from spikesim.errors import InputError, Stopped

Result = TypeVar("Result")

SMALL = 2**16
"""Arrays of fewer bytes are added up together: each message costs some microseconds."""
LEAVE_SECONDS = 5.0
"""How long a process that fails waits for the others to fail as well, before it ends them."""


class MpiRanks:
    """The processes of MPI's world communicator (`spikesim.ep.parallel.communicator.Communicator`)."""

    def __init__(self) -> None:
        self._world = MPI.COMM_WORLD.Dup()
        self._leaving = MPI.COMM_WORLD.Dup()
        self._node = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
        self.rank: int = self._world.Get_rank()
        self.size: int = self._world.Get_size()

    def first(self, work: Callable[[], Result]) -> Result:
        """What the first process makes, for all; an `InputError` or `Stopped` is raised in all of them."""
        outcome: tuple[Any, Exception | None] = (None, None)
        if self.rank == 0:
            try:
                outcome = work(), None
            except (InputError, Stopped) as error:
                outcome = None, error
        value, failure = self._world.bcast(outcome)
        if failure is not None:
            raise failure
        result: Result = value
        return result

    def any(self, flag: bool) -> bool:
        """Whether one of them says yes."""
        return bool(self._world.allreduce(int(flag), MPI.MAX))

    def gather(self, item: Result) -> list[Result]:
        """The items of all, in the order of the processes."""
        return list(self._world.allgather(item))

    def add(self, arrays: Iterable[NDArray[np.int64]]) -> None:
        """Add arrays up over the processes, in place."""
        small = []
        for array in arrays:
            if array.nbytes < SMALL or not array.flags.c_contiguous:
                small.append(array)
            else:
                self._world.Allreduce(MPI.IN_PLACE, array)
        together = np.concatenate([np.zeros(0, np.int64), *(array.ravel() for array in small)])
        self._world.Allreduce(MPI.IN_PLACE, together)
        at = 0
        for array in small:
            array[...] = together[at : at + array.size].reshape(array.shape)
            at += array.size

    def join(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows of all, in the order of the processes."""
        counts = self._world.allgather(len(rows))
        joined = np.empty((sum(counts), *rows.shape[1:]), rows.dtype)
        width = int(np.prod(rows.shape[1:]))
        self._world.Allgatherv(np.ascontiguousarray(rows), (joined, [count * width for count in counts]))
        return joined

    def fold(self, items: Iterable[Result], add: Callable[[Result, Result], Result]) -> Result:
        """All items added up, one by one in the order of the processes: the same to the bit for floats too."""
        before: list[Result] = self._world.recv(source=self.rank - 1) if self.rank > 0 else []
        both = [*before, *items]
        total = [functools.reduce(add, both)] if both else []
        if self.rank + 1 < self.size:
            self._world.send(total, dest=self.rank + 1)
        result: Result = self._world.bcast(total, root=self.size - 1)[0]
        return result

    def by_node(self, work: Callable[[], None]) -> None:
        """Do something, on each machine first one of its processes and then the others."""
        if self._node.Get_rank() == 0:
            work()
        self._node.Barrier()
        if self._node.Get_rank() > 0:
            work()

    def cores_each(self) -> int:
        """Cores that a process of this machine can have for itself, as its processes are bound to them."""
        own = own_cores()
        together = {core for cores in self._node.allgather(own) for core in cores}
        return max(1, min(len(own), len(together) // self._node.Get_size()))

    def all_leave(self, message: str) -> list[bytes] | None:
        """Wait a while for the other processes to end with an error too, as each does that has one.

        Parameters
        ----------
        message : str
            Why this one ends.

        Returns
        -------
        list of bytes, or None
            Hashes of the messages of all, by number of the process; None if some are still at work.
        """
        own = np.frombuffer(hashlib.sha256(message.encode("utf-8", "replace")).digest(), np.uint8)
        everyone = np.empty((self.size, len(own)), np.uint8)
        request, deadline = self._leaving.Iallgather(own, everyone), time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline:
            if request.Test():
                return [row.tobytes() for row in everyone]
            time.sleep(0.01)
        return None

    def abort(self, code: int) -> NoReturn:
        """End all processes: those that are at work would wait for this one for ever."""
        self._world.Abort(code)
        raise SystemExit(code)
