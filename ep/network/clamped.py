"""The network of nudged phases whose feedforward drive is clamped (`spikesim.ep.phases.clamped_drive`)."""

import math

import numpy as np

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.populations import Population


class HeldNetwork:
    """A stack of layers in nudged phases with held drives: only tables that lead down, and a drive for each layer.

    Parameters
    ----------
    compiled : CompiledNetwork
    error_gain : float
        eta, a power of two.
    nudged : populations
        Those that receive a nudge.

    Attributes
    ----------
    error_gain : float
    plan : Plan
        For the loop; its weights and biases are those of the network.
    """

    def __init__(self, compiled: CompiledNetwork, error_gain: float, nudged: tuple[Population, ...]) -> None:
        plan = compiled.plan
        self.error_gain = error_gain
        self._compiled = compiled
        self._attenuation = round(-math.log2(error_gain))
        self._down = [c for c in compiled.connections if c.feedback >= 0]
        populations = plan.populations.copy()
        populations["external"] = 1
        populations["nudge"][[population.index for population in nudged]] = 1
        populations["pooled_events"] = -1  # nobody above listens
        rows = np.array([c.feedback for c in self._down], np.int64)
        targets = plan.tables["target"][rows]
        counts = np.bincount(targets, minlength=len(populations))
        self.plan = plan._replace(
            populations=populations,
            tables=plan.tables.copy(),
            incoming_pointers=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            incoming=rows[np.argsort(targets, kind="stable")],
        )

    def load(self) -> None:
        """Take over the scales of the tables after a change of the weights."""
        self.plan.tables[:] = self._compiled.plan.tables
        for connection in self._down:
            stronger = connection.attenuation - self._attenuation
            row = self.plan.tables[connection.feedback]
            row.shift -= stronger
            row.shift_graded -= stronger
