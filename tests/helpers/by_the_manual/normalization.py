"""Section "Normalization": what the layers learn instead of the weights and biases of their neurons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from by_the_manual import integers as it
from by_the_manual import network as nt
from by_the_manual.dynamics import Parameters, Settings
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Normalization:
    """Weights, gains and biases of the layers by name, and the statistics of their drives.

    Parameters
    ----------
    parameters : Parameters
        Those of the network: of the layers before they are normalized, or what a checkpoint has of a run.
    """

    def __init__(self, layers: Sequence[nt.Layer], parameters: Parameters, model: Settings) -> None:
        self.rate, self.start = model["statistics_rate"], model["drive_deviation"]
        self.constant = model["statistics_schedule"] == "constant"
        self.weights = {layer.name: parameters.weights[layer.name].copy() for layer in layers}
        self.biases = {layer.name: parameters.biases[layer.name].copy() for layer in layers}
        self.gains, self.means, self.deviations = ({} for _ in range(3))
        for name, bias in self.biases.items():
            self.gains[name] = parameters.extra.get(f"{name}/gain", np.ones_like(bias)).copy()
            self.means[name] = parameters.extra.get(f"{name}/mean", np.zeros_like(bias)).copy()
            self.deviations[name] = parameters.extra.get(f"{name}/deviation", np.zeros_like(bias)).copy()
        self.fold(parameters)

    @follows(
        r"W g / s, \qquad b - g m / s, $W$ being taken without its mean over all synapses of the channel;",
        "Gains stay above 1/64;",
    )
    def fold(self, parameters: Parameters) -> None:
        """Set the weights and biases of the layers."""
        for name, weights in self.weights.items():
            self.gains[name] = np.maximum(self.gains[name], np.float32(1 / 64))
            parameters.weights[name] = (weights - mean_of(weights)) * self.scale(name)
            parameters.biases[name] = self.biases[name] - self.means[name] * self.scale(name)

    def scale(self, name: str) -> Floats:
        """g / s, 1 before there are statistics."""
        deviation = self.deviations[name]
        return self.gains[name] / deviation if deviation.any() else np.ones_like(deviation)

    @follows(
        r"""
        With $b'$ the bias of the neurons, $u$ is $(V - b') s / g$, $V$ the potentials at the end of the free phase,
        cut off at $\pm 16$, with 12 bits behind the point where they are squared.
        """,
    )
    def of_drive(self, name: str, parameters: Parameters, potential: Integers, layer: nt.Layer) -> tuple[Reals, Reals]:
        """Mean and variance of u, the variance with its constant."""
        own = np.clip(potential.reshape(-1, layer.shape[2]), -(2**20), 2**20)
        mean = own.sum(axis=0) / (float(len(own)) * it.ONE)
        square = ((own >> 4) ** 2).sum(axis=0) / (float(len(own)) * 2.0**24)
        variance = np.maximum(square - mean * mean, 0.0)
        scale = self.scale(name).astype(np.float64)
        return (mean - parameters.biases[name]) / scale, variance / (scale * scale) + 1e-5

    @follows(
        r"""
        m \leftarrow m + \mathrm{rate}\, (\mathrm{mean}\, u - m), \qquad s^2 \leftarrow s^2 + \mathrm{rate}\,
        (\mathrm{variance}\, u + 10^{-5} - s^2) with `model.statistics_rate`, before the step of the optimizer; the
        rate falls with the learning rate, by the factor of its schedule, unless `model.statistics_schedule` is
        "constant".
        """,
    )
    def observe(self, parameters: Parameters, potential: Integers, layer: nt.Layer, factor: float) -> None:
        """Move the statistics of a layer; factor: of the schedule of the learning rate."""
        name, rate = layer.name, self.rate * (1.0 if self.constant else factor)
        mean, variance = self.of_drive(name, parameters, potential, layer)
        square = self.deviations[name].astype(np.float64) ** 2
        self.means[name] = self.means[name] + (rate * (mean - self.means[name])).astype(np.float32)
        self.deviations[name] = np.sqrt(square + rate * (variance - square)).astype(np.float32)

    @follows(
        r"""
        dg &= \bigl( \sum_\text{synapses} G\, (W - \mathrm{mean}\, W) - m\, db \bigr) / s \\ dW &= (G -
        \mathrm{mean}\, G)\, g / s, $G$ in the second being centered.
        """,
    )
    def gain_gradient(self, name: str, gradient: Floats, bias: Floats) -> Floats:
        """Gradient of the gains from those of the neurons' weights and biases."""
        weights = self.weights[name].astype(np.float64) - mean_of(self.weights[name]).astype(np.float64)
        products = (gradient.astype(np.float64) * weights).reshape(-1, len(bias)).cumsum(axis=0)[-1]
        slope = products - bias.astype(np.float64) * self.means[name]
        return (slope / self.deviations[name]).astype(np.float32)

    def projected(self, name: str, gradient: Floats) -> Floats:
        """Gradient of the learned weights."""
        return (gradient - mean_of(gradient)) * self.scale(name)


@follows("$m$ takes what the change of $W$, without its mean, adds to the mean drive, instead of the bias.")
def without_mean(rates: Floats) -> Floats:
    """Mean rates behind the weights, as weights without their mean see them."""
    return rates - np.float32(rates.mean(dtype=np.float64))


@follows(
    """
    in the calibration the first layers, one level of them more in each round, take $m$ and $s$ as they are found, the
    gains then being `model.drive_deviation`, and the calibration ends no sooner than one round after all have.
    """,
)
def calibrate(
    own: Normalization, parameters: Parameters, potentials: list[Integers], layers: Sequence[nt.Layer]
) -> None:
    """Let these layers take the statistics that they have in a round."""
    for layer, potential in zip(layers, potentials, strict=False):
        name = layer.name
        first = not own.deviations[name].any()
        mean, variance = own.of_drive(name, parameters, potential, layer)
        own.means[name], own.deviations[name] = mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
        if first:
            own.gains[name] = np.full_like(own.gains[name], own.start)


def mean_of(array: Any) -> Floats:
    """Mean over the synapses of each channel, added up in float64 in their order."""
    rows = array.reshape(-1, array.shape[-1]).astype(np.float64)
    return np.asarray(rows.cumsum(axis=0)[-1] / len(rows), np.float32)
