"""Files that appear whole or not at all.

A file is made under another name, its content is on the disk before it takes its place, and its name afterwards. A
process that is killed leaves at most the other name behind; after an error nothing is left.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spikesim.io import durable

__all__ = ["put", "replacing", "replacing_folder", "temporary"]


@contextlib.contextmanager
def temporary(part: Path) -> Iterator[Path]:
    """A name for a file on its way: what a kill left there is removed, and so is what an error leaves.

    For one process at a time, which holds a lock.

    Raises
    ------
    OSError
        What is there cannot be removed.
    """
    part.unlink(missing_ok=True)
    try:
        yield part
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def put(part: Path, target: Path) -> None:
    """Put a finished file in its place, once the disk has its content.

    Raises
    ------
    OSError
    """
    with open(part, "rb") as stream:
        durable.sync(stream.fileno())
    durable.put_in_place(part, target)


@contextlib.contextmanager
def replacing(target: Path, part: Path | None = None) -> Iterator[Path]:
    """The name under which to make a file, which then takes its place; after an error nothing is left of it.

    Parameters
    ----------
    target : Path
    part : Path, optional
        The name, as for `temporary`. Without it the file is made in a folder of its own beside the place, under the
        name that it will have, so that several processes do not meet there.

    Raises
    ------
    OSError
        The folder cannot be made, or the file not be put in its place.
    """
    if part is not None:
        with temporary(part):
            yield part
            put(part, target)
        return
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".spikesim-", suffix=".part", ignore_cleanup_errors=True
    ) as folder:
        part = Path(folder, target.name)
        yield part
        put(part, target)


@contextlib.contextmanager
def replacing_folder(target: Path, part: Path) -> Iterator[Path]:
    """The name under which to make a folder, which then takes its place; as `replacing`.

    `target` must not exist, and whoever asks holds a lock.

    Raises
    ------
    OSError
        The folder cannot be put in its place.
    """
    shutil.rmtree(part, ignore_errors=True)
    try:
        yield part
        os.sync()  # one wait for all files: tens of thousands of waits take minutes
        durable.put_in_place(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
