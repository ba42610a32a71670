"""How far the kernels are from what the machine can do.

    python benchmarks/speed/limits.py --config examples/cifar10-vgg11.toml --data-dir DATA [--set KEY=VALUE ...]

First the limits, each by a loop that does the kernel's innermost work and nothing else: listed rows of weights (where
the machine has no dot products, runs of them) added to sums that stay in registers, out of a table in the nearest cache
and out of one as large as the part of the network's largest table that serves one block of channels; the same for
deviations, whose rows are multiplied; the pass over membranes, thresholds and windows, in the cache and over the state
of a group; pairs of rates multiplied and added, as in the contrast. Then what the engine makes of them in a mini-batch,
with the weights that training starts with, on one thread, and the share. Medians of seven, with their range.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, read_network, seconds, spread

from spikesim.datasets import Dataset
from spikesim.engine.neurons import Memory, fire_summed
from spikesim.engine.simd.accumulate import (
    Drive,
    Runs,
    Scale,
    Synapses,
    deliver_runs_64,
    deliver_values_64,
)
from spikesim.engine.simd.dot_products import DOT_PRODUCTS, UNIT, Listed, add_listed_64, add_listed_values_64
from spikesim.engine.simd.fire import Drives, LowPass, Membrane, Threshold, WindowSums
from spikesim.engine.simd.pair_products import ABREAST, LANES, PairedNumbers, PairedTerms, PairSums, add_pairs
from spikesim.ep.config.parsing import Config
from spikesim.ep.gradients.estimator import LayerSums, layer_sums
from spikesim.ep.gradients.scheme import NudgingScheme
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.graph import INPUT
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.training.initialization import start
from spikesim.ep.training.normalization import Normalization
from spikesim.errors import InputError
from spikesim.jit.aligned import aligned_zeros
from spikesim.jit.compilation import kernel

REPEATS = 7
NEAR = 16 * 1024
"""Bytes that fit the nearest cache beside everything else."""


def rates(amount: float, times: list[float]) -> list[float]:
    """10^9 a second."""
    return [amount / one / 1e9 for one in times]


@kernel
def _add_rows(weights, events, values, runs, listed, out, weighted, repeats):
    for _ in range(repeats):
        for pixel in range(runs.shape[0]):
            rows = Listed(listed[0, pixel], listed[1, pixel], listed[2, pixel])
            own = Runs(runs[pixel, 0], runs[pixel, 1], runs[pixel, 2])
            synapses, scale, drive = Synapses(weights, events, values), Scale(4800, 4, 0), Drive(out, 0, 0)
            if DOT_PRODUCTS and weighted:
                add_listed_values_64(weights, rows, 48, scale, drive)
            elif DOT_PRODUCTS:
                add_listed_64(weights, rows, 48, scale, drive)
            elif weighted:
                deliver_values_64(synapses, own, 3, scale, drive)
            else:
                deliver_runs_64(synapses, own, 3, scale, drive)


def adding(table_bytes: int, *, weighted: bool) -> list[float]:
    """Synaptic events a second, 10^9, with runs of 16 events, three a pixel, onto 64 channels."""
    random, rows, pixels = np.random.default_rng(0), max(2, table_bytes // 128), 64
    weights = aligned_zeros(rows * 64, np.int16)
    weights[:] = random.integers(-(2**15) + 1, 2**15, len(weights))
    events = random.integers(0, rows, (pixels, 48)).astype(np.int32)
    values = np.full(events.shape, 3, np.int32)
    listed = np.stack([events * (64 // UNIT), values, values << 16])
    runs = np.zeros((pixels, 3, 3), np.int64)
    runs[:, 0] = np.arange(pixels)[:, None] * 48 + (0, 16, 32)
    runs[:, 1] = runs[:, 0] + 16
    out, repeats = np.zeros(64, np.int32), 30

    def work() -> None:
        _add_rows(weights, events, values, runs, listed, out, weighted, repeats)

    return rates(pixels * repeats * 48 * 64, seconds(work, REPEATS))


@kernel
def _pass(v, memory, sums, random, rows, bias, words, repeats):
    steps = random[:, :0]
    for _ in range(repeats):
        for k in range(v.shape[1] // 16):
            n = 16 * k
            row = 16 * (k & 15)
            drives = Drives(rows, row, row, rows, 256 + row, bias, row & 48)
            window, threshold = WindowSums(sums, steps, n), Threshold(random, n, np.uint16(3))
            membrane = Membrane(v, n, memory, 0)
            words[0, k] = fire_summed(membrane, drives, window, threshold, LowPass(1, 0))


def passing(neurons: int) -> list[float]:
    """Nanoseconds a neuron for the pass over membranes, thresholds and a half of the window."""
    v, sums, random = (aligned_zeros((1, neurons), dtype) for dtype in (np.int32, np.int32, np.uint16))
    v[:], memory = -100, Memory(np.zeros((1, 0), np.uint8))
    rows, bias, words = np.zeros((1, 512), np.int32), np.full(64, -100, np.int32), np.zeros((1, neurons), np.uint16)
    repeats = max(1, 2**24 // neurons)
    times = seconds(lambda: _pass(v, memory, sums, random, rows, bias, words, repeats), REPEATS)
    return [1e9 * one / repeats / neurons for one in times]


@kernel
def _multiply(numbers, terms, sums, repeats):
    for repeat in range(repeats):
        at = repeat % 2 * LANES  # nothing is overwritten at once, which a compiler could leave out
        add_pairs(numbers, 0, terms, 0, len(terms.offsets), PairSums(sums, at, 2 * LANES, 0, 0))


def multiplying() -> list[float]:
    """Products a second, 10^9, of rates in the nearest cache, 128 pairs of positions, for all channels abreast."""
    random, pairs, repeats = np.random.default_rng(0), NEAR // 8 // LANES, 1000
    low, high = aligned_zeros((2, pairs * LANES), np.int32)
    low[:], high[:] = random.integers(-(2**31), 2**31, (2, len(low)))
    words = random.integers(0, 2**8, (pairs, ABREAST)).astype(np.int32)
    terms = PairedTerms(words, (np.arange(pairs) * LANES).astype(np.int32))
    numbers, sums = PairedNumbers(low, high, 10), np.zeros(2 * LANES * ABREAST, np.int64)
    return rates(
        repeats * 2 * pairs * LANES * ABREAST, seconds(lambda: _multiply(numbers, terms, sums, repeats), REPEATS)
    )


def largest_part(model: Model) -> int:
    """Bytes of the largest table's weights onto one block of channels."""
    parts = [0]
    for edge in model.graph.edges:
        if edge.source == INPUT:
            continue
        shape = edge.shape
        parts += [2 * int(np.prod(shape[:-1])) * 64, 2 * int(np.prod(shape)) // shape[-2] * 64]  # both directions
    return max(parts)


class Engine:
    """A mini-batch, one thread, and a workspace for a group."""

    def __init__(self, config: Config, dataset: Dataset, model: Model, thread_pool: ThreadPool) -> None:
        pipeline = InputPipeline(config, dataset, model.graph.image.shape)
        self.parameters = initial_parameters(model, config)
        start(
            model,
            config,
            Normalization(config, model.graph, self.parameters),
            thread_pool,
            pipeline,
            len(dataset.train.labels),
        )
        model.set_parameters(self.parameters, config.dynamics.beta)
        self.model, self.dynamics, self.thread_pool = model, config.dynamics, thread_pool
        self.ids = np.arange(config.data.batch_size)
        self.images = pipeline.plain(dataset.train, self.ids)
        self.labels = dataset.train.labels[self.ids].astype(np.int64)
        self.workspace = ph.Workspace(model, config.dynamics, thread_pool.group, config.seed)
        self.neurons = int(model.neurons.sum())

    def free(self, part: slice) -> PhaseCounts:
        """The free phase of a group."""
        n = self.workspace.rest(self.images[part], self.ids[part])
        return self.workspace.free(n, 0, self.thread_pool.stop)

    def nudged(self, part: slice, strength: float) -> PhaseCounts:
        """A nudged phase, all heads with the same strength."""
        labels = self.labels[part]
        self.workspace.restore(len(labels))
        strengths = np.full(len(self.model.heads), strength)
        return self.workspace.nudged(len(labels), 1, labels, strengths, self.thread_pool.stop)

    def rates(self) -> ph.Rates:
        """Window sums of all phases of the mini-batch."""
        samples, size = len(self.ids), self.model.compiled.sizes["state"]
        found = ph.Rates(*(np.zeros((samples, size), np.int32) for _ in range(3)), np.zeros((0, size), np.int32))
        for part in self.thread_pool.groups(samples):
            self.free(part)
            n = len(self.ids[part])
            self.workspace.window_sums(n, found.free[part])
            self.workspace.keep(n)
            for strength, sums in ((self.dynamics.beta, found.plus), (-self.dynamics.beta, found.minus)):
                self.nudged(part, strength)
                self.workspace.window_sums(n, sums[part])
        return found

    def products(self) -> int:
        """Products of the contrast: what a neuron sees, for each of them and of the samples."""
        fan_in = [self.model.graph.fan_in(layer) for layer in range(self.model.layers)]
        return len(self.ids) * int(np.dot(self.model.neurons, fan_in))


def report(config: Config, dataset: Dataset) -> None:
    """Measure both and print."""
    model = Model(config, dataset)
    if config.dynamics.nudged_phase != "linear-response":
        raise InputError("dynamics.nudged_phase must be 'linear-response': the nudged phases of others deliver spikes")
    beta, part = config.dynamics.beta, largest_part(model)
    near, far = adding(NEAR, weighted=False), adding(part, weighted=False)
    near_values, far_values = adding(NEAR, weighted=True), adding(part, weighted=True)
    multiplied = multiplying()
    with ThreadPool(model, config, 1) as thread_pool:
        engine = Engine(config, dataset, model, thread_pool)
        group = thread_pool.groups(len(engine.ids))[0]
        n = len(engine.ids[group])
        each = 1e9 / (n * config.dynamics.steps_free * engine.neurons)
        swept_near, swept_far = passing(8192), passing(n * engine.neurons)
        found = engine.rates()
        products = engine.products()
        scheme = NudgingScheme.of(model, config)
        sums = LayerSums.room(model, scheme, Buffers())
        contrasted = seconds(lambda: layer_sums(model, scheme, thread_pool, engine.images, found, sums), REPEATS)
        counts = engine.free(group)
        events = int(counts.events_forward.sum() + counts.events_feedback.sum())
        whole = seconds(lambda: engine.free(group), REPEATS)
        engine.workspace.keep(n)
        deviations = int(engine.nudged(group, beta).macs.sum())
        pushed = seconds(lambda: engine.nudged(group, beta), REPEATS)
        unpushed = float(np.median(seconds(lambda: engine.nudged(group, 0.0), REPEATS)))
        for bias in engine.parameters.biases():
            bias[...] = -100.0  # nothing fires whatever the image
        model.set_parameters(engine.parameters)
        silent = seconds(lambda: engine.free(group), REPEATS)
        model.compiled.plan.incoming_pointers[...] = 0  # no population has tables that deliver to it any more
        alone = seconds(lambda: engine.free(group), REPEATS)
    delivered = rates(events, [one - float(np.median(silent)) for one in whole])
    answered = rates(deviations, [one - unpushed for one in pushed])
    swept, swept_alone = ([each * one for one in times] for times in (silent, alone))
    print(
        f"{config.model.arch}, width {config.model.width:g}, {dataset.name}: group of {n}, {engine.neurons} neurons, "
        f"activity {counts.spikes.sum() / counts.updates.sum():.1%}, largest part of a table {part / 1024:.0f} KB\n"
    )
    print("| kernel | unit | limit | engine | share |\n|---|---|---|---|---|")
    for name, unit, limit, own in (
        ("spikes, rows in the nearest cache", "G events/s", near, delivered),
        ("spikes, rows of the largest part", "G events/s", far, delivered),
        ("the same, over the whole step", "G events/s", far, rates(events, whole)),
        ("deviations, rows in the nearest cache", "G events/s", near_values, answered),
        ("deviations, rows of the largest part", "G events/s", far_values, answered),
        ("sweep, in the nearest cache", "ns a neuron", swept_near, swept),
        ("sweep, over the state of the group", "ns a neuron", swept_far, swept),
        ("the same, without tables", "ns a neuron", swept_far, swept_alone),
        ("contrast of the mini-batch", "G products/s", multiplied, rates(products, contrasted)),
    ):
        share = float(np.median(own) / np.median(limit))
        share = 1 / share if unit.startswith("ns") else share
        print(f"| {name} | {unit} | {spread(limit, 2)} | {spread(own, 2)} | {share:.0%} |")


def main() -> None:
    """Read the command line, measure, print."""
    parser = network_parser(__doc__)
    options = parser.parse_args()
    try:
        print(machine(("numba", "numpy")), flush=True)
        report(*read_network(options, {}))
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
