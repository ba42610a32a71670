"""Real weights become the integers of the dynamics, and what these integers can add up to."""

import math

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import weight_exponent


def quantize_weights(weights: NDArray[np.floating], name: str = "weights") -> tuple[NDArray[np.int16], int]:
    """Round weights to int16 at the finest power-of-two scale that holds all of them.

    Parameters
    ----------
    weights : float, any shape
    name : str
        What they are called in an error message.

    Returns
    -------
    integers : int16, the same shape
    exponent : int
        Real value = integer * 2**-exponent.

    Raises
    ------
    InputError
        As `weight_exponent`.
    """
    # a power of two changes no bit of the fraction, in float32 neither
    real = np.float32 if np.asarray(weights).dtype == np.float32 else np.float64
    values = np.ascontiguousarray(weights, real)
    largest = np.maximum(values.max(initial=0.0), -values.min(initial=0.0))
    exponent = weight_exponent(float(largest), name)
    integers = np.empty(values.shape, np.int16)
    _round(values.reshape(-1), real(2.0**exponent), integers.reshape(-1))
    return integers, exponent


@kernel
def _round(values, scale, integers):
    for i in range(len(values)):
        integers[i] = np.int16(np.rint(values[i] * scale))


def largest_sums(weights: NDArray[np.int16]) -> tuple[int, int]:
    """Largest sums of magnitudes into one target and out of one source.

    Parameters
    ----------
    weights : int16 (places, sources, targets)
    """
    into, out_of = np.zeros(weights.shape[2], np.int64), np.zeros(weights.shape[1], np.int64)
    _add_magnitudes(np.ascontiguousarray(weights), into, out_of)
    return int(into.max(initial=0)), int(out_of.max(initial=0))


@kernel
def _add_magnitudes(weights, into, out_of):
    for place in range(weights.shape[0]):
        for source in range(weights.shape[1]):
            row, total = weights[place, source], np.int64(0)
            for target in range(len(row)):
                size = abs(np.int64(row[target]))
                into[target] += size
                total += size
            out_of[source] += total


def norm(integers: NDArray[np.integer], exponent: int) -> float:
    """Euclidean norm of weights, integers * 2**-exponent; the sum of the squares is exact."""
    return math.sqrt(_sum_squares(np.ascontiguousarray(integers).reshape(-1))) * 2.0**-exponent


@kernel
def _sum_squares(integers):
    total = np.int64(0)
    for i in range(len(integers)):
        total += np.int64(integers[i]) * np.int64(integers[i])
    return total
