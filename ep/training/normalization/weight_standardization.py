"""Scaled weight standardization: weights of mean 0 and norm g, for each channel.

A layer learns weights W, gains g and biases b. With the mean and the variance over the N synapses of a channel, its
neurons have the weights (Brock et al. 2021, arXiv:2101.08692; in a spiking network with local errors, Apolinario et al.
2025, arXiv:2502.01837)

    g u,          u = (W - mean W) / s,          s = sqrt(N variance W + epsilon).

Nothing is measured: it is synaptic scaling. With G the gradient of the network's weights,

    dg = sum over synapses of G u               dW = (g / s) (G - mean G - u sum over synapses of G u).

Before training, the gains are set such that the drives have a wanted standard deviation.
"""

from collections.abc import Mapping

import numpy as np

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array, LayerParameters
from spikesim.ep.phases.potentials import Moments
from spikesim.ep.training.normalization.scaled import ScaledLayer, add_squares, subtract_products

__all__ = ["WeightStandardization"]

EPSILON = 1e-10
"""Added to N times the variance of the weights."""
DEVIATION_MIN = 1e-3
"""A smaller standard deviation of the potentials counts as this one: a silent layer says nothing about its gain."""


class WeightStandardization(ScaledLayer):
    """Weights, gains and biases of a layer whose weights are standardized."""

    def __init__(self, name: str, edges: tuple[Edge, ...], network: LayerParameters) -> None:
        super().__init__(name, edges, network)
        self.gain[...] = self._norms()  # the network's weights, but for their mean
        self._limited = 1.0  # what limits have left of the standard deviation that is wanted at the start
        self.fold()

    @property
    def scales(self) -> Array:
        return self.gain / self._norms()

    def behind(self) -> dict[str, Array]:
        return {self.gain_name: self.gain, f"{self.name}/norm": self._norms()}

    def unfold(self, behind: Mapping[str, Array]) -> None:
        for name, weights in self.network.weights.items():
            self.weights[name][...] = weights
        self.gain[...] = self._norms()
        self.bias[...] = self.network.bias
        if self.is_behind(behind):
            self.gain[...] = behind[self.gain_name]
            for weights in self.weights.values():
                weights *= behind[f"{self.name}/norm"] / self.gain

    def gain_gradient(self, gradients: Mapping[str, Array], bias: Array) -> Array | None:
        return np.asarray(self.products(gradients) / self._norms(), np.float32)

    def project(self, gradients: list[Array]) -> None:
        norms, offset = self._norms(), self.mean_of(self.weights.values())
        mean = self.mean_of(gradients)
        named = {edge.weight: gradient for edge, gradient in zip(self.edges, gradients, strict=True)}
        along = (self.products(named) / (norms.astype(np.float64) ** 2)).astype(np.float32)
        for edge, gradient in zip(self.edges, gradients, strict=True):
            rows = gradient.reshape(-1, len(norms))
            rows -= mean
            subtract_products(rows, self.weights[edge.name].reshape(-1, len(norms)), offset, along)
            rows *= self.gain / norms

    def standardize(self, moments: Moments, gain: float) -> None:
        wanted = gain * self._limited
        self.gain *= (wanted / np.maximum(np.sqrt(moments.variance), DEVIATION_MIN)).astype(np.float32)

    def scale(self, edge: Edge, factor: np.float32) -> None:
        super().scale(edge, factor)
        self._limited *= float(factor)

    def keep_mean_drive(self, drive: Array) -> None:
        self.bias -= self.scales * drive

    def fold(self) -> None:
        super().fold()
        self.network.bias[...] = self.bias

    def _norms(self) -> Array:
        """s, float32 (C,)."""
        offset, total = self.mean_of(self.weights.values()), np.full(len(self.bias), EPSILON)
        for weights in self.weights.values():
            add_squares(weights.reshape(-1, len(offset)), offset, total)
        return np.asarray(np.sqrt(total), np.float32)
