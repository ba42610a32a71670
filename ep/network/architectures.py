"""Architectures as data: a row per layer, and the network that they describe.

``pool`` says that the layer's spikes reach the layers above (or the read-out) through 2x2 pooling, or that it is a
convolution with a stride of 2 instead. ``from`` names the layers that drive a layer, by default the one before it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from spikesim.datasets import Dataset
from spikesim.engine.populations import ATTENUATION_MAX, Population
from spikesim.engine.synapses import Conv, Dense, Lookup, Pool, Shape, Table, pooled
from spikesim.ep.config.layer_rows import Layer, Source, read_rows
from spikesim.ep.config.sections import Config
from spikesim.ep.network.graph import INPUT, Edge, LayerGraph
from spikesim.ep.runs.samples import SampleSpec
from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.validation import Limits, did_you_mean, nearest
from spikesim.network import Network

Pooling = Literal["average", "sampled", "winner", "strided"]


@dataclass(frozen=True)
class Architecture:
    """Layers between an image and a linear read-out.

    Attributes
    ----------
    image_size : int or None
        Side to which smaller images are padded with zeros; None takes images as they are.
    """

    layers: tuple[Layer, ...]
    image_size: int | None = None


@dataclass(frozen=True)
class NeuronParameters:
    """Parameters of neurons, as `spikesim.network.Network.add_population` takes them.

    Attributes
    ----------
    neuron : str
        Name of the model.
    leak : int
        k of alpha = 2**-k.
    refractory : int
        Steps after a spike in which a neuron of the model `refractory` does not fire; 0 with other models.
    """

    neuron: str = "clipped-linear"
    leak: int = 2
    refractory: int = 0

    @classmethod
    def of(cls, config: Config) -> "NeuronParameters":
        """Those of a configuration."""
        return cls(config.model.neuron, config.dynamics.leak, config.model.refractory or 0)


def _vgg(*channels: int | str) -> Architecture:
    """A row such as ``64, "M", 128``: convolutions and where pools follow."""
    layers: list[Layer] = []
    for item in channels:
        if isinstance(item, int):
            layers.append(Layer("conv", item))
        else:
            layers[-1] = Layer("conv", layers[-1].channels, pool=True)
    return Architecture(tuple(layers), image_size=32)


def _resnet(*channels: int) -> Architecture:
    """Blocks of two convolutions, the second with a stride of 2, and a 1x1 convolution from the block before it."""
    layers: list[Layer] = []
    for count in channels:
        before = len(layers) - 1
        layers.append(Layer("conv", count))
        layers.append(Layer("conv", count, stride=2, sources=(Source(before + 1), Source(before))))
    return Architecture(tuple(layers), image_size=32)


def _conv1d(channels: int, kernel: int = 3) -> Layer:
    """A convolution over time."""
    return Layer("conv", channels, kernel=(1, kernel), padding=(0, kernel // 2))


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture((Layer("dense", 512),)),
    "conv": Architecture((Layer("conv", 32, pool=True), Layer("conv", 64, pool=True))),
    "conv1d": Architecture((_conv1d(64), _conv1d(64))),
    "textcnn": Architecture((Layer("tokens", 64), _conv1d(128))),
    "vgg5": _vgg(128, "M", 256, "M", 512, "M", 512, "M"),
    "vgg8": _vgg(128, 128, "M", 256, 256, "M", 512, 512, "M", 512, "M"),
    "vgg9": _vgg(64, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512),
    "vgg11": _vgg(64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "vgg16": _vgg(64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"),
    "resnet13": _resnet(128, 256, 512, 512),
}
"""mlp: 784-512-10 on MNIST. conv: 32-64. conv1d: 64-64, over the frames of a series. textcnn: rows of 64 for the tokens
of a text, and a convolution over three of them (Kim 2014, arXiv:1408.5882, with one kernel and the mean). vgg5: four
convolutions and the read-out (Laborieux et al. 2021). vgg8: seven convolutions. vgg9: eight, pooled three times
(Apolinario et al. 2025, arXiv:2502.01837). vgg11, vgg16: the eight and thirteen convolutions of configurations A and
D of Simonyan & Zisserman 2014, with average pooling. resnet13: eight convolutions in four blocks, four skip
connections and the read-out, 13 tables of weights (E P & Srinivasan 2025, arXiv:2509.26003). The last layer of digits
is the read-out, which is no layer of spiking neurons."""


def architecture(name: str, layers: tuple[dict[str, Any], ...] = ()) -> Architecture:
    """The architecture of this name, or, for the name `custom`, the one that the rows describe.

    Raises
    ------
    InputError
        Unknown name, or a row with an unknown key or a value out of range.
    """
    if name != "custom":
        if name not in ARCHITECTURES:
            known = (*ARCHITECTURES, "custom")
            asked = did_you_mean(nearest(name, known))
            raise InputError(f"unknown architecture {shown(name)}{asked}; it is one of {', '.join(known)}")
        if layers:
            raise InputError(f"model.layers describes the architecture custom, not {name}; set model.arch to 'custom'")
        return ARCHITECTURES[name]
    if not layers:
        raise InputError("the architecture custom needs model.layers, a list of tables with kind and channels")
    return Architecture(read_rows(layers))


def levels_of(layers: Sequence[Layer]) -> tuple[int, ...]:
    """The level of each layer (`spikesim.ep.network.graph`)."""
    found: list[int] = []
    for number, layer in enumerate(layers):
        below = [0 if source.layer == INPUT else found[source.layer] for source in _sources(layer, number)]
        found.append(1 + max(below))
    return tuple(found)


def input_shape(
    name: str, arch: Architecture, dataset: Dataset | SampleSpec, coarse: int = 1, over_time: bool = False
) -> Shape:
    """Shape of the samples as the network sees them.

    Parameters
    ----------
    name : str
        Of the architecture.
    coarse : int
        Pixels along each side that share an input neuron.
    over_time : bool
        Series are shown frame by frame.

    Raises
    ------
    InputError
        The images are larger than the architecture takes, or cannot be padded evenly.
    """
    height, width, channels = dataset.shape
    if dataset.series or dataset.text:
        if arch.image_size is not None or any(layer.pool for layer in arch.layers):
            fitting = "conv1d" if dataset.series else "textcnn"
            raise InputError(
                f"{name} is for images, and {dataset.name} holds {dataset.kind}, of a single row; choose --arch "
                f"{fitting}, or layers of your own with kernels of [1, k] and no pools"
            )
        if over_time:
            return 1, 1, 2 * channels
        return height, width, channels * (2 if dataset.series else 1)  # positive and negative parts
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


def build(
    arch: Architecture,
    image: Shape,
    *,
    width: float = 1.0,
    pooling: Pooling = "average",
    neurons: NeuronParameters = NeuronParameters(),
    attenuation: int = 0,
    spikes: bool = False,
    words: int | None = None,
) -> LayerGraph:
    """Build the network of an architecture.

    Parameters
    ----------
    image : (height, width, channels)
    width : float
        Factor on the channels of every layer, rounded, at least 1 channel.
    pooling : {"average", "sampled", "winner", "strided"}
        How layers are pooled; or that convolutions which would be have a stride of 2 instead.
    neurons : NeuronParameters
        Those of every layer.
    attenuation : int
        Feedback counts 2**-attenuation a level, at least 2**-16.
    spikes : bool
        Whether the samples enter as spikes instead of as an analogue image.
    words : int, optional
        Size of the vocabulary, where the samples are the tokens of texts.

    Raises
    ------
    InputError
        A map becomes too small for its kernel or its pool, the maps that drive a layer differ in shape, or the width
        is out of range.
    """
    Limits(above=0, high=64).check(width, "width")
    network = Network()
    planned: list[_Planned] = []
    populations: list[Population] = []
    for number, layer in enumerate(arch.layers, 1):
        with _fitting(image, number):
            plan = _plan(layer, max(1, round(layer.channels * width)), image, planned, pooling, words)
            planned.append(plan)
            name = f"{layer.kind}{number}"
            populations.append(network.add_population(plan.shape, name=name, **asdict(neurons)))
    source = network.add_spike_input(image, "input") if spikes else network.add_image(image)
    levels = levels_of(arch.layers)
    edges: list[Edge] = []
    for target, plan in enumerate(planned):
        for place, (lower, table) in enumerate(plan.inputs):
            below = source if lower == INPUT else populations[lower]
            span = levels[target] - (0 if lower == INPUT else levels[lower])
            with _fitting(image, target + 1):
                connection = network.connect(
                    below,
                    populations[target],
                    table,
                    tied=lower != INPUT,
                    attenuation=0 if lower == INPUT else min(attenuation * span, ATTENUATION_MAX),
                )
            name = populations[target].name
            name = name if place == 0 else f"{name}_from_{'input' if lower == INPUT else below.name}"
            edges.append(Edge(len(edges), name, lower, target, connection, span, place == 0))
    top = planned[-1]
    features = pooled(top.shape) if top.pooled else top.shape
    return LayerGraph(network, source, tuple(populations), tuple(edges), levels, top.pooled, features)


@dataclass(frozen=True)
class _Planned:
    """A layer before there is a network: its shape, and the tables from what drives it."""

    shape: Shape
    pooled: bool
    inputs: tuple[tuple[int, Table], ...]


def _plan(
    layer: Layer, channels: int, image: Shape, below: list[_Planned], pooling: Pooling, words: int | None
) -> _Planned:
    strided = layer.pool and pooling == "strided"
    inputs: list[tuple[int, Table]] = []
    shape: Shape | None = None
    for source in _sources(layer, len(below)):
        origin = None if source.layer == INPUT else below[source.layer]
        pool: Pool | None = None if pooling == "strided" or origin is None or not origin.pooled else pooling
        seen = image if origin is None else pooled(origin.shape) if origin.pooled else origin.shape
        if min(seen) < 1:
            raise InputError("the map is too small for its kernel or its pool")
        table: Table
        if layer.kind == "tokens":
            if words is None or source.layer != INPUT:
                raise InputError("a layer of kind tokens must be driven by the input of texts alone")
            table, own = Lookup(words), (*image[:2], channels)
        elif source.layer == INPUT and words is not None:
            raise InputError("texts enter through a layer of kind tokens; make it the first one")
        elif layer.kind == "dense":
            table, own = Dense(pool), (1, 1, channels)
        else:
            stride = source.stride or (layer.stride * (2 if strided else 1) if shape is None else _stride(seen, shape))
            kernel, padding = layer.kernel, layer.padding
            if source.kernel is not None:
                kernel, padding = source.kernel, source.padding
            elif shape is not None:
                kernel, padding = 1, 0
            table = Conv(kernel, padding, pool, stride=stride)
            own = (*table.output(seen[:2]), channels)
        if min(own) < 1:
            raise InputError("the map is too small for its kernel or its pool")
        if shape is not None and own != shape:
            raise InputError(
                f"its sources give maps of {shape[0]}x{shape[1]} and of {own[0]}x{own[1]}; they must be of one size: "
                "choose kernel, padding and stride of the second"
            )
        shape = own
        inputs.append((source.layer, table))
    assert shape is not None
    if layer.pool and min(shape[:2]) < (1 if strided else 2):
        raise InputError("the map is too small for its kernel or its pool")
    return _Planned(shape, layer.pool and not strided, tuple(inputs))


def _sources(layer: Layer, number: int) -> tuple[Source, ...]:
    """What drives a layer with so many before it."""
    return layer.sources or (Source(number - 1),)


def _stride(seen: Shape, shape: Shape) -> int:
    """Stride with which a kernel of 1x1 makes a map of another."""
    return max(1, -(-seen[0] // shape[0]))


@contextmanager
def _fitting(image: Shape, number: int) -> Iterator[None]:
    """Say of which layer an error is."""
    try:
        yield
    except InputError as error:
        raise InputError(f"an image of {image[0]}x{image[1]} does not fit layer {number}: {error}") from None
