"""From the rates of the nudged phases to the gradients of the layers, in exact integers up to the last division."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.gradients import contrast as co
from spikesim.ep.gradients.correlation import Correlation
from spikesim.ep.gradients.scheme import NudgingScheme
from spikesim.ep.inputs.encoding import Input
from spikesim.ep.network import heads as hd
from spikesim.ep.network.graph import INPUT, Edge
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases.readout import feature_gradient
from spikesim.ep.phases.workspace import Rates
from spikesim.errors import InputError, Stopped
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE

TILE = 64
"""Side of the tiles in which sums change their order; a tile of float32 and its sums fit the nearest caches."""


def check_sums(model: Model, scheme: NudgingScheme, size: int) -> None:
    """Refuse mini-batches of this size if their correlations could exceed int64, should all neurons fire all the time.

    Raises
    ------
    InputError
    """
    dynamics = scheme.dynamics
    window = max(scheme.windows)
    for edge in model.graph.edges:
        population = edge.connection.target
        positions = population.shape[0] * population.shape[1]
        # the presynaptic rates of two nudged phases may add up
        before = dynamics.window_free if scheme.clamped else 2 * window
        if edge.lookup:
            pre = 1.0
        elif edge.source == INPUT:
            pre = float(2**15) if edge.analogue else float(ONE * dynamics.window_free)
        else:
            pre = co.presynaptic_unit(edge, before)
        largest = int(2**63 / (pre * ONE * window * positions))
        if size > largest:
            raise InputError(
                f"data.batch_size is {size}; at most {largest} keep the contrast of {population.name} exact with a "
                f"window of {window} steps"
            )
    for head in model.heads:
        feature = ONE * dynamics.window_free * head.largest
        largest = int(2**63 / (feature * hd.PUSH_MAX * 2**hd.ERROR_BITS))
        if size > largest:
            raise InputError(
                f"data.batch_size is {size}; at most {largest} keep the gradient of {head.title} exact with a window "
                f"of {dynamics.window_free} steps"
            )


@dataclass
class LayerSums:
    """What the layers' contrast of some samples adds up to.

    Attributes
    ----------
    correlations : list of list of Correlation
        By connection: one for each of its terms (`NudgingScheme.terms`).
    apart : int64 (L,)
        Sum of |r+ - r-| over samples and neurons, in units of the windows.
    """

    correlations: list[list[Correlation]]
    apart: NDArray[np.int64]

    @classmethod
    def room(cls, model: Model, scheme: NudgingScheme, buffers: Buffers, rows: int = 0) -> "LayerSums":
        """Room for those of a mini-batch, with arbitrary content; rows: of a lookup that learn."""
        found = [
            [co.room(edge, f"term{number}", buffers, rows) for number, _ in enumerate(scheme.terms(edge))]
            for edge in model.graph.edges
        ]
        return cls(found, np.zeros(model.layers, np.int64))

    def arrays(self) -> Iterator[NDArray[np.int64]]:
        """Everything, to be added up."""
        for parts in self.correlations:
            for part in parts:
                yield from part
        yield self.apart


def layer_sums(
    model: Model, scheme: NudgingScheme, thread_pool: ThreadPool, inputs: Input, rates: Rates, sums: LayerSums
) -> None:
    """Correlate the rates of some samples, on all threads.

    Parameters
    ----------
    inputs : images int16 (n, H, W, C), or spikes
        n may be 0.
    rates : Rates
        Window sums of the samples.
    sums : LayerSums
        Overwritten.

    Raises
    ------
    Stopped
    """
    compared = [getattr(rates, name) for name in scheme.compared]
    # either phase counts by the length of the other's window
    first, second = scheme.windows
    factors = (1, 1) if first == second else (second, first)
    # by connection: the window sums of its terms, and of its presynaptic side
    edges = model.graph.edges
    terms = [[[getattr(rates, name) for name in term.post] for term in scheme.terms(edge)] for edge in edges]
    presynaptic = [[getattr(rates, name) for name in scheme.presynaptic(edge)] for edge in edges]

    def work(piece: co.Piece) -> tuple[list[Correlation], int]:
        if thread_pool.stop[0]:
            raise Stopped
        edge, own, channels = piece.edge, piece.samples, piece.channels
        begin, at = model.state_slice(edge.target).start, edge.connection.target.part_of_state(channels)
        apart = 0
        if edge.first:  # others have the same target
            apart = _apart([one[own] for one in compared], factors, begin + at.start, begin + at.stop)
        seen = [one[own] for one in presynaptic[edge.index]]
        rows = shared.of(piece, lambda: co.presynaptic_rows(model, edge, inputs[own], *seen) if seen else None)
        found = []
        for phases, total in zip(terms[edge.index], sums.correlations[edge.index], strict=True):
            post = [one[own] for one in phases]
            found.append(co.contrast(model, edge, post, rows, channels, co.place(piece, total)))
        return found, apart

    pieces = list(co.pieces(model, len(inputs)))
    shared = co.SharedRows(pieces)
    results = list(zip(pieces, thread_pool.map(work, pieces), strict=True))

    def add(edge: Edge) -> None:
        for number, total in enumerate(sums.correlations[edge.index]):
            co.add_up(edge, ((piece, parts[number]) for piece, (parts, _) in results), total)

    thread_pool.map(add, model.graph.edges)
    sums.apart.fill(0)
    for piece, (_, difference) in results:
        sums.apart[piece.edge.target] += difference


def _apart(compared: list[NDArray[np.int32]], factors: tuple[int, int], begin: int, end: int) -> int:
    """Sum of |first - second|, each times its factor, over samples and a stretch of their states; or of |first|."""
    if len(compared) == 1:
        return int(_magnitudes(compared[0], begin, end))
    return int(_distances(compared[0], factors[0], compared[1], factors[1], begin, end))


@kernel
def _magnitudes(first, begin, end):
    total = np.int64(0)
    for sample in range(len(first)):
        one = first[sample, begin:end]
        for i in range(len(one)):
            total += abs(np.int64(one[i]))
    return total


@kernel
def _distances(first, first_factor, second, second_factor, begin, end):
    total = np.int64(0)
    for sample in range(len(first)):
        one, other = first[sample, begin:end], second[sample, begin:end]
        if first_factor == second_factor:  # four times as fast as with products in int64
            own = np.int64(0)
            for i in range(len(one)):
                own += abs(np.int64(one[i]) - np.int64(other[i]))
            total += own * first_factor
        else:
            for i in range(len(one)):
                total += abs(np.int64(one[i]) * first_factor - np.int64(other[i]) * second_factor)
    return total


class Divisors(NamedTuple):
    """What the contrast of a mini-batch is divided by: its samples, and beta with the sign of the first nudge."""

    samples: int
    beta: float


def layer_gradients(
    model: Model, scheme: NudgingScheme, thread_pool: ThreadPool, sums: LayerSums, batch: Divisors, buffers: Buffers
) -> dict[str, Array]:
    """Gradients of the loss in the weights and biases of the layers, by name.

    Parameters
    ----------
    sums : LayerSums
        Of the mini-batch.
    batch : Divisors
    buffers : Buffers
        Memory for the gradients, which the next ones overwrite.
    """
    distance = scheme.comparison.distance(batch.beta)

    def finish(edge: Edge) -> dict[str, Array]:
        parts, terms = sums.correlations[edge.index], scheme.terms(edge)
        strength = distance * batch.samples * scheme.weight(model, edge)
        rows = parts[0].weights.shape[-1]  # of a lookup, those that learn
        weight = buffers.take(f"gradient/{edge.index}/weight", co.learned_shape(edge, rows), np.float32)
        units = [co.presynaptic_unit(edge, term.before) * float(ONE * term.window) for term in terms]
        _minus_difference([part.weights for part in parts], units, strength, weight)
        found = {edge.weight: weight}
        if edge.first:
            bias = buffers.take(f"gradient/{edge.index}/bias", edge.shape[-1:], np.float32)
            units = [float(ONE * term.window) for term in terms]
            _minus_difference([part.bias for part in parts], units, strength, bias)
            found[f"{model.names[edge.target]}/bias"] = bias
        return found

    gradients: dict[str, Array] = {}
    for found in thread_pool.map(finish, model.graph.edges):
        gradients.update(found)
    return gradients


def rate_difference(scheme: NudgingScheme, sums: LayerSums, neurons: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean |r+ - r-| of each layer over so many neurons, of all samples together, float64 (L,)."""
    first, second = scheme.windows
    scale = ONE * (first if first == second else first * second)
    return np.asarray(sums.apart / (scale * neurons))


