"""Sparse networks: populations, projections between them, and their tables.

>>> from spikesim.sparse import Network, Probabilistic, RandomSynapses, Simulation
>>> net = Network()
>>> noise = net.add_source(1000, rate=0.01, name="noise")
>>> cells = net.add_population(4000, Probabilistic(leak=3, bias=0.005), name="cells")
>>> _ = net.connect(noise, cells, RandomSynapses(100, weight=0.3, delay=(1, 5)))
>>> simulation = Simulation(net, seed=1)
>>> simulation.run(200)
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.fixedpoint import (
    ONE,
    ONE_BITS,
    SHARE_LIMIT,
    quantise_drive,
    weight_exponent,
)
from spikesim.sparse import build
from spikesim.sparse import layout as ly
from spikesim.sparse.synapses import MatrixSynapses, RandomSynapses, Synapses

POPULATIONS_MAX = 250
NEURONS_MAX = 2**31 - 1


@dataclass(frozen=True)
class Probabilistic:
    """The neuron of the rest of the program: V moves to its drive, p = clip(V, 0, 1).

    V' = V + ((u + s - V) >> leak), with s the weights of what arrives in the step.

    Attributes
    ----------
    leak : int
        k of alpha = 2**-k, 0 .. 15.
    bias : float or array (neurons,)
        u, the drive of a neuron alone.
    """

    leak: int = 2
    bias: ArrayLike = 0.0


@dataclass(frozen=True)
class LeakyIntegrateAndFire:
    """A leaky integrate-and-fire neuron with a stochastic threshold.

    V' = V + ((u - V) >> leak) + s; p = clip((V - threshold) / width, 0, 1); a spike puts V to `reset`, where it stays
    for `refractory` steps, whatever arrives (escape noise: Gerstner & Kistler 2002, section 5.3, with a linear hazard).

    Attributes
    ----------
    leak : int
        k of alpha = 2**-k, 0 .. 15.
    bias : float or array (neurons,)
        u, the potential at which a neuron alone comes to rest, unless it fires before.
    threshold, width : float
        p rises from 0 to 1 between the threshold and the threshold plus the width.
    reset : float
    refractory : int
        Steps.
    """

    leak: int = 3
    bias: ArrayLike = 0.0
    threshold: float = 1.0
    width: float = 0.1
    reset: float = 0.0
    refractory: int = 0


@dataclass(eq=False)
class Population:
    """Neurons of one kind.

    Attributes
    ----------
    index : int
        Position in the network.
    first, size : int
        Number of its first neuron among all, and how many they are.
    """

    index: int
    name: str
    first: int
    size: int
    model: Probabilistic | LeakyIntegrateAndFire
    bias: NDArray[np.int32]
    source: bool = False
    poisson: tuple[float, float] | None = None  # arrivals a step, weight

    @property
    def part(self) -> slice:
        """Its neurons among all."""
        return slice(self.first, self.first + self.size)


@dataclass(eq=False)
class Projection:
    """Synapses from one population onto another."""

    index: int
    source: Population
    target: Population
    synapses: Synapses

    @property
    def name(self) -> str:
        """`source -> target`, for messages."""
        return f"{self.source.name} -> {self.target.name}"


class Network:
    """A sparse network under construction."""

    def __init__(self) -> None:
        self.populations: list[Population] = []
        self.projections: list[Projection] = []

    @property
    def neurons(self) -> int:
        """Number of neurons of all populations."""
        return sum(population.size for population in self.populations)

    def add_population(
        self, size: int, model: Probabilistic | LeakyIntegrateAndFire | None = None, *, name: str | None = None
    ) -> Population:
        """Add neurons; `Probabilistic()` unless another model is given.

        Raises
        ------
        InputError
            A value out of range.
        """
        return self._add(size, model or Probabilistic(), name, False)

    def add_source(self, size: int, rate: ArrayLike, *, name: str | None = None) -> Population:
        """Add neurons that fire at random, independently of everything (Bernoulli).

        Parameters
        ----------
        rate : float or array (size,)
            Probability of a spike in a step, 0 .. 1; rounded to multiples of 2**-16.

        Raises
        ------
        InputError
            A value out of range.
        """
        rates = np.asarray(rate, np.float64)
        if not np.all((rates >= 0) & (rates <= 1)):
            raise InputError(f"rates reach from {rates.min():.4g} to {rates.max():.4g}; they must be in 0 .. 1")
        return self._add(size, Probabilistic(leak=0, bias=rates), name, True)

    def _add(
        self, size: int, model: Probabilistic | LeakyIntegrateAndFire, name: str | None, source: bool
    ) -> Population:
        name = name or f"population{len(self.populations)}"
        if len(self.populations) >= POPULATIONS_MAX:
            raise InputError(f"a network has at most {POPULATIONS_MAX} populations")
        if any(name == population.name for population in self.populations):
            raise InputError(f"there is a population named {name!r} already; choose another name")
        if size != int(size) or size < 1 or self.neurons + size > NEURONS_MAX:
            raise InputError(
                f"the size of {name} is {size}; it must be an integer of at least 1, all together 2**31 - 1"
            )
        if model.leak not in range(16):
            raise InputError(f"leak of {name} is {model.leak}; it must be an integer in 0 .. 15")
        try:
            bias = np.broadcast_to(np.asarray(model.bias, np.float64), (int(size),))
        except ValueError:
            raise InputError(
                f"biases of {name} have shape {np.shape(model.bias)}; it must be () or ({size},)"
            ) from None
        if isinstance(model, LeakyIntegrateAndFire):
            _check_lif(model, name)
        integers = quantise_drive(bias, f"biases of {name}")
        population = Population(len(self.populations), name, self.neurons, int(size), model, integers, source)
        self.populations.append(population)
        return population

    def add_poisson(self, population: Population, rate: float, weight: float) -> None:
        """Drive every neuron of a population by a Poisson number of arrivals in each step, independent of all others.

        Such neurons are visited at every step. For sparse random input, a source and a projection cost less.

        Parameters
        ----------
        rate : float
            Mean number of arrivals a step, above 0, at most 64.
        weight : float
            What an arrival adds to the drive.

        Raises
        ------
        InputError
            A value out of range, a source, or a population that has such a drive already.
        """
        self._check_own(population)
        if population.source or population.poisson is not None:
            raise InputError(f"{population.name} cannot take this Poisson drive: it is a source or has one already")
        if not 0 < rate <= 64:
            raise InputError(f"the Poisson rate of {population.name} is {rate}; it must be above 0 and at most 64")
        quantise_drive(np.array([weight]), f"Poisson weight of {population.name}")
        population.poisson = (float(rate), float(weight))

    def connect(self, source: Population, target: Population, synapses: Any, *, delay: Any = None) -> Projection:
        """Add synapses; several projections between the same populations add up.

        Parameters
        ----------
        synapses : scipy.sparse matrix (targets, sources), or RandomSynapses
        delay : int or scipy.sparse matrix, optional
            Steps, for a matrix of weights; 1 unless given.

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
            own: Synapses = synapses
        else:
            own = MatrixSynapses(synapses, 1 if delay is None else delay)
        own.check(source.size, target.size)
        projection = Projection(len(self.projections), source, target, own)
        self.projections.append(projection)
        return projection

    def _check_own(self, *populations: Population) -> None:
        for population in populations:
            if not any(population is own for own in self.populations):
                raise InputError(f"{population.name} is no population of this network")

    def compile(self) -> ly.Tables:
        """Lay out the tables.

        Raises
        ------
        InputError
            There are no neurons, or the weights into a neuron could drive it out of range.
        """
        if not self.populations:
            raise InputError("the network has no neurons; add a population")
        return _Layout(self).tables()


