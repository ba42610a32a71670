"""What is drawn step by step of a simulation: spikes as a raster, and recorded potentials."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.reports.charts.chart import Chart, Series
from spikesim.ep.reports.charts.raster import Raster, neurons_shown
from spikesim.errors import InputError
from spikesim.sparse.analysis.window import Window, potential_unit
from spikesim.sparse.recording import SimulationReader

__all__ = ["DrawingChoice", "potential_charts", "read_raster"]

NEURONS_DRAWN = 100
"""Of a population, unless others are asked for."""
STEPS_DRAWN = 1000
"""Steps that are drawn unless others are asked for: the last ones of the window."""
SPIKES_MAX = 20_000
"""With more spikes a raster begins later."""
TRACES_MAX = 6
POINTS_MAX = 2000
"""Of a trace: with more steps, every so many steps."""


class DrawingChoice(NamedTuple):
    """What is drawn step by step, of the first trial of the window.

    Attributes
    ----------
    start, stop : int
        Steps.
    populations : tuple of str
    neurons : mapping of str to tuple of int
        By the name of a population, or ``""`` for all; by default some at equal distances.
    """

    start: int
    stop: int
    populations: tuple[str, ...]
    neurons: Mapping[str, tuple[int, ...]] = {}

    @classmethod
    def of_window(
        cls,
        window: Window,
        populations: tuple[str, ...],
        neurons: Mapping[str, tuple[int, ...]],
        *,
        whole: bool,
    ) -> "DrawingChoice":
        """The whole window, or the last steps of it."""
        start = window.start if whole else max(window.start, window.stop - STEPS_DRAWN)
        return cls(start, window.stop, populations, neurons)


class _Population(NamedTuple):
    name: str
    neurons: int


def read_raster(reader: SimulationReader, window: Window, choice: DrawingChoice) -> Raster | None:
    """Recorded spikes of a trial; None where none were recorded, or no step is drawn.

    Raises
    ------
    InputError
        The file is damaged, or a chosen population or neuron is not there.
    """
    recorded = [_Population(name, reader.neurons(name)) for name in choice.populations if reader.has(name, "spikes")]
    if choice.neurons and not recorded:
        raise InputError(f"--neurons chooses among recorded spikes, and {reader.path} has none; leave it out")
    shown = neurons_shown(recorded, choice.neurons, "population", NEURONS_DRAWN)
    trial, start = window.trials[0], choice.start
    if not recorded or start >= choice.stop:
        return None
    spikes = []
    for own, drawn in zip(recorded, shown, strict=True):
        start, found = _spikes_of(reader, own.name, drawn, trial, (start, choice.stop))
        spikes.append(found)
    start = _later(spikes, start)
    spikes = [found[found[:, 0] >= start] - (start, 0) for found in spikes]
    unit = 1.0 if window.dt is None else window.dt
    ends = f"{window.time(start):g} to {window.time(choice.stop):g} {window.time_unit}"
    return Raster(
        name="raster",
        title=f"Spikes of trial {trial}, {ends}" if window.dt is not None else
        f"Spikes of trial {trial}, steps {start} to {choice.stop - 1}",
        x_label="time step" if window.dt is None else "time (ms)",
        layers=recorded,
        spikes=spikes,
        shown=shown,
        steps=choice.stop - start,
        first=start,
        unit=unit,
        ordered=False,
    )  # fmt: skip


def _spikes_of(
    reader: SimulationReader, name: str, drawn: NDArray[np.int64], trial: int, steps: tuple[int, int]
) -> tuple[int, NDArray[np.int64]]:
    """Step and neuron of the spikes of some neurons, and the step from which on they are complete."""
    start, stop = steps
    kept: list[NDArray[np.int64]] = []
    for piece in reader.spike_pieces(name, stop):
        chosen = (piece.trial == trial) & (piece.step >= start) & np.isin(piece.neuron, drawn)
        kept.append(np.stack([piece.step[chosen], piece.neuron[chosen]], axis=1))
        if sum(map(len, kept)) > 2 * SPIKES_MAX:
            start = _later(kept, start)
            kept = [found[found[:, 0] >= start] for found in kept]
    return start, np.concatenate([np.zeros((0, 2), np.int64), *kept])


def _later(spikes: list[NDArray[np.int64]], start: int) -> int:
    """The step from which on there are no more spikes than can be drawn, or the first one."""
    steps = np.sort(np.concatenate([found[:, 0] for found in spikes]))
    return start if len(steps) <= SPIKES_MAX else max(start, int(steps[-SPIKES_MAX]) + 1)


def potential_charts(reader: SimulationReader, window: Window, choice: DrawingChoice, start: int) -> list[Chart]:
    """Potentials of a trial over time, from a step on, a chart for each unit; none where none were recorded."""
    series: dict[str | None, list[Series]] = {}
    every = max(1, -(-(choice.stop - start) // POINTS_MAX))
    for name in choice.populations:
        own = series.setdefault(potential_unit(reader, name), [])
        neurons = reader.potential_neurons(name)[: TRACES_MAX - len(own)]
        if not neurons or start >= choice.stop:
            continue
        values = reader.rows(name, "potentials", start, choice.stop)[::every, window.trials[0]]
        times = [window.time(step) for step in range(start, choice.stop, every)]
        own += [Series(f"{name} {neuron}", times, values[:, place].tolist()) for place, neuron in enumerate(neurons)]
    drawn = [(unit, own) for unit, own in series.items() if own]
    label = "time step" if window.dt is None else "time (ms)"
    note = f"Of trial {window.trials[0]}, at the end of each step, after the reset of a neuron that fired."
    return [
        Chart(
            "potentials" if number == 1 else f"potentials_{number}",
            "potentials",
            "Recorded potentials",
            label,
            f"potential ({unit or 'no unit'})",
            own,
            note=note,
        )
        for number, (unit, own) in enumerate(drawn, 1)
    ]
