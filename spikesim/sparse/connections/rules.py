"""Rules by which the neurons of two populations are connected, under the names that NEST has for them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.runtime.free_memory import require_memory
from spikesim.sparse.connections import drawn
from spikesim.sparse.connections.distributions import Distribution, Values, delay_values, set_fields, weight_values
from spikesim.sparse.connections.synapses import RandomSynapses, Synapses

Weight = float | NDArray[Any] | Distribution
Delay = int | tuple[int, int] | NDArray[Any] | Distribution
NUMBER_MAX = 2**31 - 1
LARGEST = 2**40
"""Synapses of a rule."""
TABLE_BYTES, SORTING_BYTES = 2, 24
"""At least, of a synapse: in the tables, and while it is sorted by its source neuron."""


@dataclass(frozen=True, eq=False)
class Rule:
    """What all rules have.

    Attributes
    ----------
    weight : float, array or distribution
        Of each synapse. An array has a value for each synapse, in the shape that the rule says.
    delay : int, (int, int), array or distribution
        Steps. Of a pair, all from the first to the last are equally probable; what a distribution gives is rounded to
        the nearest step.
    seed : int, optional
        0 .. 2**64 - 1. Unless it is given, `Network.connect` chooses one that no other pattern of the network has.

    Raises
    ------
    InputError
        A value out of range.
    """

    weight: Weight = field(kw_only=True)
    delay: Delay = field(kw_only=True, default=1)
    seed: int | None = field(kw_only=True, default=None)

    def __post_init__(self) -> None:
        set_fields(self, seed=None if self.seed is None else integer(self.seed, "seed", 0, 2**64 - 1))
        weight_values(self.weight)
        delay_values(self.delay)
        for name in ("allow_self_connections", "allow_multiple"):
            value = getattr(self, name, True)
            if not isinstance(value, bool | np.bool_):
                raise InputError(f"{name} is {shown(value)}; it must be true or false")

    def bind(self, sources: int, targets: int, recurrent: bool, seed: int) -> Synapses:
        """The synapses of this rule between populations of these sizes.

        Parameters
        ----------
        recurrent : bool
            Both are the same population: neurons of the same number are one neuron.
        seed : int
            In place of one of its own.

        Raises
        ------
        InputError
            There cannot be such synapses, values are for another number of them, or there is not enough memory.
        """
        omit_self = recurrent and not getattr(self, "allow_self_connections", True)
        shape = (sources, targets)
        expected = self._expected(shape, omit_self)
        if expected > LARGEST:
            raise InputError(f"{type(self).__name__} makes about {expected:,} synapses; at most {LARGEST:,} can be")
        each = TABLE_BYTES if self._streams else SORTING_BYTES
        require_memory(
            {f"about {expected:,} synapses of {type(self).__name__}": each * expected},
            "lower the numbers of neurons or synapses, or use a machine with more memory",
        )
        return self._bind(shape, omit_self, seed if self.seed is None else self.seed)

    _streams = True
    """Whether it is drawn source neuron by source neuron; else its synapses are sorted once."""

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        raise NotImplementedError

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        raise NotImplementedError

    def _values(self, wanted: tuple[int, ...] | None, order: Any = None) -> tuple[Values, Values]:
        """Weights and delays; arrays must have the wanted shape, and `order` puts them into that of the synapses."""
        found = []
        for name, values in (("weight", weight_values(self.weight)), ("delay", delay_values(self.delay))):
            if values.array is not None:
                rule = type(self).__name__
                if wanted is None:
                    raise InputError(
                        f"{name} of {rule} is an array, and how many synapses there are is random; give a number or a "
                        "distribution"
                    )
                if values.array.shape != wanted:
                    raise InputError(
                        f"{name} of {rule} is an array of shape {values.array.shape}; it must have {wanted}"
                    )
                values = Values(array=values.array.reshape(-1) if order is None else order(values.array))
            found.append(values)
        return found[0], found[1]


@dataclass(frozen=True, eq=False)
class PairwiseBernoulli(Rule):
    """Every pair of neurons is connected with the same probability, once; `pairwise_bernoulli` in NEST.

    Drawn by the gaps between synapses: the cost is that of the synapses, whatever the number of pairs.

    Attributes
    ----------
    p : float
        0 .. 1.
    allow_self_connections : bool
        Whether a neuron may be connected to itself ("autapses").
    weight, delay, seed
        As for all rules; no arrays.
    """

    p: float
    allow_self_connections: bool = field(kw_only=True, default=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, p=real(self.p, "p"))
        if not 0 <= self.p <= 1:
            raise InputError(f"p is {self.p:g}; it must be in 0 .. 1")

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return round(self.p * shape[0] * shape[1])

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        pairs = drawn.Bernoulli(self.p, shape, omit_self, seed)
        return drawn.DrawnSynapses(pairs, shape, *self._values(None), seed)


@dataclass(frozen=True, eq=False)
class FixedInDegree(Rule):
    """Every target neuron has so many synapses, from source neurons drawn at random; `fixed_indegree` in NEST.

    Attributes
    ----------
    indegree : int
    allow_self_connections, allow_multiple : bool
        Whether a neuron may be connected to itself ("autapses"), and to another one more than once ("multapses").
    weight, delay, seed
        As for all rules; arrays have the shape (targets, indegree), and the source neurons of each row ascend.
    """

    indegree: int
    allow_self_connections: bool = field(kw_only=True, default=True)
    allow_multiple: bool = field(kw_only=True, default=True)
    _streams = False

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, indegree=integer(self.indegree, "indegree", 0, NUMBER_MAX))

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return self.indegree * shape[1]

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        _require_partners(self.indegree, shape[0] - omit_self, self.allow_multiple, "indegree", "source neurons")
        pairs, places = drawn.in_degree(self.indegree, shape, omit_self, not self.allow_multiple, seed)
        values = self._values((shape[1], self.indegree), lambda array: array.reshape(-1)[places])
        return drawn.DrawnSynapses(pairs, shape, *values, seed)


@dataclass(frozen=True, eq=False)
class FixedOutDegree(Rule):
    """Every source neuron has so many synapses, onto target neurons drawn at random; `fixed_outdegree` in NEST.

    With one weight, a number or a pair of delays, and all connections allowed it draws what `RandomSynapses` draws.

    Attributes
    ----------
    outdegree : int
    allow_self_connections, allow_multiple : bool
        Whether a neuron may be connected to itself ("autapses"), and to another one more than once ("multapses").
    weight, delay, seed
        As for all rules; arrays have the shape (sources, outdegree), and the target neurons of each row ascend.
    """

    outdegree: int
    allow_self_connections: bool = field(kw_only=True, default=True)
    allow_multiple: bool = field(kw_only=True, default=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, outdegree=integer(self.outdegree, "outdegree", 0, NUMBER_MAX))

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return self.outdegree * shape[0]

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        number = self.outdegree
        _require_partners(number, shape[1] - omit_self, self.allow_multiple, "outdegree", "target neurons")
        weights, delays = self._values((shape[0], number))
        if self.allow_multiple and not omit_self and weights.constant is not None and delays.array is None:
            if not isinstance(self.delay, Distribution):
                return RandomSynapses(number, weights.constant, self.delay, seed)  # type: ignore[arg-type]
        pairs = drawn.OutDegree(number, shape, omit_self, not self.allow_multiple, seed)
        return drawn.DrawnSynapses(pairs, shape, weights, delays, seed)


@dataclass(frozen=True, eq=False)
class FixedTotalNumber(Rule):
    """So many synapses between pairs of neurons drawn at random; `fixed_total_number` in NEST.

    Attributes
    ----------
    number : int
    allow_self_connections, allow_multiple : bool
        Whether a neuron may be connected to itself ("autapses"), and to another one more than once ("multapses").
    weight, delay, seed
        As for all rules; arrays have the shape (number,), and go by source neuron, then by target neuron.
    """

    number: int
    allow_self_connections: bool = field(kw_only=True, default=True)
    allow_multiple: bool = field(kw_only=True, default=True)
    _streams = False

    def __post_init__(self) -> None:
        super().__post_init__()
        set_fields(self, number=integer(self.number, "number", 0, LARGEST))

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return self.number

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        cells = shape[0] * (shape[1] - omit_self)
        _require_partners(self.number, cells, self.allow_multiple, "number", "pairs of neurons")
        pairs = drawn.total_number(self.number, shape, omit_self, not self.allow_multiple, seed)
        return drawn.DrawnSynapses(pairs, shape, *self._values((self.number,)), seed)


@dataclass(frozen=True, eq=False)
class OneToOne(Rule):
    """Every source neuron has one synapse, onto the target neuron of its number; `one_to_one` in NEST.

    Attributes
    ----------
    weight, delay, seed
        As for all rules; arrays have the shape (neurons,).
    """

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return shape[0]

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        if shape[0] != shape[1]:
            raise InputError(
                f"OneToOne connects populations of the same size; these have {shape[0]} and {shape[1]} neurons"
            )
        return drawn.DrawnSynapses(drawn.SameNumber(shape[0]), shape, *self._values((shape[0],)), seed)


@dataclass(frozen=True, eq=False)
class AllToAll(Rule):
    """Every pair of neurons has one synapse; `all_to_all` in NEST.

    Attributes
    ----------
    allow_self_connections : bool
        Whether a neuron is connected to itself ("autapses").
    weight, delay, seed
        As for all rules; arrays have the shape (targets, sources), as matrices have; without self-connections their
        diagonal does not count.
    """

    allow_self_connections: bool = field(kw_only=True, default=True)

    def _expected(self, shape: tuple[int, int], omit_self: bool) -> int:
        return shape[0] * (shape[1] - omit_self)

    def _bind(self, shape: tuple[int, int], omit_self: bool, seed: int) -> Synapses:
        def by_source(array: NDArray[Any]) -> NDArray[Any]:
            rows = array.T
            return rows[~np.eye(len(rows), dtype=bool)] if omit_self else rows.reshape(-1)

        pairs = drawn.EveryPair(shape, omit_self)
        return drawn.DrawnSynapses(pairs, shape, *self._values((shape[1], shape[0]), by_source), seed)


def _require_partners(number: int, among: int, allow_multiple: bool, what: str, partners: str) -> None:
    """Refuse more synapses than there are neurons, or pairs of them, to choose from."""
    if number > among and not allow_multiple:
        raise InputError(
            f"{what} is {number}, and there are {among} {partners} to choose from; lower it, or allow_multiple=True"
        )
    if number and among < 1:
        raise InputError(f"{what} is {number}, and there are no {partners} to choose from; allow_self_connections=True")
