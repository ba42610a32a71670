"""A step of a spiking network as dense algebra in PyTorch: float32, bfloat16 and int8, and the ways to write it.

What is fastest depends on the machine, so that `ways` has the alternatives of a number format: the order of the axes,
and for what comes from above a transposed convolution, or a convolution with the flipped kernel and the channels
exchanged. All of them run through oneDNN, which takes the best instructions that the processor has for a format: AMX,
AVX512-BF16 and AVX512-VNNI, or less.

int8 is the convolution that PyTorch's own quantization of compiled models ends in: spikes are bytes (pooled ones the
number of spikes in a pool), weights are 8 bits wide with a scale for each channel, sums are 32 bits wide and come out
as float32. There is no transposed convolution of this kind, and the axes have one order. The older
`torch.ops.quantized` is as fast, but rounds each sum to 8 bits, which would be another network.

What is no convolution is the same in all formats, and as cheap as PyTorch and NumPy make it: membranes are float32, and
random numbers are words of 15 bits, four from each word of the generator, with which membranes are compared. Hence the
unit of drives, biases and membranes in a run: `UNIT` is a firing probability of 1.
"""

import itertools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chains import Chain
from numpy.typing import NDArray
from torch.nn import functional

FORMATS = ("float32", "bfloat16", "int8")
UNIT = 2.0**15
"""Random numbers are integers below it."""
POOL = 0.25
"""A cell's share of its pool."""
PLACES = [1, 1], [1, 1], [1, 1], 1
"""Stride, padding, dilation and groups of all convolutions."""
WORDS = np.uint64(0x7FFF_7FFF_7FFF_7FFF)
"""What is kept of 64 random bits: four integers below UNIT."""


@dataclass(frozen=True)
class Way:
    """How a dense step is written.

    Attributes
    ----------
    number_format : str
        One of FORMATS.
    channels_last : bool
        Whether channels are the innermost axis in memory.
    flipped : bool
        Whether the drive from above is a convolution with the flipped kernel, not a transposed one.
    """

    number_format: str
    channels_last: bool
    flipped: bool

    def __str__(self) -> str:
        order = "NHWC" if self.channels_last else "NCHW"
        return f"{order}, {'flipped' if self.flipped else 'transposed'} convolution"


def ways(number_format: str) -> list[Way]:
    """The alternatives of a number format."""
    if number_format == "int8":
        return [Way("int8", channels_last=True, flipped=True)]
    return [Way(number_format, *choice) for choice in itertools.product((False, True), repeat=2)]


class Packed:
    """A weight of 8 bits, for convolutions that keep the size of the map.

    Parameters
    ----------
    weight : float (Cout, Cin, 3, 3)
    step : float
        What a 1 in the input stands for.
    size : tuple of int
        Samples, channels, height and width of the input.
    """

    def __init__(self, weight: Any, step: float, size: tuple[int, int, int, int]) -> None:
        self.step = step
        self.scales = weight.abs().amax(dim=(1, 2, 3)).float() / 127
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        integers = (weight / self.scales[:, None, None, None]).round().to(torch.int8)
        self.weight = torch.ops.onednn.qconv_prepack(integers, self.scales, step, 0, *PLACES, list(size))

    def convolve(self, x: Any) -> Any:
        """The convolution of uint8 (n, Cin, H, W), float32 (n, Cout, H, W)."""
        output: tuple[Any, ...] = 1.0, 0, torch.float32, "none", [], None
        return torch.ops.onednn.qconv2d_pointwise(
            x, self.step, 0, self.weight, self.scales, self.zeros, None, *PLACES, *output
        )


