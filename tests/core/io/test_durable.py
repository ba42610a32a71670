"""What is asked of file systems, and what comes of it where they cannot do it."""

import errno
import os
from pathlib import Path

import pytest

from spikesim.io import durable


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, 524])
def test_what_cannot_be_synced_is_left(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unable(descriptor: int) -> None:
        raise OSError(code, "not here")

    monkeypatch.setattr(os, "fsync", unable)
    durable.sync(0)
    durable.sync_folder(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_fault_of_the_disk_is_raised(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(code, "broken")

    for name in ("fsync", "posix_fallocate", "replace"):
        monkeypatch.setattr(os, name, broken)
    (tmp_path / "part").touch()
    with open(tmp_path / "part") as stream:
        for action in (
            lambda: durable.sync(stream.fileno()),
            lambda: durable.sync_folder(tmp_path),
            lambda: durable.reserve(stream.fileno(), 0, 1),
            lambda: durable.put_in_place(tmp_path / "part", tmp_path / "whole"),
        ):
            with pytest.raises(OSError, match="broken"):
                action()
    with pytest.raises(FileNotFoundError):
        durable.sync_folder(tmp_path / "none")


def test_room_is_made_with_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the end only."""

    def unable(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", unable)
    (tmp_path / "file").write_bytes(b"abcdef")
    with open(tmp_path / "file", "r+b") as stream:
        durable.reserve(stream.fileno(), 2, 3)
        assert (tmp_path / "file").read_bytes() == b"abcdef"
        durable.reserve(stream.fileno(), 2, (1 << 20) + 7)
    assert (tmp_path / "file").read_bytes() == b"abcdef" + bytes((1 << 20) + 3)


@pytest.mark.parametrize("failures", [2, 99])
def test_a_name_in_use_is_tried_again_and_then_copied_to(
    failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = os.replace, []

    def busy(part: Path, target: Path) -> None:
        tries.append(part)
        if len(tries) <= failures:
            raise OSError(errno.ETXTBSY, "Text file busy")
        real(part, target)

    monkeypatch.setattr(os, "replace", busy)
    part, target = tmp_path / "part", tmp_path / "whole"
    part.write_bytes(b"new")
    target.write_bytes(b"older")
    durable.put_in_place(part, target)
    assert target.read_bytes() == b"new" and os.listdir(tmp_path) == ["whole"]
    assert len(tries) == min(failures + 1, 4)


def test_what_is_set_aside_never_meets_another_file(tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        (tmp_path / "run.h5").write_bytes(content)
        kept = durable.set_aside(tmp_path / "run.h5")
        assert kept.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["run.h5.damaged", "run.h5.damaged-2", "run.h5.damaged-3"]
