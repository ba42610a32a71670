"""Train a teacher for `spikesim train --teacher`: an ordinary convolutional network, by backpropagation, in torch.

    pip install "spikesim[teacher]"
    python examples/train_teacher.py --dataset cifar10 --data-dir DIR --epochs 30 --out teacher-cifar10.h5

The teacher learns from cropped and mirrored images, as far as they suit the data set. What it writes are its logits for
the training images as they are, float32 (training samples, classes), in the order of the training set.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesim.datasets import Dataset, load
from spikesim.datasets.samples.transforms import INPUT_FRACTION_BITS, augment, normalize
from spikesim.ep.inputs.teacher import write_teacher
from spikesim.errors import InputError

BATCH = 128
RATE = 0.005
DECAY = 0.05


def convnet(channels: int, width: int, classes: int) -> nn.Sequential:
    """Six convolutions in three stages; the channels double where max-pooling halves the map."""

    def conv(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()

    return nn.Sequential(
        *conv(channels, width),
        *conv(width, width),
        nn.MaxPool2d(2),
        *conv(width, 2 * width),
        *conv(2 * width, 2 * width),
        nn.MaxPool2d(2),
        *conv(2 * width, 4 * width),
        *conv(4 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


def to_torch(images: NDArray[np.uint8], dataset: Dataset) -> Tensor:
    """Pixels (n, H, W, C) as normalized float32 (n, C, H, W)."""
    fixed = normalize(images, dataset.mean, dataset.std)  # int16 (n, H, W, C)
    return torch.from_numpy(fixed).permute(0, 3, 1, 2).float() * 2.0**-INPUT_FRACTION_BITS


@torch.no_grad()
def all_logits(network: nn.Module, images: NDArray[np.uint8], dataset: Dataset) -> NDArray[np.float32]:
    """Logits (n, classes) of images as they are, in their order."""
    network.eval()
    parts = [network(to_torch(images[first : first + 500], dataset)) for first in range(0, len(images), 500)]
    return torch.cat(parts).numpy()


def train(dataset: Dataset, options: argparse.Namespace) -> tuple[nn.Module, float]:
    """A trained network, and the share of the test images that it names."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    order = np.random.default_rng(options.seed)
    samples = len(dataset.train)
    size = min(BATCH, samples)
    batches = samples // size  # batch normalization likes whole mini-batches: what is left over waits for other epochs
    network = convnet(dataset.train.images.shape[3], options.width, dataset.classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=options.epochs * batches)

    for epoch in range(options.epochs):
        began, total = time.perf_counter(), 0.0
        network.train()
        for sample_ids in order.permutation(samples)[: batches * size].reshape(batches, size):
            images = dataset.train.images[sample_ids]  # (size, H, W, C)
            images = augment(images, sample_ids, seed=options.seed, epoch=epoch, augmentation=dataset.augmentation)
            labels = torch.from_numpy(dataset.train.labels[sample_ids])  # (size,)
            loss = functional.cross_entropy(network(to_torch(images, dataset)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
            total += loss.item()
        right = all_logits(network, dataset.test.images, dataset).argmax(axis=1) == dataset.test.labels
        print(
            f"epoch {epoch + 1}/{options.epochs}: training loss {total / batches:.4f}, "
            f"test accuracy {100 * right.mean():.2f} %; {time.perf_counter() - began:.1f} s",
            flush=True,
        )
    return network, float(right.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="fashion-mnist-mini", help="name of the data set (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training set (default: %(default)s)")
    parser.add_argument("--width", type=int, default=32, help="channels of the first stage (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the teacher file, HDF5")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation (default: %(default)s)")
    options = parser.parse_args()
    if min(options.epochs, options.width, options.threads) < 1 or options.seed < 0:
        sys.exit("Error: --epochs, --width and --threads must be at least 1, and --seed at least 0")
    if options.out.exists() or not options.out.parent.is_dir():
        sys.exit(f"Error: {options.out} must be a new file in a folder that exists")
    try:
        dataset = load(options.dataset, options.data_dir)
        if dataset.recordings:
            raise InputError(f"{options.dataset} holds recordings; this convolutional network takes images")
        network, accuracy = train(dataset, options)
        description = (
            f"examples/train_teacher.py: six convolutions, width {options.width}, {options.epochs} epochs, seed "
            f"{options.seed}, torch {torch.__version__}; test accuracy {100 * accuracy:.2f} %"
        )
        write_teacher(options.out, all_logits(network, dataset.train.images, dataset), dataset.name, description)
    except InputError as error:
        sys.exit(f"Error: {error}")
    print(f"teacher file: {options.out}")


if __name__ == "__main__":
    main()
