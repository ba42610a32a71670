"""Files that appear whole or not at all."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spikesim.io import durable

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """The name under which to make a file, which then takes its place; after an error nothing is left of it.

    It is in a folder of its own beside the place, so that several processes do not meet there.

    Raises
    ------
    OSError
        The folder cannot be made, or the file not be put in its place.
    """
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=".spikesim-", suffix=".part", ignore_cleanup_errors=True
    ) as folder:
        part = Path(folder, target.name)
        yield part
        with open(part, "rb") as stream:
            durable.sync(stream.fileno())
        durable.put_in_place(part, target)
