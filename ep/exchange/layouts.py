"""Names and layouts of weights: this program's, and those of a network of the same layers in torch.

============  ==================================  =============================================
what          here, ``conv1/weight``              torch, ``conv1.weight``
============  ==================================  =============================================
convolution   (ky, kx, Cin, Cout)                 (Cout, Cin, ky, kx), of ``nn.Conv2d``
lookup        (rows, Cout)                        (rows, Cout), of ``nn.Embedding``
dense, heads  (features, outputs), features in    (outputs, features), features in the order
              the order (y, x, channel)           (channel, y, x), of ``nn.Flatten, nn.Linear``
bias          (outputs,)                          (outputs,)
============  ==================================  =============================================
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.synapses import Dense, Shape, neurons, pooled
from spikesim.ep.network.graph import LayerGraph
from spikesim.ep.network.heads import Head

__all__ = ["LAYOUTS", "Form", "parameter_forms"]

LAYOUTS = {"torch": ".", "spikesim": "/"}
"""By name, what joins the name of a layer and of its array."""

Array = NDArray[np.float32]
_Number = TypeVar("_Number", bound=np.number[Any])


@dataclass(frozen=True)
class Form:
    """Form of the weights of a connection or head.

    Attributes
    ----------
    shape : tuple of int
        Of the weights, in this program's layout.
    features : (height, width, channels) or None
        The map that the first axis of `shape` runs over; None for a convolution and for a lookup.
    has_bias : bool
        A layer has one bias, whose name is that of its first connection.
    is_head : bool
        A head or the read-out, outside the dynamics.
    """

    shape: tuple[int, ...]
    features: Shape | None
    has_bias: bool = True
    is_head: bool = False

    @property
    def bias_shape(self) -> tuple[int]:
        """Shape of the biases."""
        return (self.shape[-1],)

    def shapes(self, layout: str) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays in a layout, by "weight" and "bias"."""
        shapes: dict[str, tuple[int, ...]] = {"weight": self.layout_shape(layout)}
        return {**shapes, "bias": self.bias_shape} if self.has_bias else shapes

    def layout_shape(self, layout: str) -> tuple[int, ...]:
        """Shape of the weights in a layout."""
        return self.shape if layout == "spikesim" or self.is_lookup else self.shape[:-3:-1] + self.shape[:-2]

    @property
    def is_lookup(self) -> bool:
        """Whether they are the rows of a lookup."""
        return self.features is None and len(self.shape) == 2

    def to_layout(self, weights: NDArray[_Number], layout: str) -> NDArray[_Number]:
        """Weights of this program, numbers of any type, in a layout; contiguous."""
        if layout == "spikesim" or self.is_lookup:
            return np.ascontiguousarray(weights)
        if self.features is None:
            return np.ascontiguousarray(weights.transpose(3, 2, 0, 1))
        by_map = weights.reshape(*self.features, -1)  # (y, x, channel, output)
        return np.ascontiguousarray(by_map.transpose(3, 2, 0, 1)).reshape(self.shape[::-1])

    def from_layout(self, weights: Array, layout: str) -> Array:
        """The inverse of `to_layout`."""
        if layout == "spikesim" or self.is_lookup:
            return np.ascontiguousarray(weights)
        if self.features is None:
            return np.ascontiguousarray(weights.transpose(2, 3, 1, 0))
        height, width, channels = self.features
        by_map = weights.reshape(-1, channels, height, width)  # (output, channel, y, x)
        return np.ascontiguousarray(by_map.transpose(2, 3, 1, 0)).reshape(self.shape)


def parameter_forms(graph: LayerGraph, heads: tuple[Head, ...], classes: int) -> dict[str, Form]:
    """Forms of the weights by name of the connection or head, in the order of `ParameterTree.leaves`."""
    forms = {}
    for edge in graph.edges:
        table, source = edge.connection.table, edge.connection.source.shape
        features = None
        if isinstance(table, Dense):
            features = pooled(source) if table.pool else source
        forms[edge.name] = Form(edge.shape, features, edge.first)
    for head in heads:
        forms[head.name] = Form((neurons(head.shape), classes), head.shape, is_head=True)
    return forms
