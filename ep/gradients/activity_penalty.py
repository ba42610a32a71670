"""The activity penalty: what brings the layers to a target rate.

With a target rate the cost has a term more, ``penalty_l * sum over the neurons of layer l of r``, r being the mean
firing probability in the window of the free phase. Its gradient is local and needs no nudged phase: shift the drive of
a neuron, and r moves by s, the share of the window in which p followed the potential
(`spikesim.ep.phases.nudged.linear_response`), so

    dC/dW_l += penalty_l * s^l (x) Pool(r^{l-1}),        dC/db_l += penalty_l * s^l,

summed over positions, averaged over the samples; sums of products of integers, as those of the contrast. The penalty is
zero until a layer is more active than it should be, and rises as long as it is.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.sections import StabilitySettings
from spikesim.ep.gradients import contrast as co
from spikesim.ep.gradients.correlation import Correlation
from spikesim.ep.inputs.encoding import Input, rows_of
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.errors import Stopped

Reals = NDArray[np.float64]


def moved_penalties(stability: StabilitySettings, penalties: Reals, activity: Reals, errors: Reals) -> Reals:
    """Prices for the next mini-batch.

    The step is a share of the layer's mean error, so that one value suits layers whatever their errors.

    Parameters
    ----------
    penalties : float64 (L,)
        Those of this mini-batch.
    activity : float64 (L,)
        Mean firing probability of each layer in the free phase.
    errors : float64 (L,)
        Mean size of the derivative of the cost in the drives of each layer's neurons.

    Returns
    -------
    float64 (L,)
        All zero without a target rate.
    """
    if stability.target_rate is None:
        return np.zeros_like(penalties)
    excess = np.clip(activity / stability.target_rate - 1.0, -1.0, 1.0)
    return np.maximum(penalties + stability.penalty_rate * errors * excess, 0.0)


def penalty_sums(
    model: Model,
    thread_pool: ThreadPool,
    inputs: Input,
    free: NDArray[np.int32],
    followed: NDArray[np.int32],
    penalties: Reals,
    buffers: Buffers,
) -> dict[int, Correlation]:
    """Correlate what the activity penalty acts on with the rates below, by index of the connections into layers that
    have a penalty.

    Parameters
    ----------
    inputs : images int16 (n, H, W, C), or spikes
        n may be 0.
    free : int32 (n, state size)
        Window sums of the free phase.
    followed : int32 (n, state size)
        Steps of the window in which p followed the potential.
    penalties : float64 (L,)
    buffers : Buffers
        Memory for the sums, which the next ones overwrite.

    Raises
    ------
    Stopped
    """
    edges = [edge for edge in model.graph.edges if penalties[edge.target] > 0]
    rows = len(rows_of(inputs))
    sums = {edge.index: co.room(edge, "penalty", buffers, rows) for edge in edges}
    pieces = [piece for piece in co.pieces(model, len(inputs)) if piece.edge.index in sums]
    shared = co.SharedRows(pieces)

    def work(piece: co.Piece) -> Correlation:
        if thread_pool.stop[0]:
            raise Stopped
        own, out = piece.samples, co.place(piece, sums[piece.edge.index])
        seen = shared.of(piece, lambda: co.presynaptic_rows(model, piece.edge, inputs[own], free[own]))
        return co.phase_correlation(model, piece.edge, followed[own], seen, piece.channels, out)

    found = list(zip(pieces, thread_pool.map(work, pieces), strict=True))
    for edge in edges:
        co.add_up(edge, found, sums[edge.index])
    return sums


def add_penalty_gradients(
    model: Model,
    sums: dict[int, Correlation],
    samples: int,
    window: int,
    penalties: Reals,
    gradients: dict[str, Array],
) -> None:
    """Add the gradient of the activity penalty to those of the layers.

    Parameters
    ----------
    sums : dict of Correlation
        Of the mini-batch (`penalty_sums`).
    samples : int
        In the mini-batch.
    window : int
        Length of the window of the free phase.
    penalties : float64 (L,)
    gradients : dict
        Gradients by name; changed.
    """
    for index, own in sums.items():
        edge = model.graph.edges[index]
        unit, share = co.presynaptic_unit(edge, window), penalties[edge.target] / (window * samples)
        gradients[edge.weight] += (own.as_weights() * (share / unit)).astype(np.float32)
        if edge.first:
            gradients[f"{model.names[edge.target]}/bias"] += (own.bias * share).astype(np.float32)
