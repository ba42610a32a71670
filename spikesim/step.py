"""One time step of a group of samples: deliver the events, update the membranes, fire, list the spikes.

Per population and block of channels the tables deliver into a small block of drives, and the membranes are updated
from it while it is in the cache. A slice of a table that serves one block is read once for as many samples as the
plan says (`POP_TOGETHER`); that number changes the speed and never a bit.

Populations that are updated together read the same spikes: these live in the event lists while the populations are
updated, and the lists are rebuilt from the new spike words when all of them have been. In a synchronous step that is
all populations; in other orders (`plan.ORDER_PARITY`, `plan.ORDER_UPWARDS`) the later ones hear the new spikes of the
earlier.
"""

import numpy as np

from spikesim.compilation import inline_kernel, kernel
from spikesim.delivery import deliver_block, deliver_sparse
from spikesim.events import list_spikes
from spikesim.fixedpoint import P_MAX
from spikesim.philox import philox4x32
from spikesim.plan import (
    FIRING_IID,
    FIRING_STRATIFIED,
    KIND_SPARSE,
    ORDER_PARITY,
    ORDER_UPWARDS,
    POP_BIAS,
    POP_BLOCKS,
    POP_CHANNELS,
    POP_EXTERNAL,
    POP_HEIGHT,
    POP_LANES,
    POP_LAYER,
    POP_LEAK,
    POP_NUDGE,
    POP_SPARSE,
    POP_STATE,
    POP_STREAMED,
    POP_TOGETHER,
    POP_WIDTH,
    POP_WORDS,
    TABLE_KIND,
    TABLE_TILED,
)
from spikesim.rows import spike_word


@inline_kernel
def van_der_corput(t):
    """Bit-reversed t of period 16, as 16 bits: any 2**j consecutive steps are spread evenly over the circle."""
    return ((t & 1) << 15) | ((t & 2) << 13) | ((t & 4) << 11) | ((t & 8) << 9)


@kernel
def fill_random(clock, sample_id, layer, step, first_octet, octets, random, at):
    """16 random bits each for the neurons of some octets, into ``random[at : at + 8 * octets]``.

    The counter is (octet, step, sample, layer and stream): octet o of a population holds the channels
    8 (o mod octets a pixel) .. of pixel o // octets a pixel, octets a pixel = ceil(C / 8).
    """
    tag = (np.uint64(layer) << np.uint64(24)) | np.uint64(clock.stream)
    time, sample = np.uint64(step), np.uint64(sample_id)
    key_low, key_high = np.uint64(clock.key_low), np.uint64(clock.key_high)
    low = np.uint64(0xFFFF)
    half = np.uint64(16)
    for octet in range(octets):
        w0, w1, w2, w3 = philox4x32(np.uint64(first_octet + octet), time, sample, tag, key_low, key_high)
        lane = at + 8 * octet
        random[lane] = np.uint16(w0 & low)
        random[lane + 1] = np.uint16(w0 >> half)
        random[lane + 2] = np.uint16(w1 & low)
        random[lane + 3] = np.uint16(w1 >> half)
        random[lane + 4] = np.uint16(w2 & low)
        random[lane + 5] = np.uint16(w2 >> half)
        random[lane + 6] = np.uint16(w3 & low)
        random[lane + 7] = np.uint16(w3 >> half)


