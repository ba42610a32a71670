"""The two kinds of neurons and their parameters; `spikesim.sparse.engine` has their steps (`probabilistic`, `lif`)."""

from dataclasses import dataclass, replace

from numpy.typing import ArrayLike

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real
from spikesim.numerics.fixed_point import ONE, SHARE_LIMIT


@dataclass(frozen=True)
class Probabilistic:
    """The neuron of the rest of the program: V moves to its drive, p = clip(V, 0, 1).

    V' = V + ((u + s - V) >> leak), with s the weights of what arrives in the step; what the shift cuts off is carried.

    Attributes
    ----------
    leak : int
        k of alpha = 2**-k, 0 .. 15.
    bias : float or array (neurons,)
        u, the drive of a neuron alone.
    """

    leak: int = 2
    bias: ArrayLike = 0.0


@dataclass(frozen=True)
class LeakyIntegrateAndFire:
    """A leaky integrate-and-fire neuron with a stochastic threshold.

    V' = V + ((u - V) >> leak) + s, where what the shift cuts off is carried; p = clip((V - threshold) / width, 0, 1); a
    spike puts V to `reset`, where it stays for `refractory` steps, whatever arrives (escape noise: Gerstner & Kistler
    2002, section 5.3, with a linear hazard).

    Attributes
    ----------
    leak : int
        k of alpha = 2**-k, 0 .. 15.
    bias : float or array (neurons,)
        u, the potential at which a neuron alone comes to rest, unless it fires before.
    threshold, width : float
        p rises from 0 to 1 between the threshold and the threshold plus the width.
    reset : float
    refractory : int
        Steps.
    """

    leak: int = 3
    bias: ArrayLike = 0.0
    threshold: float = 1.0
    width: float = 0.1
    reset: float = 0.0
    refractory: int = 0


def check_lif(model: LeakyIntegrateAndFire, name: str) -> LeakyIntegrateAndFire:
    """Refuse parameters out of range; the model with numbers of Python.

    Raises
    ------
    InputError
    """
    threshold, width, reset = (
        real(getattr(model, what), f"{what} of {name}") for what in ("threshold", "width", "reset")
    )
    for what, value in (("threshold", threshold), ("reset", reset)):
        if not abs(value) * ONE < SHARE_LIMIT:
            raise InputError(f"{what} of {name} is {value}; its magnitude must be below {SHARE_LIMIT // ONE}")
    if not 1 / ONE <= width <= 1024:
        raise InputError(f"width of {name} is {width}; it must be in 2**-16 .. 1024")
    refractory = integer(model.refractory, f"refractory of {name}", 0, 2**31 - 1)
    return replace(model, threshold=threshold, width=width, reset=reset, refractory=refractory)
