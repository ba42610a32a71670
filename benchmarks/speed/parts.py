"""Where the time of a training goes: the parts of a mini-batch, on one thread.

    python benchmarks/speed/parts.py --config examples/cifar10-vgg5.toml --data-dir D [--samples 256] [--set KEY=VALUE]

Trains a few mini-batches as `spikesim train` does, in this process and on one thread, with a clock around each part,
and prints milliseconds a sample and shares. Then it says what a step consists of: the free phase once more with all
neurons silent is the sweep (leak, random numbers, firing, lists), the difference is the delivery of events; the nudged
phases once more without nudges give the heads. The first mini-batch, which loads or compiles the kernels, is left out.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, read_network, seconds

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.runs.writer import RunWriter
from spikesim.ep.training.initialization import start
from spikesim.ep.training.learning import learner
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.normalization import Normalization
from spikesim.ep.training.observer import EpochSummary, Observer, Progress
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError

PARTS: tuple[tuple[str, Any, tuple[str, ...]], ...] = (
    ("data", InputPipeline, ("train",)),
    ("tables from weights", Model, ("set_parameters",)),
    ("image drive", ph.Workspace, ("rest",)),
    ("free phase", ph.Workspace, ("free",)),
    ("clamped drives", ph.Workspace, ("keep",)),
    ("nudged phases", ph.Workspace, ("nudged",)),
    ("state kept and restored", ph.Workspace, ("restore", "window_sums", "rate_sums")),
    ("read-out and heads, free", ph.Workspace, ("predict",)),
    ("contrast", learner, ("layer_sums", "layer_gradients")),
    ("gradients of the heads", Learner, ("_head_sums",)),
    ("optimizer", Learner, ("_step",)),
    ("run file", RunWriter, ("append_batch",)),
    ("checkpoint", Trainer, ("_save",)),
)
SIMULATION = ("image drive", "free phase", "clamped drives", "nudged phases")
OTHER = "everything else"


class Clock:
    """Seconds by part; a part within another one counts for itself."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def watch(self, part: str, owner: Any, name: str) -> None:
        """Put a clock around a method of a class, or a function of a module."""
        method = getattr(owner, name)

        @wraps(method)
        def timed(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            self._inner.append(0.0)
            try:
                return method(*args, **options)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inner.pop()
                self._inner[-1] += took

        setattr(owner, name, timed)


class Watcher(Observer):
    """Starts the clock after the first mini-batch and stops it after the last."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.samples, self.seconds = 0, 0.0
        self.parts: dict[str, float] = {}
        self._last = 0.0
        self._started = False

    def message(self, text: str) -> None:
        """What the run tells."""
        print(text, flush=True)

    def batch(self, progress: Progress) -> None:
        """Count a mini-batch."""
        now = time.perf_counter()
        if self._started:
            self.samples += progress.samples
            self.seconds += now - self._last
        else:
            self.clock.seconds.clear()
            self._started = True
        self._last = time.perf_counter()
        if progress.batch == progress.batches:
            self.parts = dict(self.clock.seconds)

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Not of interest."""

    def epoch(self, summary: EpochSummary) -> None:
        """Not of interest."""


def train(config: Config, dataset: Dataset) -> Watcher:
    """Train for an epoch of few samples, on the clock."""
    clock = Clock()
    for part, owner, names in PARTS:
        for name in names:
            clock.watch(part, owner, name)
    watcher = Watcher(clock)
    with tempfile.TemporaryDirectory() as folder:
        Trainer(config, dataset, RunOptions(Path(folder) / "run.h5"), watcher).run()
    return watcher


def median_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Median time of a call, after one that does not count."""
    return float(np.median(seconds(work, repeats)))


def step_parts(config: Config, dataset: Dataset) -> None:
    """Sweep, delivery and heads, in microseconds a sample and step, for the weights that training starts with."""
    model = Model(config, dataset)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    parameters = initial_parameters(model, config)
    with ThreadPool(model, config, 1) as thread_pool:
        start(
            model,
            config,
            Normalization(config, model.graph, parameters),
            thread_pool,
            pipeline,
            len(dataset.train.labels),
        )
        model.set_parameters(parameters)
        n, stop = thread_pool.group, np.zeros(1, np.uint8)
        ids, dynamics = np.arange(n), config.dynamics
        images, labels = pipeline.plain(dataset.train, ids), dataset.train.labels[ids].astype(np.int64)
        workspace = ph.Workspace(model, dynamics, n, config.seed)
        strengths = np.full(len(model.heads), dynamics.beta)
        workspace.rest(images, ids)
        counts = workspace.free(n, 0, stop)
        workspace.keep(n)
        events = int(counts.events_forward.sum() + counts.events_feedback.sum())
        activity = counts.spikes.sum() / counts.updates.sum()

        def free() -> None:
            workspace.rest(images, ids)
            workspace.free(n, 0, stop)

        def nudged(factor: float) -> None:
            workspace.restore(n)
            workspace.nudged(n, 1, labels, factor * strengths, stop)

        each = 1e6 / (n * dynamics.steps_free)
        whole = median_seconds(free) * each
        each_nudged = 1e6 / (n * dynamics.steps_nudged)
        pushed, unpushed = (median_seconds(lambda factor=factor: nudged(factor)) * each_nudged for factor in (1.0, 0.0))  # type: ignore[misc]
        for bias in parameters.biases():
            bias[...] = -100.0  # nothing fires whatever the image
        model.set_parameters(parameters)
        silent = median_seconds(free) * each
    neurons = int(np.sum(model.neurons))
    delivery = max(whole - silent, 1e-9)
    print(f"\na step at the start, group of {n} samples, mean activity {activity:.1%}, microseconds a sample:")
    print(f"    free {whole:.0f}: sweep {silent:.0f} ({1e3 * silent / neurons:.2f} ns a neuron, {neurons} neurons),")
    print(
        f"        delivery {delivery:.0f} ({events / (n * dynamics.steps_free) / delivery / 1e3:.1f} G events/s, "
        f"{events / (n * dynamics.steps_free) / 1e6:.2f} M events)"
    )
    print(f"    nudged {pushed:.0f}, without nudges {unpushed:.0f}: heads and errors {pushed - unpushed:.0f}")


def main() -> None:
    """Train on the clock, print."""
    parser = network_parser(__doc__)
    parser.add_argument("--samples", type=int, default=256, help="training samples of the run (default: 256)")
    options = parser.parse_args()
    try:
        fixed = {"data.limit": options.samples, "data.test_limit": 1, "optimizer.epochs": 1}
        config, dataset = read_network(options, fixed)
        print(machine(("numba", "numpy")))
        watcher = train(config, dataset)
    except InputError as error:
        sys.exit(f"Error: {error}")
    if not watcher.samples:
        sys.exit("Error: there is only one mini-batch; ask for more --samples")
    parts = watcher.parts
    parts[OTHER] = watcher.seconds - sum(parts.values())
    each = 1e3 / watcher.samples
    print(
        f"\n{config.model.arch}, width {config.model.width:g}, {dataset.name}: {watcher.samples / watcher.seconds:.1f} "
        f"samples/s on one thread, {watcher.seconds * each:.2f} ms a sample"
    )
    for part in (*(name for name, _, _ in PARTS), OTHER):
        seconds = parts.get(part, 0.0)
        print(f"    {part:<26}{seconds * each:8.3f} ms {seconds / watcher.seconds:7.1%}")
    inside = sum(parts.get(part, 0.0) for part in SIMULATION)
    print(f"outside the simulation: {1 - inside / watcher.seconds:.1%}")
    step_parts(config, dataset)


if __name__ == "__main__":
    main()
