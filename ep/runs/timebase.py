"""The time of the input that a run's steps stand for, where they follow recordings of events."""

from collections.abc import Mapping
from typing import Any

__all__ = ["step_milliseconds"]


def step_milliseconds(config: Mapping[str, Any]) -> float | None:
    """Milliseconds of a recording that a step of the free phase or of a test follows.

    Parameters
    ----------
    config : mapping
        The configuration of a run, as its file has it.

    Returns
    -------
    float or None
        None where nothing moves in time: images, however they are coded, and recordings that enter as a current.
    """
    data, dynamics = config.get("data"), config.get("dynamics")
    if not isinstance(data, Mapping) or not isinstance(dynamics, Mapping):
        return None
    duration, steps = data.get("duration"), dynamics.get("steps_free")
    moves = data.get("encoding", "auto") in ("auto", "events") and dynamics.get("inference") != "mean-field"
    if not moves or not isinstance(duration, int | float) or not isinstance(steps, int) or duration <= 0 or steps <= 0:
        return None
    return duration / steps
