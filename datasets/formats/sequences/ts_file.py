"""Series in the .ts format of the UCR/UEA archive of time series classification.

Header lines begin with @, comments with #; behind ``@data``, a line is a series: its dimensions with a colon between
them, each of them values with commas between them, and the label behind the last colon.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue.unpacking import read_bounded
from spikesim.datasets.formats.sequences.classes import Labelled, numbered
from spikesim.datasets.formats.sequences.series_parts import dataset_of_series, joined
from spikesim.datasets.formats.sequences.text_lines import companion_of, decoded
from spikesim.datasets.samples.model import Dataset
from spikesim.errors import InputError

__all__ = ["TsFile", "dataset_of", "load", "parse"]

BYTES_MAX = 2**33
"""Bytes of the largest file that is read."""
MISSING = "?"
_HEADER = re.compile(r"@(\w+)(?:\s+(.*))?")
_TRUE, _FALSE = "true", "false"


class TsFile(NamedTuple):
    """A file that was read.

    Attributes
    ----------
    name : str
        What messages call it.
    series : list of float32 (frames, channels)
    labels : list of str or None
        None where the file has none.
    classes : tuple of str
        The labels that its header announces; none where it does not.
    lines : list of int
        In which line each series is, from 1.
    """

    name: str
    series: list[NDArray[np.float32]]
    labels: list[str] | None
    classes: tuple[str, ...]
    lines: list[int]


def load(path: Path) -> Dataset:
    """Read a training file and the test file beside it; the name has no hash yet.

    Parameters
    ----------
    path : Path
        X_TRAIN.ts; X_TEST.ts lies beside it.

    Raises
    ------
    InputError
        A file is missing or cannot be read, has no labels, or as for `parse`.
    """
    other = companion_of(path)
    if other is None:
        raise InputError(
            f"{path}: the name of a training file must end in _TRAIN.ts, for the file beside it whose name ends in "
            "_TEST.ts is the test part"
        )
    train, test = (parse(read_bounded(place, BYTES_MAX), str(place)) for place in (path, other))
    return dataset_of(path.name, train, test, str(path))


def dataset_of(name: str, train: TsFile, test: TsFile, source: str) -> Dataset:
    """The data set of two files.

    Archives are sorted by class, and the first training samples are what biases are calibrated on: training series are
    taken in turn from the classes, the first of each, then the second.

    Raises
    ------
    InputError
        There are no labels, a class has no training series, or the files differ in their channels.
    """
    parts = []
    for part in (train, test):
        if part.labels is None:
            raise InputError(f"{part.name}: @classLabel is false; a data set needs labels")
        parts.append(Labelled(part.name, part.labels, part.lines))
    names, (train_labels, test_labels) = numbered(parts[0], parts[1], "series", train.classes)
    order = _in_turn(train_labels)
    return dataset_of_series(
        name,
        joined([train.series[i] for i in order], train_labels[order]),
        joined(test.series, test_labels),
        names,
        source,
    )


def _in_turn(labels: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of the ranks of samples within their classes, then of the classes."""
    rank = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        rank[own] = np.arange(len(own))
    return np.lexsort((labels, rank))


