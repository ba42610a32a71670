"""Published sets that are folders of files, one a sample: where these lie below a data folder.

N-MNIST: ``Train/<label>/<number>.bin`` and ``Test/...``. DVS128 Gesture, as Tonic distributes it:
``ibmGestureTrain/user<number>_<light>/<label>.npy`` and ``ibmGestureTest/...``. IMDB:
``train/neg/<number>_<stars>.txt``, ``train/pos/...`` and ``test/...``. There are no sums of single files, so any number
of them is a set: a part of one can be used, and a check says how many there are.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from spikesim.datasets.catalogue import search
from spikesim.datasets.catalogue.registry import Entry
from spikesim.errors import InputError

__all__ = ["LAYOUTS", "Layout", "SampleFile", "find", "find_below", "read_bytes", "require", "sample_files"]

BYTES_MAX = 2**28
"""Bytes of the largest file that is taken for a sample."""


class Layout(NamedTuple):
    """Where the files of a form lie.

    Attributes
    ----------
    parts : (str, str)
        Folders of the training and the test samples.
    folder, file : regular expressions
        Names of the folders in these, and of the files in those; groups named label and number say what they say. A
        label that is no number is the name of a class.
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
    "imdb": Layout(
        ("train", "test"), re.compile(r"(?P<label>neg|pos)"), re.compile(r"(?P<number>[0-9]{1,9})_[0-9]{1,2}\.txt")
    ),
}
_LABELS = {"neg": 0, "pos": 1}


class SampleFile(NamedTuple):
    """A file of a set."""

    number: int
    folder: str
    label: int
    path: Path


def find(entry: Entry, data_dir: str | Path | None = None) -> Path | None:
    """The first folder that holds samples of both parts of a set; None: there is none.

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
        if all(next(_files(entry, folder / part), None) is not None for part in LAYOUTS[entry.form].parts):
            return folder
    return None


def require(entry: Entry, data_dir: str | Path | None) -> Path:
    """`find`.

    Raises
    ------
    InputError
        Also if there is none.
    """
    folder = find(entry, data_dir)
    if folder is None:
        searched = search.roots(entry, data_dir)
        places = ", ".join(map(str, searched)) or f"no data folder is given, nor ${search.DATA_VARIABLE}"
        raise InputError(
            f"{entry.name} is not found (looked for {' and '.join(LAYOUTS[entry.form].parts)} in: {places}); "
            f"{search.fetch_advice(entry, data_dir)}"
        )
    return folder


def sample_files(entry: Entry, part: Path) -> list[SampleFile]:
    """The files of a part, in the order of their numbers.

    Raises
    ------
    InputError
        One is of a class that the set does not have.
    """
    found = sorted(_files(entry, part))
    classes = len(entry.class_names)
    for file in found:
        if file.label >= classes:
            raise InputError(f"{file.path}: class {file.label}; {entry.name} has 0 .. {classes - 1}")
    return found


def read_bytes(entry: Entry, path: Path) -> bytes:
    """The content of one file.

    Raises
    ------
    InputError
        It cannot be read, or is longer than any of such a set.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > BYTES_MAX:
        raise InputError(f"{path}: more than {BYTES_MAX} bytes; no sample of {entry.name} is so large")
    return data


def _files(entry: Entry, part: Path) -> Iterator[SampleFile]:
    """The files of a part, in no order that matters."""
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
                label = _LABELS.get(said["label"])
                number = int(said["label"]) if label is None else label
                yield SampleFile(int(said["number"]), folder, number, part / folder / name)
