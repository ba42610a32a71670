"""Optimizers and schedules: elementwise float32 arithmetic, the same bits on every machine with IEEE arithmetic."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.sections import OptimizerSettings
from spikesim.jit.compilation import kernel

Array = NDArray[np.float32]

MAGNITUDE = 2.0**-32
"""Unit in which the magnitudes of changes are added up."""
MAGNITUDE_MAX = 2.0**41
"""Largest magnitude that counts, in that unit."""


def schedule(settings: OptimizerSettings, progress: float) -> float:
    """Factor on the learning rates.

    Parameters
    ----------
    progress : float
        Share of the training that is done, 0 .. 1.
    """
    if settings.schedule == "constant":
        return 1.0
    low = settings.final_factor
    return low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * progress))


class Optimizer:
    """SGD with momentum, or Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    Parameters
    ----------
    settings : config section `optimizer`
    parameters : mapping of name to float32 array
        Contiguous; changed in place by `move`.
    rates : mapping of name to the learning rate of that array
    """

    def __init__(
        self, settings: OptimizerSettings, parameters: Mapping[str, Array], rates: Mapping[str, float]
    ) -> None:
        assert all(value.flags.c_contiguous for value in parameters.values())
        self.settings = settings
        self.parameters = parameters
        self.rates = rates
        self.steps = 0
        self._kinds = ("first", "second") if settings.name == "adam" else ("velocity",)
        self._moments = {
            f"{kind}/{name}": np.zeros_like(value) for kind in self._kinds for name, value in parameters.items()
        }

    def begin(self) -> None:
        """Begin a step, in which every array is then moved once."""
        self.steps += 1

    def move(self, name: str, gradient: Array, factor: float) -> float:
        """Move one array against its gradient of the loss; different threads may do so for different arrays.

        Parameters
        ----------
        gradient : float32, the shape of the array
        factor : float
            On its learning rate, from the schedule.

        Returns
        -------
        float
            Mean magnitude of the change.
        """
        value = self.parameters[name]
        moments = [self._moments[f"{kind}/{name}"].reshape(-1) for kind in self._kinds]
        magnitude = self._move(name, value.reshape(-1), np.ascontiguousarray(gradient).reshape(-1), moments, factor)
        return float(magnitude / max(value.size, 1) * MAGNITUDE)

    def move_rows(self, name: str, rows: NDArray[np.int64], gradient: Array, factor: float) -> float:
        """`move` for some rows of an array of two axes alone; of the others nothing moves, their moments neither.

        Parameters
        ----------
        rows : int64 (R,)
            Each once.
        gradient : float32 (R, ...)

        Returns
        -------
        float
            Mean magnitude of the change of the whole array.
        """
        value, moments = self.parameters[name], [self._moments[f"{kind}/{name}"] for kind in self._kinds]
        own, states = value[rows], [moment[rows] for moment in moments]  # copies
        flat = [state.reshape(-1) for state in states]
        magnitude = self._move(name, own.reshape(-1), np.ascontiguousarray(gradient).reshape(-1), flat, factor)
        value[rows] = own
        for moment, state in zip(moments, states, strict=True):
            moment[rows] = state
        return float(magnitude / max(value.size, 1) * MAGNITUDE)

    def _move(self, name: str, flat: Array, slope: Array, moments: list[Array], factor: float) -> int:
        """Move numbers in place, and their moments; the sum of the magnitudes of the changes."""
        settings = self.settings
        rate = np.float32(self.rates[name] * factor)
        decay = np.float32(settings.weight_decay if name.endswith("/weight") else 0.0)
        if settings.name == "sgd":
            magnitude = _sgd(flat, slope, moments[0], rate, decay, np.float32(settings.momentum))
        else:
            constants = _Adam(
                beta1=np.float32(settings.beta1),
                beta2=np.float32(settings.beta2),
                bias1=np.float32(1.0 - _power(settings.beta1, self.steps)),
                bias2=np.float32(1.0 - _power(settings.beta2, self.steps)),
                epsilon=np.float32(settings.epsilon),
            )
            magnitude = _adam(flat, slope, moments[0], moments[1], rate, decay, constants)
        return int(magnitude)

    def state(self) -> dict[str, Array]:
        """Moments, for a checkpoint."""
        return self._moments

    def restore(self, arrays: Mapping[str, Any], steps: int) -> None:
        """Take up the moments of a checkpoint."""
        for name, moment in self._moments.items():
            moment[...] = arrays[name]
        self.steps = steps


@kernel
def _magnitude(change):
    """Magnitude of a change in units of `MAGNITUDE`: a sum of integers is the same in any order of summation."""
    return np.int64(np.rint(min(np.float64(abs(change)) * (1.0 / MAGNITUDE), MAGNITUDE_MAX)))


@kernel
def _sgd(value, gradient, velocity, rate, decay, momentum):
    """Move an array in place; the sum of the magnitudes of the changes."""
    total = np.int64(0)
    for i in range(len(value)):
        velocity[i] = velocity[i] * momentum + (gradient[i] + decay * value[i])
        change = -rate * velocity[i]
        value[i] += change
        total += _magnitude(change)
    return total


class _Adam(NamedTuple):
    """Decay of the moments, and by how much they fall short after the steps so far."""

    beta1: np.float32
    beta2: np.float32
    bias1: np.float32
    bias2: np.float32
    epsilon: np.float32


@kernel
def _adam(value, gradient, first, second, rate, decay, constants):
    """Move an array in place; the sum of the magnitudes of the changes."""
    beta1, beta2, bias1, bias2, epsilon = constants
    total, one = np.int64(0), np.float32(1)
    for i in range(len(value)):
        slope = gradient[i]
        first[i] += (one - beta1) * (slope - first[i])
        second[i] += (one - beta2) * (slope * slope - second[i])
        denominator = np.sqrt(second[i] / bias2) + epsilon
        change = -rate * ((first[i] / bias1) / denominator + decay * value[i])
        value[i] += change
        total += _magnitude(change)
    return total


def _power(base: float, exponent: int) -> float:
    """base**exponent by repeated squaring: only multiplications."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
