"""Inputs that come at known steps: spikes that are given, and biases and rates that change.

All are lists by part and step, of which a cursor knows the next entry: a step without any costs a comparison.
"""

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.layout import ACTIVE, KIND_SOURCE, SCHEDULED
from spikesim.sparse.engine.resting import schedule, wake
from spikesim.sparse.engine.wheel import withdraw


@kernel
def _change(tables, state, key, part, neuron, bias, resting, t):
    """Give a neuron another bias and another probability of a spike at rest, from step t on.

    A resting neuron has not been told anything of its next spike but that it did not come before t: drawing it anew is
    the same law.
    """
    if tables.bias[neuron] == bias and tables.resting[neuron] == resting:
        return
    tables.bias[neuron] = bias
    tables.resting[neuron] = resting
    if tables.parts[part].kind == KIND_SOURCE:
        if state.doing[neuron] == SCHEDULED:
            withdraw(state.wheel, part, neuron)
        schedule(tables, state, key, part, neuron, t - 1)
        state.counts.updates[part] += 1
    elif state.doing[neuron] != ACTIVE:
        wake(tables, state, part, neuron)


@kernel
def apply_changes(tables, state, key, part, t):
    """Let what changes in step t in a part come into force."""
    rates, row = tables.rates, state.cursors.rates[part]
    if row < rates.pointers[part + 1] and rates.steps[row] == t:
        state.cursors.rates[part] = row + 1
    changes, row = tables.changes, state.cursors.changes[part]
    if row >= changes.pointers[part + 1] or changes.steps[row] != t:
        return
    state.cursors.changes[part] = row + 1
    pop = tables.parts[part]
    for entry in range(changes.entries[row], changes.entries[row + 1]):
        bias, resting, neuron = changes.bias[entry], changes.resting[entry], np.int64(changes.neurons[entry])
        if neuron >= 0:
            _change(tables, state, key, part, neuron, bias, resting, t)
        else:
            for each in range(pop.first, pop.first + pop.neurons):
                _change(tables, state, key, part, each, bias, resting, t)


@inline_kernel
def arrival_tails(tables, state, part):
    """Probabilities of more than 0, 1, .. Poisson arrivals at a neuron of a part in the present step."""
    first, terms = tables.parts[part].poisson, tables.parts[part].poisson_terms
    last = state.cursors.rates[part] - 1
    if last >= tables.rates.pointers[part]:
        first, terms = tables.rates.first[last], tables.rates.terms[last]
    return tables.poisson[max(first, 0) :][:terms]


@kernel
def put_inputs(tables, state, key, population, bias, resting, t):
    """Give the neurons of a population other biases and probabilities of a spike at rest, from step t on.

    bias: int32 (neurons,); resting: float64 (neurons,).
    """
    for part in range(tables.parts.shape[0]):
        pop = tables.parts[part]
        if pop.population == population:
            for neuron in range(pop.first, pop.first + pop.neurons):
                own = neuron - pop.begin
                _change(tables, state, key, part, neuron, bias[own], resting[own], t)


@kernel
def fire_given(tables, state, part, t, slot):
    """The spikes that are given for step t."""
    given, at = tables.given, state.cursors.given[part]
    first, end = tables.parts[part].first, given.pointers[part + 1]
    while at < end and np.int64(given.steps[at]) == t:
        neuron = given.neurons[at]
        state.ring.neurons[slot, first + state.ring.counts[slot, part]] = neuron
        state.ring.counts[slot, part] += 1
        state.counts.spikes[neuron] += 1
        state.counts.updates[part] += 1
        at += 1
    state.cursors.given[part] = at