@inline_kernel
def fill_random_pixels(clock, sample_id, pop, step, block, first_pixel, pixels, random, at):
    """`fill_random` for one block of channels of a run of pixels, ``[pixel][B]`` from ``random[at]`` on."""
    octets, lanes = (pop[POP_CHANNELS] + 7) // 8, pop[POP_LANES]
    if octets * 8 == lanes:  # one block: the octets of the pixels follow each other
        fill_random(clock, sample_id, pop[POP_LAYER], step, first_pixel * octets, pixels * octets, random, at)
        return
    for pixel in range(pixels):
        octet = (first_pixel + pixel) * octets + block * lanes // 8
        fill_random(clock, sample_id, pop[POP_LAYER], step, octet, lanes // 8, random, at + pixel * lanes)


@kernel
def update_block(plan, state, counts, scratch, clock, population, block, sample, slot, t, half, measure, deliveries):
    """Leak, accumulate the window, fire: one block of channels of one sample, a row of pixels at a time.

    deliveries: bit 0, scratch.full holds drives; bit 1, scratch.tile does (at half the resolution).
    half: -1 outside the window, else the half (0, 1) of the window that p is added to.
    """
    pop = plan.populations[population]
    height, width, lanes = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_LANES]
    blocks, leak = pop[POP_BLOCKS], pop[POP_LEAK] if t >= clock.onset else 0
    tile_width, tile_height = width // 2, height // 2
    size = height * width * lanes
    block_at = pop[POP_STATE] + block * size
    bias = plan.bias[pop[POP_BIAS] + block * lanes :]
    membrane = state.membrane[sample, block_at : block_at + size]
    external = state.external[sample, block_at if pop[POP_EXTERNAL] else 0 :]
    nudge = state.nudge[sample, block_at if pop[POP_NUDGE] else 0 :]
    threshold = state.threshold[sample, block_at if clock.firing == FIRING_STRATIFIED else 0 :]
    window = state.window[max(half, 0), sample, block_at : block_at + size]
    counted = state.unclipped.shape[2] > 0
    unclipped = state.unclipped[max(half, 0), sample, block_at if counted else 0 :]
    words = state.words[sample, pop[POP_WORDS] :]
    full, tile = scratch.full[slot], scratch.tile[slot]
    sparse = scratch.sparse_drive[slot, block * size if pop[POP_SPARSE] else 0 :]
    drive, probability, random = scratch.drive, scratch.probability, scratch.random
    offset = np.int32(van_der_corput(t))
    energy = np.int64(0)
    count = width * lanes
    for y in range(height):
        at = y * count
        # slices, so that the loops below index from 0 and the compiler can drop its checks for negative indices
        v = membrane[at : at + count]
        for x in range(width):
            for lane in range(lanes):
                drive[x * lanes + lane] = bias[lane]
        if pop[POP_EXTERNAL]:
            row = external[at : at + count]
            for i in range(count):
                drive[i] += row[i]
        if deliveries & 1:
            row = full[at : at + count]
            for i in range(count):
                drive[i] += row[i]
        if deliveries & 2 and y < 2 * tile_height:
            row = tile[(y // 2) * tile_width * lanes : (y // 2 + 1) * tile_width * lanes]
            for x in range(2 * tile_width):
                for lane in range(lanes):
                    drive[x * lanes + lane] += row[(x // 2) * lanes + lane]
        if pop[POP_SPARSE]:
            row = sparse[at : at + count]
            for i in range(count):
                drive[i] += row[i]
        if measure:  # the drive holds each synapse's share at both of its ends, a constant only once
            for i in range(count):
                constant = np.int64(bias[i % lanes])
                if pop[POP_EXTERNAL]:
                    constant += np.int64(external[at + i])
                p = np.int64(min(max(v[i], 0), P_MAX))
                energy += p * (p - constant - np.int64(drive[i]))
        if pop[POP_NUDGE]:
            row = nudge[at : at + count]
            for i in range(count):
                drive[i] += row[i]
        for i in range(count):
            moved = np.int32(v[i] + ((drive[i] - v[i]) >> leak))
            v[i] = moved
            probability[i] = np.uint16(min(max(moved, np.int32(0)), np.int32(P_MAX)))
        if half >= 0:
            row = window[at : at + count]
            for i in range(count):
                row[i] += np.int32(probability[i])
            if counted:
                steps = unclipped[at : at + count]
                for i in range(count):
                    steps[i] += np.uint16((v[i] > 0) & (v[i] < P_MAX))
        if clock.firing == FIRING_IID:
            fill_random_pixels(clock, state.sample_ids[sample], pop, t, block, y * width, width, random, 0)
        elif clock.firing == FIRING_STRATIFIED:
            first = threshold[at : at + count]
            for i in range(count):
                random[i] = np.uint16(first[i] + offset)
        else:  # mean field: every neuron with p > 0 sends its p
            for i in range(count):
                random[i] = np.uint16(0)
        for x in range(width):
            word = ((y * width + x) * blocks + block) * lanes // 16
            for j in range(lanes // 16):
                words[word + j] = spike_word(probability, random, x * lanes + 16 * j)
    counts.energy[sample, population] += energy


@kernel
def begin_phase(plan, state, counts, clock, n_samples, first):
    """Before step `first`: lists from the spikes as they are, window sums at zero, stratified thresholds drawn."""
    state.window[:, :n_samples] = 0
    state.unclipped[:, :n_samples] = 0
    for sample in range(n_samples):
        for population in range(plan.populations.shape[0]):
            pop = plan.populations[population]
            if pop[POP_STREAMED]:
                continue
            list_spikes(plan, state, counts, clock.firing, population, sample, first, False)
            if clock.firing != FIRING_STRATIFIED:
                continue
            lanes, pixels = pop[POP_LANES], pop[POP_HEIGHT] * pop[POP_WIDTH]
            threshold = state.threshold[sample]
            for block in range(pop[POP_BLOCKS]):
                at = pop[POP_STATE] + block * pixels * lanes
                fill_random_pixels(clock, state.sample_ids[sample], pop, 0, block, 0, pixels, threshold, at)


@kernel
def update_population(plan, state, counts, scratch, clock, population, n_samples, t, half, measure):
    """Deliver to and update one population for a group of samples."""
    pop = plan.populations[population]
    together = pop[POP_TOGETHER]
    first_incoming, last_incoming = plan.incoming_pointers[population], plan.incoming_pointers[population + 1]
    for begin in range(0, n_samples, together):
        end = min(begin + together, n_samples)
        if pop[POP_SPARSE]:
            scratch.sparse_drive[:] = 0
            for i in range(first_incoming, last_incoming):
                if plan.tables[plan.incoming[i], TABLE_KIND] == KIND_SPARSE:
                    for sample in range(begin, end):
                        if state.active[sample]:
                            slot = sample - begin
                            deliver_sparse(plan, state, counts, scratch, clock.firing, plan.incoming[i], sample, slot)
        for block in range(pop[POP_BLOCKS]):
            deliveries = 0
            for i in range(first_incoming, last_incoming):
                table = plan.incoming[i]
                if plan.tables[table, TABLE_KIND] == KIND_SPARSE:
                    continue
                tiled = plan.tables[table, TABLE_TILED]
                flag = 2 if tiled else 1
                for sample in range(begin, end):
                    if not state.active[sample]:
                        continue
                    slot = sample - begin
                    out = scratch.tile[slot] if tiled else scratch.full[slot]
                    deliver_block(
                        plan, state, counts, scratch, clock.firing, table, block, sample, out, not deliveries & flag
                    )
                deliveries |= flag
            for sample in range(begin, end):
                if state.active[sample]:
                    update_block(
                        plan, state, counts, scratch, clock, population, block, sample, sample - begin, t, half,
                        measure, deliveries,
                    )  # fmt: skip


@kernel
def step(plan, state, counts, scratch, clock, n_samples, t, half, measure):
    """Step t of a phase for the first n_samples of a group.

    half: -1 outside the phase's window, else the half (0, 1) of the window this step belongs to.
    measure: whether to take the value of the energy function, at the state before the step.
    """
    if measure:
        for sample in range(n_samples):
            if state.active[sample]:
                counts.energy[sample] = 0
    populations = plan.populations.shape[0]
    rounds = 1
    if clock.order == ORDER_PARITY:
        rounds = 2
    elif clock.order == ORDER_UPWARDS:
        rounds = populations
    for first in range(rounds):
        for population in range(first, populations, rounds):
            if not plan.populations[population, POP_STREAMED]:
                update_population(plan, state, counts, scratch, clock, population, n_samples, t, half, measure)
        for population in range(first, populations, rounds):
            pop = plan.populations[population]
            if pop[POP_STREAMED]:
                continue
            neurons = pop[POP_HEIGHT] * pop[POP_WIDTH] * pop[POP_CHANNELS]
            for sample in range(n_samples):
                if state.active[sample]:
                    list_spikes(plan, state, counts, clock.firing, population, sample, t + 1, True)
                    counts.updates[sample, population] += neurons
    for sample in range(n_samples):
        if state.active[sample]:
            counts.steps[sample] += 1


@kernel
def measure_residual(plan, state, counts, sample):
    """Sum of |difference of p between the halves of the window| of one sample, by population."""
    for population in range(plan.populations.shape[0]):
        pop = plan.populations[population]
        if pop[POP_STREAMED]:
            continue
        begin = pop[POP_STATE]
        end = begin + pop[POP_HEIGHT] * pop[POP_WIDTH] * pop[POP_BLOCKS] * pop[POP_LANES]
        residual = np.int64(0)
        for i in range(begin, end):
            residual += abs(np.int64(state.window[1, sample, i]) - np.int64(state.window[0, sample, i]))
        counts.residual[sample, population] = residual