def _check_lif(model: LeakyIntegrateAndFire, name: str) -> None:
    for what in ("threshold", "reset"):
        value = getattr(model, what)
        if not abs(value) * ONE < SHARE_LIMIT:
            raise InputError(f"{what} of {name} is {value}; its magnitude must be below {SHARE_LIMIT // ONE}")
    if not 1 / ONE <= model.width <= 1024:
        raise InputError(f"width of {name} is {model.width}; it must be in 2**-16 .. 1024")
    if model.refractory != int(model.refractory) or not 0 <= model.refractory < 2**31:
        raise InputError(f"refractory of {name} is {model.refractory}; it must be an integer in 0 .. 2**31 - 1")


class _Layout:
    """The way from a network to its tables."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.incoming = [
            [projection for projection in network.projections if projection.target is population]
            for population in network.populations
        ]
        self.exponents = [
            weight_exponent(max((p.synapses.largest for p in own), default=0.0), f"weights onto {population.name}")
            for own, population in zip(self.incoming, network.populations, strict=True)
        ]

    def tables(self) -> ly.Tables:
        populations, poisson = self._populations()
        blocks: list[tuple[int, ...]] = []
        rows: list[list[int]] = []
        delays: list[NDArray[np.int64]] = []
        pointers: list[NDArray[np.int64]] = []
        targets: list[NDArray[np.uint16]] = []
        weights: list[NDArray[np.int16]] = []
        at = {"pointers": 0, "targets": 0, "weights": 0, "delays": 0}
        for population, own in zip(self.network.populations, self.incoming, strict=True):
            self._check_reach(population, own)
            size = self._block_size(population, own)
            firsts = range(0, population.size, size)
            of_block: list[list[list[int]]] = [[] for _ in firsts]
            for projection in own:
                found = self._projection(projection, size, len(firsts))
                count = len(projection.synapses.delays)
                per_block = projection.source.size * count + 1
                for block in range(len(firsts)):
                    row = [0] * ly.TABLE_COLUMNS
                    row[ly.TABLE_SOURCE], row[ly.TABLE_PROJECTION] = projection.source.index, projection.index
                    row[ly.TABLE_POINTERS] = at["pointers"] + block * per_block
                    row[ly.TABLE_DELAYS], row[ly.TABLE_DELAY_COUNT] = at["delays"], count
                    row[ly.TABLE_WEIGHTS] = at["weights"] - at["targets"]
                    if projection.synapses.weight is not None:
                        row[ly.TABLE_CONSTANT] = 1
                        row[ly.TABLE_WEIGHT] = self._integer(projection.synapses.weight, population)
                    of_block[block].append(row)
                delays.append(projection.synapses.delays)
                pointers.append(found.pointers + at["targets"])
                targets.append(found.targets)
                weights.append(found.weights)
                at["pointers"] += len(found.pointers)
                at["targets"] += len(found.targets)
                at["weights"] += len(found.weights)
                at["delays"] += count
            for first, own_rows in zip(firsts, of_block, strict=True):
                block_size = min(size, population.size - first)
                begin = len(rows)
                rows.extend(own_rows)
                blocks.append((population.index, population.first + first, block_size, begin, len(rows)))
        return ly.Tables(
            populations=populations,
            blocks=np.array(blocks, np.int64).reshape(-1, ly.BLOCK_COLUMNS),
            tables=np.array(rows, np.int64).reshape(-1, ly.TABLE_COLUMNS),
            bias=np.concatenate([population.bias for population in self.network.populations]),
            poisson=poisson,
            delays=_joined(delays, np.int64),
            pointers=_joined(pointers, np.int64),
            targets=_joined(targets, np.uint16),
            weights=_joined(weights, np.int16),
        )

    def _populations(self) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        table = np.zeros((len(self.network.populations), ly.POP_COLUMNS), np.int64)
        cumulative: list[NDArray[np.uint32]] = []
        for row, population, exponent in zip(table, self.network.populations, self.exponents, strict=True):
            model = population.model
            row[ly.POP_FIRST], row[ly.POP_SIZE], row[ly.POP_LEAK] = population.first, population.size, model.leak
            row[ly.POP_SHIFT] = exponent - ONE_BITS
            row[ly.POP_POISSON] = -1
            if isinstance(model, LeakyIntegrateAndFire):
                row[ly.POP_KIND] = ly.KIND_LIF
                row[ly.POP_THRESHOLD], row[ly.POP_RESET] = round(model.threshold * ONE), round(model.reset * ONE)
                row[ly.POP_SLOPE], row[ly.POP_REFRACTORY] = round(ONE / model.width), model.refractory
            if population.poisson is not None:
                rate, weight = population.poisson
                terms = _poisson_terms(rate)
                row[ly.POP_POISSON] = sum(len(own) for own in cumulative)
                row[ly.POP_POISSON_TERMS], row[ly.POP_POISSON_DRIVE] = len(terms), round(weight * ONE)
                cumulative.append(terms)
        return table, _joined(cumulative, np.uint32)

    def _integer(self, weight: float, target: Population) -> int:
        return int(np.rint(math.ldexp(weight, self.exponents[target.index])))

    def _block_size(self, population: Population, own: list[Projection]) -> int:
        """Neurons of a block: so few that their drives stay in the cache, but rows should not become too short."""
        size = ly.BLOCK_SMALLEST
        rows = sum(p.source.size * len(p.synapses.delays) for p in own)
        synapses = sum(p.synapses.count(p.source.size) for p in own)
        while (
            size < min(ly.BLOCK_LARGEST, population.size) and synapses * size < ly.ROW_SYNAPSES * rows * population.size
        ):
            size *= 2
        return size

    def _check_reach(self, population: Population, own: list[Projection]) -> None:
        """Refuse weights whose sum over all synapses of a neuron could leave the range of a drive."""
        sums = np.zeros(population.size, np.int64)
        for projection in own:
            synapses = projection.synapses
            for rows in synapses.rows(projection.source.size, population.size):
                weight = 0 if synapses.weight is None else abs(self._integer(synapses.weight, population))
                values = (
                    np.zeros(0, np.int64) if rows.weights is None else np.abs(self._integers(rows.weights, population))
                )
                build.largest_sum(rows.pointers, rows.targets, values, weight, sums)
        largest = int(sums.max(initial=0))
        real = math.ldexp(largest, -self.exponents[population.index])
        if largest >= 2**30 or real >= 4 * SHARE_LIMIT / ONE:
            raise InputError(
                f"the weights onto a neuron of {population.name} add up to {real:.4g}; the limit is "
                f"{4 * SHARE_LIMIT // ONE}: lower the weights or their number"
            )

    def _integers(self, weights: NDArray[np.float64], target: Population) -> NDArray[np.int64]:
        return np.rint(np.ldexp(weights, self.exponents[target.index])).astype(np.int64)

    def _projection(self, projection: Projection, size: int, blocks: int) -> "_Sorted":
        """The synapses of a projection, sorted by block, source neuron and delay."""
        synapses, source, target = projection.synapses, projection.source, projection.target
        count = len(synapses.delays)
        delay_at = np.zeros(int(synapses.delays.max(initial=0)) + 1, np.int64)
        delay_at[synapses.delays] = np.arange(count)
        rows_at = np.arange(blocks, dtype=np.int64) * (source.size * count + 1)
        pointers = np.zeros(blocks * (source.size * count + 1), np.int64)
        none = np.zeros(0, np.int64)
        first = 0
        for rows in synapses.rows(source.size, target.size):
            delays = none if rows.delays is None else rows.delays
            build.count_rows(rows.pointers, rows.targets, delays, first, delay_at, count, size, rows_at, pointers)
            first += len(rows.pointers) - 1
        # each block's last entry counts nothing: the exclusive sums of a block end where the next one begins
        np.cumsum(pointers, out=pointers)
        total = int(pointers[-1]) if len(pointers) else 0
        pointers[1:] = pointers[:-1].copy()
        pointers[:1] = 0
        targets = np.empty(total, np.uint16)
        weights = np.empty(total if synapses.weight is None else 0, np.int16)
        next_at = pointers.copy()
        first = 0
        for rows in synapses.rows(source.size, target.size):
            delays = none if rows.delays is None else rows.delays
            values = (
                np.zeros(0, np.int16) if rows.weights is None else self._integers(rows.weights, target).astype(np.int16)
            )
            build.fill_rows(
                rows.pointers, rows.targets, delays, values, first, delay_at, count, size, rows_at, next_at,
                targets, weights,
            )  # fmt: skip
            first += len(rows.pointers) - 1
        return _Sorted(pointers, targets, weights)


@dataclass(frozen=True)
class _Sorted:
    pointers: NDArray[np.int64]
    targets: NDArray[np.uint16]
    weights: NDArray[np.int16]


def _joined(parts: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """One array of all parts; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros(0, kind), *parts])


def _poisson_terms(rate: float) -> NDArray[np.uint32]:
    """P(X <= k) for k = 0, 1, ..., in units of 2**-32, as far as it stays below 1."""
    terms: list[int] = []
    term = total = math.exp(-rate)
    while round(total * 2.0**32) < 2**32 and term > 0.0 and len(terms) < 1024:
        terms.append(round(total * 2.0**32))
        term *= rate / len(terms)
        total += term
    return np.array(terms, np.uint32)
