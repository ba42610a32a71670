"""What machines do to a run: a small disk that fills up, a file system without locks, a clock that jumps."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import CONFIG, assert_one_line, digest, environment, newest_checkpoint, spikesim, succeed


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "tiny.toml").write_text(CONFIG)
    succeed(*train(folder), "--out", folder / "run.h5")
    return folder / "run.h5"


def train(folder: Path) -> tuple[object, ...]:
    return "train", "--config", folder / "tiny.toml", "--threads", 1, "--checkpoint-every", 1


def mount(*arguments: object) -> bool:
    return subprocess.run(["mount", *map(str, arguments)], capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with a file system of its own, of 16 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not mount("-t", "tmpfs", "-o", "size=16k", "tmpfs", folder):
        pytest.skip("needs to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_small_disk_fills_up_at_every_size_and_nothing_is_lost(undisturbed: Path, small_disk: Path) -> None:
    """The disk is given room bit by bit; each time the run goes as far as it can."""
    command = (*train(undisturbed.parent), "--resume", "--out", small_disk / "run.h5")
    reached, refused = -1, 0
    for kilobytes in (64, 512, 1024, 1536, 2048, 3072, 16384):
        assert mount("-o", f"remount,size={kilobytes}k", small_disk)
        result = spikesim(*command)
        if result.returncode == 0:
            break
        assert_one_line(result, "cannot write")
        refused += 1
        assert newest_checkpoint(small_disk / "run.h5") >= reached, "an earlier checkpoint was given up"
        reached = newest_checkpoint(small_disk / "run.h5")
    assert refused >= 2
    assert digest(small_disk / "run.h5") == digest(undisturbed)


def test_a_disk_that_is_read_only(undisturbed: Path, small_disk: Path) -> None:
    """Nothing can be begun or continued there, in one line; what is there can be read."""
    assert mount("-o", "remount,size=16m", small_disk)
    shutil.copy(undisturbed, small_disk / "run.h5")
    assert mount("-o", "remount,ro", small_disk)
    for out, *options in (("new.h5",), ("run.h5", "--overwrite"), ("run.h5", "--resume")):
        result = spikesim(*train(undisturbed.parent), "--out", small_disk / out, *options)
        assert_one_line(result, "Read-only file system")
    assert digest(small_disk / "run.h5") == digest(undisturbed)
    succeed("report", small_disk / "run.h5")
    assert os.listdir(small_disk) == ["run.h5"]


def with_patch(folder: Path, text: str) -> dict[str, str]:
    """An environment in which every Python process runs some lines first."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(text)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{environment({})['PYTHONPATH']}"}


NO_LOCKS = """\
import errno, fcntl
def flock(descriptor, operation):
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")
fcntl.flock = flock
"""


def test_a_file_system_without_locks(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.h5"
    result = succeed(*train(undisturbed.parent), "--out", run, env=with_patch(tmp_path / "patch", NO_LOCKS))
    assert "has no locks (Operation not supported)" in result.stderr
    assert digest(run) == digest(undisturbed)


JUMPING_CLOCK = """\
import itertools, time
jumps = itertools.cycle((0.0, 4e9, 1.7e9, -1e6))
time.time = lambda: next(jumps)
"""


def test_a_clock_that_jumps(undisturbed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.h5"
    patch = with_patch(tmp_path / "patch", JUMPING_CLOCK)
    succeed(*train(undisturbed.parent), "--epochs", 1, "--out", tmp_path / "other.h5", env=patch)
    succeed(*train(undisturbed.parent), "--out", run, env=patch)
    assert digest(run) == digest(undisturbed)
