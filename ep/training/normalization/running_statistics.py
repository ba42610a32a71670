"""Normalization of the drive by running statistics, folded into the weights of the network.

A layer learns weights W, gains g and biases b (one of each per channel). Let u be the drive of a channel by the weights
without their mean, and m and s its running mean and standard deviation over samples and positions. The neurons have the
weights and biases

    (W - mean W) g / s            b - g m / s

so that their drive has mean b and standard deviation g, as in batch normalization (Ioffe & Szegedy 2015,
arXiv:1502.03167). m and s are held in all phases of a mini-batch, as in arXiv:2409.03306, and no gradient passes
through them; they follow the potentials at the end of the free phase,

    m += rate (mean u - m)        s**2 += rate (variance u - s**2),

which a channel measures by itself. Nothing changes for an event or a phase, feedback uses the same weights, and a test
uses the statistics that training left. With G and db the gradients of the network's weights and biases,

    dW = (G - mean G) g / s       dg = ( sum over synapses of G (W - mean W)  -  m db ) / s.

Of the gradient through the statistics, which batch normalization has beside, the centered rule
(`spikesim.ep.gradients.centering`) adds the part that takes the mean of the errors of a channel away. A change of the
weights then moves m at once, so that the mean of the drive stays. That weights have no mean is ours: without it, noise
and the first steps of a phase, which raise the mean rates, move all of a deep layer at once.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array, LayerParameters
from spikesim.ep.phases.potentials import Moments
from spikesim.ep.training.normalization.scaled import ScaledLayer

__all__ = ["RunningStatistics"]

Reals = NDArray[np.float64]

EPSILON = 1e-5
"""Added to the variance of u: a channel without a drive is not amplified without bound."""


class RunningStatistics(ScaledLayer):
    """Weights, gains and biases of a layer, with the running mean and deviation of its drives.

    Before the first potentials are observed, m is 0 and s is g; then the gains are chosen such that the network stays.

    Attributes
    ----------
    mean, deviation : float32 (C,)
        m and s; deviations of 0 before the first observation.
    """

    observes = True

    def __init__(self, name: str, edges: tuple[Edge, ...], network: LayerParameters) -> None:
        super().__init__(name, edges, network)
        self.mean, self.deviation = np.zeros_like(self.bias), np.zeros_like(self.bias)
        self.fold()

    @property
    def observed(self) -> bool:
        """Whether there are statistics."""
        return bool(self.deviation.any())

    @property
    def scales(self) -> Array:
        return self.gain / self.deviation if self.observed else np.ones_like(self.gain)

    def statistics(self) -> dict[str, Array]:
        return {f"{self.name}/mean": self.mean, f"{self.name}/deviation": self.deviation}

    def behind(self) -> dict[str, Array]:
        return {self.gain_name: self.gain, **self.statistics()}

    def unfold(self, behind: Mapping[str, Array]) -> None:
        if self.is_behind(behind):
            for name, array in self.behind().items():
                array[...] = behind[name]
        scales = self.scales
        for name, weights in self.network.weights.items():
            np.divide(weights, scales, out=self.weights[name])
        np.add(self.network.bias, self.mean * scales, out=self.bias)

    def gain_gradient(self, gradients: Mapping[str, Array], bias: Array) -> Array | None:
        if not self.observed:
            return np.zeros_like(self.gain)
        slopes = self.products(gradients) - np.asarray(bias, np.float64) * self.mean
        return np.asarray(slopes / self.deviation, np.float32)

    def project(self, gradients: list[Array]) -> None:
        offset, scales = self.mean_of(gradients), self.scales
        for gradient in gradients:
            gradient -= offset
            gradient *= scales

    def observe(self, moments: Moments, rate: float) -> None:
        if not self.observed:
            self._take(moments)
            self.gain[...] = self.deviation
            self.bias += self.mean
            return
        mean, variance = self._of_drive(moments)
        square = self.deviation.astype(np.float64) ** 2
        self.mean += (rate * (mean - self.mean)).astype(np.float32)
        self.deviation[...] = np.sqrt(square + rate * (variance - square))

    def standardize(self, moments: Moments, gain: float) -> None:
        first = not self.observed
        self._take(moments)
        if first:
            self.gain[...] = gain

    def keep_mean_drive(self, drive: Array) -> None:
        if self.observed:
            self.mean += drive
        else:
            self.bias -= drive

    def fold(self) -> None:
        super().fold()
        np.subtract(self.bias, self.mean * self.scales, out=self.network.bias)

    def _of_drive(self, moments: Moments) -> tuple[Reals, Reals]:
        """Mean and variance of u, from those of the potentials; float64 (C,)."""
        scales = self.scales.astype(np.float64)
        return (moments.mean - self.network.bias) / scales, moments.variance / (scales * scales) + EPSILON

    def _take(self, moments: Moments) -> None:
        mean, variance = self._of_drive(moments)
        self.mean[...], self.deviation[...] = mean, np.sqrt(variance)
