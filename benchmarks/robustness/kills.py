"""Trainings that are killed at random moments, and what is left of them: the figures of docs/reliability.md.

    python benchmarks/robustness/kills.py [--kills 50] [--ranks 10] [--seed 0]

Small trainings on the embedded data write a checkpoint after every mini-batch, so that much of their time goes into
writing. Each is killed with SIGKILL at a moment of its own; of those with two ranks, one rank is. What a reader then
sees of the run file must be rows of the undisturbed run, and all that were told of more than a flush ago; or the kill
met a write of HDF5's structures, and it cannot be read. Then the run is resumed to its end, with another number of
threads, and must have the digest of the undisturbed one. The exit code is 1 if one has not.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine

from spikesim import RunReader
from spikesim.ep.runs.schema import TABLES
from spikesim.errors import DamagedError, InputError
from spikesim.io.checkpoint import checkpoint_folder

CONFIG = """\
[model]
arch = "custom"
calibration_samples = 8
layers = [{ kind = "conv", channels = 4, pool = true }, { kind = "conv", channels = 6, pool = true }]
[dynamics]
steps_free = 8
window_free = 4
[data]
limit = 160
test_limit = 100
batch_size = 4
[optimizer]
epochs = 3
"""
BATCHES = 40
"""Mini-batches an epoch."""
FLUSH_SECONDS = 1.5
"""Rows are flushed once a second; what was told longer ago than this must be in the file."""
MPIEXEC = (str(Path(sys.executable).with_name("mpiexec")), "--oversubscribe", "--bind-to", "none", "-n", "2")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


class Training:
    """A training in a process of its own (or two), and what it has told."""

    def __init__(self, folder: Path, out: Path, *options: str, ranks: bool = False) -> None:
        train = (sys.executable, "-m", "spikesim", "train", "--config", str(folder / "run.toml"), "--out", str(out))
        command = [*(MPIEXEC if ranks else ()), *train, "--progress-every", "0.1", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **AS_ROOT}
        )
        self.told: list[tuple[float, int]] = []  # when, mini-batches
        self.errors: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.errors.append(line)
            match = re.match(r"epoch (\d+)/\d+, mini-batch (\d+)/", line)
            if match:
                self.told.append((time.monotonic(), (int(match[1]) - 1) * BATCHES + int(match[2])))

    def wait(self) -> int:
        """Exit code, when it has ended."""
        code = self.process.wait(timeout=600)
        self._reader.join()
        return code

    def ranks(self) -> list[int]:
        """Process numbers of the ranks."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = path.read_text().split() if path.exists() else []
        return [int(child) for child in children if b"spikesim" in Path(f"/proc/{child}/cmdline").read_bytes()]


def digest(run: Path) -> str:
    """That of a run file."""
    with RunReader(run) as reader:
        return reader.digest()


def faults_of_rows(run: Path, whole: Path, expected: int) -> tuple[str, list[str]]:
    """How many rows a reader sees, and what is wrong: rows not those of the undisturbed run, or too few."""
    if not run.exists():
        return "  -", [] if expected == 0 else ["the run file is missing"]
    try:
        with RunReader(run) as reader, RunReader(whole) as other:
            rows = reader.rows["batches"]
            found = [f"{expected} mini-batches were told, {rows} are in the file"] if rows < expected else []
            for column in TABLES["batches"]:
                if column.name != "seconds":
                    same = np.array_equal(
                        reader.batches[column.name], other.batches[column.name][:rows], equal_nan=True
                    )
                    found += [] if same else [f"{column.name} differs"]
            return f"{rows:3d}", found
    except DamagedError:
        return "torn", []
    except InputError as error:
        return "  -", [f"unreadable: {error}"]


def kill_once(folder: Path, number: int, chance: random.Random, seconds: float, ranks: bool, whole: Path) -> list[str]:
    """Kill a training, look, resume it; what was wrong."""
    out = folder / f"run-{number}.h5"
    threads = str(1 + number % 2)
    training = Training(folder, out, "--checkpoint-every", "1", "--threads", threads, ranks=ranks)
    begun = chance.random() < 0.9  # the others may be killed while they start
    while begun and not out.exists() and training.process.poll() is None:
        time.sleep(0.005)
    time.sleep(chance.random() * seconds)
    now = time.monotonic()
    if ranks:
        victims = training.ranks()
        if victims:
            os.kill(chance.choice(victims), 9)
    else:
        training.process.kill()
    code = training.wait()
    expected = max((batches for when, batches in training.told if when < now - FLUSH_SECONDS), default=0)
    folder_of = checkpoint_folder(out)
    writing = any(folder_of.glob(".checkpoint-*")) if folder_of.is_dir() else False
    told = training.told[-1][1] if training.told else 0
    visible, faults = faults_of_rows(out, whole, expected)
    resumed = Training(folder, out, "--resume", "--threads", str(3 - int(threads)), ranks=ranks)
    if resumed.wait():
        faults.append("".join(resumed.errors[-3:]))
    elif digest(out) != digest(whole):
        faults.append("another digest")
    where = "ended before" if code == 0 else "in a checkpoint" if writing else ""
    print(
        f"{number:3d}  {'two ranks' if ranks else 'alone':<10} told {told:3d}, in the file {visible}  "
        f"{where:<16}{'; '.join(faults) or 'same digest'}",
        flush=True,
    )
    return faults


def main() -> None:
    """Kill and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="trainings that are killed (default: 50)")
    parser.add_argument("--ranks", type=int, default=10, help="of these, with two ranks (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args()
    print(machine(("numba", "numpy", "h5py", "mpi4py")))
    chance = random.Random(options.seed)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.toml").write_text(CONFIG)
        whole = folder / "whole.h5"
        for _ in range(2):  # the first may compile
            began = time.monotonic()
            if Training(folder, whole, "--checkpoint-every", "1", "--threads", "1", "--overwrite").wait():
                sys.exit("Error: the undisturbed training fails")
            seconds = time.monotonic() - began
        print(f"undisturbed: {seconds:.1f} s")
        for number in range(options.kills):
            ranks = number >= options.kills - options.ranks
            failed += bool(kill_once(folder, number, chance, seconds, ranks, whole))
    print(
        f"{options.kills - failed} of {options.kills} resumed to the digest of the undisturbed run, rows as they were"
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
