"""Rules of plasticity as integers: learning rates, decays and powers."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.neurons.multipliers import exps, scaled
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.stdp import STDP

Plasticity = STDP | Contrastive

FORGOTTEN = 22.3
"""Time constants after which a trace is below half a unit of the decay."""
TRACE_BITS = 31
MARGIN = 1.001
"""For what rounding adds to the largest trace."""
LN_2 = 0.6931471805599453
SHIFT_LARGEST = 62


class Targets(NamedTuple):
    """The targets of a plastic projection, and what a weight onto them becomes."""

    projection: int
    population: int
    begin: int  # number of the first one
    neurons: int
    delays: NDArray[np.int64]
    exponent: int  # of their sums


class PlasticBuilder:
    """Collects the rules of a network."""

    def __init__(self, dt: float | None) -> None:
        self._dt = dt
        self._rules: list[Any] = []
        self._sides: list[Any] = []
        self._decays: list[NDArray[np.int64]] = []
        self._powers: list[NDArray[np.int64]] = []
        self._weights: list[NDArray[np.int32]] = []
        self._posts = 0
        self.rows = 0
        """Of all plastic tables so far."""
        self.synapses = 0

    def add_rule(self, given: Plasticity, name: str, targets: Targets) -> int:
        """Add the rule of a projection; its place.

        Raises
        ------
        InputError
            A delay is shorter than its dendritic part, or a time constant too long.
        """
        own = np.zeros(1, ly.RULE)[0]
        own.projection, own.population, own.begin, own.neurons = targets[:4]
        own.posts, own.lag = self._posts, 1
        own.weight, own.weight_shift = _weight(math.ldexp(given.Wmax, targets.exponent))
        own.lowest = round(math.ldexp(given.Wmin / given.Wmax, ly.WEIGHT_BITS))
        if isinstance(given, STDP):
            self._add_stdp(own, given, name, targets)
        else:
            own.neurons = 0
            self._sides.extend(np.zeros(2, ly.SIDE))
        self._rules.append(own)
        return len(self._rules) - 1

    def _add_stdp(self, own: Any, stdp: STDP, name: str, targets: Targets) -> None:
        """Fill in how spikes move the weights."""
        own.dendritic = -1 if stdp.dendritic_delay is None else stdp.dendritic_delay
        shortest, longest = int(targets.delays.min(initial=2**31)), int(targets.delays.max(initial=1))
        if own.dendritic > shortest:
            raise InputError(
                f"dendritic_delay of {name} is {own.dendritic}, and it has a delay of {shortest}; no delay may be "
                "shorter than its dendritic part"
            )
        own.lag = max(2 * (longest if own.dendritic < 0 else own.dendritic), 1)
        own.moves, own.nearest = 1, stdp.pairing == "nearest"
        taus = stdp.steps(self._dt, name)
        rates = stdp.lambda_, stdp.alpha * stdp.lambda_
        for tau, rate, mu in zip(taus, rates, (stdp.mu_plus, stdp.mu_minus), strict=True):
            self._sides.append(self._side(tau, rate, mu, bool(own.nearest)))
        self._posts += targets.neurons

    def _side(self, tau: float, rate: float, mu: float, nearest: bool) -> Any:
        own = np.zeros(1, ly.SIDE)[0]
        bits = trace_bits(tau, nearest)
        own.one = 1 << bits
        fraction, exponent = math.frexp(rate)
        if rate:
            own.gain = round(math.ldexp(fraction, TRACE_BITS))
            own.shift = TRACE_BITS - exponent + bits - ly.WEIGHT_BITS
        else:
            own.shift = 1
        own.decays, own.coarse = sum(map(len, self._decays)), math.ceil(FORGOTTEN * tau / 2**ly.FINE_BITS) + 1
        steps = np.concatenate([np.arange(2**ly.FINE_BITS), np.arange(own.coarse) * 2**ly.FINE_BITS])
        self._decays.append(scaled(exps(-steps / tau), ly.DECAY_BITS))
        if mu in (0.0, 1.0):
            own.power = ly.POWER_0 if mu == 0.0 else ly.POWER_1
        else:
            own.power = sum(map(len, self._powers))
            self._powers.append(powers(mu))
        return own

    def add_weights(self, weights: NDArray[np.int32], rows: int) -> None:
        """Add the synapses of a projection, in the order of its tables, which have so many rows."""
        self._weights.append(weights)
        self.synapses += len(weights)
        self.rows += rows

    def plastic(self) -> ly.Plastic:
        """All rules."""
        return ly.Plastic(
            rules=_records(self._rules, ly.RULE),
            sides=_records(self._sides, ly.SIDE),
            decays=np.concatenate([np.zeros(0, np.int64), *self._decays]),
            powers=np.concatenate([np.zeros(0, np.int64), *self._powers]),
            weights=self._weights[0]
            if len(self._weights) == 1
            else np.concatenate([np.zeros(0, np.int32), *self._weights]),
            rows=self.rows,
        )


def _records(own: list[Any], kind: np.dtype[Any]) -> NDArray[np.void]:
    found = np.zeros(len(own), kind)
    for place, record in enumerate(own):
        found[place] = record
    return found


def trace_bits(tau: float, nearest: bool) -> int:
    """Exponent of the unit of a trace: the finest at which 31 bits hold that of a neuron which fires in every step."""
    most = 1.0 if nearest else 1.0 / -math.expm1(-1.0 / tau)
    return TRACE_BITS - math.frexp(most * MARGIN)[1]


def powers(mu: float) -> NDArray[np.int64]:
    """What x**mu is made of (`spikesim.sparse.engine.layout.Plastic.powers`)."""
    octaves = exps(-mu * LN_2 * np.arange(ly.WEIGHT_BITS, -1, -1.0))
    within = exps(mu * np.log(np.linspace(0.5, 1.0, 2**ly.POWER_BITS + 1)))
    return np.concatenate([scaled(octaves, ly.WEIGHT_BITS), scaled(within, ly.WEIGHT_BITS)])


def _weight(largest: float) -> tuple[int, int]:
    """What Wmax, in units of the sums, is multiplied by: a number of 31 bits and a shift."""
    fraction, exponent = math.frexp(largest)
    shift = TRACE_BITS - 1 - exponent + ly.WEIGHT_BITS
    if shift > SHIFT_LARGEST:
        fraction, shift = math.ldexp(fraction, SHIFT_LARGEST - shift), SHIFT_LARGEST
    return round(math.ldexp(fraction, TRACE_BITS - 1)), shift


def weight_integers(weights: NDArray[np.float64], plasticity: Plasticity, name: str) -> NDArray[np.int32]:
    """Weights as integers, Wmax = WEIGHT_ONE.

    Raises
    ------
    InputError
        One is not between Wmin and Wmax.
    """
    low, high = sorted((plasticity.Wmin, plasticity.Wmax))
    if not np.all((weights >= low) & (weights <= high)):
        raise InputError(
            f"the weights of {name} reach from {weights.min():.6g} to {weights.max():.6g}; with this plasticity they "
            f"must be in {low:g} .. {high:g} (Wmin, Wmax)"
        )
    return np.rint(np.ldexp(weights / plasticity.Wmax, ly.WEIGHT_BITS)).astype(np.int32)
