"""The house: packages import only downwards, modules in no circle, and no folder grows too large to be overlooked.

Imports are read from the syntax tree, the lazy ones inside functions and those for type checkers included.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from spikesim.io.toml import tomllib

ROOT = Path(__file__).resolve().parents[2]

ORDER = """
    spikesim.errors spikesim.runtime spikesim.jit spikesim.numerics spikesim.io spikesim.engine.simd
    spikesim.engine.neurons spikesim.engine spikesim spikesim.sparse.files spikesim.sparse.connections
    spikesim.sparse.inputs spikesim.sparse.neurons spikesim.sparse.engine spikesim.sparse.plasticity spikesim.sparse
    spikesim.sparse.analysis spikesim.sparse.learning
    spikesim.datasets.samples spikesim.datasets.catalogue spikesim.datasets.inspection spikesim.datasets.formats
    spikesim.datasets.formats.sequences
    spikesim.datasets spikesim.datasets.fetching spikesim.ep.runs spikesim.ep.config.sections spikesim.ep.config
    spikesim.ep.inputs spikesim.ep.analysis spikesim.ep.network spikesim.ep.phases.nudged spikesim.ep.phases
    spikesim.ep.parallel spikesim.ep.gradients.comparisons spikesim.ep.gradients spikesim.ep.evaluation
    spikesim.ep.training.normalization spikesim.ep.training.stability spikesim.ep.training.transfer
    spikesim.ep.training.learning
    spikesim.ep.training spikesim.ep.logs spikesim.ep.exchange spikesim.ep.gradcheck spikesim.ep.reports.charts
    spikesim.ep.reports.pages spikesim.ep.reports.simulations spikesim.ep.reports spikesim.ep spikesim.cli.terminal
    spikesim.cli spikesim.cli.views spikesim.cli.simulations spikesim.cli.cluster spikesim.cli.sweeps
    spikesim.cli.commands.installation spikesim.cli.commands spikesim.cli.commands.batch
""".split()
"""Packages from the ground up: each may import those before it. A module outside a package counts as its package's."""

ALLOWED = {
    "spikesim": "its public names are those of the whole program, each imported on first use",
    "spikesim.ep": "the same for the names that training and testing need",
    "spikesim.__main__": "it starts the command, which lies above everything",
}
"""Modules that may import upwards, and why. Also `__version__`, a constant of `spikesim`, may be read by all."""

LARGEST = 16
"""Modules of a folder, its ``__init__.py`` not counted."""

FOLDERS = ("spikesim", "ep", "datasets", "cli", "tests", "benchmarks")


def installed() -> dict[str, Path]:
    """The folder of each top package, from pyproject.toml."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    return {name: ROOT / folder for name, folder in named.items()}


def modules() -> dict[str, Path]:
    """All modules by the name under which they are imported. Links are not followed: each file has one name."""
    found = {}
    for top, folder in installed().items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((top, *parts)).removesuffix(".__init__")] = path
    return found


def imports(source: str, known: Mapping[str, object]) -> Iterator[str]:
    """The modules among the known ones that a source text imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import says the whole name"
            for alias in node.names:
                if (node.module, alias.name) != ("spikesim", "__version__"):
                    whole = f"{node.module}.{alias.name}"
                    yield from {whole if whole in known else node.module} & set(known)
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & set(known)


