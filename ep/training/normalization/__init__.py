"""Between what the layers learn and the weights and biases that their neurons have: a file a normalization.

Imports `config`, `network` and `phases` of `ep`; the rest of `training`, and `gradcheck`, import it.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.network.graph import Edge, LayerGraph
from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.ep.phases.potentials import Moments
from spikesim.ep.training.normalization.layer import LayerNormalization
from spikesim.ep.training.normalization.running_statistics import RunningStatistics
from spikesim.ep.training.normalization.weight_standardization import WeightStandardization

__all__ = ["LayerNormalization", "Normalization"]

_HELD = "held/"
"""Stands before the names of weights that are held in a checkpoint."""

KINDS: dict[str, type[LayerNormalization]] = {
    "none": LayerNormalization,
    "running-statistics": RunningStatistics,
    "weight-standardization": WeightStandardization,
}
"""By name, as `model.normalization` has it."""


def _kind(config: Config, edges: tuple[Edge, ...]) -> type[LayerNormalization]:
    """That of a layer. The rows of a lookup are learned as they are: a neuron has one of them at a time."""
    return LayerNormalization if edges[0].lookup else KINDS[config.model.normalization]


class Normalization:
    """The normalizations of all layers of a network.

    Parameters
    ----------
    config : Config
    graph : LayerGraph
    parameters : ParameterTree
        Those of the network, which `fold` overwrites; what is learned starts from them and is the same function.

    Attributes
    ----------
    parameters : ParameterTree
    normalizes : bool
        Whether calibration sets the drives' standard deviations as well as their means.
    observes : bool
        Whether the layers need the potentials of every mini-batch.
    layers : list of LayerNormalization
    """

    def __init__(self, config: Config, graph: LayerGraph, parameters: ParameterTree) -> None:
        self.parameters = parameters
        self.normalizes = config.model.normalization != "none"
        self.observes = KINDS[config.model.normalization].observes
        self._gains = per_layer(config.model.drive_deviation, len(graph.names), "model.drive_deviation")
        self.layers = [
            _kind(config, graph.incoming(layer))(name, graph.incoming(layer), parameters.layers[name])
            for layer, name in enumerate(graph.names)
        ]

    def learned(self) -> dict[str, Array]:
        """What the optimizer moves, by name, heads and read-out included."""
        found = self.parameters.leaves()
        for layer in self.layers:
            found.update(layer.learned())
        return found

    def statistics(self) -> dict[str, Array]:
        """What is measured beside, by name, and the network's weights and biases where they are held; a checkpoint has
        them too."""
        found = {name: array for layer in self.layers for name, array in layer.statistics().items()}
        held = {name: array for layer in self.layers if layer.held for name, array in layer.folded().items()}
        return {**found, **{f"{_HELD}{name}": array for name, array in held.items()}}

    def behind(self) -> dict[str, Array]:
        """Gains and statistics between what is learned and the network's weights, by name."""
        return {name: array for layer in self.layers for name, array in layer.behind().items()}

    def stored(self) -> dict[str, Array]:
        """The arrays of a run file by name: the parameters of the network, gains and statistics."""
        return {**self.parameters.leaves(), **self.behind()}

    def hold(self, layers: Collection[int]) -> None:
        """From now on, nothing changes these layers, and what is wanted changes others."""
        for index, layer in enumerate(self.layers):
            layer.held = index in layers

    def adopt(self, layer: int, arrays: Mapping[str, Array]) -> None:
        """Give a layer the weights and biases of another network, with gains and statistics as far as they are known.

        Parameters
        ----------
        layer : int
            The weights and biases of one that is held stay as given to the last bit; others are folded again.
        arrays : mapping of str to float32 array
            As `stored` has them.
        """
        own = self.layers[layer]
        for edge in own.edges:
            own.network.weights[edge.name][...] = arrays[edge.weight]
        own.network.bias[...] = arrays[f"{own.name}/bias"]
        own.unfold({name: arrays[name] for name in own.behind() if name in arrays})
        if not own.held:
            own.fold()

    def restore(self, statistics: Mapping[str, Any]) -> None:
        """Take up the statistics of a checkpoint, once what is learned has been."""
        for name, array in self.statistics().items():
            array[...] = statistics[name]
        self.fold()

    def fold(self) -> None:
        """Set the weights and biases of the network."""
        for layer in self.layers:
            if not layer.held:
                layer.fold()

    def arrays(self) -> Iterator[NDArray[Any]]:
        """All of it, in one order."""
        yield from self.learned().values()
        yield from self.statistics().values()

    def standardize(self, layer: int, moments: Moments) -> None:
        """Set the statistics of a layer to those of its potentials, before training; `fold` comes after."""
        if not self.layers[layer].held:
            self.layers[layer].standardize(moments, self._gains[layer])

    def scale(self, edge: Edge, factor: float) -> None:
        """Multiply the weights of a connection, unless its layer is held; `fold` comes after."""
        if not self.layers[edge.target].held:
            self.layers[edge.target].scale(edge, np.float32(factor))
