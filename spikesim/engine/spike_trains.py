"""Spikes that are given from outside, as lists by sample and step."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError


@dataclass(frozen=True, eq=False)
class SpikeTrains:
    """Spikes of an input population in a number of steps, for some samples.

    Attributes
    ----------
    neurons : int32 (spikes,)
        ``(y * W + x) * C + channel``. A neuron that is named twice in a step spikes once.
    pointers : int64 (n, steps + 1)
        The spikes of step t of sample s are ``neurons[pointers[s, t]:pointers[s, t + 1]]``.
    """

    neurons: NDArray[np.int32]
    pointers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pointers)

    def __getitem__(self, samples: slice) -> "SpikeTrains":
        """Those of some of the samples; the lists are shared."""
        return SpikeTrains(self.neurons, self.pointers[samples])

    @property
    def steps(self) -> int:
        """Steps for which there are spikes."""
        return int(self.pointers.shape[1]) - 1

    @classmethod
    def of_steps(
        cls, samples: NDArray[np.int64], steps: NDArray[np.int64], neurons: NDArray[np.int64], shape: tuple[int, int]
    ) -> "SpikeTrains":
        """From a list of spikes in any order, in which a spike may stand more than once.

        Parameters
        ----------
        samples, steps, neurons : int64 (spikes,)
            Sample, step and neuron of each.
        shape : (samples, steps)
        """
        n, length = shape
        size = int(neurons.max(initial=0)) + 1
        keys = np.unique((samples * length + steps) * size + neurons)
        ends = np.searchsorted(keys, np.arange(n * length + 1) * size)
        at = np.arange(n)[:, None] * length + np.arange(length + 1)
        return cls((keys % size).astype(np.int32), ends[at].astype(np.int64))

    @classmethod
    def of_dense(cls, spikes: ArrayLike) -> "SpikeTrains":
        """From bool (samples, steps, ...), the neurons in the order of the last axes."""
        flat = np.asarray(spikes, bool)
        flat = flat.reshape(*flat.shape[:2], math.prod(flat.shape[2:]))
        found = np.nonzero(flat)
        return cls.of_steps(found[0], found[1], found[2], (flat.shape[0], flat.shape[1]))

    @classmethod
    def join(cls, parts: "Iterable[SpikeTrains]") -> "SpikeTrains":
        """Those of several groups of samples, one after the other; all with the same number of steps."""
        neurons, pointers, at = [], [], 0
        for part in parts:
            neurons.append(part.neurons)
            pointers.append(part.pointers + at)
            at += len(part.neurons)
        return cls(np.concatenate(neurons), np.concatenate(pointers))

    def stretched(self, steps: int) -> "SpikeTrains":
        """The same in another number of steps, in step t the spikes of step floor(t * own steps / steps)."""
        shown = np.arange(steps) * self.steps // steps
        first, counts = self.pointers[:, shown], self.pointers[:, shown + 1] - self.pointers[:, shown]  # (n, steps)
        ends = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(ends[-1]) - np.repeat(ends[:-1], counts.ravel())
        at = np.arange(len(self))[:, None] * steps + np.arange(steps + 1)  # (n, steps + 1)
        return SpikeTrains(self.neurons[np.repeat(first.ravel(), counts.ravel()) + within], ends[at])

    def counts(self, neurons: int, first: int, last: int) -> NDArray[np.int64]:
        """Spikes of each neuron in the steps first .. last - 1, int64 (n, neurons)."""
        counts = np.zeros((len(self), neurons), np.int64)
        for sample, pointers in enumerate(self.pointers):
            own = self.neurons[pointers[first] : pointers[last]]
            counts[sample] = np.bincount(own, minlength=neurons)
        return counts

    def check(self, name: str, neurons: int) -> None:
        """Refuse lists that an input population of so many neurons cannot have.

        Raises
        ------
        InputError
            A neuron or a pointer out of range.
        """
        if self.pointers.ndim != 2 or self.neurons.ndim != 1:
            raise InputError(
                f"spikes of {name} have lists of {self.neurons.ndim} and pointers of {self.pointers.ndim} dimensions; "
                "they must be (spikes,) and (samples, steps + 1)"
            )
        last = len(self.neurons)
        ordered = (np.diff(self.pointers, axis=1) >= 0).all()
        if self.pointers.size and not (ordered and 0 <= self.pointers.min() <= self.pointers.max() <= last):
            raise InputError(f"pointers of the spikes of {name} must ascend within 0 .. {last}")
        if len(self.neurons) and not 0 <= self.neurons.min() <= self.neurons.max() < neurons:
            raise InputError(
                f"spikes of {name} name neurons {self.neurons.min()} .. {self.neurons.max()}; it has {neurons}, from 0"
            )
