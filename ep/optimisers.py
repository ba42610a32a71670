"""Optimisers and schedules: elementwise float32 arithmetic, the same bits on every machine with IEEE arithmetic."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.options import Optimiser as Settings

Array = NDArray[np.float32]


def schedule(settings: Settings, progress: float) -> float:
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


class Optimiser:
    """SGD with momentum, or Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    Parameters
    ----------
    settings : config section `optimiser`
    parameters : mapping of name to float32 array
        Changed in place by `step`.
    rates : mapping of name to the learning rate of that array
    """

    def __init__(self, settings: Settings, parameters: Mapping[str, Array], rates: Mapping[str, float]) -> None:
        self.settings = settings
        self.parameters = parameters
        self.rates = rates
        self.steps = 0
        moments = ("first", "second") if settings.name == "adam" else ("velocity",)
        self._moments = {
            f"{moment}/{name}": np.zeros_like(value) for moment in moments for name, value in parameters.items()
        }

    def step(self, gradients: Mapping[str, Array], factor: float) -> dict[str, float]:
        """Move every parameter against its gradient of the loss.

        Parameters
        ----------
        gradients : mapping of name to float32 array
        factor : float
            On every learning rate, from the schedule.

        Returns
        -------
        dict
            Mean magnitude of the change of each array.
        """
        self.steps += 1
        changes = {}
        for name, value in self.parameters.items():
            rate = np.float32(self.rates[name] * factor)
            decay = np.float32(self.settings.weight_decay if name.endswith("/weight") else 0.0)
            change = self._change(name, value, gradients[name], rate, decay)
            value += change
            changes[name] = mean_magnitude(change)
        return changes

    def _change(self, name: str, value: Array, gradient: Array, rate: np.float32, decay: np.float32) -> Array:
        settings = self.settings
        if settings.name == "sgd":
            velocity = self._moments[f"velocity/{name}"]
            velocity *= np.float32(settings.momentum)
            velocity += gradient + decay * value
            return -rate * velocity
        beta1, beta2 = np.float32(settings.beta1), np.float32(settings.beta2)
        first, second = self._moments[f"first/{name}"], self._moments[f"second/{name}"]
        first += (np.float32(1) - beta1) * (gradient - first)
        second += (np.float32(1) - beta2) * (gradient * gradient - second)
        bias1 = np.float32(1.0 - _power(settings.beta1, self.steps))
        bias2 = np.float32(1.0 - _power(settings.beta2, self.steps))
        denominator = np.sqrt(second / bias2) + np.float32(settings.epsilon)
        return np.asarray(-rate * ((first / bias1) / denominator + decay * value), np.float32)

    def state(self) -> dict[str, Array]:
        """Moments, for a checkpoint."""
        return self._moments

    def load(self, arrays: Mapping[str, Any], steps: int) -> None:
        """Take up the moments of a checkpoint."""
        for name, moment in self._moments.items():
            moment[...] = arrays[name]
        self.steps = steps


def mean_magnitude(values: Array) -> float:
    """Mean magnitude in multiples of 2**-32: a sum of integers is the same in any order of summation."""
    scaled = np.minimum(np.abs(values).astype(np.float64) * 2.0**32, 2.0**41)
    return float(int(np.rint(scaled).astype(np.int64).sum()) / values.size * 2.0**-32)


def _power(base: float, exponent: int) -> float:
    """base**exponent by repeated squaring: only multiplications."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
