"""Matrices from files of `scipy.sparse.save_npz`.

SciPy's own reader believes what such a file says: it cuts off fractions of indices, and hands those that lie outside of
the matrix to compiled code.
"""

import os
import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.npz import read_array
from spikesim.io.numbers import shown
from spikesim.sparse.connections.entries import Entries, require_real, require_whole, stored_entries

UNPACKED_MAX, UNPACKED_TIMES = 2**29, 64
"""Bytes that a file may unpack to, whatever its size; and how many times its size, where that is more."""
SIDE_MAX = 2**31 - 1

_PLACES = {
    "csc": ("indices", "indptr"),
    "csr": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "dia": ("offsets",),
}


def load_entries(path: str | os.PathLike[str], where: str) -> Entries:
    """The entries of a matrix in a file.

    Parameters
    ----------
    path : path-like
    where : str
        What it is for, for messages.

    Raises
    ------
    InputError
        The file is missing, is none of `scipy.sparse.save_npz`, unpacks to too much, or holds no sound matrix.
    """
    path = Path(path)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)  # a pipe would keep us waiting
    except FileNotFoundError:
        raise InputError(f"{path}, for {where}, does not exist") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}, for {where}, cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not regular:
        raise InputError(f"{path}, for {where}, is not a regular file")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _read(archive, path)
        matrix = _matrix(arrays)
    except InputError as error:
        raise InputError(f"{path}, for {where}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}, for {where}, cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise InputError(f"{path}, for {where}: there is not enough memory for its arrays") from None
    except Exception as error:  # zip, header or array: zipfile, NumPy and SciPy raise what they like
        text = " ".join(str(error).split())
        raise InputError(f"{path}, for {where}, is not a file of scipy.sparse.save_npz: {text}") from None
    return stored_entries(matrix, f"{path}, for {where},")


def _read(archive: zipfile.ZipFile, path: Path) -> dict[str, NDArray[Any]]:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if "format" not in members:
        raise ValueError("it does not say the format of a matrix")
    unpacked, most = sum(member.file_size for member in members.values()), UNPACKED_TIMES * path.stat().st_size
    if unpacked > max(UNPACKED_MAX, most):
        raise InputError(
            f"it unpacks to {unpacked} bytes, more than {UNPACKED_TIMES} times its size; if that is right, save it "
            "with compressed=False"
        )
    return {name: read_array(archive, member) for name, member in members.items()}


def _matrix(arrays: dict[str, NDArray[Any]]) -> Any:
    """The matrix, of the format that the file names; indices are whole, and whether they lie in it is not known."""
    from scipy import sparse

    name = arrays["format"].item()
    kind = name.decode("ascii") if isinstance(name, bytes) else str(name)
    if kind not in (*_PLACES, "coo"):
        raise InputError(f"its format is {shown(kind)}; it must be one of {', '.join((*_PLACES, 'coo'))}")
    needed = _PLACES.get(kind, ("coords",) if "coords" in arrays else ("row", "col"))
    for missing in {"shape", "data", *needed} - set(arrays):
        raise InputError(f"it has no array {missing}")
    shape, data, places = arrays["shape"], arrays["data"], [arrays[name] for name in needed]
    require_real(data, "data")
    for place, array in zip((*needed, "shape"), (*places, shape), strict=True):
        require_whole(array, place)
        if array.ndim != (2 if place == "coords" else 1):
            raise InputError(f"its array {place} has {array.ndim} dimensions")
    if shape.shape != (2,) or not 0 <= int(shape.min()) <= int(shape.max()) <= SIDE_MAX:
        raise InputError(f"its shape is {shown(shape.tolist())}; it must be (targets, sources)")
    if data.dtype.kind == "f":
        data = data.astype(np.float64)  # SciPy does not know float16
    data, *places = (array.astype(array.dtype.newbyteorder("="), copy=False) for array in (data, *places))
    size = (int(shape[0]), int(shape[1]))
    if kind == "coo":
        pair = tuple(places) if len(places) == 2 else tuple(places[0])
        return sparse.coo_array((data, pair), shape=size)
    return getattr(sparse, f"{kind}_array")((data, *places), shape=size)
