"""The clipped linear neuron: V follows the drive through a low pass, and p = clip(V, 0, 1)."""

from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from spikesim.engine.neurons.neuron import Neuron
from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.fixed_point import P_MAX


@inline_kernel
def move(potential, drive, leak, dither):
    """V of the next step."""
    return np.int32(potential + (np.int32(drive - potential + dither) >> leak))


@inline_kernel
def clip(potential):
    """p = clip(V)."""
    return min(max(potential, np.int32(0)), np.int32(P_MAX))


@inline_kernel
def begin(memory, at, potential, setting):
    """p of this step."""
    return clip(potential)


@inline_kernel
def follows(memory, at, potential):
    """Whether p moves with V."""
    return 0 < potential < P_MAX


@inline_kernel
def end(memory, at, fired, setting):
    """A spike changes nothing."""


@inline_kernel
def present(memory, sample, index, potential, setting):
    """p of the present step."""
    return clip(potential)


@inline_kernel
def response(drive, followed, steps, rate, setting):
    """The mean of the derivative over the window, times the drive: a product of integers, rounded in the quotient."""
    return np.float64(drive) * np.float64(followed) / steps


def vector_move(builder: Any, potential: Any, drive: Any, leak: Any, dither: Any) -> Any:
    """The vector form of `move`."""
    change = builder.ashr(builder.add(builder.sub(drive, potential), dither), leak)
    return builder.add(potential, change)


def vector_clip(builder: Any, potential: Any) -> tuple[Any, Any]:
    """The vector forms of `clip` and `follows`."""
    zero, highest = (ir.Constant(potential.type, [limit] * potential.type.count) for limit in (0, P_MAX))
    above, below = builder.icmp_signed(">", potential, zero), builder.icmp_signed("<", potential, highest)
    p = builder.select(below, builder.select(above, potential, zero), highest)
    return p, builder.and_(above, below)


def vector_begin(builder: Any, own: dict[str, Any], potential: Any, setting: Any) -> tuple[Any, Any]:
    """The vector forms of `begin` and `follows`."""
    return vector_clip(builder, potential)


def vector_end(builder: Any, own: dict[str, Any], fired: Any, setting: Any) -> None:
    """The vector form of `end`."""


def rate(drive: NDArray[np.float64], setting: int) -> NDArray[np.float64]:
    """p at rest, V = u."""
    return np.clip(drive, 0.0, 1.0)


def slope(drive: NDArray[np.float64], setting: int) -> NDArray[np.float64]:
    """Its derivative."""
    return ((drive > 0.0) & (drive < 1.0)).astype(np.float64)


CLIPPED_LINEAR = Neuron(
    name="clipped-linear",
    move=move,
    begin=begin,
    follows=follows,
    end=end,
    present=present,
    response=response,
    vector_move=vector_move,
    vector_begin=vector_begin,
    vector_end=vector_end,
    rate=rate,
    slope=slope,
    linear=True,
)
