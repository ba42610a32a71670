"""The cache of compiled code: named by the sources, proof against damage, never in a folder that others could write."""

import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba.core import config
from numba.core.errors import NumbaError
from pairs import digest

from spikesim.jit import compilation
from spikesim.jit.compilation import JIT, PLAIN_LOOPS, cache_folder, kernel, source_hash
from spikesim.jit.kernel_cache import CHECKSUM_BYTES, CacheFolder

needs_jit = pytest.mark.skipif(not JIT, reason="nothing is compiled")
needs_vectors = pytest.mark.skipif(PLAIN_LOOPS, reason="plain loops count references")

PHILOX = """
import numpy as np
from spikesim.numerics.philox import _blocks, philox_words
print(philox_words(np.zeros((1, 4), np.uint32), 0)[0, 0], sum(_blocks.stats.cache_hits.values()))
"""


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints; it must not complain."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout.strip()


# -- The name of the folder -------------------------------------------------------------------------------------------


@pytest.fixture
def copied_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's sources that `source_hash` reads in place of the real one."""
    original = Path(compilation.__file__).parents[1]
    copy = tmp_path / "spikesim"
    shutil.copytree(original, copy, ignore=shutil.ignore_patterns("__pycache__", "data"))
    monkeypatch.setattr(compilation, "__file__", str(copy / "jit" / "compilation.py"))
    return copy


def fresh_hash() -> str:
    return source_hash.__wrapped__()


def test_an_edit_of_anything_that_kernels_see_changes_the_hash(copied_package: Path) -> None:
    before = fresh_hash()
    assert len(before) == 16 and int(before, 16) >= 0
    assert before == fresh_hash() == source_hash()
    with_kernels = [path for path in copied_package.rglob("*.py") if "@kernel\n" in path.read_text()]
    assert {"step.py", "delivery.py", "philox.py", "linear_response.py", "wheel.py"} <= {
        path.name for path in with_kernels
    }
    others = (
        "engine/simd/accumulate.py",
        "numerics/fixed_point.py",
        "engine/plan.py",
        "jit/compilation.py",
        "sparse/engine/layout.py",
    )
    seen = [copied_package / name for name in others]
    hashes = {before}
    for path in [*with_kernels, *seen]:
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        hashes.add(fresh_hash())
        path.write_bytes(content)
    assert len(hashes) == len(with_kernels) + len(seen) + 1
    assert fresh_hash() == before


def test_an_edit_of_anything_else_leaves_the_compiled_kernels_alone(copied_package: Path) -> None:
    before = fresh_hash()
    for name in (
        "cli/commands/report.py",
        "ep/analysis/summary.py",
        "ep/training/trainer.py",
        "ep/reports/pages/run_page.py",
        "notes.txt",
    ):
        path = copied_package / name
        assert path.exists() == (path.suffix == ".py")
        path.write_text((path.read_text() if path.exists() else "") + "\n")
        assert fresh_hash() == before


@pytest.mark.parametrize(
    "statement",
    [
        "import spikesim.added",
        "from spikesim import added",
        "from spikesim import added as other, errors",
        "from spikesim import (\n    errors,\n    added,\n)",
        "from spikesim.added import VALUE",
        "def later():\n    from spikesim.added import VALUE",
    ],
)
def test_imports_of_kernel_modules_are_followed(copied_package: Path, statement: str) -> None:
    with (copied_package / "engine" / "plan.py").open("a") as file:  # imported by modules with kernels
        file.write(f"\n{statement}\n")
    (copied_package / "added.py").write_text("from spikesim.behind import VALUE\n")
    (copied_package / "behind.py").write_text("VALUE = 1\n")
    before = fresh_hash()
    (copied_package / "behind.py").write_text("VALUE = 2\n")
    changed = fresh_hash()
    (copied_package / "behind.py").unlink()
    assert len({before, changed, fresh_hash()}) == 3


def test_options_that_change_the_code_change_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    for bounds in (False, True):
        for plain in (False, True):
            monkeypatch.setattr(config, "BOUNDSCHECK", bounds)
            monkeypatch.setattr(compilation, "PLAIN_LOOPS", plain)
            hashes.add(fresh_hash())
    assert len(hashes) == 4


