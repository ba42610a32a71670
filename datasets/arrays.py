"""Images of one's own: an .npz file of four arrays, known by its name and the hash of its content."""

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import search
from spikesim.datasets.identity import content_hash
from spikesim.datasets.model import Augmentation, Dataset, ImageSet
from spikesim.errors import InputError
from spikesim.npzfile import read_array

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONS = ("crop", "flip")
CLASSES_MAX = 2**16
BYTES_MAX = 2**34
"""Bytes that the arrays of a file may take: a small archive can unpack to any length."""

_NAME = re.compile(r"(.+\.npz)(?:#([0-9a-f]{16}))?", re.DOTALL)
_BLOCK = 4096
_HOW = "docs/own-data.md says how to write one"


def is_file(name: str) -> bool:
    """Whether the name of a data set is that of a file: it ends in .npz, or in .npz, # and the hash of its content."""
    return _NAME.fullmatch(name) is not None


def holds_images(name: str, data_dir: str | Path | None = None) -> bool:
    """Whether it is the name of a file of images: one that has an array of images.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder, or what is found is no regular file.
    """
    if not is_file(name):
        return False
    path = locate(name, data_dir)
    if path is None:
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(f"{array}.npy" in archive.namelist() for array in ARRAYS)
    except Exception:  # no archive: whoever reads it says so
        return False


def locate(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The file of this name, of which a hash is no part, where `search.find_own` looks for it; None if there is none.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder, or what is found is no regular file.
    """
    return search.find_own(_file_name(name), data_dir)


def load_file(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Read and check a data set of one's own.

    Parameters
    ----------
    name : str
        Path or name of a file of `numpy.savez` with ``train_images``, ``test_images`` (uint8, shape (n, height, width)
        or (n, height, width, channels)) and ``train_labels``, ``test_labels`` (integers from 0, shape (n,)), and
        perhaps ``crop`` (pixels) and ``flip`` (a boolean), which `Augmentation` explains. With # and a hash behind it,
        only a file of that content will do.
    data_dir : path, optional
        Where to look first.

    Returns
    -------
    Dataset
        Its name is the name of the file without a folder, #, and 16 hexadecimal digits of the SHA-256 of the content,
        which does not depend on how the arrays are stored. Its classes are 0 .. the largest training label.

    Raises
    ------
    InputError
        There is no such file, an array is missing or of another form, or the content has another hash.
    """
    path = search.require_own(_file_name(name), data_dir)
    found = _read(path)
    train, test = (_image_set(found, part, path) for part in ("train", "test"))
    augmentation = _augmentation(found, path)
    digest = _digest(train, test, augmentation)
    wanted = _match(name)[2]
    if wanted not in (None, digest):
        raise InputError(f"{path}: the hash of its content is {digest}, not {wanted}; give the file with that content")
    classes = int(train.labels.max()) + 1
    if classes < 2 or int(train.labels.min()) < 0 or classes > CLASSES_MAX:
        raise InputError(
            f"{path}: train_labels reach from {train.labels.min()} to {train.labels.max()}; "
            f"they must begin at 0 and end at 1 .. {CLASSES_MAX - 1}"
        )
    mean, std = _moments(train.images)
    return Dataset(
        name=f"{path.name}#{digest}",
        train=train,
        test=test,
        classes=classes,
        class_names=tuple(map(str, range(classes))),
        mean=mean,
        std=std,
        augmentation=augmentation,
        source=str(path),
    )


def _match(name: str) -> re.Match[str]:
    match = _NAME.fullmatch(name)
    if match is None or not name.isprintable():
        raise InputError(f"{name!r} is not the name of an .npz file; use printable characters and the ending .npz")
    return match


def _file_name(name: str) -> str:
    return _match(name)[1]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            _check_names(members, path)
            total = sum(member.file_size for member in members.values())
            if total > BYTES_MAX:
                raise InputError(f"{path}: its arrays take {total} bytes; at most {BYTES_MAX}")
            return {name: read_array(archive, member) for name, member in members.items()}
    except InputError:
        raise
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        detail = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: not an .npz file, or a damaged one ({detail}); {_HOW}") from None


def _check_names(names: Iterable[str], path: Path) -> None:
    present = set(names)
    missing = [name for name in ARRAYS if name not in present]
    other = sorted(present - {*ARRAYS, *OPTIONS})
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; {_HOW}")
    if other:
        raise InputError(f"{path}: has {', '.join(other)}; it may have {', '.join((*ARRAYS, *OPTIONS))}")


def _image_set(found: dict[str, NDArray[Any]], part: str, path: Path) -> ImageSet:
    images, labels = found[f"{part}_images"], found[f"{part}_labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"{path}: {part}_images are {images.dtype} of shape {images.shape}; they must be uint8 of shape "
            "(n, height, width) or (n, height, width, channels), nothing 0"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(
            f"{path}: {part}_labels are {labels.dtype} of shape {labels.shape}; they must be integers of shape "
            f"({len(images)},), one an image"
        )
    pixels = images if images.ndim == 4 else images[..., np.newaxis]
    return ImageSet(np.ascontiguousarray(pixels), labels.astype(np.int64))


def _augmentation(found: dict[str, NDArray[Any]], path: Path) -> Augmentation:
    crop, flip = found.get("crop", np.array(0)), found.get("flip", np.array(False))
    if crop.shape or crop.dtype.kind not in "iu" or flip.shape or flip.dtype.kind != "b":
        raise InputError(
            f"{path}: crop is {crop.dtype} of shape {crop.shape}, flip {flip.dtype} of shape {flip.shape}; "
            "crop must be one integer (pixels), flip one boolean"
        )
    return Augmentation(crop=int(crop), flip=bool(flip))


def _digest(train: ImageSet, test: ImageSet, augmentation: Augmentation) -> str:
    """Of one line of JSON and, behind it, the training and the test images and their labels."""
    head = {
        "crop": augmentation.crop,
        "flip": augmentation.flip,
        "format": "spikesim-images",
        "test": list(test.images.shape),
        "train": list(train.images.shape),
    }
    return content_hash(head, [array for part in (train, test) for array in (part.images, part.labels)])


def _moments(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel scaled to [0, 1]; the deviation is 1 where all pixels are equal.

    The sums are integers: the same for any order of the images.
    """
    first, second = np.zeros((2, images.shape[3]), np.int64)
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        first += block.sum(axis=(0, 1, 2), dtype=np.int64)
        second += np.square(block, dtype=np.uint16).sum(axis=(0, 1, 2), dtype=np.int64)
    pixels = images.size // images.shape[3]
    mean = first / pixels / 255
    std = np.sqrt(np.maximum(second / pixels / 255**2 - mean**2, 0))
    constant = images.min(axis=(0, 1, 2)) == images.max(axis=(0, 1, 2))
    return _fixed(mean), _fixed(np.where(constant, 1.0, std))


def _fixed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    values.flags.writeable = False
    return values
