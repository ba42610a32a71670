"""A training through the public command: speed by threads, memory by steps, and torch's backpropagation through time.

    python benchmarks/speed/train.py [--threads 1 2] [--samples N] [--no-peer] [any option of `spikesim train`]

Trains VGG11 at its full width on CIFAR-10 (say where the data are with --data-dir) with the default settings, a process
for each number of threads, and prints samples a second without the first mini-batch, which loads or compiles the
kernels; what an epoch of 50,000 would take; events, activity and peak memory. Then mini-batches of 128, with the free
phase as it is and four times as long: the memory that a training needs does not grow with its steps.

The other side is the same network in PyTorch: the dense dynamics of `step.py`, forward and feedback, unrolled over as
many steps as a free phase has, with straight-through estimates at the spikes and a step of Adam for each mini-batch.

    python benchmarks/speed/train.py --samples 128 --dataset fashion-mnist-mini --width 0.25 --peer-batch 4
"""

import argparse
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, process

from spikesim import RunReader
from spikesim.ep.runs.schema import PHASES

EPOCH = 50_000
LARGE_BATCH, LONGER = 128, 4
PEER = "--as-peer"


@dataclass
class Run:
    """What a process took."""

    path: Path
    peak: float  # GB of resident memory, at most

    def speed(self) -> float:
        """Samples a second, without the first mini-batch."""
        with RunReader(self.path) as run:
            batches = run.batches
        if len(batches["samples"]) < 2:
            sys.exit(
                "Error: there is only one mini-batch, whose time includes the loading of the kernels; more --samples"
            )
        return float(batches["samples"][1:].sum() / batches["seconds"][1:].sum())


def train(folder: Path, name: str, arguments: list[str]) -> Run:
    """One epoch of `spikesim train`."""
    path = folder / f"{name}.h5"
    command = [sys.executable, "-m", "spikesim", "train", *arguments, "--out", str(path)]
    return Run(path, process(command).peak / 1e9)


def describe(run: Run, threads: int) -> None:
    """Events and activity of a run."""
    with RunReader(run.path) as reader:
        batches, layers = reader.batches, reader.layers
    events = (batches["events_forward"] + batches["events_feedback"]).sum(axis=(1, 2))
    samples, seconds = int(batches["samples"][1:].sum()), float(batches["seconds"][1:].sum())
    print(
        f"    {int(events[1:].sum()) / samples / 1e6:.1f} M synaptic events a sample, "
        f"{int(events[1:].sum()) / seconds / threads / 1e9:.1f} G/s a core, everything included"
    )
    for index, phase in enumerate(PHASES):
        updates = batches["neuron_updates"][:, index].sum(axis=0)
        if updates.any():
            activity = 100 * batches["spikes"][:, index].sum(axis=0) / np.maximum(updates, 1)
            by_layer = " ".join(f"{value:.1f}" for value in activity)
            print(f"    activity, {phase}, %, {layers[0].name} to {layers[-1].name}: {by_layer}")


def steps_of(run: Run) -> int:
    """Steps of the free phase."""
    with RunReader(run.path) as reader:
        return int(reader.config["dynamics"]["steps_free"])


