"""Correlations of spike counts between neurons, from spikes that come piece by piece."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["NEURONS_MAX", "Correlations", "sampled_neurons"]

NEURONS_MAX = 200
"""Of a population, for 19,900 pairs."""
SEED = 0
BLOCK = 4096
"""Bins that are laid out as counts at a time."""

Integers = NDArray[np.int64]


def sampled_neurons(neurons: int) -> Integers:
    """Which neurons of a population are paired: all of a small one, else a sample that is always the same."""
    if neurons <= NEURONS_MAX:
        return np.arange(neurons)
    return np.sort(np.random.default_rng(SEED).choice(neurons, NEURONS_MAX, replace=False))


class Correlations:
    """Sums over bins from which Pearson's coefficients follow.

    Parameters
    ----------
    neurons : int
        Of the population.
    sampled : int64 (sampled,)
        Those that are paired, ascending.
    trials, bins : int
        Bins of a trial; spikes in later ones are passed over.
    """

    def __init__(self, neurons: int, sampled: Integers, trials: int, bins: int) -> None:
        self._place = np.full(neurons, -1, np.int64)
        self._place[sampled] = np.arange(len(sampled))
        self._bins, self._cells = bins, bins * trials
        self._newest = np.full(trials, -1, np.int64)
        self._waiting = np.zeros((2, 0), np.int64)  # cell and neuron of spikes whose bin may still get more
        self._sums = np.zeros(len(sampled))
        self._products = np.zeros((len(sampled), len(sampled)))

    def add(self, trial: Integers, place: Integers, neuron: Integers) -> None:
        """Take a piece: trial, bin and neuron of its spikes, in each trial in the order of the bins."""
        own = self._place[neuron]
        kept = (own >= 0) & (place < self._bins)
        np.maximum.at(self._newest, trial[kept], place[kept])
        found = np.stack([trial[kept] * self._bins + place[kept], own[kept]])
        spikes = np.concatenate([self._waiting, found], axis=1)
        at = spikes[0] // max(self._bins, 1)
        open_ = spikes[0] == at * self._bins + self._newest[at]
        self._waiting = spikes[:, open_]
        self._sum_up(*spikes[:, ~open_])

    def _sum_up(self, cell: Integers, own: Integers) -> None:
        """Add bins that are complete; those without spikes add nothing."""
        count = len(self._sums)
        self._sums += np.bincount(own, minlength=count)
        cells, row = np.unique(cell, return_inverse=True)
        order = np.argsort(row, kind="stable")
        row, own = row[order], own[order]
        for start in range(0, len(cells), BLOCK):
            rows = min(BLOCK, len(cells) - start)
            low, high = np.searchsorted(row, (start, start + rows))
            flat = (row[low:high] - start) * count + own[low:high]
            counts = np.bincount(flat, minlength=rows * count).reshape(rows, count).astype(np.float64)
            self._products += counts.T @ counts

    def coefficients(self) -> NDArray[np.float64]:
        """Pearson's coefficient of each pair of which both have a variance, after the last piece."""
        self._sum_up(*self._waiting)
        self._waiting = self._waiting[:, :0]
        if self._cells < 2:
            return np.zeros(0)
        covariance = self._cells * self._products - np.outer(self._sums, self._sums)  # times cells**2: whole numbers
        vary = np.flatnonzero(np.diag(covariance) > 0)
        covariance = covariance[np.ix_(vary, vary)]
        deviation = np.sqrt(np.diag(covariance))
        coefficients = covariance / np.outer(deviation, deviation)
        found: NDArray[np.float64] = np.clip(coefficients[np.triu_indices(len(vary), 1)], -1.0, 1.0)
        return found
