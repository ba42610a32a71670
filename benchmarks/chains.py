"""A network of layers as a chain, for programs that know no other."""

import sys
from dataclasses import dataclass

from spikesim.engine.populations import Connection
from spikesim.ep.network.graph import INPUT, LayerGraph


@dataclass(frozen=True, eq=False)
class Chain:
    """A graph in which each layer is driven by the one before it alone.

    Attributes
    ----------
    graph : LayerGraph
    connections : list of Connection
        Into each layer.
    pooled : list of bool
        Whether a layer is read through 2x2 pools, by the next one or the read-out.
    """

    graph: LayerGraph
    connections: list[Connection]
    pooled: list[bool]


def chain_of(graph: LayerGraph) -> Chain:
    """The chain that a graph is; ends the program if it is none."""
    if [edge.source for edge in graph.edges] != [INPUT, *range(len(graph.populations) - 1)]:
        sys.exit("this benchmark knows chains of layers only; choose another model.arch")
    pooled = [*(edge.pooled for edge in graph.edges[1:]), graph.readout_pooled]
    return Chain(graph, [edge.connection for edge in graph.edges], pooled)
