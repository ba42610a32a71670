"""Resting neurons: how their next spike is drawn, and how they become active again.

A neuron comes to *rest* in a step without arrivals that leaves its potential where it is going to stay. A resting
neuron is not visited: if its firing probability p is zero it is SILENT, else its next spike is SCHEDULED in the wheel,
after a number of steps drawn from the geometric law of p, and withdrawn when events arrive before. An ACTIVE neuron is
visited at every step.
"""

import numpy as np

from spikesim.compilation import inline_kernel, kernel
from spikesim.fixedpoint import ONE, P_MAX
from spikesim.philox import philox4x32
from spikesim.sparse.layout import (
    ACTIVE,
    KIND_LIF,
    POP_FIRST,
    POP_KIND,
    POP_LEAK,
    POP_REFRACTORY,
    POP_RESET,
    POP_SLOPE,
    POP_THRESHOLD,
    SCHEDULED,
    SILENT,
    WHEEL_SLOTS,
)
from spikesim.sparse.wheel import insert, withdraw

GEOMETRIC_BITS = 31
"""Waiting times are below 2**31 steps."""
MEMBRANE_MAX = 2**30
STREAM_FIRE, STREAM_WAIT, STREAM_POISSON = 0, 1, 2


@inline_kernel
def random_words(clock, trial, population, stream, step, counter):
    """Four 32-bit words for (counter, step, trial, population and stream)."""
    tag = (np.uint64(population) << np.uint64(24)) | np.uint64(stream)
    return philox4x32(
        np.uint64(counter), np.uint64(step), np.uint64(trial), tag, np.uint64(clock.key_low), np.uint64(clock.key_high)
    )


@kernel
def waiting_time(p, uniform, powers):
    """Steps until the first success of trials of probability p / 2**16: the smallest n with ``1 - q**n > uniform``.

    q = 1 - p / 2**16. By squarings of q, not by logarithms, whose last bits differ between machines; relative error of
    the law below 2**-30. At most 2**31 steps.

    Parameters
    ----------
    p : integer in 1 .. 65535
    uniform : float64 in [0, 1)
    powers : float64 (GEOMETRIC_BITS,)
        Overwritten.
    """
    survival = 1.0 - uniform  # in (0, 1]
    q = (ONE - p) / ONE
    highest = 0
    powers[0] = q
    while powers[highest] >= survival and highest < GEOMETRIC_BITS - 1:
        powers[highest + 1] = powers[highest] * powers[highest]
        highest += 1
    failures, reached = np.int64(0), 1.0  # the largest number with q**failures >= survival
    for bit in range(highest, -1, -1):
        if reached * powers[bit] >= survival:
            reached *= powers[bit]
            failures += np.int64(1) << bit
    return failures + 1


@inline_kernel
def firing_probability(kind, threshold, slope, potential):
    """p as 16 bits."""
    if kind == KIND_LIF:
        return min(max(((np.int64(potential) - threshold) * slope) >> 16, 0), P_MAX)
    return np.int64(min(max(potential, 0), P_MAX))


@inline_kernel
def moved(kind, leak, potential, bias, synaptic):
    """The membrane potential one step later; synaptic: what arrives, 1.0 = 2**16."""
    v, u = np.int64(potential), np.int64(bias)
    if kind == KIND_LIF:  # arrivals are jumps
        v = v + ((u - v) >> leak) + synaptic
    else:  # arrivals are a drive that the membrane averages
        v = v + ((u + synaptic - v) >> leak)
    return np.int32(min(max(v, -MEMBRANE_MAX), MEMBRANE_MAX))


@kernel
def schedule(tables, state, clock, trial, population, neuron, step, p):
    """Let a neuron rest from this step on; with p > 0, its next spike goes into the wheel."""
    if p == 0:
        state.doing[neuron] = SILENT
        return
    counter = neuron - tables.populations[population, POP_FIRST]
    w0, w1, _, _ = random_words(clock, trial, population, STREAM_WAIT, step, counter)
    uniform = ((w0 >> np.uint64(5)) * 67108864.0 + (w1 >> np.uint64(6))) / 9007199254740992.0  # 53 bits
    state.doing[neuron] = SCHEDULED
    insert(state, population, neuron, step + waiting_time(p, uniform, state.powers))


@kernel
def wake(tables, state, population, neuron):
    """Put a resting neuron onto the list of the active ones."""
    if state.doing[neuron] == SCHEDULED:
        withdraw(state, population, neuron)
    state.doing[neuron] = ACTIVE
    state.active[tables.populations[population, POP_FIRST] + state.active_count[population]] = neuron
    state.active_count[population] += 1


@kernel
def wake_range(tables, state, population, first, last):
    """Wake those of some neurons whose drive is not zero."""
    doing, drive = state.doing, state.drive
    for neuron in range(first, last):
        if drive[neuron] != 0 and doing[neuron] != ACTIVE:
            wake(tables, state, population, neuron)


@kernel
def fire_due(tables, state, clock, trial, population, t, slot):
    """Spikes of resting neurons that are due in this step."""
    pop = tables.populations[population]
    first, kind, leak = pop[POP_FIRST], pop[POP_KIND], pop[POP_LEAK]
    neuron = np.int64(state.slots[population, t % WHEEL_SLOTS])
    while neuron >= 0:
        after = np.int64(state.following[neuron])
        if state.due[neuron] == t:
            withdraw(state, population, neuron)
            state.updates[population] += 1
            state.ring[slot, first + state.ring_count[slot, population]] = neuron
            state.ring_count[slot, population] += 1
            state.spikes[neuron] += 1
            if kind == KIND_LIF:
                state.membrane[neuron] = np.int32(pop[POP_RESET])
                state.refractory[neuron] = np.int32(pop[POP_REFRACTORY])
            potential = state.membrane[neuron]
            still = moved(kind, leak, potential, tables.bias[neuron], np.int64(0)) == potential
            state.doing[neuron] = SILENT  # it is in no list now
            if still and state.refractory[neuron] == 0:
                p = firing_probability(kind, pop[POP_THRESHOLD], pop[POP_SLOPE], potential)
                schedule(tables, state, clock, trial, population, neuron, t, p)
            else:
                wake(tables, state, population, neuron)
        neuron = after
