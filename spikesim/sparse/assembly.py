"""From a network to the tables of the compiled loop."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE_BITS
from spikesim.sparse import rounding as rd
from spikesim.sparse.engine import build
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.input_tables import DrivenNeurons, PoissonArrivals, given_spikes
from spikesim.sparse.network import Network, Population, Projection
from spikesim.sparse.neurons import KERNELS, General, LeakyIntegrateAndFire, Probabilistic
from spikesim.sparse.neurons.step import COLUMNS, SHARED
from spikesim.sparse.plasticity.integers import PlasticBuilder, Targets, weight_integers
from spikesim.sparse.plasticity.weights import sort_rows

PART_SMALLEST = 2**12
"""Neurons that a thread should have of a population at least, or waiting for the others costs more than it gains."""


def assemble(network: Network, threads: int = 1) -> ly.Tables:
    """Lay out the tables; `assemble_told` without its lines."""
    return assemble_told(network, threads)[0]


def assemble_told(network: Network, threads: int = 1) -> tuple[ly.Tables, list[str]]:
    """Lay out the tables, and say which numbers their integers change a lot, a line each.

    Parameters
    ----------
    network : Network
    threads : int
        That share a trial: each has a part of every large population.

    Raises
    ------
    InputError
        There are no neurons, or what reaches a neuron could drive it out of range.
    """
    if not network.populations:
        raise InputError("the network has no neurons; add a population")
    layout = _Layout(network, threads)
    return layout.tables(), layout.told


class _Layout:
    """The way from a network to its tables."""

    def __init__(self, network: Network, threads: int) -> None:
        self.network = network
        self.threads = threads
        self.incoming = [
            [projection for projection in network.projections if projection.target is population]
            for population in network.populations
        ]
        self.told: list[str] = []
        self.arrivals = PoissonArrivals(network)
        self.reach = [
            self._reach(population, own) for population, own in zip(network.populations, self.incoming, strict=True)
        ]
        self.exponents = [
            rd.sum_exponent(reach, rd.FINEST if population.general is None else population.general.finest)
            for population, reach in zip(network.populations, self.reach, strict=True)
        ]
        short = any(
            population.size > ly.BLOCK_LARGEST and 0 < self._row(population, own, ly.BLOCK_LARGEST) < ly.ROW_SHORTEST
            for own, population in zip(self.incoming, network.populations, strict=True)
        )
        self.kind: Any = np.uint32 if short else np.uint16
        self.largest = network.neurons if short else ly.BLOCK_LARGEST
        self.cuts = [
            self._cut(population, own) for population, own in zip(network.populations, self.incoming, strict=True)
        ]
        self.parts_at = np.cumsum([0, *(cut.parts for cut in self.cuts)]).tolist()
        self.plastic = PlasticBuilder(network.dt)

    def tables(self) -> ly.Tables:
        parts, shared, columns = self._parts()
        blocks: list[tuple[int, ...]] = []
        tables: list[tuple[int, ...]] = []
        delays: list[NDArray[np.int64]] = []
        pointers: list[NDArray[np.int64]] = []
        targets: list[NDArray[Any]] = []
        weights: list[NDArray[np.int16]] = []
        at = {"pointers": 0, "targets": 0, "weights": 0, "delays": 0}
        for population, own in zip(self.network.populations, self.incoming, strict=True):
            cut = self.cuts[population.index]
            size = cut.block
            firsts = range(0, population.size, size)
            of_block: list[list[tuple[int, ...]]] = [[] for _ in firsts]
            of_plastic: list[list[tuple[int, ...]]] = [[] for _ in firsts]
            lanes = 1 if population.general is None else population.general.lanes
            for projection, constant, part in self._weight_parts(own):
                largest = constant if projection.plasticity is None else projection.plasticity.Wmax
                inhibits = lanes == 2 and (part.sign < 0 or (largest is not None and largest < 0))
                rule = self._rule(projection)
                found = self._sorted(projection, part, size, len(firsts))
                count = len(projection.synapses.delays)
                per_block = projection.source.size * count + 1
                weights_at = self.plastic.synapses if rule >= 0 else at["weights"]
                for block in range(len(firsts)):
                    (of_plastic if rule >= 0 else of_block)[block].append(
                        _record(
                            ly.TABLE,
                            sources=self.parts_at[projection.source.index],
                            sources_end=self.parts_at[projection.source.index + 1],
                            begin=projection.source.first,
                            projection=projection.index,
                            pointers=at["pointers"] + block * per_block,
                            delays=at["delays"],
                            delay_count=count,
                            weights=weights_at - at["targets"],
                            constant=constant is not None,
                            weight=constant or 0,
                            shift=self.exponents[population.index] - part.exponent,
                            drive=self.network.neurons if inhibits else 0,
                            rule=rule,
                            rows=self.plastic.rows + block * (per_block - 1),
                        )
                    )
                delays.append(projection.synapses.delays)
                pointers.append(found.pointers + at["targets"])
                targets.append(found.targets)
                at["pointers"] += len(found.pointers)
                at["targets"] += len(found.targets)
                at["delays"] += count
                if rule >= 0:
                    self.plastic.add_weights(found.weights, len(firsts) * (per_block - 1))
                else:
                    weights.append(found.weights)
                    at["weights"] += len(found.weights)
            for first, own_tables, own_plastic in zip(firsts, of_block, of_plastic, strict=True):
                begin = len(tables)
                tables.extend([*own_tables, *own_plastic])
                blocks.append(
                    _record(
                        ly.BLOCK,
                        part=self.parts_at[population.index] + first // cut.length,
                        first=population.first + first,
                        neurons=min(size, population.size - first),
                        tables=begin,
                        tables_end=begin + len(own_tables),
                        plastic_end=len(tables),
                    )
                )
        driven = DrivenNeurons(self.network, parts)
        return ly.Tables(
            parts=parts,
            blocks=np.array(blocks, ly.BLOCK),
            tables=np.array(tables, ly.TABLE),
            bias=driven.bias,
            resting=driven.resting,
            initial=np.concatenate([population.initial for population in self.network.populations]),
            start=self._start(),
            lanes=max([own.general.lanes for own in self.network.populations if own.general is not None], default=1),
            shared=shared,
            columns=columns,
            poisson=self.arrivals.tails,
            delays=_joined(delays, np.int64),
            pointers=_joined(pointers, np.int64),
            targets=_joined(targets, self.kind),
            weights=_joined(weights, np.int16),
            given=given_spikes(self.network, parts),
            changes=driven.changes,
            plastic=self.plastic.plastic(),
            rates=self.arrivals.rates(parts),
        )

    def _rule(self, projection: Projection) -> int:
        """The place of the rule by which a projection is plastic; -1: its weights are fixed."""
        plasticity, target = projection.plasticity, projection.target
        if plasticity is None:
            return -1
        self._integer(plasticity.Wmax, target, f"Wmax of {projection.name}")  # to tell what rounding makes of it
        targets = Targets(
            projection.index,
            target.index,
            target.first,
            target.size,
            projection.synapses.delays,
            self.exponents[target.index],
        )
        return self.plastic.add_rule(plasticity, projection.name, targets)

    def _parts(self) -> tuple[NDArray[np.void], NDArray[np.int64], NDArray[np.int32]]:
        """The parts, what general neurons share, and their columns."""
        table = np.zeros(self.parts_at[-1], ly.PART)
        shared, columns = [np.zeros((0, SHARED), np.int64)], [np.zeros((COLUMNS, 0), np.int32)]
        for population, cut in zip(self.network.populations, self.cuts, strict=True):
            model, general, exponent = population.model, population.general, self.exponents[population.index]
            self._tell_neurons(population)
            row = np.zeros(1, ly.PART)[0]
            row.population, row.begin = population.index, population.first
            row.shift = max(exponent - ONE_BITS, 0)
            row.poisson = -1
            if general is not None:
                row.kind = ly.KIND_GENERAL + KERNELS.index(general.kernels)
                row.shared, row.columns = len(shared) - 1, sum(own.shape[1] for own in columns)
                row.varies, row.lanes = general.varies, general.lanes
                shared.append(self._shared(population, general, exponent)[None])
                own = general.column_integers()
                columns.append(own if general.varies else np.repeat(own, ly.CHUNK, axis=1))
            else:
                lif = isinstance(model, LeakyIntegrateAndFire)
                row.kind = ly.KIND_SOURCE if population.source else ly.KIND_LIF if lif else ly.KIND_PROBABILISTIC
                for name, value in model.shared().items():
                    row[name] = value
            if population.poisson is not None:
                row.poisson, row.poisson_terms = self.arrivals.start(population)
                row.poisson_weight = self._integer(
                    population.poisson.weight, population, f"the Poisson weight of {population.name}"
                )
            for number, first in enumerate(range(0, population.size, cut.length)):
                row.first, row.neurons = population.first + first, min(cut.length, population.size - first)
                table[self.parts_at[population.index] + number] = row
        return table, np.concatenate(shared), np.concatenate(columns, axis=1)

    @staticmethod
    def _shared(population: Population, general: General, exponent: int) -> NDArray[np.int64]:
        try:
            return general.shared_integers(exponent)
        except InputError as error:
            raise InputError(f"{population.name}: {error}") from None

    def _start(self) -> NDArray[np.int32]:
        """What the variables of all neurons are at the start."""
        generals = [(own.part, own.general) for own in self.network.populations if own.general is not None]
        variables = max([general.variables for _, general in generals], default=0)
        start = np.zeros((variables, self.network.neurons), np.int32)
        for part, general in generals:
            for variable, own in general.start.items():
                start[variable, part] = own
        return start

    def _tell(self, line: str | None) -> None:
        if line is not None:
            self.told.append(line)

    def _tell_neurons(self, population: Population) -> None:
        """Say what rounding makes of the parameters of neurons, if it changes them a lot."""
        model = population.model
        if population.spikes is not None and population.merged:
            self._tell(
                f"{population.merged:,} of {len(population.spikes.steps) + population.merged:,} spikes given to "
                f"{population.name} are left out: their neuron fires in the same step already"
            )
        if isinstance(model, Probabilistic | LeakyIntegrateAndFire) and not population.source:
            self._tell(rd.told_bias(population.real_bias(), population.bias, population.name))
        for what in ("threshold", "reset"):
            if isinstance(model, LeakyIntegrateAndFire) and isinstance(getattr(model, what), float):
                self._tell(rd.told_number(getattr(model, what), f"{what} of {population.name}"))

    def _integer(self, weight: float, target: Population, what: str) -> int:
        """A single weight at the scale of the sums of its target."""
        exponent = self.exponents[target.index]
        integer = round(math.ldexp(weight, exponent))
        self._tell(rd.told_weight(weight, integer, exponent, what, self.reach[target.index]))
        return integer

    def _weight_parts(self, own: list[Projection]) -> Iterator[tuple[Projection, int | None, rd.Part]]:
        """What has a table in each block."""
        for projection in own:
            constant, parts = self._scales(projection)
            for part in parts:
                yield projection, constant, part

    def _scales(self, projection: Projection) -> tuple[int | None, list[rd.Part]]:
        """The weight of a projection in which all are equal, and the scales of one in which they differ."""
        synapses, target = projection.synapses, projection.target
        exponent, reach = self.exponents[target.index], self.reach[target.index]
        if projection.plasticity is not None:
            return None, [rd.Part(exponent, -1.0, math.inf)]
        if synapses.weight is not None:
            none = rd.Part(exponent, -1.0, math.inf)
            if not synapses.count(projection.source.size):
                return 0, [none]
            return self._integer(synapses.weight, target, f"the weight of {projection.name}"), [none]
        weights = np.concatenate(
            [
                np.zeros(0) if rows.weights is None else rows.weights
                for rows in synapses.rows(projection.source.size, target.size)
            ]
        )
        found = []
        for sign, own in _signs(target, weights):
            parts, changes = rd.split(own, float(np.abs(own).max(initial=0.0)), exponent)
            self._tell(rd.told_weights(changes, parts[-1].exponent, f"the weights of {projection.name}", reach))
            found += [part._replace(sign=sign) for part in parts]
        return None, found

    def _row(self, population: Population, own: list[Projection], size: int) -> float:
        """Mean number of synapses of a row in blocks of so many neurons."""
        rows = sum(p.source.size * len(p.synapses.delays) for p in own)
        synapses = sum(p.synapses.count(p.source.size) for p in own)
        return synapses / rows * min(1.0, size / population.size) if rows else 0.0

    def _cut(self, population: Population, own: list[Projection]) -> "_Cut":
        """Parts of equal size for the threads, and their blocks.

        A block has so few neurons that their drives stay in the cache, but rows should not become too short.
        """
        threads = max(1, min(self.threads, population.size // PART_SMALLEST))
        share = -(-population.size // threads)
        block, largest = ly.BLOCK_SMALLEST, min(share, self.largest)
        while block < largest and self._row(population, own, block) < ly.ROW_SYNAPSES:
            block *= 2
        if threads > 1:  # parts are whole blocks
            block = -(-share // -(-share // block))
            block = -(-block // ly.CHUNK) * ly.CHUNK
        length = -(-share // block) * block
        return _Cut(block, length, -(-population.size // length))

    def _reach(self, population: Population, own: list[Projection]) -> float:
        """All that can reach a neuron in one step, in magnitudes of weights."""
        total = np.zeros(population.size)
        for projection in own:
            synapses, sums = projection.synapses, np.zeros(population.size, np.int64)
            plastic = projection.plasticity
            largest = synapses.largest if plastic is None else abs(plastic.Wmax)
            equal = synapses.weight is not None or plastic is not None
            scale = min(32 - math.frexp(largest)[1], 1000)
            for rows in synapses.rows(projection.source.size, population.size):
                given = np.zeros(0) if equal or rows.weights is None else rows.weights
                build.add_magnitudes(rows.pointers, rows.targets, given, 2.0**scale, sums)
            with np.errstate(over="ignore"):
                total += sums * largest if equal else rd.scaled(sums.astype(np.float64), -scale)
        weights, arrivals = float(total.max(initial=0.0)), self.arrivals.most[population.index]
        poisson = 0.0 if population.poisson is None else abs(population.poisson.weight)
        rd.check_reach(weights, arrivals, poisson, population.name, population.reach_limit)
        return weights + arrivals * poisson

    def _sorted(self, projection: Projection, part: rd.Part, size: int, blocks: int) -> "_Sorted":
        """The synapses of a projection with weights of one scale, sorted by block, source neuron and delay."""
        synapses, source = projection.synapses, projection.source
        count = len(synapses.delays)
        delay_at = np.zeros(int(synapses.delays.max(initial=0)) + 1, np.int64)
        delay_at[synapses.delays] = np.arange(count)
        rows_at = np.arange(blocks, dtype=np.int64) * (source.size * count + 1)
        pointers = np.zeros(blocks * (source.size * count + 1), np.int64)
        layout = build.TableLayout(delay_at, count, size, rows_at)
        for rows, _ in _rows(projection, part):
            build.count_rows(rows, layout, pointers)
        # each block's last entry counts nothing: the exclusive sums of a block end where the next one begins
        np.cumsum(pointers, out=pointers)
        total = int(pointers[-1]) if len(pointers) else 0
        pointers[1:] = pointers[:-1].copy()
        pointers[:1] = 0
        targets = np.empty(total, self.kind)
        plastic = projection.plasticity
        weights: NDArray[Any]
        if plastic is None:
            weights = np.empty(total if synapses.weight is None else 0, np.int16)
        else:
            weights = np.empty(total, np.int32)
        next_at = pointers.copy()
        for rows, values in _rows(projection, part):
            if plastic is not None:
                given = np.full(len(rows.targets), synapses.weight) if values is None else values
                integers: NDArray[Any] = weight_integers(given, plastic, projection.name)
            else:
                integers = np.zeros(0, np.int16) if values is None else part.integers(values)
            build.fill_rows(rows, integers, layout, next_at, targets, weights)
        if plastic is not None:
            sort_rows(pointers, targets, weights)
        return _Sorted(pointers, targets, weights)


class _Cut(NamedTuple):
    """How a population is cut."""

    block: int  # neurons of a block
    length: int  # neurons of a part, a multiple of them
    parts: int


@dataclass(frozen=True)
class _Sorted:
    pointers: NDArray[np.int64]
    targets: NDArray[Any]
    weights: NDArray[Any]  # int16; int32 of plastic synapses


def _joined(parts: list[NDArray[Any]], kind: Any) -> NDArray[Any]:
    """One array of all parts; a single part is not copied."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([np.zeros(0, kind), *parts])


