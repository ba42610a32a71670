"""Heads: linear classifiers outside the dynamics, and their integers.

The *read-out* reads the top layer and is what the network answers with. An *intermediate head* reads another layer and
exists only to give it an error signal in the nudged phases (*local error*, Noekland & Eidnes 2019; in equilibrium
propagation, our reconstruction of arXiv 2508.15989). A head sees sums of the firing probabilities over blocks of
side x side cells, r, and says ``o = A r + c``. Its cost is

    h CE(y, softmax(o)) + s tau^2 KL(softmax(t / tau) || softmax(o / tau)),      h + s = 1, t the logits of a teacher

(knowledge distillation, Hinton et al. 2015), or half the squared error of o for a read-out.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.layout import Spread, serial
from spikesim.engine.plan import record
from spikesim.engine.populations import Population
from spikesim.engine.synapses import Shape
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import DRIVE_LIMIT, ONE, WEIGHT_MAX
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
