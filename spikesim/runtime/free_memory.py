"""How much memory is left, how much was taken, and what a message says when something does not fit."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spikesim.errors import InputError

__all__ = ["free_memory", "gibibytes", "naming_memory", "peak_memory", "require_memory"]

_MACHINE = Path("/proc/meminfo")
_OWN_SIZE = Path("/proc/self/statm")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that this process can still take: of the machine, of its control group, and of its own limit.

    None where the system does not say.
    """
    found = [_of_machine(), _of_group(), _of_limit()]
    known = [value for value in found if value is not None]
    return max(0, min(known)) if known else None


def peak_memory(usage: Any = None) -> int:
    """Bytes of resident memory that this process has had at most, or the one that a `resource.struct_rusage` is of."""
    import resource

    peak: int = (usage or resource.getrusage(resource.RUSAGE_SELF)).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def require_memory(parts: Mapping[str, int], advice: str) -> None:
    """Refuse what will not fit, before it is begun: a system that hands out more than it has ends the process later.

    Parameters
    ----------
    parts : mapping of str to int
        Bytes by what takes them.
    advice : str
        What to do; the end of a message.

    Raises
    ------
    InputError
    """
    needed, free = sum(parts.values()), free_memory()
    if free is not None and needed > free:
        most = max(parts, key=lambda part: parts[part])
        raise InputError(
            f"{gibibytes(needed)} of memory are needed, {gibibytes(parts[most])} for {most}, and {gibibytes(free)} are "
            f"free; {advice}"
        )


@contextlib.contextmanager
def naming_memory(what: str, advice: str) -> Iterator[None]:
    """Say what did not fit, where memory runs out within.

    Raises
    ------
    InputError
        In place of `MemoryError`.
    """
    try:
        yield
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        raise InputError(f"there is not enough memory for {what}{detail}; {advice}") from None


def gibibytes(size: int) -> str:
    """Bytes as a message has them."""
    return f"{size / 2**30:,.2f} GiB"


def _of_machine() -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in _MACHINE.read_text().splitlines())
        return 1024 * sum(int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, LookupError):
        return None


def _of_group() -> int | None:
    """What the control groups of this process leave: batch systems and containers limit memory so."""
    try:
        names = [line.split(":", 2) for line in _OWN_GROUP.read_text().splitlines()]
    except (OSError, ValueError):
        return None
    found = []
    for number, controllers, name in (parts for parts in names if len(parts) == 3):
        if number == "0":
            files = _GROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            files = _GROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        root, limit, used = files
        folder = root / name.lstrip("/")
        for group in (folder, *folder.parents):  # a group is within the limits of those above it
            with contextlib.suppress(OSError, ValueError):  # "max": without a limit
                cached = _statistic(group / "memory.stat", "inactive_file")
                found.append(int((group / limit).read_text()) - int((group / used).read_text()) + cached)
            if group == root:
                break
    return min(found, default=None)


def _statistic(path: Path, name: str) -> int:
    """A number of a control group; 0 if it is not there."""
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def _of_limit() -> int | None:
    """What `ulimit -v` leaves."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        return limit - int(_OWN_SIZE.read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError, LookupError):
        return None
