"""What is learned, as a tree of named arrays: the layers, the intermediate heads and the read-out."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network.graph import LayerGraph
from spikesim.ep.network.heads import READOUT, Head

__all__ = ["Array", "HeadParameters", "LayerParameters", "ParameterTree", "weights_digest"]

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """Parameters of a layer; all float32.

    Attributes
    ----------
    weights : dict of str to array
        By name of the connection into the layer (`Edge.name`): (kernel, kernel, Cin, Cout) of a convolution, (inputs,
        neurons) of a dense table.
    bias : array, (Cout,)
    """

    weights: dict[str, Array]
    bias: Array


@dataclass(frozen=True, eq=False)
class HeadParameters:
    """Parameters of a head; float32 (features, classes) and (classes,)."""

    weight: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class ParameterTree:
    """All parameters of a network.

    Attributes
    ----------
    layers : dict of str to LayerParameters
        By name of the layer, in the order of the graph.
    heads : dict of str to HeadParameters
        The intermediate heads by name, lowest first.
    readout : HeadParameters
    """

    layers: dict[str, LayerParameters]
    heads: dict[str, HeadParameters]
    readout: HeadParameters

    def head(self, name: str) -> HeadParameters:
        """A head by its name, the read-out's included."""
        return self.heads[name] if name in self.heads else self.readout

    def weights(self, graph: LayerGraph) -> list[Array]:
        """The weights of the connections, in the order of `LayerGraph.edges`."""
        return [self.layers[graph.names[edge.target]].weights[edge.name] for edge in graph.edges]

    def biases(self) -> list[Array]:
        """The biases of the layers."""
        return [layer.bias for layer in self.layers.values()]

    def leaves(self) -> dict[str, Array]:
        """The arrays themselves by name, ``<connection, layer or head>/weight`` and ``/bias``, as in a run file."""
        found: dict[str, Array] = {}
        for name, layer in self.layers.items():
            found.update({f"{edge}/weight": weight for edge, weight in layer.weights.items()})
            found[f"{name}/bias"] = layer.bias
        for name, head in (*self.heads.items(), (READOUT, self.readout)):
            found[f"{name}/weight"], found[f"{name}/bias"] = head.weight, head.bias
        return found

    @classmethod
    def of_leaves(cls, graph: LayerGraph, heads: Iterable[Head], leaves: Mapping[str, Any]) -> "ParameterTree":
        """The inverse of `leaves`; the arrays are copied."""

        def copy(name: str) -> Array:
            return np.array(leaves[name], dtype=np.float32)

        layers = {
            name: LayerParameters(
                {edge.name: copy(edge.weight) for edge in graph.incoming(layer)}, copy(f"{name}/bias")
            )
            for layer, name in enumerate(graph.names)
        }
        found = {head.name: HeadParameters(copy(f"{head.name}/weight"), copy(f"{head.name}/bias")) for head in heads}
        return cls(layers, {name: head for name, head in found.items() if name != READOUT}, found[READOUT])


def weights_digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over names, shapes and float32 values in this program's layout: the same whatever file they came from."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, list(array.shape)]).encode() + b"\n")
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()
