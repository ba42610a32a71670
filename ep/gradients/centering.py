"""Centered learning: weights learn from deviations of the presynaptic rates, biases from their mean.

Firing probabilities are never negative, so the gradients of all weights into a neuron share a component along the
mean activity of the layer below. Following it, a layer answers ever more to how active the one below is as a whole:
the largest singular value of its weights grows, and with it the spectral norm, until the dynamics no longer settle. In
the centered form of the energy, ``W (p_below - m)``, this component belongs to the bias (Schraudolph 1998, "Centering
neural network gradient factors"; Montavon & Mueller 2012, "Deep Boltzmann machines and the centering trick", where it
conditions an energy-based model in the same way). Here the network stays as it is and the update takes the centered
form:

    dW  <-  dW - m (x) db,        b  <-  b - sum over synapses of (change of W) m

m being the mean rate that a weight sees, which is local to its synapses: over the samples, and over the positions of
the target, those at which its place of the kernel sees padding counting as 0. The second line keeps the mean drive. The
first takes the mean of the errors of a channel away, as the gradient of batch normalization does.

(With the mean rate of the presynaptic channel in place of m, weights learn from db wherever they see less or more of a
map than another place of the kernel: at the rim, in maps of 4x4, at a quarter of the positions. A deep layer then comes
to fire by position, not by image.)
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.synapses import Conv, add_cells
from spikesim.ep.gradients.contrast import maps_below, presynaptic_unit
from spikesim.ep.network.graph import Edge
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array
from spikesim.ep.phases.rate_sums import RateSums
from spikesim.jit.compilation import kernel


def seen(model: Model, edge: Edge, sums: RateSums) -> NDArray[np.int64]:
    """What a connection sees of the window sums of its source, by neuron or cell, (H, W, Cin).

    Behind a pool of four cells that are averaged, their sum; behind one of winners, what they passed on.
    """
    below = maps_below(model, edge)
    maps = sums.maps(replace(edge.connection.source, shape=below.shape), below.at)
    return add_cells(maps) if below.pooled else maps


def presynaptic_mean(edge: Edge, maps: NDArray[np.int64], positions: int, window: int) -> Array:
    """Mean rate that each weight into a channel sees, over positions of the target; padding counts as 0.

    Parameters
    ----------
    edge : Edge
        One that does not start at an image.
    maps : int64 (H, W, Cin)
        What it sees (`seen`), added up over the samples and the steps of a window.
    positions : int
        Of the target, of all samples together.

    Returns
    -------
    float32 (kernel * kernel * Cin,) for a convolution's weights (kernel, kernel, Cin, Cout), (inputs,) for a dense
    layer's (inputs, Cout)
    """
    table = edge.connection.table
    totals = table.seen(maps, edge.connection.target.shape) if isinstance(table, Conv) else maps
    mean = totals / (presynaptic_unit(edge, window) * positions)
    return mean.astype(np.float32).ravel()


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
