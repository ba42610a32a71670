"""One free-phase step of VGG11 on 32x32 images: spikesim against the same dynamics in dense torch.

    python benchmarks/speed/step.py [--activity 3 6 15] [--threads 1 2] [--formats float32 bfloat16 int8] ...

Both sides do, for all eight convolutions: the drive from below (through 2x2 average pooling where there is a pool), the
drive from above (the exact transpose, a quarter to each pooled cell), bias, leak, one random number a neuron, firing.
The image is constant during a sample: its drive through the first convolution is no part of a step on either side.

Activity is held: the biases are the wanted firing probability, membranes start there, and the weights are random and
too small to move them. Every weight differs from zero, so delivery does all its work.

The dense side is measured in float32, in bfloat16 and in int8, in each by the fastest of the ways to write it
(`dense.py`). Its time does not depend on the activity: from which activity on it would win is interpolated between
those that were measured. What the processor offers for these formats is printed: AMX, AVX512-BF16, VNNI.

The package itself does not need torch. Repeats of the sides alternate, so that a machine shared with others slows all.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py, measure.py
from chains import Chain, chain_of
from measure import fastest, instructions, machine, spread

from spikesim import Simulator
from spikesim.ep.network.architectures import ARCHITECTURES, NeuronParameters, build
from spikesim.numerics.fixed_point import ONE

try:
    import torch
    from dense import FORMATS, UNIT, Dense, Way, ways
    from torch.nn import functional
except ImportError:
    sys.exit("benchmarks/speed/step.py compares with PyTorch, which is not installed: pip install torch")

IMAGE = (32, 32, 3)
LEAK = 2
TINY = 1e-6
"""Standard deviation of the weights: the sums of thousands of them stay below the resolution of a membrane."""

TRIALS = 4
"""Steps by which the ways of a number format are compared, in turn, after a first one."""
TOLERANCES = {"float32": 1e-5, "bfloat16": 2.0**-7, "int8": 1e-5}
"""Relative differences of drives that rounding explains."""


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


def fastest_dense(number_format: str, batch: int) -> tuple[Dense, str]:
    """The fastest way in a number format, tried at the present number of threads, and the times of all."""
    chain, random = make_chain("average"), np.random.default_rng(0)
    shapes = [connection.integers.shape for connection in chain.connections]
    weights = [random.normal(0.0, UNIT * TINY, shape).astype(np.float32) for shape in shapes]
    sides = {way: Dense(chain, weights, UNIT * 0.06, batch, way) for way in ways(number_format)}
    way, tried = fastest(sides, lambda way: sides[way].run(1, LEAK) / batch, TRIALS)
    return sides[way], tried


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
    dense = Dense(chain, weights, bias, 1, Way("float32", channels_last=False, flipped=False))  # of float64 weights
    dense.set_spikes(spikes)
    pixels = torch.from_numpy(image / 4096.0).permute(0, 3, 1, 2)
    worst = 0.0
    for layer, population in enumerate(chain.graph.populations):
        drive = dense.drive(layer) + bias
        if layer == 0:
            drive = drive + functional.conv2d(pixels, dense.up[0], padding=1)
        ours = simulator.potential(population)
        worst = max(worst, float(np.abs(drive.permute(0, 2, 3, 1).numpy() * ONE - ours).max()))
    return worst


def check_formats(formats: list[str]) -> dict[str, float]:
    """Largest difference of a number format's drives, in any of its ways, from float64; relative to the largest drive.

    Weights are multiples of a power of two with 8 bits, which each format can hold; the largest of each channel is the
    largest of 8 bits, so that its scale for int8 is that power. Only bfloat16 rounds then, its sums.
    """
    chain, random = make_chain("average"), np.random.default_rng(2)
    weights = [random.integers(-127, 128, c.integers.shape) * 2.0**-10 for c in chain.connections]
    for weight in weights:
        weight[0, 0, 0, :] = weight[0, 0, :, 0] = 127 * 2.0**-10
    spikes = [random.random((2, *population.shape)) < 0.06 for population in chain.graph.populations]
    exact = Dense(chain, weights, 0.0, 2, Way("float32", channels_last=False, flipped=False))
    exact.set_spikes(spikes)
    drives = [exact.drive(layer) for layer in range(len(spikes))]
    found = {}
    for number_format in formats:
        found[number_format] = 0.0
        for way in ways(number_format):
            dense = Dense(chain, [weight.astype(np.float32) for weight in weights], 0.0, 2, way)
            dense.set_spikes(spikes)
            for layer, drive in enumerate(drives):
                difference = (dense.drive(layer) - drive).abs().max() / drive.abs().max()
                found[number_format] = max(found[number_format], float(difference))
    return found


def crossing(activities: list[float], ratios: list[float]) -> str:
    """From which activity on, in per cent, the dense side is the faster one: where its time over ours falls below 1."""
    pairs = sorted(zip(activities, ratios, strict=True))
    if pairs[0][1] < 1:
        return f"below {pairs[0][0]:g} %"
    for (low, above), (high, below) in itertools.pairwise(pairs):
        if below < 1:  # our time, in units of the dense side's, grows about linearly
            share = (1 - 1 / above) / (1 / below - 1 / above)
            return f"{low + share * (high - low):.0f} %"
    return f"above {pairs[-1][0]:g} %"


def measure(
    spiking: Spiking, peers: dict[str, Dense], options: argparse.Namespace
) -> tuple[list[str], dict[str, float]]:
    """One setting: what to print below its heading, and how many times faster spikesim is than each number format."""
    samples = options.group * spiking.threads
    ours: list[float] = []
    rates: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in peers}
    for _ in range(options.repeats):
        for name, dense in peers.items():
            theirs[name].append(dense.run(1, LEAK) / options.batch * 1e3)
        seconds = spiking.run(options.steps)
        ours.append(seconds / (options.steps * samples) * 1e3)
        rates.append(spiking.events() / seconds / spiking.threads / 1e9)
    ratios = {name: statistics.median(times) / statistics.median(ours) for name, times in theirs.items()}
    events = spiking.events() / (options.steps * samples)
    dense_times = ", ".join(f"{name} {spread(times)}" for name, times in theirs.items())
    return [
        f"ms a sample-step: spikesim {spread(ours)}, dense {dense_times}",
        f"{events / 1e6:.2f} M events a sample-step, {spread(rates)} G events/s a core",
        f"activity by layer: {' '.join(f'{100 * value:.2f}' for value in spiking.activity())} %",
    ], ratios


def compare(options: argparse.Namespace, threads: int, show: Callable[[str], None]) -> None:
    """All settings at one number of threads."""
    torch.set_num_threads(threads)
    cores = f"{threads} thread{'s' if threads > 1 else ''}"
    show(f"\n{cores}; dense ways, ms a sample-step:")
    peers = {}
    for name in options.formats:
        peers[name], tried = fastest_dense(name, options.batch)
        show(f"    {name}: {tried}")
    for pooling, firing in itertools.product(options.pooling, options.firing):
        found: dict[str, list[float]] = {name: [] for name in peers}
        for activity in options.activity:
            spiking = Spiking(activity / 100, pooling, firing, threads, options.group)
            lines, ratios = measure(spiking, peers, options)
            spiking.close()
            faster = ", ".join(f"{ratio:.2f} times ({name})" for name, ratio in ratios.items())
            show(f"{activity:g} %, {pooling} pooling, {firing} firing, {cores}: faster than dense {faster}")
            for line in lines:
                show(f"    {line}")
            for name, ratio in ratios.items():
                found[name].append(ratio)
        wins = ", ".join(f"{crossing(options.activity, ratios)} ({name})" for name, ratios in found.items())
        show(f"{pooling} pooling, {firing} firing, {cores}: dense wins from an activity of {wins}")


def main() -> None:
    """Check, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    activities = [3, 6, 15, 30, 60]
    parser.add_argument("--activity", type=float, nargs="+", default=activities, help="per cent, of every layer")
    parser.add_argument("--formats", nargs="+", default=[*FORMATS], choices=FORMATS, help="of the dense side")
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
    show(f"instructions for narrow numbers: {' '.join(instructions()) or 'unknown'}")
    show(f"batch of the dense side {options.batch}, group of a thread {options.group}, {options.repeats} repeats")
    show("values are medians, with the range of the repeats in brackets")
    worst = check_equal()
    show(f"same drive on one sample: largest difference {worst:.3f} of 2**-16 (at most 1 by rounding)")
    if worst > 1.001:
        sys.exit("the two sides do not compute the same drive: the comparison is void")
    differences = check_formats(options.formats)
    show(f"largest difference from float64: {', '.join(f'{name} {value:.1e}' for name, value in differences.items())}")
    if any(value > TOLERANCES[name] for name, value in differences.items()):
        sys.exit("a number format does not compute the same drive: the comparison is void")
    for threads in options.threads:
        compare(options, threads, show)


if __name__ == "__main__":
    main()
