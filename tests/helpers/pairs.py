"""The same network twice: in the engine and in the slow reference, from one description."""

import hashlib
from typing import Any

import numpy as np
import reference
from numpy.typing import NDArray

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.populations import Connection, Population
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.synapses import Conv, Dense, Sparse, Table
from spikesim.network import Network
from spikesim.simulator import Simulator

FIRINGS = ("iid", "stratified", "mean-field")


def state_of(simulator: Simulator, population: Population, array: NDArray[Any]) -> NDArray[Any]:
    """The part of an array in the layout of the state that belongs to a population, (samples, neurons)."""
    at = simulator.compiled.plan.populations[population.index].state
    return population.from_state(array[..., at : at + population.state_size]).reshape(*array.shape[:-1], -1)


def set_state(simulator: Simulator, population: Population, array: NDArray[Any], values: NDArray[Any]) -> None:
    """Write values (samples, neurons) into the part of an array that belongs to a population."""
    at = simulator.compiled.plan.populations[population.index].state
    maps = values.reshape(-1, *population.shape).astype(array.dtype)
    array[..., at : at + population.state_size] = population.to_state(maps)


def set_spikes(simulator: Simulator, population: Population, spikes: NDArray[np.bool_]) -> None:
    """Write the spikes (samples, neurons) of the present step."""
    height, width, channels = population.shape
    padded = population.blocks * population.lanes
    bits = np.zeros((len(spikes), height * width, padded), bool)
    bits[..., :channels] = spikes.reshape(len(spikes), height * width, channels)
    at = simulator.compiled.plan.populations[population.index].words
    words = np.packbits(bits.reshape(len(spikes), -1), axis=1, bitorder="little").view("<u2")
    simulator.state.words[:, at : at + words.shape[1]] = words


