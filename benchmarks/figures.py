"""The figures of README and the manual: do pages agree with each other, and with the program?

    python benchmarks/figures.py [NAME ...] [--data-dir D] [--list]

*Quoted* figures stand on one page and come from another: they must be equal, rounded as where they are quoted.
*Measured* ones are computed again by the command of their page, where it is too long only its first epoch: accuracies
are equal to the last digit, or the figure is that of an older version; ratios of times are those of another machine and
may differ by the factor that is given. The script prints a line for each figure and ends with exit code 1 if one
differs. It skips, with the reason, what needs a data set or a package that is not there.
"""

import argparse
import importlib.util
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spikesim.datasets import find

ROOT = Path(__file__).resolve().parents[1]


class Quoted(NamedTuple):
    """Numbers of a page that another page is the source of: two patterns with as many groups."""

    name: str
    page: str
    pattern: str
    source: str
    found_by: str


class Measured(NamedTuple):
    """Numbers of a page that a command prints.

    Attributes
    ----------
    name, page, pattern : str
        The pattern has the numbers as groups; blanks and digits in one group are several.
    command : str
        Of the page.
    printed : str
        A pattern, each match of which has one of the numbers, in their order.
    factor : float
        By which they may differ; 1.0 for numbers that are the same on every machine.
    last : str
        Text behind which the command is interrupted, as by Ctrl-C; to its end where it is empty.
    needs : str
        A data set, or a package that starts with ``import``.
    """

    name: str
    page: str
    pattern: str
    command: str
    printed: str
    factor: float = 1.0
    last: str = ""
    needs: str = ""


RESULTS, SPEED = "docs/results.md", "docs/performance.md"
QUOTED = (
    Quoted("MNIST", "README.md", r"two convolutions \| ([\d.]+) %;", RESULTS, r"\| conv \| MNIST .*?\*\*([\d.]+),"),
    Quoted("Fashion-MNIST", "README.md", r"two convolutions \| [\d.]+ %; ([\d.]+) %", RESULTS,
           r"\| conv \| Fashion-MNIST .*?\*\*([\d.]+),"),
    Quoted("VGG5", "README.md", r"VGG5, .*? \| ([\d.]+) % \| ([\d.]+) %", RESULTS,
           r"\| vgg5 x0.25 \| CIFAR-10 .*?\*\*([\d.]+) %\*\* \| ([\d.]+) %"),
    Quoted("VGG9", "README.md", r"VGG9, .*? \| ([\d.]+) % \| ([\d.]+) %", RESULTS,
           r"\| vgg9 x0.25 \| CIFAR-10 .*?\*\*([\d.]+) %\*\* \| ([\d.]+) %"),
    Quoted("make train", "README.md", r"and (\d+) % of the test images", RESULTS, r"`make train` .*?\*\*([\d.]+) %"),
    Quoted("a time step", "README.md", r"a time step at 6 % activity \| ([\d.]+)", SPEED,
           r"\| 6 % \| average \| [\d.]+ \| ([\d.]+)"),
    Quoted("training", "README.md", r"training VGG11, one thread \| ([\d.]+) times as long; ([\d.]+) times", SPEED,
           r"vgg11 x1 has .*? takes ([\d.]+) times .*? and is ([\d.]+) times faster"),
    Quoted("equal delays", "README.md", r"20,000 neurons \| ([\d.]+) and", SPEED,
           r"## Sparse networks beside Brian2.*?\n\| all equal \|.*?\|.*?\| ([\d.]+) "),
    Quoted("delays per synapse", "README.md", r"20,000 neurons \| [\d.]+ and ([\d.]+)", SPEED,
           r"## Sparse networks beside Brian2.*?\n\| one for each synapse.*?\|.*?\|.*?\| ([\d.]+) "),
    Quoted("published", "README.md", r"([\d.]+) %: spiking VGG9 at full width", RESULTS,
           r"\| VGG9 \| ([\d.]+) % \| TESS"),
    Quoted("limits", "docs/limits.md", r"has ([\d.]+) % on CIFAR-10", RESULTS, r"\| VGG9 \| ([\d.]+) % \| TESS"),
    Quoted("pJ", "docs/model.md", r"([\d.]+) pJ per\s+accumulate, ([\d.]+) pJ", "docs/metrics.md",
           r"([\d.]+) pJ per accumulate and ([\d.]+) pJ"),
)  # fmt: skip
"""Numbers that stand on two pages."""
TESTED = r"test loss [\d.]+, accuracy ([\d.]+) %"
MEASURED = (
    Measured("make train, by epoch", RESULTS, r"^ {4}make train +([\d. ]+)$",
             "spikesim train --config examples/vgg11-mini.toml --out mini.h5", TESTED),
    Measured("tutorial, by epoch", "docs/tutorial.md", r"epoch 1/3: .*?accuracy ([\d.]+) %; \d.*?"
             r"epoch 2/3: .*?accuracy ([\d.]+) %; \d.*?epoch 3/3: .*?test loss [\d.]+, accuracy ([\d.]+) %",
             "spikesim train --arch conv --epochs 3 --out first.h5", TESTED),
    Measured("MNIST, epoch 1", RESULTS, r"^ {4}mnist, 0 +([\d.]+)",
             "spikesim train --config examples/mnist-conv.toml --out mnist.h5", TESTED,
             last="epoch 1/6:", needs="mnist"),
    Measured("Fashion-MNIST, epoch 1", RESULTS, r"^ {4}fashion, 0 +([\d.]+)",
             "spikesim train --config examples/fashion-mnist-conv.toml --out fashion.h5", TESTED,
             last="epoch 1/6:", needs="fashion-mnist"),
    Measured("bias of spikes, leak 1", RESULTS, r"^\| iid \| [\d.]+ \| ([\d.]+)",
             "python benchmarks/science/firing.py --leaks 1 --repeats 640 --noise-repeats 2 --windows 8",
             r"^\| 1 \| ([\d.]+)", factor=1.1),
    Measured("a time step at 6 %", SPEED, r"\| 6 % \| average \| [\d.]+ \| ([\d.]+)",
             "python benchmarks/speed/step.py --activity 6 --formats float32 --pooling average --threads 1",
             r"faster than dense ([\d.]+) times", factor=2.0,
             needs="import torch"),
)  # fmt: skip
"""Numbers that a command prints."""


