"""Images of one's own: an .npz file of four arrays, known by its name and the hash of its content."""

import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue import search
from spikesim.datasets.formats.event_parsing import some_names
from spikesim.datasets.samples.identity import content_hash
from spikesim.datasets.samples.model import Augmentation, Dataset, ImageSet
from spikesim.errors import InputError
from spikesim.io.npz import ObjectArray, read_array
from spikesim.runtime.manual import manual

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
OPTIONS = ("crop", "flip")
_WORDS = {"images": ("images", "x", "data"), "labels": ("labels", "y", "targets")}
"""What images and labels are called by those who publish such files: x_train and y_train by Keras."""
CLASSES_MAX = 2**16
BYTES_MAX = 2**34
"""Bytes that the arrays of a file may take: a small archive can unpack to any length."""

_NAME = re.compile(r"(.+\.npz)(?:#([0-9a-f]{16}))?", re.DOTALL)
_BLOCK = 4096
_HOW = f"'{manual('own-data')}' says how to write one"


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
            return any(_role(member.removesuffix(".npy")) in ARRAYS for member in archive.namelist())
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
    return _dataset(_read(path), _match(name)[2], str(path))


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
    names = _names(arrays, path)
    found = _File(path, {role: np.asarray(arrays[name]) for role, name in names.items()}, names)
    return _dataset(found, None, "memory")


def _dataset(found: "_File", wanted: str | None, source: str) -> Dataset:
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


def _role(name: str) -> str:
    """Which of the arrays one of this name is: train_images for train_images, x_train, X_train; else the name."""
    for part in ("train", "test"):
        for kind, words in _WORDS.items():
            if name.lower() in {form for word in words for form in (f"{part}_{word}", f"{word}_{part}")}:
                return f"{part}_{kind}"
    return name


@dataclass(frozen=True)
class _File:
    """The arrays of a file by role, and the names that they have there."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    names: dict[str, str]

    def called(self, role: str) -> str:
        """Where an array is, for a message."""
        return f"{self.path}: {self.names[role]}"


def _read(path: Path) -> _File:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            names = _names(members, path)
            total = sum(member.file_size for member in members.values())
            if total > BYTES_MAX:
                raise InputError(f"{path}: its arrays take {total} bytes; at most {BYTES_MAX}")
            return _File(path, {role: read_array(archive, members[name]) for role, name in names.items()}, names)
    except (InputError, MemoryError):
        raise
    except ObjectArray as error:
        raise InputError(
            f"{path}: {error}; give arrays of numbers of one shape, as numpy.stack makes them of a list; {_HOW}"
        ) from None
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        detail = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: not an .npz file, or a damaged one ({detail}); {_HOW}") from None


def _names(found: Iterable[str], path: Path) -> dict[str, str]:
    """The names that the arrays have in a file, by role."""
    names: dict[str, str] = {}
    for name in found:
        role = _role(name)
        if role in names:
            raise InputError(f"{path}: has {some_names([names[role], name])}; give only one of them")
        names[role] = name
    missing = [role for role in ARRAYS if role not in names]
    other = sorted(names[role] for role in names if role not in (*ARRAYS, *OPTIONS))
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; it has {some_names(sorted(names.values()))}; {_HOW}")
    if other:
        raise InputError(f"{path}: has {some_names(other)}; it may have {', '.join((*ARRAYS, *OPTIONS))}")
    return names


def _image_set(found: _File, part: str) -> ImageSet:
    images, labels = found.arrays[f"{part}_images"], found.arrays[f"{part}_labels"]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"{found.called(f'{part}_images')} are {images.dtype} of shape {images.shape}; they must be uint8 of shape "
            f"(n, height, width) or (n, height, width, channels), nothing 0{_image_advice(images)}"
        )
    if labels.shape == (len(images), 1):  # a column, as Keras has those of CIFAR
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise InputError(
            f"{found.called(f'{part}_labels')} are {labels.dtype} of shape {labels.shape}; they must be integers of "
            f"shape ({len(images)},), one an image{_label_advice(labels, len(images))}"
        )
    pixels = images if images.ndim == 4 else images[..., np.newaxis]
    return ImageSet(np.ascontiguousarray(pixels), labels.astype(np.int64))


def _image_advice(images: NDArray[Any]) -> str:
    """What numbers of another kind seem to be."""
    if images.dtype == np.uint8 or images.dtype.kind not in "biuf" or images.size == 0:
        return ""
    low, high = images.min(), images.max()
    said = f"; they reach from {low} to {high}: "
    if not np.isfinite([low, high]).all():
        return f"{said}some are no numbers; look at how they were made"
    if 0 <= low and high <= 1:
        return f"{said}store (images * 255).round().astype(numpy.uint8)"
    if 0 <= low and high <= 255:
        return f"{said}store images.round().astype(numpy.uint8)"
    return f"{said}bring them to 0 .. 255 first"


def _label_advice(labels: NDArray[Any], images: int) -> str:
    if labels.ndim == 2 and len(labels) == images and labels.dtype.kind in "biuf":
        return "; of one column a class (one-hot), store labels.argmax(axis=1)"
    if labels.dtype.kind == "f" and labels.size and (np.rint(labels) == labels).all():
        return "; store labels.astype(int)"
    if labels.dtype.kind in "US":
        return "; of names, store numpy.unique(labels, return_inverse=True)[1]"
    return ""


def _augmentation(found: _File, sides: tuple[int, int]) -> Augmentation:
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
