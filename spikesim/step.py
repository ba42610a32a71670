"""One time step of a group of samples: deliver the events, update the membranes, fire, list the spikes.

Per population and block of channels the tables deliver into a small block of drives, and the membranes are updated
from it while it is in the cache. A slice of a table that serves one block is read once for as many samples as the
plan says (`POP_TOGETHER`); that number changes the speed and never a bit.

All populations read the spikes of step t and write those of step t + 1 (synchronous update): spikes live in the event
lists while the step runs, and the lists are rebuilt from the new spike words at its end.
"""

import numpy as np

from spikesim.compilation import inline_kernel, kernel
from spikesim.fixedpoint import ONE, P_MAX
from spikesim.philox import philox4x32
from spikesim.plan import (
    FIRING_IID,
    FIRING_MEAN_FIELD,
    FIRING_STRATIFIED,
    KIND_DENSE,
    KIND_SPARSE,
    POOL_AVERAGE,
    POP_BIAS,
    POP_BLOCKS,
    POP_CHANNELS,
    POP_EVENTS,
    POP_EXTERNAL,
    POP_HEIGHT,
    POP_LANES,
    POP_LAYER,
    POP_LEAK,
    POP_NUDGE,
    POP_POOLED_EVENTS,
    POP_POOLED_START,
    POP_SPARSE,
    POP_START,
    POP_STATE,
    POP_STREAMED,
    POP_TOGETHER,
    POP_WIDTH,
    POP_WORDS,
    TABLE_IN_CHANNELS,
    TABLE_IN_HEIGHT,
    TABLE_IN_WIDTH,
    TABLE_KERNEL_HEIGHT,
    TABLE_KERNEL_WIDTH,
    TABLE_KIND,
    TABLE_OUT_HEIGHT,
    TABLE_OUT_WIDTH,
    TABLE_PAD_HEIGHT,
    TABLE_PAD_WIDTH,
    TABLE_POINTERS,
    TABLE_POOLED,
    TABLE_SHIFT,
    TABLE_SHIFT_GRADED,
    TABLE_SOURCE,
    TABLE_TARGET,
    TABLE_TILED,
    TABLE_WEIGHTS,
)
from spikesim.rows import (
    add_graded_rows_16,
    add_graded_rows_32,
    add_graded_rows_64,
    add_rows_16,
    add_rows_32,
    add_rows_64,
    lowest_bit,
    spike_word,
)


