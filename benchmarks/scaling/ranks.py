"""What the processes of an MPI job spend on each other, and what that costs on more of them.

    mpiexec -n 2 python benchmarks/scaling/ranks.py [--config F] [--set K=VALUE] [--data-dir D] [--batch 32] ...

Trains with mini-batches of so many samples a process, one thread each, and splits the time of a mini-batch into work,
waiting for the slowest process, and adding up. Then it measures the same sums alone, and a message of 8 bytes, which is
what a model of larger machines needs (docs/cluster.md).
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, read_network, seconds, spread

from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.communicator import share
from spikesim.ep.parallel.mpi import MpiRanks
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.initialization import start
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.normalization import Normalization
from spikesim.errors import InputError


class Clocked(MpiRanks):
    """Ranks with a clock on what they exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = self.exchanged = 0.0
        self.bytes = 0

    def _clock(self, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        super().any(False)
        there = time.perf_counter()
        result = work()
        self.waited += there - began
        self.exchanged += time.perf_counter() - there
        return result

    def any(self, flag: bool) -> bool:
        """On the clock."""
        return bool(self._clock(lambda: MpiRanks.any(self, flag)))

    def add(self, arrays: Iterable[NDArray[np.int64]]) -> None:
        """On the clock."""
        own = list(arrays)
        self.bytes = sum(array.nbytes for array in own)
        self._clock(lambda: MpiRanks.add(self, own))

    def join(self, rows: NDArray[Any]) -> NDArray[Any]:
        """On the clock."""
        joined: NDArray[Any] = self._clock(lambda: MpiRanks.join(self, rows))
        return joined


def main() -> None:
    """Train, measure, print on the first rank."""
    parser = network_parser(__doc__)
    parser.add_argument("--batch", type=int, default=32, help="samples a process and mini-batch (default: 32)")
    parser.add_argument("--batches", type=int, default=5, help="mini-batches on the clock (default: 5)")
    options = parser.parse_args()
    ranks = Clocked()
    tell = print if ranks.rank == 0 else lambda *_: None
    try:
        size = options.batch * ranks.size
        config, dataset = read_network(options, {"data.batch_size": size})
        samples = len(dataset.train.labels)
        if size > samples:
            raise InputError(f"{size} samples in a mini-batch; {dataset.name} has {samples}")
    except InputError as error:
        tell(f"Error: {error}")
        sys.exit(2)
    tell(machine(("numba", "numpy", "mpi4py")))
    model = Model(config, dataset)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    parameters = initial_parameters(model, config)
    whole, waited, exchanged = [], [], []
    with ThreadPool(model, config, 1, ranks=ranks) as thread_pool:
        start(model, config, Normalization(config, model.graph, parameters), thread_pool, pipeline, samples)
        learner = Learner(model, config, parameters, thread_pool)
        order = learner.order(0, samples)
        for number in range(options.batches + 1):
            ids = np.resize(np.roll(order, -number * size), size)
            images = pipeline.train(0, ids[share(ranks, size)])
            ranks.waited = ranks.exchanged = 0.0
            ranks.any(False)
            began = time.perf_counter()
            learner.batch(MiniBatch(0, number, images, ids, dataset.train.labels[ids]), 1.0)
            if number > 0:  # the first loads or compiles the kernels
                whole.append(time.perf_counter() - began)
                waited.append(ranks.waited)
                exchanged.append(ranks.exchanged)
    took = statistics.median(whole)
    tell(
        f"\n{config.model.arch}, width {config.model.width:g}, {dataset.name}: {ranks.size} processes, mini-batches of "
        f"{size}, {ranks.bytes / 1e6:.1f} MB of sums each"
    )
    tell(f"    a mini-batch   {spread([1e3 * value for value in whole], 1)} ms, {size / took:.1f} samples/s")
    for name, values in (("waiting", waited), ("exchanging", exchanged)):
        share_of = statistics.median(values) / took
        tell(f"    {name:<14} {spread([1e3 * value for value in values], 1)} ms, {share_of:.1%}")
    sums = np.zeros(ranks.bytes // 8, np.int64)
    alone = seconds(lambda: MpiRanks.add(ranks, [sums]), 7)
    rate = ranks.bytes / statistics.median(alone) / 1e9
    tell(f"    the sums alone {spread([1e3 * value for value in alone], 1)} ms, {rate:.2f} GB/s")
    message = seconds(lambda: MpiRanks.any(ranks, False), 1000)
    tell(f"    a message      {1e6 * statistics.median(message):.1f} us")


if __name__ == "__main__":
    main()