# -- The choice of the folder -----------------------------------------------------------------------------------------


@pytest.fixture
def bases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    """The places where the cache may be, in the order of preference, all below the test's own folder."""
    places = {name: tmp_path / name for name in ("numba", "xdg", "home", "system")}
    for place in places.values():
        place.mkdir()
    monkeypatch.setattr(config, "CACHE_DIR", str(places["numba"]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(places["xdg"]))
    monkeypatch.setenv("HOME", str(places["home"]))
    monkeypatch.setattr(tempfile, "tempdir", str(places["system"]))
    yield places


def fresh_folder() -> Path:
    path = cache_folder.__wrapped__().path
    assert path is not None
    return path


def test_places_are_tried_in_order(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name = source_hash()
    assert cache_folder.__wrapped__() == CacheFolder(bases["numba"] / name)
    assert stat.S_IMODE(fresh_folder().stat().st_mode) == 0o700
    monkeypatch.setattr(config, "CACHE_DIR", "")
    assert fresh_folder() == bases["xdg"] / "spikesim" / name
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert fresh_folder() == bases["home"] / ".cache" / "spikesim" / name
    monkeypatch.setenv("HOME", str(bases["system"] / "file" / "none"))
    (bases["system"] / "file").write_text("")
    found = cache_folder.__wrapped__()
    assert found.path == bases["system"] / f"spikesim-{os.getuid()}" / name
    (reason,) = found.passed_over
    assert str(bases["system"] / "file") in reason


def test_folders_on_the_way_are_made_private_whatever_the_umask(bases: dict[str, Path]) -> None:
    shutil.rmtree(bases["numba"])
    before = os.umask(0)
    try:
        folder = fresh_folder()
    finally:
        os.umask(before)
    assert folder.is_relative_to(bases["numba"])
    assert stat.S_IMODE(bases["numba"].stat().st_mode) == 0o700


def test_a_place_that_cannot_be_made_is_passed_over(bases: dict[str, Path]) -> None:
    bases["numba"].rmdir()
    bases["numba"].write_text("a file where a folder should be")
    assert fresh_folder().is_relative_to(bases["xdg"])


def test_a_read_only_folder_is_passed_over(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = fresh_folder()
    taken.chmod(0o500)
    if os.getuid() == 0:  # root may write anywhere: let the question be answered as it is for others
        access = os.access
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != taken and access(path, mode))
    assert fresh_folder().is_relative_to(bases["xdg"])


def test_the_temporary_folder_is_asked_for_last(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert fresh_folder().is_relative_to(bases["numba"])
    for place in bases.values():
        shutil.rmtree(place)
        place.write_text("")
    assert cache_folder.__wrapped__().path is None


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_can_write_is_not_used(bases: dict[str, Path], mode: int) -> None:
    taken = fresh_folder()
    taken.chmod(mode)
    found = cache_folder.__wrapped__()
    assert found.path is not None and found.path.is_relative_to(bases["xdg"])
    assert found.passed_over == (f"{taken} can be written by others",)


@pytest.mark.parametrize(("mode", "private"), [(0o770, False), (0o707, False), (0o1777, True), (0o755, True)])
def test_who_may_write_a_folder_above_could_rename_ours(bases: dict[str, Path], mode: int, private: bool) -> None:
    bases["numba"].chmod(mode)
    assert fresh_folder().is_relative_to(bases["numba" if private else "xdg"])


@pytest.mark.parametrize("where", ["absolute", "relative", "behind .."])
def test_folders_behind_a_link_count(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    bases["numba"].rmdir()
    shared = bases["system"] / "shared"
    target = shared / "cache"
    target.mkdir(parents=True)
    text = {"absolute": target, "relative": "system/shared/cache", "behind ..": "home/../system/shared/cache"}[where]
    bases["numba"].symlink_to(text)
    assert fresh_folder() == bases["numba"] / source_hash()
    shared.chmod(0o777)
    assert fresh_folder().is_relative_to(bases["xdg"])


def test_links_in_a_circle_end(bases: dict[str, Path]) -> None:
    bases["numba"].rmdir()
    bases["numba"].symlink_to(bases["numba"])
    assert fresh_folder().is_relative_to(bases["xdg"])


def test_a_folder_of_somebody_else_is_not_used(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_folder()
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)  # now everything that is there is somebody else's
    found = cache_folder.__wrapped__()
    assert found.path is None and len(found.passed_over) == 4


@needs_jit
@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to be two users")
def test_another_users_folder_above_ours_runs_no_code_of_theirs() -> None:
    """Whoever owns the folder above could rename ours between the look at it and its use."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        theirs = Path(name, "theirs")
        theirs.mkdir()
        os.chown(theirs, 65002, 65002)
        theirs.chmod(0o777)
        code = "from spikesim.jit.kernel_cache import find_folder; print(find_folder('name'))"
        places = dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME", "TMPDIR"), str(theirs))
        ran = subprocess.run(
            ["setpriv", "--reuid", "65001", "--regid", "65001", "--clear-groups", sys.executable, "-B", "-c", code],
            env={**os.environ, **places}, cwd="/", capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        made = list(theirs.iterdir())
    if "Permission denied" in ran.stderr:
        pytest.skip("the checkout is root's alone")
    assert ran.returncode == 0, ran.stderr
    assert "path=None" in ran.stdout and ran.stdout.count(f"{theirs} belongs to user 65002") == 4
    assert made == [], "nothing is left where others can put something in its place"


# -- Damage -----------------------------------------------------------------------------------------------------------


def tiny() -> Callable[[int], int]:
    """A kernel that has not been called yet, the same function every time."""

    @kernel
    def add_seven(number):  # type: ignore[no-untyped-def]
        return number + 7

    return add_seven  # type: ignore[no-any-return]


def call(hit: bool) -> None:
    """The kernel gives the right result, from the cache or not."""
    function = tiny()
    assert function(5) == 12
    assert sum(function.stats.cache_hits.values()) == hit  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that holds the tiny kernel."""
    place = tmp_path / "cache"
    place.mkdir(mode=0o700)
    monkeypatch.setattr(compilation, "cache_folder", lambda: CacheFolder(place))
    call(hit=False)
    call(hit=True)
    assert {path.suffix for path in place.iterdir()} == {".nbi", ".nbc", ".txt"}
    return place


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "truncated": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "garbage": lambda content: bytes(range(256)) * 20,
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"not a pickle\n",
    "another pickle": lambda content: pickle.dumps({"nothing": "of use"}),
    "checksum, then nothing": lambda content: content[:CHECKSUM_BYTES],
    "first bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "a bit of the checksum's end": lambda content: flip(content, CHECKSUM_BYTES - 1),
    "a bit behind the checksum": lambda content: flip(content, CHECKSUM_BYTES),
    "a bit in the middle": lambda content: flip(content, len(content) // 2),
    "last bit": lambda content: flip(content, len(content) - 1),
}


def flip(content: bytes, place: int) -> bytes:
    """One bit is another."""
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


@needs_jit
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_compiled_anew(folder: Path, suffix: str, damage: str) -> None:
    for path in folder.glob(f"*{suffix}"):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    call(hit=False)
    call(hit=True)  # and the cache is whole again


@needs_jit
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_files_that_others_could_have_written_are_not_loaded(folder: Path, suffix: str, mode: int) -> None:
    for path in folder.glob(f"*{suffix}"):
        path.chmod(mode)
    call(hit=False)
    call(hit=True)
    assert not any(path.stat().st_mode & 0o022 for path in folder.iterdir()), "they were replaced"


@needs_jit
def test_an_entry_under_the_name_of_another_is_not_loaded(folder: Path) -> None:
    @kernel
    def add_nine(number):  # type: ignore[no-untyped-def]
        return number + 9

    assert add_nine(5) == 14
    (seven,) = folder.glob("*add_seven*.nbc")
    (nine,) = folder.glob("*add_nine*.nbc")
    seven.write_bytes(nine.read_bytes())
    call(hit=False)


@needs_jit
def test_files_are_written_for_the_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "cache_folder", lambda: CacheFolder(tmp_path))
    before = os.umask(0)
    try:
        call(hit=False)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o600}


@needs_jit
def test_without_a_private_folder_each_start_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "cache_folder", lambda: CacheFolder(None, ("nowhere",)))
    call(hit=False)
    call(hit=False)


@needs_jit
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_lost_files_are_compiled_anew(folder: Path, suffix: str) -> None:
    for path in folder.glob(f"*{suffix}"):
        path.unlink()
    call(hit=False)
    call(hit=True)


@needs_jit
def test_a_cache_that_cannot_be_written_costs_only_time(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file where the folder was")
    call(hit=False)
    call(hit=False)
    assert folder.read_text() == "a file where the folder was"


@needs_jit
def test_two_processes_share_the_cache_and_survive_its_damage(tmp_path: Path) -> None:
    place = {"NUMBA_CACHE_DIR": str(tmp_path)}
    answer = str(0x6627E8D5)
    assert run_python(PHILOX, **place) == f"{answer} 0"
    assert run_python(PHILOX, **place) == f"{answer} 1"
    assert [path.name for path in tmp_path.iterdir()] == [source_hash()]
    for path in (tmp_path / source_hash()).iterdir():
        path.write_bytes(path.read_bytes()[:50])
    assert run_python(PHILOX, **place) == f"{answer} 0"
    assert run_python(PHILOX, **place) == f"{answer} 1"


# -- Every way of running gives the same bits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_BOUNDSCHECK": "0"},
        {"NUMBA_BOUNDSCHECK": "1", "SPIKESIM_PLAIN_LOOPS": "1"},
        {"NUMBA_DISABLE_JIT": "1"},
    ],
    ids=["as users run it", "plain loops with checked bounds", "without the JIT"],
)
def test_every_way_of_running_gives_the_same_bits(environment: dict[str, str]) -> None:
    """Against this process, which has checked bounds and the vector code."""
    result = run_python(
        "from pairs import digest; print(digest())",
        PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[2] / "helpers"), os.environ.get("PYTHONPATH", "")]),
        **{"NUMBA_DISABLE_JIT": "0", "SPIKESIM_PLAIN_LOOPS": "0", **environment},
    )
    assert result == digest()


