"""Weights in few bits: integers with one power of two a table, as the dynamics have them with 16 bits."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.numerics.fixed_point import EXPONENT_MAX
from spikesim.numerics.quantization import quantize_weights

__all__ = ["BITS_ENGINE", "BITS_MIN", "RoundedWeights", "round_parameters", "round_weights", "zero_weights"]

BITS_ENGINE = 16
"""Bits of a weight in the dynamics."""
BITS_MIN = 2
"""A sign and one bit: the weights -1, 0 and 1 times a power of two."""


class RoundedWeights(NamedTuple):
    """Weights of a table or head as integers.

    Attributes
    ----------
    integers : int16, the shape of the weights
        From -(2**(bits - 1) - 1) to 2**(bits - 1) - 1.
    exponent : int
        Real value = integer * 2**-exponent.
    """

    integers: NDArray[np.int16]
    exponent: int

    @property
    def values(self) -> Array:
        """The weights that the integers stand for, float32 and exact."""
        return np.ldexp(self.integers.astype(np.float32), -self.exponent)


def round_weights(weights: NDArray[np.floating[Any]], bits: int, name: str = "weights") -> RoundedWeights:
    """Round weights to so many bits, at the finest power of two that holds the largest, halves to even.

    Parameters
    ----------
    weights : float, any shape
    bits : int
        `BITS_MIN` to `BITS_ENGINE`. With 16 bits the integers are those of the dynamics.
    name : str
        What they are called in an error message.

    Raises
    ------
    InputError
        A weight is not finite or too large for the dynamics.
    """
    whole = RoundedWeights(*quantize_weights(weights, name))
    largest = float(np.abs(weights).max(initial=0.0))
    if bits == BITS_ENGINE or largest == 0:
        return whole
    limit = 2 ** (bits - 1) - 1
    exponent = min(EXPONENT_MAX, bits - 1 - math.frexp(largest)[1])
    if round(math.ldexp(largest, exponent)) > limit:  # it rounds up to the next power of two
        exponent -= 1
    return RoundedWeights(np.rint(np.ldexp(weights, exponent)).astype(np.int16), exponent)


def round_parameters(parameters: ParameterTree, bits: int) -> ParameterTree:
    """The parameters with the weights of all layers and heads rounded; biases stay.

    Parameters
    ----------
    parameters : ParameterTree
    bits : int
        As for `round_weights`.

    Raises
    ------
    InputError
        As `round_weights`.
    """

    def rounded(name: str, weights: Array) -> Array:
        return round_weights(weights, bits, f"weights of {name}").values

    layers = {
        name: replace(layer, weights={edge: rounded(edge, own) for edge, own in layer.weights.items()})
        for name, layer in parameters.layers.items()
    }
    heads = {name: replace(head, weight=rounded(name, head.weight)) for name, head in parameters.heads.items()}
    readout = replace(parameters.readout, weight=rounded("the read-out", parameters.readout.weight))
    return ParameterTree(layers, heads, readout)


def zero_weights(parameters: ParameterTree) -> float:
    """Share of the weights of the layers and the read-out that are 0."""
    arrays = [weights for layer in parameters.layers.values() for weights in layer.weights.values()]
    arrays.append(parameters.readout.weight)
    return sum(int((own == 0).sum()) for own in arrays) / sum(own.size for own in arrays)
