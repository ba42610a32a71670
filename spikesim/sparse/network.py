"""Sparse networks: populations and the projections between them.

>>> from spikesim.sparse import Network, Probabilistic, RandomSynapses, Simulation
>>> net = Network()
>>> noise = net.add_source(1000, rate=0.01, name="noise")
>>> cells = net.add_population(4000, Probabilistic(leak=3, bias=0.005), name="cells")
>>> _ = net.connect(noise, cells, RandomSynapses(100, weight=0.3, delay=(1, 5)))
>>> simulation = Simulation(net, seed=1)
>>> simulation.run(200)
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, reals, shown
from spikesim.numerics.fixed_point import DRIVE_LIMIT, ONE, SHARE_LIMIT
from spikesim.sparse.connections.edge_list import EdgeList
from spikesim.sparse.connections.rules import Rule
from spikesim.sparse.connections.synapses import MatrixSynapses, RandomSynapses, Synapses
from spikesim.sparse.inputs.spikes import Spikes
from spikesim.sparse.inputs.time_course import TimeCourse
from spikesim.sparse.neurons import MODELS, General, Model, Probabilistic
from spikesim.sparse.neurons.parameters import Place, resolve
from spikesim.sparse.neurons.step import COLUMNS
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.integers import Plasticity
from spikesim.sparse.plasticity.stdp import STDP
from spikesim.sparse.rounding import REACH_LIMIT, check_reach, poisson_tails, round_bias

POPULATIONS_MAX = 250
NEURONS_MAX = 2**31 - 1


class PoissonDrive(NamedTuple):
    """Arrivals at every neuron of a population.

    Attributes
    ----------
    rate : float
        Mean number a step, the highest one of a time course.
    weight : float
    course : TimeCourse, optional
        Of the rate.
    """

    rate: float
    weight: float
    course: TimeCourse | None = None


@dataclass(eq=False)
class Population:
    """Neurons of one kind, in a row; the core's `spikesim.engine.populations.Population` is a grid of them.

    Attributes
    ----------
    index : int
        Position in the network.
    first, size : int
        Number of its first neuron among all, and how many they are.
    bias, initial : int32 (size,)
        What drives a neuron alone, and potentials at the start, 1.0 = 2**16; where all are equal, a single number that
        is seen `size` times.
    drive : float64 (1,) or (size,)
        Biases before they are rounded; of a source, its rates.
    general : General, optional
        What `spikesim.sparse.engine.visiting` moves; None: `updating` does.
    """

    index: int
    name: str
    first: int
    size: int
    model: Model
    bias: NDArray[np.int32]
    initial: NDArray[np.int32]
    drive: NDArray[np.float64]
    general: General | None = None
    source: bool = False
    poisson: PoissonDrive | None = None
    spikes: Spikes | None = None  # of a source that plays them
    merged: int = 0  # spikes that were left out, because their neuron fires in that step already
    rates: TimeCourse | None = None  # of a source whose rates change
    currents: list[TimeCourse] = field(default_factory=list)

    @property
    def part(self) -> slice:
        """Its neurons among all."""
        return slice(self.first, self.first + self.size)

    @property
    def courses(self) -> list[TimeCourse]:
        """What drives it besides a bias that stays: the rates of a source, or currents."""
        return self.currents if self.rates is None else [self.rates]

    def real_bias(self) -> NDArray[np.float64]:
        """Biases before they are rounded; of a source, its rates."""
        return np.broadcast_to(self.drive, (self.size,))

    def general_bytes(self, trials: int) -> int:
        """What a neuron takes besides what all have: its variables in each trial, and its parameters."""
        own = self.general
        if own is None:
            return 0
        return 4 * (own.variables + own.lanes - 1) * trials + 4 * COLUMNS * own.varies

    @property
    def per_current(self) -> NDArray[np.float64]:
        """What a current of 1 adds to the biases, float64 (1,) or (size,)."""
        return np.ones(1) if self.general is None else self.general.per_current

    @property
    def reach_limit(self) -> float:
        """All weights onto a neuron together stay below this."""
        return REACH_LIMIT if self.general is None else self.general.reach_limit


@dataclass(eq=False)
class Projection:
    """Synapses from one population onto another; with a plasticity their weights move."""

    index: int
    source: Population
    target: Population
    synapses: Synapses
    plasticity: Plasticity | None = None

    @property
    def name(self) -> str:
        """`source -> target`, for messages."""
        return f"{self.source.name} -> {self.target.name}"

    def transposed(self) -> EdgeList:
        """Its synapses the other way round, from target to source, with the same weights and delays: for `connect`."""
        same, first = self.synapses.weight, 0
        columns: list[tuple[NDArray[Any], ...]] = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0),) * 2]
        for own in self.synapses.rows(self.source.size, self.target.size):
            count, counts = len(own.targets), np.diff(own.pointers)
            sources = np.repeat(np.arange(first, first + len(counts)), counts)
            weights = np.full(count, same) if own.weights is None else own.weights
            delays = np.full(count, self.synapses.delays[0]) if own.delays is None else own.delays
            columns.append((own.targets, sources, weights, delays))
            first += len(counts)
        targets, sources, weights, delays = (np.concatenate(column) for column in zip(*columns, strict=True))
        return EdgeList(targets, sources, weights, delays)


class Network:
    """A sparse network under construction; the core's `spikesim.Network` is one of layers of images.

    Parameters
    ----------
    seed : int
        0 .. 2**64 - 1. A random pattern without a seed of its own has this one plus the position of its projection, or
        the next one that no pattern of the network has. What happens in a simulation depends on the seed of
        `Simulation`. Parameters of neurons that are distributions are drawn with it, too.
    dt : float, optional
        Milliseconds a step, for models with units.

    Raises
    ------
    InputError
        A value out of range.
    """

    def __init__(self, seed: int = 0, *, dt: float | None = None) -> None:
        self.seed = integer(seed, "seed", 0, 2**64 - 1)
        self.dt = None if dt is None else step_length(dt)
        self.populations: list[Population] = []
        self.projections: list[Projection] = []

    @property
    def neurons(self) -> int:
        """Number of neurons of all populations."""
        return sum(population.size for population in self.populations)

    def add_population(self, size: int, model: Model | None = None, *, name: str | None = None) -> Population:
        """Add neurons; `Probabilistic()` unless another model is given.

        Raises
        ------
        InputError
            A value out of range.
        """
        return self._add(size, model or Probabilistic(), name, False)

    def add_source(self, size: int, rate: ArrayLike | TimeCourse, *, name: str | None = None) -> Population:
        """Add neurons that fire at random, independently of everything (Bernoulli).

        Parameters
        ----------
        rate : float, array (size,) or TimeCourse
            Probability of a spike in a step, 0 .. 1; of a time course, from each of its steps on. Between them
            nothing is computed.

        Raises
        ------
        InputError
            A value out of range.
        """
        course = rate if isinstance(rate, TimeCourse) else None
        rates = rate.values if isinstance(rate, TimeCourse) else reals(rate, "rates")
        if not np.all((rates >= 0) & (rates <= 1)):
            raise InputError(f"rates reach from {rates.min():.4g} to {rates.max():.4g}; they must be in 0 .. 1")
        if course is None:
            return self._add(size, Probabilistic(leak=0, bias=rates), name, True)
        course.require_size(integer(size, "size", 1, NEURONS_MAX), f"the time course of rates of {name or 'a source'}")
        population = self._add(size, Probabilistic(leak=0), name, True)
        population.rates = course
        return population

    def add_spike_trains(self, size: int, spikes: Spikes, *, name: str | None = None) -> Population:
        """Add neurons that fire when they are told to, in all trials alike; the cost is that of their spikes.

        Parameters
        ----------
        spikes : Spikes
            From arrays (`Spikes.at_steps`, `Spikes.at_times`), a file (`read_spikes`), images (`Spikes.of_latencies`)
            or a simulation (`Simulation.spikes`). A neuron fires once a step: others that it has there are left out,
            and `Simulation` warns of them.

        Raises
        ------
        InputError
            A value out of range, or spikes of neurons that there are not.
        """
        if not isinstance(spikes, Spikes):
            raise InputError(f"spike trains are {shown(spikes)}; they must be Spikes, as of Spikes.at_steps")
        size = integer(size, "size", 1, NEURONS_MAX)
        own = Spikes.at_steps(spikes.neurons, spikes.steps).of_size(size, name or "a population of spike trains")
        population = self._add(size, Probabilistic(leak=0), name, True)
        population.spikes, population.merged = own
        return population

    def add_current(
        self, population: Population, current: ArrayLike | TimeCourse, *, neurons: ArrayLike | None = None
    ) -> None:
        """Inject a current: it is added to the biases, and wakes the neurons whose current changes.

        Several currents of a population add up.

        Parameters
        ----------
        current : float, TimeCourse, or array (steps,) or (steps, neurons)
            Constant; from each of the steps of the time course on; or in each step from 0 on, and 0 afterwards.
        neurons : array of int, optional
            The neurons that it is for, each once; all unless they are given.

        Raises
        ------
        InputError
            A source, a value out of range, or values for another number of neurons.
        """
        self._check_own(population)
        if population.source:
            raise InputError(f"{population.name} is a source; no current can be injected into it")
        if isinstance(current, TimeCourse):
            course = current
        else:
            values = reals(current, f"currents into {population.name}")
            course = TimeCourse([0], values[None]) if values.ndim == 0 else TimeCourse.of_array(values)
        largest = float(np.abs(course.values).max())
        limit = SHARE_LIMIT / ONE / population.per_current.max()
        if largest >= limit:
            raise InputError(
                f"currents into {population.name} reach {largest:.4g}; their magnitudes must be below {limit:.6g}"
            )
        if neurons is not None:
            chosen = np.atleast_1d(np.asarray(neurons))
            whole = chosen.dtype.kind in "iu" and chosen.ndim == 1 and len(np.unique(chosen)) == len(chosen) > 0
            if not whole or chosen.min() < 0 or chosen.max() >= population.size:
                raise InputError(
                    f"neurons of a current are {shown(neurons)}; they must be integers in 0 .. {population.size - 1}, "
                    "each once"
                )
            course.require_size(len(chosen), f"the current into {population.name}")
            course = course.on(chosen.astype(np.int64), population.size)
        course.require_size(population.size, f"the current into {population.name}")
        population.currents.append(course)

    def _add(self, size: int, model: Model, name: str | None, source: bool) -> Population:
        name = f"population{len(self.populations)}" if name is None or name == "" else name
        if not isinstance(name, str):
            raise InputError(f"a population is named {shown(name)}; a name is text")
        if len(self.populations) >= POPULATIONS_MAX:
            raise InputError(f"a network has at most {POPULATIONS_MAX} populations")
        if any(name == population.name for population in self.populations):
            raise InputError(f"there is a population named {name!r} already; choose another name")
        size = integer(size, f"the size of {name}", 1, NEURONS_MAX)
        if self.neurons + size > NEURONS_MAX:
            raise InputError(
                f"with the {size} neurons of {name} the network has more than 2**31 - 1; lower their number"
            )
        if type(model) not in MODELS.values():
            known = ", ".join(own.__name__ for own in MODELS.values())
            raise InputError(f"the model of {name} is {shown(model)}; it must be one of {known}")
        index = len(self.populations)
        own = resolve(model, Place(name, index, size, self.seed, self.dt))
        bias = round_bias(own.drive, f"{name}, what I_e adds included," if own.model.weight_unit else name)
        initial = np.rint(own.initial * ONE).astype(np.int32)
        population = Population(
            index,
            name,
            self.neurons,
            size,
            own.model,
            np.broadcast_to(bias, (size,)),
            np.broadcast_to(initial, (size,)),
            own.drive,
            own.general,
            source,
        )
        self.populations.append(population)
        return population

    def add_poisson(self, population: Population, rate: float | TimeCourse, weight: float) -> None:
        """Drive every neuron of a population by a Poisson number of arrivals in each step, independent of all others.

        Such neurons are visited at every step. For sparse random input, a source and a projection cost less.

        Parameters
        ----------
        rate : float or TimeCourse
            Mean number of arrivals a step, 1e-12 .. 64; of a time course, the same for all neurons, from each of its
            steps on, and 0 where nothing arrives.
        weight : float
            What an arrival adds to the drive.

        Raises
        ------
        InputError
            A value out of range, a source, a population that has such a drive already, or weights of 12288 together
            when as many arrive in a step as ever do: more have a probability below 2**-33.
        """
        self._check_own(population)
        if population.source or population.poisson is not None:
            raise InputError(f"{population.name} cannot take this Poisson drive: it is a source or has one already")
        course = rate if isinstance(rate, TimeCourse) else None
        if isinstance(rate, TimeCourse):
            if rate.values.ndim > 1:
                raise InputError(
                    f"the Poisson rate of {population.name} has values for each neuron; give one for all in each step, "
                    "or connect sources (add_source)"
                )
            wrong = rate.values[(rate.values != 0) & ~((rate.values >= 1e-12) & (rate.values <= 64))]
            if len(wrong):
                raise InputError(
                    f"the Poisson rate of {population.name} becomes {wrong[0]:g}; it must be 0, or in 1e-12 .. 64"
                )
            arrivals = float(rate.values.max())
            if not arrivals:
                raise InputError(f"the Poisson rate of {population.name} stays 0; give it a time in which it is not")
        else:
            arrivals = real(rate, f"the Poisson rate of {population.name}")
            if not 1e-12 <= arrivals <= 64:
                raise InputError(f"the Poisson rate of {population.name} is {rate}; it must be in 1e-12 .. 64")
        each = real(weight, f"the Poisson weight of {population.name}")
        check_reach(0.0, len(poisson_tails(arrivals)), abs(each), population.name, population.reach_limit)
        population.poisson = PoissonDrive(arrivals, each, course)

    def connect(
        self,
        source: Population,
        target: Population,
        synapses: Any,
        *,
        delay: Any = None,
        plasticity: Plasticity | None = None,
    ) -> Projection:
        """Add synapses; several projections between the same populations add up.

        Parameters
        ----------
        synapses : scipy.sparse matrix or ndarray (targets, sources), RandomSynapses, a rule or EdgeList
            Each stored entry of a sparse matrix is a synapse with a weight and a delay of its own, also where several
            have the same place; of an array of NumPy each number that is not zero. Rules are `PairwiseBernoulli`,
            `FixedInDegree`, `FixedOutDegree`, `FixedTotalNumber`, `OneToOne` and `AllToAll`.
        delay : int or matrix, optional
            Steps, for a matrix of weights; 1 unless given.
        plasticity : STDP or Contrastive, optional
            How the weights move: each trial has its own. The synapses have the weights at the start.

        Raises
        ------
        InputError
            The sizes do not fit, a value is out of range, or the target is a source.
        """
        self._check_own(source, target)
        if target.source:
            raise InputError(f"{target.name} is a source; nothing can be connected to it")
        if isinstance(synapses, RandomSynapses):
            if delay is not None:
                raise InputError("a random pattern brings its own delays; give them to RandomSynapses")
            own: Synapses = synapses if synapses.seed is not None else replace(synapses, seed=self._free_seed())
        elif isinstance(synapses, Rule | EdgeList):
            kind = type(synapses).__name__
            if delay is not None:
                raise InputError(f"{kind} brings its own delays; give them to it")
            if isinstance(synapses, Rule):
                own = synapses.bind(source.size, target.size, source is target, self._free_seed())
            else:
                own = synapses.bind(source.size, target.size, self._free_seed())
        else:
            own = MatrixSynapses(synapses, 1 if delay is None else delay, (target.size, source.size))
        own.check(source.size, target.size)
        if own.largest >= DRIVE_LIMIT / ONE:
            raise InputError(
                f"the weights of {source.name} -> {target.name} reach {own.largest:.4g}; their magnitude must be below "
                f"{DRIVE_LIMIT // ONE}"
            )
        if plasticity is not None and not isinstance(plasticity, STDP | Contrastive):
            raise InputError(f"plasticity is {shown(plasticity)}; it must be an STDP, or Contrastive")
        if isinstance(plasticity, Contrastive) and target.general is not None and target.general.lanes == 2:
            raise InputError(
                f"{target.name} has a variable for excitation and another for inhibition, and Contrastive weights "
                "change their signs; give it a model that adds up both"
            )
        projection = Projection(len(self.projections), source, target, own, plasticity)
        self.projections.append(projection)
        return projection

    def steps(self, milliseconds: float) -> int:
        """A time, a delay for one, in steps.

        Raises
        ------
        InputError
            The network has no `dt`, or the time is no multiple of it.
        """
        if self.dt is None:
            raise InputError("the network has no step in ms; give it one, as in Network(dt=0.1)")
        found = real(milliseconds, "the time") / self.dt
        if abs(found - round(found)) > 1e-6 * max(1.0, abs(found)):
            raise InputError(
                f"{milliseconds:g} ms is {found:g} steps of {self.dt:g} ms; it must be a multiple of a step"
            )
        return round(found)

    def per_step(self, hertz: ArrayLike) -> NDArray[np.float64]:
        """Rates in Hz as what they are in a step: the probability of a spike, or the number of arrivals.

        Raises
        ------
        InputError
            The network has no `dt`.
        """
        if self.dt is None:
            raise InputError("the network has no step in ms; give it one, as in Network(dt=0.1)")
        return np.asarray(reals(hertz, "rates") * (self.dt / 1000))

    def _free_seed(self) -> int:
        """A seed for the pattern of the next projection: without one of its own each wires neurons in its own way."""
        taken = {getattr(own.synapses, "seed", None) for own in self.projections}
        seed = (self.seed + len(self.projections)) % 2**64
        while seed in taken:
            seed = (seed + 1) % 2**64
        return seed

    def _check_own(self, *populations: Population) -> None:
        for population in populations:
            if not any(population is own for own in self.populations):
                name = population.name if isinstance(population, Population) else shown(population)
                raise InputError(f"{name} is not a population of this network")


def step_length(dt: float) -> float:
    """Milliseconds a step, checked.

    Raises
    ------
    InputError
    """
    found = real(dt, "dt")
    if not 1e-6 <= found <= 1000:
        raise InputError(f"dt is {found:g} ms; it must be in 1e-6 .. 1000")
    return found
