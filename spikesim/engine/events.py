"""Event lists: the spikes of a population, pixel by pixel, at full and at half the resolution."""

import numpy as np

from spikesim.engine.neurons import present
from spikesim.engine.phase import model_of
from spikesim.engine.plan import (
    FIRING_MEAN_FIELD,
    FIRING_RATES,
    POOL_AVERAGE,
)
from spikesim.engine.simd.compress import list_word
from spikesim.engine.simd.winners import winner_words
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.fixed_point import ONE, P_MAX


@inline_kernel
def value_of(pop, model, state, sample, at):
    """What a neuron sends as a graded event, 16 bits, from its membrane; a spike from outside has the full 2**16."""
    potential = state.membrane[sample, at]
    if model == 0:
        return np.int32(min(max(potential, np.int32(0)), np.int32(ONE if pop.spike_input else P_MAX)))
    return np.int32(present(model, state.memory, sample, at, potential, pop.refractory))


@inline_kernel
def state_of(pop, pixel, channel):
    """Where a neuron lies in the state of a sample."""
    lanes, pixels = pop.lanes, pop.height * pop.width
    return pop.state + ((channel // lanes) * pixels + pixel) * lanes + channel % lanes


@inline_kernel
def listed(pop, state, sample, pixel):
    """Where the events of a pixel lie in those of the sample: the first, and the one after the last."""
    at = pop.start + pixel
    return pop.events + state.start[sample, at], pop.events + state.start[sample, at + 1]


@inline_kernel
def places(pop, pixel):
    """Where the neurons of a pixel lie in the state, for a loop over its events, which ascend.

    A neuron of the first block lies at the first number plus its event, as long as the event is below the second;
    from a block to the next one the first grows by the third, the second by the lanes. So no event is divided.
    """
    lanes = pop.lanes
    first = pixel * pop.channels
    return pop.state + pixel * lanes - first, first + lanes, (pop.height * pop.width - 1) * lanes


@kernel
def list_spikes(plan, state, firing, population, sample, t):
    """Rebuild the event lists of one population of one sample from its spike words; the number of its spikes."""
    pop = plan.populations[population]
    pixels, channels = pop.height * pop.width, pop.channels
    words_a_pixel = pop.blocks * pop.lanes // 16
    events, start_at = state.events, pop.start
    begin = sample * events.shape[1] + pop.events
    end = begin
    for pixel in range(pixels):
        state.start[sample, start_at + pixel] = end - begin
        at = pop.words + pixel * words_a_pixel
        for word in range(words_a_pixel):
            end += list_word(state.words[sample, at + word], pixel * channels + 16 * word, events, end)
    n = end - begin
    state.start[sample, start_at + pixels] = n
    graded = firing == FIRING_MEAN_FIELD or firing == FIRING_RATES
    model = model_of(pop, firing)
    if graded:
        values = state.values[sample]
        for pixel in range(pixels):
            first, last = listed(pop, state, sample, pixel)
            place, end_of_block, stride = places(pop, pixel)
            for i in range(first, last):
                while events[sample, i] >= end_of_block:
                    place, end_of_block = place + stride, end_of_block + pop.lanes
                values[i] = value_of(pop, model, state, sample, place + events[sample, i])
    if pop.pooled_events >= 0:
        if graded:
            pool_graded(plan, state, population, sample, model)
        else:
            pool_spikes(plan, state, population, sample, t)
    return n


@kernel
def pool_spikes(plan, state, population, sample, t):
    """The event list at half the resolution: all four cells, the winners, or the one of each channel whose turn it is.

    The turn (t + t // 4 + y + x + channel) mod 4 visits each cell once in four steps; the t // 4 keeps it out of step
    with the stratified sequence, whose leading bits repeat every four steps.
    """
    pop = plan.populations[population]
    height, width, channels = pop.height, pop.width, pop.channels
    words_a_pixel = pop.blocks * pop.lanes // 16
    average = False
    for table in range(plan.tables.shape[0]):
        if plan.tables[table].source == population and plan.tables[table].pooled == POOL_AVERAGE:
            average = True
    events, start_at = state.events, pop.pooled_start
    whole = state.extent[sample, population] // 2
    begin = sample * events.shape[1] + pop.pooled_events
    end = begin
    for y in range(height // 2):
        for x in range(width // 2):
            pooled_pixel = y * (width // 2) + x
            state.start[sample, start_at + pooled_pixel] = end - begin
            for cell in range(4 if x < whole else 0):
                pixel = (2 * y + cell // 2) * width + 2 * x + cell % 2
                at = pop.words + pixel * words_a_pixel
                turn = np.uint16(0xFFFF if average else 0x1111 << ((cell - (t + t // 4 + y + x)) & 3))
                for word in range(words_a_pixel):
                    chosen = state.winners[sample, at + word] if pop.winner else turn
                    bits = np.uint16(state.words[sample, at + word] & chosen)
                    end += list_word(bits, pooled_pixel * channels + 16 * word, events, end)
    state.start[sample, start_at + (height // 2) * (width // 2)] = end - begin


@kernel
def pool_graded(plan, state, population, sample, model):
    """Graded events at half the resolution, where they are not zero: the sum of p over the four cells, or the largest.

    model: a number.
    """
    pop = plan.populations[population]
    height, width, channels, lanes = pop.height, pop.width, pop.channels, pop.lanes
    pooled, pooled_start = state.events[sample, pop.pooled_events :], state.start[sample, pop.pooled_start :]
    values = state.values[sample, pop.pooled_events :]
    whole = state.extent[sample, population] // 2
    n = 0
    for y in range(height // 2):
        for x in range(width // 2):
            pooled_pixel = y * (width // 2) + x
            pooled_start[pooled_pixel] = n
            if x >= whole:
                continue
            upper, lower = (2 * y * width + 2 * x) * lanes, ((2 * y + 1) * width + 2 * x) * lanes
            for first in range(0, channels, lanes):
                at = pop.state + first * height * width
                for lane in range(min(lanes, channels - first)):
                    total = np.int32(0)
                    for cell in (at + upper, at + upper + lanes, at + lower, at + lower + lanes):
                        value = value_of(pop, model, state, sample, cell + lane)
                        total = max(total, value) if pop.winner else np.int32(total + value)
                    # written in any case, counted where it is not zero: no branch to mispredict
                    pooled[n] = np.int32(pooled_pixel * channels + first + lane)
                    values[n] = np.int32(total)
                    n += total != 0
    pooled_start[(height // 2) * (width // 2)] = n


@kernel
def choose_winners(plan, state, population, sample, half):
    """Mark the neuron with the highest potential of each 2x2 cell and channel, the first of several.

    half: of the window in which p of the winners is summed and their wins are counted; -1 for none.
    """
    pop = plan.populations[population]
    height, width, lanes, pixels = pop.height, pop.width, pop.lanes, pop.height * pop.width
    words_a_pixel = pop.blocks * lanes // 16
    v, winners, at_sample = state.membrane, state.winners[sample], sample * state.membrane.shape[1]
    counted = half >= 0 and state.wins.shape[2] > 0
    wins = state.wins[max(half, 0), sample]
    for block in range(pop.blocks):
        for y in range(height // 2):
            for x in range(state.extent[sample, population] // 2):
                pixel = 2 * y * width + 2 * x
                first = pop.state + (block * pixels + pixel) * lanes
                second, third, fourth = first + lanes, first + width * lanes, first + (width + 1) * lanes
                at = pop.words + pixel * words_a_pixel + block * lanes // 16
                own = at_sample + first
                for word in range(lanes // 16):
                    i, k = own + 16 * word, at + word
                    chosen = winner_words(v, i, i + lanes, i + width * lanes, i + (width + 1) * lanes)
                    winners[k], winners[k + words_a_pixel] = np.uint16(chosen[0]), np.uint16(chosen[1])
                    k += width * words_a_pixel
                    winners[k], winners[k + words_a_pixel] = np.uint16(chosen[2]), np.uint16(chosen[3])
                if half < 0:
                    continue
                one, two = v[sample, first : first + lanes], v[sample, second : second + lanes]
                three, four = v[sample, third : third + lanes], v[sample, fourth : fourth + lanes]
                sums_at = pop.pooled_state + ((block * (height // 2) + y) * (width // 2) + x) * lanes
                passed = state.window[half, sample, sums_at : sums_at + lanes]
                for i in range(lanes):
                    top = max(max(one[i], two[i]), max(three[i], four[i]))
                    passed[i] += min(max(top, np.int32(0)), np.int32(P_MAX))
                if counted:
                    w1, w2 = wins[first : first + lanes], wins[second : second + lanes]
                    w3, w4 = wins[third : third + lanes], wins[fourth : fourth + lanes]
                    for i in range(lanes):
                        above = max(one[i], two[i]) >= max(three[i], four[i])
                        w1[i] += np.uint16(above & (one[i] >= two[i]))
                        w2[i] += np.uint16(above & (one[i] < two[i]))
                        w3[i] += np.uint16((not above) & (three[i] >= four[i]))
                        w4[i] += np.uint16((not above) & (three[i] < four[i]))


@kernel
def load_spike_input(plan, state, counts, firing, inputs, number, n_samples, now):
    """Spikes of a population that is driven from outside: the events of the present step of each sample.

    inputs: `InputSpikes`, number: of the population among these. Its events, ``pixel * C + channel``, are those of
    step t of sample s from ``pointers[number, s, t]`` on, in any order. In the window a spike counts as p = 1.
    """
    t, population = now.t, inputs.populations[number]
    pop, events, pointers = plan.populations[population], inputs.events, inputs.pointers[number]
    channels, padded = pop.channels, pop.blocks * pop.lanes
    pixels = pop.height * pop.width
    words, first, last = pixels * padded // 16, pop.state, pop.state + pixels * padded
    for sample in range(n_samples):
        if not state.active[sample]:
            continue
        state.words[sample, pop.words : pop.words + words] = 0
        graded = firing == FIRING_MEAN_FIELD
        if graded:  # graded events take their values from the membrane
            state.membrane[sample, first:last] = 0
        for i in range(pointers[sample, t], pointers[sample, t + 1]):
            pixel, channel = events[i] // channels, events[i] % channels
            at = pixel * padded + channel
            word = pop.words + at // 16
            state.words[sample, word] = np.uint16(state.words[sample, word] | (1 << (at & 15)))
            if graded:
                state.membrane[sample, state_of(pop, pixel, channel)] = np.int32(ONE)
        counts.spikes[sample, population] += list_spikes(plan, state, firing, population, sample, t)
        if now.half >= 0:
            add_spikes(pop, state, sample, now.half)


@kernel
def add_spikes(pop, state, sample, half):
    """Add each spike of a population to its half of the window, with the weight of p = 1."""
    window, events = state.window[half, sample], state.events[sample]
    for pixel in range(pop.height * pop.width):
        first, last = listed(pop, state, sample, pixel)
        place, end_of_block, stride = places(pop, pixel)
        for i in range(first, last):
            while events[i] >= end_of_block:
                place, end_of_block = place + stride, end_of_block + pop.lanes
            window[place + events[i]] += np.int32(ONE)


@kernel
def silence(plan, state, population, n_samples):
    """Empty the event lists of a population of the first samples."""
    pop = plan.populations[population]
    first = pop.start
    for sample in range(n_samples):
        state.start[sample, first : first + pop.height * pop.width + 1] = 0