class HeadSums(NamedTuple):
    """What the delta rule of a head adds up over some samples."""

    products: NDArray[np.int64]  # (features, classes): of features and errors
    errors: NDArray[np.int64]  # (classes,)


def head_sums(head: hd.Head, features: NDArray[np.int64], errors: NDArray[np.int64]) -> HeadSums:
    """Delta rule of a head on the free phase.

    Parameters
    ----------
    features : int64 (n, features)
        Window sums that the head saw (`Predictions`).
    errors : int64 (n, classes)
        Its errors -dC/do (`Predictions`).
    """
    return HeadSums(feature_gradient(head, features, errors), errors.sum(axis=0))


def head_gradient(head: hd.Head, sums: HeadSums, samples: int, window: int) -> tuple[Array, Array]:
    """Gradients of the loss in the weights and biases of a head.

    Parameters
    ----------
    sums : HeadSums
        Of the mini-batch.
    samples : int
        In the mini-batch.
    window : int
        Steps of the window of the free phase.
    """
    unit = float(ONE * window << head.shift) * 2.0**hd.ERROR_BITS * samples
    weight = (-sums.products / unit).astype(np.float32)
    return weight, (-sums.errors / (2.0**hd.ERROR_BITS * samples)).astype(np.float32)


def _minus_difference(parts: list[NDArray[np.int64]], units: list[float], strength: float, out: Array) -> None:
    """The second phase minus the first, each in its unit, or minus their difference, if that is all there is; over the
    strength of the nudge. Sums (channels, ...) become gradients (..., channels).
    """
    channels = out.shape[-1]
    first = parts[0].reshape(channels, -1)
    second = parts[-1].reshape(channels, -1) if len(parts) > 1 else np.zeros((0, 0), np.int64)
    tile = np.empty((TILE, TILE), np.float32)
    _scale(first, units[0], second, units[-1], strength, tile, out.reshape(-1, channels))


@kernel
def _scale(first, first_unit, second, second_unit, strength, tile, out):
    """`_minus_difference` of int64 (channels, n) to float32 (n, channels), in tiles; the second may be missing."""
    length, channels = out.shape
    for row in range(0, length, TILE):
        rows = min(TILE, length - row)
        for column in range(0, channels, TILE):
            columns = min(TILE, channels - column)
            for channel in range(columns):
                own, made = first[column + channel, row : row + rows], tile[channel]
                if len(second):
                    other = second[column + channel, row : row + rows]
                    for i in range(rows):
                        value = np.float64(other[i]) / second_unit - np.float64(own[i]) / first_unit
                        made[i] = np.float32(value / strength)
                else:
                    for i in range(rows):
                        made[i] = np.float32(-(np.float64(own[i]) / first_unit) / strength)
            for i in range(rows):
                for channel in range(columns):
                    out[row + i, column + channel] = tile[channel, i]
