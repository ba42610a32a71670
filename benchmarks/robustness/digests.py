"""Digests of small runs of every kind: what a change of the code must leave as it is, unless it says why not.

    python benchmarks/robustness/digests.py [--command spikesim] [--out NEW.json] [--against OLD.json] [CASE ...]

Each case runs with one thread, with two, stopped by a signal and resumed, and with the plain twins of the vector loops;
all four must have one digest. With --against, that digest must also be the one in the file. The exit code is 1 if a
digest differs. The data are the embedded ones and recordings that the script makes up.
"""

import argparse
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SMALL = (
    "data.limit=64",
    "data.test_limit=32",
    "data.batch_size=16",
    "optimizer.epochs=2",
    "model.calibration_samples=16",
    "record.spikes=[0, 1]",
    "record.traces=2",
)
STOPPED = 75


@dataclass(frozen=True)
class Case:
    """A training: its settings beside `SMALL`, and what it needs."""

    settings: tuple[str, ...]
    recordings: bool = False
    teacher: bool = False


CASES = {
    "conv": Case(("model.arch=conv",)),
    "vgg5": Case(("model.arch=vgg5", "model.width=0.25")),
    "live": Case(("model.arch=conv", "model.width=0.5", "dynamics.nudged_phase=live-spikes", "dynamics.order=parity")),
    "spikes": Case(("model.arch=conv", "dynamics.nudged_phase=clamped-spikes", "dynamics.contrast=spikes")),
    "mean-field": Case(("model.arch=conv", "dynamics.inference=mean-field")),
    "refractory": Case(
        ("model.arch=conv", "model.width=0.5", "model.neuron=refractory", "model.refractory=3", "dynamics.firing=iid")
    ),
    "recordings": Case(("model.arch=conv", "model.width=0.5"), recordings=True),
    "distilled": Case(("model.arch=conv", "model.width=0.5", "error_signals.kind=both"), teacher=True),
    "strided": Case(("model.arch=vgg5", "model.width=0.25", "dynamics.pooling=strided", "dynamics.firing=iid")),
    "literal": Case(
        (
            "model.arch=mlp",
            "dynamics.nudged_phase=live-spikes",
            "dynamics.rule=symmetric",
            "dynamics.order=synchronous",
            "dynamics.nudging=random-sign",
            "dynamics.noise=independent",
            "error_signals.kind=none",
            "optimizer.name=sgd",
            "stability.target_rate=0.05",
        )
    ),
}
SIMULATION = """
[[population]]
name = "lif"
kind = "lif"
size = 400
leak = 4
width = 0.05
refractory = 2
poisson = { rate = 1.5, weight = 0.06 }
record = true
record_potential = [0, 1]

[[population]]
name = "probabilistic"
kind = "probabilistic"
size = 100
bias = 0.05
record = true

[[projection]]
source = "lif"
target = "lif"
number = 40
weight = 0.05
delay = [1, 4]

[[projection]]
source = "lif"
target = "probabilistic"
number = 10
weight = 0.02
"""


class Runs:
    """The command, and a folder for what it writes."""

    def __init__(self, command: str, folder: Path):
        self.command = shlex.split(command)
        self.folder = folder

    def __call__(self, *arguments: object, plain: bool = False, stop: bool = False) -> str:
        """Run the command to its end; with `stop`, first send it a signal and then resume it."""
        line = [*self.command, *map(str, arguments)]
        environment = {**os.environ, "SPIKESIM_PLAIN_LOOPS": "1" if plain else "0"}
        if stop:
            self._stopped(line, environment)
            line.append("--resume")
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{shlex.join(line)}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def _stopped(self, line: list[str], environment: dict[str, str]) -> None:
        """Send the signal at the first sign of work; a run that ends before it arrives is as good."""
        out = Path(line[line.index("--out") + 1])
        with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and not out.exists():
                time.sleep(0.01)
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate()
        if process.returncode not in (0, STOPPED):
            raise SystemExit(f"{shlex.join(line)}: exit code {process.returncode}\n{errors.decode()}")

    def digest(self, file: Path) -> str:
        """The digest that `spikesim info` shows."""
        found = re.search(r"digest:\s+([0-9a-f]{64})", self("info", file))
        assert found, f"spikesim info shows no digest of {file}"
        return found[1]


