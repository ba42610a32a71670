"""Series of one's own in an .npz file, and how such a file is told from one of images."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from spikesim.datasets.formats.image_arrays import FORM as IMAGES
from spikesim.datasets.formats.labelled_arrays import ArrayFile, ArrayForm, labels_of, names_of, read_file, role_of
from spikesim.datasets.formats.sequences.series_parts import dataset_of_series, joined, packed
from spikesim.datasets.samples.model import Dataset
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.errors import InputError

SERIES = ArrayForm(
    kind="series",
    words={"series": ("series", "x", "data"), "labels": ("labels", "y", "targets"), "lengths": ("lengths",)},
    required=("train_series", "train_labels", "test_series", "test_labels"),
    options=("train_lengths", "test_lengths"),
    objects="of a list of series, store one array (n, frames, channels), padded with zeros, and the lengths as "
    "train_lengths and test_lengths",
)
CLASSES_MAX = 2**16
_ONLY_SERIES = {f"{part}_{what}" for part in ("train", "test") for what in ("series", "lengths")}
_DIMENSIONS = 3


def form_of(path: Path) -> ArrayForm | None:
    """Whether an .npz file holds images or series; None: neither.

    It holds series if it has lengths, or arrays that are called series, or if the arrays of training and test samples
    are called x or data and are floats of three dimensions; else images, if it has any array of images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.removesuffix(".npy"): member for member in archive.namelist()}
            if any(_plain(name) in _ONLY_SERIES for name in members):
                return SERIES
            samples = [name for name in members if role_of(name, IMAGES) in ("train_images", "test_images")]
            if samples and all(_is_series(archive, name, members[name]) for name in samples):
                return SERIES
            return IMAGES if any(role_of(name, IMAGES) in IMAGES.required for name in members) else None
    except Exception:  # no archive: whoever reads it says so
        return None


def form_of_arrays(arrays: Mapping[str, Any]) -> ArrayForm:
    """The same for arrays in memory; images where they are neither."""
    if any(_plain(name) in _ONLY_SERIES for name in arrays):
        return SERIES
    samples = [name for name in arrays if role_of(name, IMAGES) in ("train_images", "test_images")]
    floats = [_fits(name, np.asarray(arrays[name]).dtype, np.ndim(arrays[name])) for name in samples]
    return SERIES if floats and all(floats) else IMAGES


def _plain(name: str) -> str:
    """The role of an array whose name says more than that it holds samples."""
    return "" if "x" in name.lower().split("_") or "data" in name.lower().split("_") else role_of(name, SERIES)


def _is_series(archive: zipfile.ZipFile, name: str, member: str) -> bool:
    try:
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = read(stream)
    except Exception:  # damaged: whoever reads it says so
        return False
    return _fits(name, dtype, len(shape))


def _fits(name: str, dtype: np.dtype[Any], dimensions: int) -> bool:
    return "images" not in name.lower() and dtype.kind == "f" and dimensions == _DIMENSIONS


def load(path: Path) -> Dataset:
    """Read a file of series; its name has no hash yet.

    Parameters
    ----------
    path : Path
        A file of `numpy.savez` with ``train_series``, ``test_series`` (numbers, shape (n, frames, channels)) and
        ``train_labels``, ``test_labels`` (integers from 0, shape (n,)), and ``train_lengths``, ``test_lengths``
        (integers, shape (n,)) where series are shorter than the array: what lies behind their ends is passed over.

    Raises
    ------
    InputError
        It cannot be read, an array is missing or of another form, a value within a series is NaN or infinite, or a
        label of the test part has no training series.
    """
    return _dataset(read_file(path, SERIES), str(path))


def of_arrays(arrays: Mapping[str, Any]) -> Dataset:
    """The data set that a file with these arrays would be, under the name of one called arrays.npz.

    Raises
    ------
    InputError
        As for `load`.
    """
    path = Path("arrays.npz")
    names = names_of(arrays, path, SERIES)
    found = ArrayFile(path, {role: np.asarray(arrays[name]) for role, name in names.items()}, names)
    return _dataset(found, "memory")


def _dataset(found: ArrayFile, source: str) -> Dataset:
    train, test = (_part(found, part) for part in ("train", "test"))
    classes = int(train.labels.max()) + 1
    if classes < 2 or int(train.labels.min()) < 0 or classes > CLASSES_MAX:
        raise InputError(
            f"{found.called('train_labels')} reach from {train.labels.min()} to {train.labels.max()}; "
            f"they must begin at 0 and end at 1 .. {CLASSES_MAX - 1}"
        )
    unknown = np.setdiff1d(test.labels, train.labels)
    if len(unknown):
        raise InputError(
            f"{found.called('test_labels')} have class {unknown[0]}, of which there is no training series; give some, "
            "or leave the class out of the test part"
        )
    return dataset_of_series(found.path.name, train, test, tuple(map(str, range(classes))), source)


def _part(found: ArrayFile, part: str) -> SeriesSet:
    role = f"{part}_series"
    series, name = found.arrays[role], found.called(role)
    lengths = found.arrays.get(f"{part}_lengths")
    values = packed(series, lengths, name, found.names.get(f"{part}_lengths", "lengths"))
    return joined(values, labels_of(found, part, len(series), "a series"))
