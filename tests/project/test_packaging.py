"""What is installed: an sdist makes the wheel, the wheel has what it needs and nothing else, and stands beside others.

The wheel is put into a folder of its own here; ``.ci/package`` installs it into an empty environment, with a training.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT, copy_checkout

import spikesim
from spikesim.io.toml import tomllib

DATA = "datasets/data"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that is made of the sdist."""
    folder = tmp_path_factory.mktemp("package")
    tree = folder / "tree"
    copy_checkout(tree)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder of packages with the wheel, and a foreign package of the name of one of our folders."""
    site = wheel.parent / "site"
    for name in ("datasets", "cli", "ep"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text("FOREIGN = True\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*command, "--target", str(site), str(wheel)], check=True, cwd=wheel.parent)
    return site


def sources() -> set[str]:
    """Names in a wheel of all that belongs into it, besides its metadata: the modules of the tree, and a few files."""
    names = {f"spikesim/{name}" for name in ("py.typed", "ep/reports/pages/page.css", "ep/reports/pages/page.js")}
    for folder in ("spikesim", "ep", "datasets", "cli"):
        within = "" if folder == "spikesim" else "spikesim/"
        names |= {f"{within}{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
    names |= {f"spikesim/cli/commands/installation/pages/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    return names | {f"spikesim/{path.relative_to(ROOT)}" for path in (ROOT / DATA).glob("*/*")}


def test_the_wheel_has_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.testzip() is None
    metadata = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    assert names - metadata == sources()
    assert {Path(name).name for name in metadata} >= {"METADATA", "RECORD", "entry_points.txt", "LICENSE"}


def test_the_metadata_are_those_of_the_project(wheel: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = email.message_from_bytes(archive.read(name))
    assert (found["Name"], found["Version"]) == ("spikesim", spikesim.__version__)
    assert found["License-Expression"] == "MIT" and found["Requires-Python"] == project["requires-python"]
    assert set(found.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    plain = [line for line in found.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert len(plain) == len(project["dependencies"])
    assert str(found.get_payload()).startswith("# spikesim")


def test_the_sdist_has_no_links_and_no_cache(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        members = archive.getmembers()
    assert not [member.name for member in members if not (member.isfile() or member.isdir())]
    assert not [member.name for member in members if "__pycache__" in member.name]


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the folder of packages before all others, away from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=site.parent, env=environment, capture_output=True, text=True, timeout=120
    )


def test_it_stands_beside_packages_of_the_names_of_its_folders(installed: Path) -> None:
    program = (
        "import cli, datasets, ep, spikesim, spikesim.cli, spikesim.datasets, spikesim.ep; "
        "assert cli.FOREIGN and datasets.FOREIGN and ep.FOREIGN; "
        "names = [m.__file__ for m in (spikesim, spikesim.cli, spikesim.datasets, spikesim.ep)]; "
        "print(*names, sep='\\n')"
    )
    done = run(installed, "-c", program)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(installed)) for line in done.stdout.splitlines())


def test_the_installed_command_finds_its_data(installed: Path) -> None:
    done = run(installed, "-m", "spikesim", "data", "check", "fashion-mnist-mini", "japanese-vowels")
    good = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert good == ["fashion-mnist-mini: good (embedded)", "japanese-vowels: good (embedded)"], done.stderr
    assert run(installed, "-m", "spikesim", "--version").stdout.split()[-1] == spikesim.__version__


def test_the_installed_command_shows_the_manual(installed: Path) -> None:
    done = run(installed, "-m", "spikesim", "manual", "releasing")
    assert (done.returncode, done.stdout.strip()) == (0, (ROOT / "docs" / "releasing.md").read_text().strip())


def project() -> dict[str, Any]:
    """Metadata as pyproject.toml has them."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_the_manual_names_all_extras_and_the_pythons_that_were_tried() -> None:
    page = (ROOT / "docs" / "installation.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`([\w-]+)`", line.split("|")[1])}
    extras = project()["optional-dependencies"]
    assert named == set(extras)
    tried = set(re.findall(r"^\| (3\.\d+) \(", page, re.MULTILINE))
    classifiers = {line.rpartition(" ")[2] for line in project()["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert tried == classifiers and min(tried, key=_minor) == project()["requires-python"].removeprefix(">=")


def _minor(version: str) -> int:
    return int(version.partition(".")[2])


def test_the_environment_of_conda_has_the_same_packages() -> None:
    text = (ROOT / "environment.yml").read_text()
    listed = {name: low for name, low in re.findall(r"^  - ([\w-]+)>=([\d.]+)", text, re.MULTILINE)}
    wanted = [*project()["dependencies"], *project()["optional-dependencies"]["plot"]]
    pairs = dict(found.groups() for found in (re.match(r"([\w-]+)>=([\d.]+)", line) for line in wanted) if found)
    pairs["matplotlib-base"] = pairs.pop("matplotlib")
    assert listed == {**pairs, "python": project()["requires-python"].removeprefix(">=")}


def test_manual_pages_are_written(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "man_pages.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    pages = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert {"spikesim.1", "spikesim-train.1", "spikesim-data-fetch.1"} <= pages.keys()
    assert all(text.startswith(".TH ") and ".SH DESCRIPTION" in text for text in pages.values())
    assert "\n.B \\-\\-steps\\-free INTEGER\n" in pages["spikesim-train.1"]
    if shutil.which("groff"):
        for name in pages:
            checked = ["groff", "-man", "-ww", "-z", "-Tutf8", "-k", str(tmp_path / name)]
            assert not subprocess.run(checked, capture_output=True, text=True).stderr


def test_all_public_names_can_be_imported_and_have_docstrings(installed: Path) -> None:
    program = (
        "import spikesim, spikesim.datasets, spikesim.ep, spikesim.sparse\n"
        "for package in (spikesim, spikesim.sparse, spikesim.ep, spikesim.datasets):\n"
        "    for name in package.__all__:\n"
        "        assert name == '__version__' or getattr(package, name).__doc__.strip(), name\n"
        "    assert set(package.__all__) <= set(dir(package))\n"
    )
    done = run(installed, "-c", program)
    assert done.returncode == 0, done.stderr
