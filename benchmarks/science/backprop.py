"""Backpropagation on the architectures of `spikesim train`: what the same layers learn without spikes and phases.

    python benchmarks/science/backprop.py --arch conv --dataset fashion-mnist [--epochs N] [--lr RATE] [--out FILE.json]
    python benchmarks/science/backprop.py --config examples/vgg11-mini.toml --normalization batch --activation relu

The layers are those of the spiking network: convolution or dense layer with a bias, the clip to 0 .. 1 that is the
firing probability, 2x2 pooling where the layer is pooled (the maximum with `dynamics.pooling` winner, else the mean), a
linear softmax read-out. So are the images (int16, padded, augmented), the validation share, the size of the
mini-batches, the epochs, the schedule and dropout. What differs: signals run forward only, there is no noise, and Adam
follows the exact gradient of the cross-entropy. Of the configuration, the architecture and its width, the section
`data`, the seed, the pooling, dropout, and the epochs and schedule of `optimizer` are used.

Of texts and series, positions behind the end of a sample are zero in every layer and count in no normalization, tokens
look up rows (`torch.nn.Embedding`), and the read-out sees the mean or the maximum over the positions
(`model.global_pooling`).

`--normalization batch --activation relu` is what a user of PyTorch would train: batch normalization and rectified
linear units. `--normalization weights` standardizes the weights of each channel and learns a gain.

`--attention` adds a layer of attention behind the first layer, with a skip connection: what each position retrieves
from all positions, softmax(q K^T / sqrt(C)) V, the update of a modern Hopfield network (Ramsauer et al. 2020; arXiv
2209.09626).

Without batch normalization the first training images set the initial scale and bias of each channel, or a clip eight
layers deep lets nothing pass.
"""

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py
from chains import Chain, chain_of
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.cli.configuration import resolve
from spikesim.datasets import load
from spikesim.datasets.samples.split import hold_out
from spikesim.engine.synapses import Conv, neurons
from spikesim.ep.config.layer_rows import Layer
from spikesim.ep.config.parsing import Config
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.texts import encoded
from spikesim.ep.network.architectures import architecture, build, input_shape
from spikesim.ep.network.error_signals import global_pooling
from spikesim.ep.training.learning.optimizers import schedule
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import INPUT_BITS

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ImportError:
    sys.exit("benchmarks/science/backprop.py trains with PyTorch, which is not installed: pip install torch")

ACTIVE = 0.3
"""Share of the neurons of a channel that are above zero at first."""
SPREAD = 0.5
"""Standard deviation of a channel before the clip at first: with ACTIVE, one neuron in 170 is above one."""
CALIBRATION_IMAGES = 256
TEST_BATCH = 500

KEYS = {
    "arch": "model.arch",
    "width": "model.width",
    "dataset": "data.dataset",
    "batch_size": "data.batch_size",
    "limit": "data.limit",
    "test_limit": "data.test_limit",
    "epochs": "optimizer.epochs",
    "seed": "seed",
}
"""Options that stand for a key of the configuration."""


class Standardized(nn.Module):
    """The weight of a layer without its mean over the synapses of a channel, divided by its norm, times a gain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, weight: Tensor) -> Tensor:
        flat = weight.flatten(1)
        free = flat - flat.mean(dim=1, keepdim=True)
        unit = free / (free.square().sum(dim=1, keepdim=True) + 1e-8).sqrt()
        return (self.gain[:, None] * unit).reshape(weight.shape)


class Rows(nn.Module):
    """Rows of a table for tokens (n, H, W), as maps (n, C, H, W); that of token 0 is zero."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, channels, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.table.weight, std=SPREAD)

    def forward(self, tokens: Tensor) -> Tensor:
        return (self.table(tokens) * (tokens > 0)[..., None] + self.bias).permute(0, 3, 1, 2)