class Line(NamedTuple):
    """What became of a figure: ``ok``, ``DIFFERS`` or ``skipped``."""

    name: str
    state: str
    words: str


def numbers(pattern: str, page: str) -> list[str]:
    """The numbers that a pattern finds on a page, as they are written."""
    found = re.search(pattern, (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if found is None:
        raise SystemExit(f"{page} has nothing like {pattern!r}; mend benchmarks/figures.py")
    return [number for group in found.groups() for number in group.split()]


def rounded(number: str, like: str) -> str:
    """A number with as many digits behind the point as another."""
    return f"{float(number):.{len(like.partition('.')[2])}f}"


def quoted() -> Iterator[Line]:
    """Whether pages agree."""
    for item in QUOTED:
        here, there = numbers(item.pattern, item.page), numbers(item.found_by, item.source)
        same = len(here) == len(there) and all(own == rounded(b, own) for own, b in zip(here, there, strict=True))
        words = f"{item.page}: {' '.join(here)}; {item.source}: {' '.join(there)}"
        yield Line(item.name, "ok" if same else "DIFFERS", words)


def missing(needs: str, data: Path | None) -> str:
    """Why a command cannot run here."""
    if needs.startswith("import "):
        return "" if importlib.util.find_spec(needs.split()[1]) else f"needs {needs.split()[1]}"
    return "" if not needs or find(needs, data) else f"needs {needs}: spikesim data fetch {needs} --data-dir DIR"


def output(item: Measured, data: Path | None) -> str:
    """What the command prints, to its end or to the text behind which it is interrupted."""
    words = shlex.split(item.command)
    program = [sys.executable, "-m", "spikesim"] if words[0] == "spikesim" else [sys.executable]
    words = [str(ROOT / word) if word.startswith(("examples/", "benchmarks/")) else word for word in words[1:]]
    if data is not None and item.needs and not item.needs.startswith("import "):
        words += ["--data-dir", str(data.resolve())]
    shown: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen(
            [*program, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert running.stdout is not None
        for line in running.stdout:
            shown.append(line)
            if item.last and line.startswith(item.last):
                running.send_signal(signal.SIGINT)
                break
        running.communicate()
    return "".join(shown)


def measured(item: Measured, data: Path | None) -> Line:
    """A figure of a page beside what its command prints."""
    if why := missing(item.needs, data):
        return Line(item.name, "skipped", why)
    wanted = numbers(item.pattern, item.page)
    text = output(item, data)
    found = re.findall(item.printed, text, re.MULTILINE)[: len(wanted)]
    words = f"{item.page}: {' '.join(wanted)}; now: {' '.join(found) or text.strip()[-200:]}"
    near = len(found) == len(wanted) and all(
        a == b if item.factor == 1 else 1 / item.factor <= float(a) / float(b) <= item.factor
        for a, b in zip(wanted, found, strict=True)
    )
    return Line(item.name, "ok" if near else "DIFFERS", words)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="measured figures; all if none is given")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--list", action="store_true", help="list the measured figures with their commands")
    given = parser.parse_args()
    if unknown := set(given.names) - {item.name for item in MEASURED}:
        parser.error(f"no figure {sorted(unknown)}; --list shows the names")
    if given.list:
        for item in MEASURED:
            print(f"{item.name}: {item.command}")
        return
    chosen = [item for item in MEASURED if not given.names or item.name in given.names]
    differ = False
    for lines in (quoted(), (measured(item, given.data_dir) for item in chosen)):
        for line in lines:
            differ |= line.state == "DIFFERS"
            print(f"{line.state:<8} {line.name}: {line.words}", flush=True)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
