"""Images of your own: an .npz file of four arrays, known by its name and the hash of its content."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue import search
from spikesim.datasets.formats.labelled_arrays import ArrayFile, ArrayForm, labels_of, names_of, read_file
from spikesim.datasets.samples.identity import content_hash
from spikesim.datasets.samples.model import Augmentation, Dataset, ImageSet
from spikesim.errors import InputError

FORM = ArrayForm(
    kind="images",
    words={"images": ("images", "x", "data"), "labels": ("labels", "y", "targets")},
    required=("train_images", "train_labels", "test_images", "test_labels"),
    options=("crop", "flip"),
    objects="give arrays of numbers of one shape, as numpy.stack makes them of a list",
)
"""Images and labels, also under the names of those who publish such files: x_train and y_train by Keras."""
CLASSES_MAX = 2**16

_NAME = re.compile(r"(.+\.npz)(?:#([0-9a-f]{16}))?", re.DOTALL)
_BLOCK = 4096


def is_file(name: str) -> bool:
    """Whether the name of a data set is that of a file: it ends in .npz, or in .npz, # and the hash of its content."""
    return _NAME.fullmatch(name) is not None


def locate(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The file of this name, of which a hash is no part, where `search.find_own` looks for it; None if there is none.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder, or what is found is no regular file.
    """
    return search.find_own(_file_name(name), data_dir)


def load_file(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Read and check a data set of your own.

    Parameters
    ----------
    name : str
        Path or name of a file of `numpy.savez` with ``train_images``, ``test_images`` (uint8, shape (n, height, width)
        or (n, height, width, channels)) and ``train_labels``, ``test_labels`` (integers from 0, shape (n,)), and
        perhaps ``crop`` (pixels) and ``flip`` (a boolean), which `Augmentation` explains; or the same under the names
        that Keras gives them, ``x_train``, ``y_train``, ``x_test`` and ``y_test``. With # and a hash behind it,
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
    return _dataset(read_file(path, FORM), _match(name)[2], str(path))


def of_arrays(arrays: Mapping[str, Any]) -> Dataset:
    """The data set that a file with these arrays would be, under the name of one called arrays.npz.

    Parameters
    ----------
    arrays : mapping of str to array_like
        As `load_file` finds them in a file.

    Raises
    ------
    InputError
        An array is missing or of another form.
    """
    path = Path("arrays.npz")
    names = names_of(arrays, path, FORM)
    found = ArrayFile(path, {role: np.asarray(arrays[name]) for role, name in names.items()}, names)
    return _dataset(found, None, "memory")


def _dataset(found: ArrayFile, wanted: str | None, source: str) -> Dataset:
    """wanted: the hash that the content must have, if it is known."""
    path = found.path
    train, test = (_image_set(found, part) for part in ("train", "test"))
    augmentation = _augmentation(found, train.shape[:2])
    digest = _digest(train, test, augmentation)
    if wanted not in (None, digest):
        raise InputError(f"{path}: the hash of its content is {digest}, not {wanted}; give the file with that content")
    classes = int(train.labels.max()) + 1
    if classes < 2 or int(train.labels.min()) < 0 or classes > CLASSES_MAX:
        raise InputError(
            f"{found.called('train_labels')} reach from {train.labels.min()} to {train.labels.max()}; "
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
        source=source,
    )


def _match(name: str) -> re.Match[str]:
    match = _NAME.fullmatch(name)
    if match is None or not name.isprintable():
        raise InputError(f"{name!r} is not the name of an .npz file; use printable characters and the ending .npz")
    return match


def _file_name(name: str) -> str:
    return _match(name)[1]


def _image_set(found: ArrayFile, part: str) -> ImageSet:
    images = found.arrays[f"{part}_images"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"{found.called(f'{part}_images')} are {images.dtype} of shape {images.shape}; they must be uint8 of shape "
            f"(n, height, width) or (n, height, width, channels), nothing 0{_image_advice(images)}"
        )
    pixels = images if images.ndim == 4 else images[..., np.newaxis]
    return ImageSet(np.ascontiguousarray(pixels), labels_of(found, part, len(images), "an image"))


def _image_advice(images: NDArray[Any]) -> str:
    """What numbers of another kind seem to be."""
    if images.dtype == np.uint8 or images.dtype.kind not in "biuf" or images.size == 0:
        return ""
    low, high = images.min(), images.max()
    said = f"; they reach from {low} to {high}: "
    if not np.isfinite([low, high]).all():
        return f"{said}some are not numbers; look at how they were made"
    if 0 <= low and high <= 1:
        return f"{said}store (images * 255).round().astype(numpy.uint8)"
    if 0 <= low and high <= 255:
        return f"{said}store images.round().astype(numpy.uint8)"
    return f"{said}bring them to 0 .. 255 first"


def _augmentation(found: ArrayFile, sides: tuple[int, int]) -> Augmentation:
    crop, flip = found.arrays.get("crop", np.array(0)), found.arrays.get("flip", np.array(False))
    if crop.shape or crop.dtype.kind not in "iu" or flip.shape or flip.dtype.kind != "b":
        raise InputError(
            f"{found.path}: crop is {crop.dtype} of shape {crop.shape}, flip {flip.dtype} of shape {flip.shape}; "
            "crop must be one integer (pixels), flip one boolean"
        )
    if int(crop) > min(sides):
        raise InputError(
            f"{found.path}: crop is {crop} pixels, larger than the images of {sides[0]}x{sides[1]}; it must be in 0 .. "
            f"{min(sides)}"
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
