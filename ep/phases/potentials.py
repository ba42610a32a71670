"""Mean and variance of the membrane potentials of each channel, from sums of integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE

__all__ = ["Moments", "PotentialSums"]

LIMIT = 2**20
"""Potentials count as at most 16 in magnitude: their neurons are silent or certain however large they are."""
SQUARE_BITS = 4
"""Squares are those of potentials in units of 2**-12, so that the sums of 2**31 of them fit into int64."""


@dataclass(frozen=True)
class Moments:
    """Of the potentials of each channel of a layer, over samples and positions; float64 (C,), 1.0 = the threshold."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]


@dataclass(frozen=True)
class PotentialSums:
    """Sums of the potentials of a network and of their squares, over samples and positions.

    Attributes
    ----------
    first, second : int64 (channels,)
        As the biases lie in the plan.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]

    @classmethod
    def zero(cls, channels: int) -> "PotentialSums":
        """Of no samples."""
        return cls(np.zeros(channels, np.int64), np.zeros(channels, np.int64))

    def add(self, populations: NDArray[np.record], membrane: NDArray[np.int32], n_samples: int) -> None:
        """Add those of the first n samples.

        membrane: int32 (samples, state size).
        """
        _add(populations, membrane, n_samples, self.first, self.second)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both, to be added up."""
        return self.first, self.second

    def moments(self, population: np.record, positions: int) -> Moments:
        """Those of one population (a row of `Plan.populations`) over so many positions, of all samples together."""
        own = slice(population.bias, population.bias + population.channels)
        count = float(positions)
        mean = self.first[own] / (count * ONE)
        square = self.second[own] / (count * float(ONE >> SQUARE_BITS) ** 2)
        return Moments(mean, np.maximum(square - mean * mean, 0.0))


@kernel
def _add(populations, membrane, n_samples, first, second):
    for pop in populations:
        if pop.spike_input:
            continue
        pixels, lanes = pop.height * pop.width, pop.lanes
        for sample in range(n_samples):
            own = membrane[sample, pop.state :]
            for block in range(pop.blocks):
                sums, squares = first[pop.bias + block * lanes :], second[pop.bias + block * lanes :]
                for pixel in range(pixels):
                    for lane in range(lanes):
                        potential = np.int64(own[(block * pixels + pixel) * lanes + lane])
                        potential = min(max(potential, np.int64(-LIMIT)), np.int64(LIMIT))
                        sums[lane] += potential
                        squares[lane] += (potential >> SQUARE_BITS) ** 2
