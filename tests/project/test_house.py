"""benchmarks/robustness/house.py: figures of a small tree counted by hand, and of the checkout."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

TREE = {
    "spikesim/__init__.py": '"""The core."""\n\n__version__ = "1"\n\nfrom spikesim.ep.two import g\n',
    "spikesim/errors.py": "class InputError(Exception):\n    pass\n",
    "spikesim/core/__init__.py": '"""Nothing but this."""\n',
    "spikesim/core/plan.py": (
        "from spikesim.errors import InputError\n"
        "A, B, COLUMNS = range(3)\n"
        "POP_A, POP_B, POP_COLUMNS = range(3)\n"
        "def wide(a, b, c, d, e, f, g, h, *, i):\n"
        '    """A docstring\n'
        '    of two lines."""\n'
        "    return [a,\n"
        "        b]  # fmt: skip\n"
    ),
    "ep/__init__.py": '"""Learning."""\n',
    "ep/two.py": (
        "from spikesim import __version__\n"
        "from spikesim.core import plan\n"
        "class C:\n"
        "    def method(self, held):\n"
        "        def within(x):\n"
        "            return x if self._held else held is None\n"
        "        return within\n"
        "def g():\n"
        "    from spikesim.datasets.one import VALUE\n"
        "    return VALUE\n"
    ),
    "datasets/__init__.py": "VALUE = 1\n",
    "datasets/one.py": "from spikesim.datasets import VALUE\nfrom spikesim.ep.two import g\n",
}


def figures(*arguments: object) -> tuple[dict[str, list[str]], str]:
    """The columns of the table by row, and what follows it."""
    command = [sys.executable, str(ROOT / "benchmarks" / "robustness" / "house.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    table, _, rest = done.stdout.partition("\n\n")
    rows = [re.split(r" {2,}", line.strip()) for line in table.splitlines()[1:]]
    return {name: columns for name, *columns in rows}, rest


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "__init__.py").write_text("")
    (tmp_path / "spikesim" / "ep").symlink_to("../ep")
    return tmp_path


def test_a_small_tree_is_counted_as_by_hand(tree: Path) -> None:
    found, rest = figures("--root", tree)
    assert {name: column for name, (column,) in found.items()} == {
        "modules": "6",
        "largest folder": "2 (spikesim/)",
        "lines of a module, median and largest": "3.5, 10",
        "functions": "4",
        "lines of a function, median and largest": "3, 4",
        "functions with 8 and more arguments": "25.0 %",
        "the most arguments": "9",
        "column constants": "2",
        "numbered choices": "3",
        "fmt: skip": "1",
        "lines on a mode": "1 in 1 files",
        "packages": "6",
        "arrows between packages": "4",
        "packages on circles": "2",
    }
    assert rest == "More than 8 arguments:\n  9 spikesim/core/plan.py:4 wide\n"


def test_two_revisions_stand_side_by_side(tree: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *command], cwd=tree, check=True)
    (tree / "ep" / "three.py").write_text("")
    found, _ = figures("--root", tree, "--old", "HEAD")
    assert found["modules"] == ["6", "7"] and found["functions"] == ["4", "4"]


def test_the_checkout_has_no_circles() -> None:
    found, _ = figures()
    assert found["packages on circles"] == ["0"]
    assert int(found["modules"][0]) > 150
