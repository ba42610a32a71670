"""The phases of a few samples, step by step: for pictures of how the dynamics settle, never for learning."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.random_streams import STREAM_FREE, nudged_stream, stream_of
from spikesim.ep.inputs.samples import Samples
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import hopfield
from spikesim.ep.training.learning.learner import Learner
from spikesim.numerics.fixed_point import ONE, P_MAX

__all__ = ["trace"]


def trace(learner: Learner, epoch: int, samples: Samples, progress: float) -> dict[str, NDArray[np.generic]]:
    """Follow samples through their phases with the parameters as they are, on this rank alone.

    The random numbers are those of these samples' phases in the epoch. The free phase has its full length also where
    the configuration lets it end early. A nudged phase of t steps is the beginning of a longer one, so each step is
    taken from a phase that ends with it.

    Parameters
    ----------
    samples : Samples
        Training samples.
    progress : float
        Share of the training that is done, for the schedule of the signals.

    Returns
    -------
    dict
        A row for each step: ``phase`` and ``step`` (rows,), ``hopfield`` (rows,), ``residual`` and ``activity``
        (rows, L), as /traces of the run file has them.

    Raises
    ------
    Stopped
    """
    thread_pool = learner.thread_pool
    beta, lambdas = learner.set_parameters(progress)

    def run(part: slice) -> dict[int, "_Steps"]:
        return _follow(learner, thread_pool.workspace, epoch, samples.part(part), beta * lambdas)

    groups = list(thread_pool.map(run, thread_pool.groups(len(samples.ids))))
    rows: dict[str, list[NDArray[np.generic]]] = {}
    for phase in groups[0]:
        steps = sum((group[phase] for group in groups[1:]), groups[0][phase])
        for name, values in steps.rows(learner, phase, len(samples.ids)).items():
            rows.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in rows.items()}


class _Steps:
    """Sums over the samples of a group after each step of a phase, all integers.

    Parameters
    ----------
    window : int
        Steps over which the residual is taken.
    layers : int
    """

    def __init__(self, window: int, layers: int) -> None:
        self.window = window
        self.energy: list[NDArray[np.int64]] = []  # by step (L,), as `PhaseCounts.energy`
        self.activity: list[NDArray[np.int64]] = []  # by step (L,): sum of p, unit 2**-16
        self.residual: list[NDArray[np.int64]] = []  # by step (L,), as `PhaseCounts.residual`; -1: no full window
        self._missing = np.full(layers, -1, np.int64)
        self._sums: deque[NDArray[np.int64]] = deque(maxlen=window + 1)  # of p up to a step, (n, state size)

    def add(self, workspace: ph.Workspace, n: int, energy: NDArray[np.int64]) -> None:
        """Take the state of the first n samples of a workspace after the next step."""
        model = workspace.model
        p = np.clip(workspace.state.membrane[:n], 0, P_MAX).astype(np.int64)  # (n, state size)
        slices = [model.state_slice(layer) for layer in range(model.layers)]
        self.energy.append(energy)
        self.activity.append(np.array([p[:, own].sum() for own in slices]))
        if not self._sums:
            self._sums.append(np.zeros_like(p))
        self._sums.append(self._sums[-1] + p)
        residual = self._missing
        if len(self._sums) == self.window + 1 > 2:  # a window of a single step has no halves
            first, middle, last = self._sums[0], self._sums[self.window // 2], self._sums[-1]
            difference = np.abs(last - 2 * middle + first)
            residual = np.array([difference[:, own].sum() for own in slices])
        self.residual.append(residual)

    def __add__(self, other: "_Steps") -> "_Steps":
        """The sums over the samples of both groups."""
        both = _Steps(self.window, len(self._missing))
        both.energy = [a + b for a, b in zip(self.energy, other.energy, strict=True)]
        both.activity = [a + b for a, b in zip(self.activity, other.activity, strict=True)]
        both.residual = [np.maximum(a + b, -1) for a, b in zip(self.residual, other.residual, strict=True)]
        return both

    def rows(self, learner: Learner, phase: int, samples: int) -> dict[str, NDArray[np.generic]]:
        """The means over the samples, a row per step."""
        steps, neurons = len(self.energy), learner.model.neurons
        residual = np.array(self.residual, np.float64) / (ONE * max(1, self.window // 2) * samples * neurons)
        gain, levels = learner.config.dynamics.feedback_gain, learner.model.graph.levels
        values = [hopfield(energy, gain, levels) / samples for energy in self.energy]
        return {
            "phase": np.full(steps, phase),
            "step": np.arange(1, steps + 1),
            "hopfield": np.array(values),
            "residual": np.where(residual < 0, np.nan, residual),
            "activity": np.array(self.activity, np.float64) / (ONE * samples * neurons),
        }


def _follow(
    learner: Learner, workspace: ph.Workspace, epoch: int, samples: Samples, strengths: NDArray[np.float64]
) -> dict[int, _Steps]:
    """The phases of one group, on the calling thread."""
    dynamics, stop, layers = learner.config.dynamics, learner.thread_pool.stop, learner.model.layers
    stream = stream_of(epoch, STREAM_FREE)
    found = {ph.FREE: _Steps(dynamics.window_free, layers)}
    n = learner.rest(workspace, epoch, samples)
    for counts in workspace.free_steps(n, stream, stop):
        found[ph.FREE].add(workspace, n, counts.energy)
    learner.rest(workspace, epoch, samples)  # once more in one piece, which leaves what nudged phases start from
    workspace.free(n, stream, stop)
    workspace.keep(n)
    labels, soft_targets = samples.labels, samples.soft_targets
    for number in range(learner.scheme.comparison.nudged_phases):
        phase, own = (ph.PLUS, strengths) if number == 0 else (ph.MINUS, -strengths)
        kind = nudged_stream(dynamics, number)
        found[phase] = _Steps(dynamics.nudged_window, layers)
        for steps in range(1, dynamics.steps_nudged + 1):
            workspace.restore(n)
            counts = workspace.nudged(n, stream_of(epoch, kind), labels, own, stop, soft_targets, steps=steps)
            found[phase].add(workspace, n, counts.energy)
    return found
