"""Populations of neurons and the connections between them: what a network consists of."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.synapses import Integer, Shape, Table, in_blocks, neurons

ATTENUATION_MAX = 16
"""The way back through a table counts at least 2**-16."""


@dataclass(eq=False)
class Population:
    """Neurons on a grid, of one model and with the same leak.

    Attributes
    ----------
    index : int
        Position in the network; -1 for an image, which has no neurons.
    shape : (int, int, int)
        Height, width, channels. A plain list of n neurons is (1, 1, n).
    leak : int
        k of alpha = 2**-k.
    spike_input : bool
        Its spikes come from outside.
    neuron : str
        Name of the model of its neurons (`spikesim.engine.neurons.NEURONS`).
    refractory : int
        Steps after a spike in which they do not fire, with the model that has such.
    """

    index: int
    name: str
    shape: Shape
    leak: int
    spike_input: bool
    layer: int
    neuron: str = "clipped-linear"
    refractory: int = 0

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return neurons(self.shape)

    @cached_property
    def lanes(self) -> int:
        """Block of channels that the compiled loop works on."""
        return lanes_for(self.shape[2])

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.shape[2] // self.lanes)

    @property
    def state_size(self) -> int:
        """Neurons and padding."""
        return self.shape[0] * self.shape[1] * self.blocks * self.lanes

    def part_of_state(self, channels: slice) -> slice:
        """Where whole blocks of channels lie in the state of the population; the last may reach beyond the channels."""
        size = self.shape[0] * self.shape[1] * self.lanes
        return slice(channels.start // self.lanes * size, -(-channels.stop // self.lanes) * size)

    def to_state(self, values: NDArray[Integer]) -> NDArray[Integer]:
        """Values by neuron (..., H, W, C) in the layout of the state (..., state_size); the padding is 0."""
        lead = values.shape[: values.ndim - 3]
        blocked = in_blocks(values, self.lanes)  # (..., H, W, block, lane)
        return np.ascontiguousarray(np.moveaxis(blocked, -2, -4)).reshape(*lead, self.state_size)

    def from_state(self, values: NDArray[Integer]) -> NDArray[Integer]:
        """The inverse of `to_state`: (..., state_size) to (..., H, W, C)."""
        height, width, channels = self.shape
        lead = values.shape[:-1]
        blocked = np.moveaxis(values.reshape(*lead, self.blocks, height, width, self.lanes), -4, -2)
        return blocked.reshape(*lead, height, width, self.blocks * self.lanes)[..., :channels]


class Reach(NamedTuple):
    """The largest drives that the weights of a connection can add to a neuron, 1.0 = 2**16."""

    forward: float
    backward: float

    def into(self, backward: bool) -> float:
        """That of one direction."""
        return self.backward if backward else self.forward


NO_REACH = Reach(0.0, 0.0)


@dataclass(eq=False)
class Connection:
    """One synapse table between two populations, with its weights.

    Attributes
    ----------
    forward, feedback : int
        Rows of `Plan.tables`; -1: this direction does not exist.
    attenuation : int
        The way back counts 2**-attenuation.
    integers : int16
        The weights in use; real value = integer * 2**-exponent.
    reach : Reach
        The largest drive that they can add to a neuron.
    rows : float32 or None
        The weights in use of a `Lookup`, which has no integers; None before any are set.
    """

    source: Population
    target: Population
    table: Table
    tied: bool
    forward: int
    feedback: int
    integers: NDArray[np.int16]
    attenuation: int = 0
    exponent: int = 0
    reach: Reach = NO_REACH
    rows: NDArray[np.float32] | None = None

    @property
    def name(self) -> str:
        """`source -> target`, for messages."""
        return f"weights {self.source.name} -> {self.target.name}"

    @property
    def dense_operations(self) -> int:
        """Synaptic operations of one dense step in one direction."""
        return self.table.dense_operations(self.source.shape, self.target.shape)


def lanes_for(channels: int) -> int:
    """Block of channels (16, 32 or 64) that a population of this many channels is cut into.

    The widest block of which at most a quarter is padding, else the one with the least padding.
    """
    padding = {lanes: -channels % lanes for lanes in (64, 32, 16)}
    for lanes, extra in padding.items():
        if 4 * extra <= channels:
            return lanes
    return min(padding, key=lambda lanes: padding[lanes])