class Attention(nn.Module):
    """A map (n, C, H, W) with what each position retrieves from all that exist: softmax(q K^T / sqrt(C)) V."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        nn.init.zeros_(self.value.weight)  # at first the map stays as it is

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        """there: positions that exist, (n, H, W); all of them without."""
        patterns = x.flatten(2).transpose(1, 2)  # (n, positions, C)
        mask = None if there is None else there.flatten(1)[:, None]  # (n, 1, positions)
        found = functional.scaled_dot_product_attention(
            self.query(patterns), self.key(patterns), self.value(patterns), attn_mask=mask
        )
        return x + found.transpose(1, 2).reshape(x.shape)


class Network(nn.Module):
    """The layers of a chain, feed-forward, and the read-out.

    Parameters
    ----------
    normalization : str
        none, weights or batch.
    activation : str
        clip or relu.
    winners : bool
        Whether pools pass on the maximum, not the mean.
    over_all : str
        none, mean or maximum: what the read-out sees of all positions together.
    dropout : dict of int to function, optional
        Of layers: what drops a part of their output in training.
    attention : bool
        Whether the first layer is followed by one of attention.
    """

    def __init__(
        self,
        rows: tuple[Layer, ...],
        chain: Chain,
        classes: int,
        normalization: str,
        activation: str,
        winners: bool,
        over_all: str = "none",
        dropout: dict[int, Callable[[Tensor], Tensor]] | None = None,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = dropout or {}
        self.rows, self.pooled, self.activation, self.over_all = rows, chain.pooled, activation, over_all
        self.pool = functional.max_pool2d if winners else functional.avg_pool2d
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        for row, connection in zip(rows, chain.connections, strict=True):
            # (kernel, kernel, Cin, Cout) of a convolution, (inputs, neurons) of a dense layer
            inputs, outputs = connection.integers.shape[-2:]
            conv = row.kind == "conv"
            layer: nn.Module
            if row.kind == "tokens":
                layer = Rows(inputs, outputs)
            elif conv:
                layer = nn.Conv2d(inputs, outputs, row.kernel, connection.table.stride, row.padding)
            else:
                layer = nn.Linear(inputs, outputs)
            if normalization == "weights" and row.kind != "tokens":
                nn.utils.parametrize.register_parametrization(layer, "weight", Standardized(outputs))
            self.layers.append(layer)
            plain = normalization != "batch" or row.kind == "tokens"
            self.norms.append(nn.Identity() if plain else nn.BatchNorm1d(outputs))
        self.attention = Attention(chain.connections[0].integers.shape[-1]) if attention else None
        features = neurons(chain.graph.features) if over_all == "none" else chain.graph.features[2]
        self.readout = nn.Linear(features, classes)

    def drive(self, number: int, x: Tensor, there: Tensor | None = None) -> Tensor:
        """What a layer sees before its activation function, (n, C, H, W); there: positions that exist, (n, H, W)."""
        layer = self.layers[number]
        u = layer(x.flatten(1))[:, :, None, None] if self.rows[number].kind == "dense" else layer(x)
        if isinstance(self.norms[number], nn.Identity):
            return u
        by_position = u.permute(0, 2, 3, 1)
        chosen = torch.ones(by_position.shape[:3], dtype=torch.bool) if there is None else there
        normalized = torch.zeros_like(by_position)
        normalized[chosen] = self.norms[number](by_position[chosen])
        return normalized.permute(0, 3, 1, 2)

    def passed(self, number: int, u: Tensor) -> Tensor:
        """What the next layer sees of a layer, (n, C, H, W) or, pooled, (n, C, H / 2, W / 2)."""
        p = u.clamp(0, 1) if self.activation == "clip" else u.relu()
        return self.pool(p, 2) if self.pooled[number] else p

    def forward(self, x: Tensor, columns: Tensor | None = None) -> Tensor:
        """Logits (n, classes) of images (n, C, H, W), or of tokens (n, H, W).

        columns: of each layer that exist, (n, L); all of them without.
        """
        there: Tensor | None = None
        for number in range(len(self.rows)):
            if columns is not None:
                there = self.positions(number, x, columns)
            x = self.passed(number, self.drive(number, x, there))
            if self.training and number in self.dropout:
                x = self.dropout[number](x)
            if there is not None:
                x = x * there[:, None]
            if self.attention is not None and number == 0:
                x = self.attention(x, there)
                if there is not None:
                    x = x * there[:, None]
        if self.over_all == "none":
            return self.readout(x.flatten(1))
        if self.over_all == "maximum":
            return self.readout(x.amax(dim=(2, 3)))
        count = x[0, 0].numel() if there is None else there.sum(dim=(1, 2))[:, None]
        return self.readout(x.sum(dim=(2, 3)) / count)

    def positions(self, number: int, x: Tensor, columns: Tensor) -> Tensor:
        """Which positions of a layer that sees x exist, bool (n, H, W)."""
        row = self.rows[number]
        assert row.kind != "dense"
        height, width = x.shape[-2:]
        if row.kind == "conv":
            table = Conv(row.kernel, row.padding, stride=row.stride)
            height, width = table.output((height, width))
        there: Tensor = torch.arange(width) < columns[:, number, None]
        return there[:, None].expand(-1, height, -1)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Normal weights; scale and bias of each channel such that ACTIVE and SPREAD hold on these images."""
        threshold = SPREAD * NormalDist().inv_cdf(ACTIVE)
        for number, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            if isinstance(layer, Rows):
                x = self.passed(number, self.drive(number, x))
                continue
            standardized = nn.utils.parametrize.is_parametrized(layer)
            nn.init.normal_(layer.parametrizations.weight.original if standardized else layer.weight)
            nn.init.zeros_(layer.bias)
            if isinstance(norm, nn.BatchNorm1d):
                if self.activation == "relu":
                    nn.init.kaiming_normal_(layer.weight)
                else:
                    nn.init.constant_(norm.weight, SPREAD)
                    nn.init.constant_(norm.bias, threshold)
                continue
            u = self.drive(number, x)  # (n, C, H, W)
            spread, mean = torch.std_mean(u, dim=(0, 2, 3))  # (C,)
            scale = SPREAD / spread.clamp(min=1e-6)
            if standardized:
                layer.parametrizations.weight[0].gain.mul_(scale)
            else:
                layer.weight.mul_(scale.reshape(-1, *[1] * (layer.weight.ndim - 1)))  # Cout is the first axis
            layer.bias.copy_(threshold - scale * mean)
            x = self.passed(number, self.drive(number, x))


