"""New HDF5 files that others may read while they grow: how they come to their place, and what goes wrong."""

import contextlib
import datetime
import errno
import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from spikesim.errors import InputError
from spikesim.io.atomic import temporary
from spikesim.io.hdf5_output import FileBytes, HDF5Output

SPIKE_CHUNK = 65536

_CACHE_BYTES = 1 << 17
"""Of chunks of each data set. They are written once and in order; by default a long run keeps a megabyte of each."""

_ATTRIBUTES_MAX = 64

_LIBRARIES = ("numpy", "numba", "scipy", "h5py")


def create(target: Path, room: int, fill: Callable[[Any], None]) -> HDF5Output:
    """Write a new HDF5 file beside `target`, put it in its place, and return it, open for appending and for readers.

    Parameters
    ----------
    target : Path
    room : int
        Bytes that it will need at least, so that a full disk is found out now.
    fill : callable
        Writes into the open `h5py.File`, before anybody can see it.

    Raises
    ------
    InputError
        It cannot be written; whatever was at `target` is still there.
    """
    try:
        with temporary(target.with_name(f".{target.name}.part")) as part, contextlib.ExitStack() as after_an_error:
            output = HDF5Output(part, _empty)
            after_an_error.callback(output.abandon)
            with output.changing():
                output.reserve(room)
                fill(output.file)
                # Before the file gets its name, so that whoever finds it can follow it.
                output.file.swmr_mode = True
                output.flush()
                output.sync()
                output.move(target)
            after_an_error.pop_all()
            return output
    except (OSError, RuntimeError) as error:
        raise write_error(target, error) from error


def _empty(stored: FileBytes) -> Any:
    """An empty HDF5 file, with which SWMR is possible, open for writing.

    h5py's own way does not let say that attributes are to lie with the file's root however many they are. Otherwise
    more than eight would go to a heap, which `spikesim.io.hdf5_bytes` refuses.
    """
    creation, access = h5py.h5p.create(h5py.h5p.FILE_CREATE), h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    creation.set_attr_phase_change(_ATTRIBUTES_MAX, 0)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, stored)
    _, slots, _, _ = access.get_cache()
    access.set_cache(0, slots, _CACHE_BYTES, 1.0)
    return h5py.File(h5py.h5f.create(repr(stored).encode(), h5py.h5f.ACC_EXCL, fcpl=creation, fapl=access))


def write_error(path: Path, error: BaseException) -> InputError:
    code = getattr(error, "errno", None)
    text = str(error)
    if code is None and "errno = " in text:  # HDF5 puts it into its message
        digits = text.split("errno = ", 1)[1].split(",", 1)[0]
        code = int(digits) if digits.isdigit() else None
    reason = os.strerror(code) if code else text.split("\n")[0].strip()
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "free some space and continue with --resume, or choose another --out"
    else:
        advice = "choose another --out"
    return InputError(f"cannot write {path}: {reason}; what was written before is kept; {advice}")


def versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version, "machine": platform.machine()} | (
        versions
    )


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).astimezone().isoformat(timespec="seconds")


def writable_target(path: str | os.PathLike[str]) -> Path:
    """Where a file is to be written, links followed; InputError if there cannot be one."""
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} of {path} does not exist; make it, or choose another --out")
    if target.is_dir():
        raise InputError(f"{path} is a folder; give the name of a file in it, such as {Path(path) / 'run.h5'}")
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a regular file; choose another --out")
    return target
