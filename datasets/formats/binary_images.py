"""The two file formats: IDX (the MNIST family) and the CIFAR binary version."""

import math

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

_IDX_UINT8 = 0x08
_IDX_MAX_DIMENSIONS = 4


def read_idx(data: bytes, name: str = "IDX data") -> NDArray[np.uint8]:
    """Parse an IDX file of unsigned bytes.

    The format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a big-endian
    uint32, then the elements with the last dimension fastest.

    Parameters
    ----------
    data : bytes
    name : str
        What error messages call the data.

    Returns
    -------
    uint8, one to four dimensions
        Read-only; shares the memory of `data`.

    Raises
    ------
    InputError
        The magic number is another, a dimension is 0, or the length is not what the dimensions say.
    """
    if len(data) < 4 or data[0] != 0 or data[1] != 0:
        raise InputError(f"{name}: begins with {data[:4].hex() or 'nothing'}; an IDX file begins with 0000")
    kind, dimensions = data[2], data[3]
    if kind != _IDX_UINT8:
        raise InputError(f"{name}: elements of IDX type 0x{kind:02x}; only unsigned bytes (0x08) are read")
    if not 1 <= dimensions <= _IDX_MAX_DIMENSIONS:
        raise InputError(f"{name}: {dimensions} dimensions; it must have 1 to {_IDX_MAX_DIMENSIONS}")
    header = 4 + 4 * dimensions
    if len(data) < header:
        raise InputError(f"{name}: ends inside its header, after {len(data)} of {header} bytes")
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, header, 4))
    # Python's integers do not wrap, so that no product of dimensions can pass for a small one.
    expected = header + math.prod(shape)
    if 0 in shape or len(data) != expected:
        raise InputError(
            f"{name}: {len(data)} bytes; its dimensions {'x'.join(map(str, shape))} "
            + ("must not be 0" if 0 in shape else f"need {expected}")
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def read_cifar(
    data: bytes, shape: tuple[int, int, int], label_bytes: int, name: str = "CIFAR data"
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Parse a file of the CIFAR binary version: records of labels, then the planes of the image.

    Parameters
    ----------
    data : bytes
    shape : (height, width, channels)
    label_bytes : int
        Labels in front of each image (CIFAR-10: 1; CIFAR-100: 2, coarse and fine); the last one is returned.
    name : str
        What error messages call the data.

    Returns
    -------
    images : uint8, shape (n, height, width, channels)
    labels : int64, shape (n,)

    Raises
    ------
    InputError
        The length is no positive multiple of a record's.
    """
    height, width, channels = shape
    record = label_bytes + height * width * channels
    if not data or len(data) % record:
        raise InputError(
            f"{name}: {len(data)} bytes; it must be a positive multiple of {record}, the length of a record"
        )
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
    planes = records[:, label_bytes:].reshape(-1, channels, height, width)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, label_bytes - 1].astype(np.int64)
