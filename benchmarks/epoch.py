"""One epoch of training through the public command: speed, events, activity, memory.

    python benchmarks/epoch.py [--samples N] [--threads N] [--out RUN.h5] [any option of `spikesim train`]

Without further options it trains a full-width VGG11 on CIFAR-10; say where the data are with --data-dir. Options that
are not its own are passed on to `spikesim train`, after its own.

    python benchmarks/epoch.py --samples 128 --dataset fashion-mnist-mini --width 0.25
"""

import argparse
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from spikesim import RunReader, __version__
from spikesim.schema import PHASES


def peak_bytes() -> int:
    """Largest resident memory of the training process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def train(arguments: list[str], environment: dict[str, str]) -> None:
    """Run the command; end with its exit code if it fails."""
    command = [sys.executable, "-m", "spikesim", "train", *arguments]
    print(f"spikesim {__version__}, {platform.machine()}, Python {platform.python_version()}")
    print(shlex.join(["spikesim", "train", *arguments]), flush=True)
    code = subprocess.run(command, env=environment).returncode
    if code:
        sys.exit(code)


def show(path: Path, threads: int) -> None:
    """Print what the run file of one epoch says."""
    with RunReader(path) as run:
        batches, layers = run.batches, run.layers
    events = (batches["events_forward"] + batches["events_feedback"]).sum(axis=(1, 2))
    # The first mini-batch reads compiled kernels or compiles them: it is shown, but not in the rates.
    print(f"first mini-batch: {int(batches['samples'][0])} samples in {batches['seconds'][0]:.2f} s")
    if len(events) == 1:
        print("there is only one mini-batch: its time includes the loading of the kernels")
    kept = slice(1, None) if len(events) > 1 else slice(0, None)
    seconds, samples = float(batches["seconds"][kept].sum()), int(batches["samples"][kept].sum())
    each = batches["samples"][kept] / batches["seconds"][kept]
    print(
        f"{samples / seconds:.2f} samples/s ({samples} samples in {seconds:.2f} s; "
        f"mini-batches {each.min():.2f} to {each.max():.2f})"
    )
    print(f"{int(events[kept].sum()) / samples / 1e6:.1f} M synaptic events a sample")
    print(
        f"{int(events[kept].sum()) / seconds / threads / 1e9:.2f} G synaptic events/s a core "
        f"({threads} threads; contrast, optimiser and data included in the time)"
    )
    for index, phase in enumerate(PHASES):
        updates = batches["neuron_updates"][:, index].sum(axis=0)
        if not updates.any():
            continue
        activity = batches["spikes"][:, index].sum(axis=0) / np.maximum(updates, 1)
        by_layer = " ".join(f"{layer.name} {100 * value:.2f}" for layer, value in zip(layers, activity, strict=True))
        print(f"activity, {phase}, %: {by_layer}")
    print(f"peak memory: {peak_bytes() / 1e9:.3f} GB")


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--samples", type=int, default=512, help="training samples (default: 512)")
    parser.add_argument("--threads", type=int, default=cores, help="threads (default: the cores at hand)")
    parser.add_argument("--out", type=Path, help="keep the run file here (default: a temporary one)")
    options, passed = parser.parse_known_args()
    own = ["--arch", "vgg11", "--dataset", "cifar10", "--epochs", "1", "--test-limit", "1"]
    own += ["--limit", str(options.samples), "--threads", str(options.threads)]
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder) / "run.h5"
        train([*own, *passed, "--out", str(out)], dict(os.environ))
        show(out, options.threads)


if __name__ == "__main__":
    main()
