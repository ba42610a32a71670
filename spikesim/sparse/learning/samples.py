"""Samples to learn from: inputs with targets or labels, from a CSV file, an archive of `numpy.savez`, or a table."""

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.npz import read_array
from spikesim.io.numbers import reals
from spikesim.io.validation import nearest, require_keys
from spikesim.sparse.files.number_table import opened_text, read_columns

UNPACKED_MAX = 2**31
"""Bytes of an archive's arrays."""
ARRAYS = ("inputs", "targets", "labels")
_WANTED = "inputs, and targets or labels"


class Samples(NamedTuple):
    """What is learned, or tested.

    Attributes
    ----------
    inputs : float64 (samples, columns)
    targets : float64 (samples, columns) or None
    labels : int64 (samples,) or None
        Either targets or labels are there.
    where : str
        Where they come from, for messages.
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64] | None
    labels: NDArray[np.int64] | None
    where: str


def read_samples(given: Any, what: str, folder: Path) -> tuple[Samples, Path | None]:
    """Samples that a key of a TOML file describes, and the file that they come from.

    Parameters
    ----------
    given : str or mapping
        A file in `folder`, CSV or .npz, or a table with the arrays.
    what : str
        The key, for messages.

    Raises
    ------
    InputError
        The file cannot be read, or its arrays do not belong together.
    """
    if isinstance(given, Mapping):
        require_keys(given, ARRAYS, what, ("inputs",), meant=_meant)
        return _checked(given, what), None
    if not isinstance(given, str):
        raise InputError(f"{what} is {given!r}; it must be a file, or a table of {_WANTED}")
    path = folder / given
    if not path.exists():
        raise InputError(f"{path}, for {what}, does not exist")
    arrays = _from_npz(path) if path.suffix == ".npz" else _from_csv(path)
    return _checked(arrays, f"{path}, for {what},"), path


def _from_csv(path: Path) -> dict[str, NDArray[np.float64]]:
    """Columns whose names begin with `input`, and those that begin with `target`, or the column `label`."""
    with opened_text(path) as stream:
        names = [name.strip() for name in next(csv.reader([stream.readline()]), [])]
    kinds = {kind: tuple(name for name in names if name.startswith(kind)) for kind in ("input", "target")}
    labels = ("label",) * ("label" in names)
    if not kinds["input"] or bool(kinds["target"]) == bool(labels):
        raise InputError(
            f"{path} has the columns {', '.join(names)}; name those of the inputs input1, input2, .., and besides "
            "either one label or target1, target2, .."
        )
    found = read_columns(path, (*kinds["input"], *kinds["target"], *labels), whole=labels)
    tables = {f"{kind}s": np.stack([found[name] for name in own], axis=1) for kind, own in kinds.items() if own}
    return tables | ({"labels": found["label"]} if labels else {})


def _from_npz(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if sum(member.file_size for member in members.values()) > UNPACKED_MAX:
                raise InputError(f"{path} unpacks to more than {UNPACKED_MAX} bytes; give fewer samples")
            require_keys(members, ARRAYS, str(path), ("inputs",), meant=_meant)
            return {name: read_array(archive, member) for name, member in members.items()}
    except InputError:
        raise
    except Exception as error:  # zipfile and NumPy raise what they like
        text = " ".join(str(error).split())
        raise InputError(f"{path} is not an archive of numpy.savez with {_WANTED}: {text}") from None


def _checked(arrays: Mapping[str, Any], where: str) -> Samples:
    """The arrays as they must be."""
    if ("targets" in arrays) == ("labels" in arrays):
        raise InputError(f"{where} needs either targets or labels besides its inputs")
    found = {name: reals(values, f"{name} of {where}") for name, values in arrays.items()}
    for name, values in found.items():
        shape, wanted = values.shape, "(samples,)" if name == "labels" else "(samples, columns)"
        if len(shape) != (1 if name == "labels" else 2) or not values.size or len(values) != len(found["inputs"]):
            raise InputError(
                f"{name} of {where} have shape {shape}, and the inputs {found['inputs'].shape}; they must be {wanted}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{name} of {where} hold a number that is not finite")
    labels = found.get("labels")
    if labels is not None and not np.all((labels >= 0) & (labels == np.rint(labels))):
        raise InputError(f"labels of {where} reach from {labels.min():g} to {labels.max():g}; they are integers from 0")
    return Samples(
        found["inputs"], found.get("targets"), None if labels is None else labels.astype(np.int64), where.rstrip(",")
    )


def _meant(name: str, known: Any) -> str | None:
    elsewhere = {"x": "inputs", "images": "inputs", "data": "inputs", "y": "labels", "classes": "labels"}
    return elsewhere.get(name.strip().lower()) or nearest(name, known)
