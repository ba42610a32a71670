"""A network with its parameters: float32 masters for the optimiser, integers for the dynamics."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.engine.layout import CompiledNetwork, Spread, serial
from spikesim.engine.populations import Population
from spikesim.engine.synapses import Conv, neurons
from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.inputs.encoding import enters_as_spikes
from spikesim.ep.network import heads as hd
from spikesim.ep.network.architectures import Stack, architecture, build, input_shape
from spikesim.ep.network.clamped import HeldNetwork
from spikesim.ep.network.error_signals import place_heads, teacher_weights

Array = NDArray[np.float32]


@dataclass
class Parameters:
    """What is learned; all float32.

    Attributes
    ----------
    weights : one a layer
        (kernel, kernel, Cin, Cout) of a convolution, (inputs, neurons) of a dense layer.
    biases : one a layer, (Cout,)
    head_weights : one a head, (features, classes)
        The read-out's are the last.
    head_biases : one a head, (classes,)
    """

    weights: list[Array]
    biases: list[Array]
    head_weights: list[Array]
    head_biases: list[Array]

    @property
    def readout_weight(self) -> Array:
        """Weights of the read-out."""
        return self.head_weights[-1]

    @property
    def readout_bias(self) -> Array:
        """Biases of the read-out."""
        return self.head_biases[-1]

    def to_dict(self, names: tuple[str, ...]) -> dict[str, Array]:
        """By name, `<layer or head>/weight` and `<layer or head>/bias`; `names` are those of the layers and heads."""
        weights, biases = [*self.weights, *self.head_weights], [*self.biases, *self.head_biases]
        result: dict[str, Array] = {}
        for name, weight, bias in zip(names, weights, biases, strict=True):
            result[f"{name}/weight"], result[f"{name}/bias"] = weight, bias
        return result

    @classmethod
    def from_dict(cls, names: tuple[str, ...], layers: int, arrays: dict[str, Any]) -> "Parameters":
        """The inverse of `to_dict`, the first `layers` names being layers; the arrays are copied."""
        weights = [np.array(arrays[f"{name}/weight"], dtype=np.float32) for name in names]
        biases = [np.array(arrays[f"{name}/bias"], dtype=np.float32) for name in names]
        return cls(weights[:layers], biases[:layers], weights[layers:], biases[layers:])


class Model:
    """A stack of layers and a read-out, laid out for the compiled loop.

    Parameters
    ----------
    config : Config
    dataset : Dataset
        Decides the shape of the samples, whether they are images or spikes, and the number of classes.

    Raises
    ------
    InputError
        The architecture does not exist or does not fit the images.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        arch = architecture(config.model.arch, config.model.layers)
        self.architecture = arch
        self.streamed = enters_as_spikes(config, dataset)
        shape = input_shape(config.model.arch, arch, dataset, config.data.coarse if dataset.recordings else 1)
        self.stack: Stack = build(
            arch,
            shape,
            width=config.model.width,
            pooling=cast(Any, config.dynamics.pooling),
            leak=config.dynamics.leak,
            attenuation=round(-math.log2(config.dynamics.feedback_gain)),
            spikes=self.streamed,
        )
        self.classes = dataset.classes
        self.cost = config.dynamics.cost
        self.names = tuple(population.name for population in self.stack.populations)
        self.layers = len(self.names)
        self.heads = place_heads(config, self.stack)
        self.parameter_names = (*self.names, *(head.name for head in self.heads))
        nudged = tuple(head.population for head in self.heads)
        held = config.dynamics.nudged_drive == "held"
        # nudged phases with held drives have a plan of their own, and the free phase is spared reading nudges of zero
        # what an input of spikes was is held in nudged phases as an external drive, like that of an image
        external = self.stack.populations[:1] if self.streamed else ()
        self.compiled: CompiledNetwork = self.stack.network.compile(external=external, nudged=() if held else nudged)
        self.held = HeldNetwork(self.compiled, config.dynamics.error_gain, nudged) if held else None
        self._soft = teacher_weights(config.signals, self.heads)
        self._temperature = config.signals.temperature
        connections = self.stack.connections
        self.tables_up = np.array([connection.forward for connection in connections], np.int64)  # (L,), -1: none
        self.tables_down = np.array([*(connection.feedback for connection in connections[1:]), -1], np.int64)
        zeros = [np.zeros(self.head_shape(head), np.float32) for head in self.heads]
        self.packed = self._pack(zeros, [np.zeros(self.classes, np.float32) for _ in self.heads])

    @property
    def neurons(self) -> NDArray[np.int64]:
        """Neurons of each layer, (L,)."""
        return np.array([population.neurons for population in self.stack.populations], np.int64)

    @property
    def inputs(self) -> tuple[Population, ...]:
        """The population whose spikes are given; none where an image drives the first layer."""
        return (self.stack.image,) if self.streamed else ()

    @property
    def top(self) -> Population:
        """The layer that the read-out reads."""
        return self.stack.populations[-1]

    @property
    def readout_shape(self) -> tuple[int, int]:
        """Shape of the read-out's weights."""
        return self.head_shape(self.heads[-1])

    def head_shape(self, head: hd.Head) -> tuple[int, int]:
        """Shape of the weights of a head."""
        return neurons(head.shape), self.classes

    def _pack(self, weights: list[Array], biases: list[Array], spread: Spread = serial) -> hd.Heads:
        return hd.pack_heads(
            self.heads,
            weights,
            biases,
            cost=self.cost,
            soft=self._soft,
            temperature=self._temperature,
            spread=spread,
        )

    def load(self, parameters: Parameters, strength: float = 1.0, spread: Spread = serial) -> None:
        """Quantise the parameters into the tables of the network.

        Parameters
        ----------
        strength : float
            Of the largest nudge to come, beta times the strength of its head.
        spread : function like `map`, optional
            Shares the work out over threads.

        Raises
        ------
        InputError
            A parameter is not finite or too large for the dynamics.
        """
        connections = self.stack.connections
        self.compiled.set_all_weights(list(zip(connections, parameters.weights, strict=True)), spread)
        for connection, bias in zip(connections, parameters.biases, strict=True):
            self.compiled.set_bias(connection.target, bias)
        if self.held is not None:
            self.held.load()
        self.packed = self._pack(parameters.head_weights, parameters.head_biases, spread)
        hd.check_nudge(self.packed, self.heads, strength, spread)

    def forward_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer from below (..., L)."""
        return _by_layer(events, self.tables_up)

    def feedback_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer from above (..., L)."""
        return _by_layer(events, self.tables_down)

    def state_slice(self, layer: int) -> slice:
        """Where a layer lies in the state of a sample."""
        return self.slice_of(self.stack.populations[layer])

    def slice_of(self, population: Population) -> slice:
        """Where a population lies in the state of a sample."""
        at = int(self.compiled.plan.populations[population.index].state)
        return slice(at, at + population.state_size)

    def fan_in(self, layer: int) -> int:
        """Inputs of a neuron of a layer."""
        shape = self.stack.connections[layer].integers.shape
        return int(np.prod(shape[:-1]))

    def weight_shape(self, layer: int) -> tuple[int, ...]:
        """Shape of the weights of a layer."""
        return self.stack.connections[layer].integers.shape

    def is_conv(self, layer: int) -> bool:
        """Whether the layer is a convolution."""
        return isinstance(self.stack.connections[layer].table, Conv)


