"""Train a twin of a spiking network by backpropagation, in torch, and write its weights for `spikesim import`.

    pip install "spikesim[teacher,exchange]"
    python examples/train_twin.py --epochs 20 --out twin.safetensors
    spikesim import twin.safetensors --arch conv --dataset fashion-mnist-mini --out twin.h5
    spikesim evaluate twin.h5 --repeats 5

The twin has the layers of `--arch conv` without spikes and feedback: convolution, a clip to 0 .. 1 (the firing
probability of a neuron whose potential has come to rest), 2x2 average pooling, a linear read-out. Modules that are
named as the layers of the spiking network give the arrays the names that the import looks for.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from spikesim.datasets import Dataset, load
from spikesim.datasets.samples.transforms import INPUT_FRACTION_BITS, normalize
from spikesim.errors import InputError

BATCH = 32
RATE = 0.003
CHANNELS = 32, 64
"""Of `--arch conv`."""


class Twin(nn.Module):
    """Two clipped convolutions, each pooled, and a read-out."""

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        height, width, channels = shape
        self.conv1 = nn.Conv2d(channels, CHANNELS[0], 3, padding=1)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[1], 3, padding=1)
        self.readout = nn.Linear(CHANNELS[1] * (height // 4) * (width // 4), classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, C, H, W)."""
        for layer in (self.conv1, self.conv2):
            x = functional.avg_pool2d(layer(x).clamp(0, 1), 2)
        return self.readout(x.flatten(1))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Scale and bias of each channel such that on these images three neurons in ten are above zero.

        Clipped layers let nothing pass where all neurons are at rest, and no gradient where they all fire.
        """
        for layer in (self.conv1, self.conv2):
            spread, mean = torch.std_mean(layer(x) - layer.bias.reshape(-1, 1, 1), dim=(0, 2, 3))
            scale = 0.5 / spread.clamp(min=1e-6)
            layer.weight.mul_(scale.reshape(-1, 1, 1, 1))
            layer.bias.copy_(-0.26 - scale * mean)
            x = functional.avg_pool2d(layer(x).clamp(0, 1), 2)


def to_torch(images: NDArray[np.uint8], dataset: Dataset) -> Tensor:
    """Pixels (n, H, W, C) as the spiking network sees them, float32 (n, C, H, W)."""
    fixed = normalize(images, dataset.mean, dataset.std)  # int16 (n, H, W, C)
    return torch.from_numpy(fixed).permute(0, 3, 1, 2).float() * 2.0**-INPUT_FRACTION_BITS


@torch.no_grad()
def accuracy(network: Twin, dataset: Dataset) -> float:
    """Share of the test images that the network names."""
    images, labels = dataset.test.images, dataset.test.labels
    parts = [network(to_torch(images[first : first + 500], dataset)) for first in range(0, len(images), 500)]
    return float((torch.cat(parts).argmax(dim=1).numpy() == labels).mean())


def train(dataset: Dataset, options: argparse.Namespace) -> Twin:
    """A trained network."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    order = np.random.default_rng(options.seed)
    samples = len(dataset.train)
    network = Twin(dataset.train.images.shape[1:], dataset.classes)
    network.initialize(to_torch(dataset.train.images[:256], dataset))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    batches = -(-samples // BATCH)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * batches)
    for epoch in range(options.epochs):
        began, total = time.perf_counter(), 0.0
        for ids in np.array_split(order.permutation(samples), batches):
            labels = torch.from_numpy(dataset.train.labels[ids])  # (n,)
            loss = functional.cross_entropy(network(to_torch(dataset.train.images[ids], dataset)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1}/{options.epochs}: training loss {total / batches:.4f}, "
            f"test accuracy {100 * accuracy(network, dataset):.2f} %; {time.perf_counter() - began:.1f} s",
            flush=True,
        )
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="fashion-mnist-mini", help="name of the data set (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training set (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the weights, safetensors")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default: %(default)s)")
    options = parser.parse_args()
    if min(options.epochs, options.threads) < 1 or options.seed < 0:
        sys.exit("Error: --epochs and --threads must be at least 1, and --seed at least 0")
    if options.out.exists() or not options.out.parent.is_dir():
        sys.exit(f"Error: {options.out} must be a new file in a folder that exists")
    try:
        network = train(load(options.dataset, options.data_dir), options)
    except InputError as error:
        sys.exit(f"Error: {error}")
    save_file(network.state_dict(), options.out, metadata={"layout": "torch"})
    print(f"weights: {options.out}")


if __name__ == "__main__":
    main()
