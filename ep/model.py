"""A network with its parameters: float32 masters for the optimiser, integers for the dynamics."""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from spikesim import plan as p
from spikesim.datasets import Dataset
from spikesim.ep import readout as ro
from spikesim.ep.architectures import Stack, architecture, build, input_shape
from spikesim.ep.config import Config, per_layer
from spikesim.network import CompiledNetwork, Population
from spikesim.tables import Conv, neurons

Array = NDArray[np.float32]


@dataclass
class Parameters:
    """What is learned; all float32.

    Attributes
    ----------
    weights : one a layer
        (kernel, kernel, Cin, Cout) of a convolution, (inputs, neurons) of a dense layer.
    biases : one a layer, (Cout,)
    readout_weight : (features, classes)
    readout_bias : (classes,)
    """

    weights: list[Array]
    biases: list[Array]
    readout_weight: Array
    readout_bias: Array

    def to_dict(self, names: tuple[str, ...]) -> dict[str, Array]:
        """By name: `<layer>/weight`, `<layer>/bias`, `readout/weight`, `readout/bias`."""
        result: dict[str, Array] = {}
        for name, weight, bias in zip(names, self.weights, self.biases, strict=True):
            result[f"{name}/weight"], result[f"{name}/bias"] = weight, bias
        result["readout/weight"], result["readout/bias"] = self.readout_weight, self.readout_bias
        return result

    @classmethod
    def from_dict(cls, names: tuple[str, ...], arrays: dict[str, Any]) -> "Parameters":
        """The inverse of `to_dict`; the arrays are copied."""

        def take(name: str) -> Array:
            return np.array(arrays[name], dtype=np.float32)

        return cls(
            [take(f"{name}/weight") for name in names],
            [take(f"{name}/bias") for name in names],
            take("readout/weight"),
            take("readout/bias"),
        )


class Model:
    """A stack of layers and a read-out, laid out for the compiled loop.

    Parameters
    ----------
    config : Config
    dataset : Dataset
        Decides the shape of the images and the number of classes.

    Raises
    ------
    InputError
        The architecture does not exist or does not fit the images.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        arch = architecture(config.model.arch, config.model.layers)
        self.architecture = arch
        shape = input_shape(config.model.arch, arch, dataset)
        self.stack: Stack = build(
            arch,
            shape,
            width=config.model.width,
            pooling=cast(Any, config.dynamics.pooling),
            leak=config.dynamics.leak,
        )
        self.classes = dataset.classes
        self.cost = config.dynamics.cost
        self.names = tuple(population.name for population in self.stack.populations)
        self.layers = len(self.names)
        self.compiled: CompiledNetwork = self.stack.network.compile(nudged=(self.top,))
        self.readout = ro.make_readout(
            self.top,
            self.stack.pooled[-1],
            self.cost,
            np.zeros(self.readout_shape, np.float32),
            np.zeros(self.classes, np.float32),
        )

    @property
    def top(self) -> Population:
        """The layer that the read-out reads."""
        return self.stack.populations[-1]

    @property
    def readout_shape(self) -> tuple[int, int]:
        """Shape of the read-out's weights."""
        return neurons(self.stack.features), self.classes

    def load(self, parameters: Parameters, beta: float) -> None:
        """Quantise the parameters into the tables of the network.

        Raises
        ------
        InputError
            A parameter is not finite or too large for the dynamics.
        """
        layers = zip(self.stack.connections, parameters.weights, parameters.biases, strict=True)
        for connection, weights, bias in layers:
            self.compiled.set_weights(connection, weights)
            self.compiled.set_bias(connection.target, bias)
        self.readout = ro.make_readout(
            self.top, self.stack.pooled[-1], self.cost, parameters.readout_weight, parameters.readout_bias
        )
        ro.check_nudge(self.readout, beta)

    def forward_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer from below (..., L)."""
        return self._by_layer(events, [connection.forward for connection in self.stack.connections])

    def feedback_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer from above (..., L)."""
        return self._by_layer(events, [*(connection.feedback for connection in self.stack.connections[1:]), -1])

    def _by_layer(self, events: NDArray[np.int64], tables: list[int]) -> NDArray[np.int64]:
        padded = np.concatenate([events, np.zeros((*events.shape[:-1], 1), np.int64)], axis=-1)
        return padded[..., tables]

    def state_slice(self, layer: int) -> slice:
        """Where a layer lies in the state of a sample."""
        population = self.stack.populations[layer]
        at = int(self.compiled.plan.populations[population.index, p.POP_STATE])
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
    gains = (config.model.first_gain, *per_layer(config.model.gain, model.layers, "model.gain")[1:])
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
    features, classes = model.readout_shape
    readout = uniform(model.layers, (features, classes), config.model.readout_gain / np.sqrt(features))
    return Parameters(weights, biases, readout, np.zeros(classes, np.float32))
