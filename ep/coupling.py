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
from spikesim.ep.contrast import layer_rates
from spikesim.ep.model import Model, Parameters
from spikesim.ep.team import Team
from spikesim.fixedpoint import ONE
from spikesim.tables import Conv, Dense, Sparse

Reals = NDArray[np.float64]

ITERATIONS = 8
SAMPLES = 8
"""Samples whose rates decide which neurons are linear."""
LINEAR = (0.02, 0.98)
"""A neuron with a mean firing probability in between counts as linear."""
STEPS_OF_SCALE = 64
"""Weights are scaled by multiples of one 64th: the last bits of the estimate do not matter."""


def _pool(values: Reals) -> Reals:
    """Mean over 2x2 cells, (n, H, W, C) to (n, H // 2, W // 2, C)."""
    n, height, width, channels = values.shape
    even = values[:, : height // 2 * 2, : width // 2 * 2]
    cells = even.reshape(n, height // 2, 2, width // 2, 2, channels)
    return np.asarray(cells.mean(axis=(2, 4)))


def _unpool(values: Reals, shape: tuple[int, ...]) -> Reals:
    """The adjoint of `_pool`: a quarter to each cell."""
    maps = np.zeros((len(values), *shape))
    spread = values.repeat(2, axis=1).repeat(2, axis=2) / 4
    maps[:, : spread.shape[1], : spread.shape[2]] = spread
    return maps


def _apply(model: Model, layer: int, weights: Reals, values: Reals) -> Reals:
    """Values of the layer below (n, H, W, C) through pool and weights."""
    connection = model.stack.connections[layer]
    table = connection.table
    assert not isinstance(table, Sparse)
    seen = _pool(values) if model.stack.pooled[layer - 1] else values
    return table.apply(weights, seen).reshape(len(values), *connection.target.shape)


def _apply_transpose(model: Model, layer: int, weights: Reals, values: Reals) -> Reals:
    """The adjoint of `_apply`."""
    connection = model.stack.connections[layer]
    table, below = connection.table, connection.source.shape
    assert not isinstance(table, Sparse)
    is_pooled = model.stack.pooled[layer - 1]
    seen = (below[0] // 2, below[1] // 2, below[2]) if is_pooled else below
    if isinstance(table, Conv):
        flipped = np.ascontiguousarray(weights[::-1, ::-1].transpose(0, 1, 3, 2))
        back = Conv(table.kernel, table.kernel - 1 - table.padding).apply(flipped, values)
    else:
        back = Dense().apply(weights.T, values).reshape(len(values), *seen)
    return _unpool(back, below) if is_pooled else back


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
        weights = connection.integers.astype(np.float64) * 2.0**-connection.exponent
        below, own = linear[layer - 1], linear[layer]
        vector = below.copy()
        norms = np.zeros(len(vector))
        for _ in range(ITERATIONS):
            up = own * _apply(model, layer, weights, vector)
            vector = below * _apply_transpose(model, layer, weights, up)
            norms = np.sqrt((vector * vector).sum(axis=(1, 2, 3)))  # sigma**2 times the norm before, which was 1
            vector /= np.maximum(norms, 1e-300)[:, None, None, None]
        found[layer] = float(np.sqrt(norms).mean()) * math.sqrt(2.0**-connection.attenuation)
    return found


def measure_coupling(team: Team, images: NDArray[np.int16], sample_ids: NDArray[np.int64], stream: int) -> Reals:
    """`coupling` of the network as it is loaded, after a free phase of some samples.

    Raises
    ------
    Stopped
    """
    model = team.model
    workspace = ph.Workspace(model, team.config.dynamics, len(images), team.config.seed)
    n = workspace.rest(images, sample_ids)
    workspace.free(n, stream, team.stop)
    sums = np.empty((n, model.compiled.sizes["state"]), np.int32)
    workspace.window_sums(n, sums)
    scale = float(ONE * team.config.dynamics.window_free)
    return coupling(model, [layer_rates(model, layer, sums) / scale for layer in range(model.layers)])


def limit_coupling(parameters: Parameters, found: Reals, limit: float) -> list[int]:
    """Scale down, in place, the weights whose coupling exceeds the limit; the layers that were scaled."""
    scaled = []
    for layer, value in enumerate(found):
        if value > limit:
            factor = math.floor(limit / value * STEPS_OF_SCALE) / STEPS_OF_SCALE
            parameters.weights[layer] *= np.float32(max(factor, 1 / STEPS_OF_SCALE))
            scaled.append(layer)
    return scaled
