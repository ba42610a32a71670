"""Training by equilibrium propagation beside backpropagation of the same network: samples/s in one run, in turn.

    python benchmarks/speed/ep_bp.py --config examples/cifar10-vgg5.toml --data-dir D [--set KEY=VALUE] [--repeats 7]

Four sides, a mini-batch of each in turn, so that a machine shared with others slows all of them:

- `spikesim train`: everything that it does from one mini-batch to the next, data and run file included;
- backpropagation through the same layers, as of `science/backprop.py`: one pass forward and one back in float32, and a
  step of Adam. Its images are in memory, and no time is spent on them;
- the same in bfloat16, by autocast or with parameters and optimizer in bfloat16, whatever is faster;
- backpropagation through time (float32): the same layers as leaky membranes with a hard threshold and a surrogate
  gradient, fed forward through as many steps as the free phase has, and back through all of them. It is written to be
  fast: the image's drive is computed once, all steps of a layer are one convolution, nothing runs downward, and
  membranes are neither reset nor compared with random numbers.

The order of the axes in memory is whatever is faster, for each. Backpropagation through time keeps the states of all
its steps: its mini-batches are smaller than those of the others where they would need more than `--memory`.

It prints samples/s (medians of the repeats, and their range), and how the time of a sample relates to that of each
other side: the ratio of the medians, and the range of those of the turns.
"""

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py, measure.py
sys.path.append(str(Path(__file__).resolve().parents[1] / "science"))  # backprop.py
from chains import Chain, chain_of
from measure import fastest, instructions, machine, network_parser, read_network, spread

from spikesim.cli.configuration import resolve
from spikesim.datasets import Dataset
from spikesim.ep.config.layer_rows import Layer
from spikesim.ep.config.parsing import Config
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.architectures import architecture, build, input_shape
from spikesim.ep.training.observer import Observer, Progress
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError

try:
    import torch
    from torch.nn import functional
except ImportError:
    sys.exit("benchmarks/speed/ep_bp.py compares with PyTorch, which is not installed: pip install torch")
from backprop import CALIBRATION_IMAGES, Network, to_torch

LEARNING_RATE = 1e-3
TRIALS = 3
"""Mini-batches by which the ways of a side are compared."""
THRESHOLD = 0.5
"""Of the spikes of backpropagation through time: at first it leaves one neuron in sixteen of a channel active."""
FLOAT32, BFLOAT16, THROUGH_TIME = (
    "backpropagation, float32",
    "backpropagation, bfloat16",
    "backpropagation through time, float32",
)


class Spike(torch.autograd.Function):
    """A spike above the threshold; backward, the derivative of the clip to 0 .. 1."""

    @staticmethod
    def forward(context: Any, membrane: Any) -> Any:
        """Spikes of membranes."""
        context.save_for_backward(membrane)
        return (membrane > THRESHOLD).to(membrane.dtype)

    @staticmethod
    def backward(context: Any, gradient: Any) -> Any:
        """Gradient of the membranes, 0 where they are beyond 0 .. 1."""
        (membrane,) = context.saved_tensors
        return gradient * ((membrane - 0.5).abs() < 0.5)


class Recurrent(Network):
    """The layers of a chain through time.

    Parameters
    ----------
    config : Config
        Whose steps of the free phase, window and leak these are.
    """

    def __init__(self, rows: tuple[Layer, ...], chain: Chain, classes: int, winners: bool, config: Config) -> None:
        super().__init__(rows, chain, classes, "none", "clip", winners)
        self.steps, self.window = config.dynamics.steps_free, config.dynamics.window_free
        self.share = 2.0**-config.dynamics.leak

    def passed(self, number: int, u: Any) -> Any:
        """What the next layer sees of a layer's spikes."""
        spikes = Spike.apply(u)
        return self.pool(spikes, 2) if self.pooled[number] else spikes

    def forward(self, x: Any) -> Any:
        """Logits of images, from the mean rates of the window."""
        drives = [self.drive(0, x)] * self.steps
        for number in range(len(self.rows)):
            if number:
                drives = self.drive(number, x).chunk(self.steps)
            membrane, seen = torch.zeros_like(drives[0]), []
            for drive in drives:
                membrane = torch.lerp(membrane, drive, self.share)
                seen.append(self.passed(number, membrane))
            x = torch.cat(seen)  # (steps * n, C, H, W)
        rates = sum(seen[-self.window :]) / self.window
        return self.readout(rates.flatten(1))


