"""What the layers are, in terms of section "Dynamics": maps, pools, and tables as lists of synapses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from by_the_manual.chance import Shape
from by_the_manual.integers import Integers, Reals
from by_the_manual.page import follows
from scipy import sparse


@dataclass(frozen=True)
class Layer:
    """A layer and the table of weights into it.

    Attributes
    ----------
    shape : (H, W, C)
    seen : (H, W, C)
        What the table reads: the image, or the map below behind its pool.
    weight_shape : tuple
        (ky, kx, Cin, Cout) or (features, outputs), as docs/run-file.md has it.
    target, source, weight : int64 (synapses,)
        Of each synapse: the neuron, what it reads, and which of the weights it has.
    pool : bool
        Whether the layer is read through 2x2 pooling.
    """

    name: str
    shape: Shape
    seen: Shape
    weight_shape: tuple[int, ...]
    target: Integers
    source: Integers
    weight: Integers
    pool: bool

    @property
    def neurons(self) -> int:
        """Neurons of the layer."""
        return int(np.prod(self.shape))

    @property
    def fan_in(self) -> int:
        """Synapses of a neuron, where no padding takes them."""
        return int(np.prod(self.weight_shape[:-1]))

    @property
    def fan_out(self) -> Integers:
        """Synapses of what the layer reads, (neurons seen,)."""
        return np.bincount(self.source, minlength=int(np.prod(self.seen)))

    @property
    def synapses_of(self) -> Integers:
        """Synapses of each neuron, (neurons,); padding has none."""
        return np.bincount(self.target, minlength=self.neurons)

    @property
    def read_shape(self) -> Shape:
        """The map that the next layer and the read-out see."""
        height, width, channels = self.shape
        return (height // 2, width // 2, channels) if self.pool else self.shape

    def matrix(self, weights: Integers) -> sparse.csr_array:
        """Weights as a matrix (neurons, neurons seen)."""
        shape = self.neurons, int(np.prod(self.seen))
        return sparse.csr_array((weights.ravel()[self.weight], (self.target, self.source)), shape)

    def products(self, post: Integers, pre: Integers) -> Integers:
        """For each weight, the sum over samples and synapses of post, (n, neurons), times pre, (n, neurons seen)."""
        sums = np.zeros(self.weight_shape, np.int64)
        np.add.at(sums.reshape(-1), self.weight, (post[:, self.target] * pre[:, self.source]).sum(axis=0))
        return sums


@follows("In these formulas $*$ is a convolution or a matrix product.")
def build(rows: Sequence[Mapping[str, Any]], image: Shape) -> list[Layer]:
    """The layers of an architecture, rows as docs/own-architecture.md has them."""
    layers: list[Layer] = []
    seen = image
    for number, row in enumerate(rows, 1):
        channels = row["channels"]
        if row["kind"] == "dense":
            shape, weights = (1, 1, channels), (int(np.prod(seen)), channels)
            synapses = _all_to_all(weights)
        else:
            kernel, padding = row.get("kernel", 3), row.get("padding", 1)
            shape = (seen[0] + 2 * padding - kernel + 1, seen[1] + 2 * padding - kernel + 1, channels)
            weights = (kernel, kernel, seen[2], channels)
            synapses = _convolution(weights, padding, seen, shape)
        name = f"{row['kind']}{number}"
        layers.append(Layer(name, shape, seen, weights, *synapses, bool(row.get("pool", False))))
        seen = layers[-1].read_shape
    return layers


def _all_to_all(weights: tuple[int, int]) -> Integers:
    source, target = np.indices(weights).reshape(2, -1)
    return np.array([target, source, np.arange(len(target))])


def _convolution(weights: tuple[int, int, int, int], padding: int, seen: Shape, shape: Shape) -> Integers:
    """Target, source and weight of each synapse."""
    neuron, place, number = (np.arange(np.prod(own)).reshape(own) for own in (shape, seen, weights))
    synapses = []
    for y in range(shape[0]):
        for x in range(shape[1]):
            for ky in range(weights[0]):
                for kx in range(weights[1]):
                    from_y, from_x = y + ky - padding, x + kx - padding
                    if 0 <= from_y < seen[0] and 0 <= from_x < seen[1]:
                        sources, targets = place[from_y, from_x][:, None], neuron[y, x]
                        synapses.append(np.broadcast_arrays(targets, sources, number[ky, kx]))
    return np.array([np.concatenate([own[i].ravel() for own in synapses]) for i in range(3)])


@follows(
    r"""
    Pool is the average over 2x2 cells (an odd last row or column is left out), $\mathrm{Pool}^T$ its
    adjoint: a quarter to each cell.
    """,
)
def four_cells(values: Integers, shape: Shape) -> Integers:
    """The cells of each pooled position, in the order of rows, (n, 4, pooled neurons); their sum is four averages."""
    height, width = shape[0] // 2 * 2, shape[1] // 2 * 2
    maps = values.reshape(-1, *shape)[:, :height, :width]
    cells = [maps[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    return np.stack(cells, axis=1).reshape(len(values), 4, -1)


def to_four_cells(values: Integers, shape: Shape) -> Integers:
    """The transpose of the sum over the cells: (n, pooled neurons) to (n, neurons)."""
    maps = np.zeros((len(values), *shape), values.dtype)
    pooled = values.reshape(-1, shape[0] // 2, shape[1] // 2, shape[2])
    maps[:, : shape[0] // 2 * 2, : shape[1] // 2 * 2] = pooled.repeat(2, axis=1).repeat(2, axis=2)
    return maps.reshape(len(values), -1)


@follows(
    r"""
    With `dynamics.pooling = "sampled"` the forward direction passes, at each step and channel, the spikes of one of
    the four cells at full weight: cell $(t + \lfloor t / 4 \rfloor + y + x + c) \bmod 4$ of the cells in the order of
    rows, $y$, $x$ and $c$ being those of the pooled map and $t$ the index of the spikes $z_t$ that are passed on:
    layers that receive new spikes within a step count one more than the others.
    """,
)
def sampled_cell(values: Integers, shape: Shape, t: int) -> Integers:
    """The cells whose spikes z_t are passed on, (n, pooled neurons)."""
    y, x, c = np.ogrid[: shape[0] // 2, : shape[1] // 2, : shape[2]]
    chosen = ((t + t // 4 + y + x + c) % 4).ravel()
    return four_cells(values, shape)[:, chosen, np.arange(len(chosen))]


@follows("With `winner` the neuron of each cell and channel with the highest $V$, the first of equals,")
def winners(potentials: Reals | Integers, shape: Shape) -> Integers:
    """1 for these neurons, 0 for the others, (n, neurons)."""
    highest = four_cells(potentials, shape).argmax(axis=1)  # (n, pooled neurons)
    found = np.zeros(potentials.shape, np.int64)
    for cell, neurons in enumerate(four_cells(np.arange(potentials.shape[1])[None], shape)[0]):
        found[:, neurons] = highest == cell
    return found
