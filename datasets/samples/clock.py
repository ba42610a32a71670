"""The clock of a recording: counters that begin anew, and times that are not in order."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WRAPS = (2**32, 2**31)
"""What counters of 32 bits, and of 31 with a sign, count to before they begin anew; microseconds."""
SLACK = 2**24
"""Microseconds, 17 s, by which a fall may differ from these: as far apart may events be where a counter begins anew."""
RESET_EVENTS = 20
"""Fewer events say nothing about the order in which they were stored."""


class Clock(NamedTuple):
    """What was found out about the times of a recording, in the order in which they are stored.

    Attributes
    ----------
    wraps : int
        How often the counter began anew, which is undone.
    falls : int
        Events that are earlier than the one before, after that.
    resets : int
        Falls by more than a quarter of the recording, if there are few falls: parts that are in order, one behind the
        other, as a clock leaves them that was set to 0. Events in no order have many falls, and no resets.
    """

    wraps: int
    falls: int
    resets: int


IN_ORDER = Clock(0, 0, 0)


def straighten(times: NDArray[np.int64]) -> tuple[NDArray[np.int64], Clock]:
    """Times without the leaps of a counter that began anew.

    A counter of so many bits is recognised by a fall of what it counts to, give or take `SLACK`; where events are out
    of order just there, the times rise by as much once more.

    Parameters
    ----------
    times : int64 (events,)
        Microseconds, as stored.

    Returns
    -------
    times : int64 (events,)
        Microseconds; those behind a leap are later by what the counter counts to.
    clock : Clock
    """
    steps = np.diff(times)
    if not (steps < 0).any():
        return times, IN_ORDER
    wraps = 0
    for period in WRAPS:
        leaps = np.where(np.abs(steps + period) <= SLACK, 1, 0) - np.where(np.abs(steps - period) <= SLACK, 1, 0)
        fits = period == WRAPS[0] or (times.min() >= 0 and times.max() < period)
        if fits and (leaps > 0).any():
            turns = np.concatenate([[0], np.cumsum(leaps)])
            times = times + period * turns
            wraps = int(turns.max() - turns.min())
            steps = np.diff(times)
            break
    falls = int((steps < 0).sum())
    far = int((steps < -(np.ptp(times) // 4)).sum()) if falls else 0
    few = len(times) >= RESET_EVENTS and falls <= len(times) // 4 and far <= max(1, len(times) // 20)
    return times, Clock(wraps, falls, far if few else 0)
