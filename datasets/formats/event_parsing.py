"""Published formats of one recording: N-MNIST's .bin and DVS128 Gesture's .npy as Tonic distributes it."""

import io
import math
import tokenize
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.event_set import Events
from spikesim.errors import InputError
from spikesim.runtime.printable import one_line

_NMNIST_BYTES = 5
_OVERFLOW_ROW = 240
_OVERFLOW = 2**13
"""Microseconds by which an entry in row 240 of an N-MNIST file, which is no event, moves the clock from there on."""
_NAMES = 12
_GESTURE_COLUMNS = 4
_GESTURE_UNIT = 1000
"""Microseconds of a time in a DVS128 Gesture file."""
_HEADER_FAULTS = (
    ValueError, EOFError, OverflowError, MemoryError, RecursionError, TypeError, SyntaxError, tokenize.TokenError,
)  # fmt: skip
"""What NumPy lets through of a header that does not parse."""


def read_nmnist(data: bytes, name: str = "N-MNIST recording") -> Events:
    """Parse a recording of N-MNIST: 5 bytes per event.

    Byte 0 is x, byte 1 is y, the highest bit of byte 2 the polarity, the other 23 bits the time in microseconds, the
    highest byte first. An entry with y = 240 is no event: it adds 2**13 to the times of those from there on.

    Source: the format of N-MNIST (Orchard et al. 2015, Frontiers in Neuroscience 9:437) as its authors read it.

    Parameters
    ----------
    name : str
        What error messages call the data.

    Raises
    ------
    InputError
        The length is no multiple of 5.
    """
    if len(data) % _NMNIST_BYTES:
        raise InputError(f"{name}: {len(data)} bytes; an event has {_NMNIST_BYTES}, so it must be a multiple of them")
    columns = np.frombuffer(data, np.uint8).reshape(-1, _NMNIST_BYTES).astype(np.int64).T
    x, y, high, middle, low = columns
    overflows = y == _OVERFLOW_ROW
    times = ((high & 127) << 16 | middle << 8 | low) + np.cumsum(overflows) * _OVERFLOW
    kept = ~overflows
    return Events(x[kept], y[kept], times[kept], high[kept] >> 7)


def read_gesture(data: bytes, name: str = "DVS128 Gesture recording") -> Events:
    """Parse a recording of DVS128 Gesture as Tonic distributes it: a .npy file with the columns x, y, polarity, time.

    Times are milliseconds.

    Raises
    ------
    InputError
        No .npy file, a damaged one, or one with another shape or type.
    """
    array = read_npy(data, name)
    if array.ndim != 2 or array.shape[1] != _GESTURE_COLUMNS or array.dtype.names:
        raise InputError(
            f"{name}: an array of shape {array.shape}; it must be (events, 4): x, y, polarity, milliseconds"
        )
    x, y, p, t = (integers(array[:, column], f"{name}: column {column}") for column in range(_GESTURE_COLUMNS))
    _require_range(t, f"{name}: times")
    return Events(x, y, t * _GESTURE_UNIT, p)


def read_npy(data: bytes, name: str) -> NDArray[Any]:
    """The array in a .npy file, read-only; shares the memory of `data`. Objects are never unpickled.

    Raises
    ------
    InputError
        No .npy file, a damaged one, or an array of something else than numbers.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers that look like those of old programs are read in a second way
            shape, fortran, dtype = header(stream)
    except _HEADER_FAULTS as error:
        raise InputError(f"{name}: not a .npy file, or a damaged one ({one_line(error)})") from None
    plain = [dtype[field] for field in dtype.names] if dtype.names else [dtype]
    if any(kind.kind not in "biuf" or kind.shape for kind in plain):
        told = "Python objects, which are not unpickled" if dtype.hasobject else f"elements of type {dtype}"
        raise InputError(f"{name}: {told}; they must be numbers")
    # Python's integers do not wrap, so that no product of dimensions can pass for a small one.
    needed, present = math.prod(shape) * dtype.itemsize, len(data) - stream.tell()
    if min(shape, default=0) < 0 or needed != present:
        raise InputError(f"{name}: {present} bytes after its header; its shape {shape} needs {needed}")
    flat = np.frombuffer(data, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def integers(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Numbers that are whole as int64.

    Raises
    ------
    InputError
        Some are not, or leave the range.
    """
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name}: elements of type {values.dtype}; they must be integers")
    if values.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(values) & (np.rint(values) == values) & (np.abs(values) < 2.0**62)
        if not whole.all():
            raise InputError(f"{name}: has {values[~whole][0]}; all must be whole numbers")
    elif values.dtype == np.uint64 and len(values) and values.max() >= 2**62:
        raise InputError(f"{name}: has {values.max()}; all must be below 2**62")
    return values.astype(np.int64)


def _require_range(times: NDArray[np.int64], name: str) -> None:
    if len(times) and max(abs(int(times.min())), abs(int(times.max()))) >= 2**50:
        raise InputError(f"{name}: reach from {times.min()} to {times.max()}; no recording lasts so long")


def some_names(names: Iterable[str]) -> str:
    """Names of arrays in a file, for a message in one line: the first few, and what cannot be printed escaped."""
    listed = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join([*listed[:_NAMES], *(["..."] if len(listed) > _NAMES else [])]) or "none"
