"""The sides of a comparison: processes that answer with what a repeat took, in turn."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from sparse_network import Spec

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import spread


class Peer(NamedTuple):
    """A simulator that has an interpreter of its own."""

    name: str
    option: str
    module: str
    script: str

    def command(self, python: str) -> list[str]:
        """What starts it as a side."""
        return [python, str(Path(__file__).resolve().parent / self.script)]

    def versions(self, python: str) -> str:
        """What this interpreter has of it; the end of the script if it has nothing."""
        lines = (
            f"import {self.module}, numpy; print('{self.name}', {self.module}.__version__, 'numpy', numpy.__version__)"
        )
        found = subprocess.run([python, "-c", lines], capture_output=True, text=True)
        if found.returncode:
            sys.exit(f"Error: {python} cannot import {self.name}: {found.stderr.strip().splitlines()[-1]}")
        return found.stdout.strip().splitlines()[-1]  # NEST greets before


BRIAN = Peer("Brian2", "--brian", "brian2", "brian_network.py")
NEST = Peer("NEST", "--nest", "nest", "nest_network.py")


class Side:
    """A process that runs the network, and what it has measured.

    Parameters
    ----------
    name : str
    command : list of str
        What starts it; its argument is JSON.
    """

    def __init__(self, name: str, command: list[str], spec: Spec, **changes: Any) -> None:
        self.name, self.spec = name, spec
        self.runs: list[dict[str, Any]] = []
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [*command, spec.told(**changes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.built = self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            said = [text for text in self._errors.read().splitlines() if text.strip()]
            sys.exit(f"Error: the process of {self.name} ended with code {code}: {said[-1] if said else 'no message'}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self, seed: int) -> dict[str, Any]:
        """One repeat."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        self.runs.append(self._answer())
        return self.runs[-1]

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def values(self, name: str) -> list[float]:
        """A number of each repeat."""
        return [run[name] for run in self.runs]

    @property
    def speeds(self) -> list[float]:
        """10**6 synaptic events a second, of each repeat."""
        return [run["events"] / run["seconds"] / 1e6 for run in self.runs]

    @property
    def per_step(self) -> list[float]:
        """Milliseconds, of each repeat."""
        return [1e3 * run["seconds"] / self.spec.steps for run in self.runs]

    @property
    def rates(self) -> list[float]:
        """Share of the neurons that fires in a step, per cent, of each repeat."""
        return [100 * run["spikes"] / self.spec.neurons / self.spec.steps for run in self.runs]

    def row(self) -> str:
        """One line of a table."""
        return (
            f"{self.name:36s} {spread(self.speeds, 1):25s} {spread(self.per_step):23s}"
            f" {statistics.mean(self.rates):6.3f} % {self.built['build']:9.1f}"
            f" {statistics.median(self.values('setup')):9.2f} {max(self.values('peak')) / 1e6:8.0f}"
        )


HEADER = f"{'':36s} {'M synaptic events/s':25s} {'ms a step':23s}     fire compile s  set-up s  peak MB"


def measure(sides: list[Side], repeats: int) -> None:
    """Repeats of the sides, in turn; each table row says what they found."""
    for repeat in range(repeats):
        for side in sides:
            side.run(repeat + 1)
    for side in sides:
        side.close()
