"""Spikes of a population: recorded, or given to one that plays them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.sparse.inputs.images import brightness

STEPS_MAX = 2**32
EARLY = 1e-6
"""A time that is so much of a step before the beginning of a step belongs to it: times are often rounded products."""


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one population, recorded in one trial or given; by step, then by neuron.

    Attributes
    ----------
    steps : int64 (spikes,)
    neurons : int64 (spikes,)
        Within the population.
    """

    steps: NDArray[np.int64]
    neurons: NDArray[np.int64]

    @classmethod
    def at_steps(cls, neurons: ArrayLike, steps: ArrayLike) -> "Spikes":
        """Spikes from arrays, in any order.

        Raises
        ------
        InputError
            Arrays of different lengths, or numbers that are not whole or out of range.
        """
        own, at = _whole(neurons, "neurons", 2**31), _whole(steps, "steps", STEPS_MAX)
        if len(own) != len(at):
            raise InputError(f"there are {len(own)} neurons and {len(at)} steps of spikes; each spike has one of both")
        order = np.lexsort((own, at))
        return cls(at[order], own[order])

    @classmethod
    def at_times(cls, neurons: ArrayLike, times: ArrayLike, *, step_ms: float = 1.0, start: float = 0.0) -> "Spikes":
        """Spikes from arrays with times in milliseconds, in any order; those before `start` are left out.

        Parameters
        ----------
        times : array of float (spikes,)
        step_ms : float
            Milliseconds of a step: step t reaches from ``start + t * step_ms`` up to, but without, the next one.
        start : float

        Raises
        ------
        InputError
            As for `at_steps`, or times that are not finite.
        """
        length = _positive(step_ms, "step_ms")
        found = np.asarray(times)
        if (
            found.ndim != 1
            or (found.dtype.kind not in "iuf" and len(found))
            or not np.isfinite(found.astype(float)).all()
        ):
            raise InputError(f"times of spikes are {shown(times)}; they must be finite numbers, one for each spike")
        own = _whole(neurons, "neurons", 2**31)
        if len(own) != len(found):
            raise InputError(
                f"there are {len(own)} neurons and {len(found)} times of spikes; each spike has one of both"
            )
        steps = np.floor((found.astype(np.float64) - real(start, "start")) / length + EARLY)
        kept = steps >= 0
        return cls.at_steps(own[kept], steps[kept])

    @classmethod
    def of_latencies(cls, images: ArrayLike, steps: int, *, pause: int = 0) -> "Spikes":
        """One spike of each pixel that is not black, the brighter the earlier, as `data.encoding = "latency"` has it.

        Parameters
        ----------
        images : array (images, ...)
            uint8, or numbers of 0 .. 1; they follow each other.
        steps : int
            Of an image: a pixel x of 0 .. 1 fires in step ``floor((1 - x) * steps)``.
        pause : int
            Steps without spikes after each image.

        Raises
        ------
        InputError
            No images, or values out of range.
        """
        flat = brightness(images)
        steps, pause = integer(steps, "steps", 1, STEPS_MAX - 1), integer(pause, "pause", 0, STEPS_MAX - 1)
        image, pixel = np.nonzero(flat)
        late = np.minimum(np.floor((1.0 - flat[image, pixel]) * steps + EARLY), steps - 1)
        return cls.at_steps(pixel, image * (steps + pause) + late)

    def of_size(self, size: int, name: str) -> tuple["Spikes", int]:
        """Those of a population of this size, each neuron once a step, and how many are left out for that.

        Raises
        ------
        InputError
            Spikes of neurons that the population does not have.
        """
        if len(self.neurons) and int(self.neurons.max()) >= size:
            raise InputError(
                f"{name} has {size} neurons, numbered from 0, and is given spikes of neuron {self.neurons.max()}"
            )
        again = np.zeros(len(self.steps), np.bool_)
        again[1:] = (self.steps[1:] == self.steps[:-1]) & (self.neurons[1:] == self.neurons[:-1])
        return Spikes(self.steps[~again], self.neurons[~again]), int(again.sum())


def _whole(given: ArrayLike, what: str, limit: int) -> NDArray[np.int64]:
    try:
        found = np.asarray(given)
    except (ValueError, TypeError, OverflowError):
        found = np.zeros((0, 0))
    if found.ndim != 1 or (found.dtype.kind not in "iuf" and len(found)):
        raise InputError(f"{what} of spikes are {shown(given)}; they must be whole numbers, one for each spike")
    if len(found):
        low, high = found.min(), found.max()
        if not (0 <= low and high < limit):
            raise InputError(f"{what} of spikes reach from {low} to {high}; they must be in 0 .. {limit - 1}")
        if found.dtype.kind == "f" and not (found == np.rint(found)).all():
            raise InputError(f"{what} of spikes hold fractions; they must be whole numbers")
    return found.astype(np.int64)


def _positive(value: float, what: str) -> float:
    found = real(value, what)
    if found <= 0:
        raise InputError(f"{what} is {found:g}; it must be above 0")
    return found
