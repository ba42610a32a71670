"""Which folders only this user can change: what is loaded as code must not lie where others can put theirs.

Whoever may write a folder may rename what is in it, so the answer depends on every folder and link on the way.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make_private", "why_not_private"]

LINKS_MAX = 40
"""As many links as Linux follows in one path."""
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_private(folder: Path) -> str | None:
    """Make a folder, and those above it that are missing, for this user alone; nothing is made where others could.

    Parameters
    ----------
    folder : pathlib.Path
        An absolute path.

    Returns
    -------
    str or None
        Why it is not private, as `why_not_private` says it, also where it was there.

    Raises
    ------
    OSError
        It cannot be made, or looked at.
    """
    for missing in [*reversed(folder.parents), folder]:
        if not os.path.lexists(missing):
            fault = _fault_on_the_way(missing.parent)
            if fault is not None:
                return fault
            missing.mkdir(mode=0o700, exist_ok=True)
    return why_not_private(folder)


def why_not_private(folder: Path) -> str | None:
    """Why somebody else could change what lies in a folder.

    The folder itself must belong to this user, who alone may write it. The folders above it, and links, must belong to
    this user or to root, and others may write the folders only where the sticky bit keeps them from renaming what is
    not theirs. Access control lists count: the mode of the group is their upper bound.

    Parameters
    ----------
    folder : pathlib.Path
        An absolute path.

    Returns
    -------
    str or None
        One line that names the place; None for a private folder.

    Raises
    ------
    OSError
        A part of the path cannot be looked at.
    """
    fault = _fault_on_the_way(folder)
    if fault is not None:
        return fault
    info = os.stat(folder)
    if info.st_uid != os.getuid():
        return f"{folder} does not belong to user {os.getuid()}"
    if info.st_mode & _OTHERS_WRITE:  # here the sticky bit is not enough: files could be added
        return f"{folder} can be written by others"
    return None


def _fault_on_the_way(path: Path) -> str | None:
    """Which folder or link on the way to a path, the last included, others could put something in place of."""
    for place, info in _visited(path):
        if info.st_uid not in (0, os.getuid()):
            return f"{place} belongs to user {info.st_uid}"
        open_to_others = info.st_mode & _OTHERS_WRITE and not info.st_mode & stat.S_ISVTX
        if open_to_others and not stat.S_ISLNK(info.st_mode):
            return f"{place} can be written by others"
    return None


def _visited(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Folders and links on the way to a path, with what `lstat` says of them; the last is what the path leads to."""
    place = Path(path.anchor)
    yield place, os.lstat(place)
    parts, links = list(reversed(path.parts[1:])), 0
    while parts:
        part = parts.pop()
        if part == "..":
            place = place.parent
            continue
        place = place / part
        info = os.lstat(place)
        yield place, info
        if stat.S_ISLNK(info.st_mode):
            links += 1
            if links > LINKS_MAX:
                raise OSError(f"{path} has too many links")
            target = Path(os.readlink(place))
            place = Path(target.anchor) if target.is_absolute() else place.parent
            parts.extend(reversed(target.parts[1:] if target.is_absolute() else target.parts))
