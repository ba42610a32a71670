"""The general neurons of sparse networks again, from their definitions: integers of Python, one by one.

Potentials are integers, 1 mV (or 1.0) = 2**16. A neuron is moved in every step, whether anything arrives or not. What a
shift by b bits cuts off is carried by the first b binary digits of a fraction that depends on the step alone:

    L  the number of the step in reverse order (leaks and potentials)
    G  step / golden ratio (arrivals, and what decays)
    H  step / plastic number (currents of the alpha form)

A time constant of T steps is a rate, round((1 - exp(-1 / T)) 2**31).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sparse_reference import firing_bits, integer_weights

ONE = 2**16
TOP = 2**31


def digits(step: int, which: str, bits: int) -> int:
    """The first binary digits of a fraction."""
    if which == "L":
        whole = int(f"{step % TOP:031b}"[::-1], 2) << 1
    else:
        whole = step * {"G": 2654435769, "H": 3242174889}[which] % 2**32
    return whole << (bits - 32) if bits > 32 else whole >> (32 - bits)


def rate(tau: float) -> int:
    """Of a time constant in steps."""
    return round((1 - math.exp(-1 / tau)) * TOP)


def held(value: int) -> int:
    """Within the range."""
    return min(max(value, -(2**30)), 2**30)


def decayed(value: int, tau: float, t: int) -> int:
    """On its way to 0."""
    return value - (value * rate(tau) + digits(t, "G", 31) >> 31)


def from_current(tau: float, own: float) -> float:
    """The integral over a step of a current that decays from 1, seen by a membrane."""
    x = 1 / own - 1 / tau
    return math.exp(-1 / tau) * (1.0 if abs(x) < 1e-9 else -math.expm1(-x) / x)


def from_rise(tau: float, own: float) -> float:
    """The same of one that rises from 0 by 1 a step and decays."""
    x = 1 / own - 1 / tau
    return math.exp(-1 / tau) * (0.5 - x / 3 if abs(x) < 1e-9 else (1 - (1 + x) * math.exp(-x)) / x**2)


def bits_of(tau: float) -> int:
    """Bits by which what is summed up over a time is finer."""
    return max(0, math.ceil(math.log2(tau)))


@dataclass
class Sums:
    """Weights as integers, and how their sums become what is added: for excitation and inhibition, or for both."""

    weights: list[list[int]]  # by neuron and source
    exponent: int

    @classmethod
    def of(cls, weights: list[list[float]], gains: tuple[float, ...]) -> "Sums":
        """The finest sums that stay below 2**30, and no finer than 2**-28 of what they are added to."""
        exponent = 28 + math.floor(math.log2(max(map(abs, gains))))
        while max(sum(map(abs, row)) for row in weights) * 2.0**exponent >= 2**30:
            exponent -= 1
        flat = [weight for row in weights for weight in row]
        integers = [0] * len(flat)
        for sign in (1, -1) if len(gains) == 2 else (0,):
            own = [i for i, weight in enumerate(flat) if not sign or (weight < 0) == (sign < 0)]
            for i, integer in zip(own, integer_weights([flat[i] for i in own], exponent), strict=True):
                integers[i] = integer
        columns = len(weights[0])
        return cls([integers[i : i + columns] for i in range(0, len(flat), columns)], exponent)


def added(total: int, gain: float, exponent: int, t: int) -> int:
    """What a sum of weights adds."""
    if not total:
        return 0
    fraction, power = math.frexp(math.ldexp(gain, -exponent))
    bits = 30 - power
    return total * round(math.ldexp(fraction, 30)) + digits(t, "G", bits) >> bits


@dataclass
class Neuron:
    """A neuron; `given` are its parameters, times in steps."""

    kind: str
    given: dict[str, Any]
    exponent: int = 0
    v: int = 0
    refractory: int = 0
    theta: int = 0
    x: dict[str, int] = field(default_factory=dict)

    def gains(self) -> tuple[float, ...]:
        """What a weight of 1 adds, of excitation and of inhibition."""
        g = self.given
        if self.kind in ("delta", "probabilistic", "izhikevich"):
            return (float(ONE),)
        if self.kind == "cond":
            return 2.0**30 / g["C"], -(2.0**30) / g["C"]
        fine = 2.0 ** (16 + bits_of(g["tau_widest"]))
        if self.kind == "exp":
            return fine / g["C"], fine / g["C"]
        finer = 2.0 ** bits_of(max(g["tau_ex"], g["tau_in"]))
        return tuple(math.e * fine * finer / g["C"] / g[tau] for tau in ("tau_ex", "tau_in"))

    def step(self, t: int, sums: list[int], bits: Callable[[], int]) -> bool:
        """Whether it fires; sums: of excitation and inhibition, or of all weights; bits: draws 16 random ones."""
        g, gains = self.given, self.gains()
        new = [added(total, gain, self.exponent, t) for total, gain in zip(sums, gains, strict=True)]
        self.theta = decayed(self.theta, g.get("tau_sfa", 1e9), t)
        v, free = getattr(self, self.kind)(t, new, any(sums)), not self.refractory
        self.v = v if free or self.kind in ("probabilistic", "izhikevich") else self.v
        if not free:
            self.refractory -= 1
            return False
        p = min(max(self.v, 0), ONE - 1) if self.kind == "probabilistic" else self.p(t)
        fires = p == ONE or (p > 0 and bits() < p)
        if fires:
            self.v = g.get("reset", self.v)
            self.refractory = g.get("refractory", 0)
            self.theta += g.get("q_sfa", 0)
            if self.kind == "izhikevich":
                self.x["u"] += g["d"]
        return fires

    def p(self, t: int) -> int:
        """In units of 2**-16, and 2**16 where it is certain."""
        excess = self.v - self.given["threshold"] - self.theta
        width = self.given.get("width", 0.0)
        if width == 0:
            return ONE if excess >= 0 else 0
        excess = min(max(excess, 0), math.ceil(width * ONE))
        return min(excess * round(2**32 / width) + digits(t, "G", 32) >> 32, ONE - 1)

    def delta(self, t: int, new: list[int], arrived: bool) -> int:
        """Jumps."""
        g = self.given
        return held(self.v + ((g["rest"] - self.v) * rate(g["tau"]) + digits(t, "L", 31) >> 31) + new[0])

    def probabilistic(self, t: int, new: list[int], arrived: bool) -> int:
        """A low pass."""
        g = self.given
        return self.v + ((g["rest"] + new[0] - self.v) * rate(g["tau"]) + digits(t, "L", 31) >> 31)

    def exp(self, t: int, new: list[int], arrived: bool) -> int:
        """Currents that decay."""
        g, change = self.given, digits(t, "L", 31)
        fine = bits_of(g["tau_widest"])
        for name, own in zip(("ex", "in"), new, strict=True):
            tau, before = g[f"tau_{name}"], self.x.get(name, 0)
            change += before * round(from_current(g["tau"], tau) * 2 ** (31 - fine))
            self.x[name] = held(decayed(before, tau, t) + own)
        return held(self.v + ((g["rest"] - self.v) * rate(g["tau"]) + change >> 31))

    def alpha(self, t: int, new: list[int], arrived: bool) -> int:
        """Currents that rise and decay."""
        g, change = self.given, digits(t, "L", 31)
        fine, finer = bits_of(g["tau_widest"]), bits_of(max(g["tau_ex"], g["tau_in"]))
        for name, own in zip(("ex", "in"), new, strict=True):
            tau, before, rise = g[f"tau_{name}"], self.x.get(name, 0), self.x.get("rise" + name, 0)
            change += before * round(from_current(g["tau"], tau) * 2 ** (31 - fine))
            change += rise * round(from_rise(g["tau"], tau) * 2 ** (31 - fine - finer))
            passed = rise * round(math.exp(-1 / tau) * 2 ** (31 - finer)) - before * rate(tau)
            self.x[name] = held(before + (passed + digits(t, "H", 31) >> 31))
            self.x["rise" + name] = held(decayed(rise, tau, t) + own)
        return held(self.v + ((g["rest"] - self.v) * rate(g["tau"]) + change >> 31))

    def cond(self, t: int, new: list[int], arrived: bool) -> int:
        """Conductances that decay, by the trapezoidal rule."""
        g, v = self.given, self.v
        leak = round(2**30 / g["tau"])
        flow, total = leak * (g["rest"] - v), leak
        for name, own in zip(("ex", "in"), new, strict=True):
            tau, before = g[f"tau_{name}"], self.x.get(name, 0)
            mean = before * round(-math.expm1(-1 / tau) * tau * TOP) >> 31
            flow, total = flow + mean * (g[f"E_{name}"] - v), total + mean
            self.x[name] = held(decayed(before, tau, t) + own)
        divisor = 2**30 + total // 2
        return held(v + (flow + (divisor * digits(t, "L", 31) >> 31)) // divisor)

    def izhikevich(self, t: int, new: list[int], arrived: bool) -> int:
        """Of 2003, by Euler's method."""
        g, v, u = self.given, self.v, self.x["u"]
        dt = g["dt"]
        square = v * v + digits(t, "G", 20) >> 20
        drive = square * round(0.04 * dt * 2**32) + v * round(5 * dt * 2**28) + round(140 * dt * 2**44)
        drive += (g["rest"] - u) * round(dt * 2**28)
        moved = min(max(v + (drive + digits(t, "L", 28) >> 28) + new[0], -(2**26)), 2**26)
        change = v * round(g["a"] * g["b"] * dt * TOP) - u * round(g["a"] * dt * TOP)
        self.x["u"] = u + (change + digits(t, "G", 31) >> 31)
        point = g.get("fixed_point")
        if point and not arrived and abs(moved - point[0]) <= 2 and abs(self.x["u"] - point[1]) <= 2:
            moved, self.x["u"] = point
        return moved


def simulate(neurons: list[Neuron], weights: list[list[float]], fired: Any, steps: int, seed: int) -> Any:
    """Potentials (steps, neurons) and spikes (step, neuron); fired: (steps, sources), of population 0, delay 1."""
    sums = Sums.of(weights, neurons[0].gains())
    two = len(neurons[0].gains()) == 2
    traces, spikes = [], []
    for neuron in neurons:
        neuron.exponent = sums.exponent
    for t in range(steps):
        for i, neuron in enumerate(neurons):
            own = [weight for weight, one in zip(sums.weights[i], fired[t - 1], strict=True) if t and one]
            totals = [sum(w for w in own if w > 0), sum(w for w in own if w < 0)] if two else [sum(own)]
            if neuron.step(t, totals, partial(firing_bits, i, t, 0, 1, seed)):
                spikes.append((t, i))
        traces.append([neuron.v for neuron in neurons])
    return traces, spikes
