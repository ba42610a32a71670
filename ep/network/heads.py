"""Heads: linear classifiers outside the dynamics, and the nudges that their costs exert on the layers they read.

The *read-out* reads the top layer and is what the network answers with. An *intermediate head* reads another layer and
exists only to give it an error signal in the nudged phases (*local error*, Noekland & Eidnes 2019; in equilibrium
propagation, our reconstruction of arXiv 2508.15989). A head sees sums of the firing probabilities over blocks of
side x side cells, r, and says ``o = A r + c``. Its cost is

    h CE(y, softmax(o)) + s tau^2 KL(softmax(t / tau) || softmax(o / tau)),      h + s = 1, t the logits of a teacher

(knowledge distillation, Hinton et al. 2015), or half the squared error of o for a read-out. In a nudged phase the drive
of the layer receives ``strength * A^T (-dC/do)`` through the adjoint of the blocks, taken anew at every step (Laborieux
et al. 2021, section 3.2).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.delivery import shifted
from spikesim.engine.layout import Spread, serial
from spikesim.engine.neurons import present
from spikesim.engine.phase import model_of
from spikesim.engine.plan import record
from spikesim.engine.populations import Population
from spikesim.engine.simd.rows import ROW, add_clipped
from spikesim.engine.synapses import Shape
from spikesim.errors import InputError
from spikesim.jit.compilation import kernel
from spikesim.numerics.dither import leak_dither
from spikesim.numerics.fixed_point import DRIVE_LIMIT, ONE, ONE_BITS, P_MAX, WEIGHT_MAX
from spikesim.numerics.portable_math import softmax
from spikesim.numerics.quantization import quantize_weights

READOUT = "readout"
ERROR_BITS = 16
"""Errors -dC/do are rounded to multiples of 2**-16 for the delta rule."""
EXACT = 2**53
"""Integers up to this are exact as float64."""
MEAN_BITS = 8
"""Means over all positions of a map are rounded to multiples of 2**-8 of what is averaged."""
BLOCKS, MEAN, MAXIMUM = range(3)
"""What the features of a head are: sums over blocks of cells; or, of each channel, the mean over all positions that
exist, or the largest value."""
POOLINGS = {"none": BLOCKS, "mean": MEAN, "maximum": MAXIMUM}
"""The same by the name of the configuration, `model.global_pooling`."""
PUSH_MAX = 64.0
"""Bound of strength times an error, which cross-entropy never reaches and a squared error might."""

HEAD = record(
    ("population", "i8"),
    ("side", "i8"),
    ("pooling", "i8"),  # BLOCKS, MEAN or MAXIMUM
    ("shift", "i8"),  # a feature counts 2**-shift
    ("features", "i8"),
    ("at", "i8"),  # offset of its features among those of all heads; times the classes: offset of its weights
    ("exponent", "i8"),  # real weight = integer * 2**-exponent
    ("squared", "i8"),  # 1: squared error
)
"""A row of `Heads.table`."""


@dataclass(frozen=True, eq=False)
class Head:
    """Where a head sits.

    Attributes
    ----------
    name : str
        "readout", or "head" and the number of the layer, from 1.
    layer : int
        Index of the layer, from 0.
    population : Population
        That layer.
    side : int
        Side of the blocks of cells that it sums; rows and columns that fill no block are not read.
    pooling : {"none", "mean", "maximum"}
        Other than "none": over all positions of the map, in place of blocks.
    """

    name: str
    layer: int
    population: Population
    side: int
    pooling: str = "none"

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return "the read-out" if self.name == READOUT else self.name

    @property
    def shift(self) -> int:
        """A feature counts 2**-shift; of a sum over a block that is the mean, if the side is a power of two."""
        return {"none": (self.side * self.side).bit_length() - 1, "mean": MEAN_BITS, "maximum": 0}[self.pooling]

    @property
    def largest(self) -> int:
        """The largest feature where every p is 1."""
        return self.side * self.side if self.pooling == "none" else 1 << self.shift

    @property
    def shape(self) -> Shape:
        """Shape of the map of blocks."""
        height, width, channels = self.population.shape
        if self.pooling != "none":
            return 1, 1, channels
        return height // self.side, width // self.side, channels

    @property
    def blocks(self) -> Population:
        """A population of the shape of the map of blocks, for its layout."""
        return Population(-1, "", self.shape, 0, False, -1)

    @property
    def features(self) -> int:
        """What the head sees, in the layout ``[channel block][map position][lane]``: padding included."""
        return self.blocks.state_size


class Heads(NamedTuple):
    """All heads of a network for the compiled loop.

    weights: the quantized weights of all heads, one after the other, flat ``[class][feature]``.
    answers: whether a head is one of those that give the answer of the network together.
    hard, soft: weight of the labels, and of the teacher times its temperature, in -dC/do.
    """

    table: NDArray[np.record]  # (heads,) of HEAD
    weights: NDArray[np.int32]
    bias: NDArray[np.float64]  # (heads, classes)
    answers: NDArray[np.bool_]  # (heads,)
    hard: NDArray[np.float64]  # (heads,)
    soft: NDArray[np.float64]  # (heads,)
    temperature: float


class HeadScratch(NamedTuple):
    """Working memory of one thread."""

    features: NDArray[np.int32]  # (features of the largest head,)
    pushes: NDArray[np.int64]  # the same
    logits: NDArray[np.float64]  # (classes,)
    errors: NDArray[np.float64]  # (classes,)
    guess: NDArray[np.float64]  # (classes,)
    present: NDArray[np.int32]  # (state size,), or (0,) where all neurons are clipped linear


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


def new_scratch(heads: Heads, state_size: int = 0) -> HeadScratch:
    """Working memory for one thread; state_size: of a network with neurons that are not clipped linear."""
    classes, largest = heads.bias.shape[1], int(heads.table["features"].max())
    return HeadScratch(
        np.zeros(largest, np.int32),
        np.zeros(largest, np.int64),
        np.zeros(classes),
        np.zeros(classes),
        np.zeros(classes),
        np.zeros(state_size, np.int32),
    )


def pack_heads(
    heads: tuple[Head, ...],
    weights: list[NDArray[np.float32]],
    biases: list[NDArray[np.float32]],
    *,
    cost: str = "cross-entropy",
    answers: tuple[bool, ...] | None = None,
    soft: tuple[float, ...] | None = None,
    temperature: float = 1.0,
    spread: Spread = serial,
) -> Heads:
    """Quantize the heads.

    Parameters
    ----------
    weights : float32, one a head, shape (features, classes)
        Features in the order (y, x, channel).
    biases : float32, one a head, shape (classes,)
    cost : {"cross-entropy", "squared-error"}
        Of the read-out, which is the last.
    answers : bool, one a head, optional
        Those that give the answer of the network; the read-out alone by default.
    soft : weight of the teacher, one a head, 0 .. 1; none without it
    temperature : float
        tau, for the teacher.
    spread : function like `map`, optional
        Shares the work out over threads.

    Raises
    ------
    InputError
        Weights that are not finite or too large.
    """
    classes = len(biases[0])
    table = np.zeros(len(heads), HEAD)

    def quantize(number: int) -> tuple[NDArray[np.int32], int]:
        head = heads[number]
        if not np.isfinite(biases[number]).all():
            raise InputError(f"biases of {head.title} hold a value that is not finite; lower the learning rate")
        integers, exponent = quantize_weights(weights[number], f"weights of {head.title}")
        by_class = head.blocks.to_state(integers.T.reshape(-1, *head.shape))  # (classes, features)
        return by_class.ravel().astype(np.int32), exponent

    packed = spread(quantize, range(len(heads)))
    at = 0
    for row, head, (_, exponent) in zip(table, heads, packed, strict=True):
        squared = head.name == READOUT and cost == "squared-error"
        row.population, row.side, row.shift, row.features = head.population.index, head.side, head.shift, head.features
        row.at, row.exponent, row.squared, row.pooling = at, exponent, squared, POOLINGS[head.pooling]
        at += head.features
    mixed = np.zeros(len(heads)) if soft is None else np.array(soft, np.float64)
    return Heads(
        table=table,
        weights=np.concatenate([integers for integers, _ in packed]),
        bias=np.array(biases, np.float64).reshape(len(heads), classes),
        answers=np.array([head.name == READOUT for head in heads] if answers is None else answers, np.bool_),
        hard=1.0 - mixed,
        soft=mixed * temperature,
        temperature=float(temperature),
    )


def weights_of(packed: Heads, head: int) -> NDArray[np.int32]:
    """The quantized weights of one head, a view (classes, features) with the features in its layout."""
    classes, row = packed.bias.shape[1], packed.table[head]
    at, size = int(row.at) * classes, int(row.features)
    return packed.weights[at : at + classes * size].reshape(classes, size)


@kernel
def add_blocks(plan, heads, head, extent, values, limit, features):
    """Add values within 0 .. limit, int32 (state size,), to the features of a head, int32 or int64.

    extent: columns of the map that exist. Values of a head with a mean are added over all positions, for
    `mean_over_positions`; that with a maximum takes those above its features.
    """
    row = heads.table[head]
    pop = plan.populations[row.population]
    height, width, lanes, side = pop.height, pop.width, pop.lanes, row.side
    if row.pooling != BLOCKS:
        for block in range(pop.blocks):
            for y in range(height):
                for x in range(extent):
                    pixel, n = pop.state + ((block * height + y) * width + x) * lanes, block * lanes
                    if row.pooling == MEAN:
                        for lane in range(0, lanes, ROW):
                            add_clipped(values, pixel + lane, np.int32(limit), features, n + lane)
                    else:
                        for lane in range(lanes):
                            value = min(max(values[pixel + lane], np.int32(0)), np.int32(limit))
                            features[n + lane] = max(features[n + lane], value)
        return
    rows, columns = height // side, width // side
    for block in range(pop.blocks):
        for y in range(rows * side):
            for x in range(columns):
                n = ((block * rows + y // side) * columns + x) * lanes
                for cell in range(side):
                    pixel = pop.state + ((block * height + y) * width + x * side + cell) * lanes
                    for lane in range(0, lanes, ROW):
                        add_clipped(values, pixel + lane, np.int32(limit), features, n + lane)


@kernel
def mean_over_positions(plan, heads, head, extent, features):
    """Divide the sums of a head with a mean by the number of its positions, halves rounded up; in place.

    extent: columns of the map that exist. features: int32 or int64; a mean of 1 becomes 2**MEAN_BITS.
    """
    row = heads.table[head]
    if row.pooling == MEAN:
        positions = np.int64(plan.populations[row.population].height * extent)
        for i in range(row.features):
            features[i] = ((np.int64(features[i]) << (MEAN_BITS + 1)) + positions) // (2 * positions)


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
def head_errors(heads, head, logits, label, soft_targets, errors, guess):
    """-dC/do of a head, for its logits, into `errors`; returns its cost for the label alone, whatever the teacher.

    soft_targets: softmax(t / tau), float64 (classes,), or empty: then C has no such part. guess: room, (classes,).
    """
    if heads.table[head].squared:
        total = 0.0
        for j in range(logits.shape[0]):
            errors[j] = (1.0 if j == label else 0.0) - logits[j]
            total += errors[j] * errors[j]
        return 0.5 * total
    log_sum = softmax(logits, guess)
    hard, soft = heads.hard[head], heads.soft[head]
    for j in range(logits.shape[0]):
        errors[j] = hard * ((1.0 if j == label else 0.0) - guess[j])
    if soft > 0.0 and len(soft_targets) > 0:
        for j in range(logits.shape[0]):
            guess[j] = logits[j] / heads.temperature
        softmax(guess, guess)
        for j in range(logits.shape[0]):
            errors[j] += soft * (soft_targets[j] - guess[j])
    return log_sum - logits[label]


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


def check_head(head: Head) -> None:
    """Refuse a head whose sums could leave the range in which float64 is exact.

    Raises
    ------
    InputError
    """
    largest = float(ONE) * head.largest * WEIGHT_MAX * head.features
    if largest > EXACT:
        cells = f"{head.side}x{head.side} cells" if head.pooling == "none" else "all positions"
        raise InputError(
            f"{head.name} sums {cells} into {head.features} features, too many to be exact; "
            "use a finer error_signals.grid or fewer channels"
        )


def check_nudge(packed: Heads, heads: tuple[Head, ...], strength: float, spread: Spread = serial) -> None:
    """Refuse heads whose nudge could leave the range of a drive.

    Raises
    ------
    InputError
    """

    def largest_sum(index: int) -> float:
        scale = math.ldexp(1.0, -int(packed.table[index].exponent))
        return float(np.abs(weights_of(packed, index)).sum(axis=0).max(initial=0)) * scale

    for head, largest in zip(heads, spread(largest_sum, range(len(heads))), strict=True):
        if largest * min(max(1.0, strength), PUSH_MAX) >= DRIVE_LIMIT / 8 / ONE:
            raise InputError(
                f"the weights of {head.title} add up to {largest:.4g} for a neuron; with a strength of {strength:.4g} "
                f"the nudge could exceed {DRIVE_LIMIT // 8 // ONE}: lower the learning rate of {head.title}"
            )
