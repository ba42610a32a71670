"""The timing wheel: spikes of resting neurons, put in and withdrawn in O(1).

Slot ``step mod WHEEL_SLOTS`` of a part is a doubly linked list of its neurons whose next spike is due in that step, or
whole turns later (Varghese & Lauck 1987, scheme 6). A neuron has at most one entry.
"""

from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.layout import SCHEDULED, WHEEL_SLOTS


@inline_kernel
def insert(wheel, part, neuron, due):
    """Put the next spike of a neuron into the wheel; it must have none there."""
    slot = due % WHEEL_SLOTS
    first = wheel.slots[part, slot]
    wheel.due[neuron] = due
    wheel.following[neuron] = first
    wheel.preceding[neuron] = -1
    if first >= 0:
        wheel.preceding[first] = neuron
    wheel.slots[part, slot] = neuron


@inline_kernel
def withdraw(wheel, part, neuron):
    """Take the next spike of a neuron out again; it must be there."""
    before, after = wheel.preceding[neuron], wheel.following[neuron]
    if before >= 0:
        wheel.following[before] = after
    else:
        wheel.slots[part, wheel.due[neuron] % WHEEL_SLOTS] = after
    if after >= 0:
        wheel.preceding[after] = before


@kernel
def refill(tables, state):
    """The wheel anew, from what the neurons are doing and the steps in which their spikes are due."""
    state.wheel.slots[:] = -1
    for part in range(tables.parts.shape[0]):
        pop = tables.parts[part]
        for neuron in range(pop.first, pop.first + pop.neurons):
            if state.doing[neuron] == SCHEDULED:
                insert(state.wheel, part, neuron, state.wheel.due[neuron])
