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
from spikesim.datasets.formats import folder_layouts as layouts
from spikesim.datasets.formats import image_arrays as arrays
from spikesim.datasets.formats.binary_images import read_cifar, read_idx
from spikesim.datasets.formats.sequences import series_arrays, text_folders, text_table, ts_file
from spikesim.datasets.formats.sequences.text_lines import FOLDS
from spikesim.datasets.inspection.summary import Summary, summarise
from spikesim.datasets.samples.identity import identified, split_fold, split_name
from spikesim.datasets.samples.model import Dataset, ImageSet
from spikesim.errors import InputError

EMBEDDED = "embedded"
"""The `Dataset.source` of the sets that come with the program."""


def load(name: str, data_dir: str | Path | None = None, *, fold: int | None = None) -> Dataset:
    """Find, check and read a data set.

    A name that ends in .npz, .h5, .hdf5, .ts, .tsv or .csv is that of a file of your own: an .npz file holds series or
    images by the rule of `spikesim.datasets.formats.sequences.series_arrays.form_of`, and else recordings, as HDF5 does
    (`spikesim.datasets.formats.event_file`); .ts series (`spikesim.datasets.formats.sequences.ts_file`), .tsv and .csv
    texts (`spikesim.datasets.formats.sequences.text_table`).

    It is looked for in `data_dir`, then in the folder that the environment variable SPIKESIM_DATA names, then where
    the operating system's package installs it (Fashion-MNIST on Debian): in the usual sub-folders and in the folder
    itself, files plain or .gz, CIFAR also as the .tar.gz. The sha256 of every file is checked after unpacking;
    recordings (N-MNIST, DVS128 Gesture) and IMDB have none, and are looked for as the folders that their archives
    unpack to.

    Parameters
    ----------
    name : str
        One of `names()`, or a file of your own. ``#fold3`` behind it chooses the tenth of a set of texts that is its
        test part, where the set is one file (``reviews``, a table).
    data_dir : path, optional
    fold : int, optional
        The same in another way, 0 .. 9; 0 unless it is in the name.

    Returns
    -------
    Dataset
        Its name is that of the published set. Of files of your own and of folders of files it is the name without a
        folder, #, and the hash of the content (`spikesim.datasets.samples.identity`); a name with a hash is that of
        this content only. Where a fold is the test part, ``#fold`` and its number are in the name.

    Raises
    ------
    InputError
        There is no such data set; it is not found; a file is missing, truncated, or not the published one; the content
        has another hash; or it has no such fold.
    """
    plain, content = split_name(name)
    file, named = split_fold(name)
    fold = _one_fold(name, named, fold)
    own = _own_kind(file, data_dir)
    if own != "table" and fold is not None and not (own is None and registry.find(file).form == "reviews"):
        raise InputError(f"{name}: has no folds; #fold and fold= are for reviews and for tables of texts")
    if own == "images":
        return arrays.load_file(name, data_dir)
    if own is not None:
        path = search.require_own(file, data_dir)
        if own == "events":
            return identified(eventfile.load(plain, data_dir), content)
        if own == "table":
            return identified(text_table.load(path, fold), content)
        return identified((ts_file if own == "ts" else series_arrays).load(path), content)
    entry = _entry(name)
    if entry.embedded:
        return _dataset(entry, _embedded(entry), EMBEDDED, fold)
    if entry.recordings:
        return identified(recordings.load(entry, data_dir), content)
    if entry.folders_of_files:
        return identified(text_folders.load(entry, data_dir), content)
    location = search.locate(entry, data_dir)
    try:
        return _dataset(entry, location.contents(), location.source, fold)
    except InputError as error:
        raise _with_advice(error, entry, data_dir) from None


def is_own(name: str) -> bool:
    """Whether the name of a data set is that of a file of your own."""
    file = split_fold(name)[0]
    return arrays.is_file(file) or eventfile.is_event_file(file) or text_table.is_table(file) or file.endswith(".ts")


def require_known(name: str) -> None:
    """Refuse a name that is neither that of a published set nor of a file of your own.

    Raises
    ------
    InputError
    """
    if not is_own(name):
        _entry(name)


def find(name: str, data_dir: str | Path | None = None) -> str | None:
    """Where `load` would read a data set, or None if it is not found. Contents are not checked.

    Raises
    ------
    InputError
        There is no such data set, `data_dir` is no folder, or a file of your own is no regular file.
    """
    if is_own(name):
        path = search.find_own(split_fold(name)[0], data_dir)
        return None if path is None else str(path)
    entry = _entry(name)
    if entry.embedded:
        return EMBEDDED
    if entry.folders_of_files:
        folder = layouts.find(entry, data_dir)
        return None if folder is None else str(folder)
    search.roots(entry, data_dir)
    try:
        return search.locate(entry, data_dir).source
    except InputError:
        return None


def check(name: str, data_dir: str | Path | None = None) -> str:
    """Check every file of a data set against the published sha256; of recordings and of your own files, that they
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
    entry = None if is_own(name) else _entry(name)
    if entry is not None and entry.recordings:
        return recordings.check(entry, data_dir)
    dataset = load(name, data_dir)
    source = dataset.source
    if entry is not None and entry.folders_of_files:
        parts = f"{len(dataset.train)} of {entry.n_train} and {len(dataset.test)} of {entry.n_test}"
        source = f"{source}: {parts} texts"
    return source, summarise(dataset)


def is_good(location: Location) -> bool:
    """Whether all files of a data set are in a folder and have the published sha256."""
    if not location.complete:
        return False
    try:
        _exhaust(location.contents())
    except InputError:
        return False
    return True


def _one_fold(name: str, named: int | None, given: int | None) -> int | None:
    """The fold in a name and the one that is given beside it are one."""
    if given is not None and not 0 <= given < FOLDS:
        raise InputError(f"fold is {given}; it must be in 0 .. {FOLDS - 1}")
    if given is not None and named not in (None, given):
        raise InputError(f"fold is {given}, but {name} names fold {named}; leave one of them out")
    return named if given is None else given


def _own_kind(file: str, data_dir: str | Path | None) -> str | None:
    """What reads a file of your own: "images", "series", "events", "ts" or "table"; None: it is a published set."""
    if text_table.is_table(file):
        return "table"
    if file.endswith(".ts"):
        return "ts"
    if not is_own(file):
        return None
    path = search.find_own(file, data_dir) if arrays.is_file(file) else None
    form = None if path is None else series_arrays.form_of(path)
    return "events" if form is None else form.kind


def _entry(name: str) -> Entry:
    """What is known of a published set; only folders of files have a hash in their name, only `reviews` a fold."""
    plain, content = split_name(name)
    file, fold = split_fold(plain)
    known = registry.find(file) if file in registry.names() else None
    allowed = known is not None and (
        (content is None or known.folders_of_files) and (fold is None or known.form == "reviews")
    )
    return registry.find(file if allowed else name)


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


def _dataset(entry: Entry, contents: Iterable[tuple[File, bytes]], source: str, fold: int | None) -> Dataset:
    if entry.form == "ts":
        parsed = {file: ts_file.parse(data, file.name) for file, data in contents}
        return ts_file.dataset_of(entry.name, parsed[entry.train[0]], parsed[entry.test[0]], source)
    if entry.form == "reviews":
        ((_, data),) = contents
        return text_table.reviews(entry, data, source, fold)
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
