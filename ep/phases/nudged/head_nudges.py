"""The nudges that heads exert on the layers they read.

In a nudged phase the drive of a layer receives ``strength * A^T (-dC/do)`` of its head through the adjoint of the
blocks, taken anew at every step (Laborieux et al. 2021, section 3.2).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.delivery import shifted
from spikesim.engine.neurons import present
from spikesim.engine.phase import model_of
from spikesim.ep.network.head_costs import head_errors
from spikesim.ep.network.head_features import add_blocks, mean_over_positions
from spikesim.ep.network.heads import MAXIMUM, MEAN, MEAN_BITS, PUSH_MAX, Heads
from spikesim.jit.compilation import kernel
from spikesim.numerics.dither import leak_dither
from spikesim.numerics.fixed_point import ONE, ONE_BITS, P_MAX


class HeadScratch(NamedTuple):
    """Working memory of one thread."""

    features: NDArray[np.int32]  # (features of the largest head,)
    pushes: NDArray[np.int64]  # the same
    logits: NDArray[np.float64]  # (classes,)
    errors: NDArray[np.float64]  # (classes,)
    guess: NDArray[np.float64]  # (classes,)
    present: NDArray[np.int32]  # (state size,), or (0,) where all neurons are clipped linear

    @classmethod
    def of(cls, heads: Heads, state_size: int = 0) -> "HeadScratch":
        """For these heads; state_size: of a network with neurons that are not clipped linear."""
        classes, largest = heads.bias.shape[1], int(heads.table["features"].max())
        return cls(
            features=np.zeros(largest, np.int32),
            pushes=np.zeros(largest, np.int64),
            logits=np.zeros(classes),
            errors=np.zeros(classes),
            guess=np.zeros(classes),
            present=np.zeros(state_size, np.int32),
        )


class Nudge(NamedTuple):
    """What the heads exert on their layers in a nudged phase of n samples."""

    heads: Heads
    strengths: NDArray[np.float64]  # (heads,): beta times the strength of each; a head with 0 nudges nothing
    labels: NDArray[np.int64]  # (n,)
    soft_targets: NDArray[np.float64]  # (n, classes): softmax(t / tau); not looked at without a teacher
    scratch: HeadScratch
    trace: NDArray[np.int32]  # (n, features of all heads): low-passed features
    trace_leak: int  # of this low pass, alpha = 2**-trace_leak
    firing: int  # how neurons fire in the phase


@kernel
def block_sums(plan, state, nudge, head, sample, features):
    """Features of a head for the present p, int32, into ``features[:number of features]``."""
    heads, values = nudge.heads, state.membrane[sample]
    features[: heads.table[head].features] = 0
    population = heads.table[head].population
    pop = plan.populations[population]
    model = model_of(pop, nudge.firing)
    if model != 0:
        values = nudge.scratch.present
        for i in range(pop.state, pop.state + pop.height * pop.width * pop.blocks * pop.lanes):
            values[i] = present(model, state.memory, sample, i, state.membrane[sample, i], pop.refractory)
    extent = state.extent[sample, population]
    add_blocks(plan, heads, head, extent, values, P_MAX, features)
    mean_over_positions(plan, heads, head, extent, features)


@kernel
def spread_push(plan, state, heads, head, sample, push):
    """The adjoint of `block_sums`: the same push, int32, to each cell of a block, or to each position that exists, as
    the nudge of the layer.
    """
    row = heads.table[head]
    pop = plan.populations[row.population]
    height, width, lanes, side = pop.height, pop.width, pop.lanes, row.side
    nudge = state.nudge[sample, pop.state :]
    if row.pooling == MEAN:
        for block in range(pop.blocks):
            pushed = push[block * lanes : (block + 1) * lanes]
            for y in range(height):
                for x in range(state.extent[sample, row.population]):
                    pixel = ((block * height + y) * width + x) * lanes
                    cell_nudge = nudge[pixel : pixel + lanes]
                    for lane in range(lanes):
                        cell_nudge[lane] = pushed[lane]
        return
    rows, columns = height // side, width // side
    for block in range(pop.blocks):
        for y in range(rows * side):
            for x in range(columns):
                n = ((block * rows + y // side) * columns + x) * lanes
                pushed = push[n : n + lanes]
                for cell in range(side):
                    pixel = ((block * height + y) * width + x * side + cell) * lanes
                    cell_nudge = nudge[pixel : pixel + lanes]
                    for lane in range(lanes):  # an assignment of slices takes four times as long
                        cell_nudge[lane] = pushed[lane]


@kernel
def push_largest(plan, state, nudge_of, head, sample, push):
    """The adjoint of `block_sums` with a maximum: the push of each channel, int32, to the first position with the
    largest value, and none to the others.

    nudge_of: `Nudge`, whose room holds what `block_sums` has found.
    """
    population = nudge_of.heads.table[head].population
    pop, values = plan.populations[population], state.membrane[sample]
    if model_of(pop, nudge_of.firing) != 0:
        values = nudge_of.scratch.present
    height, width, lanes = pop.height, pop.width, pop.lanes
    nudge = state.nudge[sample]
    for block in range(pop.blocks):
        for lane in range(lanes):
            first, top = np.int64(-1), np.int32(0)
            for y in range(height):
                for x in range(state.extent[sample, population]):
                    i = pop.state + ((block * height + y) * width + x) * lanes + lane
                    value = min(max(values[i], np.int32(0)), np.int32(P_MAX))
                    nudge[i] = np.int32(0)
                    if first < 0 or value > top:
                        first, top = i, value
            nudge[first] = push[block * lanes + lane]


@kernel
def nudge_sample(plan, state, nudge, head, sample, t):
    """Set the nudge that one head exerts on its layer in step t, from the present state of one sample."""
    heads, scratch, strength, trace_leak = nudge.heads, nudge.scratch, nudge.strengths[head], nudge.trace_leak
    row = heads.table[head]
    features, pushes, logits, errors = scratch.features, scratch.pushes, scratch.logits, scratch.errors
    classes, size, at = logits.shape[0], row.features, row.at
    block_sums(plan, state, nudge, head, sample, features)
    seen, dither = nudge.trace[sample, at : at + size], leak_dither(t, trace_leak)
    for i in range(size):
        seen[i] += (features[i] - seen[i] + dither) >> trace_leak
    scale = math.ldexp(1.0, -int(ONE_BITS + row.shift + row.exponent))
    for j in range(classes):
        weights = heads.weights[at * classes + j * size : at * classes + (j + 1) * size]
        total = np.int64(0)
        for i in range(size):
            total += np.int64(seen[i]) * np.int64(weights[i])
        logits[j] = np.float64(total) * scale + heads.bias[head, j]
    head_errors(heads, head, logits, nudge.labels[sample], nudge.soft_targets[sample], errors, scratch.guess)
    for i in range(size):
        pushes[i] = 0
    for j in range(classes):
        push = np.int32(np.rint(min(max(strength * errors[j], -PUSH_MAX), PUSH_MAX) * ONE))
        weights = heads.weights[at * classes + j * size : at * classes + (j + 1) * size]
        for i in range(size):
            pushes[i] += np.int64(weights[i]) * np.int64(push)
    shift = row.exponent + row.shift
    if row.pooling == MEAN:
        positions = np.int64(plan.populations[row.population].height * state.extent[sample, row.population])
        for i in range(size):
            pushes[i] = ((pushes[i] << (MEAN_BITS + 1)) + positions) // (2 * positions)
    for i in range(size):  # the features have been used
        features[i] = np.int32(shifted(pushes[i], shift))
    if row.pooling == MAXIMUM:
        push_largest(plan, state, nudge, head, sample, features)
    else:
        spread_push(plan, state, heads, head, sample, features)