@inline_kernel
def shifted(value, shift):
    """value * 2**-shift with halves rounded up; as `fixedpoint.shift_rounding`."""
    if shift > 0:
        return (value + (np.int64(1) << (shift - 1))) >> shift
    return value << -shift


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
def deliver_block(plan, state, counts, scratch, firing, table, block, sample, out, first_table):
    """Drives of one block of channels of one sample from one conv or dense table, written or added to `out`.

    out: int32, ``[pixel][B]`` at the resolution at which the table delivers. Output-stationary: the sums of one pixel
    stay in registers while the run of events of a kernel row passes by.
    """
    row = plan.tables[table]
    source, target = plan.populations[row[TABLE_SOURCE]], plan.populations[row[TABLE_TARGET]]
    lanes, blocks = target[POP_LANES], target[POP_BLOCKS]
    graded = firing == FIRING_MEAN_FIELD
    if row[TABLE_POOLED]:
        events_at, start_at = source[POP_POOLED_EVENTS], source[POP_POOLED_START]
    else:
        events_at, start_at = source[POP_EVENTS], source[POP_START]
    events = state.events[sample, events_at:]
    values = state.values[sample, events_at if graded else 0 :]
    start = state.start[sample, start_at:]
    in_height, in_width, in_channels = row[TABLE_IN_HEIGHT], row[TABLE_IN_WIDTH], row[TABLE_IN_CHANNELS]
    out_height, out_width = row[TABLE_OUT_HEIGHT], row[TABLE_OUT_WIDTH]
    pad_height, pad_width = row[TABLE_PAD_HEIGHT], row[TABLE_PAD_WIDTH]
    kernel_height, kernel_width = row[TABLE_KERNEL_HEIGHT], row[TABLE_KERNEL_WIDTH]
    weights, weights_at = plan.weights, row[TABLE_WEIGHTS]
    dense = row[TABLE_KIND] == KIND_DENSE
    rows = in_height * in_width * in_channels if dense else kernel_width * in_channels
    shift = row[TABLE_SHIFT_GRADED] if graded else row[TABLE_SHIFT]
    half = np.int32(1 << (shift - 1)) if shift > 0 else np.int32(0)
    sums, graded_sums = scratch.sums, scratch.graded_sums
    delivered = 0
    for y in range(out_height):
        for x in range(out_width):
            pixel = y * out_width + x
            if graded:
                for lane in range(lanes):
                    graded_sums[lane] = 0.0
            else:
                for lane in range(lanes):
                    sums[lane] = 0
            in_x = x - pad_width  # of the kernel's first column; may lie outside
            first_x, last_x = max(in_x, 0), min(in_x + kernel_width, in_width)
            for ky in range(kernel_height):
                if dense:
                    first, last = start[0], start[in_height * in_width]
                    origin = weights_at + (pixel * blocks + block) * rows * lanes
                else:
                    in_y = y + ky - pad_height
                    if in_y < 0 or in_y >= in_height or first_x >= last_x:
                        continue
                    first, last = start[in_y * in_width + first_x], start[in_y * in_width + last_x]
                    before = (in_y * in_width + in_x) * in_channels
                    origin = weights_at + ((block * kernel_height + ky) * rows - before) * lanes
                delivered += last - first
                if graded:
                    if lanes == 64:
                        add_graded_rows_64(weights, origin, events, values, first, last, graded_sums)
                    elif lanes == 32:
                        add_graded_rows_32(weights, origin, events, values, first, last, graded_sums)
                    else:
                        add_graded_rows_16(weights, origin, events, values, first, last, graded_sums)
                elif lanes == 64:
                    add_rows_64(weights, origin, events, first, last, sums)
                elif lanes == 32:
                    add_rows_32(weights, origin, events, first, last, sums)
                else:
                    add_rows_16(weights, origin, events, first, last, sums)
            if graded:
                for lane in range(lanes):
                    sums[lane] = np.int32(shifted(np.int64(graded_sums[lane]), shift))
            elif shift > 0:
                for lane in range(lanes):
                    sums[lane] = (sums[lane] + half) >> shift
            elif shift < 0:
                for lane in range(lanes):
                    sums[lane] = sums[lane] << -shift
            at = pixel * lanes
            if first_table:
                for lane in range(lanes):
                    out[at + lane] = sums[lane]
            else:
                for lane in range(lanes):
                    out[at + lane] += sums[lane]
    if block == 0:
        if graded:
            counts.graded[sample, table] += delivered * target[POP_CHANNELS]
        else:
            counts.events[sample, table] += delivered * target[POP_CHANNELS]


@kernel
def deliver_sparse(plan, state, counts, scratch, firing, table, sample, slot):
    """Add the drives of one sample from one CSR table to `scratch.sparse_drive[slot]`, in the layout of the state."""
    row = plan.tables[table]
    source, target = plan.populations[row[TABLE_SOURCE]], plan.populations[row[TABLE_TARGET]]
    size = target[POP_HEIGHT] * target[POP_WIDTH] * target[POP_BLOCKS] * target[POP_LANES]
    graded = firing == FIRING_MEAN_FIELD
    first = state.start[sample, source[POP_START]]
    last = state.start[sample, source[POP_START] + source[POP_HEIGHT] * source[POP_WIDTH]]
    sums = scratch.sparse
    sums[:size] = 0
    delivered = 0
    for i in range(source[POP_EVENTS] + first, source[POP_EVENTS] + last):
        pointer = row[TABLE_POINTERS] + np.int64(state.events[sample, i])
        value = np.int64(state.values[sample, i]) if graded else np.int64(1)
        begin, end = plan.sparse_pointers[pointer], plan.sparse_pointers[pointer + 1]
        for synapse in range(row[TABLE_WEIGHTS] + begin, row[TABLE_WEIGHTS] + end):
            sums[plan.sparse_targets[synapse]] += value * np.int64(plan.sparse_weights[synapse])
        delivered += end - begin
    shift = row[TABLE_SHIFT_GRADED] if graded else row[TABLE_SHIFT]
    for i in range(size):
        scratch.sparse_drive[slot, i] += np.int32(shifted(sums[i], shift))
    if graded:
        counts.graded[sample, table] += delivered
    else:
        counts.events[sample, table] += delivered


