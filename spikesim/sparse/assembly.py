"""From a network to the tables of the compiled loop."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.fixedpoint import ONE, ONE_BITS, SHARE_LIMIT, weight_exponent
from spikesim.sparse import build
from spikesim.sparse import layout as ly
from spikesim.sparse.network import Network, Population, Projection
from spikesim.sparse.neurons import LeakyIntegrateAndFire


def assemble(network: Network) -> ly.Tables:
    """Lay out the tables.

    Raises
    ------
    InputError
        There are no neurons, or the weights into a neuron could drive it out of range.
    """
    if not network.populations:
        raise InputError("the network has no neurons; add a population")
    return _Layout(network).tables()


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
        short = any(
            population.size > ly.BLOCK_LARGEST and 0 < self._row(population, own, ly.BLOCK_LARGEST) < ly.ROW_SHORTEST
            for own, population in zip(self.incoming, network.populations, strict=True)
        )
        self.kind: Any = np.uint32 if short else np.uint16
        self.largest = network.neurons if short else ly.BLOCK_LARGEST

    def tables(self) -> ly.Tables:
        populations, poisson = self._populations()
        blocks: list[tuple[int, ...]] = []
        rows: list[list[int]] = []
        delays: list[NDArray[np.int64]] = []
        pointers: list[NDArray[np.int64]] = []
        targets: list[NDArray[Any]] = []
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
            targets=_joined(targets, self.kind),
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

    def _row(self, population: Population, own: list[Projection], size: int) -> float:
        """Mean number of synapses of a row in blocks of so many neurons."""
        rows = sum(p.source.size * len(p.synapses.delays) for p in own)
        synapses = sum(p.synapses.count(p.source.size) for p in own)
        return synapses / rows * min(1.0, size / population.size) if rows else 0.0

    def _block_size(self, population: Population, own: list[Projection]) -> int:
        """Neurons of a block: so few that their drives stay in the cache, but rows should not become too short."""
        size = ly.BLOCK_SMALLEST
        largest = min(population.size, self.largest)
        while size < largest and self._row(population, own, size) < ly.ROW_SYNAPSES:
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
        targets = np.empty(total, self.kind)
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
    targets: NDArray[Any]
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
