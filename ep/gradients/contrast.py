"""The contrast of two nudged phases, in exact integers.

Two rules, summed over positions and samples:

    symmetric      dW_l = ( r+^l (x) Pool(r+^{l-1})  -  r-^l (x) Pool(r-^{l-1}) ) / (2 beta)
    postsynaptic   dW_l = ( r+^l - r-^l ) (x) Pool( r+^{l-1} + r-^{l-1} ) / (4 beta)

The symmetric rule is the derivative of the energy (Scellier & Bengio 2017); to first order it is the postsynaptic one
plus ``r^l (x) Pool(r+^{l-1} - r-^{l-1}) / (2 beta)``, the gradient of the weight as it feeds back. The postsynaptic
rule is that of vector fields, which need no energy (Scellier et al. 2018, "Generalization of equilibrium propagation
to vector field dynamics"): the gradient of the weight as it acts forwards. A weak feedback gain makes the second term
useless: it serves the heads below, through a feedback that hardly moves them, and is as large as the first.

r are window sums of p, hence integers, and so are their products, which are added as int64: the same for every number
of threads and division of the batch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.synapses import pooled
from spikesim.ep.gradients.correlation import Correlation, correlate
from spikesim.ep.gradients.presynaptic import ALONE, RateMaps, Rows, TokenRows, image_rows, rate_rows, token_rows
from spikesim.ep.inputs.encoding import Input, Tokens, maps_of
from spikesim.ep.network.graph import Edge
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.buffers import Buffers
from spikesim.numerics.fixed_point import INPUT_BITS, ONE

Shared = TypeVar("Shared", bound=Rows | TokenRows | None)

TERMS = 2048
"""Positions, over all samples, of a piece of the work: few enough for the cache, enough to share the sums out."""
WEIGHTS = 2**19
"""Weights of a piece of the work: the tables of upper layers are cut into blocks of channels."""


@dataclass(frozen=True)
class Piece:
    """A part of the work: some channels behind one connection and a stretch of samples."""

    edge: Edge
    channels: slice
    samples: slice


def pieces(model: Model, samples: int) -> Iterator[Piece]:
    """Divide the contrast of a mini-batch into pieces of similar size."""
    for edge in reversed(model.graph.edges):
        population = edge.connection.target
        height, width, channels = population.shape
        count = max(1, TERMS // (height * width))
        blocks = max(1, WEIGHTS // (edge.fan_in * population.lanes)) * population.lanes
        for first in range(0, samples, count):
            for begin in range(0, channels, blocks):
                own = slice(begin, min(begin + blocks, channels))
                yield Piece(edge, own, slice(first, min(first + count, samples)))


class SharedRows:
    """Presynaptic rates that pieces of different channels have in common: made for the first, dropped by the last."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._waiting = Counter(map(self._key, pieces))
        self._locks = {key: Lock() for key in self._waiting}
        self._rows: dict[tuple[int, int], Any] = {}

    def of(self, piece: Piece, make: Callable[[], Shared]) -> Shared:
        """Those of a piece; `make` is called if there are none yet. Every piece asks once."""
        key = self._key(piece)
        with self._locks[key]:
            if key not in self._rows:
                self._rows[key] = make()
            self._waiting[key] -= 1
            found: Shared = self._rows[key] if self._waiting[key] else self._rows.pop(key)
            return found

    @staticmethod
    def _key(piece: Piece) -> tuple[int, int]:
        return piece.edge.index, piece.samples.start


def learned_shape(edge: Edge, rows: int) -> tuple[int, ...]:
    """Shape of the gradient of a connection's weights; rows: of a lookup that learn."""
    return (rows, edge.shape[-1]) if edge.lookup else edge.shape


def room(edge: Edge, name: str, buffers: Buffers, rows: int) -> Correlation:
    """Room for the correlation of a connection, with arbitrary content; rows: of a lookup that learn."""
    *rest, channels = learned_shape(edge, rows)
    weights = buffers.take(f"{name}/{edge.index}/weights", (channels, *rest), np.int64)
    return Correlation(weights, buffers.take(f"{name}/{edge.index}/bias", (channels,), np.int64))


