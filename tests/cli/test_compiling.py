"""Kernels that are compiled are told, once, with the reason and what is being done."""

import os
import re
import shutil

import pytest
from commands import succeed
from numba.core import event

from spikesim import __version__
from spikesim.cli.terminal import compiling
from spikesim.cli.terminal.compiling import compilation_told
from spikesim.jit import compilation
from spikesim.jit.compilation import JIT, kernel
from spikesim.jit.kernel_cache import CacheFolder

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")

OF_TESTS = compilation.cache_folder().path
"""Where the tests keep their kernels."""


def compile_three() -> None:
    """A kernel that calls another, and one more."""

    @kernel
    def inner(number):  # type: ignore[no-untyped-def]
        return number + 1

    @kernel
    def outer(number):  # type: ignore[no-untyped-def]
        return 2 * inner(number)

    @kernel
    def other(number):  # type: ignore[no-untyped-def]
        return number - 1

    assert outer(3) == 8 and other(3) == 2


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "cache_folder", lambda: CacheFolder(None))


def test_one_line_says_why_and_lines_of_progress_say_what() -> None:
    lines: list[str] = []
    with compilation_told(lines.append, seconds=0):
        assert lines == []
        compile_three()
    first, *progress = lines
    assert first.startswith("compiling the kernels, once") and str(compilation.source_hash()) in first
    assert len(progress) == 2
    assert re.fullmatch(r"compiling: 0 kernels in \d+ s, now inner of [\w.]*test_compiling", progress[0])
    assert re.fullmatch(r"compiling: 2 kernels in \d+ s, now other of [\w.]*test_compiling", progress[1])
    compile_three()
    assert len(lines) == 3, "nothing is told behind the context"


def test_progress_comes_every_so_many_seconds() -> None:
    lines: list[str] = []
    with compilation_told(lines.append, seconds=1e6):
        compile_three()
    assert len(lines) == 1


def test_each_kernel_has_a_line_if_that_is_wanted() -> None:
    lines: list[str] = []
    with compilation_told(lines.append, seconds=0, each=True):
        compile_three()
    assert [re.sub(r" of \S+, \d+\.\d s$", "", line) for line in lines[1:]] == [
        "compiled inner",
        "compiled outer",
        "compiled other",
    ]


def test_without_a_private_folder_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "cache_folder", lambda: CacheFolder(None, ("/home can be written by others",)))
    lines: list[str] = []
    with compilation_told(lines.append):
        compile_three()
    (line,) = lines
    assert "at each start" in line and "/home can be written by others" in line and "NUMBA_CACHE_DIR" in line


def test_the_listener_goes_with_an_error() -> None:
    lines: list[str] = []
    with pytest.raises(KeyError), compilation_told(lines.append):
        raise KeyError
    compile_three()
    assert lines == []
    assert event._registered["numba:compile"] == []


def test_kernels_from_the_cache_are_not_told(tmp_path) -> None:
    network = tmp_path / "net.toml"
    network.write_text('[[population]]\nname = "a"\nkind = "lif"\nsize = 4\n')
    succeed("simulate", network, "--steps", 4, "--out", tmp_path / "tests.h5")
    shutil.copytree(OF_TESTS, tmp_path / "cache" / OF_TESTS.name)
    for file in (tmp_path / "cache").rglob("*.start_sources-*"):  # the only kernel that is compiled anew
        file.unlink()
    place = {"NUMBA_CACHE_DIR": os.fspath(tmp_path / "cache")}
    first = succeed("simulate", network, "--steps", 4, "--out", tmp_path / "a.h5", env=place)
    assert first.stderr.count("compiling the kernels, once") == 1 and str(tmp_path / "cache") in first.stderr
    again = succeed("simulate", network, "--steps", 4, "--out", tmp_path / "b.h5", env=place)
    assert "compiling" not in again.stderr
    (own,) = [line for line in succeed("cache", env=place).stdout.splitlines() if "(this one)" in line]
    assert f"spikesim {__version__}, Python 3." in own and ", numba " in own
