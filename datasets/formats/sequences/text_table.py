"""Texts with labels in a table: a user's own .tsv or .csv, and the published sentences of film reviews."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikesim.datasets.catalogue.registry import Entry
from spikesim.datasets.formats.sequences.classes import Labelled, numbered
from spikesim.datasets.formats.sequences.text_lines import companion_of, decoded, fold_of, read_text
from spikesim.datasets.samples.model import Augmentation, Dataset
from spikesim.datasets.samples.text_set import TextSet
from spikesim.errors import InputError

__all__ = ["Row", "is_table", "load", "read_rows", "read_texts_of_table", "reviews", "text_dataset"]

SUFFIXES = (".tsv", ".csv")
LABEL_NAMES = ("label", "class", "target", "sentiment")
TEXT_NAMES = ("text", "sentence", "review")
"""What the columns are called in a header, in any case."""


def is_table(name: str) -> bool:
    """Whether the name of a file is that of a table; it may be packed as .gz."""
    return name.removesuffix(".gz").endswith(SUFFIXES)


class Row(NamedTuple):
    """A labelled text, and its line in the file, from 1."""

    label: str
    text: str
    line: int


def load(path: Path, fold: int | None) -> Dataset:
    """Read a table, and the one with its test part if there is one; the name has no hash yet.

    Parameters
    ----------
    path : Path
        A file whose name ends in train in front of the suffix (train.tsv, films_train.csv) has its test part beside it
        (test.tsv, films_test.csv). Of another one, a tenth is the test part.
    fold : int or None
        Which tenth (`fold_of`); by default 0.

    Raises
    ------
    InputError
        A file cannot be read, a line is none of a table, a class has no training text, or there is a test file and a
        fold.
    """
    other = companion_of(path)
    if other is None:
        number = fold or 0
        return _with_folds(f"{path.name}#fold{number}", str(path), read_rows(path), number)
    if fold is not None:
        raise InputError(f"{path}: its test part is {other.name}; #fold{fold} is for files without one, leave it out")
    train, test = read_rows(path), read_rows(other)
    return _dataset(path.name, str(path), (str(path), train), (str(other), test))


def read_rows(path: Path) -> list[Row]:
    """The rows of a table with labels.

    The first line is a header if it names both columns: one of `LABEL_NAMES` and one of `TEXT_NAMES`, in any case;
    other columns are passed over then. Without a header there are two columns, the label and the text. Empty lines are
    passed over.

    Raises
    ------
    InputError
        The file cannot be read, is no UTF-8, or a line has other columns, no label or no text.
    """
    rows = _fields(path)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: is empty; give a label and a text per line")
    label, text = _place(first[1], LABEL_NAMES), _place(first[1], TEXT_NAMES)
    if label is None or text is None:
        places, columns, rows = (0, 1), 2, _again(first, rows)
    else:
        places, columns = (label, text), len(first[1])
    return [_row(path, line, fields, columns, places) for line, fields in rows]


def read_texts_of_table(path: Path) -> list[str]:
    """The texts of a table, with or without labels: of the column that a header names, else of the last one.

    Raises
    ------
    InputError
        The file cannot be read, is no UTF-8, or a line has no text or too few columns.
    """
    rows = _fields(path)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: is empty; give a text per line")
    place = _place(first[1], TEXT_NAMES)
    if place is None:
        place, rows = len(first[1]) - 1, _again(first, rows)
    texts = []
    for line, fields in rows:
        text = fields[place].strip() if place < len(fields) else ""
        if not text:
            raise InputError(f"{path}: line {line} has an empty text; leave the line out")
        texts.append(text)
    return texts


def _place(header: Sequence[str], known: Sequence[str]) -> int | None:
    """Which column of a header has one of the known names."""
    names = [name.strip().casefold() for name in header]
    return next((names.index(name) for name in known if name in names), None)


def _again(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _row(path: Path, line: int, fields: Sequence[str], columns: int, places: tuple[int, int]) -> Row:
    if len(fields) != columns:
        kind = "a comma" if _is_csv(path) else "a tab"
        raise InputError(
            f"{path}: line {line} has {_counted(len(fields))}, not {columns}; give the label, {kind} and the text, or "
            f"name the columns in the first line ({', '.join(LABEL_NAMES)}; {', '.join(TEXT_NAMES)})"
        )
    label, text = fields[places[0]].strip(), fields[places[1]].strip()
    if not label:
        raise InputError(f"{path}: line {line} has no label; give one, or leave the line out")
    if not text:
        raise InputError(f"{path}: line {line} has an empty text; leave the line out")
    return Row(label, text, line)


def _is_csv(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith(".csv")


def _counted(columns: int) -> str:
    return f"{columns} column{'s' * (columns != 1)}"


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table with their numbers, empty ones left out.

    In a .tsv file a quotation mark is a character like others, in a .csv file it stands around fields as in RFC 4180.
    """
    text = read_text(path)
    if _is_csv(path):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        begun = 1
        try:
            for fields in reader:
                if any(field.strip() for field in fields):
                    yield begun, fields
                begun = reader.line_num + 1
        except csv.Error as error:
            raise InputError(f"{path}: line {begun} is not a line of a .csv file ({error})") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.split("\t")