def edges(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """What each module imports, those that may import anything left out."""
    return {
        name: set(imports(source, sources)) - {name} if name not in ALLOWED else set()
        for name, source in sources.items()
    }


def package(module: str) -> str:
    """The package of the order to which a module belongs."""
    while module not in ORDER:
        module = module.rpartition(".")[0]
    return module


def climbs(sources: Mapping[str, str]) -> list[str]:
    """Imports from a package that comes later in the order."""
    rank = {name: place for place, name in enumerate(ORDER)}
    return sorted(
        f"{name} imports {other}"
        for name, others in edges(sources).items()
        for other in others
        if rank[package(other)] > rank[package(name)]
    )


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """The modules that lie on circles or between them; empty if there is none."""
    left = {name: set(others) for name, others in graph.items()}
    while ready := {name for name, others in left.items() if not others}:
        left = {name: others - ready for name, others in left.items() if name not in ready}
    return sorted(left)


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    return {name: path.read_text() for name, path in modules().items()}


def test_every_package_has_its_place_in_the_order() -> None:
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert packages | {"spikesim.errors"} == set(ORDER)


def test_packages_import_downwards(sources: dict[str, str]) -> None:
    assert climbs(sources) == []


def test_no_module_imports_itself_by_way_of_others(sources: dict[str, str]) -> None:
    assert circle(edges(sources)) == []


def test_what_may_import_upwards_is_there_and_does(sources: dict[str, str]) -> None:
    assert set(ALLOWED) <= set(sources)
    for name in ALLOWED:
        source = sources[name]
        assert any(True for _ in imports(source, sources)), f"{name} needs no exception"
        below = ast.parse(source).body if name != "spikesim.__main__" else []
        for node in below:  # for type checkers alone: at run time the names are imported on first use
            assert not (isinstance(node, ast.ImportFrom) and str(node.module).startswith("spikesim"))


def test_what_is_forbidden_is_found() -> None:
    made = {
        "spikesim.errors": "",
        "spikesim.io.one": "def f():\n    from spikesim.io import two",
        "spikesim.io.two": "import spikesim.io.one\nfrom spikesim import __version__",
        "spikesim.engine.run": (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from spikesim.ep.runs.schema import TABLES"
        ),
        "spikesim.ep.runs.schema": "from spikesim.errors import InputError\nfrom spikesim.io import one, two",
        "spikesim": "from spikesim.ep.runs.schema import TABLES",
    }
    assert climbs(made) == ["spikesim.engine.run imports spikesim.ep.runs.schema"]
    assert set(circle(edges(made))) >= {"spikesim.io.one", "spikesim.io.two"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_no_folder_is_too_large() -> None:
    files = [path for top in FOLDERS for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py"]
    count: dict[str, int] = {}
    for path in files:
        name = str(path.parent.relative_to(ROOT))
        count[name] = count.get(name, 0) + 1
    assert {name: number for name, number in count.items() if number > LARGEST} == {}


def test_every_folder_of_modules_is_a_package_that_says_what_it_is() -> None:
    for folder in {path.parent for path in modules().values()}:
        init = folder / "__init__.py"
        assert init.is_file(), folder
    for path in (path for top in FOLDERS for path in (ROOT / top).rglob("__init__.py")):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_every_package_says_what_it_imports_and_what_imports_it() -> None:
    """Its docstring has a paragraph of what lives there, and one of its neighbours."""
    silent = []
    for name, path in modules().items():
        if path.name == "__init__.py":
            first, *others = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")
            neighbours = [text for text in others if re.search(r"[Ii]mports .*;.* imports? it\b", text, re.DOTALL)]
            if not first or not neighbours:
                silent.append(name)
    assert silent == []


def within(module: str, name: str) -> bool:
    """Whether a module lies in what a docstring calls by this name, such as `ep.reports`, `reports` or `spikesim`."""
    return f".{name.removeprefix('spikesim.')}." in f".{module.removeprefix('spikesim.')}."


def test_what_packages_say_of_their_neighbours_is_so(sources: dict[str, str]) -> None:
    """Packages that are said to be imported are; those that are said to import do, and with "only", no others."""
    graph = edges(sources)
    for name in (name for name, path in modules().items() if path.name == "__init__.py" and name != "spikesim"):
        inside = {module for module in graph if module == name or module.startswith(f"{name}.")}
        imported = set().union(*(graph[module] for module in inside))
        importers = {module for module in graph if module not in inside and graph[module] & inside}
        text = (ast.get_docstring(ast.parse(sources[name])) or "").split("\n\n")[-1]
        first, _, second = text.partition(";")
        for said in re.findall(r"`([\w.]+)`", first.partition("mports")[2]):
            assert any(within(module, said) for module in imported), f"{name} imports {said}?"
        if "may" not in second and "nothing" not in second:
            for said in re.findall(r"`([\w.]+)`", second):
                assert any(within(module, said) for module in importers), f"{said} imports {name}?"
        if "only" in second:
            named = re.findall(r"`([\w.]+)`", second)
            others = {module for module in importers if not any(within(module, said) for said in named)}
            assert others == set(), f"only {named} import {name}?"


def test_names_and_folders_agree() -> None:
    """The links in spikesim/ say what pyproject.toml says, and all packages are installed."""
    for name, folder in installed().items():
        link = ROOT.joinpath(*name.split("."))
        assert link.resolve() == folder and link.is_symlink() == (name != "spikesim")
    packages = {name for name, path in modules().items() if path.name == "__init__.py"}
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert len(listed) == len(set(listed)) and set(listed) == packages


SCRIPTS = sorted(path for top in ("benchmarks", "examples") for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_scripts_import_is_there(path: Path, sources: dict[str, str]) -> None:
    """Also of scripts that need packages which are not here."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "spikesim":
            assert node.module in sources, node.module
            defined = set(ast.walk(ast.parse(sources[str(node.module)])))
            names = {item.name for item in defined if isinstance(item, ast.FunctionDef | ast.ClassDef)}
            names |= {item.id for item in defined if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store)}
            names |= {item.asname or item.name for item in defined if isinstance(item, ast.alias)}
            for alias in node.names:
                assert alias.name in names or f"{node.module}.{alias.name}" in sources, alias.name
        elif isinstance(node, ast.Import):
            assert all(alias.name in sources for alias in node.names if alias.name.startswith("spikesim."))
