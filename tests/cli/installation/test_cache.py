"""The compiled kernels on the disk: shown, and removed without anything else."""

import os
from pathlib import Path

import pytest
from commands import assert_one_line, spikesim, succeed

from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")

OLD, FOREIGN, DATED = "0123456789abcdef", "fedcba9876543210", "00000000000000aa"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place with kernels of an old version, of one that says what it is, and folders that are not ours."""
    place = tmp_path / "cache"
    for name, files in {
        OLD: ("a.step-1.py311.nbi", "a.step-1.py311.1.nbc"),
        DATED: ("a.nbi", "about.txt"),
        FOREIGN: ("a.nbi", "thesis.tex"),
        "numba-of-others": ("a.nbi",),
    }.items():
        (place / name).mkdir(parents=True)
        for file in files:
            (place / name / file).write_text(
                "spikesim 0.0.1, Python 3.9\x1b[2J\n" if file == "about.txt" else 100 * "x"
            )
    place.chmod(0o700)
    return place


def test_what_is_there_is_shown_and_only_kernels_are_removed(place: Path) -> None:
    env = {"NUMBA_CACHE_DIR": os.fspath(place)}
    shown = succeed("cache", env=env).stdout
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    assert str(place) in shown and "200 B" in lines[OLD] and "not known" in lines[OLD]
    assert "spikesim 0.0.1, Python 3.9\\x1b[2J" in lines[DATED] and FOREIGN not in lines
    (own,) = [name for name, line in lines.items() if "(this one)" in line]
    (place / own / "b.nbi").write_text("kernel")
    assert "2 versions" in succeed("cache", "--clean", env=env).stdout
    assert sorted(path.name for path in place.iterdir()) == sorted([own, FOREIGN, "numba-of-others"])
    assert "1 version," in succeed("cache", "--clean", "all", env=env).stdout
    assert sorted(path.name for path in place.rglob("*.*")) == ["a.nbi", "a.nbi", "thesis.tex"]
    assert_one_line(spikesim("cache", "--clean", "some", env=env), "--clean")
