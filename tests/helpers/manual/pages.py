"""The blocks of the manual's pages, and a place in which they can be run one after the other."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from event_files import arrays_of, bars, write_file, write_nmnist
from forking import start
from manual.command import SERVER, TEST, TRAIN, stand_ins
from manual.program import OF_SHELLS

ROOT = Path(__file__).resolve().parents[3]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"])
SECONDS = 300
"""Patience with one block: the first one compiles."""

_BLOCK = re.compile(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NO_RUN = re.compile(r"\{no-run: (.{8,})\}")

PROGRAMS = {
    "spikesim": 'exec "{python}" -S -E "{program}" "{address}" "{environment}" "$@"',
    "python": 'exec "{python}" "{command}" python "$@"',
    # two processes, on any number of cores and as root too
    "mpiexec": 'shift 2; exec "{bin}/mpiexec" --oversubscribe --bind-to none -n 2 "$@"',
    # a job is run at once; of an array, its first two members
    "sbatch": """\
script="${{@: -1}}"
first=$(sed -n 's/^#SBATCH --array=\\([0-9]*\\).*/\\1/p' "$script")
export SLURM_JOB_ID=1
if [ -n "$first" ]; then
    for number in "$first" $((first + 1)); do SLURM_ARRAY_TASK_ID=$number bash "$script" >&2; done
else
    bash "$script" >&2
fi
echo 1""",
    # without its own options and "python -m spikesim"
    "srun": 'while [ "${{1#--}}" != "$1" ]; do shift; done; shift 3; exec spikesim "$@"',
    # what make would do
    "make": 'exec /usr/bin/env -u MAKELEVEL "{make}" -C "{root}" -n "$@"',
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what stands behind it, its text, and where it begins."""

    language: str
    info: str
    text: str
    line: int

    @property
    def reason(self) -> str:
        """Why it is not run; empty if it is."""
        found = _NO_RUN.fullmatch(self.info)
        return found[1] if found else ""


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        yield Block(found[1], found[2].strip(), found[3], text.count("\n", 0, found.start()) + 1)


class Place:
    """A folder with what the blocks of a page find: programs, examples and data.

    Parameters
    ----------
    folder : Path
    server : str
        Address of a server with the stand-ins for the published files.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        programs = folder.parent / f"{folder.name}-bin"
        self.environment_file = programs / "environment.json"
        for path in (folder, programs):
            path.mkdir()
        names = {
            "python": sys.executable,
            "bin": Path(sys.executable).parent,
            "program": Path(__file__).with_name("program.py"),
            "address": start.address(),
            "environment": self.environment_file,
            "command": Path(__file__).with_name("command.py"),
            "root": ROOT,
            "make": "/usr/bin/make",
        }
        for name, text in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/bash\n{text.format_map(names)}\n")
            (programs / name).chmod(0o755)
        (folder / "examples").symlink_to(ROOT / "examples")
        (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
        kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        self._environment = {
            **kept,
            "PATH": os.pathsep.join(map(str, (programs, names["bin"], os.environ["PATH"]))),
            "PYTHONPATH": str(ROOT),
            SERVER: server,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
        for name in ("SPIKESIM_DATA", *OF_SHELLS):
            self._environment.pop(name, None)
        self.environment_file.write_text(json.dumps(self._environment))

    def put_data(self, data_dir: str = "D") -> None:
        """The stand-ins for the published sets in a data folder."""
        for tiny in stand_ins().values():
            tiny.write(self.folder / data_dir / tiny.entry.folders[0])
        self.put_recordings(data_dir)

    def put_recordings(self, data_dir: str = "D") -> None:
        """Recordings in the format of N-MNIST, and a file of them, in a data folder."""
        folder = self.folder / data_dir
        write_nmnist(folder / "nmnist", {"Train": bars(TRAIN), "Test": bars(TEST, first=TRAIN)})
        write_file(folder / "mine.npz", arrays_of(bars(TRAIN + TEST), TRAIN))

    def run(self, block: Block) -> subprocess.CompletedProcess[str]:
        """Run a block of shell or of Python."""
        shell = ["bash", "-euo", "pipefail", "-c"]
        command = shell if block.language == "sh" else [sys.executable, "-W", "error", "-c"]
        return subprocess.run(
            [*command, block.text],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


def published() -> Mapping[str, bytes]:
    """What a server of the stand-ins has, by file name; MNIST's names are also those of Fashion-MNIST."""
    files: dict[str, bytes] = {}
    for tiny in stand_ins().values():
        files = {**tiny.published(), **files}
    return files
