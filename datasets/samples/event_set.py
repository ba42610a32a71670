"""Recordings of events, as event cameras make them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.clock import straighten
from spikesim.datasets.samples.tally import Counter, Tally
from spikesim.errors import InputError

POLARITIES = 2
TIME_MAX = 2**32 - 1
"""Microseconds of the longest recording."""
GAP_FACTOR = 10
"""A gap so many times as long as all else in a recording parts it in two that do not belong together."""


@dataclass(frozen=True, eq=False)
class Events:
    """The events of one recording, in any order; arrays of one length.

    Attributes
    ----------
    x, y : integers (events,)
        Column and row of the pixel, from 0.
    t : integers (events,)
        Microseconds.
    p : integers (events,)
        Polarity: 1 where it became brighter, 0 where darker.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    t: NDArray[np.int64]
    p: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class EventSet:
    """Recordings with their labels; all arrays are read-only.

    Attributes
    ----------
    neurons : uint32 (events,)
        ``(y * width + x) * 2 + p`` of every event, one recording after the other.
    times : uint32 (events,)
        Microseconds since the first event of the recording, ascending within it.
    offsets : int64 (n + 1,)
        The events of recording i are those from ``offsets[i]`` to ``offsets[i + 1]``.
    labels : int64 (n,)
    shape : (height, width, 2)
        Of the sensor.
    tally : Tally
        What was counted while they were read.
    """

    neurons: NDArray[np.uint32]
    times: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    shape: tuple[int, int, int]
    tally: Tally

    def __post_init__(self) -> None:
        for name in ("neurons", "times", "offsets", "labels"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)

    def durations(self) -> NDArray[np.int64]:
        """Microseconds from the first to the last event of each recording, int64 (n,); 0 where there are none."""
        last = self.times[np.maximum(self.offsets[1:] - 1, 0)] if len(self.times) else np.zeros(len(self), np.uint32)
        return np.where(np.diff(self.offsets) > 0, last, 0).astype(np.int64)

    def pictures(self, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Chosen recordings to look at: events by pixel and polarity, at most 255, uint8 (n, height, width, 2)."""
        size = int(np.prod(self.shape))
        found = np.zeros((len(samples), size), np.uint8)
        for row, sample in enumerate(samples):
            own = self.neurons[self.offsets[sample] : self.offsets[sample + 1]]
            found[row] = np.minimum(np.bincount(own, minlength=size), 255)
        return found.reshape(len(samples), *self.shape)


class Collector:
    """Puts recordings together, one by one.

    Parameters
    ----------
    height, width : int
        Of the sensor.
    keep : bool
        False: the recordings are checked and counted only.
    """

    def __init__(self, height: int, width: int, *, keep: bool = True) -> None:
        self._shape = (height, width, POLARITIES)
        self._keep = keep
        self._counter = Counter(height, width)
        self._neurons: list[NDArray[np.uint32]] = []
        self._times: list[NDArray[np.uint32]] = []
        self._labels: list[int] = []

    def add(self, events: Events, label: int, name: str) -> None:
        """Add a recording.

        Parameters
        ----------
        name : str
            What error messages call it.

        Raises
        ------
        InputError
            An event outside the sensor, a polarity that is none, or a recording of more than 71 minutes.
        """
        height, width, _ = self._shape
        for what, values, limit in (("x", events.x, width), ("y", events.y, height), ("p", events.p, POLARITIES)):
            if len(values) and not 0 <= values.min() <= values.max() < limit:
                raise InputError(
                    f"{name}: {what} reaches from {values.min()} to {values.max()}; it must be in 0 .. {limit - 1} "
                    f"(the sensor has {height}x{width} pixels and 2 polarities)"
                )
        times, clock = straighten(events.t)
        if len(times):
            times = times - times.min()
        if len(times) and not 0 <= times.max() <= TIME_MAX:
            raise InputError(
                f"{name}: lasts {times.max() / 1e6:.4g} s; it must be at most {TIME_MAX / 1e6:.0f} s{_advice(events.t)}"
            )
        neurons = (events.y * width + events.x) * POLARITIES + events.p
        if clock.falls:
            order = np.argsort(times, kind="stable")
            neurons, times = neurons[order], times[order]
        self._counter.add(events.x, events.y, times, label, clock)
        if self._keep:
            self._neurons.append(neurons.astype(np.uint32))
            self._times.append(times.astype(np.uint32))
            self._labels.append(label)

    def tally(self) -> Tally:
        """What was counted of all of them."""
        return self._counter.finish()

    def finish(self) -> EventSet:
        """All of them, in the order in which they were added."""
        lengths = [len(own) for own in self._times]
        return EventSet(
            neurons=np.concatenate([np.zeros(0, np.uint32), *self._neurons]),
            times=np.concatenate([np.zeros(0, np.uint32), *self._times]),
            offsets=np.cumsum([0, *lengths]).astype(np.int64),
            labels=np.array(self._labels, np.int64),
            shape=self._shape,
            tally=self.tally(),
        )


def _advice(times: NDArray[np.int64]) -> str:
    """What may be wrong with the clock of a recording that lasts too long, if one event is far from all others."""
    ordered = np.sort(times)
    gaps = np.diff(ordered)
    at = int(gaps.argmax())
    if len(times) < 3 or gaps[at] < GAP_FACTOR * (ordered[-1] - ordered[0] - gaps[at]):
        return "; are its times microseconds?"
    if at == 0:
        return f"; its first event is at {ordered[0]} and the next at {ordered[1]}: drop the first one"
    if at == len(gaps) - 1:
        return f"; its last event is at {ordered[-1]} and the one before at {ordered[-2]}: drop the last one"
    return f"; nothing happens from {ordered[at]} to {ordered[at + 1]}: was its clock set anew?"
