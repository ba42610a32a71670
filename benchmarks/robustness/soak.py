"""A long training, watched: memory, open files, speed, and whether its file can be read all the while.

    python benchmarks/robustness/soak.py --config examples/cifar10-vgg11.toml --data-dir DATA --set
    error_signals.kind=local \
        [--hours 2] [--every 60] [--threads 1] [--teacher FILE] [--out RUN.h5]

Runs `spikesim train` in a process of its own, whose entries under /proc (of Linux) it reads in between, and opens the
run file each time as any reader would. After so many hours the training gets a TERM, if it has not ended, and must stop
with 75 and a file that can be read. Prints a line for each sixth of the time; speed is processor time, so that other
work on the machine counts less. The exit code is 1 if the file could not be read once, or the training ended otherwise.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser

from spikesim import open_run
from spikesim.cli import EXIT_STOPPED
from spikesim.errors import InputError

PARTS = 6
PATIENCE = 600
"""Seconds for the first row to appear, which may have to wait for the compiler, and for the end to come."""


@dataclass
class Look:
    """What was seen at one moment; the number of mini-batches is missing where the file could not be read."""

    seconds: float
    megabytes: float
    files: int
    threads: int
    processor: float  # seconds
    batches: int | None


def rows(out: Path) -> int | None:
    """Mini-batches in the run file."""
    try:
        with open_run(out) as run:
            return len(run.batches["loss"])
    except InputError:
        return None


def look(process: subprocess.Popen[str], began: float, out: Path) -> Look:
    """Look at a process that is alive."""
    own = Path("/proc", str(process.pid))
    status = dict(line.split(":", 1) for line in (own / "status").read_text().splitlines())
    times = (own / "stat").read_text().rpartition(")")[2].split()[11:13]  # user, system
    return Look(
        seconds=time.monotonic() - began,
        megabytes=int(status["VmRSS"].split()[0]) / 1024,
        files=len(os.listdir(own / "fd")),
        threads=int(status["Threads"]),
        processor=sum(map(int, times)) / os.sysconf("SC_CLK_TCK"),
        batches=rows(out),
    )


def watch(command: list[str], out: Path, hours: float, every: float) -> tuple[list[Look], int]:
    """Train for so long: what was seen, and the exit status."""
    # a file, for a pipe that nobody reads fills up with progress and stops the training
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, text=True)
        try:
            began = time.monotonic()
            while process.poll() is None and not (out.exists() and rows(out)) and time.monotonic() - began < PATIENCE:
                time.sleep(min(1.0, every))
            began, looks = time.monotonic(), []
            while process.poll() is None and time.monotonic() - began < 3600 * hours:
                looks.append(look(process, began, out))
                time.sleep(every)
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=PATIENCE)
        finally:
            process.kill()
        if process.returncode not in (0, EXIT_STOPPED):
            errors.seek(0)
            print(errors.read(), file=sys.stderr)
    return looks, process.returncode


def show(looks: list[Look]) -> None:
    """A line for each part of the time."""
    print("| hours | MB, mean | most | open files | threads | mini-batches | ms of processor time each | unreadable |")
    print("|---|---|---|---|---|---|---|---|")
    for part in np.array_split(np.arange(len(looks)), PARTS):
        own = [looks[i] for i in part]
        readable = [one for one in own if one.batches is not None]
        if len(readable) < 2:
            continue
        first, last = readable[0], readable[-1]
        assert first.batches is not None and last.batches is not None
        batches = last.batches - first.batches
        each = f"{1e3 * (last.processor - first.processor) / batches:.1f}" if batches else ""
        sizes = [one.megabytes for one in own]
        print(
            f"| {own[0].seconds / 3600:.2f} to {own[-1].seconds / 3600:.2f} | {np.mean(sizes):.1f} | {max(sizes):.1f} "
            f"| {max(one.files for one in own)} | {max(one.threads for one in own)} | {batches} | {each} "
            f"| {len(own) - len(readable)} |"
        )


def main() -> None:
    """Train, look, print."""
    parser = network_parser(__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="(default: 2)")
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS", help="between two looks (default: 60)")
    parser.add_argument("--threads", type=int, default=1, help="of the training (default: 1)")
    parser.add_argument("--teacher", type=Path, metavar="FILE", help="teacher file, for signals that need one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="run file to keep (default: one that is removed)")
    options = parser.parse_args()
    print(machine(("numba", "numpy", "h5py")), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder, "run.h5")
        command = [sys.executable, "-m", "spikesim", "train", "--out", str(out), "--threads", str(options.threads)]
        command += ["--config", str(options.config)] if options.config else []
        command += ["--data-dir", str(options.data_dir)] if options.data_dir else []
        command += ["--teacher", str(options.teacher)] if options.teacher else []
        for setting in options.settings:
            command += ["--set", setting]
        looks, code = watch(command, out, options.hours, options.every)
        show(looks)
        found = rows(out)
    unread = sum(one.batches is None for one in looks)
    print(f"{len(looks)} looks, {unread} at a file that could not be read; exit status {code}, {found} mini-batches")
    sys.exit(0 if looks and not unread and found and code in (0, EXIT_STOPPED) else 1)


if __name__ == "__main__":
    main()
