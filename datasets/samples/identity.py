"""Which content a user's own data have: the hash that stands behind their name.

No publisher vouches for files of your own and for folders of recordings. Their name is that of the file or of the
set, #, and the beginning of the SHA-256 of what was read: the same wherever they lie and however they are stored,
another one when a sample changes, is added or is lost. Where the test part is a tenth of one file, #fold and its number
stand in front of that: ``films.tsv#fold3#0123456789abcdef``.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.model import Dataset
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.errors import InputError

__all__ = ["base_name", "content_hash", "identified", "split_fold", "split_name", "text_arrays"]

_NAME = re.compile(r"(.+)#([0-9a-f]{16})", re.DOTALL)
_FOLD = re.compile(r"(.+)#fold([0-9])", re.DOTALL)


def split_name(name: str) -> tuple[str, str | None]:
    """The name without a hash, and the hash, if it has one."""
    match = _NAME.fullmatch(name)
    return (name, None) if match is None else (match[1], match[2])


def split_fold(name: str) -> tuple[str, int | None]:
    """The name without #fold and a number and without a hash, and the number, if it has one."""
    plain = split_name(name)[0]
    match = _FOLD.fullmatch(plain)
    return (plain, None) if match is None else (match[1], int(match[2]))


def base_name(name: str) -> str:
    """The name without a folder and without a hash; the number of a fold stays."""
    return PurePath(split_name(name)[0]).name


def content_hash(head: Mapping[str, Any], arrays: Iterable[NDArray[Any]]) -> str:
    """16 hexadecimal digits of the SHA-256 over a line of JSON and the bytes of arrays, little endian, row by row."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()[:16]


def text_arrays(texts: Sequence[str]) -> list[NDArray[Any]]:
    """Texts as arrays: int64 (n + 1,), where each begins, in bytes, and uint8, their UTF-8."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return [offsets, np.frombuffer(b"".join(encoded), np.uint8)]


def identified(dataset: Dataset, wanted: str | None = None) -> Dataset:
    """A set of recordings, series or texts with the hash of its content behind its name, without a folder.

    Parameters
    ----------
    dataset : Dataset
    wanted : str, optional
        The hash that it must have.

    Raises
    ------
    InputError
        It has another one.
    """
    parts = (dataset.train, dataset.test)
    head: dict[str, Any] = {"classes": dataset.classes, "format": f"spikesim-{dataset.kind}"}
    arrays: list[NDArray[Any]] = []
    if dataset.recordings:
        head |= {"shape": list(dataset.shape[:2])}
    else:
        head |= {"class_names": list(dataset.class_names)}
    head |= {dataset.kind: [len(part) for part in parts]}
    for part in parts:
        if isinstance(part, EventSet):
            arrays += [part.labels, part.offsets, part.neurons, part.times]
        elif isinstance(part, SeriesSet):
            arrays += [part.labels, part.offsets, part.values]
        elif isinstance(part, TextSet):
            arrays += [part.labels, *text_arrays(part.texts)]
    found = content_hash(head, arrays)
    if wanted not in (None, found):
        raise InputError(
            f"{dataset.source}: the hash of its content is {found}, not {wanted}; give the {dataset.kind} with that "
            "content"
        )
    return replace(dataset, name=f"{base_name(dataset.name)}#{found}")