@kernel
def update_block(plan, state, counts, scratch, clock, population, block, sample, slot, t, half, measure, deliveries):
    """Leak, accumulate the window, fire: one block of channels of one sample, a row of pixels at a time.

    deliveries: bit 0, scratch.full holds drives; bit 1, scratch.tile does (at half the resolution).
    half: -1 outside the window, else the half (0, 1) of the window that p is added to.
    """
    pop = plan.populations[population]
    height, width, lanes = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_LANES]
    blocks, leak = pop[POP_BLOCKS], pop[POP_LEAK]
    tile_width, tile_height = width // 2, height // 2
    size = height * width * lanes
    block_at = pop[POP_STATE] + block * size
    bias = plan.bias[pop[POP_BIAS] + block * lanes :]
    membrane = state.membrane[sample, block_at : block_at + size]
    external = state.external[sample, block_at if pop[POP_EXTERNAL] else 0 :]
    nudge = state.nudge[sample, block_at if pop[POP_NUDGE] else 0 :]
    threshold = state.threshold[sample, block_at if clock.firing == FIRING_STRATIFIED else 0 :]
    window = state.window[max(half, 0), sample, block_at : block_at + size]
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
def list_spikes(plan, state, counts, firing, population, sample, t, count):
    """Rebuild the event lists of one population of one sample from its spike words."""
    pop = plan.populations[population]
    height, width, channels, lanes = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_CHANNELS], pop[POP_LANES]
    words_a_pixel = pop[POP_BLOCKS] * lanes // 16
    events, start = state.events[sample, pop[POP_EVENTS] :], state.start[sample, pop[POP_START] :]
    words = state.words[sample, pop[POP_WORDS] :]
    graded = firing == FIRING_MEAN_FIELD
    n = 0
    for pixel in range(height * width):
        start[pixel] = n
        for word in range(0, words_a_pixel, 4):  # 64 neurons at a time: one mispredicted branch for all of them
            bits = np.uint64(0)
            for j in range(min(4, words_a_pixel - word)):
                bits |= np.uint64(words[pixel * words_a_pixel + word + j]) << np.uint64(16 * j)
            while bits:
                channel = word * 16 + lowest_bit(bits)
                bits &= bits - np.uint64(1)
                events[n] = np.int32(pixel * channels + channel)
                if graded:
                    state.values[sample, pop[POP_EVENTS] + n] = probability_of(pop, state, sample, pixel, channel)
                n += 1
    start[height * width] = n
    if count:
        counts.spikes[sample, population] += n
    if pop[POP_POOLED_EVENTS] >= 0:
        if graded:
            pool_graded(plan, state, population, sample)
        else:
            pool_spikes(plan, state, population, sample, t)


