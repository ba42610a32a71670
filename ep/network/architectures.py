"""Architectures as data: a row a layer, and the network that they describe.

``pool`` says that the layer's spikes reach the next layer (or the read-out) through 2x2 pooling, or that it is a
convolution with a stride of 2 instead.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from spikesim.datasets import Dataset
from spikesim.engine.populations import Connection, Population
from spikesim.engine.synapses import Conv, Dense, Pool, Shape, Table, neurons, pooled
from spikesim.ep.config.layer_rows import Layer, read_rows
from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.validation import Limits
from spikesim.network import Network

Pooling = Literal["average", "sampled", "strided"]


@dataclass(frozen=True)
class Architecture:
    """A stack of layers between an image and a linear read-out.

    Attributes
    ----------
    image_size : int or None
        Side to which smaller images are padded with zeros; None takes images as they are.
    """

    layers: tuple[Layer, ...]
    image_size: int | None = None


def _vgg(*channels: int | str) -> Architecture:
    """A row such as ``64, "M", 128``: convolutions and where pools follow."""
    layers: list[Layer] = []
    for item in channels:
        if isinstance(item, int):
            layers.append(Layer("conv", item))
        else:
            layers[-1] = Layer("conv", layers[-1].channels, pool=True)
    return Architecture(tuple(layers), image_size=32)


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture((Layer("dense", 512),)),
    "conv": Architecture((Layer("conv", 32, pool=True), Layer("conv", 64, pool=True))),
    "vgg5": _vgg(128, "M", 256, "M", 512, "M", 512, "M"),
    "vgg8": _vgg(128, 128, "M", 256, 256, "M", 512, 512, "M", 512, "M"),
    "vgg11": _vgg(64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
}
"""mlp: 784-512-10 on MNIST. conv: 32-64. vgg5: four convolutions and the read-out (Laborieux et al. 2021). vgg8: seven
convolutions. vgg11: the eight convolutions of configuration A of Simonyan & Zisserman 2014, with average pooling. The
last layer of digits is the read-out, which is no layer of spiking neurons."""


def architecture(name: str, layers: tuple[dict[str, Any], ...] = ()) -> Architecture:
    """The architecture of this name, or, for the name `custom`, the one that the rows describe.

    Raises
    ------
    InputError
        Unknown name, or a row with an unknown key or a value out of range.
    """
    if name != "custom":
        if name not in ARCHITECTURES:
            raise InputError(f"unknown architecture {shown(name)}; it is one of {', '.join(ARCHITECTURES)}, custom")
        if layers:
            raise InputError(f"model.layers describes the architecture custom, not {name}; set model.arch to 'custom'")
        return ARCHITECTURES[name]
    if not layers:
        raise InputError("the architecture custom needs model.layers, a list of tables with kind and channels")
    return Architecture(read_rows(layers))


def input_shape(name: str, arch: Architecture, dataset: Dataset, coarse: int = 1) -> Shape:
    """Shape of the samples as the network sees them.

    Parameters
    ----------
    name : str
        Of the architecture.
    coarse : int
        Pixels along each side that share an input neuron.

    Raises
    ------
    InputError
        The images are larger than the architecture takes, or cannot be padded evenly.
    """
    height, width, channels = dataset.shape
    height, width = -(-height // coarse), -(-width // coarse)
    if arch.image_size is None:
        return height, width, channels
    side = arch.image_size
    if height != width or height > side or (side - height) % 2 or side - height > 4:
        raise InputError(
            f"{name} takes images of {side}x{side} (or down to {side - 4}x{side - 4}, padded evenly); "
            f"{dataset.name} has {height}x{width}"
        )
    return side, side, channels


@dataclass(frozen=True)
class Stack:
    """A network of layers, lowest first, each driven by the one below and, through the transpose, by the one above.

    The number of a layer is that of its population in the network; an input that spikes is the last population.

    Attributes
    ----------
    image : where samples enter: an analogue image, or a population whose spikes are given (`Population.streamed`)
    connections : one a layer, from what is below it
    pooled : whether each layer is pooled before it is read; none is where convolutions have strides instead
    features : shape of what the read-out sees
    """

    network: Network
    image: Population
    populations: tuple[Population, ...]
    connections: tuple[Connection, ...]
    pooled: tuple[bool, ...]
    features: Shape


def build(
    arch: Architecture,
    image: Shape,
    *,
    width: float = 1.0,
    pooling: Pooling = "average",
    leak: int = 2,
    attenuation: int = 0,
    spikes: bool = False,
) -> Stack:
    """Build the network of an architecture.

    Parameters
    ----------
    image : (height, width, channels)
    width : float
        Factor on the channels of every layer, rounded, at least 1 channel.
    pooling : {"average", "sampled", "strided"}
        How layers are pooled; or that convolutions which would be have a stride of 2 instead.
    leak : int
        k of alpha = 2**-k, of every layer.
    attenuation : int
        What a layer hears from the one above counts 2**-attenuation.
    spikes : bool
        Whether the samples enter as spikes instead of as an analogue image.

    Raises
    ------
    InputError
        A map becomes too small for its kernel or its pool, or the width is out of range.
    """
    Limits(above=0, high=64).check(width, "width")
    network = Network()
    below, pool_below = image, False
    populations: list[Population] = []
    tables: list[Table] = []
    for number, layer in enumerate(arch.layers, 1):
        channels = max(1, round(layer.channels * width))
        pool: Pool | None = None if pooling == "strided" or not pool_below else pooling
        strided = layer.pool and pooling == "strided"
        seen = pooled(below) if pool_below else below
        table: Table
        if layer.kind == "conv":
            table = Conv(layer.kernel, layer.padding, pool, stride=2 if strided else 1)
            shape = (table.output(seen[0]), table.output(seen[1]), channels)
        else:
            shape = (1, 1, channels)
            table = Dense(pool)
        with _fitting(image, number):
            if min(shape) < 1 or min(seen) < 1 or (layer.pool and min(shape[:2]) < (1 if strided else 2)):
                raise InputError("the map is too small for its kernel or its pool")
            populations.append(network.add_population(shape, leak=leak, name=f"{layer.kind}{number}"))
        tables.append(table)
        below, pool_below = shape, layer.pool and not strided
    source = network.add_stream(image, "input") if spikes else network.add_image(image)
    connections = []
    for number, (target, table) in enumerate(zip(populations, tables, strict=True), 1):
        lower = populations[number - 2] if number > 1 else source
        with _fitting(image, number):
            connections.append(network.connect(lower, target, table, tied=number > 1, attenuation=attenuation))
    features = pooled(below) if pool_below else below
    assert neurons(features) > 0
    pools = tuple(layer.pool and pooling != "strided" for layer in arch.layers)
    return Stack(network, source, tuple(populations), tuple(connections), pools, features)


@contextmanager
def _fitting(image: Shape, number: int) -> Iterator[None]:
    """Say of which layer an error is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"an image of {image[0]}x{image[1]} does not fit layer {number}: {error}") from None
