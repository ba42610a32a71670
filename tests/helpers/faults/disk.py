"""What reaches the disk, in which order: the calls of the operating system that files take their place with."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def record_order(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """From now on, each wait for the disk, ``("wait", inode)``, and each new name, ``("name", inode, path)``.

    A wait for the whole disk is ``("wait", None)``.
    """
    order: list[tuple[Any, ...]] = []
    fsync, sync, replace = os.fsync, os.sync, os.replace

    def waited(descriptor: int) -> None:
        fsync(descriptor)
        order.append(("wait", os.fstat(descriptor).st_ino))

    def waited_for_all() -> None:
        sync()
        order.append(("wait", None))

    def named(part: Any, target: Any) -> None:
        inode = os.stat(part).st_ino
        replace(part, target)
        order.append(("name", inode, Path(target)))

    monkeypatch.setattr(os, "fsync", waited)
    monkeypatch.setattr(os, "sync", waited_for_all)
    monkeypatch.setattr(os, "replace", named)
    return order


def assert_on_disk_first(order: list[tuple[Any, ...]], target: Path) -> None:
    """What took this place was on the disk before, and its name afterwards."""
    at, event = next((at, event) for at, event in enumerate(order) if event[0] == "name" and event[2] == target)
    assert ("wait", event[1]) in order[:at] or ("wait", None) in order[:at]
    assert ("wait", target.parent.stat().st_ino) in order[at:]


def assert_nothing_is_left(
    make: Callable[[], object], folder: Path, kind: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file cannot get its name: files and folders are as they were, and what is there stays."""
    before = everything(folder)

    def full(part: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(kind, match="No space left on device"):
            make()
    assert everything(folder) == before


def everything(folder: Path) -> dict[str, bytes | None]:
    """All files and folders below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock"
    }
