"""Memory laid out for vectors."""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64
"""Bytes of a cache line, and of the longest vector."""


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that begin at a cache line.

    Large arrays of NumPy begin 16 bytes behind one, and every vector as long as a line would then be read from two.
    """
    size = _size(shape, dtype)
    return _at_line(np.zeros(size + LINE, np.uint8), size, shape, dtype)


def aligned_empty(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """The same with arbitrary content."""
    size = _size(shape, dtype)
    return _at_line(np.empty(size + LINE, np.uint8), size, shape, dtype)


def _size(shape: int | tuple[int, ...], dtype: DTypeLike) -> int:
    """Bytes of an array."""
    return math.prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize


def _at_line(memory: NDArray[np.uint8], size: int, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of so many bytes that begins at a line."""
    first = -memory.__array_interface__["data"][0] % LINE
    return memory[first : first + size].view(dtype).reshape(shape)
