"""The timing wheel: spikes of resting neurons, put in and withdrawn in O(1).

Slot ``step mod WHEEL_SLOTS`` of a population is a doubly linked list of its neurons whose next spike is due in that
step, or whole turns later (Varghese & Lauck 1987, scheme 6). A neuron has at most one entry.
"""

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.layout import POP_FIRST, POP_SIZE, SCHEDULED, WHEEL_SLOTS


@inline_kernel
def insert(state, population, neuron, due):
    """Put the next spike of a neuron into the wheel; it must have none there."""
    slot = due % WHEEL_SLOTS
    first = state.slots[population, slot]
    state.due[neuron] = due
    state.following[neuron] = first
    state.preceding[neuron] = -1
    if first >= 0:
        state.preceding[first] = neuron
    state.slots[population, slot] = neuron


@inline_kernel
def withdraw(state, population, neuron):
    """Take the next spike of a neuron out again; it must be there."""
    before, after = state.preceding[neuron], state.following[neuron]
    if before >= 0:
        state.following[before] = after
    else:
        state.slots[population, state.due[neuron] % WHEEL_SLOTS] = after
    if after >= 0:
        state.preceding[after] = before


@kernel
def refill(tables, state):
    """The wheel anew, from what the neurons are doing and the steps in which their spikes are due."""
    state.slots[:] = -1
    for population in range(tables.populations.shape[0]):
        first = tables.populations[population, POP_FIRST]
        for neuron in range(first, first + tables.populations[population, POP_SIZE]):
            if state.doing[neuron] == SCHEDULED:
                insert(state, population, neuron, state.due[neuron])
