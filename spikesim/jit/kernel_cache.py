"""Where compiled kernels are kept: in a folder that only this user can change, each entry with its checksum.

Entries are machine code inside of pickles, so reading one runs it. A file that others could have written, or whose
checksum does not fit, counts as absent: the kernel is compiled again.
"""

import contextlib
import hashlib
import os
import pickle
import stat
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numba.core import config
from numba.core.serialize import dumps

from spikesim.jit.privacy import make_private

__all__ = ["CacheFolder", "KernelFiles", "find_folder"]

CHECKSUM_BYTES = 32
"""SHA-256 of what follows, of the file's name and of the sources."""


@dataclass(frozen=True)
class CacheFolder:
    """The folder that compiled kernels are kept in.

    Attributes
    ----------
    path : pathlib.Path or None
        None if there is no private folder: kernels are then compiled at each start.
    passed_over : tuple of str
        Why the places that come before it are not used, a line each.
    """

    path: Path | None
    passed_over: tuple[str, ...] = ()


def find_folder(name: str) -> CacheFolder:
    """The first place that is private and can be written.

    These are $NUMBA_CACHE_DIR, $XDG_CACHE_HOME/spikesim, ~/.cache/spikesim, and spikesim-UID below the folder for
    temporary files.

    Parameters
    ----------
    name : str
        Of the folder within that place.

    Returns
    -------
    CacheFolder
    """
    passed_over: list[str] = []
    for base in _places():
        folder = base.absolute() / name
        try:
            fault = make_private(folder)
            if fault is None and not os.access(folder, os.W_OK | os.X_OK):
                fault = f"{folder} cannot be written"
        except OSError as error:
            fault = f"{folder}: {error.strerror or error}"
        if fault is None:
            return CacheFolder(folder, tuple(passed_over))
        passed_over.append(fault)
    return CacheFolder(None, tuple(passed_over))


def _places() -> Iterator[Path]:
    """Where the cache may be, in the order of preference; the next is looked for only when one does not serve."""
    if config.CACHE_DIR:
        yield Path(config.CACHE_DIR)
    if os.environ.get("XDG_CACHE_HOME"):
        yield Path(os.environ["XDG_CACHE_HOME"], "spikesim")
    with contextlib.suppress(RuntimeError):  # no home folder
        yield Path.home() / ".cache" / "spikesim"
    with contextlib.suppress(OSError):  # no temporary folder either
        yield Path(tempfile.gettempdir(), f"spikesim-{os.getuid()}")


class KernelFiles:
    """The entries of one kernel in the cache folder: what Numba's cache of a function reads and writes.

    An index names, for each signature and processor, the file with the compiled code, which is named after its content:
    processes that write at the same time cannot take each other's code for their own.

    Parameters
    ----------
    folder : pathlib.Path
    base : str
        What the names of the kernel's files begin with.
    stamp : str
        Of the sources; entries with another one are not read.
    """

    def __init__(self, folder: Path, base: str, stamp: str) -> None:
        self._folder = folder
        self._base = base
        self._stamp = stamp

    def load(self, key: Any) -> Any:
        """The entry of a key, or None."""
        name = self._index().get(key)
        content = None if name is None else self._read(name)
        return None if content is None else pickle.loads(content)

    def save(self, key: Any, data: Any) -> None:
        """Keep an entry.

        Raises
        ------
        OSError
        """
        content = dumps(data)
        name = f"{self._base}.{hashlib.sha256(content).hexdigest()[:16]}.nbc"
        index = self._index()
        replaced = index.get(key, name)
        self._write(name, content)
        self._write(self._index_name, dumps({**index, key: name}))
        if replaced != name:
            with contextlib.suppress(OSError):
                os.unlink(self._folder / replaced)

    def flush(self) -> None:
        """Forget all entries.

        Raises
        ------
        OSError
        """
        self._write(self._index_name, dumps({}))

    @property
    def _index_name(self) -> str:
        return f"{self._base}.nbi"

    def _index(self) -> dict[Any, str]:
        content = self._read(self._index_name)
        return {} if content is None else pickle.loads(content)

    def _checksum(self, name: str, content: bytes) -> bytes:
        digest = hashlib.sha256()
        for part in (self._stamp.encode(), name.encode(), content):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def _read(self, name: str) -> bytes | None:
        """The content of a file that nobody else could have written, if it is whole."""
        try:
            number = os.open(self._folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(number, "rb") as file:
                info = os.fstat(number)
                if not stat.S_ISREG(info.st_mode) or info.st_uid != os.getuid():
                    return None
                if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                    return None
                found = file.read()
        except OSError:
            return None
        content = found[CHECKSUM_BYTES:]
        return content if found[:CHECKSUM_BYTES] == self._checksum(name, content) else None

    def _write(self, name: str, content: bytes) -> None:
        """Replace a file as a whole."""
        new = self._folder / f"{name}.tmp.{uuid.uuid4().hex[:16]}"
        try:
            number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(number, "wb") as file:
                file.write(self._checksum(name, content))
                file.write(content)
            os.replace(new, self._folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            raise
