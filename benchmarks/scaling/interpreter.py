"""How many threads a training can use: time in kernels, which run beside each other, and under the interpreter's lock.

    python benchmarks/scaling/interpreter.py --config examples/cifar10-vgg11.toml --data-dir D [--threads 1 2 16 64 128]

Trains some mini-batches on one thread, cut into the groups of samples that so many threads would have, with a clock of
processor time around each call of a compiled kernel. What is left of a mini-batch is Python and NumPy, of which one
thread at a time can run. So T threads are at most

    (kernels + rest, in the groups of one thread) / (kernels / min(T, groups) + rest, in the groups of T threads)

times as fast as one, on a machine with as many cores and any amount of memory traffic. It is a bound, not a forecast:
the kernels of a layer's contrast and of the optimizer do not share out evenly, and cores share caches.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, read_network

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.observer import Progress, Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError


class KernelClock:
    """Seconds in kernels that Python calls, while it is started."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()
        self._replaced: list[tuple[Any, str, Any]] = []

    def start(self) -> None:
        """Put a clock around every kernel of the package; all that are needed must have been loaded."""
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "spikesim":
                for attribute, value in list(vars(module).items()):
                    if isinstance(value, Dispatcher):
                        self._replaced.append((module, attribute, value))
                        setattr(module, attribute, self._timed(value))

    def stop(self) -> None:
        """Take the clocks away."""
        for module, attribute, value in self._replaced:
            setattr(module, attribute, value)
        self._replaced.clear()

    def _timed(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(kernel)
        def timed(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return kernel(*arguments)
            finally:
                took = time.process_time() - began
                with self._lock:
                    self.seconds += took

        return timed


class Watcher(Silent):
    """Milliseconds of mini-batches after the first, and of kernels in them."""

    def __init__(self) -> None:
        self.clock = KernelClock()
        self.whole: list[float] = []
        self.kernels: list[float] = []
        self._last = 0.0

    def batch(self, progress: Progress) -> None:
        """Read the clocks after a mini-batch."""
        now = time.process_time()
        if progress.batch == 1:
            self.clock.start()
        else:
            self.whole.append(1e3 * (now - self._last))
            self.kernels.append(1e3 * self.clock.seconds)
        if progress.batch == progress.batches:
            self.clock.stop()
        self.clock.seconds = 0.0
        self._last = time.process_time()


def measured(config: Config, dataset: Dataset, threads: int) -> tuple[float, float, int]:
    """Milliseconds of a mini-batch in kernels and in the rest, medians, and its groups, for the groups of so many."""
    samples = max(1, -(-config.data.batch_size // threads))
    groups, size = ThreadPool.groups, list[int]()

    def cut(pool: ThreadPool, count: int) -> list[slice]:
        own = min(pool.group, samples)
        size.append(own)
        return [slice(first, min(first + own, count)) for first in range(0, count, own)]

    watcher = Watcher()
    ThreadPool.groups = cut  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            Trainer(config, dataset, RunOptions(Path(folder) / "run.h5"), watcher).run()
    finally:
        ThreadPool.groups = groups  # type: ignore[method-assign]
    kernels = float(np.median(watcher.kernels))
    rest = float(np.median(np.subtract(watcher.whole, watcher.kernels)))
    return kernels, rest, -(-config.data.batch_size // size[-1])


def main() -> None:
    """Train and print."""
    parser = network_parser(__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 16, 64, 128], help="(default: 1 2 16 64 128)")
    parser.add_argument("--batches", type=int, default=12, help="mini-batches of each (default: 12)")
    options = parser.parse_args()
    if options.batches < 2 or min(options.threads) < 1:
        parser.error("ask for 2 or more --batches, and for 1 or more --threads")
    fixed = {"data.test_limit": 1, "optimizer.epochs": 1, "record.spikes": ()}
    try:
        config, _ = read_network(options, fixed)
        config, dataset = read_network(options, {**fixed, "data.limit": options.batches * config.data.batch_size})
        print(machine(("numba", "numpy")))
        print(
            f"{config.model.arch}, width {config.model.width:g}, {dataset.name}, mini-batches of "
            f"{config.data.batch_size}; milliseconds a mini-batch"
        )
        print("| threads | groups | kernels | Python and NumPy | at most |\n|---|---|---|---|---|", flush=True)
        one = sum(measured(config, dataset, 1)[:2])
        for threads in options.threads:
            kernels, rest, groups = measured(config, dataset, threads)
            bound = one / (kernels / min(threads, groups) + rest)
            print(f"| {threads} | {groups} | {kernels:.1f} | {rest:.1f} | {bound:.1f} times |", flush=True)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
