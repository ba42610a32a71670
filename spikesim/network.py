"""Networks: populations of probabilistic spiking neurons and the tables between them.

    >>> from spikesim import Conv, Network, Simulator
    >>> net = Network()
    >>> image = net.add_image((28, 28, 1))
    >>> lower = net.add_population((28, 28, 32), name="lower")
    >>> upper = net.add_population((14, 14, 64), name="upper")
    >>> first = net.connect(image, lower, Conv(3, padding=1))
    >>> second = net.connect(lower, upper, Conv(3, padding=1, pool="average"), tied=True)

The network validates; `Network.compile` lays out the arrays; `Simulator` runs them.
"""

import numpy as np

from spikesim.engine.layout import CompiledNetwork, lay_out
from spikesim.engine.limits import NEURONS_MAX
from spikesim.engine.neurons import NEURONS
from spikesim.engine.populations import ATTENUATION_MAX, Connection, Population
from spikesim.engine.synapses import Lookup, Shape, Sparse, Table
from spikesim.errors import InputError


class Network:
    """A network under construction."""

    def __init__(self) -> None:
        self.populations: list[Population] = []
        self.connections: list[Connection] = []

    def _check_shape(self, shape: tuple[int, ...]) -> Shape:
        if len(shape) != 3 or min(shape) < 1 or any(side != int(side) for side in shape):
            raise InputError(f"shape is {shape}; it must be (height, width, channels), integers of at least 1")
        height, width, channels = (int(side) for side in shape)
        if height * width * channels > NEURONS_MAX:
            raise InputError(f"a population of shape {shape} is too large; at most {NEURONS_MAX} neurons")
        return height, width, channels

    def add_image(self, shape: tuple[int, ...], name: str = "image") -> Population:
        """An analogue image as input: no neurons, only a constant drive through its tables.

        Parameters
        ----------
        shape : (height, width, channels)
        """
        return Population(-1, name, self._check_shape(shape), 0, False, -1)

    def add_spike_input(self, shape: tuple[int, ...], name: str = "stream") -> Population:
        """A population whose spikes are given from outside at every step."""
        return self._add(shape, name, 0, True)

    def add_population(
        self,
        shape: tuple[int, ...],
        *,
        leak: int = 2,
        name: str | None = None,
        neuron: str = "clipped-linear",
        refractory: int = 0,
    ) -> Population:
        """Add probabilistic spiking neurons.

        Parameters
        ----------
        shape : (height, width, channels)
        leak : int
            k of alpha = 2**-k, 0 .. 15; the membrane averages its drive over about 2**k steps.
        neuron : {"clipped-linear", "refractory"}
            Fires with probability clip(V, 0, 1); or so, but not in the first steps after a spike.
        refractory : int
            How many these steps are, 1 .. 64; only with "refractory".

        Raises
        ------
        InputError
            A value out of range.
        """
        if leak not in range(16):
            raise InputError(f"leak is {leak}; it must be an integer in 0 .. 15")
        if neuron not in NEURONS:
            raise InputError(f"neuron is {neuron!r}; it must be one of {', '.join(NEURONS)}")
        low, high = NEURONS[neuron].settings
        if refractory not in range(low, high + 1):
            raise InputError(
                f"refractory is {refractory}; with neuron {neuron!r} it must be "
                + (f"an integer in {low} .. {high}" if high else "0")
            )
        population = self._add(shape, name or f"population{len(self.populations)}", leak, False)
        population.neuron, population.refractory = neuron, refractory
        return population

    def _add(self, shape: tuple[int, ...], name: str, leak: int, spike_input: bool) -> Population:
        if len(self.populations) >= 250:  # layer numbers from 250 on key other random numbers
            raise InputError("a network has at most 250 populations")
        population = Population(
            len(self.populations), name, self._check_shape(shape), leak, spike_input, len(self.populations)
        )
        self.populations.append(population)
        return population

    def connect(
        self, source: Population, target: Population, table: Table, *, tied: bool = False, attenuation: int = 0
    ) -> Connection:
        """Connect two populations; the weights start at zero (those of a `Sparse` table at its matrix).

        Parameters
        ----------
        source, target : Population
        table : Conv, Dense, Sparse or Lookup
        tied : bool
            Also deliver the target's spikes back to the source, through the exact transpose.
        attenuation : int
            Of a tied table: the way back counts 2**-attenuation, 0 .. 16.

        Raises
        ------
        InputError
            The shapes do not fit, or the direction makes no sense.
        """
        if target.index < 0 or target.spike_input:
            raise InputError(f"{target.name} is an input; nothing can be connected to it")
        self._check_own(target, *([source] if source.index >= 0 else []))
        if source.index < 0 and any(c.source.index < 0 and c.target is target for c in self.connections):
            raise InputError(f"{target.name} is driven by an image already; join the images along their channels")
        if tied and (source.index < 0 or source.spike_input):
            raise InputError(f"{source.name} is an input; a table from it cannot be tied")
        if source.index < 0 and getattr(table, "pool", None):
            raise InputError("an image is not pooled; pool it beforehand")
        if source is target and (tied or not isinstance(table, Sparse)):
            raise InputError("a table from a population to itself must be Sparse and not tied")
        shape = table.weight_shape(source.shape, target.shape)
        count = sum((c.forward >= 0) + (c.feedback >= 0) for c in self.connections)
        forward = -1 if source.index < 0 else count
        feedback = count + 1 if tied else -1
        if attenuation not in range(ATTENUATION_MAX + 1):
            raise InputError(f"attenuation is {attenuation}; it must be an integer in 0 .. {ATTENUATION_MAX}")
        if isinstance(table, Lookup):
            if source.index >= 0:
                raise InputError(f"{source.name} has neurons; only an image can hold the numbers of a lookup")
            integers = np.broadcast_to(np.int16(0), shape)  # without memory
        else:
            integers = np.zeros(shape, np.int16)
        connection = Connection(source, target, table, tied, forward, feedback, integers, attenuation)
        self.connections.append(connection)
        return connection

    def _check_own(self, *populations: Population) -> None:
        for population in populations:
            if not any(population is own for own in self.populations):
                raise InputError(f"{population.name} is not a population of this network")

    def compile(self, *, external: tuple[Population, ...] = (), nudged: tuple[Population, ...] = ()) -> CompiledNetwork:
        """Lay out the plan.

        Parameters
        ----------
        external : populations
            Those with an external drive by neuron, besides the targets of images.
        nudged : populations
            Those that receive a nudge.

        Returns
        -------
        CompiledNetwork

        Raises
        ------
        InputError
            The network has no neurons, a population is pooled in two ways, or a drive is meant for an input.
        """
        if not any(not population.spike_input for population in self.populations):
            raise InputError("the network has no neurons; add a population")
        self._check_own(*external, *nudged)
        for population in (*external, *nudged):
            if population.spike_input:
                raise InputError(f"{population.name} is an input; it has no drive")
        return lay_out(tuple(self.populations), tuple(self.connections), set(external), set(nudged))