class Pair:
    """A network of the engine, and the description that the reference needs.

    Parameters
    ----------
    seed : int
        Of weights, biases, drives, images and input spikes.
    """

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.network = Network()
        self.biases: list[NDArray[np.float64]] = []
        self.weights: list[tuple[Connection, NDArray[np.float64]]] = []
        self.external: list[Population] = []
        self.nudged: list[Population] = []
        self.compiled: CompiledNetwork | None = None

    def population(
        self,
        *shape: int,
        leak: int = 2,
        external: bool = False,
        nudged: bool = False,
        bias: tuple[float, float] = (-0.1, 0.5),
        refractory: int = 0,
    ) -> Population:
        """Neurons with random biases."""
        neuron = "refractory" if refractory else "clipped-linear"
        population = self.network.add_population(shape, leak=leak, neuron=neuron, refractory=refractory)
        self.biases.append(self.rng.uniform(*bias, shape[2]))
        self.external += [population] if external else []
        self.nudged += [population] if nudged else []
        return population

    def stream(self, *shape: int) -> Population:
        """Input spikes."""
        self.biases.append(np.zeros(shape[2]))
        return self.network.add_spike_input(shape)

    def image(self, *shape: int) -> Population:
        """An analogue image."""
        return self.network.add_image(shape)

    def connect(
        self, source: Population, target: Population, table: Table, *, tied: bool = False, gain: float = 1.0
    ) -> Connection:
        """Connect with random weights; those of a sparse table are in its matrix."""
        connection = self.network.connect(source, target, table, tied=tied)
        if isinstance(table, Sparse):
            weights = table.values
        else:
            shape = connection.integers.shape
            fan_in = max(1, int(np.prod(shape[:-1])))
            weights = self.rng.normal(0, gain / np.sqrt(fan_in), shape)
        self.weights.append((connection, weights))
        return connection

    def sparse(self, source: Population, target: Population, density: float = 0.3, gain: float = 1.0) -> Sparse:
        """A random sparse table; some of its synapses have the weight 0."""
        from scipy import sparse

        shape = (target.neurons, source.neurons)
        rows, columns = np.nonzero(self.rng.random(shape) < density)
        values = self.rng.normal(0, gain / np.sqrt(max(1.0, density * source.neurons)), len(rows))
        values[::7] = 0
        return Sparse(sparse.coo_array((values, (rows, columns)), shape=shape))

    def matrix(self, connection: Connection, weights: NDArray[np.float64]) -> reference.Table:
        """A table as the reference wants it."""
        table, source, target = connection.table, connection.source, connection.target
        integers, exponent = reference.quantize(weights)
        pool = getattr(table, "pool", None)
        lower = reference.pooled(source.shape) if pool else source.shape
        if isinstance(table, Conv):
            dense, exists = reference.conv_matrix(integers, table.frame, lower, target.shape, table.stride)
        elif isinstance(table, Dense):
            dense, exists = integers.T, np.ones(integers.T.shape, bool)
        else:
            dense, exists = (
                np.zeros((target.neurons, source.neurons), np.int64),
                np.zeros((target.neurons, source.neurons), bool),
            )
            columns = np.repeat(np.arange(source.neurons), np.diff(table.pointers))
            dense[table.indices, columns], exists[table.indices, columns] = integers, True
        return reference.Table(source.index, target.index, dense, exists, exponent, pool, connection.tied)

    def build(
        self, samples: int = 3, firing: str = "iid", seed: int = 1, steps: int = 16, together: int | None = None
    ) -> tuple[Simulator, reference.Model]:
        """Both, at rest, with the same weights, drives and inputs; streams hold `steps` steps."""
        compiled = self.network.compile(external=tuple(self.external), nudged=tuple(self.nudged))
        if together is not None:
            compiled.plan.populations["together"] = together
        simulator = Simulator(compiled, samples, firing=firing, seed=seed)  # type: ignore[arg-type]
        ids = [int(i) for i in self.rng.choice(2**32, samples, replace=False)]
        simulator.reset(ids)
        populations = []
        for population, bias in zip(self.network.populations, self.biases, strict=True):
            twin = reference.Population(
                population.shape, population.leak, np.rint(bias * reference.ONE).astype(np.int64)
            )
            twin.refractory = population.refractory
            size = (samples, population.neurons)
            if population.spike_input:
                twin.stream = self.rng.random((samples, steps, population.neurons)) < 0.2
                simulator.set_input_spikes(population, twin.stream.reshape(samples, steps, *population.shape))
            else:
                compiled.set_bias(population, bias)
            if population in self.external:
                drive = self.rng.normal(0, 0.2, size)
                simulator.set_external(population, drive.reshape(samples, *population.shape))
                twin.external = np.rint(drive * reference.ONE).astype(np.int64)
            if population in self.nudged:
                twin.nudge = self.rng.integers(-9000, 9000, size)
                set_state(simulator, population, simulator.state.nudge, twin.nudge)
            populations.append(twin)
        tables = []
        for connection, weights in self.weights:
            if not isinstance(connection.table, Sparse):
                compiled.set_weights(connection, weights)
            table = self.matrix(connection, weights)
            if connection.source.index < 0:
                images = self.rng.integers(-4096, 4097, (samples, *connection.source.shape)).astype(np.int16)
                simulator.set_image(connection, images)
                populations[connection.target.index].external = reference.image_drive(
                    table.weights, table.exponent, images.reshape(samples, -1).astype(np.int64)
                )
            else:
                tables.append(table)
        return simulator, reference.Model(populations, tables, ids, firing, seed)


