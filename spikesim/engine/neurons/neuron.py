"""What a neuron model says, to the loop and to the mean field."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Neuron:
    """A neuron model: how V moves with the drive u, and which firing probability p it stands for.

    In the loop V, u and p are int32, 1.0 = 2**16; p is 0 .. 65535. The plain kernels are for one neuron, the vector
    ones build the same for sixteen of them out of LLVM values; both have the same bits.

    Attributes
    ----------
    name : str
    move : kernel (V, u, leak, dither)
        V of the next step.
    probability : kernel (V)
        p.
    follows : kernel (V)
        Whether p moves with V, for the linear response.
    vector_move : function (builder, V, u, leak, dither)
    vector_probability : function (builder, V)
        p, and where it follows V, a vector of bits.
    rate, slope : functions of float64 arrays
        p where V stays, V = u, and its derivative, for the mean field; 1.0 is 1.
    """

    name: str
    move: Callable[..., Any]
    probability: Callable[..., Any]
    follows: Callable[..., Any]
    vector_move: Callable[..., Any]
    vector_probability: Callable[..., tuple[Any, Any]]
    rate: Callable[[Reals], Reals]
    slope: Callable[[Reals], Reals]
