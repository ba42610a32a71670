"""The layers of a network and what connects them: a directed acyclic graph.

A chain, in which each layer is driven by the one before it, is the special case of most architectures. A layer may
also be driven by several layers (skip connections); each connection has weights of its own, the layer has one bias.
Through the transposes, each layer receives feedback from all layers that it drives.

The *level* of a layer is the length of the longest path from the input to it: 1 for a layer that the input alone
drives, and its number in a chain. What is attenuated from level to level (the feedback by `dynamics.feedback_gain`, the
errors by `dynamics.error_gain`) is attenuated by a connection as often as the levels that it spans: only then has the
network an energy function, and only then do the errors that reach a layer on different paths weigh the same.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.populations import Connection, Population
from spikesim.engine.synapses import Conv, Lookup, Shape
from spikesim.ep.config.layer_rows import INPUT
from spikesim.errors import InputError
from spikesim.network import Network

__all__ = ["INPUT", "Edge", "LayerGraph"]


@dataclass(frozen=True, eq=False)
class Edge:
    """A connection into a layer.

    Attributes
    ----------
    index : int
        Its position in `LayerGraph.edges`.
    name : str
        Of its weights: that of the layer for the first connection into it, ``<layer>_from_<source>`` for others.
    source, target : int
        Indices of layers; the source may be `INPUT`.
    connection : Connection
    span : int
        Levels from its source to its target.
    first : bool
        Whether it is the first connection into its layer.
    """

    index: int
    name: str
    source: int
    target: int
    connection: Connection
    span: int
    first: bool

    @property
    def weight(self) -> str:
        """Name of its weights in the run file."""
        return f"{self.name}/weight"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its weights."""
        return self.connection.integers.shape

    @property
    def fan_in(self) -> int:
        """Its synapses onto a neuron."""
        if self.lookup:  # one row at a time
            return 1
        size = 1
        for side in self.shape[:-1]:
            size *= side
        return size

    @property
    def lookup(self) -> bool:
        """Whether it looks up rows for the tokens of a text."""
        return isinstance(self.connection.table, Lookup)

    @property
    def analogue(self) -> bool:
        """Whether it starts at an analogue image, which has no neurons."""
        return self.connection.source.index < 0

    @property
    def pooled(self) -> bool:
        """Whether it reads its source through 2x2 pools."""
        return getattr(self.connection.table, "pool", None) is not None

    @property
    def winner(self) -> bool:
        """Whether these pools pass on the winner of each cell."""
        return getattr(self.connection.table, "pool", None) == "winner"

    @property
    def convolution(self) -> bool:
        """Whether it is a convolution."""
        return isinstance(self.connection.table, Conv)


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """A network of layers, in an order in which each comes after those that drive it.

    The index of a layer is that of its population in the network; an input that spikes is the last population.

    Attributes
    ----------
    network : Network
    image : Population
        Where samples enter: an analogue image, or a population whose spikes are given (`Population.spike_input`).
    populations : tuple of Population
        One a layer.
    edges : tuple of Edge
        By target, and of one target in the order of its description.
    levels : tuple of int
        Of each layer.
    readout_pooled : bool
        Whether the read-out sees the last layer through 2x2 pools.
    features : (height, width, channels)
        What the read-out sees.
    """

    network: Network
    image: Population
    populations: tuple[Population, ...]
    edges: tuple[Edge, ...]
    levels: tuple[int, ...]
    readout_pooled: bool
    features: Shape

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the layers."""
        return tuple(population.name for population in self.populations)

    @cached_property
    def _incoming(self) -> tuple[tuple[Edge, ...], ...]:
        return tuple(
            tuple(edge for edge in self.edges if edge.target == layer) for layer in range(len(self.populations))
        )

    @cached_property
    def _outgoing(self) -> tuple[tuple[Edge, ...], ...]:
        return tuple(
            tuple(edge for edge in self.edges if edge.source == layer) for layer in range(len(self.populations))
        )

    def incoming(self, layer: int) -> tuple[Edge, ...]:
        """The connections into a layer."""
        return self._incoming[layer]

    def outgoing(self, layer: int) -> tuple[Edge, ...]:
        """The connections from a layer to others."""
        return self._outgoing[layer]

    def first(self, layer: int) -> Edge:
        """The first connection into a layer."""
        return self._incoming[layer][0]

    def fan_in(self, layer: int) -> int:
        """Synapses onto a neuron of a layer, those of feedback left out."""
        return sum(edge.fan_in for edge in self.incoming(layer))

    @property
    def input_edges(self) -> tuple[Edge, ...]:
        """The connections from the input."""
        return tuple(edge for edge in self.edges if edge.source == INPUT)

    def extents(self) -> NDArray[np.int64]:
        """Columns of the map of each population that exist, where so many of a sample do; int64 (W + 1, P).

        Those from which a convolution would see nothing but zeros beyond the last column of its source do not. Row 0
        means nothing.

        Raises
        ------
        InputError
            A sample of some number of columns is too short for a kernel, or the connections into a layer differ.
        """
        width = self.image.shape[1]
        found = np.tile(np.array([own.shape[1] for own in self.network.populations], np.int64), (width + 1, 1))
        if not self.image.spike_input:
            lower = {INPUT: np.arange(width + 1)}
        else:
            found[:, self.image.index] = np.arange(width + 1)
            lower = {INPUT: found[:, self.image.index]}
        for edge in self.edges:
            table = edge.connection.table
            if isinstance(table, Conv):
                columns = np.maximum(table.columns(lower[edge.source] // (2 if table.pool else 1)), 0)
            elif isinstance(table, Lookup):
                columns = lower[edge.source]
            else:
                continue
            if edge.first:
                found[:, edge.target] = columns
            elif (found[1:, edge.target] != columns[1:]).any():
                own = int(np.flatnonzero(found[1:, edge.target] != columns[1:])[0]) + 1
                raise InputError(
                    f"{self.names[edge.target]} has {found[own, edge.target]} columns from one of its sources and "
                    f"{columns[own]} from {edge.name}, of a sample of {own}; choose kernels, paddings and strides that "
                    "make them equal for every length"
                )
            lower[edge.target] = found[:, edge.target]
        return found

    @property
    def depth(self) -> int:
        """Length of the longest path from the input to a layer."""
        return max(self.levels)

    def below_top(self, layer: int) -> int:
        """Levels from a layer to the deepest one."""
        return self.depth - self.levels[layer]