@inline_kernel
def probability_of(pop, state, sample, pixel, channel):
    """p of one neuron as 16 bits, from its membrane; a spike from outside has the full weight of 2**16."""
    lanes = pop[POP_LANES]
    pixels = pop[POP_HEIGHT] * pop[POP_WIDTH]
    if pop[POP_STREAMED]:
        word = state.words[sample, pop[POP_WORDS] + (pixel * pop[POP_BLOCKS] * lanes + channel) // 16]
        return np.int32(((np.int64(word) >> (channel & 15)) & 1) * ONE)
    at = pop[POP_STATE] + ((channel // lanes) * pixels + pixel) * lanes + channel % lanes
    return np.int32(min(max(state.membrane[sample, at], 0), P_MAX))


@kernel
def pool_spikes(plan, state, population, sample, t):
    """The event list at half the resolution: all four cells, or the one of each channel whose turn it is.

    The turn (t + t // 4 + y + x + channel) mod 4 visits each cell once in four steps; the t // 4 keeps it out of step
    with the stratified sequence, whose leading bits repeat every four steps.
    """
    pop = plan.populations[population]
    height, width, channels = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_CHANNELS]
    words_a_pixel = pop[POP_BLOCKS] * pop[POP_LANES] // 16
    average = False
    for table in range(plan.tables.shape[0]):
        if plan.tables[table, TABLE_SOURCE] == population and plan.tables[table, TABLE_POOLED] == POOL_AVERAGE:
            average = True
    events, start = state.events[sample, pop[POP_EVENTS] :], state.start[sample, pop[POP_START] :]
    pooled, pooled_start = state.events[sample, pop[POP_POOLED_EVENTS] :], state.start[sample, pop[POP_POOLED_START] :]
    n = 0
    for y in range(height // 2):
        for x in range(width // 2):
            pooled_pixel = y * (width // 2) + x
            pooled_start[pooled_pixel] = n
            for cell in range(4):
                pixel = (2 * y + cell // 2) * width + 2 * x + cell % 2
                if average:
                    move = np.int32((pooled_pixel - pixel) * channels)
                    for i in range(start[pixel], start[pixel + 1]):
                        pooled[n] = events[i] + move
                        n += 1
                    continue
                turn = np.uint64(0x1111 << ((cell - (t + t // 4 + y + x)) & 3))
                for word in range(words_a_pixel):
                    bits = np.uint64(state.words[sample, pop[POP_WORDS] + pixel * words_a_pixel + word]) & turn
                    while bits:
                        pooled[n] = np.int32(pooled_pixel * channels + word * 16 + lowest_bit(bits))
                        bits &= bits - np.uint64(1)
                        n += 1
    pooled_start[(height // 2) * (width // 2)] = n


@kernel
def pool_graded(plan, state, population, sample):
    """Graded events at half the resolution: the sum of p over the four cells, where it is not zero."""
    pop = plan.populations[population]
    height, width, channels = pop[POP_HEIGHT], pop[POP_WIDTH], pop[POP_CHANNELS]
    pooled, pooled_start = state.events[sample, pop[POP_POOLED_EVENTS] :], state.start[sample, pop[POP_POOLED_START] :]
    n = 0
    for y in range(height // 2):
        for x in range(width // 2):
            pooled_pixel = y * (width // 2) + x
            pooled_start[pooled_pixel] = n
            for channel in range(channels):
                value = np.int32(0)
                for cell in range(4):
                    pixel = (2 * y + cell // 2) * width + 2 * x + cell % 2
                    value += probability_of(pop, state, sample, pixel, channel)
                if value:
                    pooled[n] = np.int32(pooled_pixel * channels + channel)
                    state.values[sample, pop[POP_POOLED_EVENTS] + n] = value
                    n += 1
    pooled_start[(height // 2) * (width // 2)] = n


@kernel
def begin_phase(plan, state, counts, clock, n_samples, first):
    """Before step `first`: lists from the spikes as they are, window sums at zero, stratified thresholds drawn."""
    state.window[:, :n_samples] = 0
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
    for population in range(plan.populations.shape[0]):
        if not plan.populations[population, POP_STREAMED]:
            update_population(plan, state, counts, scratch, clock, population, n_samples, t, half, measure)
    for population in range(plan.populations.shape[0]):
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
def load_stream(plan, state, counts, clock, population, n_samples, events, pointers, t):
    """Spikes of a population that is driven from outside: the events of step t of each sample.

    events: int32, `pixel * C + channel`; pointers: int64 (n, steps + 1), the events of step t of sample s are
    ``events[pointers[s, t]:pointers[s, t + 1]]``, in any order.
    """
    pop = plan.populations[population]
    channels, padded = pop[POP_CHANNELS], pop[POP_BLOCKS] * pop[POP_LANES]
    words = pop[POP_HEIGHT] * pop[POP_WIDTH] * padded // 16
    for sample in range(n_samples):
        if not state.active[sample]:
            continue
        state.words[sample, pop[POP_WORDS] : pop[POP_WORDS] + words] = 0
        for i in range(pointers[sample, t], pointers[sample, t + 1]):
            at = (events[i] // channels) * padded + events[i] % channels
            word = pop[POP_WORDS] + at // 16
            state.words[sample, word] = np.uint16(state.words[sample, word] | (1 << (at & 15)))
        list_spikes(plan, state, counts, clock.firing, population, sample, t, True)


@kernel
def settle(plan, state, counts, n_samples, tolerance):
    """Residual of each active sample; those at or below the tolerance stop, the others start a new window.

    tolerance: largest mean of |difference of p between the halves of the window|, in units of 2**-16 times half the
    window's length; negative: only measure.
    """
    size = state.window.shape[2]
    running = 0
    for sample in range(n_samples):
        if not state.active[sample]:
            continue
        total, neurons = np.int64(0), np.int64(0)
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
            total += residual
            neurons += pop[POP_HEIGHT] * pop[POP_WIDTH] * pop[POP_CHANNELS]
        if total <= tolerance * neurons:
            state.active[sample] = 0
        else:
            running += 1
            if tolerance >= 0:
                for i in range(size):
                    state.window[0, sample, i] = 0
                    state.window[1, sample, i] = 0
    return running
