"""How strongly neighbouring layers drive each other: whether the dynamics contract.

Two layers l - 1 and l with tied weights are linear where their neurons are neither silent nor certain. There one step
multiplies a deviation by at most ``sqrt(gamma) * sigma``, sigma the largest singular value of ``D_l W_l Pool D_{l-1}``,
D the diagonal matrix that picks these neurons and gamma the feedback gain. Below 1 a pair of layers comes to rest by
itself; a chain of many needs about half of that (the norm of a tridiagonal block matrix is at most twice that of its
blocks). Estimated by power iteration on the rates of some samples.
"""

import math

import numpy as np
from numpy.typing import NDArray

from spikesim.ep import phases as ph
from spikesim.ep.coding import Input
from spikesim.ep.contrast import layer_rates
from spikesim.ep.meanfield import Link
from spikesim.ep.model import Model, Parameters
from spikesim.ep.team import Team
from spikesim.fixedpoint import ONE

Reals = NDArray[np.float64]

ITERATIONS = 8
SAMPLES = 8
"""Samples whose rates decide which neurons are linear."""
LINEAR = (0.02, 0.98)
"""A neuron with a mean firing probability in between counts as linear."""
STEPS_OF_SCALE = 64
"""Weights are scaled by multiples of one 64th: the last bits of the estimate do not matter."""


def coupling(model: Model, rates: list[Reals]) -> Reals:
    """Coupling of each layer with the one below, sqrt(feedback gain) * sigma.

    Parameters
    ----------
    rates : float64 (n, H, W, C), one a layer
        Mean firing probabilities; the largest singular value is that of each sample, averaged.

    Returns
    -------
    float64 (L,)
        0 for the first layer, which only sees the image.
    """
    linear = [((layer > LINEAR[0]) & (layer < LINEAR[1])).astype(np.float64) for layer in rates]
    found = np.zeros(model.layers)
    for layer in range(1, model.layers):
        connection = model.stack.connections[layer]
        link = Link.of(connection)
        below, own = linear[layer - 1], linear[layer]
        vector = below.copy()
        norms = np.zeros(len(vector))
        for _ in range(ITERATIONS):
            up = own * link.up(vector)
            vector = below * link.down(up)
            norms = np.sqrt((vector * vector).sum(axis=(1, 2, 3)))  # sigma**2 times the norm before, which was 1
            vector /= np.maximum(norms, 1e-300)[:, None, None, None]
        found[layer] = float(np.sqrt(norms).mean()) * math.sqrt(2.0**-connection.attenuation)
    return found


def free_rates(team: Team, inputs: Input, sample_ids: NDArray[np.int64], stream: int) -> list[Reals]:
    """Mean firing probabilities of each layer after a free phase of some samples, float64 (n, H, W, C).

    Raises
    ------
    Stopped
    """
    model = team.model
    workspace = ph.Workspace(model, team.config.dynamics, len(inputs), team.config.seed)
    n = workspace.rest(inputs, sample_ids)
    workspace.free(n, stream, team.stop)
    sums = np.empty((n, model.compiled.sizes["state"]), np.int32)
    workspace.window_sums(n, sums)
    scale = float(ONE * team.config.dynamics.window_free)
    return [layer_rates(model, layer, sums) / scale for layer in range(model.layers)]


def measure_coupling(team: Team, inputs: Input, sample_ids: NDArray[np.int64], stream: int) -> Reals:
    """`coupling` of the network as it is loaded, after a free phase of some samples; found by one rank for all.

    Raises
    ------
    Stopped
    """
    return team.ranks.first(lambda: coupling(team.model, free_rates(team, inputs, sample_ids, stream)))


def limit_coupling(parameters: Parameters, found: Reals, limit: float) -> list[int]:
    """Scale down, in place, the weights whose coupling exceeds the limit; the layers that were scaled."""
    scaled = []
    for layer, value in enumerate(found):
        if value > limit:
            factor = math.floor(limit / value * STEPS_OF_SCALE) / STEPS_OF_SCALE
            parameters.weights[layer] *= np.float32(max(factor, 1 / STEPS_OF_SCALE))
            scaled.append(layer)
    return scaled
