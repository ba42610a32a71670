"""Statistics of the spike trains of many neurons, from spikes that come piece by piece.

A train is what one neuron fires in one trial. Memory grows with the number of trains, not with that of spikes.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["LONGEST", "CountStatistics", "IntervalStatistics", "Runs"]

LONGEST = 1 << 20
"""Intervals of so many steps or more are counted together."""

_T = TypeVar("_T", bound=np.generic)
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Runs(NamedTuple):
    """Spikes sorted by their train, then by step.

    Attributes
    ----------
    train, step : int64 (spikes,)
    first, last : bool (spikes,)
        Whether it is the first or the last one of its train in this piece.
    """

    train: Integers
    step: Integers
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]

    @classmethod
    def sort(cls, train: Integers, step: Integers) -> "Runs":
        """Sort spikes; those of a train come in the order of their steps."""
        order = np.argsort(train, kind="stable")
        train = train[order]
        changes = train[1:] != train[:-1]
        return cls(train, step[order], _behind(True, changes)[: len(train)], np.append(changes, True)[: len(train)])


def _behind(value: bool | int, rest: NDArray[_T]) -> NDArray[_T]:
    """An array with a value before it."""
    return np.concatenate([np.full(1, value, rest.dtype), rest])


class IntervalStatistics:
    """Coefficients of variation of inter-spike intervals.

    Parameters
    ----------
    neurons, trials : int
        Train ``trial * neurons + neuron`` is that of a neuron in a trial. The intervals of a neuron in all trials
        count together.

    Attributes
    ----------
    spikes : int64 (neurons,)
        In all trials.
    intervals : int64 (neurons,)
    histogram : int64 (steps,)
        Intervals of all neurons by their length, 0 to the longest; those of `LONGEST` and more in one place.
    """

    def __init__(self, neurons: int, trials: int) -> None:
        self._neurons = neurons
        self._last = np.full(neurons * trials, -1, np.int64)
        self._interval = np.zeros(neurons * trials, np.int64)  # 0: none yet
        self.spikes = np.zeros(neurons, np.int64)
        self.intervals = np.zeros(neurons, np.int64)
        self._shift = np.zeros(neurons, np.int64)  # the first interval: sums of differences lose no digits
        self._sum, self._squares = np.zeros(neurons), np.zeros(neurons)
        self._pairs, self._local = np.zeros(neurons, np.int64), np.zeros(neurons)
        self.histogram = np.zeros(1, np.int64)

    def add(self, runs: Runs) -> None:
        """Take a piece.

        Raises
        ------
        ValueError
            The spikes of a train are not in the order of their steps.
        """
        if not len(runs.train):
            return
        before = _behind(-1, runs.step[:-1])
        before[runs.first] = self._last[runs.train[runs.first]]
        interval = np.where(before < 0, 0, runs.step - before)
        if interval.min() < 0:
            raise ValueError("spikes are not in the order of their steps")
        earlier = _behind(0, interval[:-1])
        earlier[runs.first] = self._interval[runs.train[runs.first]]
        self._last[runs.train[runs.last]] = runs.step[runs.last]
        self._interval[runs.train[runs.last]] = interval[runs.last]
        neuron = runs.train % self._neurons
        self.spikes += self._count(neuron)
        self._add_intervals(neuron[interval > 0], interval[interval > 0])
        both = (interval > 0) & (earlier > 0)
        local = 2 * np.abs(interval - earlier)[both] / (interval + earlier)[both]
        self._pairs += self._count(neuron[both])
        self._local += np.bincount(neuron[both], local, self._neurons)

    def _add_intervals(self, neuron: Integers, interval: Integers) -> None:
        new, place = np.unique(neuron, return_index=True)
        fresh = self.intervals[new] == 0
        self._shift[new[fresh]] = interval[place[fresh]]
        self.intervals += self._count(neuron)
        difference = (interval - self._shift[neuron]).astype(np.float64)
        self._sum += np.bincount(neuron, difference, self._neurons)
        self._squares += np.bincount(neuron, difference * difference, self._neurons)
        counts = np.bincount(np.minimum(interval, LONGEST))
        if len(counts) > len(self.histogram):
            self.histogram = np.pad(self.histogram, (0, len(counts) - len(self.histogram)))
        self.histogram[: len(counts)] += counts

    def _count(self, neuron: Integers) -> Integers:
        return np.bincount(neuron, minlength=self._neurons)

    def variation(self) -> Floats:
        """CV of each neuron: standard deviation of its intervals over their mean; NaN with fewer than two."""
        with np.errstate(invalid="ignore", divide="ignore"):
            shifted = self._sum / self.intervals
            variance = self._squares / self.intervals - shifted**2
            found = np.sqrt(np.maximum(variance, 0)) / (self._shift + shifted)
        return np.where(self.intervals >= 2, found, np.nan)

    def local_variation(self) -> Floats:
        """CV2 of each neuron: mean of 2 \\|I' - I\\| / (I' + I) over consecutive intervals; NaN without a pair."""
        with np.errstate(invalid="ignore"):
            return self._local / self._pairs


class CountStatistics:
    """Fano factors: variance of the number of spikes in a bin over its mean.

    Parameters
    ----------
    neurons, trials : int
        As of `IntervalStatistics`.
    bins : int
        Bins of a trial; spikes in later ones are passed over.
    """

    def __init__(self, neurons: int, trials: int, bins: int) -> None:
        self._neurons, self._trials, self._bins = neurons, trials, bins
        self._bin = np.full(neurons * trials, -1, np.int64)
        self._count = np.zeros(neurons * trials, np.int64)
        self._sum, self._squares = np.zeros(neurons), np.zeros(neurons)

    def add(self, runs: Runs) -> None:
        """Take a piece, with bins in place of steps."""
        kept = runs.step < self._bins
        train, place = runs.train[kept], runs.step[kept]
        if not len(train):
            return
        starts = np.flatnonzero(_behind(True, (train[1:] != train[:-1]) | (place[1:] != place[:-1])))
        train, place = train[starts], place[starts]
        count: Integers = np.diff(np.append(starts, np.count_nonzero(kept))).astype(np.int64)
        changes = train[1:] != train[:-1]
        first, last = _behind(True, changes), np.append(changes, True)
        # a bin that began in an earlier piece: (a + b)**2 = a**2 + b**2 + 2 a b
        begun = np.where(first & (self._bin[train] == place), self._count[train], 0)
        neuron = train % self._neurons
        self._sum += np.bincount(neuron, count, self._neurons)
        self._squares += np.bincount(neuron, count * count + 2 * count * begun, self._neurons)
        self._bin[train[last]] = place[last]
        self._count[train[last]] = (count + begun)[last]

    def fano(self) -> Floats:
        """Fano factor of each neuron, over the bins of all trials; NaN without spikes, or with one bin."""
        bins = self._bins * self._trials
        if bins < 2:
            return np.full(self._neurons, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = (bins * self._squares - self._sum**2) / (bins * self._sum)  # whole numbers above
        return found
