"""What a neuron model says, to the loop and to the mean field."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]


class StateArray(NamedTuple):
    """Integers, one a neuron, that a model carries from step to step beside V; `rest`: their value at rest."""

    name: str
    dtype: type[np.integer[Any]]
    rest: int


@dataclass(frozen=True)
class Neuron:
    """A neuron model: how V moves with the drive u, and with which probability p a neuron fires.

    In the loop V, u and p are int32, 1.0 = 2**16; p is 0 .. 65535. `memory` has the arrays of all models by name, as
    attributes; `setting` is an integer of the population. A step of a neuron is `move`, `begin`, the comparison of p
    with a random number, and `end`. The plain kernels are for one neuron, with the flat index `at` in the arrays; the
    vector ones build the same for sixteen of them out of LLVM values, `own` having the model's arrays by name, to be
    replaced; both have the same bits.

    Attributes
    ----------
    name : str
    move : kernel (V, u, leak, dither)
        V of the next step.
    begin : kernel (memory, at, V, setting)
        p in this step.
    follows : kernel (memory, at, V)
        After `begin`: whether p moves with V, for the linear response.
    end : kernel (memory, at, fired, setting)
        What a spike, or none, changes.
    present : kernel (memory, sample, index, V, setting)
        p in the step that has ended, which the heads see.
    response : kernel (u, followed, steps, rate, setting)
        By how much a shift u of the drive moves the mean rate, to first order, float64; `rate` is that of a window of
        so many steps, in `followed` of which p followed V.
    vector_move : function (builder, V, u, leak, dither)
    vector_begin : function (builder, own, V, setting)
        p, and where it follows V, a vector of bits.
    vector_end : function (builder, own, fired, setting)
    rate, slope : functions of float64 arrays and the setting
        Mean rate where V stays, V = u, and its derivative, for the mean field; 1.0 is 1.
    linear : bool
        Whether the rate is u itself where it is neither 0 nor 1.
    arrays : tuple of StateArray
    settings : (int, int)
        Smallest and largest setting.
    mean_field : Neuron, optional
        The model in its place where rates are sent instead of spikes.
    """

    name: str
    move: Callable[..., Any]
    begin: Callable[..., Any]
    follows: Callable[..., Any]
    end: Callable[..., Any]
    present: Callable[..., Any]
    response: Callable[..., Any]
    vector_move: Callable[..., Any]
    vector_begin: Callable[..., tuple[Any, Any]]
    vector_end: Callable[..., None]
    rate: Callable[[Reals, int], Reals]
    slope: Callable[[Reals, int], Reals]
    linear: bool = False
    arrays: tuple[StateArray, ...] = ()
    settings: tuple[int, int] = (0, 0)
    mean_field: "Neuron | None" = None
