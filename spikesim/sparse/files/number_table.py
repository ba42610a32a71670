"""Tables of numbers as text, with a line of names: CSV, or with spaces, as SONATA has them."""

import csv
import itertools
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import shown

PIECE = 1 << 16
"""Lines that are read at a time."""


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """A regular text file.

    Raises
    ------
    InputError
        It is missing, is no regular file, or is no text.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would keep us waiting
            raise InputError(f"{path} is not a regular file")
        with open(path, encoding="utf-8-sig", newline="") as stream:
            yield stream
    except FileNotFoundError:
        raise InputError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text in UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_columns(
    path: str | os.PathLike[str],
    needed: tuple[str, ...],
    optional: tuple[str, ...] = (),
    *,
    whole: tuple[str, ...] = (),
) -> dict[str, NDArray[np.float64]]:
    """Columns of a CSV file, by the names in its first line; others are passed over.

    Parameters
    ----------
    needed, optional : tuple of str
        Names of columns.
    whole : tuple of str
        Those whose numbers must be whole.

    Returns
    -------
    dict of str to ndarray of float64
        The needed columns, and those of the optional ones that there are.

    Raises
    ------
    InputError
        The file cannot be read, lacks a column, or has something else than numbers.
    """
    path = Path(path)
    with opened_text(path) as stream:
        names = [name.strip() for name in next(csv.reader([stream.readline()]), [])]
        for name in needed:
            if names.count(name) != 1:
                raise InputError(
                    f"{path} has {'no' if name not in names else 'more than one'} column {name}; its first line must "
                    f"name the columns {', '.join(needed)}{' and may name ' if optional else ''}{', '.join(optional)}"
                )
        found = [name for name in (*needed, *optional) if name in names]
        places = [names.index(name) for name in found]
        pieces, line = [np.zeros((0, len(found)))], 2
        while lines := list(itertools.islice(stream, PIECE)):
            pieces.append(_numbers(lines, places, found, (path, line)))
            line += len(lines)
    table = np.concatenate(pieces)
    for place, name in enumerate(found):
        if name in whole:
            wrong = np.flatnonzero(table[:, place] != np.rint(table[:, place]))
            if len(wrong):
                raise InputError(
                    f"{path}: {name} is {table[wrong[0], place]:g} in row {wrong[0] + 1}; it must be whole"
                )
    return {name: table[:, place] for place, name in enumerate(found)}


def _numbers(lines: list[str], places: list[int], names: list[str], where: tuple[Path, int]) -> NDArray[np.float64]:
    """Some columns of some lines; where: the file, and the number of the first line."""
    path, first = where
    full = sum(not text.isspace() for text in lines)
    if not full:
        return np.zeros((0, len(places)))
    try:
        table = np.loadtxt(lines, delimiter=",", usecols=places, ndmin=2, comments=None, quotechar='"')
    except ValueError:
        table = None
    if table is not None and len(table) == full and np.isfinite(table).all():
        return table
    for at, row in enumerate(csv.reader(lines)):
        for place, name in zip(places, names, strict=True):
            value = row[place].strip() if place < len(row) else None
            if row and not _is_number(value):
                raise InputError(f"{path}, line {first + at}: {name} is {shown(value)}; it must be a finite number")
    raise InputError(f"{path}: line {first} and those after it are not lines of numbers with commas between them")


def _is_number(value: str | None) -> bool:
    try:
        return value is not None and bool(np.isfinite(float(value)))
    except ValueError:
        return False


def read_types(path: str | os.PathLike[str], key: str) -> dict[int, dict[str, str]]:
    """A table of types of SONATA: names and values with spaces between them, by the number in the column `key`.

    Raises
    ------
    InputError
        The file cannot be read, or lacks that column.
    """
    path = Path(path)
    with opened_text(path) as stream:
        rows = [row for row in csv.reader(stream, delimiter=" ", skipinitialspace=True) if any(row)]
    names = [name for name in rows[0] if name] if rows else []
    if key not in names:
        raise InputError(
            f"{path} has no column {key}: it is not a table of types of SONATA, with spaces between columns"
        )
    found: dict[int, dict[str, str]] = {}
    for row in rows[1:]:
        values = dict(zip(names, row, strict=False))
        number: Any = values.get(key, "")
        if not number.strip().lstrip("-").isdigit():
            raise InputError(f"{path}: {key} is {shown(number)}; it must be whole")
        found[int(number)] = values
    return found
