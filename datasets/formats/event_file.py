"""Recordings of events in a user's own file, .npz or HDF5 (docs/streams.md describes the format)."""

import contextlib
import math
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue import search
from spikesim.datasets.formats.event_parsing import integers, read_npy, some_names
from spikesim.datasets.samples.event_set import Collector, Events, EventSet
from spikesim.datasets.samples.model import Augmentation, Dataset
from spikesim.errors import InputError
from spikesim.runtime.manual import manual
from spikesim.runtime.printable import one_line

if TYPE_CHECKING:
    from spikesim.io.hdf5_reader import Contents

SUFFIXES = (".npz", ".h5", ".hdf5")
EXPANSION = 64
"""Times the size of the file that one of its arrays may unpack to: events compress by far less."""
SMALL = 2**26
"""Bytes that an array may unpack to from any file."""
SIDE_MAX = 2**13
CLASSES_MAX = 10_000
RECORDINGS_MAX = 10**6
_FIELDS = ("x", "y", "t", "p")
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)

_T = TypeVar("_T")

_GROUP = "events"
"""Group of an HDF5 file in which arrays may lie."""

Array = NDArray[Any]


class Arrays(NamedTuple):
    """The arrays of a file.

    Attributes
    ----------
    get : function
        An array by name; None if there is none.
    names : function
        What is in the file.
    """

    get: Callable[[str], Array | None]
    names: Callable[[], list[str]]


def is_event_file(name: str) -> bool:
    """Whether the name of a data set is that of a file of recordings."""
    return name.endswith(SUFFIXES)