def backpropagate(width: float, batch: int, steps: int, threads: int, repeats: int) -> None:
    """The other side, in a process of its own: seconds of mini-batches on standard output."""
    import torch
    from chains import chain_of
    from dense import Dense, Way
    from step import IMAGE, LEAK
    from torch.nn import functional

    from spikesim.ep.network.architectures import ARCHITECTURES, build

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    chain = chain_of(build(ARCHITECTURES["vgg11"], IMAGE, width=width))
    random = np.random.default_rng(0)
    weights = [
        random.normal(0.0, 1.5 / np.sqrt(np.prod(c.integers.shape[:-1])), c.integers.shape).astype(np.float32)
        for c in chain.connections
    ]
    network = Dense(chain, weights, 0.1, batch, Way("float32", channels_last=True, flipped=False))
    for weight in network.up:
        weight.requires_grad_()
    readout = torch.nn.Linear(chain.graph.populations[-1].neurons // 4, 10)
    optimizer = torch.optim.Adam([*network.up, *readout.parameters()])
    images, labels = torch.randn(batch, IMAGE[2], *IMAGE[:2]), torch.randint(10, (batch,))
    resting = [torch.zeros_like(membrane) for membrane in network.membranes]

    for _ in range(repeats + 1):
        began = time.perf_counter()
        image = functional.conv2d(images, network.up[0], padding=1)
        membranes, network.spikes = list(resting), list(resting)
        top = torch.zeros(())
        for _step in range(steps):
            drives = [network.drive(layer) for layer in range(len(membranes))]
            drives[0] = drives[0] + image
            membranes = [m + (u + network.bias - m) * 2.0**-LEAK for m, u in zip(membranes, drives, strict=True)]
            rates = [membrane.clamp(0, 1) for membrane in membranes]
            network.spikes = [p + ((torch.rand_like(p) < p).to(p.dtype) - p).detach() for p in rates]
            top = top + rates[-1]
        loss = functional.cross_entropy(readout(functional.avg_pool2d(top / steps, 2).flatten(1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(time.perf_counter() - began, flush=True)


def compare(folder: Path, options: argparse.Namespace, ours: Run, threads: int) -> None:
    """Backpropagation through time beside our run on as many threads."""
    try:
        import torch  # noqa: F401
    except ImportError:
        sys.exit("the other side is PyTorch, which is not installed: pip install torch, or --no-peer")
    steps, batch = steps_of(ours), options.peer_batch
    out = folder / f"peer-{threads}"
    own = [PEER, str(options.width), str(batch), str(steps), str(threads), str(options.peer_repeats)]
    peak = process([sys.executable, __file__, *own], out).peak / 1e9
    seconds = [float(line) for line in out.read_text().split()][1:]
    theirs = batch / float(np.median(seconds))
    print(
        f"backpropagation through time, {steps} steps, mini-batches of {batch}, {threads} threads: {theirs:.2f} "
        f"samples/s, {peak:.2f} GB\n    spikesim is {ours.speed() / theirs:.1f} times as fast",
        flush=True,
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads (default: 1 2)")
    parser.add_argument("--samples", type=int, default=512, help="training samples (default: 512)")
    parser.add_argument("--width", type=float, default=1.0, help="factor on the channels (default: 1)")
    parser.add_argument("--no-peer", action="store_true", help="leave out backpropagation through time")
    parser.add_argument("--peer-batch", type=int, default=8, help="its samples in a mini-batch (default: 8)")
    parser.add_argument("--peer-repeats", type=int, default=3, help="its mini-batches (default: 3)")
    options, passed = parser.parse_known_args()
    base = ["--arch", "vgg11", "--dataset", "cifar10", "--epochs", "1", "--test-limit", "1"]
    base += ["--width", str(options.width), *passed]
    print(machine(("numba", "numpy", "torch")))
    print(shlex.join(["spikesim", "train", *base, "--limit", str(options.samples)]), flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs: dict[int, Run] = {}
        for threads in options.threads:
            own = ["--limit", str(options.samples), "--threads", str(threads)]
            runs[threads] = run = train(folder, f"threads-{threads}", [*base, *own])
            speed = run.speed()
            ratio = speed / runs[options.threads[0]].speed()
            print(
                f"{threads} threads: {speed:.2f} samples/s, {ratio:.2f} times that of {options.threads[0]}; "
                f"{EPOCH / speed / 3600:.2f} h for {EPOCH} samples; {run.peak:.2f} GB",
                flush=True,
            )
            describe(run, threads)
        steps = steps_of(runs[options.threads[0]])
        for length in (steps, LONGER * steps):
            own = ["--batch-size", str(LARGE_BATCH), "--limit", str(LARGE_BATCH), "--steps-free", str(length)]
            run = train(folder, f"steps-{length}", [*base, *own, "--threads", str(options.threads[-1])])
            print(f"mini-batches of {LARGE_BATCH}, {length} free steps: {run.peak:.2f} GB", flush=True)
        if not options.no_peer:
            for threads, run in runs.items():
                compare(folder, options, run, threads)


if __name__ == "__main__":
    if len(sys.argv) == 7 and sys.argv[1] == PEER:
        backpropagate(float(sys.argv[2]), *(int(argument) for argument in sys.argv[3:]))
    else:
        main()
