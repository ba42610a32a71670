"""The commands behind the figures of the manual: indented lines, each to be run by itself.

Their notation: a line that ends with a backslash, or within quotes, goes on in the next one; ``...`` stands for the
last whole command, with another run file; what is in brackets may be left out; ``NAME='options'`` is used as ``$NAME``;
where a run file has no name, the reader chooses one.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("spikesim", "python", "python3", "pip", "make", "mpiexec", "srun", "sbatch", "git")
NEEDED = {
    "backprop": "torch",
    "ep_bp": "torch",
    "greedy": "torch",
    "metrics": "neurobench",
    "step": "torch",
    "train": "torch",
    "train_teacher": "torch",
    "train_twin": "torch",
}
"""Scripts of benchmarks/ and examples/ that need a package which spikesim does not."""

INSTALLS = re.compile(r"pip install|-m venv")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_OUT = re.compile(r" --out [^ ]+")
_INDENTED = re.compile(r"^ {4}(\S.*)$")


@dataclass(frozen=True)
class Command:
    """A command, with its options and settings in full.

    Parameters
    ----------
    line : int
        Where it begins on its page.
    text : str
    needs : str
        The package that it cannot do without; empty if those of the tests are enough.
    """

    line: int
    text: str
    needs: str

    @property
    def installs(self) -> bool:
        """Whether it installs something, which tests do not."""
        return bool(INSTALLS.search(self.text))


def _open(text: str) -> bool:
    """Whether a logical line goes on."""
    return text.endswith("\\") or text.count("'") % 2 == 1


def _lines(page: Path) -> Iterator[tuple[int, str]]:
    """Logical lines of the indented blocks: number of the first line, and text."""
    text = _FENCED.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    first, pending = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _INDENTED.match(line)
        if pending:
            pending = f"{pending.removesuffix(chr(92)).rstrip()} {line.strip()}"
        elif found:
            first, pending = number, found[1]
        if pending and not _open(pending):
            yield first, pending
            pending = ""


def _variants(text: str) -> list[str]:
    """Without what is in brackets and, where that are options, with it."""
    without = re.sub(r" \[[^\]]*\]", "", text)
    options = re.sub(r" \[(--[^\]]*)\]", r" \1", text)
    return [without] if options == text else [without, re.sub(r" \[[^\]]*\]", "", options)]


def _needs(text: str) -> str:
    """The package that a command needs."""
    words = shlex.split(text)
    if "--atheris" in words:
        return "atheris"
    scripts = [Path(word).stem for word in words if word.endswith(".py")]
    return NEEDED.get(scripts[0], "") if scripts else ""


def _chooses(text: str) -> bool:
    """Whether a command leaves it to the reader to name the run file."""
    return text.startswith("spikesim train ") and not _OUT.search(text)


def indented_commands(page: Path) -> list[Command]:
    """The commands that stand in indented blocks."""
    lines = list(_lines(page))
    options = dict(found.groups() for _, line in lines if (found := re.fullmatch(r"([A-Z]+)='(.*)'", line)))
    found, whole = [], ""
    for number, line in lines:
        if line.startswith("... "):
            text = f"{_OUT.sub('', whole)}{line[3:]}"
        elif line.split()[0] in PROGRAMS:
            whole = text = line
        else:
            continue
        for name, value in options.items():
            text = text.replace(f"${name}", value)
        for variant in _variants(text):
            chosen = f" --out made-{len(found)}.h5" if _chooses(variant) else ""
            found.append(Command(number, variant + chosen, _needs(variant)))
    return found
