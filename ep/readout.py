"""The read-out, a linear classifier outside the dynamics, and the nudge that its cost exerts on the layer it reads.

``o = A r + c`` on the (pooled) firing probabilities r of a layer; the cost is cross-entropy of softmax(o) or half the
squared error of o. In a nudged phase the layer's drive receives ``beta * A^T (y - softmax(o))`` (or ``y - o``), through
the adjoint of the pool, taken anew at every step (Laborieux et al. 2021, section 3.2).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.compilation import kernel
from spikesim.delivery import shifted
from spikesim.ep.elementary import softmax, softmax_and_log_sum
from spikesim.errors import InputError
from spikesim.fixedpoint import DRIVE_LIMIT, ONE, ONE_BITS, P_MAX, quantise_weights
from spikesim.network import Population
from spikesim.plan import (
    POP_BLOCKS,
    POP_HEIGHT,
    POP_LANES,
    POP_STATE,
    POP_WIDTH,
)
from spikesim.tables import neurons, pooled

COSTS = ("cross-entropy", "squared-error")
ERROR_BITS = 16
"""Errors y - softmax(o) are rounded to multiples of 2**-16 for the delta rule."""
PUSH_MAX = 64.0
"""Bound of beta times an error, which cross-entropy never reaches and a squared error might."""


class Readout(NamedTuple):
    """A read-out for the compiled loop.

    weights: int16 (classes, features), features in the layout ``[block][pooled pixel][B]`` of the population it reads;
    by_class, by_feature: the same integers as float64 and transposed, whose products and sums are exact.
    """

    population: int
    pooled: int
    squared: int
    exponent: int
    weights: NDArray[np.int16]
    by_class: NDArray[np.float64]
    by_feature: NDArray[np.float64]
    bias: NDArray[np.float64]


class ReadoutScratch(NamedTuple):
    """Working memory of one thread."""

    features: NDArray[np.int32]  # (features,)
    pushes: NDArray[np.float64]  # (features,)
    logits: NDArray[np.float64]  # (classes,)
    errors: NDArray[np.float64]  # (classes,)


def new_scratch(readout: Readout) -> ReadoutScratch:
    """Working memory for one thread."""
    classes, features = readout.weights.shape
    return ReadoutScratch(np.zeros(features, np.int32), np.zeros(features), np.zeros(classes), np.zeros(classes))


def make_readout(
    population: Population, is_pooled: bool, cost: str, weights: NDArray[np.float32], bias: NDArray[np.float32]
) -> Readout:
    """Quantise a read-out.

    Parameters
    ----------
    population : Population
        The layer that is read.
    is_pooled : bool
        Whether it is read through 2x2 average pooling.
    cost : {"cross-entropy", "squared-error"}
    weights : float32, shape (features, classes)
        Features in the order (y, x, channel).
    bias : float32, shape (classes,)

    Raises
    ------
    InputError
        Weights that are not finite or too large.
    """
    integers, exponent = quantise_weights(weights, "weights of the read-out")
    if not np.isfinite(bias).all():
        raise InputError("biases of the read-out hold a value that is not finite; lower the learning rate")
    shape = pooled(population.shape) if is_pooled else population.shape
    reduced = Population(-1, "", shape, 0, False, -1)
    ordered = reduced.to_state(integers.T.reshape(-1, *shape))
    return Readout(
        population=population.index,
        pooled=int(is_pooled),
        squared=int(cost == "squared-error"),
        exponent=exponent,
        weights=ordered,
        by_class=ordered.astype(np.float64),
        by_feature=np.ascontiguousarray(ordered.T.astype(np.float64)),
        bias=bias.astype(np.float64),
    )


@kernel
def pooled_probabilities(plan, state, readout, sample, features):
    """p of the layer that is read, or the sums of p over the four cells of each pooled position; int32."""
    pop = plan.populations[readout.population]
    height, width, lanes = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_LANES]
    side = 2 if readout.pooled else 1
    membrane = state.membrane[sample, pop[POP_STATE] :]
    features[:] = 0
    n = 0
    for block in range(pop[POP_BLOCKS]):
        at = block * height * width * lanes
        for y in range(height // side):
            for x in range(width // side):
                pooled = features[n : n + lanes]
                for cell in range(side * side):
                    pixel = at + ((side * y + cell // side) * width + side * x + cell % side) * lanes
                    row = membrane[pixel : pixel + lanes]
                    for lane in range(lanes):
                        pooled[lane] += min(max(row[lane], np.int32(0)), np.int32(P_MAX))
                n += lanes


@kernel
def nudge_sample(plan, state, readout, sample, label, beta, scratch, trace, trace_leak):
    """Set the nudge of one sample from its present state.

    trace: the low-passed features, int32 (features,), moved on with alpha = 2**-trace_leak.
    """
    features, pushes, logits, errors = scratch.features, scratch.pushes, scratch.logits, scratch.errors
    pooled_probabilities(plan, state, readout, sample, features)
    classes, size = readout.weights.shape
    bits = 2 * readout.pooled
    for i in range(size):
        trace[i] += (features[i] - trace[i]) >> trace_leak
    scale = math.ldexp(1.0, -(ONE_BITS + bits + readout.exponent))
    logits[:] = 0.0
    for i in range(size):
        if trace[i]:  # most features are silent
            feature = np.float64(trace[i])
            for j in range(classes):
                logits[j] += feature * readout.by_feature[i, j]
    for j in range(classes):
        logits[j] = logits[j] * scale + readout.bias[j]
    if readout.squared:
        for j in range(classes):
            errors[j] = -logits[j]
    else:
        softmax(logits, errors)
        for j in range(classes):
            errors[j] = -errors[j]
    errors[label] += 1.0
    pushes[:] = 0.0
    for j in range(classes):
        strength = np.rint(min(max(beta * errors[j], -PUSH_MAX), PUSH_MAX) * ONE)
        row = readout.by_class[j]
        for i in range(size):
            pushes[i] += row[i] * strength
    pop = plan.populations[readout.population]
    height, width, lanes = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_LANES]
    side = 2 if readout.pooled else 1
    shift = readout.exponent + bits
    nudge = state.nudge[sample, pop[POP_STATE] :]
    for i in range(size):  # the features have been used
        features[i] = np.int32(shifted(np.int64(pushes[i]), shift))
    n = 0
    for block in range(pop[POP_BLOCKS]):
        at = block * height * width * lanes
        for y in range(height // side):
            for x in range(width // side):
                push = features[n : n + lanes]
                for cell in range(side * side):
                    pixel = at + ((side * y + cell // side) * width + side * x + cell % side) * lanes
                    nudge[pixel : pixel + lanes] = push
                n += lanes


def check_nudge(readout: Readout, beta: float) -> None:
    """Refuse a read-out whose nudge could leave the range of a drive.

    Raises
    ------
    InputError
    """
    largest = float(np.abs(readout.weights.astype(np.int64)).sum(axis=0).max(initial=0)) * 2.0**-readout.exponent
    if largest * min(max(1.0, beta), PUSH_MAX) >= DRIVE_LIMIT / 8 / ONE:
        raise InputError(
            f"the read-out's weights add up to {largest:.4g} for a neuron; with beta {beta:.4g} the nudge could exceed "
            f"{DRIVE_LIMIT // 8 // ONE}: lower the learning rate of the read-out"
        )


class Prediction(NamedTuple):
    """What the read-out makes of n samples."""

    logits: NDArray[np.float64]  # (n, classes)
    losses: NDArray[np.float64]  # (n,)
    correct: NDArray[np.bool_]  # (n,)
    errors: NDArray[np.int64]  # (n, classes): y - softmax(o) or y - o, unit 2**-16


def predict(readout: Readout, window_sums: NDArray[np.int64], steps: int, labels: NDArray[np.int64]) -> Prediction:
    """Apply the read-out to average rates.

    Parameters
    ----------
    window_sums : int64, shape (n, features in the layout of `Readout.weights`)
        Sums of p (of four cells, if pooled) over the window.
    steps : int
        Length of the window.
    labels : int64, shape (n,)
    """
    products = window_sums @ readout.weights.T.astype(np.int64)  # (n, classes); below 2**30 * 2**15 * 2**17
    scale = 2.0 ** -(ONE_BITS + 2 * readout.pooled + readout.exponent) / steps
    logits = products.astype(np.float64) * scale + readout.bias
    one_hot = np.zeros_like(logits)
    one_hot[np.arange(len(labels)), labels] = 1.0
    if readout.squared:
        difference = one_hot - logits
        losses = 0.5 * np.add.accumulate(difference * difference, axis=1)[:, -1]  # one order of summation everywhere
    else:
        probabilities, log_sums = softmax_and_log_sum(logits)
        difference = one_hot - probabilities
        losses = log_sums - logits[np.arange(len(labels)), labels]
    bounded = np.clip(difference, -PUSH_MAX, PUSH_MAX)
    errors = np.rint(bounded * 2.0**ERROR_BITS).astype(np.int64)
    return Prediction(logits, losses, logits.argmax(axis=1) == labels, errors)


def pooled_window(readout: Readout, population: Population, window_sums: NDArray[np.int32]) -> NDArray[np.int64]:
    """Window sums (n, state size) of the layer that is read, pooled as the read-out sees them, in its layout."""
    sums = window_sums.astype(np.int64)
    if not readout.pooled:
        return sums
    height, width, _ = population.shape
    blocked = sums.reshape(len(sums), population.blocks, height, width, population.lanes)
    blocked = blocked[:, :, : height // 2 * 2, : width // 2 * 2]
    cells = blocked.reshape(len(sums), population.blocks, height // 2, 2, width // 2, 2, population.lanes)
    return np.asarray(cells.sum(axis=(3, 5))).reshape(len(sums), -1)


def feature_gradient(
    readout: Readout, population: Population, window_sums: NDArray[np.int64], errors: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Delta rule, ``sum over samples of error x feature``; int64 (features in the order (y, x, channel), classes)."""
    products = window_sums.T @ errors  # (features in state layout, classes)
    shape = pooled(population.shape) if readout.pooled else population.shape
    reduced = Population(-1, "", shape, 0, False, -1)
    by_class = reduced.from_state(products.T.reshape(-1, reduced.state_size))
    return by_class.reshape(-1, neurons(shape)).T.astype(np.int64)
