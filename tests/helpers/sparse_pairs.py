"""The same sparse network twice: in the simulator and in the slow reference, from one description."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import sparse_reference as sr
from scipy import sparse, stats

from spikesim.sparse import LeakyIntegrateAndFire, Network, Population, Probabilistic, Simulation
from spikesim.sparse.network import PoissonDrive, Projection


def random_matrix(rng: np.random.Generator, targets: int, sources: int, density: float, scale: float) -> Any:
    weights = rng.normal(size=(targets, sources)) * scale
    return sparse.csc_array(np.where(rng.random((targets, sources)) < density, weights, 0.0))


def delays_for(rng: np.random.Generator, matrix: Any, high: int) -> Any:
    return sparse.csc_array((rng.integers(1, high + 1, matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def small_network(seed: int, *, quiet: bool = False) -> tuple[Network, list[Population]]:
    """A source, probabilistic neurons and leaky ones, recurrent, with delays; biases on both sides of silence."""
    rng = np.random.default_rng(seed)
    net = Network()
    source = net.add_source(6, rng.random(6) * (0.01 if quiet else 0.2), name="source")
    low = -0.3 if quiet else -0.05
    leak = (2, 0, 1, 5)[seed % 4]
    cells = net.add_population(19, Probabilistic(leak=leak, bias=rng.uniform(low, 0.1, 19)), name="cells")
    lif = net.add_population(
        11,
        LeakyIntegrateAndFire(
            leak=(3, 1, 8, 4)[seed % 4],
            bias=rng.uniform(low, 0.9, 11),
            threshold=0.5,
            width=0.7,
            reset=-0.1,
            refractory=int(rng.integers(3)),
        ),
        name="lif",
    )
    for before, after, scale in ((source, cells, 0.8), (cells, cells, 0.3), (cells, lif, 0.4), (lif, cells, 0.3)):
        matrix = random_matrix(rng, after.size, before.size, 0.3, scale)
        net.connect(before, after, matrix, delay=delays_for(rng, matrix, 6))
    net.connect(source, lif, sparse.csc_array(np.full((11, 6), 0.25)), delay=3)  # all weights equal
    return net, [source, cells, lif]


def reference_of(net: Network, seed: int, number: int = 0) -> sr.Trial:
    """The same network for the reference: its own quantization, from the definition."""
    synapses = [synapse for projection in net.projections for synapse in real_synapses(projection)]
    cells = []
    exponents = []
    for population in net.populations:
        model, size = population.model, population.size
        weight, arrivals = 0.0, None
        if population.poisson is not None:
            weight, arrivals = population.poisson.weight, arrivals_of(population.poisson)
        reach = [(len(poisson_tails(population.poisson.rate)) if arrivals else 0) * abs(weight)] * size
        for k, synapse in synapses:
            if synapse.target[0] == population.index:
                reach[synapse.target[1]] += abs(k)
        exponent = 44  # the finest scale at which no sum reaches 2**30
        while max(reach) * 2.0**exponent >= 2**30:
            exponent -= 1
        exponents.append(exponent)
        lif = None
        if isinstance(model, LeakyIntegrateAndFire):
            numbers = model.threshold * 2**16, 2**32 / model.width, model.reset * 2**16, model.refractory
            lif = tuple(round(x) for x in numbers)
        course = course_of(population)
        bias, resting = course(0)
        given = set() if population.spikes is None else set(zip(*vars(population.spikes).values(), strict=True))
        shift, poisson = exponent - 16, (arrivals, round(weight * 2.0**exponent)) if arrivals else None
        cells.append(sr.Cells(size, model.leak, bias, resting, lif, shift, poisson, population.source, given, course))
    for projection in net.projections:
        own = [(real, synapse) for real, synapse in synapses if synapse.projection == projection.index]
        integers = sr.integer_weights([real for real, _ in own], exponents[projection.target.index])
        for (_, synapse), integer in zip(own, integers, strict=True):
            synapse.weight = integer
    return sr.Trial(cells, [synapse for _, synapse in synapses], seed, number)


@functools.cache
def poisson_tails(rate: float) -> list[float]:
    """Probabilities of more than 0, 1, .. arrivals, as far as they count."""
    tails = [float(stats.poisson.sf(k, rate)) for k in range(200)] if rate else []
    return [tail for tail in tails if tail > tails[0] / 2**33]


def arrivals_of(drive: PoissonDrive) -> Callable[[int], list[float]]:
    """Probabilities of numbers of Poisson arrivals in a step, from the definition."""

    def of_step(t: int) -> list[float]:
        if drive.course is None:
            return poisson_tails(drive.rate)
        begun = drive.course.values[drive.course.steps <= t]
        return poisson_tails(float(begun[-1]) if len(begun) else 0.0)

    return of_step


def course_of(population: Population) -> Callable[[int], tuple[list[int], list[float]]]:
    """Bias and probability of a spike at rest of each neuron in a step, from the definition."""
    model = population.model

    def of_step(t: int) -> tuple[list[int], list[float]]:
        drive = np.broadcast_to(np.asarray(model.bias, float), (population.size,)).copy()
        for own in [population.rates] if population.rates else population.currents:
            for step, values in zip(own.steps, own.values, strict=True):
                later = own.steps[own.steps > step]
                if step <= t and not (later <= t).any():
                    drive += values
        bias = np.zeros(population.size) if population.rates else drive
        resting = (drive - model.threshold) / model.width if isinstance(model, LeakyIntegrateAndFire) else drive
        chances = np.clip(resting, 0.0, 1.0 if population.source else 1 - 2.0**-16)
        return np.rint(bias * 2**16).astype(int).tolist(), chances.tolist()

    return of_step


def real_synapses(projection: Projection) -> Iterator[tuple[float, sr.Synapse]]:
    """Synapses, integers to be given, with their weights as real numbers."""
    at = 0
    for rows in projection.synapses.rows(projection.source.size, projection.target.size):
        for i in range(len(rows.pointers) - 1):
            for k in range(rows.pointers[i], rows.pointers[i + 1]):
                weight = projection.synapses.weight if rows.weights is None else rows.weights[k]
                delay = int(projection.synapses.delays[0] if rows.delays is None else rows.delays[k])
                source, target = (projection.source.index, at + i), (projection.target.index, int(rows.targets[k]))
                yield float(weight), sr.Synapse(source, target, 0, delay, projection.index)
        at += len(rows.pointers) - 1


def assert_equal(simulation: Simulation, net: Network, reference: sr.Trial, trial: int = 0) -> None:
    for population in net.populations:
        spikes = simulation.spikes(population, trial)
        found = list(zip(spikes.steps.tolist(), spikes.neurons.tolist(), strict=True))
        expected = [
            (t, i) for t, fired in enumerate(reference.fired) for k, i in sorted(fired) if k == population.index
        ]
        assert found == expected
        counts = [sum(k == population.index for k, _ in fired) for fired in reference.fired]
        assert simulation.counts(population, trial).tolist() == counts
        potentials = [reference.v[population.index, i] for i in range(population.size)]
        assert (simulation.potential(population, trial) * 2**16).tolist() == potentials
    assert simulation.events(trial).sum() == reference.events
