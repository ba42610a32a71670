"""Watching a training run for what goes wrong, in words that say what to change.

Nothing here changes a run: it reads what a mini-batch gave and, at most once a run for each trouble and layer, has a
line to say.
"""

import math
from collections import deque

import numpy as np

from spikesim.ep.config.parsing import Config
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learner import BatchResult

RECENT = 24
"""Mini-batches that are looked at together."""
SILENT, HOT = 0.001, 0.6
SATURATED = 0.5
UNSETTLED = 0.15
LOSS_RISE = 1.5
COUPLED = 1.0


class Diagnosis:
    """What to tell the user about a run.

    Parameters
    ----------
    model, config
    """

    def __init__(self, model: Model, config: Config) -> None:
        self._model = model
        self._config = config
        self._recent: deque[tuple[np.ndarray, np.ndarray, np.ndarray, float, float]] = deque(maxlen=RECENT)
        self._best_loss = math.inf
        self._told: set[str] = set()

    def observe(self, result: BatchResult) -> list[str]:
        """Lines about the run after a mini-batch, most often none."""
        free = result.counts[ph.FREE]
        samples = len(result.loss_sum)
        neurons = self._model.neurons
        self._recent.append(
            (
                free.spikes / np.maximum(free.updates, 1)
                if self._config.dynamics.inference == "stochastic"
                else np.array([activity.mean() for activity in result.activity]),
                free.saturated / (neurons * samples),
                free.mean_residual(self._config.dynamics.window_free, samples, neurons),
                math.fsum(result.loss_sum) / samples,
                result.beta,
            )
        )
        if len(self._recent) < RECENT:
            return []
        columns = list(zip(*self._recent, strict=True))
        activity, saturated, residual = (np.mean(column, axis=0) for column in columns[:3])
        lines = []
        for layer, name in enumerate(self._model.names):
            lines += self._layer(name, float(activity[layer]), float(saturated[layer]), float(residual[layer]))
        lines += self._loss(float(np.mean(columns[3])))
        lines += self._beta(columns[4])
        return lines

    def coupled(self, found: np.ndarray) -> list[str]:
        """Lines about the coupling of the layers."""
        lines = []
        for name, value in zip(self._model.names, found, strict=True):
            if value > COUPLED:
                lines += self._once(
                    f"coupling {name}",
                    f"the coupling of {name} with the layer below is {value:.2f}, above 1: the free phase may not "
                    "settle; set stability.coupling_limit = 0.9, or a smaller dynamics.feedback_gain or model.gain",
                )
        return lines

    def _once(self, key: str, line: str) -> list[str]:
        if key in self._told:
            return []
        self._told.add(key)
        return [f"warning: {line}"]

    def _layer(self, name: str, activity: float, saturated: float, residual: float) -> list[str]:
        lines = []
        if activity < SILENT:
            lines += self._once(
                f"silent {name}",
                f"{name} has fallen silent (activity {activity:.3%}): raise stability.activity_floor or "
                "stability.homeostasis, or lower dynamics.beta or optimiser.learning_rate",
            )
        if activity > HOT:
            lines += self._once(
                f"hot {name}",
                f"{name} runs hot (activity {activity:.0%}): lower stability.activity_ceiling, raise "
                "stability.homeostasis, or lower optimiser.learning_rate or model.gain",
            )
        if saturated > SATURATED:
            lines += self._once(
                f"saturated {name}",
                f"{saturated:.0%} of the neurons of {name} fire at every step and cannot learn: lower model.gain or "
                "stability.activity_ceiling",
            )
        if residual > UNSETTLED:
            lines += self._once(
                f"residual {name}",
                f"the free phase of {name} does not settle (residual {residual:.3f}): lower model.gain or "
                "dynamics.feedback_gain, set stability.coupling_limit, or raise dynamics.steps_free",
            )
        return lines

    def _loss(self, loss: float) -> list[str]:
        self._best_loss = min(self._best_loss, loss)
        if loss > LOSS_RISE * max(self._best_loss, 1.0):
            return self._once(
                "loss",
                f"the loss has risen from {self._best_loss:.3f} to {loss:.3f}: the training may be diverging; lower "
                "optimiser.learning_rate or dynamics.beta",
            )
        return []

    def _beta(self, betas: tuple[float, ...]) -> list[str]:
        stability = self._config.stability
        if stability.steering == "none":
            return []
        for bound, name, remedy in (
            (stability.beta_high, "beta_high", "lower stability.response"),
            (stability.beta_low, "beta_low", "raise stability.response"),
        ):
            if min(betas) == max(betas) == bound:
                return self._once(
                    name, f"beta has stayed at stability.{name} = {bound:g}; {remedy}, or widen the bounds"
                )
        return []
