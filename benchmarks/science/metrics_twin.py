"""A network of this program as torch modules, for NeuroBench to count what it does with given spikes.

Connections are ``nn.Conv2d`` and ``nn.Linear``, neurons are a ``snntorch.SpikingNeuron`` that fires and holds the
potentials which the engine recorded. The twin computes every drive itself and compares the potential that follows from
it with the recorded one, so that spikes which belong to another network are noticed.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import snntorch
import torch
from chains import chain_of
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from spikesim.engine.populations import Connection
from spikesim.engine.synapses import Conv
from spikesim.ep.network.model import Model

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trace:
    """What the engine did in a phase of n samples.

    Attributes
    ----------
    images : float64 (n, H, W, C) or None
        None where the drive of the images is kept from an earlier phase.
    sent : one a layer, bool or float64 (steps + 1, n, H, W, C)
        Spikes, or deviations of rates, after each step; in front what the first step finds.
    potentials : the same, float64
        Membrane potentials, or rates.
    order : str
        As `dynamics.order`, or ``"downwards"``: each layer hears what the one above sends in the same step.
    forward : bool
        Whether forward tables deliver.
    onset : int or None
        Steps without low pass; None: the potentials do not follow from drives alone and are not compared.
    """

    images: Reals | None
    sent: list[NDArray[Any]]
    potentials: list[Reals]
    order: str
    forward: bool = True
    onset: int | None = None

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.sent[0]) - 1

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.sent[0][0])


class Recorded(snntorch.SpikingNeuron):
    """Neurons of a layer, whose spikes and potentials are known; `mem` is where NeuroBench looks for the latter."""

    def __init__(self) -> None:
        super().__init__(reset_mechanism="none")
        self.mem = torch.zeros(0)

    def forward(self, drive: Tensor, spikes: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
        """The recorded spikes of a step, and the potential after it."""
        self.mem = potential
        return spikes, potential


class Twin(nn.Module):
    """The layers of a model, driven by what was recorded.

    Parameters
    ----------
    model : Model
    weights, biases : float arrays by layer, in this program's layout
    trace : Trace
    leak : int
        As the dynamics have it.
    fused : bool
        An average pool and the convolution or product behind it are one map, driven by spikes; or two layers.
    counted : {"forward", "feedback"}
        Connections that NeuroBench's hooks see.
    """

    def __init__(
        self,
        model: Model,
        weights: list[Reals],
        biases: list[Reals],
        trace: Trace,
        *,
        leak: int,
        fused: bool,
        counted: str,
    ) -> None:
        super().__init__()
        self.connections = chain_of(model.graph).connections
        self.trace, self.leak = trace, leak
        self.fused, self.counted = fused, counted
        self.biases = [torch.from_numpy(bias.astype(np.float64)).reshape(1, -1, 1, 1) for bias in biases]
        pairs = list(zip(self.connections, weights, strict=True))
        self.up = nn.ModuleDict({c.target.name: forward_map(c, w, self._is_fused(c)) for c, w in pairs})
        self.down = nn.ModuleDict({c.target.name: feedback_map(c, w) for c, w in pairs[1:]})
        self.fires = nn.ModuleDict({c.target.name: Recorded() for c in self.connections})
        self.error = 0.0  # largest difference between the potentials that follow from drives and the recorded ones

    def _is_fused(self, connection: Connection) -> bool:
        return self.fused and connection.table.pool == "average"

    def forward(self, images: Tensor) -> Tensor:
        """All steps; returns the mean of what the last layer sends, (n, neurons)."""
        trace, layers = self.trace, len(self.connections)
        image = torch.zeros(())
        if trace.images is not None:
            first = self.connections[0]
            image = self._call("forward", self.up[first.target.name], images, first)
        sent = [channels_first(layer[0]) for layer in trace.sent]
        potentials = [channels_first(layer[0]) for layer in trace.potentials]
        for connection, potential in zip(self.connections, potentials, strict=True):
            self.fires[connection.target.name].mem = potential
        total = torch.zeros_like(sent[-1])
        for t in range(trace.steps):
            turns = [t] * layers  # of sampled pools: lists of spikes are made for the step that comes next
            for together in rounds(trace.order, layers):
                heard, heard_turns = list(sent), list(turns)
                for layer in together:
                    drive = self._drive(layer, image, heard, heard_turns)
                    turns[layer] = t + 1
                    before, potentials[layer] = potentials[layer], channels_first(trace.potentials[layer][t + 1])
                    if trace.onset is not None:
                        alpha = 1.0 if t < trace.onset else 2.0**-self.leak
                        expected = before + alpha * (drive - before)
                        self.error = max(self.error, float((expected - potentials[layer]).abs().max()))
                    fires = self.fires[self.connections[layer].target.name]
                    sent[layer] = fires(drive, channels_first(trace.sent[layer][t + 1]), potentials[layer])[0]
            total += sent[-1]
        return total.flatten(1) / trace.steps

    def _drive(self, layer: int, image: Tensor, heard: list[Tensor], turns: list[int]) -> Tensor:
        drive = self.biases[layer] + (image if layer == 0 else 0.0)
        if layer > 0 and self.trace.forward:
            drive = drive + self._up(layer, heard[layer - 1], turns[layer - 1])
        if layer + 1 < len(self.connections):
            drive = drive + self._down(layer + 1, heard[layer + 1])
        return drive

    def _up(self, layer: int, below: Tensor, turn: int) -> Tensor:
        connection = self.connections[layer]
        pool = connection.table.pool
        if pool is not None:
            below = below[:, :, : below.shape[2] // 2 * 2, : below.shape[3] // 2 * 2]
        if pool == "sampled":
            below = sampled(below, turn)
        elif pool == "average" and not self.fused:
            below = functional.avg_pool2d(below, 2)
        return self._call("forward", self.up[connection.target.name], below, connection)

    def _down(self, layer: int, above: Tensor) -> Tensor:
        connection = self.connections[layer]
        sent = self._call("feedback", self.down[connection.target.name], above, connection)
        height, width, channels = connection.source.shape
        if connection.table.pool is None:
            return sent.reshape(len(sent), channels, height, width) * 2.0**-connection.attenuation
        cells = sent.reshape(len(sent), channels, height // 2, width // 2) * 0.25
        spread = cells.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        rest = (0, width - spread.shape[3], 0, height - spread.shape[2])  # an odd last row or column hears nothing
        return functional.pad(spread, rest) * 2.0**-connection.attenuation

    def _call(self, way: str, module: nn.Module, x: Tensor, connection: Connection) -> Tensor:
        """A connection, past the hooks if it is not counted."""
        if isinstance(module, nn.Linear):
            x = x.flatten(1)
        y = module(x) if way == self.counted else module.forward(x)
        return y.reshape(len(y), -1, *connection.target.shape[:2]) if way == "forward" else y


def channels_first(values: NDArray[np.generic]) -> Tensor:
    """(n, H, W, C) as float64 (n, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 1), np.float64))


