"""An .npz file of samples and labels, training and test part: which array is which, whatever it is called."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.formats.event_parsing import some_names
from spikesim.errors import InputError
from spikesim.io.npz import ObjectArray, read_array
from spikesim.runtime.manual import manual

__all__ = ["ArrayFile", "ArrayForm", "labels_of", "names_of", "read_file", "role_of"]

BYTES_MAX = 2**34
"""Bytes that the arrays of a file may take: a small archive can unpack to any length."""
PARTS = ("train", "test")
HOW = f"'{manual('own-data')}' says how to write one"


class ArrayForm(NamedTuple):
    """What a kind of file holds.

    Attributes
    ----------
    kind : str
        What the samples are called: images for ``train_images``.
    words : mapping of str to tuple of str
        By what an array is, the words for it in the names of arrays.
    required, options : tuple of str
        Arrays that must be there and that may be.
    objects : str
        What to give in place of arrays of Python objects.
    """

    kind: str
    words: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...]
    options: tuple[str, ...]
    objects: str


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file by role, and the names that they have there."""

    path: Path
    arrays: dict[str, NDArray[Any]]
    names: dict[str, str]

    def called(self, role: str) -> str:
        """Where an array is, for a message."""
        return f"{self.path}: {self.names[role]}"


def role_of(name: str, form: ArrayForm) -> str:
    """Which of the arrays one of this name is: train_images for train_images, x_train, X_train; else the name."""
    for part in PARTS:
        for what, words in form.words.items():
            if name.lower() in {spelt for word in words for spelt in (f"{part}_{word}", f"{word}_{part}")}:
                return f"{part}_{what}"
    return name


def names_of(found: Iterable[str], path: Path, form: ArrayForm) -> dict[str, str]:
    """The names that the arrays have in a file, by role.

    Raises
    ------
    InputError
        One is missing, given twice, or of no role.
    """
    names: dict[str, str] = {}
    for name in found:
        role = role_of(name, form)
        if role in names:
            raise InputError(f"{path}: has {some_names([names[role], name])}; give only one of them")
        names[role] = name
    known = (*form.required, *form.options)
    missing = [role for role in form.required if role not in names]
    other = sorted(names[role] for role in names if role not in known)
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; it has {some_names(sorted(names.values()))}; {HOW}")
    if other:
        raise InputError(f"{path}: has {some_names(other)}; it may have {', '.join(known)}")
    return names


def read_file(path: Path, form: ArrayForm) -> ArrayFile:
    """All arrays of a file; nothing is unpickled.

    Raises
    ------
    InputError
        It cannot be read, or as for `names_of`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            names = names_of(members, path, form)
            total = sum(member.file_size for member in members.values())
            if total > BYTES_MAX:
                raise InputError(f"{path}: its arrays take {total} bytes; at most {BYTES_MAX}")
            return ArrayFile(path, {role: read_array(archive, members[name]) for role, name in names.items()}, names)
    except (InputError, MemoryError):
        raise
    except ObjectArray as error:
        raise InputError(f"{path}: {error}; {form.objects}; {HOW}") from None
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        detail = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: not an .npz file, or a damaged one ({detail}); {HOW}") from None


def labels_of(found: ArrayFile, part: str, samples: int, sample: str) -> NDArray[np.int64]:
    """The labels of a part.

    Parameters
    ----------
    sample : str
        What one of the samples is called, with an article.

    Raises
    ------
    InputError
        They are not one integer a sample.
    """
    role = f"{part}_labels"
    labels = found.arrays[role]
    if labels.shape == (samples, 1):  # a column, as Keras has those of CIFAR
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != (samples,):
        raise InputError(
            f"{found.called(role)} are {labels.dtype} of shape {labels.shape}; they must be integers of "
            f"shape ({samples},), one {sample}{_label_advice(labels, samples)}"
        )
    return labels.astype(np.int64)


def _label_advice(labels: NDArray[Any], samples: int) -> str:
    if labels.ndim == 2 and len(labels) == samples and labels.dtype.kind in "biuf":
        return "; of one column a class (one-hot), store labels.argmax(axis=1)"
    if labels.dtype.kind == "f" and labels.size and (np.rint(labels) == labels).all():
        return "; store labels.astype(int)"
    if labels.dtype.kind in "US":
        return "; of names, store numpy.unique(labels, return_inverse=True)[1]"
    return ""
