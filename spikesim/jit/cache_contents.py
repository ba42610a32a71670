"""What is in the place of the compiled kernels: a folder for each version, and the way to be rid of some."""

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CachedVersion", "cached_versions", "remove", "sign"]

ABOUT = "about.txt"
ABOUT_MAX = 200
"""Letters of it that are read, at most."""

_FOLDER = re.compile(r"[0-9a-f]{16}")
_OWN = re.compile(r".+\.nb[ic](\.tmp\.[0-9a-f]{16})?|about\.txt")


@dataclass(frozen=True)
class CachedVersion:
    """The kernels of one version of the sources and of what compiles them.

    Attributes
    ----------
    path : Path
    about : str
        Versions, as they were when it was made; empty where nothing says so.
    size : int
        Bytes of the files.
    used : float
        When something was last written into it, in seconds since 1970.
    """

    path: Path
    about: str
    size: int
    used: float


def sign(folder: Path, about: str) -> None:
    """Say in a folder which versions it belongs to, if nothing does so yet.

    Raises
    ------
    OSError
    """
    with contextlib.suppress(FileExistsError):
        number = os.open(folder / ABOUT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(number, "w", encoding="ascii") as file:
            file.write(about + "\n")


def cached_versions(place: Path) -> Iterator[CachedVersion]:
    """The folders of this user in a place that hold compiled kernels and nothing else, by name.

    Raises
    ------
    OSError
        The place cannot be listed.
    """
    for path in sorted(place.iterdir()):
        if not _FOLDER.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            continue
        files = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(path)}
        own = path.stat()
        if own.st_uid != os.getuid() or not all(
            _OWN.fullmatch(name) and stat.S_ISREG(info.st_mode) for name, info in files.items()
        ):
            continue
        size = sum(info.st_size for info in files.values())
        used = max([own.st_mtime, *(info.st_mtime for info in files.values())])
        yield CachedVersion(path, _about(path / ABOUT) if ABOUT in files else "", size, used)


def _about(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        return file.read(ABOUT_MAX).strip()


def remove(version: CachedVersion) -> None:
    """Remove a folder and the files that it is known to hold; a process that uses them compiles anew.

    Raises
    ------
    OSError
    """
    for path in version.path.iterdir():
        if _OWN.fullmatch(path.name):
            path.unlink(missing_ok=True)
    version.path.rmdir()
