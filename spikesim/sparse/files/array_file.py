"""Arrays from files of `numpy.save` and `numpy.savez`, which are never unpickled."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError


def load_array(path: str | os.PathLike[str], what: str) -> NDArray[np.float64]:
    """An array of numbers from a file of `numpy.save`, which is never unpickled.

    Raises
    ------
    InputError
        It cannot be read, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}, for {what}, {'is not a regular file' if path.exists() else 'does not exist'}")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)  # so that the file must be as long as it says
    except Exception as error:  # NumPy's parser raises what it likes
        raise InputError(f"{path}, for {what}, is not a file of numpy.save: {' '.join(str(error).split())}") from None
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise InputError(f"{path}, for {what}, holds no array of numbers")
    return np.array(found)