def place(piece: Piece, total: Correlation) -> Correlation | None:
    """Where the correlation of a piece goes: into the sum over the pieces, if it is the first of its channels."""
    return Correlation(total.weights[piece.channels], total.bias[piece.channels]) if piece.samples.start == 0 else None


def add_up(edge: Edge, found: Iterable[tuple[Piece, Correlation]], total: Correlation) -> None:
    """Add those pieces of a connection to their sum that are not in it; it is zero if there are none."""
    own = [(piece, correlation) for piece, correlation in found if piece.edge is edge]
    if not own:
        total.weights.fill(0)
        total.bias.fill(0)
    for piece, correlation in own:
        if piece.samples.start > 0:
            total.weights[piece.channels] += correlation.weights
            total.bias[piece.channels] += correlation.bias


def presynaptic_unit(edge: Edge, window: int) -> float:
    """A presynaptic rate of 1 in a correlation: pixels in their own unit, else sums over a window, of four cells behind
    an average pool. The window of an input of spikes is that of the free phase.
    """
    if edge.lookup:
        return 1.0
    if edge.analogue:
        return float(1 << INPUT_BITS)
    return float(ONE * window) * (4 if edge.pooled and not edge.winner else 1)


def maps_below(model: Model, edge: Edge) -> RateMaps:
    """Where the rates that a connection sees lie; any that does not start at an image."""
    source = edge.connection.source
    if edge.winner:  # what they passed on has sums of its own
        return RateMaps(pooled(source.shape), source.lanes, model.passed_at(source), False)
    return RateMaps(source.shape, source.lanes, model.slice_of(source).start, edge.pooled)


def presynaptic_rows(
    model: Model,
    edge: Edge,
    inputs: Input,
    first: NDArray[np.int32],
    second: NDArray[np.int32] = ALONE,
) -> Rows | TokenRows:
    """What a connection sees of the image, or of its source in one phase or two together."""
    if isinstance(inputs, Tokens) and edge.lookup:
        return token_rows(inputs.maps, inputs.rows)
    if edge.analogue:
        assert not isinstance(inputs, SpikeTrains)
        return image_rows(edge.connection, maps_of(inputs))
    return _rows_below(model, edge, first, second)


def _rows_below(model: Model, edge: Edge, first: NDArray[np.int32], second: NDArray[np.int32] = ALONE) -> Rows:
    """`presynaptic_rows` of a connection that does not start at an image."""
    return rate_rows(edge.connection, maps_below(model, edge), first, second)


def phase_correlation(
    model: Model,
    edge: Edge,
    sums: NDArray[np.int32],
    rows: Rows | TokenRows | None,
    channels: slice | None = None,
    out: Correlation | None = None,
) -> Correlation:
    """Correlation of one phase.

    Parameters
    ----------
    sums : int32 (n, state size)
        Window sums of the phase.
    rows : Rows, optional
        Presynaptic rates (`presynaptic_rows`); without them those of the phase itself, for a layer that sees no image.
    channels : slice, optional
        Of the layer, whole blocks; all by default.
    out : Correlation, optional
        Where the sums go; contiguous.
    """
    at, rows = model.state_slice(edge.target).start, _rows_below(model, edge, sums) if rows is None else rows
    return correlate(edge.connection, rows, at, sums, ALONE, channels, out)


def contrast(
    model: Model,
    edge: Edge,
    post: list[NDArray[np.int32]],
    rows: Rows | TokenRows | None,
    channels: slice | None = None,
    out: Correlation | None = None,
) -> Correlation:
    """Correlation of one phase, or of the one phase minus that of the other, whose windows are of the same length.

    Parameters
    ----------
    post : list of int32 (n, state size)
        Window sums of one phase or of two.
    rows : Rows, optional
        Presynaptic rates of all phases (`presynaptic_rows`); without them each has its own.

    Others are those of `phase_correlation`.
    """
    if rows is not None:
        at = model.state_slice(edge.target).start
        second = post[1] if len(post) > 1 else ALONE
        return correlate(edge.connection, rows, at, post[0], second, channels, out)
    first = phase_correlation(model, edge, post[0], None, channels, out)
    for other in post[1:]:
        minus = phase_correlation(model, edge, other, None, channels)
        first.weights[...] -= minus.weights
        first.bias[...] -= minus.bias
    return first
