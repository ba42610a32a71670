"""Centered learning: weights learn from deviations of the presynaptic rates, biases from their mean.

Firing probabilities are never negative, so the gradients of all weights into a neuron share a component along the
mean activity of the layer below. Following it, a layer answers ever more to how active the one below is as a whole:
the largest singular value of its weights grows, and with it the spectral norm, until the dynamics no longer settle. In
the centered form of the energy, ``W (p_below - m)``, this component belongs to the bias (Schraudolph 1998, "Centering
neural network gradient factors"; Montavon & Mueller 2012, "Deep Boltzmann machines and the centering trick", where it
conditions an energy-based model in the same way). Here the network stays as it is and the update takes the centered
form:

    dW  <-  dW - m (x) db,        b  <-  b - sum over synapses of (change of W) m

m being the mean rate that a weight sees, which is local to its synapses: that of the presynaptic channel, times the
share of the positions at which the place of the kernel sees the map and not padding. The second line keeps the mean
drive. (With the mean rate of the channel alone, weights at the rim of a kernel would learn from db wherever they see
padding, in maps of 4x4 at a quarter of the positions and more: the layer then comes to fire by position, not by image.)
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array
from spikesim.jit.compilation import kernel


def presynaptic_mean(edge: Edge, activity: NDArray[np.float64]) -> Array:
    """Mean rate that each weight into a channel of a connection's target sees; padding counts as 0.

    Parameters
    ----------
    edge : Edge
        One that sees rates: any that does not start at an image.
    activity : float64 (C,)
        Mean firing probability of each channel of what is below, a layer or an input of spikes; pooling does not
        change it.

    Returns
    -------
    float32 (kernel * kernel * Cin,) for a convolution's weights (kernel, kernel, Cin, Cout), (inputs,) for a dense
    layer's (inputs, Cout)
    """
    if edge.convolution:
        return (edge.coverage * activity).astype(np.float32).ravel()
    return np.tile(activity.astype(np.float32), edge.shape[0] // len(activity))


def centre(gradient: Array, bias_gradient: Array, mean: Array) -> None:
    """Take from the gradient of the weights, (..., Cin, Cout), its component along the mean; in place."""
    _centre(gradient.reshape(-1, gradient.shape[-1]), bias_gradient, mean)


def bias_compensation(weights: Array, before: Array, mean: Array) -> Array:
    """What a change of the weights adds to the mean drive of each channel.

    Parameters
    ----------
    weights, before : float32 (..., Cin, Cout)
        Now and before the change.
    mean : float32 (...,)
        That each of the weights into a channel sees.

    Returns
    -------
    float32 (Cout,)
    """
    drive = np.zeros(weights.shape[-1])
    _add_drive(weights.reshape(-1, weights.shape[-1]), before.reshape(-1, weights.shape[-1]), mean, drive)
    return drive.astype(np.float32)


@kernel
def _centre(gradient, bias_gradient, mean):
    """gradient: (synapses, Cout). mean: (synapses,)."""
    for row in range(gradient.shape[0]):
        factor = mean[row]
        for channel in range(gradient.shape[1]):
            gradient[row, channel] -= np.float32(factor * bias_gradient[channel])


@kernel
def _add_drive(weights, before, mean, drive):
    """weights, before: (synapses, Cout). mean: (synapses,). drive: float64 (Cout,)."""
    for row in range(weights.shape[0]):
        factor = mean[row]
        for channel in range(weights.shape[1]):
            change = np.float32(weights[row, channel] - before[row, channel])
            drive[channel] += np.float64(np.float32(change * factor))
