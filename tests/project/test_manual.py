"""Every block of shell and of Python in the manual is run, page by page and in order, or says why not.

What takes longer than a few seconds a page is run with ``SPIKESIM_MANUAL=all``; so are the commands behind the
figures, shortened, those of scripts that need torch or NeuroBench where these are installed.
"""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import CONFIG, ROOT, copy_checkout
from datasets_support import make_idx, serve
from manual.command import SCRIPTS, TRAIN
from manual.indented import NEEDED, indented_commands
from manual.pages import PAGES, Block, Place, blocks, published
from manual.program import is_of_page

from spikesim.ep.inputs.teacher import write_teacher

ALL = os.environ.get("SPIKESIM_MANUAL") == "all"
LANGUAGES = ("sh", "python")
OTHER_LANGUAGES = ("toml", "text", "json", "diff", "math")
WHEN_ASKED = (
    "docs/cluster.md",
    "docs/exchange.md",
    "docs/from-brian2-nest.md",
    "docs/from-ep-code.md",
    "docs/from-snntorch.md",
    "docs/gradient-check.md",
    "docs/own-architecture.md",
    "docs/reports.md",
    "docs/reproducibility.md",
    "docs/sequences.md",
    "docs/simulations.md",
    "docs/sparse-networks.md",
    "docs/streams.md",
    "docs/sweeps.md",
    "docs/teacher-file.md",
    "docs/teaching.md",
)
FIGURES = (
    "benchmarks/README.md",
    "docs/exchange.md",
    "docs/metrics.md",
    "docs/notebook/accuracy.md",
    "docs/notebook/speed.md",
    "docs/papers.md",
    "docs/performance.md",
    "docs/reliability.md",
    "docs/results.md",
    "docs/sequences.md",
    "docs/streams.md",
)
"""Pages with indented blocks: the commands behind their figures, which take minutes to hours."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def pictures(folder: Path) -> None:
    from PIL import Image

    for part in ("train", "test"):
        for name in ("cats", "dogs"):
            (folder / "pictures" / part / name).mkdir(parents=True)
            for number in range(3):
                Image.new("L", (40, 30), 20 * number).save(folder / "pictures" / part / name / f"{number}.png")


def own_data(place: Place) -> None:
    """Files of other programs, for the page on own data."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 9), ("t10k", 3)):
        images = make_idx(rng.integers(0, 256, (count, 28, 28)))
        (place.folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (place.folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(make_idx(np.arange(count) % 3)))
        records = rng.integers(0, 3, (count, 1 + 3 * 32 * 32), dtype=np.uint8)
        (place.folder / f"{part.replace('t10k', 'test')}.bin").write_bytes(records.tobytes())
    pictures(place.folder)


def trained(*names: str) -> Callable[[Place], None]:
    """Run files that a page takes as given."""

    def prepare(place: Place) -> None:
        (place.folder / "given.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 1"))
        first = Block("sh", "", f"spikesim train --config given.toml --out {names[0]}", 0)
        assert place.run(first).returncode == 0
        for name in names[1:]:
            (place.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(place.folder / names[0], place.folder / name)

    return prepare


def both(*steps: Callable[[Place], None]) -> Callable[[Place], None]:
    """One preparation after the other."""

    def prepare(place: Place) -> None:
        for step in steps:
            step(place)

    return prepare


PREPARE: dict[str, Callable[[Place], None]] = {
    "README.md": both(Place.put_recordings, trained("a.h5", "b.h5")),
    "docs/streams.md": Place.put_data,
    "docs/own-data.md": own_data,
    "docs/cluster.md": Place.put_data,
    "docs/gradient-check.md": trained("run.h5"),
    "docs/inference.md": trained("run.h5"),
    "docs/reports.md": both(Place.put_data, trained("run.h5", "a.h5", "b.h5", "runs/run-0.h5")),
    "docs/transfer.md": Place.put_data,
    "docs/teacher-file.md": trained("RUN.h5"),
    "docs/run-file.md": trained("RUN.h5"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serve(published()) as running:
        yield running.url


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in LANGUAGES and not block.reason]


def run_well(place: Place, name: str, block: Block) -> None:
    """Run a block of a page, which must end well."""
    done = place.run(block)
    assert done.returncode == 0, f"{name}, line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{name}, line {block.line}: {done.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name_of)
def test_the_blocks_of_a_page_run(page: Path, server: str, tmp_path: Path) -> None:
    name = name_of(page)
    if name in WHEN_ASKED and not ALL:
        pytest.skip("takes long: SPIKESIM_MANUAL=all runs it")
    place = Place(tmp_path / "page", server)
    PREPARE.get(name, lambda place: None)(place)
    for block in blocks(page):
        if block.language == "toml" and block.info:
            (place.folder / block.info).write_text(block.text)
        if block.language not in LANGUAGES or block.reason:
            continue
        run_well(place, name, block)


TEACHERS = {
    "teacher10.h5": ("cifar10", TRAIN, 10),
    "TEACHER": ("cifar10", TRAIN, 10),
    "teacher100.h5": ("cifar100", TRAIN, 100),
    "teacher.h5": ("fashion-mnist-mini", 5000, 10),
}
"""Teachers that the commands behind the figures name: data set, samples and classes."""


def given(place: Place) -> None:
    """What the commands behind the figures take as given, or from a command of their page that needs other packages."""
    for name, (dataset, *size) in TEACHERS.items():
        logits = np.random.default_rng(0).normal(size=size).astype(np.float32)
        write_teacher(place.folder / name, logits, dataset)
    twin = """
    spikesim train --arch conv --dataset fashion-mnist-mini --out like-twin.h5
    spikesim export like-twin.h5 --to safetensors --out twin.safetensors"""
    assert place.run(Block("sh", "", twin, 0)).returncode == 0


def groups() -> list[tuple[str, str]]:
    """Pages with figures, and the packages that their commands need; empty: those of the tests."""
    found = {
        (name, command.needs) for name in FIGURES for command in indented_commands(ROOT / name) if not command.installs
    }
    return sorted(found)


@pytest.mark.skipif(not ALL, reason="takes minutes: SPIKESIM_MANUAL=all runs it")
@pytest.mark.parametrize(("name", "needs"), groups())
def test_the_commands_behind_the_figures_run(name: str, needs: str, server: str, tmp_path: Path) -> None:
    if needs:
        pytest.importorskip(needs)
    place = Place(tmp_path / "page", server)
    place.put_data()
    (place.folder / "DATA").symlink_to("D")
    trained("RUN.h5", "RUN")(place)
    if not needs:
        given(place)
    for command in indented_commands(ROOT / name):
        if command.needs == needs and not command.installs:
            run_well(place, name, Block("sh", "", command.text, command.line))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_not_run_says_why(page: Path) -> None:
    for block in blocks(page):
        assert block.language in (*LANGUAGES, *OTHER_LANGUAGES), f"line {block.line}: {block.language}"
        if block.language in LANGUAGES:
            assert block.reason or not block.info, f"line {block.line}: {block.info}"
    if name_of(page) not in FIGURES:
        assert indented_commands(page) == [], "use a fenced block, which is run"


def test_the_lists_of_pages_are_up_to_date() -> None:
    names = {name_of(page) for page in PAGES}
    assert {*WHEN_ASKED, *PREPARE, *FIGURES} <= names
    assert all(indented_commands(ROOT / name) for name in FIGURES)
    assert {*NEEDED, *SCRIPTS} <= {
        path.stem for path in [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("examples/*.py")]
    }


NOTATION = r"""
    spikesim train --config A.toml \
        --out a.h5
    ... --beta 1 [--signals none]
    spikesim train $OLD --seed 1
    python benchmarks/speed/step.py [FILE ...]
    pip install '.[teacher]'
    train  98.1 %

    OLD='--set a.b=1
        --set c.d=2'

```sh
spikesim info a.h5
```
"""


def test_the_notation_of_commands_behind_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(NOTATION)
    train = "spikesim train --config A.toml"
    found = indented_commands(page)
    assert [(command.line, command.text, command.needs) for command in found] == [
        (2, f"{train} --out a.h5", ""),
        (4, f"{train} --beta 1 --out made-1.h5", ""),
        (4, f"{train} --beta 1 --signals none --out made-2.h5", ""),
        (5, "spikesim train --set a.b=1 --set c.d=2 --seed 1 --out made-3.h5", ""),
        (6, "python benchmarks/speed/step.py", "torch"),
        (7, "pip install '.[teacher]'", ""),
    ]
    assert [command.installs for command in found] == [False] * 5 + [True]


def patched(folder: Path) -> Path:
    """A copy of the checkout with the third neuron of docs/own-neuron.md."""
    copy_checkout(folder)
    diff = "".join(block.text for block in blocks(ROOT / "docs" / "own-neuron.md") if block.language == "diff")
    done = subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_neuron_of_the_manual_can_be_made(tmp_path: Path) -> None:
    changed = ("spikesim/engine/neurons/__init__.py", "ep/config/sections/model.py", "tests/helpers/reference.py")
    made = ("spikesim/engine/neurons/floored.py", "tests/core/engine/test_floored.py")
    copy = patched(tmp_path / "copy")
    for name in changed:
        assert (copy / name).read_text() != (ROOT / name).read_text()
    for name in made:
        assert (copy / name).exists() and not (ROOT / name).exists()


def test_parts_of_files_that_the_manual_shows_are_theirs() -> None:
    shown = [(block, block.reason.removeprefix("part of ")) for block in blocks(ROOT / "docs" / "own-neuron.md")]
    parts = [(block, ROOT / name) for block, name in shown if name != block.reason]
    assert parts
    for block, path in parts:
        assert block.text in path.read_text(), f"line {block.line}"


@pytest.mark.skipif(not ALL, reason="compiles the kernels again: SPIKESIM_MANUAL=all runs it")
def test_the_neuron_of_the_manual_passes_the_tests_it_names(tmp_path: Path) -> None:
    copy = patched(tmp_path / "copy")
    (block,) = (block for block in blocks(copy / "docs" / "own-neuron.md") if "pytest" in block.text)
    words = block.text.split()
    environment = {**os.environ, "PYTHONPATH": str(copy), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    program = [sys.executable, *words[1:], "-q"]
    done = subprocess.run(program, cwd=copy, env=environment, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_block_that_fails_is_noticed(server: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "page", server)
    for language, text in (("sh", "false | cat"), ("sh", "spikesim info none.h5\ntrue"), ("python", "import nothing")):
        assert place.run(Block(language, "", text, 0)).returncode != 0


STOPPED = """
spikesim simulate examples/networks/balanced.toml --steps 1000000 --out long.h5 &
until [ -e long.h5 ]; do sleep 0.02; done
kill -USR1 $!
wait $! || exit $?
"""


def test_a_command_of_a_block_is_stopped_by_a_signal(server: str, tmp_path: Path) -> None:
    done = Place(tmp_path / "page", server).run(Block("sh", "", STOPPED, 0))
    assert done.returncode == 75 and "--resume" in done.stderr, done.stderr


def test_commands_fork_unless_a_block_changes_their_environment(server: str, tmp_path: Path) -> None:
    place = Place(tmp_path / "page", server)
    for text, same in (("env -0", True), ("NUMBA_NUM_THREADS=1 env -0", False), ("env -0 -u PYTHONPATH", False)):
        words = place.run(Block("sh", "", text, 0)).stdout.rstrip("\0").split("\0")
        assert is_of_page(dict(word.split("=", 1) for word in words), place.environment_file) == same
