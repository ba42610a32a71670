"""A network with its parameters as integers for the dynamics."""

import math
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.engine.layout import CompiledNetwork, Spread, serial
from spikesim.engine.populations import Population
from spikesim.engine.synapses import neurons
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.sections import answers_with
from spikesim.ep.inputs.encoding import enters_as_spikes, frame_steps, shown_over_time
from spikesim.ep.network import heads as hd
from spikesim.ep.network.architectures import NeuronParameters, architecture, build, input_shape
from spikesim.ep.network.clamped import ClampedNetwork
from spikesim.ep.network.dropout import Dropout
from spikesim.ep.network.error_signals import place_heads, teacher_weights
from spikesim.ep.network.graph import Edge, LayerGraph
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.runs.samples import SampleSpec

Array = NDArray[np.float32]


class Model:
    """A graph of layers and their heads, laid out for the compiled loop.

    Parameters
    ----------
    config : Config
    dataset : Dataset or SampleSpec
        Decides the shape of the samples, whether they are images or spikes, and the number of classes.

    Raises
    ------
    InputError
        The architecture does not exist or does not fit the images.
    """

    def __init__(self, config: Config, dataset: Dataset | SampleSpec) -> None:
        arch = architecture(config.model.arch, config.model.layers)
        self.architecture = arch
        self.spike_input = enters_as_spikes(config, dataset)
        over_time = shown_over_time(config, dataset)
        if over_time:
            frame_steps(config.dynamics.steps_free, dataset.shape[1])  # refused before anything is made
        coarse = config.data.coarse if dataset.recordings else 1
        shape = input_shape(config.model.arch, arch, dataset, coarse, over_time)
        self.graph: LayerGraph = build(
            arch,
            shape,
            width=config.model.width,
            pooling=cast(Any, config.dynamics.pooling),
            neurons=NeuronParameters.of(config),
            attenuation=round(-math.log2(config.dynamics.feedback_gain or 1.0)),
            spikes=self.spike_input,
            words=None if dataset.vocabulary is None else len(dataset.vocabulary),
        )
        self.feedback_gain = config.dynamics.feedback_gain
        self.classes = dataset.classes
        self.cost = config.dynamics.cost
        self.names = self.graph.names
        self.layers = len(self.names)
        self.heads = place_heads(config, self.graph, dataset.kind)
        self.dropout = Dropout.of(config, self.graph, self.heads)
        self.readout = next(index for index, head in enumerate(self.heads) if head.name == hd.READOUT)
        nudged = tuple(head.population for head in self.heads)
        clamped = config.dynamics.clamped
        # nudged phases with clamped drives have a plan of their own, and the free phase does without nudges of zero
        # the mean of an input of spikes is clamped in nudged phases as an external drive, like that of an image
        driven = tuple(edge.connection.target for edge in self.graph.input_edges)
        external = driven if self.spike_input else ()
        if self.dropout is not None:  # which is an external drive
            external = self.graph.populations
        self.compiled: CompiledNetwork = self.graph.network.compile(external=external, nudged=() if clamped else nudged)
        if config.dynamics.feedback_gain == 0:  # no attenuation says that; tables that lead down serve errors alone
            self.compiled = self.compiled.feedforward()
        rows = self.compiled.plan.populations  # whose fields take microseconds each
        self._slices = {
            own.index: slice(int(rows[own.index].state), int(rows[own.index].state) + own.state_size)
            for own in (*self.graph.populations, *self.inputs)
        }
        self.clamped: ClampedNetwork | None = None
        if clamped:
            self.clamped = ClampedNetwork(self.compiled, self.graph, config.dynamics.error_gain, nudged)
        answer, cost = config.error_signals.answer, config.dynamics.cost
        self._answers = tuple(
            head.name == hd.READOUT or answers_with(answer, cost, head.layer, self.layers) for head in self.heads
        )
        self._soft = teacher_weights(config.error_signals, self.heads)
        self._temperature = config.error_signals.temperature
        tables = len(self.compiled.plan.tables)
        self._forward, self._feedback = np.zeros(
            (2, self.layers, tables), np.int64
        )  # 1: the table leads into the layer
        for edge in self.graph.edges:
            if edge.connection.forward >= 0:
                self._forward[edge.target, edge.connection.forward] = 1
            if edge.connection.feedback >= 0:
                self._feedback[edge.source, edge.connection.feedback] = 1
        zeros = [np.zeros(self.head_shape(head), np.float32) for head in self.heads]
        self.packed = self._pack(zeros, [np.zeros(self.classes, np.float32) for _ in self.heads])

    @property
    def neurons(self) -> NDArray[np.int64]:
        """Neurons of each layer, (L,)."""
        return np.array([population.neurons for population in self.graph.populations], np.int64)

    @cached_property
    def image_operations(self) -> NDArray[np.int64]:
        """Multiply-accumulates into each layer that an image takes, once per sample, by its columns that exist,
        int64 (W + 1, L); an input of spikes takes none.
        """
        height, width, channels = self.graph.image.shape
        operations = np.zeros((width + 1, self.layers), np.int64)
        for edge in () if self.spike_input else self.graph.input_edges:
            rows, _, outputs = edge.connection.target.shape
            for own in range(1, width + 1):
                target = rows, int(self.extents[own, edge.target]), outputs
                operations[own, edge.target] += edge.connection.table.dense_operations((height, own, channels), target)
        return operations

    @cached_property
    def extents(self) -> NDArray[np.int64]:
        """Columns of the maps of each population that exist, by those of the sample, int64 (W + 1, P).

        Raises
        ------
        InputError
            The connections into a layer make maps of different extents of a sample.
        """
        return self.graph.extents()

    @property
    def inputs(self) -> tuple[Population, ...]:
        """The population whose spikes are given; none where an image drives the first layer."""
        return (self.graph.image,) if self.spike_input else ()

    @property
    def clamped_network(self) -> ClampedNetwork:
        """The network of nudged phases with a clamped feedforward drive; there must be one."""
        assert self.clamped is not None
        return self.clamped

    @property
    def answers_from(self) -> int:
        """Index of the first head that the answer of the network needs."""
        return self._answers.index(True)

    @property
    def top(self) -> Population:
        """The layer that the read-out reads."""
        return self.heads[self.readout].population

    def gain_of_feedback(self, edge: Edge) -> float:
        """gamma of a connection, a power for each level that it spans."""
        return 2.0**-edge.connection.attenuation if self.feedback_gain > 0 else 0.0

    def head_shape(self, head: hd.Head) -> tuple[int, int]:
        """Shape of the weights of a head."""
        return neurons(head.shape), self.classes

    def _pack(self, weights: list[Array], biases: list[Array], spread: Spread = serial) -> hd.Heads:
        return hd.pack_heads(
            self.heads,
            weights,
            biases,
            cost=self.cost,
            answers=self._answers,
            soft=self._soft,
            temperature=self._temperature,
            spread=spread,
        )

    def set_parameters(self, parameters: ParameterTree, strength: float = 1.0, spread: Spread = serial) -> None:
        """Quantize the parameters into the tables of the network.

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
        self.set_network(parameters, spread)
        heads = [parameters.head(head.name) for head in self.heads]
        self.packed = self._pack([head.weight for head in heads], [head.bias for head in heads], spread)
        hd.check_nudge(self.packed, self.heads, strength, spread)

    def set_network(self, parameters: ParameterTree, spread: Spread = serial) -> None:
        """`set_parameters` of weights and biases alone: the heads stay as they are.

        Raises
        ------
        InputError
        """
        connections = [edge.connection for edge in self.graph.edges]
        weights = parameters.weights(self.graph)
        self.compiled.set_all_weights(list(zip(connections, weights, strict=True)), spread)
        for population, bias in zip(self.graph.populations, parameters.biases(), strict=True):
            self.compiled.set_bias(population, bias)
        if self.clamped is not None:
            self.clamped.update_scales()

    @property
    def directions(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which tables lead into a layer, forwards and backwards: 1, else 0; (L, T) each."""
        return self._forward, self._feedback

    def forward_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer through forward tables (..., L)."""
        return np.asarray(events @ self._forward.T)

    def feedback_events(self, events: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts by table (..., T) as counts into each layer through feedback tables (..., L)."""
        return np.asarray(events @ self._feedback.T)

    def state_slice(self, layer: int) -> slice:
        """Where a layer lies in the state of a sample."""
        return self.slice_of(self.graph.populations[layer])

    def layer_maps(self, layer: int, values: NDArray[np.int32]) -> NDArray[np.int32]:
        """Values of one layer, (n, H, W, C), out of (n, state size)."""
        return self.graph.populations[layer].from_state(values[:, self.state_slice(layer)])

    def passed_at(self, population: Population) -> int:
        """Where the window sums of what the winners of a population's cells passed on lie in the state of a sample."""
        return int(self.compiled.plan.populations[population.index].pooled_state)

    def slice_of(self, population: Population) -> slice:
        """Where a population lies in the state of a sample."""
        return self._slices[population.index]
