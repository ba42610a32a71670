"""One free-phase step of VGG11 on 32x32 images: spikesim against the same dynamics in dense torch float32.

    python benchmarks/speed/step.py [--activity 3 6 15] [--threads 1 2] [--repeats 7] ...

Both sides do, for all eight convolutions: the drive from below (through 2x2 average pooling where there is a pool), the
drive from above (the exact transpose, a quarter to each pooled cell), bias, leak, one random number a neuron, firing.
The image is constant during a sample: its drive through the first convolution is no part of a step on either side.

Activity is held: the biases are the wanted firing probability, membranes start there, and the weights are random and
too small to move them. Every weight differs from zero, so delivery does all its work.

The package itself does not need torch. Of four ways to write the dense step (memory format, transposed convolution or
convolution with the flipped kernel) the fastest is taken. Repeats of the two sides alternate, so that a machine shared
with others slows both.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py, measure.py
from chains import Chain, chain_of
from measure import machine, spread

from spikesim import Simulator
from spikesim.ep.network.architectures import ARCHITECTURES, NeuronParameters, build
from spikesim.numerics.fixed_point import ONE

try:
    import torch
    from torch.nn import functional
except ImportError:
    sys.exit("benchmarks/speed/step.py compares with PyTorch, which is not installed: pip install torch")

IMAGE = (32, 32, 3)
LEAK = 2
TINY = 1e-6
"""Standard deviation of the weights: the sums of thousands of them stay below the resolution of a membrane."""


def make_chain(pooling: str, leak: int = LEAK) -> Chain:
    """VGG11 at its full width."""
    return chain_of(build(ARCHITECTURES["vgg11"], IMAGE, pooling=pooling, neurons=NeuronParameters(leak=leak)))  # type: ignore[arg-type]


class Spiking:
    """The event-driven side: a simulator a thread, all on the same tables."""

    def __init__(self, activity: float, pooling: str, firing: str, threads: int, group: int) -> None:
        chain = make_chain(pooling)
        compiled = chain.graph.network.compile()
        random = np.random.default_rng(0)
        for connection in chain.connections:
            compiled.set_weights(connection, random.normal(0.0, TINY, connection.integers.shape))
        for population in chain.graph.populations:
            compiled.set_bias(population, np.full(population.shape[2], activity))
        self.neurons = np.array([population.neurons for population in chain.graph.populations])
        self.threads, self.group = threads, group
        self._simulators: list[Simulator] = []
        for thread in range(threads):
            simulator = Simulator(compiled, group, firing=firing)  # type: ignore[arg-type]
            simulator.reset(np.arange(group) + thread * group)
            simulator.state.membrane[...] = round(activity * ONE)
            self._simulators.append(simulator)
        self._executor = ThreadPoolExecutor(threads)
        self.run(1)  # compiles, and fills the lists of spikes

    def run(self, steps: int) -> float:
        """Seconds for some steps; the counters are those of these steps."""
        for simulator in self._simulators:
            for counter in simulator.counts:
                counter[...] = 0
        began = time.perf_counter()
        for future in [self._executor.submit(simulator.run, steps) for simulator in self._simulators]:
            future.result()
        return time.perf_counter() - began

    def activity(self) -> list[float]:
        """Spikes a neuron and step, by layer, in the last run."""
        spikes = sum(simulator.counts.spikes.sum(axis=0) for simulator in self._simulators)
        steps = sum(int(simulator.counts.steps.sum()) for simulator in self._simulators)
        return [float(value) for value in spikes / (self.neurons * steps)]

    def events(self) -> int:
        """Synaptic events of the last run."""
        return sum(int(simulator.counts.events.sum()) for simulator in self._simulators)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown()


class Dense:
    """The dense side: float32, one batch, PyTorch's own threads.

    Parameters
    ----------
    weights : list of arrays (ky, kx, Cin, Cout), one a layer; the first is not used
    bias : float, of every neuron
    chain : Chain, optional
        VGG11 at another width.
    """

    def __init__(
        self,
        weights: list[Any],
        bias: float,
        batch: int,
        *,
        channels_last: bool,
        flipped: bool,
        chain: Chain | None = None,
    ) -> None:
        chain = make_chain("average") if chain is None else chain
        self.pooled = chain.pooled
        self.bias = bias
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.flipped = flipped
        # (Cout, Cin, ky, kx) for the way up; for the way down the same, or flipped with the channels exchanged
        self.up = [self._laid_out(torch.from_numpy(weight).permute(3, 2, 0, 1)) for weight in weights]
        self.down = [self._laid_out(w.flip(2, 3).transpose(0, 1)) if flipped else w for w in self.up]
        self.membranes, self.spikes = [], []
        for height, width, channels in (population.shape for population in chain.graph.populations):
            membrane = torch.full((batch, channels, height, width), bias, dtype=self.up[0].dtype)
            self.membranes.append(self._laid_out(membrane))
            self.spikes.append(self._laid_out((torch.rand_like(membrane) < bias).to(membrane.dtype)))

    def _laid_out(self, tensor: Any) -> Any:
        return tensor.clone(memory_format=self._format)

    def drive(self, layer: int) -> Any:
        """Drive of a layer from its neighbours' spikes, without the image and the bias."""
        total: Any = 0.0
        if layer > 0:
            below = self.spikes[layer - 1]
            if self.pooled[layer - 1]:
                below = functional.avg_pool2d(below, 2)
            total = functional.conv2d(below, self.up[layer], padding=1)
        if layer + 1 < len(self.up):
            above, weight = self.spikes[layer + 1], self.down[layer + 1]
            if self.flipped:
                back = functional.conv2d(above, weight, padding=1)
            else:
                back = functional.conv_transpose2d(above, weight, padding=1)
            if self.pooled[layer]:
                back = functional.interpolate(back, scale_factor=2) * 0.25
            total = back + total
        return total

    def step(self) -> None:
        """All layers read the spikes of this step and write those of the next."""
        with torch.inference_mode():
            drives = [self.drive(layer) for layer in range(len(self.membranes))]
            for layer, drive in enumerate(drives):
                membrane = self.membranes[layer]
                membrane.lerp_(drive + self.bias, 2.0**-LEAK)
                self.spikes[layer] = (torch.rand_like(membrane) < membrane).to(membrane.dtype)

    def run(self, steps: int) -> float:
        """Seconds for some steps."""
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        return time.perf_counter() - began


