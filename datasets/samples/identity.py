"""Which content a user's own data have: the hash that stands behind their name.

No publisher vouches for files of one's own and for folders of recordings. Their name is that of the file or of the
set, #, and the beginning of the SHA-256 of what was read: the same wherever they lie and however they are stored,
another one when a sample changes, is added or is lost.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.model import Dataset
from spikesim.errors import InputError

__all__ = ["base_name", "content_hash", "identified", "split_name"]

_NAME = re.compile(r"(.+)#([0-9a-f]{16})", re.DOTALL)


def split_name(name: str) -> tuple[str, str | None]:
    """The name without a hash, and the hash, if it has one."""
    match = _NAME.fullmatch(name)
    return (name, None) if match is None else (match[1], match[2])


def base_name(name: str) -> str:
    """The name without a folder and without a hash."""
    return PurePath(split_name(name)[0]).name


def content_hash(head: Mapping[str, Any], arrays: Iterable[NDArray[Any]]) -> str:
    """16 hexadecimal digits of the SHA-256 over a line of JSON and the bytes of arrays, little endian, row by row."""
    digest = hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    for array in arrays:
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    return digest.hexdigest()[:16]


def identified(dataset: Dataset, wanted: str | None = None) -> Dataset:
    """A set of recordings with the hash of its content behind its name, without a folder.

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
    parts = [part for part in (dataset.train, dataset.test) if isinstance(part, EventSet)]
    head = {
        "classes": dataset.classes,
        "format": "spikesim-recordings",
        "recordings": [len(part) for part in parts],
        "shape": list(dataset.shape[:2]),
    }
    arrays = [array for part in parts for array in (part.labels, part.offsets, part.neurons, part.times)]
    found = content_hash(head, arrays)
    if wanted not in (None, found):
        raise InputError(
            f"{dataset.source}: the hash of its content is {found}, not {wanted}; give the recordings with that content"
        )
    return replace(dataset, name=f"{base_name(dataset.name)}#{found}")
