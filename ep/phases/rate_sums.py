"""Window sums of the free phase by neuron, added up over samples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Population
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE

__all__ = ["RateSums", "mean_activity"]


@dataclass(frozen=True)
class RateSums:
    """Sums of integers: the same in whatever order samples are added.

    Attributes
    ----------
    neurons : int64 (state size,)
        In the layout of the state: of layers, of an input of spikes, and of what the winners of cells passed on.
    """

    neurons: NDArray[np.int64]

    @classmethod
    def zero(cls, size: int) -> "RateSums":
        """Of no samples."""
        return cls(np.zeros(size, np.int64))

    def add(self, window: NDArray[np.int32], n_samples: int) -> None:
        """Add those of the first n samples.

        window: sums over the halves of the window, int32 (2, samples, state size).
        """
        _add(window, n_samples, self.neurons)

    def arrays(self) -> tuple[NDArray[np.int64]]:
        """All of it, to be added up."""
        return (self.neurons,)

    def maps(self, population: Population, at: int) -> NDArray[np.int64]:
        """Those of a population that begins at an offset of the state, (H, W, C)."""
        return population.from_state(self.neurons[at : at + population.state_size])


def mean_activity(maps: NDArray[np.int64], positions: int, steps: int) -> NDArray[np.float64]:
    """Mean firing probability of each channel over so many positions, of all samples together, and steps, (C,)."""
    mean: NDArray[np.float64] = maps.sum(axis=(0, 1)) / float(ONE * positions * steps)
    return mean


@kernel
def _add(window, n_samples, sums):
    """window: int32 (2, samples, state size). sums: int64 (state size,)."""
    for part in range(window.shape[0]):
        for sample in range(n_samples):
            own = window[part, sample]
            for i in range(sums.shape[0]):
                sums[i] += own[i]