def reviews(entry: Entry, data: bytes, source: str, fold: int | None) -> Dataset:
    """Sentences of film reviews, negative or positive as the mean of their ratings is below or above 0.

    Parameters
    ----------
    data : bytes
        The published file: number, rating and sentence a line, with tabs between. Those rated 0 are left out.
    fold : int or None
        Which tenth is the test part (`fold_of`); by default 0.

    Raises
    ------
    InputError
        It is no such file.
    """
    negative, positive = entry.class_names
    rows = []
    name = entry.train[0].name
    for number, line in enumerate(decoded(data, name).split("\n"), 1):
        if not line:
            continue
        try:
            _, rated, text = line.split("\t")
            rating = float(rated)
        except ValueError:
            raise InputError(f"{name}: line {number} must have a number, a rating and a sentence") from None
        if rating != 0:
            rows.append(Row(positive if rating > 0 else negative, text, number))
    number = fold or 0
    return _with_folds(f"{entry.name}#fold{number}", source, rows, number, entry.class_names)


def _with_folds(name: str, source: str, rows: Sequence[Row], fold: int, class_names: tuple[str, ...] = ()) -> Dataset:
    held = [fold_of(row.text) == fold for row in rows]
    train, test = ([row for row, own in zip(rows, held, strict=True) if own == part] for part in (False, True))
    if not test:
        raise InputError(
            f"{source}: none of its {len(rows)} texts falls into fold {fold}, which is the test part; give "
            "another fold, more texts, or two files whose names end in train and test"
        )
    return _dataset(name, source, (source, train), (source, test), class_names)


def _dataset(
    name: str,
    source: str,
    train: tuple[str, Sequence[Row]],
    test: tuple[str, Sequence[Row]],
    class_names: tuple[str, ...] = (),
) -> Dataset:
    """Each part: what messages call its file, and its rows."""
    parts = [Labelled(where, [row.label for row in rows], [row.line for row in rows]) for where, rows in (train, test)]
    names, labels = numbered(parts[0], parts[1], "text", class_names)
    texts = [tuple(row.text for row in rows) for _, rows in (train, test)]
    return text_dataset(name, TextSet(texts[0], labels[0]), TextSet(texts[1], labels[1]), names, source)


def text_dataset(name: str, train: TextSet, test: TextSet, class_names: tuple[str, ...], source: str) -> Dataset:
    """A data set of texts."""
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=len(class_names),
        class_names=class_names,
        mean=np.zeros(1),
        std=np.ones(1),
        augmentation=Augmentation(crop=0, flip=False),
        source=source,
    )
