"""How far `spikesim train --dry-run` is from the training that follows it.

    python benchmarks/speed/estimate.py --config examples/vgg11-mini.toml [--threads 2] [--set KEY=VALUE ...]
    python benchmarks/speed/estimate.py --runs RUN.h5 ...

Estimates a training, then trains it, each in a process of its own, and prints both and their ratio: a mini-batch, an
epoch, a test, the whole run from start to end, the run file, and the peak of the resident memory. With --runs nothing
is trained: how the activity and the work of a mini-batch changed in these runs, from their first mini-batches, which a
dry run sees, to the mean of all. Work is synaptic events and operations a sample, which other jobs do not change.
"""

import json
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, process

from spikesim import RunReader
from spikesim.cli.configuration import resolve
from spikesim.ep.inputs.dataset import load_dataset
from spikesim.ep.training.dry_run import BATCHES_MAX, DryRun
from spikesim.ep.training.observer import Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.errors import InputError

ESTIMATE = "--as-estimate"


def estimate(options: Namespace) -> dict[str, float]:
    """What a dry run says; seconds and bytes."""
    began = time.perf_counter()
    config, dataset = load_dataset(resolve(options.config, tuple(options.settings), {}), options.data_dir)
    run = RunOptions(Path(), threads=options.threads)
    found = DryRun(config, dataset, run, Silent()).measure(time.perf_counter() - began)
    return {
        "mini-batch": found.batch,
        "epoch": found.epoch,
        "test": found.test,
        "whole run": found.run(found.batch),
        "run file": found.file,
        "memory": found.memory,
    }


def trained(arguments: list[str]) -> dict[str, float]:
    """What the training took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        seconds, memory = process([sys.executable, "-m", "spikesim", "train", *arguments, "--out", str(path)])
        with RunReader(path) as run:
            batches, epochs = run.batches, run.epochs
        return {
            "mini-batch": statistics.median(batches["seconds"]),
            "epoch": statistics.fmean(epochs["seconds"]),
            "test": statistics.fmean(epochs["test_seconds"]),
            "whole run": seconds,
            "run file": path.stat().st_size,
            "memory": memory,
        }


def compare(options: Namespace) -> None:
    """Print estimate, truth and ratio."""
    arguments = ["--threads", str(options.threads)]
    arguments += ["--config", str(options.config)] if options.config else []
    arguments += ["--data-dir", str(options.data_dir)] if options.data_dir else []
    arguments += [word for text in options.settings for word in ("--set", text)]
    print(machine(("numba", "numpy")))
    with tempfile.NamedTemporaryFile() as output:
        process([sys.executable, __file__, ESTIMATE, *arguments], Path(output.name))
        said = json.load(output)
    true = trained(arguments)
    print(f"{'':12}{'estimate':>12}{'training':>12}{'ratio':>8}")
    for name, value in said.items():
        unit, scale = ("MB", 1e6) if name in ("run file", "memory") else ("s", 1.0)
        print(f"{name:12}{value / scale:9.3f} {unit:2}{true[name] / scale:9.3f} {unit:2}{value / true[name]:8.2f}")


def follow(path: Path) -> None:
    """Print how a run changed behind its first mini-batches."""
    with RunReader(path) as run:
        batches, config = run.batches, run.config
    work = (batches["events_forward"] + batches["events_feedback"] + batches["macs"]).sum(axis=(1, 2))
    work = work / batches["samples"]
    activity = batches["spikes"][:, 0].sum(axis=1) / batches["neuron_updates"][:, 0].sum(axis=1)
    first = slice(1, 1 + BATCHES_MAX)
    by_epoch = [f"{100 * activity[batches['epoch'] == epoch].mean():.1f}" for epoch in np.unique(batches["epoch"])]
    model, name = config["model"], config["data"]["dataset"]
    print(
        f"{path.name}: {model['arch']} x{model['width']:g}, {name}: activity {100 * activity[first].mean():.1f} % in "
        f"the first {len(work[first])} mini-batches, by epoch {' '.join(by_epoch)}; work of a mini-batch, mean of the "
        f"run over the first ones: {work.mean() / np.median(work[first]):.2f}"
    )


def main() -> None:
    """Compare, or follow."""
    parser = network_parser(__doc__)
    parser.add_argument("--threads", type=int, default=2, help="threads of both (default: 2)")
    parser.add_argument("--runs", type=Path, nargs="+", help="look at these run files only")
    parser.add_argument(ESTIMATE, action="store_true", help="print the estimate as JSON; what the script asks itself")
    options = parser.parse_args()
    try:
        if options.as_estimate:
            print(json.dumps(estimate(options)))
            return
        for path in options.runs or ():
            follow(path)
        if not options.runs:
            compare(options)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
