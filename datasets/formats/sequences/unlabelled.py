"""Series and texts without labels, for a network that is trained: values of a program's own, or a file of them."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue.unpacking import read_bounded
from spikesim.datasets.formats.event_parsing import read_npy, some_names
from spikesim.datasets.formats.labelled_arrays import BYTES_MAX
from spikesim.datasets.formats.sequences import ts_file
from spikesim.datasets.formats.sequences.series_parts import finite, joined, packed
from spikesim.datasets.formats.sequences.text_lines import read_text
from spikesim.datasets.formats.sequences.text_table import is_table, read_texts_of_table
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.errors import InputError
from spikesim.io.npz import ObjectArray, read_array
from spikesim.runtime.printable import one_line

__all__ = ["read_series", "read_texts", "series_set", "text_set"]

Shape = tuple[int, int, int]

_SERIES, _LENGTHS = "series", "lengths"
_SERIES_FILES = (
    "give series as .npy (n, frames, channels), as .npz with an array 'series' and perhaps 'lengths', or as .ts"
)
_TEXT_FILES = "give texts as .txt, one a line, or as .tsv or .csv with a column 'text'"


def text_set(values: Any, name: str = "texts") -> TextSet:
    """Texts as a set whose labels are all 0.

    Parameters
    ----------
    values : str, sequence of str or TextSet
    name : str
        What error messages call them.

    Raises
    ------
    InputError
        They are something else, or one is empty.
    """
    if isinstance(values, TextSet):
        values = values.texts
    texts = (values,) if isinstance(values, str) else values
    if not isinstance(texts, Sequence | np.ndarray) or not all(isinstance(text, str) for text in texts):
        raise InputError(f"{name} are of type {type(values).__name__}; the network takes a text or a list of texts")
    empty = next((number for number, text in enumerate(texts) if not text.strip()), None)
    if empty is not None:
        raise InputError(f"{name}: number {empty}, from 0, is empty; leave it out")
    return TextSet(tuple(map(str, texts)), np.zeros(len(texts), np.int64))


def series_set(values: Any, shape: Shape, name: str = "series") -> SeriesSet:
    """Series as a set whose labels are all 0.

    Parameters
    ----------
    values : array_like (n, frames, channels), sequence of array_like (frames, channels), or SeriesSet
        A sequence may hold series of different lengths.
    shape : (1, longest, channels)
        What the network takes.
    name : str
        What error messages call them.

    Raises
    ------
    InputError
        They are something else, longer or of other channels, or a value is NaN or infinite.
    """
    if isinstance(values, SeriesSet):
        values = np.split(values.values, values.offsets[1:-1]) if len(values) else []
    if isinstance(values, np.ndarray):
        found = packed(values, None, name) if values.dtype.kind != "O" else _each(list(values), name)
    elif isinstance(values, Sequence) and not isinstance(values, str | bytes):
        found = _each(values, name)
    else:
        raise InputError(f"{name} are of type {type(values).__name__}; the network takes a list of arrays of numbers")
    return _fitting(found, shape, name)


def _each(values: Sequence[Any], name: str) -> list[NDArray[np.float32]]:
    found = []
    for number, value in enumerate(values):
        try:
            array = np.asarray(value)
        except Exception as error:  # whatever an object raises that is to become an array
            raise InputError(f"{name}: number {number} is not an array ({one_line(error)})") from None
        if array.ndim != 2 or array.dtype.kind not in "iuf" or 0 in array.shape:
            raise InputError(
                f"{name}: number {number} is {array.dtype} of shape {array.shape}; it must be numbers of shape "
                "(frames, channels)"
            )
        found.append(finite(array, f"{name}: number {number}"))
    return found


def _fitting(series: Sequence[NDArray[np.float32]], shape: Shape, name: str) -> SeriesSet:
    """Series that the network takes, as a set that is as long as its samples."""
    _, longest, channels = shape
    for number, own in enumerate(series):
        if own.shape[1] != channels:
            raise InputError(f"{name}: number {number} has {own.shape[1]} channels; the network takes {channels}")
        if len(own) > longest:
            raise InputError(
                f"{name}: number {number} has {len(own)} frames; the network takes at most {longest}, as many as the "
                "longest series of its data set: cut it"
            )
    return joined(series, np.zeros(len(series), np.int64), channels, longest)


def read_texts(path: Path) -> TextSet:
    """Texts from a file, with labels that are all 0.

    Parameters
    ----------
    path : Path
        .txt, a text a line; or .tsv or .csv, whose first line may name a column as that of texts, and whose last
        column is taken else. Each may be packed as .gz.

    Raises
    ------
    InputError
        It cannot be read, is no UTF-8, or has an empty text.
    """
    _require_file(path, _TEXT_FILES)
    if is_table(path.name):
        return text_set(read_texts_of_table(path), str(path))
    if not path.name.removesuffix(".gz").endswith(".txt"):
        raise InputError(f"{path}: its name has no known ending; {_TEXT_FILES}")
    lines = read_text(path).removesuffix("\n").split("\n")
    empty = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if empty is not None:
        raise InputError(f"{path}: line {empty} has an empty text; leave the line out")
    return text_set([line.strip() for line in lines])


def read_series(path: Path, shape: Shape) -> SeriesSet:
    """Series from a file, with labels that are all 0.

    Parameters
    ----------
    path : Path
        A .npy file, an .npz file with an array ``series`` and perhaps ``lengths``, or a .ts file, whose labels are
        passed over. Nothing is unpickled.
    shape : (1, longest, channels)
        What the network takes.

    Raises
    ------
    InputError
        It cannot be read, or as for `series_set`.
    """
    _require_file(path, _SERIES_FILES)
    if path.name.endswith(".npz"):
        found = _archived(path)
    elif path.name.endswith(".npy"):
        found = packed(read_npy(read_bounded(path, BYTES_MAX), str(path)), None, f"{path}: the series")
    elif path.name.removesuffix(".gz").endswith(".ts"):
        found = ts_file.parse(read_bounded(path, ts_file.BYTES_MAX), str(path)).series
    else:
        raise InputError(f"{path}: its name has no known ending; {_SERIES_FILES}")
    return _fitting(found, shape, str(path))


def _archived(path: Path) -> list[NDArray[np.float32]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            name = next(iter(members)) if len(members) == 1 else _SERIES
            if name not in members:
                raise InputError(f"{path}: has {some_names(sorted(members))}; {_SERIES_FILES}")
            if sum(member.file_size for member in members.values()) > BYTES_MAX:
                raise InputError(f"{path}: its arrays take more than {BYTES_MAX} bytes; give several files")
            series = read_array(archive, members[name])
            lengths = read_array(archive, members[_LENGTHS]) if _LENGTHS in members else None
            return packed(series, lengths, f"{path}: {name}")
    except (InputError, MemoryError):
        raise
    except ObjectArray as error:
        raise InputError(
            f"{path}: {error}; store one array (n, frames, channels), padded with zeros, and the lengths"
        ) from None
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        raise InputError(f"{path}: not an .npz file, or a damaged one ({one_line(error)}); {_SERIES_FILES}") from None


def _require_file(path: Path, advice: str) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; {advice}")
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; {advice}")