def rounds(order: str, layers: int) -> list[range]:
    """Layers that a step updates together, in order; later ones hear the new spikes of the earlier."""
    count = {"synchronous": 1, "parity": 2, "upwards": layers, "downwards": layers}[order]
    found = [range(first, layers, count) for first in range(min(count, layers))]
    return found[::-1] if order == "downwards" else found


def forward_map(connection: Connection, weights: Reals, fused: bool) -> nn.Module:
    """A connection on its way up; fused with the average over 2x2 cells in front of it, or not."""
    table, values = connection.table, torch.from_numpy(np.ascontiguousarray(weights, np.float64))
    if isinstance(table, Conv):
        kernel = values.permute(3, 2, 0, 1)  # (Cout, Cin, ky, kx)
        cells = 2 if fused else 1
        if fused:
            kernel = 0.25 * kernel.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        return convolution(kernel, stride=cells, padding=cells * table.padding)
    height, width, channels = connection.source.shape
    if table.pool is not None:
        height, width = height // 2, width // 2
    by_map = values.reshape(height, width, channels, -1).permute(3, 2, 0, 1)  # (out, C, H, W)
    if fused:
        by_map = 0.25 * by_map.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return product(by_map.flatten(1))


def feedback_map(connection: Connection, weights: Reals) -> nn.Module:
    """The transpose of a connection, to the map that its convolution or product sees."""
    table, values = connection.table, torch.from_numpy(np.ascontiguousarray(weights, np.float64))
    if isinstance(table, Conv):
        kernel = values.flip(0, 1).permute(2, 3, 0, 1)  # (Cin, Cout, ky, kx)
        return convolution(kernel, stride=1, padding=table.kernel - 1 - table.padding)
    height, width, channels = connection.source.shape
    if table.pool is not None:
        height, width = height // 2, width // 2
    return product(values.reshape(height, width, channels, -1).permute(2, 0, 1, 3).flatten(0, 2))


def convolution(kernel: Tensor, *, stride: int, padding: int) -> nn.Conv2d:
    """A convolution without bias."""
    outputs, inputs, side, _ = kernel.shape
    module = nn.Conv2d(inputs, outputs, side, stride, padding, bias=False, dtype=torch.float64)
    module.weight.data = kernel.contiguous()
    return module


def product(matrix: Tensor) -> nn.Linear:
    """A product with a matrix (outputs, inputs)."""
    module = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=torch.float64)
    module.weight.data = matrix.contiguous()
    return module


def sampled(spikes: Tensor, t: int) -> Tensor:
    """The one of four cells whose turn it is, by position and channel, (n, C, H / 2, W / 2)."""
    _, channels, height, width = spikes.shape
    y, x = torch.arange(height // 2).reshape(-1, 1), torch.arange(width // 2)
    cell = (t + t // 4 + y + x + torch.arange(channels).reshape(-1, 1, 1)) % 4  # (C, H / 2, W / 2)
    cells = torch.stack([spikes[:, :, i // 2 :: 2, i % 2 :: 2] for i in range(4)])  # (4, n, C, H / 2, W / 2)
    return torch.gather(cells, 0, cell.expand(1, len(spikes), -1, -1, -1))[0]
