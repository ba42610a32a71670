"""Sparse networks again, slow and obvious: plain Python over neurons and synapses, nothing shared with the package.

Step t = 0, 1, ... of a neuron that is *active*:

    S       = sum of the weights of the spikes that were fired d steps ago over synapses of delay d, and of its Poisson
              arrivals, an integer with 1.0 = 2**(16 + shift)
    s       = (S + E(shift)) >> shift
    V'      = V + ((u + s - V + D) >> leak)           probabilistic
    V'      = V + ((u - V + D) >> leak) + s           leaky integrate-and-fire, unless it is refractory: then V' = V;
                                                      within -2**30 .. 2**30
    p       = clip(V', 0, 65535), or of ((V' - threshold) * slope + E(32)) >> 32; 0 while refractory
    fires if 16 random bits < p; a leaky integrate-and-fire neuron is then reset

D, the lowest `leak` bits of t in reverse order, and E(b), the first b binary digits of the fraction of t / golden ratio
(of 32), carry what the shifts cut off. After a step without arrivals a neuron rests if V = u. A resting neuron that can
fire does so after the smallest n with 1 - (1 - P)**n > U, where P, its probability, is a real number. It becomes active
when the sum of what arrives over synapses is not zero; its waiting time is forgotten. A source rests from step -1 on.

Where u or P are others in step t than in the step before, a neuron is active again, and a source draws its waiting time
as in step t - 1. A source whose spikes are given fires in their steps.
"""

import math
from collections.abc import Callable
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


def leak_dither(step: int, leak: int) -> int:
    """The lowest bits of the step in reverse order."""
    return int(f"{step % 2**leak:0{leak}b}"[::-1], 2) if leak else 0


def sum_dither(step: int, bits: int) -> int:
    """The first binary digits of the fraction of step / golden ratio."""
    return step * 2654435769 % 2**32 >> (32 - bits)


def waiting_time(p: float, uniform: float) -> int:
    """Smallest n with 1 - (1 - p)**n > uniform, by a logarithm; 2**33 is never."""
    if p == 1.0:
        return 1
    n = max(1, int(min(math.log1p(-uniform) / math.log1p(-p), 2.0**33)) - 1)
    if n > 2**32:
        return 2**33
    while -math.expm1(n * math.log1p(-p)) <= uniform:
        n += 1
    return n


def integer_weights(weights: list[float], exponent: int) -> list[int]:
    """Weights of a projection at the scale of the sums, 1.0 = 2**exponent.

    If they differ, they are integers of 16 bits at a scale of their own that are shifted; if that would change them by
    more than a thousandth on average, those below 2**-8 of the largest have another, and so on, up to five.
    """
    if len(set(weights)) == 1:
        return [round(weights[0] * 2.0**exponent)] * len(weights)
    found = [0] * len(weights)
    left = [i for i, weight in enumerate(weights) if weight]
    for last in (False, False, False, False, True):
        if not left:
            break
        largest = max(abs(weights[i]) for i in left)
        own = exponent
        while round(largest * 2.0**own) > 2**15 - 1:
            own -= 1
        rounded = {i: round(weights[i] * 2.0**own) for i in left}
        changed = sum(min(abs(rounded[i] / 2.0**own / weights[i] - 1), 1) for i in left) / len(left)
        below = [i for i in left if abs(weights[i]) <= largest / 256]
        done = last or own == exponent or changed <= 0.001
        for i in left if done else set(left) - set(below):
            found[i] = rounded[i] << exponent - own
        left = [] if done else below
    return found


@dataclass
class Cells:
    """A population."""

    size: int
    leak: int
    bias: list[int]
    resting: list[float]  # probability of a spike at rest
    lif: tuple[int, int, int, int] | None = None  # threshold, slope, reset, refractory steps
    shift: int = 0
    poisson: tuple[Callable[[int], list[float]], int] | None = None  # of a step: probabilities of more than 0, 1, ..
    # arrivals; and the weight of one
    source: bool = False
    given: set[tuple[int, int]] = field(default_factory=set)  # steps and neurons of spikes
    course: Callable[[int], tuple[list[int], list[float]]] | None = None  # bias and resting of each step


