"""The contrast of two nudged phases, in exact integers.

Two rules, summed over positions and samples:

    symmetric      dW_l = ( r+^l (x) Pool(r+^{l-1})  -  r-^l (x) Pool(r-^{l-1}) ) / (2 beta)
    postsynaptic   dW_l = ( r+^l - r-^l ) (x) Pool( r+^{l-1} + r-^{l-1} ) / (4 beta)

The symmetric rule is the derivative of the energy (Scellier & Bengio 2017); to first order it is the postsynaptic one
plus ``r^l (x) Pool(r+^{l-1} - r-^{l-1}) / (2 beta)``, the gradient of the weight as it feeds back. The postsynaptic
rule is that of vector fields, which need no energy (Scellier et al. 2018, "Generalization of equilibrium propagation
to vector field dynamics"): the gradient of the weight as it acts forwards. A weak feedback gain makes the second term
useless: it serves the heads below, through a feedback that hardly moves them, and is as large as the first.

r are window sums of p, hence integers, and so are their products. They are multiplied as float64 matrices in pieces
short enough that every partial sum stays below 2**53: exact, hence the same for every BLAS, number of threads and
division of the batch. The pieces are added as int64.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.exact import TERMS_MAX, exact_product
from spikesim.ep.model import Model
from spikesim.tables import Conv


@dataclass(frozen=True)
class Piece:
    """A part of the work: one layer and a stretch of samples."""

    layer: int
    samples: slice


def pieces(model: Model, samples: int) -> Iterator[Piece]:
    """Divide the contrast of a mini-batch into pieces of similar size."""
    for layer in reversed(range(model.layers)):
        height, width, _ = model.stack.populations[layer].shape
        count = max(1, 2 * TERMS_MAX // (height * width))
        for first in range(0, samples, count):
            yield Piece(layer, slice(first, min(first + count, samples)))


def sum_cells(rates: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sums over the 2x2 cells of (n, H, W, C); an odd last row or column is left out."""
    n, height, width, channels = rates.shape
    even = rates[:, : height // 2 * 2, : width // 2 * 2]
    cells = even.reshape(n, height // 2, 2, width // 2, 2, channels)
    return np.asarray(cells.sum(axis=(2, 4), dtype=np.int32))


def correlate(
    model: Model, layer: int, pre: NDArray[np.int16] | NDArray[np.int32], post: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Sum over samples and positions of (presynaptic x postsynaptic), in the shape of the layer's weights.

    Parameters
    ----------
    pre : integers (n, H, W, Cin)
        What the table sees, after the pool.
    post : int32 (n, H', W', Cout)
    """
    table = model.stack.connections[layer].table
    n, height, width, channels = post.shape
    if isinstance(table, Conv):
        pad = [(0, 0), (table.padding, table.padding), (table.padding, table.padding), (0, 0)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(pre, pad), (table.kernel, table.kernel), axis=(1, 2))
        columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n * height * width, -1)  # (terms, ky * kx * Cin)
    else:
        columns = pre.reshape(n, -1)
    product = exact_product(columns.astype(np.float64), post.reshape(n * height * width, channels).astype(np.float64))
    return product.reshape(model.weight_shape(layer))


@dataclass
class Correlation:
    """Sums over a mini-batch for one layer and one phase (or the difference of two)."""

    weights: NDArray[np.int64]
    bias: NDArray[np.int64]


def _correlation(
    model: Model, layer: int, pre: NDArray[np.int16] | NDArray[np.int32], post: NDArray[np.int32]
) -> Correlation:
    return Correlation(correlate(model, layer, pre, post), post.sum(axis=(0, 1, 2), dtype=np.int64))


def layer_rates(model: Model, layer: int, sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """Window sums of one layer, (n, H, W, C), out of (n, state size)."""
    return model.stack.populations[layer].from_state(sums[:, model.state_slice(layer)])


def presynaptic(model: Model, layer: int, sums: NDArray[np.int32]) -> NDArray[np.int32]:
    """What the table into a layer above the first sees of the layer below: window sums, after its pool."""
    below = layer_rates(model, layer - 1, sums)
    return sum_cells(below) if model.stack.pooled[layer - 1] else below


def phase_correlation(
    model: Model,
    layer: int,
    images: NDArray[np.int16],
    sums: NDArray[np.int32],
    before: NDArray[np.int32] | None = None,
) -> Correlation:
    """Correlation of one phase.

    Parameters
    ----------
    images : int16 (n, H, W, C)
    sums : int32 (n, state size)
        Window sums of the phase.
    before : int32 (n, state size), optional
        Window sums that give the presynaptic rates; by default those of the phase.
    """
    pre = images if layer == 0 else presynaptic(model, layer, sums if before is None else before)
    return _correlation(model, layer, pre, layer_rates(model, layer, sums))


def contrast(
    model: Model,
    layer: int,
    images: NDArray[np.int16],
    plus: NDArray[np.int32],
    minus: NDArray[np.int32],
    rule: str = "symmetric",
) -> Correlation:
    """Correlation of the one phase minus that of the other, whose windows are of the same length.

    Presynaptic rates of the postsynaptic rule are sums over both windows, so that its weights are in units half as
    large (those of the first layer excepted, which sees the image).
    """
    if rule == "postsynaptic" or layer == 0:  # the image is the same in both
        pre = images if layer == 0 else presynaptic(model, layer, plus) + presynaptic(model, layer, minus)
        return _correlation(model, layer, pre, layer_rates(model, layer, plus) - layer_rates(model, layer, minus))
    first, second = phase_correlation(model, layer, images, plus), phase_correlation(model, layer, images, minus)
    return Correlation(first.weights - second.weights, first.bias - second.bias)
