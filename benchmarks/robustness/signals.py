"""Trainings that coreutils' timeout stops, which sends its signal twice: the figures of docs/reliability.md.

    python benchmarks/robustness/signals.py [--stops 30] [--seed 0]

timeout sends the signal to the process and, in the same instant, to its group. Each training is stopped at a moment of
its own, the first ones while they start, by SIGINT, SIGTERM and SIGUSR1 in turn. It must end with 75, with a checkpoint
once it has begun, and its resumption must have the digest of the undisturbed run. The exit code is 1 if one has not.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kills import CONFIG, digest

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine

from spikesim.io.checkpoint import checkpoint_folder, positions

SIGNALS = ("INT", "TERM", "USR1")
WHILE_STARTING = 0.2
"""Share of the trainings that are stopped within their first second."""
FIRST_SECONDS = 0.4
"""Python itself takes a part of a second to start, in which nothing of the program is at work yet."""


def train(folder: Path, out: Path, *options: str, stop: tuple[str, float] | None = None) -> tuple[int, str]:
    """Exit code and errors of a training, under timeout if it is to be stopped."""
    timeout = () if stop is None else ("timeout", "--preserve-status", "--signal", stop[0], f"{stop[1]:.3f}")
    command = (sys.executable, "-m", "spikesim", "train", "--config", str(folder / "run.toml"), "--out", str(out))
    done = subprocess.run([*timeout, *command, *options], capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, done.stderr


def stop_once(folder: Path, number: int, signal: str, after: float, whole: str) -> list[str] | None:
    """Stop a training, look, resume it; what was wrong, or None if it had ended before."""
    out = folder / f"run-{number}.h5"
    code, errors = train(folder, out, "--threads", "1", stop=(signal, after))
    if code == 0:
        return None
    found = positions(checkpoint_folder(out)) if out.exists() else []
    faults = [] if code == 75 else [f"exit code {code}: {errors[-200:]}"]
    begun = re.search(r"Stopped at epoch (\d+), mini-batch (\d+)", errors)
    if begun and begun.groups() != ("1", "0") and not found:
        faults.append("no checkpoint")
    resumed, errors = train(folder, out, "--threads", "2", "--resume")
    if resumed:
        faults.append(errors[-300:])
    elif digest(out) != whole:
        faults.append("another digest")
    place = f"checkpoint {found[-1]}" if found else "before the first checkpoint"
    print(
        f"{number:3d}  {signal:<5} after {after:5.2f} s  {place:<28}{'; '.join(faults) or '75, same digest'}",
        flush=True,
    )
    return faults


def main() -> None:
    """Stop and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stops", type=int, default=30, help="trainings that are stopped (default: 30)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    options = parser.parse_args()
    print(machine(("numba", "numpy", "h5py")))
    chance = random.Random(options.seed)
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run.toml").write_text(CONFIG)
        for _ in range(2):  # the first may compile
            began = time.monotonic()
            if train(folder, folder / "whole.h5", "--threads", "1", "--overwrite")[0]:
                sys.exit("Error: the undisturbed training fails")
            seconds = time.monotonic() - began
        print(f"undisturbed: {seconds:.1f} s")
        stopped = tries = 0
        while stopped < options.stops:
            early = stopped < WHILE_STARTING * options.stops
            after = chance.uniform(FIRST_SECONDS, 1.0) if early else chance.uniform(1.0, 0.9 * seconds)
            faults = stop_once(folder, tries, SIGNALS[stopped % 3], after, digest(folder / "whole.h5"))
            tries += 1
            if faults is not None:
                stopped += 1
                failed += bool(faults)
    print(f"{options.stops - failed} of {options.stops} ended with 75 and resumed to the digest of the undisturbed run")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
