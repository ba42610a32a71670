"""The compiled loop over the steps of a phase, and the spikes that it is given."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.events import load_spike_input
from spikesim.engine.phase import Moment, half
from spikesim.engine.populations import Population
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.step import measure_residual, step
from spikesim.jit.compilation import inline_kernel, kernel


@kernel
def run_steps(engine, phase, n_samples, first, window, inputs, stop):
    """Steps first .. first + window.steps - 1 of a phase, or until a stop is asked for.

    window: `Window` of these steps. inputs: `InputSpikes`.

    Returns
    -------
    bool
        False: stopped in the middle, the state is of no use.
    """
    for i in range(window.steps):
        if stop[0]:
            return False
        now = Moment(first + i, half(window, i), i == window.steps - 1)
        load_inputs(engine, phase, inputs, n_samples, now)
        step(engine, phase, n_samples, now)
    if window.length > 0:
        for sample in range(n_samples):
            measure_residual(engine.plan, engine.state, engine.counts, sample)
    return True


@inline_kernel
def load_inputs(engine, phase, inputs, n_samples, now):
    """The spikes of a step of all populations that are driven from outside."""
    for number in range(inputs.populations.shape[0]):
        load_spike_input(engine.plan, engine.state, engine.counts, phase.firing, inputs, number, n_samples, now)


class InputSpikes(NamedTuple):
    """Input spikes of spike_input populations, as the loop takes them."""

    populations: NDArray[np.int64]  # (S,)
    events: NDArray[np.int32]  # (spikes,)
    pointers: NDArray[np.int64]  # (S, n, steps + 1), as `SpikeTrains.pointers`

    @classmethod
    def none(cls) -> "InputSpikes":
        """No populations."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 0, 0), np.int64))

    @classmethod
    def join(cls, given: Sequence[tuple[Population, SpikeTrains]]) -> "InputSpikes":
        """Of populations and their spikes, all for the same samples and steps."""
        if not given:
            return cls.none()
        offsets = np.cumsum([0] + [len(trains.neurons) for _, trains in given])
        return cls(
            np.array([population.index for population, _ in given], np.int64),
            np.concatenate([trains.neurons for _, trains in given]),
            np.stack([trains.pointers + at for (_, trains), at in zip(given, offsets[:-1], strict=True)]),
        )
