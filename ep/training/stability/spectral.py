"""How strongly neighbouring layers drive each other: whether the dynamics contract.

Two layers l - 1 and l with tied weights are linear where their neurons are neither silent nor certain. There one step
multiplies a deviation by at most ``sqrt(gamma) * sigma``, sigma the largest singular value of ``D_l W_l Pool D_{l-1}``,
D the diagonal matrix that picks these neurons and gamma the feedback gain. Below 1 a pair of layers comes to rest by
itself; a chain of many needs about half of that (the norm of a tridiagonal block matrix is at most twice that of its
blocks).

sigma is found for each of some samples by the Lanczos iteration [1] for the symmetric matrix M^T M, M the product
above, always from the same random vector, until the residual says that its largest eigenvalue is known to a part in a
thousand. The residual is added, so that the spectral norm is an estimate from above.

1. G. H. Golub, C. F. Van Loan, "Matrix computations", 4th edition, section 10.1, 2013.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.layout import Spread, serial
from spikesim.ep.inputs.encoding import Input
from spikesim.ep.network.graph import INPUT, Edge, LayerGraph
from spikesim.ep.network.linear_map import Link
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.normalization import Normalization

Reals = NDArray[np.float64]

ITERATIONS_MAX = 100
PRECISION = 1e-3
"""Relative distance between the estimate of a spectral norm and its upper bound at which the iteration ends."""
SAMPLES = 8
"""Samples whose rates decide which neurons are linear."""
LINEAR = (0.02, 0.98)
"""A neuron with a mean firing probability in between counts as linear."""
STEPS_OF_SCALE = 64
"""Weights are scaled by multiples of one 64th: the last bits of the estimate do not matter."""
EXHAUSTED = 1e-12
"""Relative size of what is nothing but rounding."""
TINY = 1e-300


def spectral_norms(model: Model, rates: list[Reals], spread: Spread = serial) -> Reals:
    """Spectral norm of each connection's source and target, sqrt(feedback gain) * sigma.

    Parameters
    ----------
    rates : float64 (n, H, W, C), one per layer
        Mean firing probabilities; the spectral norm is that of the sample with the largest.
    spread : function like `map`, optional
        Shares the connections out over threads.

    Returns
    -------
    float64 (connections,)
        0 for those from the input, to which there is no way back, and without feedback.
    """
    found = np.zeros(len(model.graph.edges))
    if model.feedback_gain == 0:
        return found
    linear = [((layer > LINEAR[0]) & (layer < LINEAR[1])).astype(np.float64) for layer in rates]

    def norm(edge: Edge) -> float:
        link = Link.of(edge.connection).selecting(rates[edge.source])
        below, own = linear[edge.source], linear[edge.target]
        norms = largest_singular_values(lambda maps: below * link.down(own * link.up(maps)), below)
        return float(norms.max(initial=0.0)) * math.sqrt(model.gain_of_feedback(edge))

    between = [edge for edge in model.graph.edges if edge.source != INPUT]
    found[[edge.index for edge in between]] = spread(norm, between)
    return found


def by_layer(model: Model, found: Reals) -> Reals:
    """The largest spectral norm of the connections into each layer, float64 (L,)."""
    return np.array([max(found[edge.index] for edge in model.graph.incoming(layer)) for layer in range(model.layers)])


def largest_singular_values(square: Callable[[Reals], Reals], linear: Reals) -> Reals:
    """Largest singular value of a matrix M for each sample, from above: within `PRECISION`, unless it takes too long.

    Parameters
    ----------
    square : function
        M^T M of maps, (n, H, W, C) to the same.
    linear : float64 (n, H, W, C)
        1 where M has columns that are not zero, else 0.

    Returns
    -------
    float64 (n,)
    """
    n = len(linear)
    vector = linear * np.random.Generator(np.random.Philox(key=0)).standard_normal(linear.shape[1:])
    vector /= _each(np.maximum(_norms(vector), TINY))
    before, beyond = np.zeros_like(vector), np.zeros(n)  # beyond: norm of what the vectors so far leave out
    tridiagonal = np.zeros((n, ITERATIONS_MAX, ITERATIONS_MAX))
    largest = rest = np.zeros(n)
    for size in range(1, ITERATIONS_MAX + 1):
        moved = square(vector) - _each(beyond) * before
        tridiagonal[:, size - 1, size - 1] = along = (moved * vector).sum(axis=(1, 2, 3))
        moved -= _each(along) * vector
        beyond = _norms(moved)
        values, vectors = np.linalg.eigh(tridiagonal[:, :size, :size])
        largest = np.maximum(values[:, -1], 0.0)
        beyond[beyond <= EXHAUSTED * largest] = 0.0
        rest = beyond * np.abs(vectors[:, -1, -1])  # some eigenvalue of M^T M is no farther away than this
        if size == ITERATIONS_MAX or (rest <= 2 * PRECISION * largest).all():
            break
        tridiagonal[:, size, size - 1] = tridiagonal[:, size - 1, size] = beyond
        before, vector = vector, moved / _each(np.maximum(beyond, TINY))
        vector[beyond == 0] = 0.0
    return np.asarray(np.sqrt(largest + rest))


def _norms(maps: Reals) -> Reals:
    return np.asarray(np.sqrt((maps * maps).sum(axis=(1, 2, 3))))


def _each(values: Reals) -> Reals:
    """One value per sample, to be multiplied with maps."""
    return values[:, None, None, None]


def free_rates(thread_pool: ThreadPool, inputs: Input, sample_ids: NDArray[np.int64], stream: int) -> list[Reals]:
    """Mean firing probabilities of each layer after a free phase of some samples, float64 (n, H, W, C).

    Raises
    ------
    Stopped
    """
    config = thread_pool.config
    workspace = ph.Workspace(thread_pool.model, config.dynamics, len(inputs), config.seed)
    n = workspace.rest(inputs, sample_ids)
    workspace.free(n, stream, thread_pool.stop)
    return workspace.mean_rates(n)


def measure_spectral_norms(thread_pool: ThreadPool, inputs: Input, sample_ids: NDArray[np.int64], stream: int) -> Reals:
    """`spectral_norms` of the network as it is loaded, after a free phase of some samples; found by one rank for all.

    Raises
    ------
    Stopped
    """
    return thread_pool.ranks.first(
        lambda: spectral_norms(thread_pool.model, free_rates(thread_pool, inputs, sample_ids, stream), thread_pool.map)
    )


def limit_spectral_norms(
    normalization: Normalization, graph: LayerGraph, found: Reals, limit: float, least: float = 1 / STEPS_OF_SCALE
) -> list[int]:
    """Scale down the weights of connections whose spectral norm exceeds the limit, unless their layers are held.

    `Normalization.fold` comes after.

    Parameters
    ----------
    normalization : Normalization
    graph : LayerGraph
    found : float64 (connections,)
        The spectral norms.
    limit : float
    least : float
        The smallest factor of the weights, a multiple of a 64th.

    Returns
    -------
    list of int
        The connections that were scaled.
    """
    scaled = []
    for edge, value in zip(graph.edges, found, strict=True):
        if value > limit and not normalization.layers[edge.target].held:
            factor = math.floor(limit / value * STEPS_OF_SCALE) / STEPS_OF_SCALE
            normalization.scale(edge, max(factor, least))
            scaled.append(edge.index)
    return scaled
