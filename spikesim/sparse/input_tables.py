"""Inputs of a network as the compiled loop has them: given spikes, Poisson arrivals, biases and rates that change."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.sparse.engine import layout as ly
from spikesim.sparse.inputs.time_course import TimeCourse
from spikesim.sparse.network import Network, Population
from spikesim.sparse.rounding import poisson_tails, round_bias

SPIKE_BYTES, VALUE_BYTES, OWN_BYTES = 12, 16, 12
"""Of a given spike, of a value of a time course, and of a neuron of which trials have a bias of their own."""
RATE_BYTES = 512
"""Of a Poisson rate of a time course, at most: a probability of each number of arrivals."""


def given_spikes(network: Network, parts: NDArray[np.void]) -> ly.GivenSpikes:
    """The spikes that are given, by part, step and neuron."""
    pointers, steps, neurons = np.zeros(len(parts) + 1, np.int64), [np.zeros(0, np.uint32)], [np.zeros(0, np.int32)]
    for index, part in enumerate(parts):
        spikes = network.populations[int(part["population"])].spikes
        if spikes is not None:
            own = spikes.neurons + int(part["begin"])
            kept = (own >= part["first"]) & (own < part["first"] + part["neurons"])
            steps.append(spikes.steps[kept].astype(np.uint32))
            neurons.append(own[kept].astype(np.int32))
        pointers[index + 1] = sum(map(len, steps))
    return ly.GivenSpikes(pointers, np.concatenate(steps), np.concatenate(neurons))


class PoissonArrivals:
    """Probabilities of numbers of Poisson arrivals, each rate once in a population, and which of them hold when.

    Attributes
    ----------
    tails : uint64
        As `Tables` has them.
    most : list of int
        Arrivals of each population that ever occur in a step.
    """

    def __init__(self, network: Network) -> None:
        self.most: list[int] = []
        self._rows: list[list[tuple[int, int, int]]] = []  # of each population: step, first, terms
        kept, at = [np.zeros(0, np.uint64)], 0
        for population in network.populations:
            rows, most, steps, rates = [], 0, *_rate_changes(population)
            values, which = np.unique(rates, return_inverse=True)
            places = []
            for rate in values:
                own = poisson_tails(float(rate)) if rate else np.zeros(0, np.uint64)
                places.append((at, len(own)))
                kept.append(own)
                at, most = at + len(own), max(most, len(own))
            rows = [(int(step), *places[place]) for step, place in zip(steps, which, strict=True)]
            self._rows.append(rows)
            self.most.append(most)
        self.tails = np.concatenate(kept)

    def start(self, population: Population) -> tuple[int, int]:
        """Where the probabilities of step 0 are, and how many."""
        _, first, terms = self._rows[population.index][0]
        return first, terms

    def rates(self, parts: NDArray[np.void]) -> ly.Rates:
        """What changes later, by part and step."""
        later = [self._rows[int(part["population"])][1:] for part in parts]
        rows = np.array([row for own in later for row in own], np.int64).reshape(-1, 3)
        pointers = np.cumsum([0, *map(len, later)])
        return ly.Rates(pointers, *np.ascontiguousarray(rows.T))


def _rate_changes(population: Population) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps from 0 on, and the Poisson rate of a population from each of them on; nothing without such a drive."""
    drive = population.poisson
    if drive is None:
        return np.zeros(0, np.int64), np.zeros(0)
    if drive.course is None:
        return np.zeros(1, np.int64), np.array([drive.rate])
    steps, rates = drive.course.steps, drive.course.values
    if steps[0] > 0:
        steps, rates = np.append(0, steps), np.append(0.0, rates)
    return steps, rates


class DrivenNeurons:
    """Biases and probabilities of a spike at rest: at the start, and how they change.

    Attributes
    ----------
    bias : int32 (neurons,)
    resting : float64 (neurons,)
    changes : Changes

    Raises
    ------
    InputError
        A bias and the currents together are out of range.
    """

    def __init__(self, network: Network, parts: NDArray[np.void]) -> None:
        self.bias = np.empty(network.neurons, np.int32)
        self.resting = np.empty(network.neurons, np.float64)
        rows: dict[int, list[_Row]] = {}
        for population in network.populations:
            own = parts[parts["population"] == population.index]
            for row in _rows(population, self.bias, self.resting, own):
                rows.setdefault(row.part, []).append(row)
        pointers = np.zeros(len(parts) + 1, np.int64)
        for index, part in enumerate(parts):
            pointers[index + 1] = len(rows.get(int(part["first"]), []))
        ordered = [row for part in parts for row in rows.get(int(part["first"]), [])]
        entries = np.zeros(len(ordered) + 1, np.int64)
        np.cumsum([len(row.neurons) for row in ordered], out=entries[1:])
        self.changes = ly.Changes(
            np.cumsum(pointers),
            np.array([row.step for row in ordered], np.int64),
            entries,
            np.concatenate([np.zeros(0, np.int32), *(row.neurons for row in ordered)]),
            np.concatenate([np.zeros(0, np.int32), *(row.bias for row in ordered)]),
            np.concatenate([np.zeros(0), *(row.resting for row in ordered)]),
        )


