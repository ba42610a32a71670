"""What is asked of a file system beyond reading and writing, as far as it can do it.

Not all file systems are local ones. Some cannot sync a folder, or not even a file; some cannot set room aside, and
Python on macOS has no call for it; some do not rename a file while it is open. What they say then is no fault of the
disk, and what they cannot do is left out or done in another way. A fault of the disk goes through as an `OSError`.
"""

import errno
import os
import shutil
import time
from pathlib import Path

__all__ = ["BUSY", "put_in_place", "reserve", "set_aside", "sync", "sync_folder", "write_at"]

_ENOTSUPP = 524
"""The kernel's own number, which some network file systems let through; `errno` does not have it."""
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY, _ENOTSUPP}
_NOT_READABLE = {errno.EACCES, errno.EPERM}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
BUSY = {errno.ETXTBSY, errno.EBUSY}
"""What shared folders of virtual machines, and servers with the habits of Windows, say of the name of an open file."""
_PAUSES = (0.01, 0.04, 0.1)
"""Seconds before each new try to rename a file: another process, a scanner for instance, may hold it for a moment."""
_BLOCK = bytes(1 << 20)


def sync(descriptor: int) -> None:
    """Wait until the disk has what was written, where the file system knows how to.

    Raises
    ------
    OSError
        The disk does not have it.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def sync_folder(folder: Path) -> None:
    """Likewise for the names in a folder. One that may not be read has nothing that could be waited for.

    Raises
    ------
    OSError
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _UNSUPPORTED | _NOT_READABLE:
            return
        raise
    try:
        sync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EISDIR, *_NOT_READABLE):
            raise
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: memoryview | bytes, at: int) -> None:
    """Write all of it to a place in a file.

    Raises
    ------
    OSError
    """
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, at)
        if count == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        view, at = view[count:], at + count


def reserve(descriptor: int, at: int, size: int) -> None:
    """Have room for `size` bytes from `at` on, so that a full disk is found out now.

    Where room cannot be set aside, zeros are written behind the end of the file; what the file has is not touched.

    Raises
    ------
    OSError
        There is not so much room.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, at, size)
            return
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
    end, wanted = os.fstat(descriptor).st_size, at + size
    while end < wanted:
        count = min(len(_BLOCK), wanted - end)
        write_at(descriptor, _BLOCK[:count], end)
        end += count


def put_in_place(part: Path, target: Path) -> None:
    """Rename a finished file, so that it takes the place of what may be there, and have the name on the disk.

    Where the file system goes on refusing because one of them is in use, the content is copied. That is not done at
    one stroke, but those systems have no other way.

    Raises
    ------
    OSError
    """
    for pause in (*_PAUSES, None):
        try:
            os.replace(part, target)
            break
        except OSError as error:
            if error.errno not in BUSY:
                raise
        if pause is not None:
            time.sleep(pause)
    else:
        shutil.copyfile(part, target)
        descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)
        os.unlink(part)
    sync_folder(target.parent)


def set_aside(path: Path, ending: str = "damaged") -> Path:
    """Give a file another name, with this ending, under which it is kept; returns that.

    Raises
    ------
    OSError
    """
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.{ending}" + (f"-{number}" if number > 1 else ""))):
        number += 1
    put_in_place(path, aside)
    return aside
