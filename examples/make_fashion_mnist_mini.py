"""Make the embedded data set from Fashion-MNIST: the first 500 training and 100 test images of each class.

    python examples/make_fashion_mnist_mini.py --data-dir DIR [--out datasets/data/fashion-mnist-mini]

Running it again gives the same bytes. A file that is there and differs is left alone, and reported.
"""

import argparse
import gzip
import hashlib
import io
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import ImageSet, load
from spikesim.errors import InputError

TRAIN_PER_CLASS = 500
TEST_PER_CLASS = 100
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "datasets" / "data" / "fashion-mnist-mini"


def first_of_each_class(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Positions of the first `count` samples of each class, in the order of the file."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def idx(array: NDArray[np.uint8]) -> bytes:
    """An IDX file of unsigned bytes."""
    dimensions = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dimensions + array.tobytes()


def pack(data: bytes) -> bytes:
    """gzip without a time or a name, so that the bytes depend on the content alone."""
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(data)
    return packed.getvalue()


def files(part: str, images: ImageSet, per_class: int) -> dict[str, bytes]:
    """The two IDX files of a part of the set, by name."""
    chosen = first_of_each_class(images.labels, per_class)
    return {
        f"{part}-images-idx3-ubyte": idx(images.images[chosen, :, :, 0]),
        f"{part}-labels-idx1-ubyte": idx(images.labels[chosen].astype(np.uint8)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder for the four files")
    options = parser.parse_args()
    try:
        dataset = load("fashion-mnist", options.data_dir)
    except InputError as error:
        sys.exit(f"Error: {error}")
    made = files("train", dataset.train, TRAIN_PER_CLASS) | files("t10k", dataset.test, TEST_PER_CLASS)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        path = options.out / f"{name}.gz"
        packed = pack(data)
        if path.exists() and path.read_bytes() != packed:
            sys.exit(f"Error: {path} exists and differs; move it away to have it made again")
        path.write_bytes(packed)
        print(f"{hashlib.sha256(data).hexdigest()}  {name}  {len(data)} bytes, packed {len(packed)}")


if __name__ == "__main__":
    main()
