"""The network of nudged phases whose feedforward drive is clamped (`spikesim.ep.phases.nudged.clamped_drive`)."""

import math

import numpy as np

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.populations import ATTENUATION_MAX, Population
from spikesim.ep.network.graph import Edge, LayerGraph


class ClampedNetwork:
    """A network of layers in nudged phases with clamped drives: only tables that lead down, and a drive for each layer.

    Parameters
    ----------
    compiled : CompiledNetwork
    graph : LayerGraph
    error_gain : float
        eta of a level, a power of two; or 0: no error leads down.
    nudged : populations
        Those that receive a nudge.

    Attributes
    ----------
    error_gain : float
    plan : Plan
        For the loop; its weights and biases are those of the network.
    """

    def __init__(
        self, compiled: CompiledNetwork, graph: LayerGraph, error_gain: float, nudged: tuple[Population, ...]
    ) -> None:
        plan = compiled.plan
        self.error_gain = error_gain
        self._compiled = compiled
        down = [edge for edge in graph.edges if edge.connection.feedback >= 0 and error_gain > 0]
        self._down = [(edge.connection, self._attenuation(edge)) for edge in down]
        populations = plan.populations.copy()
        populations["external"] = 1
        populations["nudge"][[population.index for population in nudged]] = 1
        populations["pooled_events"] = -1  # nothing is sent upwards
        rows = np.array([connection.feedback for connection, _ in self._down], np.int64)
        self.plan = plan.delivering(rows)._replace(populations=populations, tables=plan.tables.copy())

    def _attenuation(self, edge: Edge) -> int:
        """Minus the binary logarithm of the error gain of a connection."""
        return min(round(-math.log2(self.error_gain)) * edge.span, ATTENUATION_MAX)

    def gain(self, edge: Edge) -> float:
        """eta of a connection, a power for each level that it spans."""
        return 2.0 ** -self._attenuation(edge) if self.error_gain > 0 else 0.0

    def update_scales(self) -> None:
        """Take over the scales of the tables after a change of the weights."""
        self.plan.tables[:] = self._compiled.plan.tables
        for connection, attenuation in self._down:
            stronger = connection.attenuation - attenuation
            row = self.plan.tables[connection.feedback]
            row.shift -= stronger
            row.shift_graded -= stronger
