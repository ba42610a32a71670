"""Arrays out of an .npz archive: never unpickled, and each no longer than the archive says that it is."""

import math
import zipfile
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["ObjectArray", "read_array"]


class ObjectArray(ValueError):
    """An array of Python objects, which only pickle could read, and pickle runs code."""


def read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """One array of an archive.

    What its header announces is compared with the member's length before any memory is taken.

    Raises
    ------
    ObjectArray
        It holds Python objects.
    ValueError
        It does not hold what its header announces. NumPy's and zipfile's parsers raise other kinds of errors for
        damaged bytes.
    """
    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = npy.read_array_header_2_0(stream)
        else:
            raise ValueError(f"array of format {version}")
        if dtype.hasobject:
            raise ObjectArray(f"{member.filename} holds Python objects, which are not unpickled")
        if math.prod(shape) * dtype.itemsize != member.file_size - stream.tell():
            raise ValueError(f"{member.filename} does not hold the array that it announces")
    with archive.open(member) as stream:
        array: NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array