@dataclass(frozen=True)
class Task:
    """What the sides of torch train on.

    Attributes
    ----------
    network : function
        Makes the network, not yet initialized.
    images : float32 (n, C, H, W)
    labels : int64 (n,)
    calibration : float32 (m, C, H, W)
        What initial scales and biases are found on.
    seed : int
    """

    network: Callable[[], Network]
    images: Any
    labels: Any
    calibration: Any
    seed: int


class Peer:
    """A network of torch with its optimizer, trained on one mini-batch again and again.

    Parameters
    ----------
    task : Task
    channels_last : bool
    precision : str
        float32, autocast or converted; the last two are bfloat16.
    """

    def __init__(self, task: Task, channels_last: bool, precision: str) -> None:
        order = torch.channels_last if channels_last else torch.contiguous_format
        torch.manual_seed(task.seed)
        self.network = task.network().to(memory_format=order)
        self.network.initialize(task.calibration.contiguous(memory_format=order))
        dtype = torch.bfloat16 if precision == "converted" else torch.float32
        self.network.to(dtype)
        self.images = task.images.to(dtype).contiguous(memory_format=order)
        self.labels = task.labels
        self.autocast = precision == "autocast"
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)
        self.losses: list[float] = []

    def loss(self) -> Any:
        """Forward."""
        narrow = torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else contextlib.nullcontext()
        with narrow:
            return functional.cross_entropy(self.network(self.images).float(), self.labels)

    def seconds(self) -> float:
        """A mini-batch: seconds a sample."""
        began = time.perf_counter()
        loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.losses.append(loss.item())
        return (time.perf_counter() - began) / len(self.labels)


def fastest_peer(task: Task, precisions: tuple[str, ...]) -> tuple[Peer, str]:
    """The fastest way to train a network, and the times of all."""
    peers = {
        f"{precision} {'NHWC' if channels_last else 'NCHW'}": Peer(task, channels_last, precision)
        for precision in precisions
        for channels_last in (True, False)
    }
    name, tried = fastest(peers, lambda name: peers[name].seconds(), TRIALS)
    return peers[name], tried


def kept_bytes(task: Task) -> int:
    """What a pass forward keeps of a sample for the way back."""
    torch.manual_seed(task.seed)
    network = task.network()
    own = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Any] = {}  # the tensors are held, so that no other takes the place of one

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(task.images[:1])
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