def to_torch(images: NDArray[Any]) -> Tensor:
    """Fixed-point images (n, H, W, C) as float32 (n, C, H, W); the memory stays in the order of the images. Tokens
    (n, H, W, 1) as int64 (n, H, W).
    """
    if images.dtype == np.int32:
        return torch.from_numpy(images[..., 0].astype(np.int64))
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() * 2.0**-INPUT_BITS


def given(inputs: Any, extents: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
    """Samples as the network takes them: images or tokens, and the columns of each layer that exist.

    extents: by the columns of a sample (`LayerGraph.extents`).
    """
    if isinstance(inputs, np.ndarray):
        return to_torch(inputs), None
    return to_torch(inputs.maps), torch.from_numpy(extents[inputs.lengths])


def dropped(config: Config, names: tuple[str, ...]) -> dict[int, Callable[[Tensor], Tensor]]:
    """What drops neurons or channels of the layers that the configuration names."""
    settings = config.model
    drop = functional.dropout2d if settings.dropout_units == "channels" else functional.dropout
    chosen = [layer for layer, name in enumerate(names) if name in (settings.dropout_layers or names)]
    return {layer: partial(drop, p=settings.dropout) for layer in chosen} if settings.dropout else {}


class Mean:
    """Mean cross-entropy and accuracy over mini-batches."""

    def __init__(self) -> None:
        self.samples, self.loss, self.right = 0, 0.0, 0

    def add(self, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        self.samples += len(labels)
        self.loss += loss.item() * len(labels)
        self.right += int((logits.argmax(dim=1) == labels).sum())

    def row(self, part: str) -> dict[str, float]:
        return {f"{part}_loss": self.loss / self.samples, f"{part}_accuracy": self.right / self.samples}


def train(config: Config, options: argparse.Namespace) -> None:
    """Train, printing a line and writing the result after every epoch."""
    dataset = load(config.data.dataset, options.data_dir)
    if config.data.validation:
        dataset, _ = hold_out(dataset, config.data.validation, config.seed)
    dataset = encoded(config, dataset)
    arch = architecture(config.model.arch, config.model.layers)
    shape = input_shape(config.model.arch, arch, dataset)
    words = None if dataset.vocabulary is None else len(dataset.vocabulary)
    chain = chain_of(build(arch, shape, width=config.model.width, words=words))
    extents = chain.graph.extents()
    pipeline = InputPipeline(config, dataset, shape)
    samples = min(config.data.limit or len(dataset.train), len(dataset.train))
    test_samples = min(config.data.test_limit or len(dataset.test), len(dataset.test))
    batch, epochs = config.data.batch_size, config.optimizer.epochs
    batches = -(-samples // batch)

    torch.set_num_threads(options.threads)
    torch.manual_seed(config.seed)
    winners = config.dynamics.pooling == "winner"
    over_all = global_pooling(config, dataset.kind)
    network = Network(
        arch.layers,
        chain,
        dataset.classes,
        options.normalization,
        options.activation,
        winners,
        over_all,
        dropped(config, chain.graph.names),
        options.attention,
    )
    network.to(memory_format=torch.channels_last)
    network.initialize(given(pipeline.plain(dataset.train, slice(min(samples, CALIBRATION_IMAGES))), extents)[0])
    optimizer = torch.optim.Adam(network.parameters(), lr=options.lr)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    result: dict[str, Any] = {
        "script": "benchmarks/science/backprop.py",
        "versions": {"spikesim": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": platform.machine(),
        "threads": options.threads,
        "parameters": parameters,
        "learning_rate": options.lr,
        "normalization": options.normalization,
        "activation": options.activation,
        "attention": options.attention,
        "config": config.to_dict(),
        "epochs": [],
    }
    print(
        f"{config.model.arch} (width {config.model.width:g}, {parameters} parameters) on {dataset.name}: {samples} "
        f"training samples, {batches} mini-batches an epoch; normalization {options.normalization}, activation "
        f"{options.activation}; spikesim {__version__}, torch {torch.__version__}, "
        f"{options.threads} threads, seed {config.seed}",
        flush=True,
    )

    order = np.random.default_rng(config.seed)
    for epoch in range(epochs):
        began, learned, tested = time.perf_counter(), Mean(), Mean()
        network.train()
        shuffled = order.permutation(samples)
        for number in range(batches):
            sample_ids = shuffled[number * batch : (number + 1) * batch]  # (n,)
            labels = torch.from_numpy(dataset.train.labels[sample_ids])  # (n,)
            logits = network(*given(pipeline.train(epoch, sample_ids), extents))  # (n, classes)
            loss = functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            for group in optimizer.param_groups:
                group["lr"] = options.lr * schedule(config.optimizer, (epoch + number / batches) / epochs)
            optimizer.step()
            learned.add(logits, labels, loss)
        seconds = time.perf_counter() - began

        network.eval()
        with torch.no_grad():
            for first in range(0, test_samples, TEST_BATCH):
                part = slice(first, min(first + TEST_BATCH, test_samples))
                labels = torch.from_numpy(dataset.test.labels[part].copy())  # (n,); the set's own are read-only
                logits = network(*given(pipeline.plain(dataset.test, part), extents))  # (n, classes)
                tested.add(logits, labels, functional.cross_entropy(logits, labels))

        row = {"epoch": epoch + 1, **learned.row("train"), **tested.row("test"), "seconds": seconds}
        result["epochs"].append(row)
        print(
            f"epoch {epoch + 1}/{epochs}: training loss {row['train_loss']:.4f}, accuracy "
            f"{100 * row['train_accuracy']:.2f} %; test loss {row['test_loss']:.4f}, accuracy "
            f"{100 * row['test_accuracy']:.2f} %; {seconds:.1f} s",
            flush=True,
        )
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--arch", help="as for spikesim train (default: vgg11)")
    parser.add_argument("--width", type=float, help="factor on the channels of every layer (default: 1)")
    parser.add_argument("--dataset", help="name of the data set (default: fashion-mnist-mini)")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--limit", type=int, help="use only the first N training samples")
    parser.add_argument("--test-limit", type=int, help="use only the first N test samples")
    parser.add_argument("--batch-size", type=int, help="samples in a mini-batch (default: 32)")
    parser.add_argument("--epochs", type=int, help="passes over the training set (default: 5)")
    parser.add_argument("--seed", type=int, help="of the weights, the order and the augmentation (default: 0)")
    parser.add_argument("--config", type=Path, help="TOML file of spikesim train")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any key, as spikesim train")
    parser.add_argument("--lr", type=float, default=3e-3, help="learning rate of Adam at first (default: 0.003)")
    parser.add_argument(
        "--normalization", choices=("none", "weights", "batch"), default="none", help="of the layers (default: none)"
    )
    parser.add_argument("--activation", choices=("clip", "relu"), default="clip", help="function (default: clip)")
    parser.add_argument("--attention", action="store_true", help="a layer of attention behind the first layer")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--out", type=Path, help="write the result here, JSON; a file that is there is replaced")
    options = parser.parse_args()
    if not 0 < options.lr < float("inf") or options.threads < 1:
        sys.exit(f"Error: --lr is {options.lr} and --threads {options.threads}; both must be positive")
    if options.out is not None and not options.out.parent.is_dir():
        sys.exit(f"Error: there is no folder {options.out.parent} for --out")
    try:
        keys = {key: getattr(options, name) for name, key in KEYS.items()}
        train(resolve(options.config, tuple(options.set), keys), options)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
