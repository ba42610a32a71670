"""Rates and currents with a time course: constant from one given step to the next."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, reals, shown
from spikesim.sparse.inputs.images import brightness
from spikesim.sparse.inputs.spikes import STEPS_MAX


class TimeCourse:
    """A value, or one for each neuron, that is constant from one given step to the next, and 0 before.

    Brian2 calls this `TimedArray`, NEST `rate_times` and `rate_values`, `amplitude_times` and `amplitude_values`.

    Parameters
    ----------
    steps : array of int (changes,)
        Ascending.
    values : array of float (changes,) or (changes, neurons)
        From each of the steps on.

    Attributes
    ----------
    steps : int64 (changes,)
    values : float64 (changes,) or (changes, neurons)

    Raises
    ------
    InputError
        Arrays that do not fit, steps that do not ascend, or values that are not finite.
    """

    def __init__(self, steps: ArrayLike, values: ArrayLike) -> None:
        at, own = reals(steps, "steps of a time course"), reals(values, "values of a time course")
        if at.ndim != 1 or not len(at) or own.ndim not in (1, 2) or len(own) != len(at):
            raise InputError(
                f"a time course has steps of shape {at.shape} and values of shape {own.shape}; they must be "
                "(changes,), and (changes,) or (changes, neurons)"
            )
        if not (np.isfinite(at).all() and (at == np.rint(at)).all() and at[0] >= 0 and at[-1] < STEPS_MAX):
            raise InputError(f"steps of a time course are {shown(steps)}; they must be whole, from 0 to 2**32 - 1")
        if (at[1:] <= at[:-1]).any():
            raise InputError(f"steps of a time course are {shown(steps)}; each must be later than the one before")
        if not np.isfinite(own).all():
            raise InputError("a time course holds a value that is not finite")
        self.steps, self.values = at.astype(np.int64), own

    @classmethod
    def of_array(cls, values: ArrayLike, *, length: int = 1) -> "TimeCourse":
        """Values for every step from 0 on, or for every `length` of them; 0 after the last.

        Parameters
        ----------
        values : array of float (rows,) or (rows, neurons)
        length : int
            Steps of a row.

        Raises
        ------
        InputError
            As for the class.
        """
        own, length = reals(values, "values of a time course"), integer(length, "length", 1, STEPS_MAX - 1)
        if own.ndim not in (1, 2) or not own.size:
            raise InputError(f"values of a time course have shape {own.shape}; it must be (rows,) or (rows, neurons)")
        return cls(np.arange(len(own) + 1) * length, np.concatenate([own, np.zeros((1, *own.shape[1:]))]))

    @classmethod
    def of_images(cls, images: ArrayLike, steps: int, *, pause: int = 0, scale: float = 1.0) -> "TimeCourse":
        """Images that follow each other, as rates of a source or as a current, a neuron for each pixel.

        With `scale` 1 and a source this is `data.encoding = "bernoulli"` of a training, as a current "current".

        Parameters
        ----------
        images : array (images, ...)
            uint8, of which 255 is 1, or numbers of 0 .. 1. Neurons are numbered in the order (row, column, channel).
        steps : int
            Of an image.
        pause : int
            Steps of 0 after each image.
        scale : float
            The value of a white pixel.

        Raises
        ------
        InputError
            No images, or values out of range.
        """
        flat = brightness(images) * real(scale, "scale")
        steps, pause = integer(steps, "steps", 1, STEPS_MAX - 1), integer(pause, "pause", 0, STEPS_MAX - 1)
        begin, black = np.arange(len(flat)) * (steps + pause), np.zeros((1, flat.shape[1]))
        if not pause:
            return cls(np.append(begin, len(flat) * steps), np.concatenate([flat, black]))
        at = np.stack([begin, begin + steps], axis=1).reshape(-1)
        return cls(at, np.stack([flat, np.broadcast_to(black, flat.shape)], axis=1).reshape(-1, flat.shape[1]))

    def on(self, neurons: NDArray[np.int64], size: int) -> "TimeCourse":
        """The same for some neurons of a population of this size, 0 for the others."""
        own = np.zeros((len(self.steps), size))
        own[:, neurons] = self.values if self.values.ndim == 2 else self.values[:, None]
        return TimeCourse(self.steps, own)

    def require_size(self, size: int, what: str) -> None:
        """Refuse values for another number of neurons.

        Raises
        ------
        InputError
        """
        if self.values.ndim == 2 and self.values.shape[1] != size:
            raise InputError(f"{what} has values for {self.values.shape[1]} neurons; it must have {size}")
