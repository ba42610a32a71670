"""Normalization of the drive by running statistics, folded into the weights of the network.

A layer learns weights W, gains g and biases b (one of each a channel). With m and s the running mean and standard
deviation of the drive W x of a channel, over samples and positions, its neurons have the weights and biases

    W g / s                b - g m / s

so that their drive has mean b and standard deviation g, as in batch normalization (Ioffe & Szegedy 2015,
arXiv:1502.03167). m and s are held in all phases of a mini-batch, as in arXiv:2409.03306, and no gradient passes
through them; they follow the potentials at the end of the free phase,

    m += rate (mean - m)        s**2 += rate (variance - s**2),

which a channel measures by itself. Nothing changes for an event or a phase, feedback uses the same weights, and a test
uses the statistics that training left. With G and db the gradients of the network's weights and biases,

    dW = G g / s                dg = ( sum over synapses of G W - db m ) / s.

What batch normalization adds, the gradient through the statistics, is the part of it that the centered rule has
(`spikesim.ep.gradients.centering`): it takes the mean of the errors of a channel away. A change of the weights then
moves m at once, so that the mean of the drive stays.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array, LayerParameters
from spikesim.ep.phases.potentials import Moments
from spikesim.ep.training.normalization.layer import LayerNormalization
from spikesim.jit.compilation import kernel

__all__ = ["RunningStatistics"]

EPSILON = 1e-5
"""Added to the variance of the drive W x: a channel that hears nothing is not amplified without bound."""
GAIN_MIN = 2.0**-6
"""Gains stay above it: below, the potentials would not tell the drive."""


class RunningStatistics(LayerNormalization):
    """Weights, gains and biases of a layer, with the running mean and deviation of its drives.

    Before the first potentials are observed the network's own weights and biases are learned; then gains are chosen
    such that the network is the same.

    Attributes
    ----------
    gain : float32 (C,)
    mean, deviation : float32 (C,)
        Running statistics of the drive; deviations of 0 before the first observation.
    """

    def __init__(self, name: str, edges: tuple[Edge, ...], network: LayerParameters) -> None:
        super().__init__(name, edges, network)
        self.weights = {edge: weights.copy() for edge, weights in network.weights.items()}
        self.bias = network.bias.copy()
        self.gain = np.ones_like(self.bias)
        self.mean, self.deviation = np.zeros_like(self.bias), np.zeros_like(self.bias)
        self._fan_in = sum(edge.fan_in for edge in edges)
        for weights in self.weights.values():
            weights -= self._mean_of(self.weights.values())
        self.fold()

    @property
    def observed(self) -> bool:
        """Whether there are statistics."""
        return bool(self.deviation.any())

    @property
    def scales(self) -> Array:
        """Factor from the learned weights to those of the network, (C,)."""
        return self.gain / self.deviation if self.observed else self.gain

    def learned(self) -> dict[str, Array]:
        return {**super().learned(), self.gain_name: self.gain}

    def statistics(self) -> dict[str, Array]:
        return {f"{self.name}/mean": self.mean, f"{self.name}/deviation": self.deviation}

    def gain_gradient(self, gradients: Mapping[str, Array], bias: Array) -> Array | None:
        total = -np.asarray(bias, np.float64) * self.mean
        offset = self._mean_of(self.weights.values())
        for edge in self.edges:
            weights = (self.weights[edge.name] - offset).reshape(-1, len(self.bias))
            _add_products(gradients[edge.weight].reshape(-1, len(self.bias)), weights, total)
        return np.asarray(total / self.deviation if self.observed else total, np.float32)

    def project(self, gradients: list[Array]) -> None:
        offset = self._mean_of(gradients)
        for gradient in gradients:
            gradient -= offset
            gradient *= self.scales

    def observe(self, moments: Moments, rate: float) -> None:
        scales = self.scales.astype(np.float64)
        mean, variance = (moments.mean - self.network.bias) / scales, moments.variance / (scales * scales) + EPSILON
        if self.observed:
            self.mean += (rate * (mean - self.mean)).astype(np.float32)
            square = self.deviation.astype(np.float64) ** 2
            self.deviation[...] = np.sqrt(square + rate * (variance - square))
        else:
            self.mean[...], self.deviation[...] = mean, np.sqrt(variance)
            self.gain *= self.deviation
            self.bias += self.mean * (self.gain / self.deviation)

    def standardize(self, moments: Moments, gain: float) -> None:
        scales, first = self.scales.astype(np.float64), not self.observed
        self.mean[...] = (moments.mean - self.network.bias) / scales
        self.deviation[...] = np.sqrt(moments.variance / (scales * scales) + EPSILON)
        if first:
            self.gain[...] = gain

    def seen(self, mean: Array) -> Array:
        return mean - mean.mean(dtype=np.float64).astype(np.float32)

    def keep_mean_drive(self, drive: Array) -> None:
        if self.observed:
            self.mean += drive
        else:
            self.bias -= drive

    def scale(self, edge: Edge, factor: np.float32) -> None:
        self.gain *= factor

    def fold(self) -> None:
        np.maximum(self.gain, np.float32(GAIN_MIN), out=self.gain)
        scales, offset = self.scales, self._mean_of(self.weights.values())
        for name, weights in self.weights.items():
            np.subtract(weights, offset, out=self.network.weights[name])
            self.network.weights[name] *= scales
        np.subtract(self.bias, self.mean * scales, out=self.network.bias)

    def _mean_of(self, arrays: Iterable[Array]) -> Array:
        """Mean over all synapses of each channel, of arrays like the weights."""
        total = np.zeros(len(self.bias))
        for array in arrays:
            _add(array.reshape(-1, len(self.bias)), total)
        return (total / self._fan_in).astype(np.float32)


@kernel
def _add(values, total):
    """Add the sums of each column; float32 (n, C), float64 (C,)."""
    for row in range(values.shape[0]):
        for channel in range(values.shape[1]):
            total[channel] += np.float64(values[row, channel])


@kernel
def _add_products(gradient, weights, total):
    """Add the sums of the products of each column; float32 (n, C), float64 (C,)."""
    for row in range(gradient.shape[0]):
        for channel in range(gradient.shape[1]):
            total[channel] += np.float64(gradient[row, channel]) * np.float64(weights[row, channel])
