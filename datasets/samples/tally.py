"""What is counted of recordings while they are read, so that no second pass is needed to say what they hold."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.clock import Clock


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of the recordings of a set.

    Attributes
    ----------
    labels : int64 (n,)
    events : int64 (n,)
        Events of each recording.
    durations : int64 (n,)
        Microseconds from the first event to the last; 0 where there is none.
    gaps : int64 (n,)
        Microseconds of the longest time without an event between two events; 0 where there are no two.
    before : int64 (n,)
        Events before it.
    wraps, falls, resets : int64 (n,)
        Of the clock (`spikesim.datasets.samples.clock.Clock`).
    columns, rows : int64 (width,), (height,)
        Events in each column and row of the sensor, of all recordings.
    """

    labels: NDArray[np.int64]
    events: NDArray[np.int64]
    durations: NDArray[np.int64]
    gaps: NDArray[np.int64]
    before: NDArray[np.int64]
    wraps: NDArray[np.int64]
    falls: NDArray[np.int64]
    resets: NDArray[np.int64]
    columns: NDArray[np.int64]
    rows: NDArray[np.int64]


class _Line(NamedTuple):
    """Counts of one recording, named as in `Tally`."""

    labels: int
    events: int
    durations: int
    gaps: int
    before: int
    wraps: int
    falls: int
    resets: int


class Counter:
    """Counts recordings, one by one."""

    def __init__(self, height: int, width: int) -> None:
        self._lines: list[_Line] = []
        self._columns = np.zeros(width, np.int64)
        self._rows = np.zeros(height, np.int64)

    def add(
        self, x: NDArray[np.int64], y: NDArray[np.int64], times: NDArray[np.int64], label: int, clock: Clock
    ) -> None:
        """Count a recording.

        Parameters
        ----------
        x, y : integers (events,)
            Inside the sensor.
        times : integers (events,)
            Microseconds since the first event, ascending.
        label : int
        clock : Clock
        """
        steps = np.diff(times)
        at = int(steps.argmax()) if len(steps) else 0
        gap, before = (int(steps[at]), at + 1) if len(steps) else (0, 0)
        duration = int(times[-1]) if len(times) else 0
        self._lines.append(_Line(label, len(times), duration, gap, before, *clock))
        for total, places in ((self._columns, x), (self._rows, y)):
            counts = np.bincount(places)
            total[: len(counts)] += counts

    def finish(self) -> Tally:
        """The counts."""
        table = np.array(self._lines, np.int64).reshape(-1, len(_Line._fields))
        counts = {what: np.ascontiguousarray(column) for what, column in zip(_Line._fields, table.T, strict=True)}
        return Tally(**counts, columns=self._columns, rows=self._rows)
