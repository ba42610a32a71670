"""Sparse networks again, slow and obvious: plain Python over neurons and synapses, nothing shared with the package.

Step t = 0, 1, ... of a neuron that is *active*:

    s       = sum of the weights of the spikes that were fired d steps ago over synapses of delay d, rounded to 2**-16
    V'      = V + ((u + s - V) >> leak)           probabilistic
    V'      = V + ((u - V) >> leak) + s           leaky integrate-and-fire, unless it is refractory: then V' = V
    p       = clip(V', 0, 65535), or of (V' - threshold) * slope / 2**16; 0 while refractory
    fires if 16 random bits < p; a leaky integrate-and-fire neuron is then reset

After a step without arrivals it rests if V would stay as it is without them. A resting neuron with p > 0 fires after
the smallest n with 1 - q**n > U, q = 1 - p / 2**16. It becomes active when s is not zero, and its waiting time is
forgotten.
"""

from dataclasses import dataclass, field

import numpy as np
from reference import philox

ONE = 2**16


def word(counter: int, step: int, trial: int, population: int, stream: int, seed: int) -> list[int]:
    """Four random words."""
    return [int(w) for w in philox(np.array([[counter, step, trial, population * 2**24 + stream]]), seed)[0]]


def firing_bits(local: int, step: int, trial: int, population: int, seed: int) -> int:
    """16 random bits of a neuron in a step."""
    one = word(local // 8, step, trial, population, 0, seed)[local % 8 // 2]
    return one >> 16 if local % 2 else one & 0xFFFF


def waiting_time(p: int, uniform: float) -> int:
    """Smallest n with 1 - q**n > uniform."""
    n, q = 1, 1 - p / ONE
    while q**n >= 1 - uniform:
        n += 1
    return n


@dataclass
class Cells:
    """A population."""

    size: int
    leak: int
    bias: list[int]
    lif: tuple[int, int, int, int] | None = None  # threshold, slope, reset, refractory steps
    shift: int = 0
    poisson: tuple[list[int], int] | None = None  # cumulative probabilities, drive of an arrival


@dataclass
class Synapse:
    """One synapse; weight as an integer."""

    source: tuple[int, int]  # population, neuron
    target: tuple[int, int]
    weight: int
    delay: int


@dataclass
class Trial:
    """A run from rest."""

    cells: list[Cells]
    synapses: list[Synapse]
    seed: int
    number: int = 0
    fired: list[set[tuple[int, int]]] = field(default_factory=list)  # by step
    events: int = 0

    def __post_init__(self) -> None:
        names = [(k, i) for k, own in enumerate(self.cells) for i in range(own.size)]
        self.v = dict.fromkeys(names, 0)
        self.refractory = dict.fromkeys(names, 0)
        self.resting = dict.fromkeys(names, False)
        self.due: dict[tuple[int, int], int] = {}

    def p(self, name: tuple[int, int]) -> int:
        v, lif = self.v[name], self.cells[name[0]].lif
        if lif is None:
            return min(max(v, 0), ONE - 1)
        return min(max((v - lif[0]) * lif[1] >> 16, 0), ONE - 1)

    def moved(self, name: tuple[int, int], s: int) -> int:
        own = self.cells[name[0]]
        v, u = self.v[name], own.bias[name[1]]
        if own.lif is None:
            return v + (u + s - v >> own.leak)
        return v + (u - v >> own.leak) + s

    def fire(self, name: tuple[int, int]) -> None:
        self.fired[-1].add(name)
        lif = self.cells[name[0]].lif
        if lif is not None:
            self.v[name], self.refractory[name] = lif[2], lif[3]

    def try_to_rest(self, name: tuple[int, int], t: int, arrived: bool) -> None:
        still = not arrived and self.moved(name, 0) == self.v[name] and not self.refractory[name]
        self.resting[name] = still and self.cells[name[0]].poisson is None
        self.due.pop(name, None)
        if self.resting[name] and self.p(name):
            w = word(name[1], t, self.number, name[0], 1, self.seed)
            self.due[name] = t + waiting_time(self.p(name), ((w[0] >> 5) * 2**26 + (w[1] >> 6)) / 2**53)

    def step(self, t: int) -> None:
        sums = dict.fromkeys(self.v, 0)
        for synapse in self.synapses:
            if t >= synapse.delay and synapse.source in self.fired[t - synapse.delay]:
                sums[synapse.target] += synapse.weight
                self.events += 1
        self.fired.append(set())
        for name, total in sums.items():
            own = self.cells[name[0]]
            if total:
                self.resting[name] = False
                self.due.pop(name, None)
            if self.resting[name]:
                if self.due.get(name) == t:
                    self.fire(name)
                    self.try_to_rest(name, t, False)
                continue
            s = total << -own.shift if own.shift <= 0 else total + (1 << own.shift - 1) >> own.shift
            p = 0
            if self.refractory[name]:
                self.refractory[name] -= 1
            else:
                if own.poisson is not None:
                    drawn = word(name[1] // 4, t, self.number, name[0], 2, self.seed)[name[1] % 4]
                    s += sum(drawn >= limit for limit in own.poisson[0]) * own.poisson[1]
                self.v[name] = self.moved(name, s)
                p = self.p(name)
            if firing_bits(name[1], t, self.number, name[0], self.seed) < p:
                self.fire(name)
            self.try_to_rest(name, t, total != 0)