def parse(data: bytes, name: str) -> TsFile:
    """Read a file.

    Raises
    ------
    InputError
        It is no such file, has time stamps, missing or damaged values, or series with other numbers of dimensions, or
        whose dimensions have different lengths.
    """
    if len(data) >= BYTES_MAX:
        raise InputError(f"{name}: more than {BYTES_MAX - 1} bytes; give a part of it")
    lines = decoded(data, name).split("\n")
    header, first = _header(lines, name)
    classes = _classes(header, name)
    dimensions = _dimensions(header, name)
    series, labels, places = [], [], []
    for number, line in enumerate(lines[first:], first + 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{name}: line {number}"
        fields = line.split(":")
        if classes is not None:
            label = fields.pop().strip()
            if not label or (classes and label not in classes):
                raise InputError(
                    f"{where}: the label after the last colon is {label!r}; it must be one of @classLabel: "
                    f"{', '.join(classes) or 'not empty'}"
                )
            labels.append(label)
        dimensions = dimensions or len(fields)
        if len(fields) != dimensions:
            raise InputError(f"{where} has {len(fields)} dimensions; it must have {dimensions}, with a colon between")
        series.append(_series(fields, where))
        places.append(number)
    if not series:
        raise InputError(f"{name}: has no series after @data")
    if header.get("equallength") == _TRUE and len({len(own) for own in series}) > 1:
        raise InputError(f"{name}: @equalLength is true, but its series have different lengths; correct the header")
    return TsFile(name, series, None if classes is None else labels, classes or (), places)


def _header(lines: Sequence[str], name: str) -> tuple[dict[str, str], int]:
    """The keys in lower case with their values, and how many lines there are up to @data."""
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _HEADER.fullmatch(line)
        if match is None:
            raise InputError(
                f"{name}: line {number} begins with {line[:20]!r}; lines before @data must begin with @ or #, as in "
                "the .ts files of the UCR/UEA archive"
            )
        key, value = match[1].lower(), (match[2] or "").strip()
        if key == "data":
            return found, number
        found[key] = value if key == "classlabel" else value.lower()
    raise InputError(f"{name}: has no line @data, after which a .ts file has its series")


def _classes(header: dict[str, str], name: str) -> tuple[str, ...] | None:
    """The labels that are announced, none if they are not; None: series have no labels."""
    if header.get("timestamps", _FALSE) != _FALSE:
        raise InputError(
            f"{name}: @timeStamps is {header['timestamps']}; only series of equal steps are read: resample them, and "
            "write them without time stamps"
        )
    if "targetlabel" in header:
        raise InputError(f"{name}: has @targetLabel, as files for regression have; classes are needed, as @classLabel")
    given, *labels = header.get("classlabel", _FALSE).split() or [""]
    if given.lower() not in (_TRUE, _FALSE):
        raise InputError(f"{name}: @classLabel begins with {given!r}; it must be true and the labels, or false")
    return tuple(labels) if given.lower() == _TRUE else None


def _dimensions(header: dict[str, str], name: str) -> int | None:
    given = header.get("dimensions", header.get("dimension"))
    if given is None:
        return 1 if header.get("univariate") == _TRUE else None
    if not re.fullmatch(r"[1-9]\d{0,5}", given):
        raise InputError(f"{name}: @dimensions is {given!r}; it must be a number from 1 on")
    return int(given)


def _series(fields: Sequence[str], where: str) -> NDArray[np.float32]:
    columns = [field.split(",") for field in fields]
    for number, column in enumerate(columns, 1):
        if len(column) != len(columns[0]):
            raise InputError(
                f"{where}: dimension {number} has {len(column)} values and dimension 1 has {len(columns[0])}; all "
                "dimensions of a series must have one length"
            )
    try:
        with np.errstate(over="ignore"):
            found = np.array([[float(value) for value in column] for column in columns]).astype(np.float32)
    except ValueError:
        raise _bad_value(columns, where) from None
    if not np.isfinite(found).all():
        raise _bad_value(columns, where)
    return np.ascontiguousarray(found.T)


def _bad_value(columns: Sequence[Sequence[str]], where: str) -> InputError:
    """What to say of the first value that is no finite number."""
    for number, column in enumerate(columns, 1):
        for place, value in enumerate(column, 1):
            if not _is_fine(value):
                what = "is missing" if value.strip() in (MISSING, "") else "must be a finite float32"
                return InputError(
                    f"{where}: value {place} of dimension {number} is {value[:20]!r} and {what}; fill it in, or leave "
                    "the series out"
                )
    raise AssertionError("all values are finite")


def _is_fine(value: str) -> bool:
    try:
        return abs(float(value)) <= float(np.finfo(np.float32).max)
    except ValueError:
        return False
