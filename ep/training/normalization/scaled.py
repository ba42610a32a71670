"""Weights without their mean over the synapses of a channel, and a gain for each channel.

Firing probabilities are never negative. Weights whose mean is not zero make every neuron of a layer respond to the mean
rate of the layer below, which noise, the first steps of a phase and learning all change; from layer to layer that
response grows. So what the network has is

    (W - mean W) g / s

with the mean over all synapses of a channel; s is what the two normalizations differ in. That the first layer then
responds to differences of pixels only is for the better, too (docs/notebook/accuracy.md).
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array, LayerParameters
from spikesim.ep.training.normalization.layer import LayerNormalization
from spikesim.jit.compilation import kernel

__all__ = ["GAIN_MIN", "ScaledLayer", "add_squares", "subtract_products"]

GAIN_MIN = 2.0**-6
"""Gains stay above it: below, the potentials would not tell the drive."""


class ScaledLayer(LayerNormalization):
    """Weights, gains and biases of a layer.

    Attributes
    ----------
    gain : float32 (C,)
    """

    def __init__(self, name: str, edges: tuple[Edge, ...], network: LayerParameters) -> None:
        super().__init__(name, edges, network)
        self.weights = {edge: weights.copy() for edge, weights in network.weights.items()}
        self.bias = network.bias.copy()
        self.gain = np.ones_like(self.bias)
        self._fan_in = sum(edge.fan_in for edge in edges)

    @property
    @abstractmethod
    def scales(self) -> Array:
        """g / s: the factor from the learned weights without their mean to those of the network, (C,)."""

    def learned(self) -> dict[str, Array]:
        return {**super().learned(), self.gain_name: self.gain}

    def folded(self) -> dict[str, Array]:
        weights = {edge.weight: self.network.weights[edge.name] for edge in self.edges}
        return {**weights, f"{self.name}/bias": self.network.bias}

    def is_behind(self, arrays: Mapping[str, Array]) -> bool:
        """Whether these are gains and statistics of this normalization."""
        own = self.behind()
        return own.keys() == arrays.keys() and all(own[name].shape == array.shape for name, array in arrays.items())

    def seen(self, means: Mapping[str, Array]) -> Mapping[str, Array]:
        fan_in = {edge.name: edge.fan_in for edge in self.edges}
        total = sum(fan_in[name] * mean.mean(dtype=np.float64) for name, mean in means.items())
        common = np.float32(total / self._fan_in)
        return {name: np.asarray(mean - common, np.float32) for name, mean in means.items()}

    def scale(self, edge: Edge, factor: np.float32) -> None:
        self.gain *= factor

    def fold(self) -> None:
        np.maximum(self.gain, np.float32(GAIN_MIN), out=self.gain)
        offset, scales = self.mean_of(self.weights.values()), self.scales
        for name, weights in self.weights.items():
            np.subtract(weights, offset, out=self.network.weights[name])
            self.network.weights[name] *= scales

    def mean_of(self, arrays: Iterable[Array]) -> Array:
        """Mean over the synapses of each channel, of arrays like the weights; float32 (C,)."""
        total = np.zeros(len(self.bias))
        for array in arrays:
            _add(array.reshape(-1, len(self.bias)), total)
        return np.asarray(total / self._fan_in, np.float32)

    def products(self, gradients: Mapping[str, Array]) -> NDArray[np.float64]:
        """Sum over the synapses of each channel of gradients, by name, times weights without their mean; (C,)."""
        offset, total = self.mean_of(self.weights.values()), np.zeros(len(self.bias))
        for edge in self.edges:
            own, weights = gradients[edge.weight], self.weights[edge.name]
            _add_products(own.reshape(-1, len(offset)), weights.reshape(-1, len(offset)), offset, total)
        return total


@kernel
def _add(values, total):
    """Add the sums of each column; float32 (n, C), float64 (C,)."""
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            total[channel] += np.float64(values[row, channel])


@kernel
def _add_products(gradient, weights, offset, total):
    """Add the sums of the products of each column, the weights without the offset; float32 (n, C), float64 (C,)."""
    for row in range(gradient.shape[0]):
        for channel in range(gradient.shape[1]):
            weight = np.float64(weights[row, channel]) - np.float64(offset[channel])
            total[channel] += np.float64(gradient[row, channel]) * weight


@kernel
def add_squares(weights, offset, total):
    """Add the sums of the squares of each column without its offset; float32 (n, C), float64 (C,)."""
    for row in range(weights.shape[0]):
        for channel in range(weights.shape[1]):
            weight = np.float64(weights[row, channel]) - np.float64(offset[channel])
            total[channel] += weight * weight


@kernel
def subtract_products(values, weights, offset, factor):
    """Subtract from each column its factor times that of the weights without the offset; float32 (n, C), (C,)."""
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            weight = np.float32(weights[row, channel] - offset[channel])
            values[row, channel] -= np.float32(weight * factor[channel])
