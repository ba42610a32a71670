"""How large, how tangled and how regular the source is, in figures that can be compared from revision to revision.

    python benchmarks/robustness/house.py [--old REVISION] [--root FOLDER]

Everything is read from the syntax trees of the modules of spikesim/, ep/, datasets/ and cli/; nothing is imported, and
links are not followed. With --old a second column has the figures of another revision of the repository. The rules, the
same for both:

modules             Python files, an `__init__.py` with nothing but a docstring not counted
largest folder      the most such files in one folder
lines               of a module all; of a function those from `def` to its end, its docstring left out
arguments           of a function, in any position, left out `self`, `cls` and the `typingctx` that Numba passes to an
                    intrinsic
column constants    names that a module binds by unpacking `range(...)`, if the last of them is the number of columns
                    (`TABLE_KIND, TABLE_SHIFT, TABLE_COLUMNS = range(3)`)
numbered choices    names that are bound in that way to choices (`NOT_POOLED, POOLED = range(2)`)
fmt: skip           comments that exempt a statement from the formatter
lines on a mode     lines of ep/ on which the condition of an `if`, a conditional expression, a `while` or an `assert`
                    begins, or a comparison, that has one of the names `MODES` in it, underscores at its ends left out
packages            folders with an `__init__.py`
arrows              pairs of packages of which one imports the other, in functions and for type checkers too; a module
                    reads a package's `__version__` without an arrow
on circles          packages that import themselves by way of others; `spikesim.errors` counts as a package, and those
                    that import their public names on first use, and the program's start, import without arrows
"""

import argparse
import ast
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TOPS = ("spikesim", "ep", "datasets", "cli")
MODES = {"nudged_phase", "nudged_drive", "error_events", "nudging", "held", "clamped", "graded", "streamed"}
MANY = 8
UNCOUNTED = ("self", "cls", "typingctx")
DOORS = ("spikesim", "spikesim.ep", "spikesim.__main__")
"""Modules without arrows of their own: `spikesim` and `spikesim.ep` import their public names on first use."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file: its name when installed, its path from the root, its text and its tree."""

    name: str
    path: str
    text: str
    tree: ast.Module

    @property
    def package(self) -> str:
        """The package in which it lies; itself, if it is one, or if all the others import it."""
        alone = self.path.endswith("__init__.py") or self.name == "spikesim.errors"
        return self.name if alone else self.name.rpartition(".")[0]

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it but a docstring."""
        return self.path.endswith("__init__.py") and len(self.tree.body) == (ast.get_docstring(self.tree) is not None)


def read(root: Path) -> list[Module]:
    """The modules of a checkout."""
    found = []
    for top in TOPS:
        for folder, _, names in sorted(os.walk(root / top)):
            for name in sorted(name for name in names if name.endswith(".py")):
                path = Path(folder, name)
                parts = path.relative_to(root).with_suffix("").parts
                full = ".".join(parts if top == "spikesim" else ("spikesim", *parts)).removesuffix(".__init__")
                text = path.read_text()
                found.append(Module(full, str(path.relative_to(root)), text, ast.parse(text)))
    return found


def functions(module: Module) -> Iterator[Function]:
    """All functions and methods, those within others too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, Function))


def lines(function: Function) -> int:
    """Its lines, without its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if documented else 0)


def arguments(function: Function) -> int:
    """The number of its arguments."""
    of = function.args
    named = [*of.posonlyargs, *of.args, *of.kwonlyargs, *filter(None, (of.vararg, of.kwarg))]
    return len([argument for argument in named if argument.arg not in UNCOUNTED])


def unpacked_ranges(module: Module) -> Iterator[list[str]]:
    """Groups of names that the module binds by unpacking a range."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Name) and node.value.func.id == "range":
                yield [target.id for target in node.targets[0].elts if isinstance(target, ast.Name)]


def lines_on_a_mode(module: Module) -> set[int]:
    """Numbers of the lines with a condition that has a mode in it."""
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
            condition: ast.expr = node.test
        elif isinstance(node, ast.Compare):
            condition = node
        else:
            continue
        named = {part.id for part in ast.walk(condition) if isinstance(part, ast.Name)}
        named |= {part.attr for part in ast.walk(condition) if isinstance(part, ast.Attribute)}
        if {name.strip("_") for name in named} & MODES:
            found.add(condition.lineno)
    return found


