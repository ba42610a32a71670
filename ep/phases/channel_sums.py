"""Mean firing probability of each channel in the window of the free phase, from sums of integers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE

__all__ = ["ChannelSums"]


@dataclass(frozen=True)
class ChannelSums:
    """Window sums of a network by channel, over positions and samples.

    Attributes
    ----------
    own : int64 (channels,)
        Of layers and of an input of spikes, as the biases lie in the plan.
    winners : int64 (channels,), or without elements
        The same of what the winners of cells pass on; without elements where no layer is pooled by winners.
    """

    own: NDArray[np.int64]
    winners: NDArray[np.int64]

    @classmethod
    def zero(cls, channels: int, populations: NDArray[np.record]) -> "ChannelSums":
        """Of no samples."""
        return cls(np.zeros(channels, np.int64), np.zeros(channels if populations["winner"].any() else 0, np.int64))

    def add(self, populations: NDArray[np.record], window: NDArray[np.int32], n_samples: int) -> None:
        """Add those of the first n samples.

        window: sums over the halves of the window, int32 (2, samples, state size).
        """
        _add(populations, window, n_samples, self.own)
        if len(self.winners):
            _add(_cells(populations), window, n_samples, self.winners)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both, to be added up."""
        return self.own, self.winners

    def mean(self, population: np.record, samples: int, steps: int) -> NDArray[np.float64]:
        """Mean firing probability of one population (a row of `Plan.populations`) over samples and steps; (C,)."""
        return _mean(self.own, population, samples * steps * population.height * population.width)

    def winners_mean(self, population: np.record, samples: int, steps: int) -> NDArray[np.float64]:
        """The same of the winners of its cells; without elements where it has none."""
        if not population.winner:
            return np.zeros(0)
        return _mean(self.winners, population, samples * steps * (population.height // 2) * (population.width // 2))


def _mean(sums: NDArray[np.int64], population: np.record, count: int) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = sums[population.bias : population.bias + population.channels] / float(ONE * count)
    return mean


def _cells(populations: NDArray[np.record]) -> NDArray[np.record]:
    """Populations whose neurons are the pooled cells; none where no winners pool them."""
    cells = populations.copy()
    for name in ("height", "width"):
        cells[name] = np.where(populations["winner"], populations[name] // 2, 0)
    cells["state"] = populations["pooled_state"]
    return cells


@kernel
def _add(populations, window, n_samples, sums):
    for pop in populations:
        pixels, lanes = pop.height * pop.width, pop.lanes
        for part in window:
            for sample in range(n_samples):
                own = part[sample, pop.state :]
                for block in range(pop.blocks):
                    total = sums[pop.bias + block * lanes :]
                    for pixel in range(pixels):
                        for lane in range(lanes):
                            total[lane] += own[(block * pixels + pixel) * lanes + lane]
