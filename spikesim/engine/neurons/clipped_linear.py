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
def probability(potential):
    """p = clip(V)."""
    return min(max(potential, np.int32(0)), np.int32(P_MAX))


@inline_kernel
def follows(potential):
    """Whether p moves with V."""
    return 0 < potential < P_MAX


def vector_move(builder: Any, potential: Any, drive: Any, leak: Any, dither: Any) -> Any:
    """The vector form of `move`."""
    change = builder.ashr(builder.add(builder.sub(drive, potential), dither), leak)
    return builder.add(potential, change)


def vector_probability(builder: Any, potential: Any) -> tuple[Any, Any]:
    """The vector forms of `probability` and `follows`."""
    zero, highest = (ir.Constant(potential.type, [limit] * potential.type.count) for limit in (0, P_MAX))
    above, below = builder.icmp_signed(">", potential, zero), builder.icmp_signed("<", potential, highest)
    p = builder.select(below, builder.select(above, potential, zero), highest)
    return p, builder.and_(above, below)


def rate(drive: NDArray[np.float64]) -> NDArray[np.float64]:
    """p at rest, V = u."""
    return np.clip(drive, 0.0, 1.0)


def slope(drive: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its derivative."""
    return ((drive > 0.0) & (drive < 1.0)).astype(np.float64)


CLIPPED_LINEAR = Neuron(
    name="clipped-linear",
    move=move,
    probability=probability,
    follows=follows,
    vector_move=vector_move,
    vector_probability=vector_probability,
    rate=rate,
    slope=slope,
)