def initial_scales(model: Model, config: Config) -> tuple[float, ...]:
    """Standard deviation of the initial weights of each layer, gain / sqrt(fan-in)."""
    gain, growth = config.model.gain, config.model.gain_growth
    gains = list(per_layer(gain, model.layers, "model.gain"))
    if not isinstance(gain, tuple):
        for layer in range(2, model.layers):
            gains[layer] = gains[layer - 1] * growth
    gains[0] = config.model.first_gain
    return tuple(gain / math.sqrt(model.fan_in(layer)) for layer, gain in enumerate(gains))


def initial_parameters(model: Model, config: Config) -> Parameters:
    """Uniform weights with standard deviation gain / sqrt(fan-in), biases at zero.

    The numbers are those of NumPy's Philox generator under the run's seed, one stream a layer.
    """

    def uniform(stream: int, shape: tuple[int, ...], deviation: float) -> Array:
        generator = np.random.Generator(np.random.Philox(key=config.seed + (stream << 64)))
        values = (2 * generator.random(shape) - 1) * (np.sqrt(3.0) * deviation)
        return np.asarray(values, np.float32)

    scales = initial_scales(model, config)
    weights = [uniform(layer, model.weight_shape(layer), scales[layer]) for layer in range(model.layers)]
    biases = [np.zeros(population.shape[2], np.float32) for population in model.stack.populations]
    shapes = [model.head_shape(head) for head in model.heads]
    # the read-out's stream follows the layers' whatever heads there are, then those of the heads
    streams = [model.layers + 1 + head.layer for head in model.heads[:-1]] + [model.layers]
    heads = [
        uniform(stream, shape, config.model.readout_gain / math.sqrt(shape[0]))
        for stream, shape in zip(streams, shapes, strict=True)
    ]
    return Parameters(weights, biases, heads, [np.zeros(model.classes, np.float32) for _ in heads])


def _by_layer(events: NDArray[np.int64], tables: NDArray[np.int64]) -> NDArray[np.int64]:
    padded = np.concatenate([events, np.zeros((*events.shape[:-1], 1), np.int64)], axis=-1)
    return padded[..., tables]
