"""Resting neurons: how their next spike is drawn, and how they become active again.

A neuron comes to *rest* in a step without arrivals that leaves it where it is going to stay: its potential at its bias
(of general neurons `spikesim.sparse.neurons.step.Moved.still` says so). A resting neuron is not visited: if its firing
probability is zero it is SILENT, else its next spike is SCHEDULED in the wheel, after a number of steps drawn from the
geometric law, and withdrawn when events arrive before. An ACTIVE neuron is visited at every step. Sources rest from the
start.
"""

import numpy as np

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.layout import ACTIVE, KIND_GENERAL, KIND_LIF, KIND_SOURCE, SCHEDULED, SILENT, WHEEL_SLOTS
from spikesim.sparse.engine.random_numbers import STREAM_WAIT, random_words
from spikesim.sparse.engine.wheel import insert, withdraw
from spikesim.sparse.neurons import fire, lif, step

GEOMETRIC_BITS = 33
"""Waiting times are at most 2**33 steps: more than a simulation has."""
UNIFORM_MAX = 1.0 - 2.0**-53


@kernel
def waiting_time(p, uniform, powers):
    """Steps until the first success of trials of probability p: the smallest n with ``1 - (1 - p)**n > uniform``.

    By doublings of n, not by logarithms, whose last bits differ between machines, and with probabilities of successes,
    which small p leave exact; relative error of the law below 2**-45. At most 2**33 steps.

    Parameters
    ----------
    p : float64 in (0, 1]
    uniform : float64 in [0, 1)
    powers : float64 (GEOMETRIC_BITS,)
        Overwritten: probabilities of a success in 1, 2, 4, ... trials.
    """
    highest = 0
    powers[0] = p
    while powers[highest] <= uniform and highest < GEOMETRIC_BITS - 1:
        powers[highest + 1] = powers[highest] * (2.0 - powers[highest])
        highest += 1
    failures, reached = np.int64(0), 0.0  # the largest number of trials with a probability up to `uniform`
    for bit in range(highest, -1, -1):
        longer = reached + powers[bit] * (1.0 - reached)
        if longer <= uniform:
            reached = longer
            failures += np.int64(1) << bit
    return failures + 1


@kernel
def schedule(tables, state, key, part, neuron, step):
    """Let a neuron rest from this step on; if it may fire, its next spike goes into the wheel."""
    p = tables.resting[neuron]
    if p == 0.0:
        state.doing[neuron] = SILENT
        return
    pop = tables.parts[part]
    w0, w1, _, _ = random_words(key, pop.population, STREAM_WAIT, step & 0xFFFFFFFF, neuron - pop.begin)
    uniform = min(np.float64(w0) * 2.0**-32 + np.float64(w1) * 2.0**-64, UNIFORM_MAX)
    state.doing[neuron] = SCHEDULED
    insert(state.wheel, part, neuron, step + waiting_time(p, uniform, state.scratch.powers))


@kernel
def start_sources(tables, state, key):
    """Let the sources rest from the step before the first one on."""
    for part in range(tables.parts.shape[0]):
        pop = tables.parts[part]
        if pop.kind == KIND_SOURCE:
            state.active.counts[part] = 0
            for neuron in range(pop.first, pop.first + pop.neurons):
                state.membrane[neuron] = tables.bias[neuron]
                schedule(tables, state, key, part, neuron, np.int64(-1))


@kernel
def wake(tables, state, part, neuron):
    """Put a resting neuron onto the list of the active ones."""
    if state.doing[neuron] == SCHEDULED:
        withdraw(state.wheel, part, neuron)
    state.doing[neuron] = ACTIVE
    state.active.neurons[tables.parts[part].first + state.active.counts[part]] = neuron
    state.active.counts[part] += 1


@inline_kernel
def reaches(state, neuron):
    """Whether anything arrives at a neuron in this step."""
    found = False
    for offset in range(0, state.drive.shape[0], state.doing.shape[0]):
        found |= state.drive[offset + neuron] != 0
    return found


@kernel
def wake_range(tables, state, part, first, last):
    """Wake those of some neurons whose drive is not zero."""
    doing = state.doing
    for offset in range(0, state.drive.shape[0], doing.shape[0]):
        drive = state.drive[offset:]
        for neuron in range(first, last):
            if drive[neuron] != 0 and doing[neuron] != ACTIVE:
                wake(tables, state, part, neuron)


@inline_kernel
def _fire_general(tables, state, pop, neuron):
    """What a spike does to a general neuron."""
    membrane, refractory = state.membrane[neuron : neuron + 1], state.refractory[neuron : neuron + 1]
    none, still = state.scratch.gathered[0, :1], state.scratch.resting[:1]
    cells = step.Cells(membrane, refractory, none, none, none, none, still)
    columns = step.Rows(tables.columns, pop.columns + (neuron - pop.begin) * pop.varies)
    fire(
        pop.kind - KIND_GENERAL,
        tables.shared[pop.shared],
        columns,
        step.Rows(state.variables, neuron),
        cells,
        np.int64(0),
    )


@kernel
def fire_due(tables, state, key, part, t, slot):
    """Spikes of resting neurons that are due in this step."""
    pop = tables.parts[part]
    first, kind = pop.first, pop.kind
    neuron = np.int64(state.wheel.slots[part, t % WHEEL_SLOTS])
    while neuron >= 0:
        after = np.int64(state.wheel.following[neuron])
        if state.wheel.due[neuron] == t:
            withdraw(state.wheel, part, neuron)
            state.counts.updates[part] += 1
            state.ring.neurons[slot, first + state.ring.counts[slot, part]] = neuron
            state.ring.counts[slot, part] += 1
            state.counts.spikes[neuron] += 1
            if kind == KIND_LIF:
                lif.reset(pop, state.membrane, state.refractory, neuron)
            elif kind >= KIND_GENERAL:
                _fire_general(tables, state, pop, neuron)
            state.doing[neuron] = SILENT  # it is in no list now
            if kind < KIND_GENERAL and state.membrane[neuron] == tables.bias[neuron] and state.refractory[neuron] == 0:
                schedule(tables, state, key, part, neuron, t)
            else:
                wake(tables, state, part, neuron)
        neuron = after