def imported(module: Module, known: Mapping[str, Module]) -> Iterator[str]:
    """The modules that a module imports."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                if alias.name != "__version__":
                    whole = f"{node.module}.{alias.name}"
                    yield whole if whole in known else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def arrows(modules: list[Module]) -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports the second."""
    known = {module.name: module for module in modules}
    pairs = {
        (module.package, known[other].package)
        for module in modules
        if module.name not in DOORS
        for other in imported(module, known)
    }
    return {(one, other) for one, other in pairs if one != other}


def on_circles(pairs: set[tuple[str, str]]) -> list[str]:
    """Packages from which arrows lead back to themselves."""
    reached = {one: {other for first, other in pairs if first == one} for one, _ in pairs}
    for middle in list(reached):
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    return sorted(name for name, others in reached.items() if name in others)


def figures(modules: list[Module]) -> dict[str, str]:
    """What the table shows of a checkout."""
    counted = [module for module in modules if not module.empty]
    folders = [str(Path(module.path).parent) for module in counted]
    largest = max(set(folders), key=lambda folder: (folders.count(folder), folder))
    sizes = [module.text.count("\n") for module in counted]
    every = [function for module in counted for function in functions(module)]
    long, wide = [lines(function) for function in every], [arguments(function) for function in every]
    groups = [group for module in counted for group in unpacked_ranges(module)]
    columns = [group for group in groups if group[-1].endswith("_COLUMNS")]
    on_mode = {module.path: lines_on_a_mode(module) for module in counted if module.path.startswith("ep/")}
    pairs = arrows(modules)
    return {
        "modules": str(len(counted)),
        "largest folder": f"{folders.count(largest)} ({largest}/)",
        "lines of a module, median and largest": f"{statistics.median(sizes):g}, {max(sizes)}",
        "functions": str(len(every)),
        "lines of a function, median and largest": f"{statistics.median(long):g}, {max(long)}",
        f"functions with {MANY} and more arguments": f"{100 * sum(n >= MANY for n in wide) / len(wide):.1f} %",
        "the most arguments": str(max(wide)),
        "column constants": str(sum(len(group) - 1 for group in columns)),
        "numbered choices": str(sum(map(len, groups)) - sum(map(len, columns))),
        "fmt: skip": str(sum(module.text.count("# fmt: skip") for module in counted)),
        "lines on a mode": f"{sum(map(len, on_mode.values()))} in {sum(map(bool, on_mode.values()))} files",
        "packages": str(len({module.package for module in modules})),
        "arrows between packages": str(len(pairs)),
        "packages on circles": str(len(on_circles(pairs))),
    }


def widest(modules: list[Module]) -> list[str]:
    """Functions with more arguments than `MANY`, the widest first."""
    found = [
        (arguments(function), f"{module.path}:{function.lineno} {function.name}")
        for module in modules
        for function in functions(module)
        if arguments(function) > MANY
    ]
    return [f"{number:3} {place}" for number, place in sorted(found, key=lambda entry: (-entry[0], entry[1]))]


def of_revision(root: Path, revision: str) -> list[Module]:
    """The modules of another revision of a repository."""
    done = subprocess.run(["git", "archive", revision, *TOPS], cwd=root, capture_output=True)
    if done.returncode:
        sys.exit(f"Error: git has no such revision: {done.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
        return read(Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", metavar="REVISION", help="a revision to compare with, as git names it")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[2], help="the checkout")
    options = parser.parse_args()
    now = read(options.root)
    columns = {"now": figures(now)}
    if options.old:
        columns = {options.old: figures(of_revision(options.root, options.old)), **columns}
    print(f"{'':42}" + "".join(f"{name:>24}" for name in columns))
    for key in columns["now"]:
        print(f"{key:42}" + "".join(f"{column[key]:>24}" for column in columns.values()))
    print(f"\nMore than {MANY} arguments:")
    print("\n".join(widest(now)) or "none")


if __name__ == "__main__":
    main()