class _Row:
    """What changes in a step in a part, which is known by its first neuron."""

    def __init__(self, part: int, step: int, neurons: NDArray[Any], bias: NDArray[Any], resting: NDArray[Any]) -> None:
        self.part, self.step, self.neurons = part, step, neurons.astype(np.int32)
        self.bias, self.resting = bias, resting


def _rows(
    population: Population, bias: NDArray[np.int32], resting: NDArray[np.float64], parts: NDArray[np.void]
) -> Iterator[_Row]:
    """Fill in the start of a population, and say what changes afterwards."""
    own = population.part
    for step, values in _courses(population):
        if population.source:
            integers = population.bias[:1] if len(values) == 1 else population.bias
        else:
            integers = (
                round_bias(values, f"{population.name}, with its currents,") if population.currents else population.bias
            )
        chances = _resting_probability(population, values)
        if step < 1:
            bias[own], resting[own] = integers, chances
            now = integers, chances
            continue
        if len(values) == 1:  # all neurons alike, before and now
            if now[0][0] != integers[0] or now[1][0] != chances[0]:
                for part in parts:
                    yield _Row(int(part["first"]), step, np.array([-1]), integers.copy(), chances)
        else:
            other = np.flatnonzero((now[0] != integers) | (now[1] != chances))
            for part in parts:
                first = int(part["first"]) - population.first
                mine = other[(other >= first) & (other < first + int(part["neurons"]))]
                if len(mine):
                    yield _Row(int(part["first"]), step, mine + population.first, integers[mine], chances[mine])
        now = integers, chances


def _courses(population: Population) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """What drives a population, bias and currents or the rate of a source, from step 0 and from each change on.

    One number where all neurons are alike all the time.
    """
    courses = population.courses
    base, scale = population.drive, population.per_current
    alike = bool(courses) and base.size == scale.size == 1 and all(course.values.ndim == 1 for course in courses)
    alike = alike and _resting_probability(population, base).size == 1
    base = base if alike else population.real_bias()
    for step in np.unique(np.concatenate([[0], *(course.steps for course in courses)])):
        total = base
        for course in courses:
            at = int(np.searchsorted(course.steps, step, side="right")) - 1
            if at >= 0:
                total = total + course.values[at] * scale
        yield int(step), total


def _resting_probability(population: Population, drive: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a spike in a step in which a neuron is at its drive, not rounded; that of a source can be 1."""
    if population.source:
        return drive.copy()
    return population.model.resting(drive) if population.general is None else population.general.chance(drive)


def inputs_of(population: Population, values: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Biases and probabilities of a spike at rest, (neurons,) each, with a current, or with rates of a source.

    Raises
    ------
    InputError
        A bias and its current together are out of range.
    """
    if population.source:
        return population.bias.copy(), np.broadcast_to(values, (population.size,)).copy()
    drive = population.real_bias() + values * population.per_current
    bias = round_bias(drive, f"{population.name}, with its currents,")
    return bias, np.broadcast_to(_resting_probability(population, drive), (population.size,)).copy()


def inputs_digest(network: Network) -> bytes:
    """SHA-256 of what is given and of what changes; empty where there is no such input."""
    digest, given = hashlib.sha256(), False
    for population in network.populations:
        spikes, courses = population.spikes, population.courses
        arrays: list[NDArray[Any]] = [] if spikes is None else [spikes.steps, spikes.neurons]
        if population.poisson is not None and population.poisson.course is not None:
            courses = [*courses, population.poisson.course]
        arrays += [array for course in courses for array in (course.steps, course.values)]
        for array in arrays:
            given = True
            digest.update(f"{population.index} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest() if given else b""


def input_bytes(population: Population, trials: int) -> int:
    """Memory that the inputs of a population take, at most."""

    def values(course: TimeCourse) -> int:
        varied = course.values.ndim == 2 or max(population.drive.size, population.per_current.size) > 1
        return len(course.steps) * (population.size if varied else 1)

    courses = population.courses
    spikes = 0 if population.spikes is None else len(population.spikes.steps)
    own = trials * OWN_BYTES * population.size if courses else 0
    rates = np.unique(_rate_changes(population)[1]).size
    return SPIKE_BYTES * spikes + VALUE_BYTES * sum(map(values, courses)) + own + RATE_BYTES * max(rates - 1, 0)
