"""Centred learning: weights learn from deviations of the presynaptic rates, biases from their mean.

Firing probabilities are never negative, so the gradients of all weights into a neuron share a component along the
mean activity of the layer below. Following it, a layer answers ever more to how active the one below is as a whole:
the largest singular value of its weights grows, and with it the coupling, until the dynamics no longer settle. In the
centred form of the energy, ``W (p_below - m)``, this component belongs to the bias (Schraudolph 1998, "Centering
neural network gradient factors"; Montavon & Mueller 2012, "Deep Boltzmann machines and the centering trick", where it
conditions an energy-based model in the same way). Here the network stays as it is and the update takes the centred
form:

    dW  <-  dW - m (x) db,        b  <-  b - sum over synapses of (change of W) m

m being the mean rate of the presynaptic channel, which is local to the synapse. The second line keeps the mean drive.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.model import Array, Model


def presynaptic_mean(model: Model, layer: int, activity: NDArray[np.float64]) -> Array:
    """Mean rate behind each weight of a layer, float32, ready to be broadcast over its weights.

    Parameters
    ----------
    layer : int
        One that sees rates: any but the first in front of images.
    activity : float64 (C,)
        Mean firing probability of each channel of what is below, a layer or an input of spikes; pooling does not
        change it.

    Returns
    -------
    float32 (Cin, 1) for a convolution's (kernel, kernel, Cin, Cout), (inputs, 1) for a dense layer's
    """
    mean = activity.astype(np.float32)
    if not model.is_conv(layer):
        mean = np.tile(mean, model.weight_shape(layer)[0] // len(mean))
    return np.asarray(mean[:, None], np.float32)


def centre(gradient: Array, bias_gradient: Array, mean: Array) -> Array:
    """The gradient of the weights without its component along the mean; the shape of the weights."""
    return np.asarray(gradient - mean * bias_gradient, np.float32)


def bias_compensation(change: Array, mean: Array) -> Array:
    """What a change of the weights adds to the mean drive of each channel, float32 (Cout,)."""
    drive = (change * mean).reshape(-1, change.shape[-1])
    return np.asarray(drive.sum(axis=0, dtype=np.float64), np.float32)