def content(file: Path) -> str:
    """SHA-256 over the arrays of an HDF5 file, by name: simulation files have no digest of their own.

    Spikes are taken in the order of trials and steps. In the file they lie stretch by stretch, and how many steps a
    stretch has depends on how long they take.
    """
    digest = hashlib.sha256()
    order: dict[str, Any] = {}

    def put(name: str, item: Any) -> None:
        if isinstance(item, h5py.Group) and {"trial", "step", "neuron"} <= set(item):
            order[item.name] = np.lexsort([item[key][()] for key in ("neuron", "step", "trial")])
        elif isinstance(item, h5py.Dataset):
            values = np.asarray(item[()])
            if item.parent.name in order:
                values = values[order[item.parent.name]]
            digest.update(f"{name}|{values.dtype}|{values.shape}\n".encode())
            digest.update(repr(values.tolist()).encode() if values.dtype.hasobject else values.tobytes())

    with h5py.File(file, "r") as opened:
        opened.visititems(put)
    return digest.hexdigest()


def make_recordings(file: Path) -> None:
    """Dots that move in one of two directions, as a user's own file of events."""
    rng = np.random.default_rng(1)
    labels = np.arange(96) % 2
    counts = rng.integers(60, 90, len(labels))
    t = np.concatenate([np.sort(rng.integers(0, 20_000, count)) for count in counts])
    column = t * 16 // 20_000
    np.savez(
        file,
        t=t,
        x=np.where(np.repeat(labels, counts) == 0, column, 15 - column),
        y=rng.integers(0, 16, len(t)),
        p=rng.integers(0, 2, len(t)),
        offsets=np.cumsum([0, *counts]),
        labels=labels,
        n_train=64,
    )


def training(runs: Runs, name: str, case: Case) -> dict[str, str]:
    """The digests of a case by the way in which it ran."""
    arguments = ["train"]
    for setting in (*SMALL, *case.settings):
        arguments += ["--set", setting]
    if case.recordings:
        recordings = runs.folder / "recordings.npz"
        make_recordings(recordings)
        arguments += ["--dataset", str(recordings)]
    if case.teacher:
        first, teacher = runs.folder / "first.h5", runs.folder / "teacher.h5"
        runs("train", *[part for setting in SMALL for part in ("--set", setting)], "--arch", "conv", "--out", first)
        runs("teacher", first, "--out", teacher)
        arguments += ["--teacher", str(teacher)]
    digests = {}
    for way, threads, plain, stop in (
        ("one thread", 1, False, False),
        ("two threads", 2, False, False),
        ("resumed", 2, False, True),
        ("plain twins", 2, True, False),
    ):
        out = runs.folder / f"{name}-{way.replace(' ', '-')}.h5"
        runs(*arguments, "--threads", threads, "--out", out, plain=plain, stop=stop)
        digests[way] = runs.digest(out)
    return digests


def simulation(runs: Runs) -> dict[str, str]:
    """The digests of a sparse network by the way in which it ran."""
    description = runs.folder / "network.toml"
    description.write_text(SIMULATION, encoding="utf-8")
    digests = {}
    for way, threads, plain in (("one thread", 1, False), ("two threads", 2, False), ("plain twins", 2, True)):
        out = runs.folder / f"simulation-{way.replace(' ', '-')}.h5"
        runs("simulate", description, "--steps", 400, "--trials", 3, "--threads", threads, "--out", out, plain=plain)
        digests[way] = content(out)
    return digests


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "cases", nargs="*", metavar="CASE", help=f"of {', '.join((*CASES, 'simulation'))}; all by default"
    )
    parser.add_argument("--command", default="spikesim")
    parser.add_argument("--out", type=Path, help="write the digests into this JSON file")
    parser.add_argument("--against", type=Path, help="compare them with those in this JSON file")
    options = parser.parse_args()
    expected = json.loads(options.against.read_text(encoding="utf-8")) if options.against else {}
    found, failures = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(options.command, Path(folder))
        for name in options.cases or (*CASES, "simulation"):
            digests = simulation(runs) if name == "simulation" else training(runs, name, CASES[name])
            found[name] = digests["one thread"]
            problems = [way for way, digest in digests.items() if digest != found[name]]
            if name in expected and expected[name] != found[name]:
                problems.append("another digest than in the file")
            failures += bool(problems)
            print(
                f"{name:12} {found[name]} {', '.join(problems) or 'the same ' + str(len(digests)) + ' times'}",
                flush=True,
            )
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
