"""The teacher file: the logits that another network, of any kind, gave to the training samples (docs/teacher-file.md).

Only logits enter a training, never the program that made them. So the teacher may come from any framework, and its
digest, in the configuration of the run, says all that matters of it.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.datasets import Dataset
from spikesim.ep.inputs.dataset import is_name_of
from spikesim.errors import InputError
from spikesim.io.atomic import replacing
from spikesim.io.hdf5_output import storing
from spikesim.io.hdf5_reader import FAULTS, Contents, HDF5File, write_text
from spikesim.numerics.portable_math import softmax_and_log_sum
from spikesim.runtime.manual import manual
from spikesim.runtime.printable import one_line

__all__ = ["Teacher", "check_target", "read_teacher", "soften", "write_teacher"]

FORMAT = "spikesim-teacher"
FORMAT_VERSION = 1
SAMPLES_MAX, CLASSES_MAX, VALUES_MAX = 2**27, 2**16, 2**31

_HOW = f"'{manual('teacher-file')}' says how to write one, 'spikesim teacher' makes one of a run"
_WANTED = f"give a teacher file: {_HOW}"
_REMEDY = "make it again"


@dataclass(frozen=True, eq=False)
class Teacher:
    """What a teacher says of each training sample.

    Attributes
    ----------
    logits : float64, shape (samples, classes)
        A row per training sample, in the order of the data set; read-only.
    dataset : str
        Name of the data set.
    digest : str
        SHA-256 over name, shape and values, hexadecimal. Neither the description nor the way of storing counts, and
        float32 logits have the digest of the same values as float64.
    """

    logits: NDArray[np.float64]
    dataset: str
    digest: str


def make_teacher(logits: ArrayLike, dataset: str, name: str = "the teacher") -> Teacher:
    """A teacher of logits that are checked.

    Parameters
    ----------
    logits : float32 or float64, shape (samples, classes)
    dataset : str
    name : str
        For messages.

    Raises
    ------
    InputError
    """
    if not dataset or not dataset.isprintable():
        raise InputError(
            f"{name} has the data set name {dataset!r}; it must be the name of a data set, such as 'cifar10'"
        )
    given = np.asarray(logits)
    _check_form(name, given.dtype, given.shape)
    values = np.array(given, dtype="<f8", order="C")
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{name} has {values[row, column]} for class {column} of sample {row}; logits must be finite")
    head = {"format": FORMAT, "dataset": dataset, "shape": list(values.shape)}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    digest.update(values.data)
    own = values.astype(np.float64, copy=False)
    own.flags.writeable = False
    return Teacher(own, dataset, digest.hexdigest())


def write_teacher(
    path: str | os.PathLike[str], logits: ArrayLike, dataset: str, description: str = "", *, overwrite: bool = False
) -> Teacher:
    """Write a teacher file, whole or not at all.

    Parameters
    ----------
    path : path-like
    logits : float32 or float64, shape (samples, classes)
        Stored in their own type.
    dataset : str
        Name of the data set.
    description : str
        Free text.
    overwrite : bool
        Replace a teacher file that exists. Other files are never replaced.

    Raises
    ------
    InputError
        The logits are no logits, the file exists, or it cannot be written.
    """
    teacher = make_teacher(logits, dataset)
    check_target(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    try:
        with replacing(target) as part, storing(part) as stored, h5py.File(stored, "w") as file:
            write_text(file.attrs, "format", FORMAT)
            file.attrs["format_version"] = FORMAT_VERSION
            write_text(file.attrs, "dataset", dataset)
            if description:
                write_text(file.attrs, "description", description)
            file["logits"] = np.asarray(logits)
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"cannot write {path}: {one_line(error)}; choose another file") from error
    return teacher


def check_target(path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Refuse a name under which `write_teacher` could not write, before the work is done.

    Raises
    ------
    InputError
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"cannot write {path}: {target.parent} is not a folder; make it, or choose another file")
    if not target.exists():
        return
    if not overwrite:
        raise InputError(f"{path} exists: --overwrite replaces it")
    try:
        with contextlib.closing(HDF5File(target, _WANTED, _REMEDY)) as file:
            file.read(lambda contents: _require_teacher(contents, target))
    except InputError:
        raise InputError(
            f"{path} is not a readable teacher file, and --overwrite replaces only teacher files; choose another name, "
            "or remove the file yourself"
        ) from None


def read_teacher(path: str | os.PathLike[str], dataset: Dataset | None = None) -> Teacher:
    """Read a teacher file.

    Parameters
    ----------
    path : path-like
    dataset : Dataset, optional
        What it must fit, looked at before the logits take any memory.

    Raises
    ------
    InputError
        The file is missing, is no teacher file, is damaged, or does not fit.
    """

    def read(contents: Contents) -> Teacher:
        _require_teacher(contents, path)
        name = _attribute(contents, path, "dataset")
        if not isinstance(name, str):
            raise InputError(f"{path} has no attribute 'dataset' with the name of a data set; {_HOW}")
        if not contents.has("/logits"):
            raise InputError(f"{path} has no dataset 'logits'; {_HOW}")
        with _usable(path):
            stored = contents.dataset("/logits")
        _check_form(str(path), stored.dtype, stored.shape)
        contents.require_stored(stored)
        if dataset is not None:
            _check_fits(f"the teacher {path}", name, stored.shape, dataset)
        return make_teacher(stored[...], name, f"the teacher {path}")

    with contextlib.closing(HDF5File(path, _WANTED, _REMEDY)) as file:
        return file.read(read)


def soften(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """softmax(t / tau) of each row, float64 (n, classes).

    The largest logit is taken off before the division, so that no temperature, however small, makes them overflow.
    """
    with np.errstate(over="ignore"):  # -inf, whose exponential is 0 as it should be
        scaled = (logits - logits.max(axis=1, keepdims=True)) / temperature
    return softmax_and_log_sum(scaled)[0]


def _check_fits(what: str, name: str, shape: tuple[int, ...], dataset: Dataset) -> None:
    if not is_name_of(name, dataset):
        raise InputError(f"{what} is for {name!r}, the run is on {dataset.name!r}; give a teacher of that data set")
    needed = (len(dataset.train.labels), dataset.classes)
    if shape != needed:
        raise InputError(
            f"{what} has logits of shape {shape}; {dataset.name} needs {needed}, a row for every training sample "
            "(data.limit takes the first ones) and a column for every class"
        )


def _check_form(name: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None) -> None:
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise InputError(f"{name} has logits of type {dtype}; they must be float32 or float64; {_HOW}")
    if shape is None or len(shape) != 2 or 0 in shape:
        raise InputError(f"{name} has logits of shape {shape}; it must be (training samples, classes); {_HOW}")
    if shape[0] > SAMPLES_MAX or shape[1] > CLASSES_MAX or shape[0] * shape[1] > VALUES_MAX:
        raise InputError(
            f"{name} has logits of shape {shape}; at most {SAMPLES_MAX} samples, {CLASSES_MAX} classes and "
            f"{VALUES_MAX} values in all"
        )


def _require_teacher(contents: Contents, path: object) -> None:
    """Refuse what does not say that it is a teacher file of our version."""
    found, version = (_attribute(contents, path, name) for name in ("format", "format_version"))
    if found != FORMAT:
        raise InputError(f"{path} has the format {_shown(found)}, not {FORMAT!r}; {_WANTED}")
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path} has format_version {_shown(version)}, this program reads {FORMAT_VERSION}; write it in that form"
        )


def _attribute(contents: Contents, path: object, name: str) -> int | float | str | None:
    """An attribute, if there is one."""
    try:
        with _usable(path):
            return contents.attribute(name)
    except KeyError:
        return None


@contextlib.contextmanager
def _usable(path: object) -> Iterator[None]:
    """What is there, but of another kind than a teacher's, need not be damaged."""
    try:
        yield
    except TypeError as error:
        raise InputError(f"{path} cannot be used: {error}; {_HOW}") from error


def _shown(value: object) -> str:
    return repr(one_line(value)) if isinstance(value, str) else str(value)