def _record(dtype: np.dtype[Any], **fields: int) -> tuple[int, ...]:
    """The fields of a record in their order; all must be given."""
    return tuple(fields[name] for name in dtype.names or ())


def _rows(projection: Projection, part: rd.Part) -> Iterator[tuple[build.SynapseRows, NDArray[np.float64] | None]]:
    """The rows of a projection, of those synapses whose weights are of one scale, and these weights if they differ."""
    everything = part.above < 0.0 and part.largest >= projection.synapses.largest and not part.sign
    first, none = 0, np.zeros(0, np.int64)
    for rows in projection.synapses.rows(projection.source.size, projection.target.size):
        pointers, targets, weights = rows.pointers, rows.targets, rows.weights
        delays = none if rows.delays is None else rows.delays
        if weights is not None and not everything:
            kept = part.of(weights)
            pointers = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[pointers]
            targets, weights = targets[kept], weights[kept]
            delays = delays[kept] if len(delays) else delays
        yield build.SynapseRows(first, pointers, targets, delays), weights
        first += len(pointers) - 1


def _signs(target: Population, weights: NDArray[np.float64]) -> list[tuple[int, NDArray[np.float64]]]:
    """All weights, or those of excitation and those of inhibition if they have sums of their own."""
    below = weights < 0
    if target.general is None or target.general.lanes == 1:
        return [(0, weights)]
    both = [(1, weights[~below]), (-1, weights[below])]
    return [own for own in both if len(own[1])] or both[:1]
