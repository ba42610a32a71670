"""Watching a training run for what goes wrong, in words that say what to change.

Nothing here changes a run: it reads what a mini-batch gave and, at most once per run for each trouble and layer, has a
line to say.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learning.learner import BatchResult

RECENT = 24
"""Mini-batches that are looked at together."""
SILENT, HOT = 0.001, 0.6
SATURATED = 0.5
UNSETTLED = 0.15
LOSS_RISE = 1.5
COUPLED = 1.0


class _Observed(NamedTuple):
    """What one mini-batch says of the run; float64 (L,) by layer."""

    activity: NDArray[np.float64]
    saturated: NDArray[np.float64]
    residual: NDArray[np.float64]
    loss: float
    beta: float


class Diagnostics:
    """What to tell the user about a run.

    Parameters
    ----------
    model, config
    """

    def __init__(self, model: Model, config: Config) -> None:
        self._model = model
        self._config = config
        self._recent: deque[_Observed] = deque(maxlen=RECENT)
        self._best_loss = math.inf
        self._told: set[str] = set()

    def observe(self, result: BatchResult) -> list[str]:
        """Lines about the run after a mini-batch, most often none."""
        free = result.counts[ph.FREE]
        samples = len(result.loss_sum)
        self._recent.append(
            _Observed(
                activity=free.spikes / np.maximum(free.updates, 1)
                if self._config.dynamics.inference == "stochastic"
                else np.array([activity.mean() for activity in result.activity]),
                saturated=free.saturated / free.neurons,
                residual=free.mean_residual(self._config.dynamics.window_free),
                loss=math.fsum(result.loss_sum) / samples,
                beta=result.beta,
            )
        )
        if len(self._recent) < RECENT:
            return []
        activity = np.mean([one.activity for one in self._recent], axis=0)
        saturated = np.mean([one.saturated for one in self._recent], axis=0)
        residual = np.mean([one.residual for one in self._recent], axis=0)
        lines = []
        for layer, name in enumerate(self._model.names):
            lines += self._layer(name, float(activity[layer]), float(saturated[layer]), float(residual[layer]))
        lines += self._loss(float(np.mean([one.loss for one in self._recent])))
        lines += self._beta([one.beta for one in self._recent])
        return lines

    def coupled(self, found: np.ndarray) -> list[str]:
        """Lines about the spectral norm of the layers."""
        lines = []
        for name, value in zip(self._model.names, found, strict=True):
            if value > COUPLED:
                lines += self._once(
                    f"spectral norm {name}",
                    f"the spectral norm of {name} with the layer below is {value:.2f}, above 1: the free phase may not "
                    "settle; set stability.spectral_norm_limit = 0.9, or a smaller dynamics.feedback_gain or "
                    "model.gain",
                )
        return lines

    def _once(self, key: str, line: str) -> list[str]:
        if key in self._told:
            return []
        self._told.add(key)
        return [line]

    def _layer(self, name: str, activity: float, saturated: float, residual: float) -> list[str]:
        lines = []
        if activity < SILENT:
            lines += self._once(
                f"silent {name}",
                f"{name} has fallen silent (activity {activity:.3%}): raise stability.activity_floor or "
                "stability.homeostasis, or lower dynamics.beta or optimizer.learning_rate",
            )
        if activity > HOT:
            lines += self._once(
                f"hot {name}",
                f"{name} runs hot (activity {activity:.0%}): lower stability.activity_ceiling, raise "
                "stability.homeostasis, or lower optimizer.learning_rate or model.gain",
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
                "dynamics.feedback_gain, set stability.spectral_norm_limit, or raise dynamics.steps_free",
            )
        return lines

    def _loss(self, loss: float) -> list[str]:
        self._best_loss = min(self._best_loss, loss)
        if loss > LOSS_RISE * max(self._best_loss, 1.0):
            return self._once(
                "loss",
                f"the loss has risen from {self._best_loss:.3f} to {loss:.3f}: the training may be diverging; lower "
                "optimizer.learning_rate or dynamics.beta",
            )
        return []

    def _beta(self, betas: list[float]) -> list[str]:
        stability = self._config.stability
        if stability.beta_control == "none":
            return []
        for bound, name, remedy in (
            (stability.beta_high, "beta_high", "lower stability.rate_difference"),
            (stability.beta_low, "beta_low", "raise stability.rate_difference"),
        ):
            if min(betas) == max(betas) == bound:
                return self._once(
                    name, f"beta has stayed at stability.{name} = {bound:g}; {remedy}, or widen the bounds"
                )
        return []