def fastest_dense(batch: int) -> tuple[Dense, str]:
    """The fastest of the four ways, tried at the present number of threads, and its description."""
    random = np.random.default_rng(0)
    shapes = [connection.integers.shape for connection in make_chain("average").connections]
    weights = [random.normal(0.0, TINY, shape).astype(np.float32) for shape in shapes]
    trials = []
    for channels_last, flipped in itertools.product((False, True), repeat=2):
        dense = Dense(weights, 0.06, batch, channels_last=channels_last, flipped=flipped)
        dense.run(1)
        name = f"{'NHWC' if channels_last else 'NCHW'}, {'flipped' if flipped else 'transposed'} convolution"
        trials.append((min(dense.run(1) for _ in range(2)), name, dense))
    trials.sort(key=lambda trial: trial[0])
    return trials[0][2], ", ".join(f"{name} {seconds / batch * 1e3:.2f} ms" for seconds, name, _ in trials)


def check_equal() -> float:
    """Largest difference between the two sides' drives on one sample, in units of 2**-16.

    The engine rounds the sum of each table to 2**-16 once, and so the drive of an image: with two of them into each
    layer the difference is at most 1.
    """
    chain = make_chain("average", leak=0)  # no low pass: the potential is the drive
    compiled = chain.graph.network.compile()
    random = np.random.default_rng(1)
    for connection in chain.connections:
        fan_in = np.prod(connection.integers.shape[:-1])
        compiled.set_weights(connection, random.normal(0.0, 0.5 / np.sqrt(fan_in), connection.integers.shape))
    bias = round(0.06 * ONE) / ONE
    for population in chain.graph.populations:
        compiled.set_bias(population, np.full(population.shape[2], bias))
    image = random.integers(-4096, 4097, (1, *IMAGE)).astype(np.int16)
    simulator = Simulator(compiled, 1)
    simulator.set_image(chain.connections[0], image)
    simulator.run(8)
    spikes = [simulator.spikes(population) for population in chain.graph.populations]
    simulator.run(1, first=8)
    if not all(layer.any() for layer in spikes):
        sys.exit("the check is void: a layer does not fire")

    weights = [np.ldexp(c.integers.astype(np.float64), -c.exponent) for c in chain.connections]
    dense = Dense(weights, bias, 1, channels_last=False, flipped=False)
    dense.spikes = [torch.from_numpy(layer.astype(np.float64)).permute(0, 3, 1, 2) for layer in spikes]
    pixels = torch.from_numpy(image / 4096.0).permute(0, 3, 1, 2)
    worst = 0.0
    for layer, population in enumerate(chain.graph.populations):
        drive = dense.drive(layer) + bias
        if layer == 0:
            drive = drive + functional.conv2d(pixels, dense.up[0], padding=1)
        ours = simulator.potential(population)
        worst = max(worst, float(np.abs(drive.permute(0, 2, 3, 1).numpy() * ONE - ours).max()))
    return worst


