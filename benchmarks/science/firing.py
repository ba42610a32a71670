"""Spikes against the mean field: what iid and stratified firing leave of noise and bias, by leak and by window.

    python benchmarks/science/firing.py [--repeats 640] [--leaks 0 1 2 3 4 5 6 7] [--windows 8 16 32 64 256 1024]

A stack of layers with full feedback and with biases at which most neurons are neither silent nor certain, one image,
and many samples of it, which differ in their random numbers. Each starts at the fixed point p* of the mean field
(`spikesim.ep.gradcheck.mean_field`), runs until its low pass has forgotten that, and then for a window; r is the mean
firing probability in the window.

The first table has the bias: over neurons, the root mean square of the mean r of all samples, less p*, for each leak;
beside it the mean over neurons, and how far the deterministic dynamics (p sent in place of spikes) end from p*, at
most. The second has the noise: the standard deviation of r from sample to sample, the root mean square over neurons,
for each window.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, network_parser, read_network

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.gradcheck.mean_field import FixedPoint, Inputs, MeanField
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.stability.spectral import spectral_norms
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE

Reals = NDArray[np.float64]

LAYERS = [
    {"kind": "conv", "channels": 12, "kernel": 3, "pool": True},
    {"kind": "conv", "channels": 20, "kernel": 5, "pool": True},
    {"kind": "conv", "channels": 9, "kernel": 3, "pool": True},
]
SETTINGS = {
    "data.dataset": "fashion-mnist-mini",
    "model.arch": "custom",
    "model.layers": LAYERS,
    "model.normalization": "none",
    "model.gain": 1.3,
    "model.gain_growth": 1.0,
    "dynamics.feedback_gain": 1.0,
    "error_signals.kind": "none",
}
BIAS = 0.3
FORGETTING = 8
"""Steps before the window in units of 2**leak, the time constant of the low pass."""
GROUP = 16
"""Samples that one thread carries through a step together."""


class Bench:
    """The network, one image, and where the mean field comes to rest on it."""

    def __init__(self, config: Config, dataset: Dataset) -> None:
        self.config = config
        self.dataset = dataset
        self.model = self._load(config)
        shape = self.model.graph.image.shape
        self.image = InputPipeline(config, dataset, shape).plain(dataset.test, np.arange(1), 0)
        assert isinstance(self.image, np.ndarray)
        inputs = Inputs.prepare(self.image, np.zeros(1, np.int64), self.model.classes)
        field = MeanField.from_model(self.model, [0.0 for _ in self.model.heads])
        self.rest: FixedPoint = field.settle(inputs, tolerance=1e-12, sweeps_max=3000)

    def _load(self, config: Config) -> Model:
        model = Model(config, self.dataset)
        parameters = initial_parameters(model, config)
        for bias in parameters.biases():
            bias[...] = BIAS
        model.set_parameters(parameters)
        return model

    def describe(self) -> str:
        """The network in words."""
        rates = np.concatenate([rates.ravel() for rates in self.rest.rates])
        found = spectral_norms(self.model, self.rest.rates).max()
        inside = ((rates > 0) & (rates < 1)).mean()
        return (
            f"{len(rates)} neurons, mean firing probability {rates.mean():.3f}, {inside:.0%} of them inside 0 .. 1, "
            f"spectral norm {found:.2f}"
        )

    def rates(self, leak: int, firing: str, window: int, samples: int) -> list[Reals]:
        """r of each layer, (samples, neurons)."""
        steps = FORGETTING * 2**leak + window
        mean_field = firing == "mean-field"
        changes = {
            "dynamics.leak": leak,
            "dynamics.inference": "mean-field" if mean_field else "stochastic",
            "dynamics.firing": self.config.dynamics.firing if mean_field else firing,
            "dynamics.steps_free": steps,
            "dynamics.window_free": window,
        }
        config = make_config(merge(self.config.to_dict(), changes.items()))
        model = self._load(config)
        workspace = ph.Workspace(model, config.dynamics, min(GROUP, samples), config.seed)
        stop, sums = np.zeros(1, np.uint8), np.zeros((samples, model.compiled.sizes["state"]), np.int32)
        for first in range(0, samples, GROUP):
            ids = np.arange(first, min(first + GROUP, samples))
            n = workspace.rest(np.repeat(self.image, len(ids), axis=0), ids)
            self._start(model, workspace, n, np.random.default_rng(first), mean_field)
            workspace.free(n, 0, stop, steps=steps)
            sums[ids] = workspace.state.window[:, :n].sum(axis=0)
        return [model.layer_maps(layer, sums).reshape(samples, -1) / (ONE * window) for layer in range(model.layers)]

    def _start(self, model: Model, workspace: ph.Workspace, n: int, rng: np.random.Generator, mean_field: bool) -> None:
        """Potentials at the fixed point, and spikes of its firing probabilities."""
        for layer, population in enumerate(model.graph.populations):
            potential = np.rint(np.repeat(self.rest.drives[layer], n, axis=0) * ONE).astype(np.int32)
            limit = 0 if mean_field else rng.integers(0, ONE, potential.shape)
            workspace.state.membrane[:n, model.state_slice(layer)] = population.to_state(potential)
            spikes = population.to_state((potential > limit).astype(np.int32)).astype(bool)
            lanes = spikes.reshape(n, population.blocks, -1, population.lanes).swapaxes(1, 2)
            words = np.packbits(lanes.reshape(n, -1), axis=1, bitorder="little").view("<u2")
            at = int(model.compiled.plan.populations[population.index].words)
            workspace.state.words[:n, at : at + words.shape[1]] = words

    def bias(self, leak: int, firing: str, window: int, samples: int) -> tuple[float, float, float, float]:
        """Of the mean of the samples, less p*: rms over neurons, of the top layer alone, largest, mean."""
        found = self.rates(leak, firing, window, samples)
        apart = [own.mean(axis=0) - rest.ravel() for own, rest in zip(found, self.rest.rates, strict=True)]
        every = np.concatenate(apart)
        return rms(every), rms(apart[-1]), float(np.abs(every).max()), float(every.mean())


def rms(values: Reals) -> float:
    """Root mean square."""
    return float(np.sqrt((values**2).mean()))


def print_biases(bench: Bench, leaks: list[int], window: int, samples: int) -> None:
    """The first table."""
    print(f"\nrms over neurons of the mean r of {samples} samples, less p*; window {window}\n")
    print("| leak | iid | iid, top layer | iid, mean | stratified | top layer | mean | deterministic, at most |")
    print("|---|---|---|---|---|---|---|---|")
    for leak in leaks:
        row = [f"{leak}"]
        for firing in ("iid", "stratified"):
            every, top, _, mean = bench.bias(leak, firing, window, samples)
            row += [f"{every:.4f}", f"{top:.4f}", f"{mean:+.5f}"]
        _, _, largest, _ = bench.bias(leak, "mean-field", 2, 1)
        row.append(f"{largest * ONE:.1f} / 2^16")
        print(f"| {' | '.join(row)} |", flush=True)


def print_noise(bench: Bench, leak: int, windows: list[int], samples: int) -> None:
    """The second table."""
    print(f"\nstandard deviation of r of one sample, rms over neurons; leak {leak}, {samples} samples\n")
    print(f"| window | {' | '.join(map(str, windows))} |")
    print("|---" * (len(windows) + 1) + "|")
    for firing in ("iid", "stratified"):
        row = [firing]
        for window in windows:
            found = np.concatenate(bench.rates(leak, firing, window, samples), axis=1)
            row.append(f"{rms(found.std(axis=0, ddof=1)):.4f}")
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = network_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=640, help="samples of the first table")
    parser.add_argument("--noise-repeats", type=int, default=64, help="samples of the second table")
    parser.add_argument("--leaks", type=int, nargs="+", default=list(range(8)))
    parser.add_argument("--window", type=int, default=16, help="window of the first table")
    parser.add_argument("--windows", type=int, nargs="+", default=[8, 16, 32, 64, 256, 1024])
    parser.add_argument("--noise-leak", type=int, default=1, help="leak of the second table")
    options = parser.parse_args()
    if options.repeats < 1 or options.noise_repeats < 2:
        parser.error("--repeats must be at least 1, --noise-repeats at least 2")
    try:
        config, dataset = read_network(options, {} if options.config else SETTINGS)
        bench = Bench(config, dataset)
        print(f"{machine(('numba', 'numpy'))}\n{bench.describe()}")
        print_biases(bench, options.leaks, options.window, options.repeats)
        print_noise(bench, options.noise_leak, options.windows, options.noise_repeats)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
