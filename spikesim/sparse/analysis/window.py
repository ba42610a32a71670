"""Which steps and trials of a simulation are looked at, and in which units."""

import math
import re
from dataclasses import dataclass
from typing import Any

from spikesim.errors import InputError
from spikesim.sparse.recording import SimulationReader

__all__ = ["BIN", "Window", "make_window", "potential_unit", "steps_of", "time_step"]

BIN = 10
"""Width of a bin unless another one is asked for: milliseconds, or steps where these have no duration."""
_UNITS = {"ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Window:
    """A stretch of a simulation.

    Attributes
    ----------
    start, stop : int
        Steps ``start`` to ``stop - 1``.
    trials : tuple of int
    bin_steps : int
        Width of the bins in which spikes are counted.
    dt : float or None
        Milliseconds of a step; None where the network does not say.
    """

    start: int
    stop: int
    trials: tuple[int, ...]
    bin_steps: int
    dt: float | None

    @property
    def steps(self) -> int:
        """Its length."""
        return self.stop - self.start

    @property
    def bins(self) -> int:
        """Whole bins of a trial, from `start` on."""
        return self.steps // self.bin_steps

    @property
    def time_unit(self) -> str:
        """``"ms"``, or ``"steps"`` where a step has no duration."""
        return "steps" if self.dt is None else "ms"

    @property
    def rate_unit(self) -> str:
        """``"Hz"``, or ``"spikes per step"``."""
        return "spikes per step" if self.dt is None else "Hz"

    def time(self, steps: float) -> float:
        """So many steps in the unit of time."""
        return steps if self.dt is None else steps * self.dt

    def rate(self, per_step: float) -> float:
        """Spikes per neuron and step in the unit of rates."""
        return per_step if self.dt is None else per_step * 1000 / self.dt


def time_step(reader: SimulationReader) -> float | None:
    """Milliseconds of a step, the `dt` of the description of the network; None where there is none."""
    found = reader.network.get("dt")
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
        return None
    return float(found)


def potential_unit(reader: SimulationReader, population: str) -> str | None:
    """Unit of the potentials of a population, as the description of the network says; None for those without one."""
    found: Any = reader.network
    for key in ("units", "populations", population, "potential"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else None


def steps_of(what: str, text: str, dt: float | None) -> int:
    """Steps of a time such as ``200``, ``20ms`` or ``0.5s``, rounded to the nearest.

    Parameters
    ----------
    what : str
        Its name, for messages.
    text : str
        A whole number of steps, or a number with a unit.
    dt : float or None
        Milliseconds of a step.

    Raises
    ------
    InputError
        It is none, or has a unit and steps have no duration.
    """
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)(ms|s)?", text.strip())
    if found is None or (found[2] is None and "." in found[1]):
        raise InputError(f"{what} is {text}; it must be a number of steps, or a time such as 20ms or 0.5s")
    if found[2] is None:
        return int(found[1])
    if dt is None:
        raise InputError(f"{what} is {text}, and the network has no dt; give steps, without a unit")
    return round(float(found[1]) * _UNITS[found[2]] / dt)


def make_window(
    reader: SimulationReader,
    start: int = 0,
    stop: int | None = None,
    trial: int | None = None,
    bin_steps: int | None = None,
) -> Window:
    """A window of a simulation.

    Parameters
    ----------
    reader : SimulationReader
    start, stop : int
        The first step, and the one before which it ends; by default all steps of the file.
    trial : int, optional
        By default all trials.
    bin_steps : int, optional
        By default 10 ms, or 10 steps where steps have no duration.

    Raises
    ------
    InputError
        There is no such trial or step.
    """
    if trial is not None and not 0 <= trial < reader.trials:
        raise InputError(f"{reader.path} has no trial {trial}; it has {reader.trials}, from 0")
    if stop is not None and stop > reader.steps:
        raise InputError(f"the window ends before step {stop}, and {reader.path} has {reader.steps}; end it earlier")
    end = reader.steps if stop is None else stop
    if start < 0 or (start >= end and reader.steps > 0):
        raise InputError(
            f"the window begins at step {start} and ends before step {end}: it has no steps; {reader.path} has "
            f"{reader.steps}, from 0"
        )
    dt = time_step(reader)
    if bin_steps is None:
        bin_steps = max(1, round(BIN / (dt or 1)))
    if bin_steps < 1:
        raise InputError(f"the width of a bin is {bin_steps} steps; it must be at least 1")
    return Window(start, end, tuple(range(reader.trials)) if trial is None else (trial,), bin_steps, dt)