def compare(options: argparse.Namespace, threads: int, show: Callable[[str], None]) -> None:
    """All settings at one number of threads."""
    torch.set_num_threads(threads)
    dense, ways = fastest_dense(options.batch)
    show(f"\n{threads} thread{'s' if threads > 1 else ''}; dense ways, ms a sample-step: {ways}")
    for activity, pooling, firing in itertools.product(options.activity, options.pooling, options.firing):
        spiking = Spiking(activity / 100, pooling, firing, threads, options.group)
        ours, theirs, rates = [], [], []
        for _ in range(options.repeats):
            theirs.append(dense.run(1) / options.batch * 1e3)
            seconds = spiking.run(options.steps)
            ours.append(seconds / (options.steps * options.group * threads) * 1e3)
            rates.append(spiking.events() / seconds / threads / 1e9)
        events = spiking.events() / (options.steps * options.group * threads)
        show(
            f"{activity:g} %, {pooling} pooling, {firing} firing, {threads} thread{'s' if threads > 1 else ''}: "
            f"{statistics.median(theirs) / statistics.median(ours):.2f} times faster than dense\n"
            f"    ms a sample-step: spikesim {spread(ours)}, dense {spread(theirs)}\n"
            f"    {events / 1e6:.2f} M events a sample-step, {spread(rates)} G events/s a core\n"
            f"    activity by layer: {' '.join(f'{100 * value:.2f}' for value in spiking.activity())} %"
        )
        spiking.close()


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--activity", type=float, nargs="+", default=[3, 6, 15], help="per cent, of every layer")
    parser.add_argument("--pooling", nargs="+", default=["average", "sampled"], choices=["average", "sampled"])
    parser.add_argument("--firing", nargs="+", default=["iid", "stratified"], choices=["iid", "stratified"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--group", type=int, default=32, help="samples that a thread of spikesim carries")
    parser.add_argument("--batch", type=int, default=32, help="samples of the dense side")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps of spikesim in a repeat (dense: 1)")
    options = parser.parse_args()

    def show(text: str) -> None:
        print(text, flush=True)

    show(f"{__doc__.splitlines()[0]}\n{machine(('numba', 'llvmlite', 'numpy', 'torch'))}")
    show(f"batch of the dense side {options.batch}, group of a thread {options.group}, {options.repeats} repeats")
    show("values are medians, with the range of the repeats in brackets")
    worst = check_equal()
    show(f"same drive on one sample: largest difference {worst:.3f} of 2**-16 (at most 1 by rounding)")
    if worst > 1.001:
        sys.exit("the two sides do not compute the same drive: the comparison is void")
    for threads in options.threads:
        compare(options, threads, show)


if __name__ == "__main__":
    main()
