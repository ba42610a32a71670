"""What heads make of the window of the free phase: logits, costs, and the errors of their delta rule."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.compilation import kernel
from spikesim.ep import heads as hd
from spikesim.ep.elementary import softmax
from spikesim.ep.exact import exact_product
from spikesim.fixedpoint import ONE_BITS
from spikesim.plan import POP_BLOCKS, POP_HEIGHT, POP_LANES, POP_STATE, POP_WIDTH
from spikesim.tables import neurons


class Prediction(NamedTuple):
    """What a head makes of n samples."""

    logits: NDArray[np.float64]  # (n, classes)
    losses: NDArray[np.float64]  # (n,): against the labels
    correct: NDArray[np.bool_]  # (n,)
    errors: NDArray[np.int64]  # (n, classes): -dC/do, unit 2**-16


@kernel
def window_features(plan, heads, head, window, n_samples, features):
    """Window sums of a layer over the blocks of a head, int64 (n, features); window: int32 (2, n, state size)."""
    features[:n_samples] = 0
    for sample in range(n_samples):
        for half in range(2):
            add_features(plan, heads, head, window[half, sample], features[sample])


@kernel
def add_features(plan, heads, head, sums, features):
    """Add sums of p, int32 (state size,), over the blocks of a head to its features, int64."""
    row = heads.table[head]
    pop = plan.populations[row[hd.HEAD_POPULATION]]
    height, width, lanes, side = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_LANES], row[hd.HEAD_SIDE]
    rows, columns = height // side, width // side
    own = sums[pop[POP_STATE] :]
    for block in range(pop[POP_BLOCKS]):
        for y in range(rows * side):
            for x in range(columns * side):
                pixel = ((block * height + y) * width + x) * lanes
                at = ((block * rows + y // side) * columns + x // side) * lanes
                for lane in range(lanes):
                    features[at + lane] += np.int64(own[pixel + lane])


@kernel
def say(heads, head, features, steps, logits):
    """What a head makes of its features, sums of p over so many steps: its logits, float64 (classes,)."""
    row = heads.table[head]
    classes, size, at = logits.shape[0], row[hd.HEAD_FEATURES], row[hd.HEAD_AT]
    scale = math.ldexp(1.0, -int(ONE_BITS + row[hd.HEAD_SHIFT] + row[hd.HEAD_EXPONENT])) / steps
    for j in range(classes):
        weights = heads.weights[at * classes + j * size : at * classes + (j + 1) * size]
        total = np.int64(0)
        for i in range(size):
            total += features[i] * np.int64(weights[i])
        logits[j] = np.float64(total) * scale + heads.bias[head, j]


def predict(
    packed: hd.Heads,
    head: int,
    features: NDArray[np.int64],
    steps: int,
    labels: NDArray[np.int64],
    soft_targets: NDArray[np.float64] | None = None,
) -> Prediction:
    """Apply a head to average rates.

    Parameters
    ----------
    head : int
        Its index.
    features : int64, shape (n, features)
        Sums of p over the window and over the blocks (`window_features`).
    steps : int
        Length of the window.
    labels : int64, shape (n,)
    soft_targets : float64, shape (n, classes)
        The teacher's softmax(t / tau), where the head has one.
    """
    n, classes = len(features), packed.bias.shape[1]
    found = Prediction(np.empty((n, classes)), np.empty(n), np.empty(n, np.bool_), np.empty((n, classes), np.int64))
    with_teacher = soft_targets is not None and packed.soft[head] > 0
    targets = soft_targets if with_teacher else np.zeros((0, classes))
    _predict(packed, head, features, steps, labels, targets, *found, np.empty((3, classes)))
    return found


@kernel
def _predict(heads, head, features, steps, labels, soft_targets, logits, losses, correct, errors, room):
    """`predict`, into arrays; room: float64 (3, classes)."""
    classes, squared = logits.shape[1], heads.table[head, hd.HEAD_SQUARED] != 0
    guess, softened, cooled = room[0], room[1], room[2]
    for sample in range(len(features)):
        own, label = logits[sample], labels[sample]
        say(heads, head, features[sample], steps, own)
        correct[sample] = np.argmax(own) == label
        log_sum = 0.0 if squared else softmax(own, guess)
        if len(soft_targets):
            for j in range(classes):
                cooled[j] = own[j] / heads.temperature
            softmax(cooled, softened)
        loss = 0.0
        for j in range(classes):
            wanted = 1.0 if j == label else 0.0
            if squared:
                error = wanted - own[j]
                loss += error * error
            else:
                error = heads.hard[head] * (wanted - guess[j])
                if len(soft_targets):
                    error += heads.soft[head] * (soft_targets[sample, j] - softened[j])
            bounded = min(max(error, -hd.PUSH_MAX), hd.PUSH_MAX)
            errors[sample, j] = np.int64(np.rint(bounded * 2.0**hd.ERROR_BITS))
        losses[sample] = 0.5 * loss if squared else log_sum - own[label]


def feature_gradient(head: hd.Head, features: NDArray[np.int64], errors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Delta rule, ``sum over samples of error x feature``; int64 (features in the order (y, x, channel), classes)."""
    products = exact_product(features.astype(np.float64), errors.astype(np.float64))  # (features, classes)
    by_class = head.blocks.from_state(products.T.reshape(-1, head.features))
    return by_class.reshape(-1, neurons(head.shape)).T.astype(np.int64)
