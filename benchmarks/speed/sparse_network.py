"""The network of `sparse.py`, and a process that runs it with spikesim."""

import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from spikesim.runtime.free_memory import peak_memory
from spikesim.sparse import STDP, Network, Population, Probabilistic, RandomSynapses, Simulation
from spikesim.sparse.connections.synapses import Rows

INHIBITION = 5.0
"""How much stronger an inhibitory synapse is than an excitatory one."""
SPREAD = 2.0
"""Standard deviation of the potentials, in units of the wanted rate."""
RESTING_BIAS = -0.1
"""Of neurons that nothing reaches: p = 0."""
WARM = 100
"""Steps before those that are measured."""


@dataclass(frozen=True)
class Spec:
    """A network and how long it runs, for either side.

    Attributes
    ----------
    rate : float
        Wanted share of the neurons that fire in a step.
    delay : (int, int)
        Steps, from and to.
    resting : int
        Neurons besides, which nothing reaches.
    place : str
        Of the resting neurons: "apart", in a population of their own, or in those of the others, at their "end" or
        "between" them (spikesim only).
    record : str
        File for the spikes of all steps, if any.
    folder : str
        Place for what the other side compiles.
    """

    neurons: int
    synapses: int
    rate: float
    delay: tuple[int, int]
    leak: int
    steps: int
    warm: int = WARM
    resting: int = 0
    place: str = "apart"
    record: str = ""
    folder: str = ""
    mode: str = "spikesim"
    seed: int = 0

    @property
    def excitatory(self) -> int:
        """Number of excitatory neurons."""
        return self.neurons * 4 // 5

    @property
    def weight(self) -> float:
        """Of an excitatory synapse: potentials vary by arrivals in time, and with the number of synapses."""
        low_pass = 2.0**-self.leak / (2 - 2.0**-self.leak)
        variance = self.synapses * (0.8 + 0.2 * INHIBITION**2) * (self.rate * low_pass + self.rate**2)
        return SPREAD * self.rate / math.sqrt(variance)

    @property
    def bias(self) -> float:
        """A potential that is normally distributed must be positive by `rate` on average, on top of what arrives."""

        def excess(mean: float) -> float:
            return float(SPREAD * stats.norm.pdf(mean / SPREAD) + mean * stats.norm.cdf(mean / SPREAD)) - 1.0

        mean = self.rate * float(optimize.brentq(excess, -10 * SPREAD, 10 * SPREAD))
        return mean - self.synapses * self.rate * self.weight * (0.8 - 0.2 * INHIBITION)

    @property
    def inhibition(self) -> float:
        """How much stronger an inhibitory synapse is than an excitatory one."""
        return INHIBITION

    def derived(self) -> dict[str, Any]:
        """What a side need not work out for itself."""
        return {
            "excitatory": self.excitatory,
            "weight": self.weight,
            "bias": self.bias,
            "inhibition": INHIBITION,
            "resting_bias": RESTING_BIAS,
        }

    def told(self, **changes: Any) -> str:
        """As JSON, with what follows from it."""
        return json.dumps({**dataclasses.asdict(self), **self.derived(), **changes})


@dataclass(frozen=True)
class PartSynapses(RandomSynapses):
    """A random pattern between one in so many of the sources and of the targets: the first ones, or every n-th."""

    one_in: int = 1
    between: bool = False

    def count(self, sources: int) -> int:
        """Number of synapses of so many source neurons."""
        return super().count(sources // self.one_in)

    def rows(self, sources: int, targets: int) -> Iterator[Rows]:
        """Rows, part after part."""
        given = sources // self.one_in
        stride = self.one_in if self.between else 1
        for rows in super().rows(given, targets // self.one_in):
            lengths = np.zeros((len(rows.pointers) - 1, stride), np.int64)
            lengths[:, 0] = np.diff(rows.pointers)
            yield Rows(np.concatenate([[0], np.cumsum(lengths)]), rows.targets * stride, None, rows.delays)
        if sources > given * stride:
            none = np.zeros(0, np.int64)
            yield Rows(np.zeros(sources - given * stride + 1, np.int64), none, None, none)


def build(spec: Spec, seed: int) -> tuple[Network, list[Population]]:
    """The network in spikesim, and its populations that fire."""
    net = Network()
    one_in = 1 if spec.place == "apart" else 1 + spec.resting // spec.neurons
    between = spec.place == "between"
    live: list[Population] = []
    for name, size in (("excitatory", spec.excitatory), ("inhibitory", spec.neurons - spec.excitatory)):
        bias = np.full(size * one_in, RESTING_BIAS)
        if between:
            bias[::one_in] = spec.bias
        else:
            bias[:size] = spec.bias
        live.append(net.add_population(size * one_in, Probabilistic(spec.leak, bias), name=name))
    if spec.resting and spec.place == "apart":
        net.add_population(spec.resting, Probabilistic(spec.leak, RESTING_BIAS), name="resting")
    connect(net, live, spec, seed, one_in=one_in, between=between)
    return net, live


def connect(
    net: Network, live: list[Population], spec: Spec, seed: int, plasticity: STDP | None = None, **part: Any
) -> None:
    """The synapses among the excitatory and the inhibitory population, or among a part of each (`PartSynapses`).

    plasticity: of those among excitatory neurons.
    """
    for source, weight in zip(live, (spec.weight, -spec.inhibition * spec.weight), strict=True):
        for target in live:
            # to each population as many as would go there on average if they were drawn among all
            size = spec.excitatory if target is live[0] else spec.neurons - spec.excitatory
            number = spec.synapses * size // spec.neurons
            own = 4 * seed + 2 * source.index + target.index
            moving = plasticity if source is target is live[0] else None
            net.connect(source, target, PartSynapses(number, weight, spec.delay, seed=own, **part), plasticity=moving)


Build = Callable[[Any, int], tuple[Network, list[Population]]]
"""From a spec and a seed to the network and its populations that fire."""


def work(spec: Spec, build: Build) -> Iterator[dict[str, Any]]:
    """The side of spikesim: an answer at once, then one for each seed that is read."""
    began = time.perf_counter()
    small, _ = build(dataclasses.replace(spec, neurons=50, synapses=10, resting=0, place="apart"), 0)
    Simulation(small).run(2)
    yield {"build": time.perf_counter() - began}
    for line in sys.stdin:
        seed = int(line)
        began = time.perf_counter()
        net, live = build(spec, seed)
        simulation = Simulation(net, seed=seed)
        del net
        if spec.record:
            simulation.record(*live)
        simulation.run(spec.warm)
        setup = time.perf_counter() - began
        before, first = int(simulation.events().sum()), time.process_time()
        simulation.run(spec.steps)
        seconds, events = time.process_time() - first, int(simulation.events().sum()) - before
        if spec.record:
            found = [simulation.spikes(population) for population in live]
            steps = np.concatenate([own.steps for own in found])
            numbers = [own.neurons + population.first for own, population in zip(found, live, strict=True)]
            np.savez(spec.record, steps=steps, neurons=np.concatenate(numbers))
        spikes = sum(int(simulation.counts(population)[spec.warm :].sum()) for population in live)
        yield {"seconds": seconds, "spikes": spikes, "events": events, "peak": peak_memory(), "setup": setup}
        del simulation


def serve(given: dict[str, Any], kind: type[Spec], build: Build) -> None:
    """Answer in lines of JSON, to a network that was told as JSON."""
    spec = kind(**{field.name: given[field.name] for field in dataclasses.fields(kind)})
    for answer in work(dataclasses.replace(spec, delay=(spec.delay[0], spec.delay[1])), build):
        print(json.dumps(answer), flush=True)
