"""One writer for a run file."""

import contextlib
import errno
import fcntl
import os
import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from spikesim.errors import InputError
from spikesim.runtime.printable import printable

__all__ = ["RunLock", "holding", "lock_holder"]

_PATIENCE_SECONDS = 0.3
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class RunLock:
    """Keep other processes from writing a run file, from construction to `release`.

    The lock is an ``flock`` on ``<path>.lock``: HDF5 gives up its own lock as soon as a file can be followed by
    readers. The kernel releases it when the process ends, however it ends. On file systems without ``flock`` the
    program goes on with a warning.

    `release` removes the sidecar while it still holds the lock, and whoever takes the lock checks that the file it
    locked still has the name; so no two processes can hold locks on two files of that name.

    Parameters
    ----------
    path : path-like
        The run file, which need not exist; its folder must.

    Raises
    ------
    InputError
        If another process holds the lock, or the sidecar cannot be created.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self._sidecar = _sidecar(self.path)
        self._descriptor: int | None = self._acquire()

    def _acquire(self) -> int:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                descriptor = os.open(self._sidecar, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:
                raise InputError(
                    f"the folder {self.path.parent} does not exist; make it, or choose another --out"
                ) from None
            except OSError as error:
                raise InputError(
                    f"cannot write in the folder of {self.path}: {error.strerror}; choose another --out"
                ) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _BUSY:
                    warnings.warn(
                        f"the file system of {self.path} has no locks ({error.strerror}): "
                        "do not start a second process that writes this run",
                        stacklevel=3,
                    )
                    return descriptor
                holder = _read_holder(descriptor)
                os.close(descriptor)
                # Somebody who only asks who holds the lock takes it for an instant.
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{self.path} is being written by {holder}; wait for it, stop it, or choose another --out"
                    ) from None
                time.sleep(0.02)
                continue
            if _same_file(descriptor, self._sidecar):
                try:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
                except OSError:
                    pass  # a full disk: the lock holds all the same, only the name of its holder is unknown
                return descriptor
            os.close(descriptor)

    def release(self) -> None:
        """Let others write the run. May be called more than once."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            if _same_file(descriptor, self._sidecar):
                os.unlink(self._sidecar)
        except OSError:
            pass  # a folder that became read-only: an unlocked sidecar does no harm
        finally:
            os.close(descriptor)

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@contextlib.contextmanager
def holding(target: Path, lock: RunLock | None = None) -> Iterator[RunLock | None]:
    """The lock that a new writer of a file owns, released if the body fails: None if its caller holds `lock`.

    Raises
    ------
    InputError
        Another process holds it.
    ValueError
        `lock` is on another file.
    """
    if lock is not None:
        if lock.path != target:
            raise ValueError(f"the lock is on {lock.path}, not on {target}")
        yield None
        return
    own = RunLock(target)
    try:
        yield own
    except BaseException:
        own.release()
        raise


def lock_holder(path: str | os.PathLike[str]) -> str | None:
    """Who is writing a run file, as text such as ``"process 17 on node1"``; None if nobody is."""
    try:
        descriptor = os.open(_sidecar(Path(os.path.realpath(path))), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return _read_holder(descriptor) if error.errno in _BUSY else None
    finally:
        os.close(descriptor)
    return None


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _read_holder(descriptor: int) -> str:
    try:
        text = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
    except OSError:  # a pipe in its place
        text = ""
    return printable(text) or "another process"


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
