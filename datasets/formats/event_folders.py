"""Published sets of recordings, in the folders that their archives unpack to.

N-MNIST: ``Train/<label>/<number>.bin`` and ``Test/...``. DVS128 Gesture, as Tonic distributes it:
``ibmGestureTrain/user<number>_<light>/<label>.npy`` and ``ibmGestureTest/...``. There are no sums of single files, so
any number of recordings is a set: a part of one can be used, and `check` says how many there are.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikesim.datasets.catalogue import search
from spikesim.datasets.catalogue.registry import Entry
from spikesim.datasets.formats.event_parsing import read_gesture, read_nmnist
from spikesim.datasets.inspection.summary import Summary, part_of_recordings
from spikesim.datasets.samples.event_set import Collector
from spikesim.datasets.samples.model import Dataset
from spikesim.errors import InputError

BYTES_MAX = 2**28
"""Bytes of the largest file that is taken for a recording."""
_READERS = {"nmnist": read_nmnist, "gesture": read_gesture}
_TIME_UNITS = {"nmnist": "microseconds", "gesture": "milliseconds"}


class Layout(NamedTuple):
    """Where the recordings of a form lie.

    Attributes
    ----------
    parts : (str, str)
        Folders of the training and the test recordings.
    folder, file : regular expressions
        Names of the folders in these, and of the files in those; groups named label and number say what they say.
    """

    parts: tuple[str, str]
    folder: "re.Pattern[str]"
    file: "re.Pattern[str]"


LAYOUTS = {
    "nmnist": Layout(("Train", "Test"), re.compile(r"(?P<label>[0-9])"), re.compile(r"(?P<number>[0-9]{1,9})\.bin")),
    "gesture": Layout(
        ("ibmGestureTrain", "ibmGestureTest"),
        re.compile(r"user(?P<number>[0-9]{1,4})_[A-Za-z0-9_]{1,40}"),
        re.compile(r"(?P<label>[0-9]{1,2})\.npy"),
    ),
}


class Recording(NamedTuple):
    """A file of a set."""

    number: int
    folder: str
    label: int
    path: Path


def find(entry: Entry, data_dir: str | Path | None = None) -> Path | None:
    """The first folder that holds recordings of both parts of a set; None: there is none.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder.
    """
    found = (find_below(entry, root) for root in search.roots(entry, data_dir))
    return next((folder for folder in found if folder is not None), None)


def find_below(entry: Entry, root: Path) -> Path | None:
    """`find` in one data folder: in the usual sub-folders, then in itself."""
    for folder in (*(root / name for name in entry.folders), root):
        if all(next(_recordings(entry, folder / part), None) is not None for part in LAYOUTS[entry.form].parts):
            return folder
    return None


def load(entry: Entry, data_dir: str | Path | None = None) -> Dataset:
    """Read a set. Recordings are in the order of their numbers: N-MNIST's is that of MNIST.

    Raises
    ------
    InputError
        It is not found, or a recording cannot be read.
    """
    folder = _folder(entry, data_dir)
    train, test = (
        _collect(entry, folder / part, Collector(*entry.shape[:2])).finish() for part in LAYOUTS[entry.form].parts
    )
    return Dataset(
        name=entry.name,
        train=train,
        test=test,
        classes=len(entry.class_names),
        class_names=entry.class_names,
        mean=np.array(entry.mean),
        std=np.array(entry.std),
        augmentation=entry.augmentation,
        source=str(folder),
        duration=entry.duration,
        time_unit=_TIME_UNITS[entry.form],
    )


def check(entry: Entry, data_dir: str | Path | None = None) -> tuple[str, Summary]:
    """Read every recording of a set, one at a time; where it was found and how many there are, and what they hold.

    Raises
    ------
    InputError
        As for `load`.
    """
    folder = _folder(entry, data_dir)
    train, test = (
        part_of_recordings(
            name, _collect(entry, folder / place, Collector(*entry.shape[:2], keep=False)).tally(),
            len(entry.class_names),
        )
        for name, place in zip(("training", "test"), LAYOUTS[entry.form].parts, strict=True)
    )  # fmt: skip
    summary = Summary(entry.shape, train, test, followed=entry.duration, time_unit=_TIME_UNITS[entry.form])
    found = f"{folder}: {train.samples} of {entry.n_train} and {test.samples} of {entry.n_test} recordings"
    return found, summary


def _folder(entry: Entry, data_dir: str | Path | None) -> Path:
    folder = find(entry, data_dir)
    if folder is None:
        searched = search.roots(entry, data_dir)
        places = ", ".join(map(str, searched)) or f"no data folder is given, nor ${search.DATA_VARIABLE}"
        raise InputError(
            f"{entry.name} is not found (looked for {' and '.join(LAYOUTS[entry.form].parts)} in: {places}); "
            f"{search.fetch_advice(entry, data_dir)}"
        )
    return folder


def _recordings(entry: Entry, part: Path) -> Iterator[Recording]:
    """The recordings of a part, in no order."""
    layout = LAYOUTS[entry.form]
    try:
        folders = sorted(os.listdir(part))
    except OSError:
        return
    for folder in folders:
        inside = layout.folder.fullmatch(folder)
        if inside is None or not (part / folder).is_dir():
            continue
        for name in sorted(os.listdir(part / folder)):
            file = layout.file.fullmatch(name)
            if file is not None:
                said = {**inside.groupdict(), **file.groupdict()}
                yield Recording(int(said["number"]), folder, int(said["label"]), part / folder / name)


def _collect(entry: Entry, part: Path, collector: Collector) -> Collector:
    for recording in sorted(_recordings(entry, part)):
        _add(entry, collector, recording)
    return collector


def _add(entry: Entry, collector: Collector, recording: Recording) -> None:
    path = recording.path
    if recording.label >= len(entry.class_names):
        raise InputError(f"{path}: class {recording.label}; {entry.name} has 0 .. {len(entry.class_names) - 1}")
    try:
        with open(path, "rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > BYTES_MAX:
        raise InputError(f"{path}: more than {BYTES_MAX} bytes; no recording of {entry.name} is so large")
    collector.add(_READERS[entry.form](data, str(path)), recording.label, str(path))
