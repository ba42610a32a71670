"""Dropout: neurons that do not fire in the phases of a training sample (Srivastava et al. 2014).

A dropped neuron has a large negative external drive, and its potential begins as far below zero: it follows its drive
at that distance and never reaches zero, whatever the neuron model, the low pass and the phase. So it sends nothing,
wins no pool, is in no feature, answers to no nudge, and its synapses learn nothing from the sample. All phases of a
sample have the same dropped neurons. Whatever leads out of a layer counts 1 / (1 - share) as much in training, weights
onto other layers and those of heads, so that it drives as much on average as all of the layer does at inference.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.layout import CompiledNetwork
from spikesim.ep.config.parsing import Config
from spikesim.ep.network.graph import LayerGraph
from spikesim.ep.network.heads import Head
from spikesim.ep.network.parameters import Array, HeadParameters, LayerParameters, ParameterTree
from spikesim.errors import InputError
from spikesim.io.validation import did_you_mean, nearest
from spikesim.numerics.fixed_point import ONE, SHARE_LIMIT
from spikesim.numerics.philox import random_bits

__all__ = ["TAG_DROPOUT", "Dropout", "check_droppable"]

TAG_DROPOUT = 0xF9000000
"""Last word of the counters of the random numbers that drop neurons, beside the layer."""
SILENCING = 2 * SHARE_LIMIT
"""Below zero, the drive of a dropped neuron: more than the largest nudge and all that `check` and `check_droppable`
let pass, and little enough for int32."""
DRIVEN_LIMIT = SHARE_LIMIT // 4


@dataclass(frozen=True, eq=False)
class Dropout:
    """Which neurons are dropped.

    Attributes
    ----------
    graph : LayerGraph
    layers : tuple of int
        That have dropped neurons.
    threshold : int
        Of 16 random bits: those below it drop.
    channels : bool
        Whether whole channels of a map are dropped.
    seed : int
    scaled_weights : frozenset of str
        Names of the weights that lead out of these layers.
    """

    graph: LayerGraph
    layers: tuple[int, ...]
    threshold: int
    channels: bool
    seed: int
    scaled_weights: frozenset[str]

    @classmethod
    def of(cls, config: Config, graph: LayerGraph, heads: Sequence[Head]) -> "Dropout | None":
        """That of a configuration; None where it drops nothing.

        Raises
        ------
        InputError
            There is no layer of that name.
        """
        settings = config.model
        threshold = round(settings.dropout * 2**16)
        if not threshold:
            return None
        for name in settings.dropout_layers:
            if name not in graph.names:
                raise InputError(
                    f"model.dropout_layers has {name!r}, no layer{did_you_mean(nearest(name, graph.names))}; the "
                    f"layers are {', '.join(graph.names)}"
                )
        names = settings.dropout_layers or graph.names
        layers = tuple(layer for layer, name in enumerate(graph.names) if name in names)
        leading_out = {edge.weight for edge in graph.edges if edge.source in layers}
        leading_out |= {f"{head.name}/weight" for head in heads if head.layer in layers}
        channels = settings.dropout_units == "channels"
        return cls(graph, layers, threshold, channels, config.seed, frozenset(leading_out))

    @property
    def scale(self) -> float:
        """Factor on the weights that lead out of a layer with dropped neurons."""
        return 2**16 / (2**16 - self.threshold)

    def scaled(self, parameters: ParameterTree) -> ParameterTree:
        """Parameters as the network has them in training."""

        def factor(name: str, weight: Array) -> Array:
            return weight * np.float32(self.scale) if name in self.scaled_weights else weight

        def head(name: str, own: HeadParameters) -> HeadParameters:
            return HeadParameters(factor(f"{name}/weight", own.weight), own.bias)

        layers = {
            name: LayerParameters(
                {edge: factor(f"{edge}/weight", own) for edge, own in layer.weights.items()}, layer.bias
            )
            for name, layer in parameters.layers.items()
        }
        heads = {name: head(name, own) for name, own in parameters.heads.items()}
        return ParameterTree(layers, heads, head("readout", parameters.readout))

    def silencing(self, compiled: CompiledNetwork, sample_ids: NDArray[np.int64], epoch: int) -> NDArray[np.int32]:
        """The drives that silence the dropped neurons of training samples in an epoch, int32 (n, state size).

        The 16 random bits of neuron i of a layer, in the order (y, x, channel), or of channel i, are half i mod 8 of
        the Philox block with the counter (i div 8, epoch, sample, `TAG_DROPOUT` + layer).
        """
        n = len(sample_ids)
        drives = np.zeros((n, compiled.sizes["state"]), np.int32)
        for layer in self.layers:
            population = self.graph.populations[layer]
            size = population.shape[2] if self.channels else population.neurons
            bits = random_bits(
                n, size, second=epoch, third=sample_ids[:, np.newaxis], fourth=TAG_DROPOUT | layer, seed=self.seed
            )
            own = np.where(bits < self.threshold, np.int32(-SILENCING), np.int32(0))
            shape = (n, 1, 1, size) if self.channels else (n, *population.shape)
            maps = np.broadcast_to(own.reshape(shape), (n, *population.shape))
            at = int(compiled.plan.populations[population.index].state)
            drives[:, at : at + population.state_size] = population.to_state(maps)
        return drives

    def check(self, compiled: CompiledNetwork) -> None:
        """Refuse weights that could drive a dropped neuron to fire.

        Raises
        ------
        InputError
        """
        for layer in self.layers:
            population = self.graph.populations[layer]
            at = int(compiled.plan.populations[population.index].bias)
            bias = compiled.plan.bias[at : at + population.shape[2]]
            largest = compiled.largest_drive(population) + float(bias.max(initial=0))
            if largest > DRIVEN_LIMIT:
                raise InputError(
                    f"the drive of a neuron of {population.name} could reach {largest / ONE:.4g}; with model.dropout "
                    f"the limit is {DRIVEN_LIMIT // ONE}: lower the learning rate or the gain"
                )


def check_droppable(external: NDArray[np.int32]) -> None:
    """Refuse external drives that could drive a dropped neuron to fire.

    Raises
    ------
    InputError
    """
    largest = int(external.max(initial=0))
    if largest > DRIVEN_LIMIT:
        raise InputError(
            f"the input drives a neuron to {largest / ONE:.4g}; with model.dropout the limit is {DRIVEN_LIMIT // ONE}: "
            "lower the learning rate or the gain"
        )
