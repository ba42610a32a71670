"""The exact gradients of the costs of the heads, in torch: what `spikesim train` would learn without spikes and nudges.

    python benchmarks/science/greedy.py --config examples/cifar10-vgg11.toml --data-dir D [--set K=VALUE] [--threads N]

Everything that the configuration says of layers, heads, images, initial parameters (calibrated by the engine), learning
rates, Adam, centering, homeostasis and the activity penalty holds here too. In place of spikes a layer sends its
firing probability p = clip(u, 0, 1) upwards, once, and in place of nudged phases autograd has the gradient: of the cost
of a layer's own head, and of those above it, each the less by `dynamics.error_gain` for every layer that its error has
come down. A gain of 0 in place of the configured one, `--error-gain 0`, leaves purely greedy layers, 1 is
backpropagation with deep supervision. There are only local heads: the teacher of a configuration that has one is left
out.

If a run with spikes falls behind these figures, noise or the size of the nudge are to blame; if it does not, what is
missing is missing in the rule.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from backprop import TEST_BATCH, to_torch

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py
from chains import chain_of
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.cli.configuration import resolve
from spikesim.datasets import Dataset, load
from spikesim.ep.config.parsing import Config
from spikesim.ep.gradients.activity_penalty import moved_penalties
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.learning_rates import learning_rates
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.initialization import start
from spikesim.ep.training.learning.optimizers import schedule
from spikesim.ep.training.normalization import Normalization
from spikesim.ep.training.stability.homeostasis import bias_change
from spikesim.errors import InputError

try:
    import torch
    from torch import Tensor
    from torch.nn import functional
except ImportError:
    sys.exit("benchmarks/science/greedy.py takes gradients with PyTorch, which is not installed: pip install torch")


class Layers:
    """The parameters as tensors, and the layers that they make."""

    def __init__(self, config: Config, model: Model, parameters: ParameterTree, error_gain: float) -> None:
        self.config, self.model, self.error_gain = config, model, error_gain
        self.rows, self.pooled = model.architecture.layers, chain_of(model.graph).pooled
        if any(row.kind != "conv" for row in self.rows):
            sys.exit("benchmarks/science/greedy.py knows convolutions only; choose another model.arch")
        self.weights = [
            torch.tensor(w).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last).requires_grad_()
            for w in parameters.weights(model.graph)
        ]  # (Cout, Cin, ky, kx)
        self.biases = [torch.tensor(b).requires_grad_() for b in parameters.biases()]
        heads = [parameters.head(head.name) for head in model.heads]
        self.head_weights = [torch.tensor(head.weight).requires_grad_() for head in heads]
        self.head_biases = [torch.tensor(head.bias).requires_grad_() for head in heads]
        self.optimizer = torch.optim.Adam(self._groups())
        self.penalties = np.zeros(len(self.rows))

    def _groups(self) -> list[dict[str, object]]:
        """Arrays with their learning rates, as the learner sets them."""
        rates = learning_rates(self.model, self.config)
        weights, biases = [*self.weights, *self.head_weights], [*self.biases, *self.head_biases]
        groups: list[dict[str, object]] = []
        names = [*self.model.names, *(head.name for head in self.model.heads)]
        for name, weight, bias in zip(names, weights, biases, strict=True):
            groups += [
                {"params": [weight], "rate": rates[f"{name}/weight"]},
                {"params": [bias], "rate": rates[f"{name}/bias"]},
            ]
        return groups

    def run(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """p of each layer, (n, C, H, W), and the logits of each head, (n, classes)."""
        rates: list[Tensor] = []
        logits: list[Tensor] = []
        for layer, row in enumerate(self.rows):
            if layer:  # the same numbers upwards; downwards error_gain times the error
                x = self.error_gain * x + (1 - self.error_gain) * x.detach()
            stride = self.model.graph.edges[layer].connection.table.stride
            drive = functional.conv2d(x, self.weights[layer], self.biases[layer], stride, row.padding)
            rates.append(drive.clamp(0, 1))
            for number, head in enumerate(self.model.heads):
                if head.layer == layer:
                    seen = functional.avg_pool2d(rates[-1], head.side).permute(0, 2, 3, 1).flatten(1)
                    logits.append(seen @ self.head_weights[number] + self.head_biases[number])
            x = functional.avg_pool2d(rates[-1], 2) if self.pooled[layer] else rates[-1]
        return rates, logits

    def learn(self, x: Tensor, labels: Tensor, factor: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """One mini-batch: right answers by head, and the mean p of each layer."""
        rates, logits = self.run(x)
        strengths = [1.0 if head.name == READOUT else self.config.error_signals.strength for head in self.model.heads]
        cost = sum(s * functional.cross_entropy(o, labels) for s, o in zip(strengths, logits, strict=True))
        for own in rates:
            own.retain_grad()
        cost += sum(price * own.sum() / len(labels) for price, own in zip(self.penalties, rates, strict=True))
        self.optimizer.zero_grad()
        cost.backward()  # type: ignore[union-attr]
        for group in self.optimizer.param_groups:
            group["lr"] = group["rate"] * factor
        with torch.no_grad():
            means = [own.mean(dim=(0, 2, 3)) for own in rates]  # (C,)
            self._step(means)
            self._charge(rates, [float(own.mean()) for own in means], len(labels))
        right = np.array([int((own.argmax(dim=1) == labels).sum()) for own in logits])
        return right, np.array([float(own.mean()) for own in means])

    def _charge(self, rates: list[Tensor], activity: list[float], samples: int) -> None:
        """Prices of activity for the next mini-batch, from the derivatives of the cost in the drives."""
        errors = [float((own.grad * ((own > 0) & (own < 1))).abs().mean()) * samples for own in rates]
        self.penalties = moved_penalties(self.config.stability, self.penalties, np.array(activity), np.array(errors))

    def _step(self, means: list[Tensor]) -> None:
        """Centered step (`ep/gradients/centering.py`), and the activity kept within its bounds."""
        centered = range(1, len(self.weights)) if self.config.optimizer.centering else range(0)
        before = [self.weights[layer].detach().clone() for layer in centered]
        for layer in centered:
            mean = means[layer - 1][None, :, None, None]
            self.weights[layer].grad -= mean * self.biases[layer].grad[:, None, None, None]  # type: ignore[index]
        self.optimizer.step()
        for layer, old in zip(centered, before, strict=True):
            self.biases[layer] -= ((self.weights[layer] - old) * means[layer - 1][None, :, None, None]).sum(
                dim=(1, 2, 3)
            )
        if self.config.stability.homeostasis > 0:
            for bias, mean in zip(self.biases, means, strict=True):
                bias += torch.from_numpy(bias_change(self.config.stability, mean.numpy().astype(np.float64)))


def percent(right: NDArray[np.int64], samples: int) -> str:
    """Shares of right answers, those of the heads before that of the read-out."""
    return " ".join(f"{share:.1f}" for share in 100 * right / samples)


def train(config: Config, dataset: Dataset, options: argparse.Namespace) -> None:
    """Train, printing two lines after every epoch."""
    model = Model(config, dataset)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    samples = min(config.data.limit or len(dataset.train), len(dataset.train))
    test_samples = min(config.data.test_limit or len(dataset.test), len(dataset.test))
    size, epochs = config.data.batch_size, config.optimizer.epochs
    batches = -(-samples // size)
    parameters = initial_parameters(model, config)
    with ThreadPool(model, config, options.threads) as thread_pool:
        start(model, config, Normalization(config, model.graph, parameters), thread_pool, pipeline, samples)
    error_gain = config.dynamics.error_gain if options.error_gain is None else options.error_gain
    layers = Layers(config, model, parameters, error_gain)
    print(
        f"{config.model.arch} (width {config.model.width:g}) on {dataset.name}: {samples} training samples, error gain "
        f"{error_gain:g}, seed {config.seed}; spikesim {__version__}, torch {torch.__version__}, "
        f"{options.threads} threads",
        flush=True,
    )
    order = np.random.default_rng(config.seed)
    for epoch in range(epochs):
        began = time.perf_counter()
        learned, tested = np.zeros(len(model.heads), np.int64), np.zeros(len(model.heads), np.int64)
        activity = np.zeros(model.layers)
        shuffled = order.permutation(samples)
        for number in range(batches):
            ids = shuffled[number * size : (number + 1) * size]  # (n,)
            labels = torch.from_numpy(dataset.train.labels[ids].astype(np.int64))
            factor = schedule(config.optimizer, (epoch + number / batches) / epochs)
            right, active = layers.learn(to_torch(pipeline.train(epoch, ids)), labels, factor)
            learned += right
            activity += active * len(ids) / samples
        with torch.no_grad():
            for first in range(0, test_samples, TEST_BATCH):
                part = slice(first, min(first + TEST_BATCH, test_samples))
                labels = torch.from_numpy(dataset.test.labels[part].astype(np.int64))
                _, logits = layers.run(to_torch(pipeline.plain(dataset.test, part)))
                tested += [int((own.argmax(dim=1) == labels).sum()) for own in logits]
        print(
            f"epoch {epoch + 1}/{epochs}: training {100 * learned[-1] / samples:.2f} %, test "
            f"{100 * tested[-1] / test_samples:.2f} %; {time.perf_counter() - began:.0f} s\n"
            f"    heads, training {percent(learned, samples)}; test {percent(tested, test_samples)}; mean p, % "
            f"{' '.join(f'{100 * mean:.1f}' for mean in activity)}",
            flush=True,
        )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, help="TOML file of spikesim train")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key, as spikesim train")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--error-gain", type=float, help="0 to 1 (default: dynamics.error_gain)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    options = parser.parse_args()
    if options.threads < 1 or not 0 <= (options.error_gain or 0) <= 1:
        sys.exit(f"Error: --threads is {options.threads} and --error-gain {options.error_gain}; see --help")
    torch.set_num_threads(options.threads)
    try:
        config = resolve(options.config, ("error_signals.kind=local", *options.set), {})
        train(config, load(config.data.dataset, options.data_dir), options)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