def load(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Read a file of recordings.

    Raises
    ------
    InputError
        It is not found, cannot be read, lacks an array, or an array has another shape or type, or values out of range.
    """
    path = search.require_own(name, data_dir)
    train, test, classes = _read(path, lambda arrays: _sets(arrays, path))
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=classes,
        class_names=tuple(map(str, range(classes))),
        mean=np.zeros(train.shape[2]),
        std=np.ones(train.shape[2]),
        augmentation=Augmentation(crop=0, flip=False),
        source=str(path),
        duration=_duration(train),
    )


def read_unlabelled(path: Path, sensor: tuple[int, int]) -> EventSet:
    """The recordings of a file, in their order, with labels that are all 0.

    Parameters
    ----------
    path : Path
        Labels and n_train are passed over and may be missing; without offsets it is one recording.
    sensor : (height, width)
        The shape that the file may give must be this.

    Raises
    ------
    InputError
        As for `load`, or the sensor is another.
    """
    return _read(path, lambda arrays: _unlabelled(arrays, path, sensor))


def _unlabelled(arrays: Arrays, path: Path, sensor: tuple[int, int]) -> EventSet:
    columns = _columns(arrays, path)
    events = len(columns.t)
    given = arrays.get("offsets")
    offsets = np.array([0, events]) if given is None else _numbers(given, path, "offsets")
    _require_offsets(offsets, events, path)
    if arrays.get("shape") is not None and (found := _sensor(arrays, columns, path)) != sensor:
        raise InputError(f"{path}: shape is {found}; the network takes recordings of {sensor}")
    collector = Collector(*sensor)
    for number in range(len(offsets) - 1):
        own = slice(offsets[number], offsets[number + 1])
        recording = Events(columns.x[own], columns.y[own], columns.t[own], columns.p[own])
        collector.add(recording, 0, f"{path}: recording {number}")
    return collector.finish()


def _require_offsets(offsets: NDArray[np.int64], events: int, path: Path) -> None:
    if offsets[0] != 0 or offsets[-1] != events or (np.diff(offsets) < 0).any():
        raise InputError(
            f"{path}: offsets must ascend from 0 to {events}, the number of events, one more than recordings"
        )
    if len(offsets) > RECORDINGS_MAX + 1:
        raise InputError(f"{path}: {len(offsets) - 1} recordings; a file has at most {RECORDINGS_MAX}")


def _duration(train: EventSet) -> float:
    """Milliseconds: the median of the recordings, or of those that last, if it would be 0."""
    durations = train.durations()
    median = float(np.median(durations))
    if median == 0 and durations.any():
        median = float(np.median(durations[durations > 0]))
    return max(0.001, (median + 1) / 1000)


def _sets(arrays: Arrays, path: Path) -> tuple[EventSet, EventSet, int]:
    """Training and test recordings and the number of classes."""
    columns = _columns(arrays, path)
    offsets, labels = (_numbers(_required(arrays, what, path), path, what) for what in ("offsets", "labels"))
    n_train = _numbers(np.atleast_1d(_required(arrays, "n_train", path)), path, "n_train")
    events, n = len(columns.t), len(labels)
    if n > RECORDINGS_MAX:
        raise InputError(f"{path}: {n} labels; a file has at most {RECORDINGS_MAX} recordings")
    if len(offsets) != n + 1 or offsets[0] != 0 or offsets[-1] != events or (np.diff(offsets) < 0).any():
        raise InputError(
            f"{path}: offsets must be {n + 1} numbers (one more than labels) that ascend from 0 to {events}, the "
            "number of events"
        )
    if n_train.shape != (1,) or not 1 <= n_train[0] < n:
        raise InputError(f"{path}: n_train is {n_train.tolist()}; it must be in 1 .. {n - 1}, recordings for training")
    if not 0 <= labels.min() <= labels.max() < CLASSES_MAX:
        raise InputError(
            f"{path}: labels reach from {labels.min()} to {labels.max()}; they must be in 0 .. {CLASSES_MAX - 1}"
        )
    height, width = _sensor(arrays, columns, path)
    sets = []
    for part in (range(n_train[0]), range(n_train[0], n)):
        collector = Collector(height, width)
        for i in part:
            own = slice(offsets[i], offsets[i + 1])
            recording = Events(columns.x[own], columns.y[own], columns.t[own], columns.p[own])
            collector.add(recording, int(labels[i]), f"{path}: recording {i}")
        sets.append(collector.finish())
    return sets[0], sets[1], max(2, int(labels.max()) + 1)


def _columns(arrays: Arrays, path: Path) -> Events:
    """The events: a structured array `events`, or an array a field."""
    together = arrays.get("events")
    if together is not None:
        names = together.dtype.names or ()
        if not set(_FIELDS) <= set(names):
            raise InputError(f"{path}: events have the fields {some_names(names)}; they must have x, y, t, p")
    found = []
    for what in _FIELDS:
        column = together[what] if together is not None else _required(arrays, what, path)
        if what == "t":
            _require_whole(column, path)
        found.append(_numbers(column, path, what))
    if len({len(column) for column in found}) > 1:
        raise InputError(
            f"{path}: x, y, t, p have {[len(column) for column in found]} elements; each must have one for each event"
        )
    times = found[2]
    if len(times) and max(abs(int(times.min())), abs(int(times.max()))) >= 2**60:
        raise InputError(f"{path}: t reaches from {times.min()} to {times.max()}; it must be microseconds below 2**60")
    return Events(*found)


def _require_whole(times: Array, path: Path) -> None:
    """Refuse fractions of a microsecond: they are those of a longer unit."""
    if times.dtype.kind != "f" or times.size == 0 or not np.isfinite(times).all():
        return
    fractions = times[times != np.rint(times)]
    if len(fractions):
        raise InputError(
            f"{path}: t has {fractions[0]}, and reaches from {times.min()} to {times.max()}; times must be whole "
            "microseconds: of seconds, store (t * 1e6).round(), of milliseconds (t * 1e3).round()"
        )


def _sensor(arrays: Arrays, events: Events, path: Path) -> tuple[int, int]:
    """Height and width, as given or as the events need."""
    given = arrays.get("shape")
    if given is None:
        sides = [int(column.max(initial=0)) + 1 for column in (events.y, events.x)]
        if max(sides) > SIDE_MAX:
            raise InputError(
                f"{path}: shape is {sides}, for y reaches {sides[0] - 1} and x {sides[1] - 1}; it must be (height, "
                f"width), each in 1 .. {SIDE_MAX}: drop events outside the sensor"
            )
    else:
        sides = [int(side) for side in _numbers(np.atleast_1d(given), path, "shape")]
    if len(sides) != 2 or not all(1 <= side <= SIDE_MAX for side in sides):
        raise InputError(f"{path}: shape is {sides}; it must be (height, width), each in 1 .. {SIDE_MAX}")
    return sides[0], sides[1]


def _required(arrays: Arrays, what: str, path: Path) -> Array:
    found = arrays.get(what)
    if found is None:
        raise InputError(
            f"{path}: has no array {what!r}, but {some_names(arrays.names())}; a file of recordings has x, y, t, p "
            f"(or events), offsets, labels and n_train ({manual('streams')}), an .npz file of images train_images, "
            f"train_labels, test_images and test_labels ({manual('own-data')})"
        )
    return found


def _numbers(array: Array, path: Path, what: str) -> NDArray[np.int64]:
    if array.ndim != 1 or array.size == 0:
        raise InputError(f"{path}: {what} has shape {array.shape}; it must have one dimension and an element")
    return integers(array, f"{path}: {what}")


def _read(path: Path, what: Callable[[Arrays], _T]) -> _T:
    """What a function makes of the arrays of a file."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    limit = max(SMALL, EXPANSION * size)
    if not path.name.endswith(".npz"):
        from spikesim.io.hdf5_reader import HDF5File

        with contextlib.closing(HDF5File(path, "give a .npz or an HDF5 file", "write it again")) as file:
            return file.read(
                lambda contents: what(
                    Arrays(lambda name: _stored(contents, name, path, limit), lambda: _stored_names(contents))
                )
            )
    try:
        archive = zipfile.ZipFile(path)
    except _ZIP_FAULTS as error:
        raise InputError(f"{path}: cannot be read, or damaged ({one_line(error)})") from None
    with archive:
        return what(
            Arrays(
                lambda name: _member(archive, name, path, limit),
                lambda: [name.removesuffix(".npy") for name in archive.namelist()],
            )
        )


def _member(archive: zipfile.ZipFile, name: str, path: Path, limit: int) -> Array | None:
    """An array of a .npz; its name is compared and never used as a path."""
    if f"{name}.npy" not in archive.namelist():
        return None
    try:
        with archive.open(f"{name}.npy") as stream:
            data = stream.read(limit + 1)
    except _ZIP_FAULTS as error:
        raise InputError(f"{path}: {name} is damaged ({one_line(error)})") from None
    if len(data) > limit:
        raise InputError(f"{path}: {name} unpacks to more than {limit} bytes; store the file with less compression")
    return read_npy(data, f"{path}: {name}")


def _stored(contents: "Contents", name: str, path: Path, limit: int) -> Array | None:
    """An array of an HDF5 file, all of it in this file: at its top, or in a group `events`."""
    grouped = contents.has(_GROUP) and contents.is_group(_GROUP)
    if name == _GROUP and grouped:
        return None
    if not contents.has(name):
        name = f"{_GROUP}/{name}"
        if not (grouped and contents.has(name)):
            return None
    stored = contents.dataset(name)
    kinds = [stored.dtype[field] for field in stored.dtype.names] if stored.dtype.names else [stored.dtype]
    if any(kind.kind not in "biuf" or kind.shape for kind in kinds):
        raise InputError(f"{path}: {name}: elements of type {stored.dtype}; they must be numbers")
    if math.prod(stored.shape or ()) * stored.dtype.itemsize > limit:
        raise InputError(f"{path}: {name} unpacks to more than {limit} bytes; store it with less compression")
    contents.require_stored(stored)
    return np.asarray(stored[()])


def _stored_names(contents: "Contents") -> list[str]:
    """What is at the top of an HDF5 file, and in the groups there."""
    names = []
    for name in contents.names(""):
        names += [f"{name}/{inside}" for inside in contents.names(name)] if contents.is_group(name) else [name]
    return names