def assert_same(simulator: Simulator, model: reference.Model) -> None:
    """Potentials, spikes, window sums and every counter agree bit for bit."""
    counts = simulator.counts
    for population in simulator.compiled.populations:
        index = population.index
        spikes = simulator.spikes(population).reshape(len(model.samples), -1)
        np.testing.assert_array_equal(spikes, model.spikes[index], err_msg=f"spikes of {population.name}")
        window = state_of(simulator, population, simulator.state.window)
        np.testing.assert_array_equal(window, model.window[index], err_msg=f"window sums of {population.name}")
        if population.spike_input:
            continue
        potential = simulator.potential(population).reshape(len(model.samples), -1)
        np.testing.assert_array_equal(potential, model.potential[index], err_msg=f"V of {population.name}")
        if population.refractory and model.firing != "mean-field":
            wait = state_of(simulator, population, simulator.state.memory.wait).astype(np.int64)
            np.testing.assert_array_equal(np.maximum(wait - 1, 0), model.countdown[index], err_msg="refractory steps")
    graded = model.firing == "mean-field"
    np.testing.assert_array_equal(counts.spikes, model.spike_counts, err_msg="spike counts")
    np.testing.assert_array_equal(counts.graded if graded else counts.events, model.event_counts, err_msg="events")
    assert not (counts.events if graded else counts.graded).any()
    np.testing.assert_array_equal(counts.updates, model.updates, err_msg="updates")
    np.testing.assert_array_equal(counts.steps, model.steps, err_msg="steps")
    np.testing.assert_array_equal(counts.energy, model.energy, err_msg="energy")
    np.testing.assert_array_equal(counts.residual, model.residual, err_msg="residual")


def everything(simulator: Simulator) -> list[NDArray[Any]]:
    """Copies of all that a user can read: potentials, spikes, window sums, counters; samples first."""
    populations = simulator.compiled.populations
    neurons = [population for population in populations if not population.spike_input]
    return [
        *(simulator.potential(population).copy() for population in neurons),
        *(simulator.spikes(population) for population in populations),
        *(state_of(simulator, population, simulator.state.window).swapaxes(0, 1).copy() for population in neurons),
        *(array.copy() for array in simulator.counts),
    ]


def assert_equal_arrays(first: list[NDArray[Any]], second: list[NDArray[Any]]) -> None:
    """Two results of `everything` agree bit for bit."""
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def mixed(seed: int = 20, pool: str = "sampled") -> Pair:
    """A network with every kind of table and of input."""
    pair = Pair(seed)
    stream = pair.stream(6, 6, 3)
    lower = pair.population(6, 6, 17, external=True)
    upper = pair.population(3, 3, 33)
    top = pair.population(1, 1, 10)
    pair.connect(stream, lower, Conv(3, 1))
    of_input = "average" if pool == "winner" else pool  # an input has no potentials
    pair.connect(stream, upper, Conv(3, 1, pool=of_input))  # type: ignore[arg-type]
    pair.connect(lower, upper, Conv(3, 1, pool=pool), tied=True)  # type: ignore[arg-type]
    pair.connect(upper, top, Dense(), tied=True)
    pair.connect(lower, top, pair.sparse(lower, top), tied=True)
    return pair


def digest() -> str:
    """Hash of all results of small networks in all firing modes, blocks of 16, 32 and 64 channels among them."""
    result = hashlib.sha256()
    for firing in FIRINGS:
        pair = Pair(50)
        stream, a = pair.stream(4, 4, 3), pair.population(4, 4, 17, external=True)
        b, c = pair.population(2, 2, 65), pair.population(1, 1, 5)
        pair.connect(stream, a, Conv(3, 1))
        pair.connect(a, b, Conv(3, 1, pool="sampled" if firing == "iid" else "average"), tied=True)
        pair.connect(b, c, Dense(), tied=True)
        pair.connect(c, c, pair.sparse(c, c))
        simulator, _ = pair.build(2, firing, steps=5)
        simulator.run(5, window=2)
        for array in everything(simulator):
            result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


def dense(trains: SpikeTrains, neurons: int) -> NDArray[np.bool_]:
    """bool (samples, steps, neurons), spike by spike."""
    found = np.zeros((len(trains), trains.steps, neurons), bool)
    for sample in range(len(trains)):
        for step in range(trains.steps):
            first, last = trains.pointers[sample, step : step + 2]
            for neuron in trains.neurons[first:last]:
                found[sample, step, neuron] = True
    return found
