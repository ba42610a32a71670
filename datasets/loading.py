"""Data sets from files, checked, to arrays."""

from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue import registry, search
from spikesim.datasets.catalogue.registry import Entry, File
from spikesim.datasets.catalogue.search import Location
from spikesim.datasets.catalogue.unpacking import read_file
from spikesim.datasets.formats import event_file as eventfile
from spikesim.datasets.formats import event_folders as recordings
from spikesim.datasets.formats import image_arrays as arrays
from spikesim.datasets.formats.binary_images import read_cifar, read_idx
from spikesim.datasets.inspection.summary import Summary, summarise
from spikesim.datasets.samples.identity import identified, split_name
from spikesim.datasets.samples.model import Dataset, ImageSet
from spikesim.errors import InputError

EMBEDDED = "embedded"
"""The `Dataset.source` of the set that comes with the program."""


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Find, check and read a data set.

    A name that ends in .npz, .h5 or .hdf5 is that of a file of one's own: images if it is an .npz file with the arrays
    of images (`spikesim.datasets.formats.image_arrays.load_file`), else recordings
    (`spikesim.datasets.formats.event_file`).

    It is looked for in `data_dir`, then in the folder that the environment variable SPIKESIM_DATA names, then where
    the operating system's package installs it (Fashion-MNIST on Debian): in the usual sub-folders and in the folder
    itself, files plain or .gz, CIFAR also as the .tar.gz. The sha256 of every file is checked after unpacking;
    recordings (N-MNIST, DVS128 Gesture) have none, and are looked for as the folders that their archives unpack to.

    Parameters
    ----------
    name : str
        One of `names()`, or a file of one's own.
    data_dir : path, optional

    Returns
    -------
    Dataset
        Its name is that of the published set. Of files of one's own and of recordings it is the name without a folder,
        #, and the hash of the content (`spikesim.datasets.samples.identity`); a name with a hash is that of this
        content only.

    Raises
    ------
    InputError
        There is no such data set; it is not found; a file is missing, truncated, or not the published one; or the
        content has another hash.
    """
    if arrays.holds_images(name, data_dir):
        return arrays.load_file(name, data_dir)
    plain, content = split_name(name)
    if eventfile.is_event_file(plain):
        return identified(eventfile.load(plain, data_dir), content)
    entry = _entry(name)
    if entry.embedded:
        return _dataset(entry, _embedded(entry), EMBEDDED)
    if entry.recordings:
        return identified(recordings.load(entry, data_dir), content)
    location = search.locate(entry, data_dir)
    try:
        return _dataset(entry, location.contents(), location.source)
    except InputError as error:
        raise _with_advice(error, entry, data_dir) from None


def find(name: str, data_dir: str | Path | None = None) -> str | None:
    """Where `load` would read a data set, or None if it is not found. Contents are not checked.

    Raises
    ------
    InputError
        There is no such data set, `data_dir` is no folder, or a file of one's own is no regular file.
    """
    plain = split_name(name)[0]
    if arrays.is_file(name) or eventfile.is_event_file(plain):
        path = arrays.locate(name, data_dir) if arrays.is_file(name) else search.find_own(plain, data_dir)
        return None if path is None else str(path)
    entry = _entry(name)
    if entry.embedded:
        return EMBEDDED
    if entry.recordings:
        folder = recordings.find(entry, data_dir)
        return None if folder is None else str(folder)
    search.roots(entry, data_dir)
    try:
        return search.locate(entry, data_dir).source
    except InputError:
        return None


def check(name: str, data_dir: str | Path | None = None) -> str:
    """Check every file of a data set against the published sha256; of recordings and of one's own files, that they
    can be read.

    Returns
    -------
    str
        Where the data set was found, and how many recordings there are.

    Raises
    ------
    InputError
        As for `load`.
    """
    return inspect(name, data_dir)[0]


def inspect(name: str, data_dir: str | Path | None = None) -> tuple[str, Summary]:
    """`check`, and what the data set holds. Of recordings in folders, one is in memory at a time.

    Raises
    ------
    InputError
        As for `load`.
    """
    if not (arrays.is_file(name) or eventfile.is_event_file(name)):
        entry = registry.find(name)
        if entry.recordings:
            return recordings.check(entry, data_dir)
    dataset = load(name, data_dir)
    return dataset.source, summarise(dataset)


def is_good(location: Location) -> bool:
    """Whether all files of a data set are in a folder and have the published sha256."""
    if not location.complete:
        return False
    try:
        _exhaust(location.contents())
    except InputError:
        return False
    return True


def _entry(name: str) -> Entry:
    """What is known of a published set; only recordings have a hash in their name."""
    plain = split_name(name)[0]
    return registry.find(plain if plain in registry.names() and registry.find(plain).recordings else name)


def _exhaust(contents: Iterable[tuple[File, bytes]]) -> None:
    for _ in contents:
        pass


def _with_advice(error: InputError, entry: Entry, data_dir: str | Path | None) -> InputError:
    return InputError(f"{error}; {search.fetch_advice(entry, data_dir)}")


def _embedded(entry: Entry) -> Iterable[tuple[File, bytes]]:
    for file in entry.files:
        resource = resources.files("spikesim.datasets") / "data" / entry.name / f"{file.name}.gz"
        with resources.as_file(resource) as path:
            yield file, read_file(path, file)


def _dataset(entry: Entry, contents: Iterable[tuple[File, bytes]], source: str) -> Dataset:
    train, test = _idx_sets(entry, contents) if entry.form == "idx" else _cifar_sets(entry, contents)
    return Dataset(
        name=entry.name,
        train=train,
        test=test,
        classes=len(entry.class_names),
        class_names=entry.class_names,
        mean=_constants(entry.mean),
        std=_constants(entry.std),
        augmentation=entry.augmentation,
        source=source,
    )


def _constants(values: tuple[float, ...]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


def _idx_sets(entry: Entry, contents: Iterable[tuple[File, bytes]]) -> tuple[ImageSet, ImageSet]:
    parsed = {file: read_idx(data, file.name) for file, data in contents}

    def image_set(files: tuple[File, ...]) -> ImageSet:
        images, labels = (parsed[file] for file in files)
        # The format leaves out the axis of a single channel.
        return ImageSet(images[..., np.newaxis], labels.astype(np.int64))

    return image_set(entry.train), image_set(entry.test)


def _cifar_sets(entry: Entry, contents: Iterable[tuple[File, bytes]]) -> tuple[ImageSet, ImageSet]:
    # Keyed by file, because an archive has its own order.
    records = {file: read_cifar(data, entry.shape, entry.label_bytes, file.name) for file, data in contents}

    def image_set(files: tuple[File, ...]) -> ImageSet:
        return ImageSet(
            np.concatenate([records[file][0] for file in files]), np.concatenate([records[file][1] for file in files])
        )

    return image_set(entry.train), image_set(entry.test)