@needs_vectors
def test_kernels_count_no_references() -> None:
    """An atomic instruction for every array of a tuple that is passed on; several hundred nanoseconds a call."""

    class Pair(NamedTuple):
        one: np.ndarray
        other: np.ndarray

    @kernel
    def sum_from(pair, first):  # type: ignore[no-untyped-def]
        view, total = pair.one[first:], 0.0
        for i in range(view.shape[0]):
            total += view[i] * pair.other[i]
        return total

    pair = Pair(np.arange(4.0), np.arange(4.0))
    assert sum_from(pair, 2) == 3
    held = sys.getrefcount(pair.one)
    for _ in range(10):
        sum_from(pair, 2)
    now = sys.getrefcount(pair.one)
    assert now == held
    (code,) = sum_from.inspect_llvm().values()
    assert "sum_from" in code and "NRT_incref" not in code and "NRT_decref" not in code


@needs_vectors
def test_a_kernel_that_allocates_is_refused() -> None:
    @kernel
    def ones(n):  # type: ignore[no-untyped-def]
        return np.ones(n).sum()

    with pytest.raises(NumbaError):
        ones(3)


def test_this_process_checks_bounds() -> None:
    """The settings of conftest.py have arrived; an index out of range in a kernel is an error."""
    if os.environ["NUMBA_BOUNDSCHECK"] != "1":
        pytest.skip("switched off from outside")
    assert not PLAIN_LOOPS or os.environ.get("SPIKESIM_PLAIN_LOOPS") or not JIT

    @kernel
    def read(array, index):  # type: ignore[no-untyped-def]
        return array[index]

    with pytest.raises(IndexError):
        read(np.zeros(3), 3)