@dataclass
class Synapse:
    """One synapse; weight as an integer."""

    source: tuple[int, int]  # population, neuron
    target: tuple[int, int]
    weight: int
    delay: int
    projection: int = 0


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
        for k, i in names:
            if self.cells[k].source:
                self.v[k, i] = self.cells[k].bias[i]
                self.try_to_rest((k, i), -1, False)

    def p(self, name: tuple[int, int], t: int) -> int:
        v, lif = self.v[name], self.cells[name[0]].lif
        if lif is None:
            return min(max(v, 0), ONE - 1)
        return min(max(v - lif[0], 0) * lif[1] + sum_dither(t, 32) >> 32, ONE - 1)

    def moved(self, name: tuple[int, int], t: int, total: int) -> int:
        own = self.cells[name[0]]
        v, u, dither = self.v[name], own.bias[name[1]], leak_dither(t, own.leak)
        s = total + sum_dither(t, own.shift) >> own.shift
        if own.lif is None:
            return v + (u + s - v + dither >> own.leak)
        return min(max(v + (u - v + dither >> own.leak) + s, -(2**30)), 2**30)

    def fire(self, name: tuple[int, int]) -> None:
        self.fired[-1].add(name)
        lif = self.cells[name[0]].lif
        if lif is not None:
            self.v[name], self.refractory[name] = lif[2], lif[3]

    def try_to_rest(self, name: tuple[int, int], t: int, arrived: bool) -> None:
        own = self.cells[name[0]]
        still = not arrived and self.v[name] == own.bias[name[1]] and not self.refractory[name]
        self.resting[name] = still and own.poisson is None
        self.due.pop(name, None)
        if self.resting[name] and own.resting[name[1]] > 0.0:
            w = word(name[1], t % 2**32, self.number, name[0], 1, self.seed)
            uniform = min(w[0] / 2**32 + w[1] / 2**64, 1 - 2**-53)
            self.due[name] = t + waiting_time(own.resting[name[1]], uniform)

    def change(self, t: int) -> None:
        for k, own in enumerate(self.cells):
            if own.course is None or not t:
                continue
            before, now = own.course(t - 1), own.course(t)
            own.bias, own.resting = now
            for i in range(own.size):
                if (before[0][i], before[1][i]) == (now[0][i], now[1][i]):
                    continue
                if own.source:
                    self.try_to_rest((k, i), t - 1, False)
                else:
                    self.resting[k, i] = False
                    self.due.pop((k, i), None)

    def step(self, t: int) -> None:
        self.change(t)
        sums = dict.fromkeys(self.v, 0)
        for synapse in self.synapses:
            if t >= synapse.delay and synapse.source in self.fired[t - synapse.delay]:
                sums[synapse.target] += synapse.weight
                self.events += 1
        self.fired.append(set())
        for name, total in sums.items():
            own = self.cells[name[0]]
            if (t, name[1]) in own.given:
                self.fire(name)
            if total:
                self.resting[name] = False
                self.due.pop(name, None)
            if self.resting[name]:
                if self.due.get(name) == t:
                    self.fire(name)
                    self.try_to_rest(name, t, False)
                continue
            p, everything = 0, total
            if self.refractory[name]:
                self.refractory[name] -= 1
            else:
                if own.poisson is not None:
                    drawn = word(name[1] // 4, t, self.number, name[0], 2, self.seed)[name[1] % 4]
                    everything += sum(drawn / 2**32 < tail for tail in own.poisson[0](t)) * own.poisson[1]
                self.v[name] = self.moved(name, t, everything)
                p = self.p(name, t)
            if firing_bits(name[1], t, self.number, name[0], self.seed) < p:
                self.fire(name)
            self.try_to_rest(name, t, total != 0)
