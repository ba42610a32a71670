"""What heads make of the window of the free phase: logits, costs, and the errors of their delta rule."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.synapses import neurons
from spikesim.ep.network import heads as hd
from spikesim.ep.network.head_costs import head_errors
from spikesim.ep.network.head_features import add_blocks, mean_over_positions
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.numerics.portable_math import softmax

SUM_MAX = 2**31 - 1
"""Sums of p over a window are not bounded when they are added up."""


class Answers(NamedTuple):
    """What the network says of n samples."""

    logits: NDArray[np.float64]  # (n, classes): those of the read-out, or means of log-probabilities
    losses: NDArray[np.float64]  # (n,): against the labels
    correct: NDArray[np.bool_]  # (n,)

    def rows(self, part: slice) -> "Answers":
        """Those of some of the samples, views."""
        return Answers(self.logits[part], self.losses[part], self.correct[part])


class Predictions(NamedTuple):
    """What the heads make of n samples."""

    features: NDArray[np.int64]  # (n, features of all heads): sums of p over the window and over the blocks
    logits: NDArray[np.float64]  # (n, heads, classes)
    losses: NDArray[np.float64]  # (n, heads): against the labels
    correct: NDArray[np.bool_]  # (n, heads)
    errors: NDArray[np.int64]  # (n, heads, classes): -dC/do, unit 2**-16
    answers: Answers

    @classmethod
    def empty(cls, packed: hd.Heads, n: int) -> "Predictions":
        """Room for n samples."""
        heads, classes = packed.bias.shape
        return cls(
            features=np.empty((n, int(packed.table["features"].sum())), np.int64),
            logits=np.empty((n, heads, classes)),
            losses=np.empty((n, heads)),
            correct=np.empty((n, heads), np.bool_),
            errors=np.empty((n, heads, classes), np.int64),
            answers=Answers(np.empty((n, classes)), np.empty(n), np.empty(n, np.bool_)),
        )

    def rows(self, part: slice) -> "Predictions":
        """Those of some of the samples, views."""
        return Predictions(
            self.features[part],
            self.logits[part],
            self.losses[part],
            self.correct[part],
            self.errors[part],
            self.answers.rows(part),
        )


@kernel
def window_features(plan, heads, first, state, n_samples, sums, features):
    """Features of each head from the first on, of the sums over the window, int64 (n, features of all heads).

    sums: room, int32 (state size,).
    """
    for sample in range(n_samples):
        early, late = state.window[0, sample], state.window[1, sample]
        for i in range(len(sums)):
            sums[i] = early[i] + late[i]
        for head in range(first, heads.table.shape[0]):
            at = heads.table[head].at
            own = features[sample, at : at + heads.table[head].features]
            find_features(plan, heads, head, state.extent[sample], sums, own)


@kernel
def find_features(plan, heads, head, extents, sums, features):
    """Features of a head, int64, of sums of p over some steps, int32 (state size,).

    extents: of the populations (`State.extent`).
    """
    features[:] = 0
    extent = extents[heads.table[head].population]
    add_blocks(plan, heads, head, extent, sums, SUM_MAX, features)
    mean_over_positions(plan, heads, head, extent, features)


@kernel
def say(heads, head, features, steps, logits):
    """What a head makes of its features, sums of p over so many steps: its logits, float64 (classes,)."""
    row = heads.table[head]
    classes, size, at = logits.shape[0], row.features, row.at
    scale = math.ldexp(1.0, -int(ONE_BITS + row.shift + row.exponent)) / steps
    for j in range(classes):
        weights = heads.weights[at * classes + j * size : at * classes + (j + 1) * size]
        total = np.int64(0)
        for i in range(size):
            total += features[i] * np.int64(weights[i])
        logits[j] = np.float64(total) * scale + heads.bias[head, j]


def predict(
    packed: hd.Heads,
    steps: int,
    labels: NDArray[np.int64],
    soft_targets: NDArray[np.float64] | None,
    found: Predictions,
    *,
    first: int = 0,
) -> None:
    """Apply the heads from the first on to average rates; those that answer are among them.

    Parameters
    ----------
    steps : int
        Length of the window.
    labels : int64, shape (n,)
    soft_targets : float64, shape (n, classes), optional
        The teacher's softmax(t / tau), for the heads that listen to it.
    found : Predictions
        Its features are given, the rest is overwritten.
    """
    classes = packed.bias.shape[1]
    targets = np.zeros((0, classes)) if soft_targets is None else soft_targets
    room = np.empty((2, classes))
    _predict(packed, first, steps, labels, targets, found, room)
    _answer(packed, labels, found, room[0])


@kernel
def _predict(heads, first, steps, labels, soft_targets, found, room):
    """`predict`; room: float64 (2, classes)."""
    logits, errors = found.logits, found.errors
    classes = logits.shape[2]
    exact, guess = room[0], room[1]
    targets = soft_targets.reshape(-1)
    for head in range(first, heads.table.shape[0]):  # its weights are read once for all samples
        at = heads.table[head].at
        for sample in range(len(labels)):
            own, label = logits[sample, head], labels[sample]
            say(heads, head, found.features[sample, at:], steps, own)
            found.correct[sample, head] = np.argmax(own) == label
            wanted = targets[sample * classes : (sample + 1) * classes]  # empty without a teacher
            found.losses[sample, head] = head_errors(heads, head, own, label, wanted, exact, guess)
            for j in range(classes):
                bounded = min(max(exact[j], -hd.PUSH_MAX), hd.PUSH_MAX)
                errors[sample, head, j] = np.int64(np.rint(bounded * 2.0**hd.ERROR_BITS))


@kernel
def _answer(heads, labels, found, guess):
    """What the heads that answer say together; guess: room, float64 (classes,)."""
    logits, losses, correct = found.answers
    readout, members = heads.table.shape[0] - 1, heads.answers.sum()
    for sample in range(len(labels)):
        own, label = logits[sample], labels[sample]
        if members == 1:
            for j in range(own.shape[0]):
                own[j] = found.logits[sample, readout, j]
            losses[sample] = found.losses[sample, readout]
            correct[sample] = found.correct[sample, readout]
            continue
        own[:] = 0.0
        for head in range(heads.table.shape[0]):
            if heads.answers[head]:
                log_sum = softmax(found.logits[sample, head], guess)
                for j in range(own.shape[0]):
                    own[j] += found.logits[sample, head, j] - log_sum
        for j in range(own.shape[0]):
            own[j] /= members
        losses[sample] = softmax(own, guess) - own[label]
        correct[sample] = np.argmax(own) == label


def feature_gradient(head: hd.Head, features: NDArray[np.int64], errors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Delta rule, ``sum over samples of error x feature``; int64 (features in the order (y, x, channel), classes)."""
    products = np.zeros((errors.shape[1], features.shape[1]), np.int64)
    _add_products(np.ascontiguousarray(features), np.ascontiguousarray(errors), products)
    by_class = head.blocks.from_state(products).reshape(-1, neurons(head.shape))
    return np.ascontiguousarray(by_class.T)


@kernel
def _add_products(features, errors, products):
    """Add errors (n, classes) times features (n, features) to products (classes, features)."""
    for label in range(errors.shape[1]):
        own = products[label]
        for sample in range(len(errors)):
            error = errors[sample, label]
            if error != 0:
                for i in range(features.shape[1]):
                    own[i] += features[sample, i] * error