class Dense:
    """A chain of convolutions with feedback, one batch, PyTorch's own threads.

    Parameters
    ----------
    chain : Chain
        Convolutions of 3x3, padded by 1. The drive from the image is constant and no part of a step.
    weights : list of arrays (3, 3, Cin, Cout), one a layer; the first is not used
    bias : float, of every neuron
    batch : int
    way : Way

    Attributes
    ----------
    up, down : list of tensors (Cout, Cin, 3, 3), or of Packed
    membranes, spikes : list of tensors (n, C, H, W)
    """

    def __init__(self, chain: Chain, weights: list[NDArray[Any]], bias: float, batch: int, way: Way) -> None:
        self.pooled, self.bias, self.way = chain.pooled, bias, way
        self.quantized = way.number_format == "int8"
        self._format = torch.channels_last if way.channels_last else torch.contiguous_format
        sizes = [(batch, c, h, w) for h, w, c in (population.shape for population in chain.graph.populations)]
        up = [torch.from_numpy(weight).permute(3, 2, 0, 1) for weight in weights]
        down = [weight.flip(2, 3).transpose(0, 1) for weight in up]
        self.up: list[Any] = [None]
        self.down: list[Any] = [None]
        if self.quantized:
            for layer, (n, c, h, w) in enumerate(sizes[:-1], 1):
                seen = (POOL, (n, c, h // 2, w // 2)) if self.pooled[layer - 1] else (1.0, (n, c, h, w))
                self.up.append(Packed(up[layer], *seen))
                self.down.append(Packed(down[layer], 1.0, sizes[layer]))
        else:
            self.up = [self._laid_out(weight) for weight in up]
            self.down = [self._laid_out(weight) for weight in down] if way.flipped else self.up
        self.membranes = [self._laid_out(torch.full(size, bias), torch.float32) for size in sizes]
        self._fired = [torch.empty_like(membrane) for membrane in self.membranes]
        neurons = [membrane.numel() for membrane in self.membranes]
        self._bits = np.random.SFC64(0)
        self._random = np.empty(-(-sum(neurons) // 4), np.uint64)
        words = torch.from_numpy(self._random.view(np.int16))[: sum(neurons)].split(neurons)
        self._drawn = [part.as_strided(m.size(), m.stride()) for part, m in zip(words, self.membranes, strict=True)]
        self._fire()

    def _laid_out(self, tensor: Any, dtype: Any = None) -> Any:
        kept = torch.bfloat16 if self.way.number_format == "bfloat16" else tensor.dtype
        return tensor.to(kept if dtype is None else dtype).clone(memory_format=self._format)

    def set_spikes(self, layers: list[NDArray[Any]]) -> None:
        """Let these spikes (n, H, W, C) be those of the present step, in the format of the weights."""
        dtype = torch.uint8 if self.quantized else self.up[-1].dtype
        self.spikes = [self._laid_out(torch.from_numpy(layer).permute(0, 3, 1, 2), dtype) for layer in layers]

    def _pool(self, spikes: Any) -> Any:
        if not self.quantized:
            return functional.avg_pool2d(spikes, 2)
        rows = spikes[:, :, 0::2] + spikes[:, :, 1::2]
        return rows[..., 0::2] + rows[..., 1::2]

    def drive(self, layer: int) -> Any:
        """Drive of a layer from its neighbours' spikes, without the image and the bias."""
        total: Any = 0.0
        if layer > 0:
            below = self.spikes[layer - 1]
            if self.pooled[layer - 1]:
                below = self._pool(below)
            weight = self.up[layer]
            total = weight.convolve(below) if self.quantized else functional.conv2d(below, weight, padding=1)
        if layer + 1 < len(self.up):
            above, weight = self.spikes[layer + 1], self.down[layer + 1]
            if self.quantized:
                back = weight.convolve(above)
            elif self.way.flipped:
                back = functional.conv2d(above, weight, padding=1)
            else:
                back = functional.conv_transpose2d(above, weight, padding=1)
            if self.pooled[layer]:
                back = functional.interpolate(back * POOL, scale_factor=2)
            total = back + total
        return total

    def _fire(self) -> None:
        """Spikes of the present membranes."""
        np.bitwise_and(self._bits.random_raw(len(self._random)), WORDS, out=self._random)
        self.spikes = []
        for drawn, membrane, fired in zip(self._drawn, self.membranes, self._fired, strict=True):
            if self.quantized:
                self.spikes.append(torch.lt(drawn, membrane).view(torch.uint8))
            else:
                self.spikes.append(torch.lt(drawn, membrane, out=fired).to(self.up[-1].dtype))

    def step(self, leak: int) -> None:
        """All layers read the spikes of this step and write those of the next."""
        with torch.inference_mode():
            drives = [self.drive(layer) for layer in range(len(self.membranes))]
            for membrane, drive in zip(self.membranes, drives, strict=True):
                membrane.lerp_(drive.float() + self.bias, 2.0**-leak)
            self._fire()

    def run(self, steps: int, leak: int) -> float:
        """Seconds for some steps."""
        began = time.perf_counter()
        for _ in range(steps):
            self.step(leak)
        return time.perf_counter() - began