class Turns(Observer):
    """Times each mini-batch of `spikesim train`, and gives the others their turn after it."""

    def __init__(self) -> None:
        self.peers: dict[str, Peer] = {}
        self.ours: list[float] = []
        self.theirs: dict[str, list[float]] = {}
        self.activity = 0.0
        self._began: float | None = None

    def add(self, peers: dict[str, Peer]) -> None:
        """Who else takes part."""
        self.peers |= peers
        self.theirs |= {name: [] for name in peers}

    def message(self, text: str) -> None:
        """What the run tells."""
        print(text, flush=True)

    def batch(self, progress: Progress) -> None:
        """The first mini-batch, which loads or compiles the kernels, does not count."""
        if self._began is not None:
            self.ours.append((time.perf_counter() - self._began) / progress.samples)
            for name, peer in self.peers.items():
                self.theirs[name].append(peer.seconds())
        self.activity = progress.activity
        self._began = time.perf_counter()

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Not of interest."""

    def epoch(self, summary: Any) -> None:
        """Not of interest."""


def make_peers(config: Config, dataset: Dataset, memory: float) -> dict[str, Peer]:
    """The sides of torch; prints how their ways compare."""
    arch = architecture(config.model.arch, config.model.layers)
    shape = input_shape(config.model.arch, arch, dataset)
    chain = chain_of(build(arch, shape, width=config.model.width))
    pipeline = InputPipeline(config, dataset, shape)
    ids = np.arange(config.data.batch_size)
    images, labels = to_torch(pipeline.train(0, ids)), torch.from_numpy(dataset.train.labels[ids].astype(np.int64))
    calibration = to_torch(pipeline.plain(dataset.train, slice(min(CALIBRATION_IMAGES, len(dataset.train)))))
    winners = config.dynamics.pooling == "winner"

    def layered() -> Network:
        return Network(arch.layers, chain, dataset.classes, "none", "clip", winners)

    def recurrent() -> Network:
        return Recurrent(arch.layers, chain, dataset.classes, winners, config)

    plain = Task(layered, images, labels, calibration, config.seed)
    through_time = Task(recurrent, images, labels, calibration, config.seed)
    each = kept_bytes(through_time)
    size = max(1, min(len(ids), int(memory * 1e9 / each)))
    through_time = Task(recurrent, images[:size], labels[:size], calibration, config.seed)
    parameters = sum(parameter.numel() for parameter in layered().parameters())
    print(
        f"{config.model.arch}, width {config.model.width:g}, {dataset.name}: {parameters} parameters, mini-batches of "
        f"{len(ids)}\nthrough time: {config.dynamics.steps_free} steps, mini-batches of {size}, "
        f"{each * size / 1e9:.2f} GB kept for the way back"
    )
    peers = {}
    print("ways, ms a sample:")
    for name, task, precisions in (
        (FLOAT32, plain, ("float32",)),
        (BFLOAT16, plain, ("autocast", "converted")),
        (THROUGH_TIME, through_time, ("float32",)),
    ):
        peers[name], tried = fastest_peer(task, precisions)
        print(f"    {name}: {tried}", flush=True)
    return peers


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """How many times theirs ours is: by the medians, and the least and the most of a turn."""
    turns = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ours) / statistics.median(theirs), min(turns), max(turns)


def report(turns: Turns, threads: int) -> None:
    """Print what was measured."""
    rows = {"spikesim train": turns.ours, **turns.theirs}
    print(f"\nsamples/s, {threads} thread{'s' if threads > 1 else ''}, medians of {len(turns.ours)}:")
    for name, times in rows.items():
        print(f"    {name:<38}{spread([1 / value for value in times], 1)}")
    print(f"activity of the free phase {turns.activity:.1%}")
    for name, peer in turns.peers.items():
        print(f"loss of {name}: {peer.losses[0]:.2f} to {peer.losses[-1]:.2f}")
    for name in (FLOAT32, BFLOAT16):
        middle, least, most = ratio(turns.ours, turns.theirs[name])
        print(f"time of spikesim: {middle:.2f} ({least:.2f} to {most:.2f}) times that of {name}")
    middle, least, most = ratio(turns.theirs[THROUGH_TIME], turns.ours)
    print(f"spikesim: {middle:.2f} ({least:.2f} to {most:.2f}) times as fast as {THROUGH_TIME}")


def main() -> None:
    """Train in turn, print."""
    parser = network_parser(__doc__)
    parser.add_argument("--threads", type=int, default=1, help="of each side (default: 1)")
    parser.add_argument("--repeats", type=int, default=7, help="mini-batches of each side (default: 7)")
    parser.add_argument("--memory", type=float, default=4.0, help="GB kept by steps through time (default: 4)")
    options = parser.parse_args()
    if min(options.threads, options.repeats) < 1 or not 0 < options.memory < float("inf"):
        sys.exit(
            f"Error: --threads is {options.threads}, --repeats {options.repeats} and --memory {options.memory:g}; "
            "all must be positive"
        )
    torch.set_num_threads(options.threads)
    try:
        fixed: dict[str, Any] = {"data.test_limit": 1, "optimizer.epochs": 1, "record.spikes": []}
        config, dataset = read_network(options, fixed)
        fixed["data.limit"] = config.data.batch_size * (options.repeats + 1)
        config = resolve(options.config, tuple(options.settings), fixed)
        print(f"{machine(('numba', 'numpy', 'torch'))}")
        print(f"instructions for narrow numbers: {' '.join(instructions()) or 'unknown'}")
        turns = Turns()
        with tempfile.TemporaryDirectory() as folder:
            run = RunOptions(Path(folder) / "run.h5", threads=options.threads, checkpoint_every=options.repeats + 2)
            trainer = Trainer(config, dataset, run, turns)
            turns.add(make_peers(config, dataset, options.memory))
            trainer.run()
    except InputError as error:
        sys.exit(f"Error: {error}")
    report(turns, options.threads)


if __name__ == "__main__":
    main()
