"""The linear response of a row of neurons, made for one model at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.neurons.neuron import Neuron
from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.fixed_point import P_MAX


class Followed(NamedTuple):
    """Steps of the two halves of a window in which p followed V, of a row of neurons."""

    early: NDArray[np.uint16]
    late: NDArray[np.uint16]
    steps: float  # of the window


def respond_kernel(neuron: Neuron) -> Callable[..., Any]:
    """Mean rates of a row of neurons move as their drives are shifted, ``moved = clip(rates + response)``."""
    response = neuron.response

    def respond(moved, rates, drive, followed, setting):
        early, late, steps = followed
        for i in range(moved.shape[0]):
            count = np.int32(early[i]) + np.int32(late[i])
            answer = np.rint(response(drive[i], count, steps, rates[i], setting))  # alike for either sign
            moved[i] = np.int32(min(max(np.float64(rates[i]) + answer, 0.0), np.float64(P_MAX)))

    return inline_kernel(respond)
