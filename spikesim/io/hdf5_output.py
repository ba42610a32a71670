"""Writing HDF5 files so that a fault of the disk is told, and nothing else comes of it.

The HDF5 library does not survive a write that fails. Some failures it swallows, others crash the process when it tries
again as the file is closed. It also asks for locks, which not all file systems have. So it is not given the file, but a
Python file object, which never fails: what cannot be written is remembered, together with the reason. From then on
nothing more reaches the file, as if the process had been killed at that moment; HDF5 reads back what it believes to
have written, and can close the file in peace. The reason is raised as soon as HDF5 returns.
"""

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spikesim.io import durable
from spikesim.io.hdf5_bytes import DescriptorBytes, marked_as_written

__all__ = ["FileBytes", "HDF5Output", "storing"]

_METADATA_BYTES = 1 << 17
"""Room for what HDF5 keeps beside the data."""


class FileBytes(DescriptorBytes):
    """A file object for `h5py.File` that is written and never fails.

    The file is shorter than HDF5 takes it for at no time, and may be longer (`spikesim.io.durable.reserve`) until
    `finish`.

    Parameters
    ----------
    path : Path
    new : bool
        Make the file, which must not exist; else it must.

    Attributes
    ----------
    descriptor : int
        Of the open file.
    error : OSError or None
        Why something could not be written or read; it was the first such thing.

    Raises
    ------
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: Path, *, new: bool = True) -> None:
        flags = os.O_CREAT | os.O_EXCL if new else 0
        super().__init__(os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666))
        self.error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # what did not reach the file, in order

    def writable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer: with zeros behind the end, as HDF5 expects it of a file that it writes."""
        view, done = memoryview(buffer).cast("B"), 0
        try:
            done = self._fill(view)
        except OSError as error:
            self.error = self.error or error
        view[done:] = bytes(len(view) - done)
        for at, data in self._kept:
            first, last = max(at, self._at), min(at + len(data), self._at + len(view))
            if first < last:
                view[first - self._at : last - self._at] = data[first - at : last - at]
        self._at += len(view)
        return len(view)

    def write(self, data: Any, /) -> int:
        """Write all of it, or remember it."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                durable.write_at(self.descriptor, marked_as_written(view) if self._at == 0 else view, self._at)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._at, bytes(view)))
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        """Where the file ends as far as HDF5 is concerned. Room behind it is given back when the file is finished."""
        self._end = self._at if size is None else size
        if self.error is None:
            try:
                if os.fstat(self.descriptor).st_size < self._end:
                    os.ftruncate(self.descriptor, self._end)
            except OSError as error:
                self.error = error
        return self._end

    def give_up(self, error: OSError) -> None:
        """From now on nothing more reaches the file."""
        self.error = self.error or error

    def check(self) -> None:
        """Raise the reason why something could not be written, if there is one.

        Raises
        ------
        OSError
        """
        if self.error is not None:
            raise self.error

    def finish(self) -> None:
        """Give back room that was not used, have all of it on the disk, and close the file; after an error only that.

        Raises
        ------
        OSError
        """
        try:
            if self.error is None:
                if os.fstat(self.descriptor).st_size > self._end:
                    os.ftruncate(self.descriptor, self._end)
                durable.sync(self.descriptor)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file as it is. May be called more than once."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)
        super().close()


@contextlib.contextmanager
def storing(path: Path, *, new: bool = True) -> Iterator[FileBytes]:
    """A file object in which to have h5py, or a library that uses it, write a file.

    Parameters
    ----------
    path : Path
    new : bool
        As for `FileBytes`.

    Raises
    ------
    OSError
        The file could not be written. Whatever h5py made of that does not count.
    """
    stored = FileBytes(path, new=new)
    try:
        yield stored
    except BaseException as error:
        reason = stored.error
        stored.close()
        if reason is None or not isinstance(error, Exception):
            raise
        raise reason from error
    reason = stored.error
    stored.finish()
    if reason is not None:
        raise reason


class HDF5Output:
    """An HDF5 file that is written over a long time.

    Parameters
    ----------
    path : Path
        The file, which must not exist.
    make : callable
        Gives the `h5py.File` for a file object.

    Attributes
    ----------
    file : h5py.File
        False once it has been closed.

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self, path: Path, make: Callable[[FileBytes], Any]) -> None:
        self._path = path
        self._stored = FileBytes(path)
        try:
            self.file = make(self._stored)
        except BaseException:
            self._stored.close()
            raise
        # HDF5 would close the file when the interpreter is gone, and call it.
        self._finalizer = weakref.finalize(self, _abandon, self.file, self._stored)

    def reserve(self, size: int) -> None:
        """Have room for so many bytes of data more, so that a full disk is found out before HDF5 is at work.

        Raises
        ------
        OSError
            The disk is full. HDF5 knows nothing of it.
        """
        durable.reserve(self._stored.descriptor, self.file.id.get_filesize(), size + _METADATA_BYTES)

    def flush(self) -> None:
        """Have readers see what was changed.

        Raises
        ------
        OSError
            It could not be written.
        """
        self.file.flush()
        self._stored.check()

    def sync(self) -> None:
        """Wait until the disk has what was flushed.

        Raises
        ------
        OSError
        """
        self._stored.check()
        durable.sync(self._stored.descriptor)

    def move(self, target: Path) -> None:
        """Give the file another name, in place of what may be there.

        Raises
        ------
        OSError
        """
        try:
            os.replace(self._path, target)
        except OSError as error:
            if error.errno not in durable.BUSY:
                raise
            os.close(self._stored.descriptor)  # some file systems do not rename what is open
            self._stored.descriptor = -1
            durable.put_in_place(self._path, target)
            self._stored.descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
        self._path = target
        durable.sync_folder(target.parent)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change the file. If it cannot be written, no more of it is.

        Raises
        ------
        OSError or RuntimeError
            That of the disk, whatever h5py made of it.
        """
        try:
            yield
            self._stored.check()
        except (OSError, RuntimeError) as error:
            reason = self._stored.error
            self.abandon()
            if reason is None or reason is error:
                raise
            raise reason from error

    def close(self) -> None:
        """Close the file, with all of it on the disk.

        Raises
        ------
        OSError
            It could not be written; it is closed all the same.
        """
        if self._finalizer.detach() is None:
            return
        try:
            self.file.close()
            self._stored.check()
        finally:
            self._stored.finish()

    def abandon(self) -> None:
        """Close the file without writing any more: what readers could see stays in it as it is."""
        self._finalizer()


def _abandon(file: Any, stored: FileBytes) -> None:
    stored.give_up(OSError("the file is given up"))
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        file.close()
    stored.close()
