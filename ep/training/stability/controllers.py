"""What the learner adjusts from mini-batch to mini-batch: beta, the strengths of the heads, the penalties of activity.

A constant nudge drowns in the noise at first, when the read-out is small, and biases the gradient later, when it has
grown. What counts is the answer of the network, the mean |r+ - r-| of a layer: with `stability.beta_control =
"rate-difference"` beta follows that of the top layer, and with `error_signals.profile = "balanced"` the strengths of
the heads follow those of their layers. With `stability.target_rate` the activity penalty follows the activity of each
layer. All of it is arithmetic on numbers that do not depend on threads, and its state goes into the checkpoint.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config
from spikesim.ep.gradients.activity_penalty import moved_penalties
from spikesim.ep.gradients.scheme import comparison_of
from spikesim.ep.network.error_signals import annealing, head_strengths
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.model import Model

Reals = NDArray[np.float64]

PACE = 0.1
"""Relative change in a mini-batch per relative deviation from what is wanted."""
DEVIATION_MAX = 1.0
BALANCE_MAX = 64.0
"""Balanced strengths stay within this factor of `error_signals.strength`."""


class Controllers:
    """beta, the strengths of the heads and the penalties of activity.

    Parameters
    ----------
    config : Config
    model : Model

    Attributes
    ----------
    beta : float
    penalties : float64 (layers,)
        Weight in the cost of the firing probability of each neuron of a layer.
    """

    def __init__(self, config: Config, model: Model) -> None:
        self.config = config
        self.heads = model.heads
        self._comparison = comparison_of(config.dynamics)
        self._top = model.heads[model.readout].layer
        self.beta = config.dynamics.beta
        self._given = np.array(head_strengths(config, model.heads, model.graph))
        self._balance = np.ones(len(model.heads))
        self.penalties = np.zeros(model.layers)

    def lambdas(self, progress: float) -> Reals:
        """Strength of each head beside the read-out's, which is 1; float64 (heads,)."""
        factor = annealing(self.config.error_signals, progress)
        intermediate = np.array([head.name != READOUT for head in self.heads])
        return np.where(intermediate, self._given * self._balance * factor, self._given)

    def observe(self, response: Reals, activity: Reals) -> None:
        """Adjust to a mini-batch.

        Parameters
        ----------
        response : float64 (L,)
            Mean |r+ - r-| of each layer.
        activity : float64 (L,)
            Mean firing probability of each layer in the free phase.
        """
        top = float(response[self._top])
        stability = self.config.stability
        apart = self._comparison.distance(self.beta)
        self.penalties = moved_penalties(stability, self.penalties, activity, response / apart)
        if stability.beta_control == "rate-difference":
            beta = self.beta * (1.0 + PACE * _deviation(stability.rate_difference, top))
            self.beta = min(max(beta, stability.beta_low), stability.beta_high)
        if self.config.error_signals.profile == "balanced":
            for index, head in enumerate(self.heads):
                if head.name != READOUT:
                    moved = self._balance[index] * (1.0 + PACE * _deviation(top, float(response[head.layer])))
                    self._balance[index] = min(max(moved, 1.0 / BALANCE_MAX), BALANCE_MAX)

    def state(self) -> dict[str, NDArray[Any]]:
        """For a checkpoint."""
        return {"beta": np.array(self.beta), "balance": self._balance.copy(), "penalties": self.penalties.copy()}

    def restore(self, arrays: dict[str, Any]) -> None:
        """Take up the state of a checkpoint."""
        self.beta = float(arrays["beta"])
        self._balance[...] = arrays["balance"]
        self.penalties = np.array(arrays["penalties"], np.float64)


def _deviation(wanted: float, found: float) -> float:
    """How far `found` lies below (positive) or above what is wanted, relative to the larger of the two, bounded."""
    largest = max(wanted, found)
    if largest == 0.0:
        return 0.0
    return max(-DEVIATION_MAX, min(DEVIATION_MAX, (wanted - found) / largest))
