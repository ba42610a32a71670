"""One time step of a group of samples: deliver the events, update the membranes, fire, list the spikes.

Per population and block of channels the tables deliver into a small block of drives, and the membranes are updated
from it while it is in the cache. A slice of a table that serves one block is read once for as many samples as the
plan says (`together`); that number changes the speed and never a bit.

Populations that are updated together read the same spikes: these live in the event lists while the populations are
updated, and the lists are rebuilt from the new spike words when all of them have been. In a synchronous step that is
all populations; in other orders (`plan.ORDER_PARITY`, `plan.ORDER_UPWARDS`) the later ones hear the new spikes of the
earlier.

Constants that kernels are given are of a NumPy type: for a literal, a kernel would be compiled once more.
"""

from typing import NamedTuple

import numpy as np

from spikesim.engine.delivery import deliver_block, deliver_sparse, fetch_weights
from spikesim.engine.events import choose_winners, list_spikes
from spikesim.engine.neurons import (
    energy_of,
    fire,
    fire_counted,
    fire_summed,
    other_fire,
    other_fire_counted,
    other_fire_summed,
)
from spikesim.engine.phase import model_of
from spikesim.engine.plan import (
    FIRING_IID,
    FIRING_STRATIFIED,
    KIND_SPARSE,
    ORDER_PARITY,
    ORDER_UPWARDS,
)
from spikesim.engine.random_numbers import Stretch, draw_thresholds, fill_random_pixels
from spikesim.engine.simd.fire import Drives, External, LowPass, Membrane, Threshold, WindowSums
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.dither import leak_dither, reversed_bits


class Row(NamedTuple):
    """A row of pixels of one block of channels, for `_fire_row`, which is given the places of its first neurons."""

    sample: int
    words: int  # where its first spike word is in the words of the sample
    stride: int  # from the words of a pixel to those of the next
    width: int
    tiled: int  # pixels that have drives at half the resolution, ``[pixel // 2][lanes]`` in the rows from `tile` on
    tile: int
    lanes: int
    way: int  # -1: p is not summed, 0: it is, 1: and the steps are counted in which p followed V


@inline_kernel
def _places(row, membrane, drives, window, threshold, x, j):
    """Those of the 16 neurons number j of pixel x, from those of the first ones of the row."""
    i, cell = x * row.lanes + 16 * j, (row.tile + (x >> 1) * row.lanes if x < row.tiled else 0) + 16 * j
    v, n, memory, setting = membrane
    rows, first, _, others, other, bias, b = drives
    sums, steps, m = window
    random, r, flipped = threshold
    return (
        Membrane(v, n + i, memory, setting),
        Drives(rows, first + i, cell, others, other + i, bias, b + 16 * j),
        WindowSums(sums, steps, m + i),
        Threshold(random, r + i, flipped),
    )


@inline_kernel
def _fire_row(row, membrane, drives, window, threshold, low_pass, words):
    """Move the membranes of a row of clipped linear neurons and fire."""
    for x in range(row.width):
        for j in range(row.lanes >> 4):
            own, driven, summed, limit = _places(row, membrane, drives, window, threshold, x, j)
            if row.way < 0:
                fired = fire(own, driven, summed, limit, low_pass)
            elif row.way > 0:
                fired = fire_counted(own, driven, summed, limit, low_pass)
            else:
                fired = fire_summed(own, driven, summed, limit, low_pass)
            words[row.sample, row.words + x * row.stride + j] = fired


@inline_kernel
def _fire_other_row(model, row, membrane, drives, window, threshold, low_pass, words):
    """The same for neurons of another model: a loop of its own, which leaves the other one as fast as it is alone."""
    for x in range(row.width):
        for j in range(row.lanes >> 4):
            own, driven, summed, limit = _places(row, membrane, drives, window, threshold, x, j)
            if row.way < 0:
                fired = other_fire(model - 1, own, driven, summed, limit, low_pass)
            elif row.way > 0:
                fired = other_fire_counted(model - 1, own, driven, summed, limit, low_pass)
            else:
                fired = other_fire_summed(model - 1, own, driven, summed, limit, low_pass)
            words[row.sample, row.words + x * row.stride + j] = fired


@inline_kernel
def update_block(engine, phase, now, population, block, sample, slot, deliveries):
    """Leak, accumulate the window, fire: one block of channels of one sample, a row of pixels at a time.

    deliveries: bit 0, scratch.full holds drives; bit 1, scratch.tile does (at half the resolution).
    """
    plan, state, scratch, t = engine.plan, engine.state, engine.scratch, now.t
    pop = plan.populations[population]
    height, width, lanes, per_pixel = pop.height, pop.width, pop.lanes, pop.lanes >> 4
    extent = state.extent[sample, population]
    model, setting, memory = model_of(pop, phase.firing), pop.refractory, state.memory
    leak = pop.leak if t >= phase.onset else 0
    low_pass = LowPass(leak, leak_dither(t, leak))
    to_winners = pop.winner and deliveries & 2
    tiled_height, tiled_width = (height >> 1 << 1, extent >> 1 << 1) if deliveries & 2 and not pop.winner else (0, 0)
    count, there = width * lanes, extent * lanes
    bias_at = pop.bias + block * lanes
    # whole arrays and flat indices, as the vector functions take them
    v, sums, steps, rows, bias = state.membrane, state.window, state.unclipped, scratch.rows, plan.bias
    size, samples = v.shape[1], v.shape[0]
    v_at, sums_at = sample * size, (max(now.half, 0) * samples + sample) * size
    counted = steps.shape[2] > 0
    stratified = phase.firing == FIRING_STRATIFIED
    random = state.threshold if stratified else scratch.random
    flipped = np.uint16(reversed_bits(t) if stratified else 0)
    full_at = 2 * scratch.drive.shape[0] + slot * scratch.full.shape[1]
    tile_at = full_at + scratch.full.size
    mixed = pop.sparse or pop.nudge or to_winners  # with these, `scratch.drive` holds external drives too
    plain_external = pop.external and not mixed
    others = state.external if plain_external else rows
    external = state.external if pop.external else rows  # the zeros in front
    energy = np.int64(0)
    for y in range(height):
        at = pop.state + (block * height + y) * count
        row_at = full_at + y * count if deliveries & 1 else 0  # rows that are not there: the zeros in front
        others_at, random_at = (v_at + at if plain_external else 0), (v_at + at if stratified else 0)
        if mixed:
            others_at = scratch.drive.shape[0]
            _mix_drives(state, scratch, pop, sample, slot, at, (block * height + y) * count, there)
        tile_row = tile_at + (y >> 1) * (width >> 1) * lanes
        if to_winners and y < height >> 1 << 1:
            _drive_winners(state.winners[sample], pop, y, block, extent, rows[0, tile_row:], scratch.drive)
        if now.measure:  # before the nudges, which are no part of it
            external_at = v_at + at if pop.external else 0
            i = 0
            for x in range(extent):
                cell_at = tile_row + (x >> 1) * lanes if y < tiled_height and x < tiled_width else 0
                for j in range(per_pixel):
                    drives = Drives(rows, row_at + i, cell_at + 16 * j, others, others_at + i, bias, bias_at + 16 * j)
                    membrane = Membrane(v, v_at + at + i, memory, setting)
                    energy += energy_of(membrane, drives, External(external, external_at + i))
                    i += 16
        if pop.nudge:
            for i in range(there):
                scratch.drive[i] += state.nudge[sample, at + i]
        if phase.firing == FIRING_IID:
            stretch = Stretch(block, y * width, extent)
            fill_random_pixels(phase, state.sample_ids[sample], pop, t, stretch, random[0], np.int64(0))
        elif not stratified:  # mean field: every neuron with p > 0 sends its p
            for i in range(there):
                random[0, i] = np.uint16(0)
        row = Row(
            sample=sample,
            words=pop.words + (y * width * pop.blocks + block) * per_pixel,
            stride=pop.blocks * per_pixel,
            width=extent,
            tiled=tiled_width if y < tiled_height else 0,
            tile=tile_row,
            lanes=lanes,
            way=-1 if now.half < 0 else int(counted),
        )
        membrane = Membrane(v, v_at + at, memory, setting)
        drives = Drives(rows, row_at, 0, others, others_at, bias, bias_at)
        window, threshold = WindowSums(sums, steps, sums_at + at), Threshold(random, random_at, flipped)
        if model == 0:
            _fire_row(row, membrane, drives, window, threshold, low_pass, state.words)
        else:
            _fire_other_row(model, row, membrane, drives, window, threshold, low_pass, state.words)
    engine.counts.energy[sample, population] += energy


@kernel
def _mix_drives(state, scratch, pop, sample, slot, at, sparse_at, count):
    """Into `scratch.drive`, for a row of pixels: external drives and those of CSR tables."""
    drive = scratch.drive
    for i in range(count):
        drive[i] = 0
    if pop.external:
        own = state.external[sample, at : at + count]
        for i in range(count):
            drive[i] += own[i]
    if pop.sparse:
        own = scratch.sparse_drive[slot, sparse_at : sparse_at + count]
        for i in range(count):
            drive[i] += own[i]


@kernel
def _drive_winners(winners, pop, y, block, extent, tile, drive):
    """Add drives at half the resolution, of a row, to those of the winners of their cells, for a row of pixels."""
    lanes, per_pixel = pop.lanes, pop.lanes >> 4
    at = pop.words + (y * pop.width * pop.blocks + block) * per_pixel
    for x in range(extent >> 1 << 1):
        for j in range(per_pixel):
            word = np.uint32(winners[at + x * pop.blocks * per_pixel + j])
            to, cell = x * lanes + 16 * j, (x >> 1) * lanes + 16 * j
            for bit in range(16):
                drive[to + bit] += tile[cell + bit] * np.int32((word >> np.uint32(bit)) & np.uint32(1))


@kernel
def begin_phase(plan, state, phase, n_samples, first):
    """Before step `first`: lists from the spikes as they are, window sums at zero, stratified thresholds drawn."""
    state.window[:, :n_samples] = 0
    state.unclipped[:, :n_samples] = 0
    state.wins[:, :n_samples] = 0
    for sample in range(n_samples):
        for population in range(plan.populations.shape[0]):
            pop = plan.populations[population]
            if pop.spike_input:
                continue
            if pop.winner:
                choose_winners(plan, state, population, sample, np.int64(-1))
            list_spikes(plan, state, phase.firing, population, sample, first)
            if phase.firing != FIRING_STRATIFIED:
                continue
            for block in range(pop.blocks):
                at = pop.state + block * pop.height * pop.width * pop.lanes
                draw_thresholds(phase, state.sample_ids[sample], pop, block, state.threshold[sample], at)


@kernel
def update_population(engine, phase, now, population, n_samples):
    """Deliver to and update one population for a group of samples."""
    plan, state, scratch = engine.plan, engine.state, engine.scratch
    pop = plan.populations[population]
    together = pop.together
    first_incoming, last_incoming = plan.incoming_pointers[population], plan.incoming_pointers[population + 1]
    for begin in range(0, n_samples, together):
        end = min(begin + together, n_samples)
        if pop.sparse:
            scratch.sparse_drive[:] = 0
            for i in range(first_incoming, last_incoming):
                table = plan.incoming[i]
                if plan.tables[table].kind == KIND_SPARSE:
                    for sample in range(begin, end):
                        if state.active[sample]:
                            deliver_sparse(engine, phase.firing, table, sample, sample - begin)
        for block in range(pop.blocks):
            deliveries = 0
            for i in range(first_incoming, last_incoming):
                table = plan.incoming[i]
                if plan.tables[table].kind == KIND_SPARSE:
                    continue
                tiled = plan.tables[table].tiled
                flag = 2 if tiled else 1
                if together > 1:
                    fetch_weights(plan, state, table, block, begin, end)
                for sample in range(begin, end):
                    if not state.active[sample]:
                        continue
                    slot = sample - begin
                    out = scratch.tile[slot] if tiled else scratch.full[slot]
                    deliver_block(engine, phase.firing, table, block, sample, out, not deliveries & flag)
                deliveries |= flag
            for sample in range(begin, end):
                if state.active[sample]:
                    update_block(engine, phase, now, population, block, sample, sample - begin, deliveries)


@kernel
def step(engine, phase, n_samples, now):
    """One step of a phase for the first n_samples of a group."""
    plan, state, counts = engine.plan, engine.state, engine.counts
    if now.measure:
        for sample in range(n_samples):
            if state.active[sample]:
                counts.energy[sample] = 0
    populations = plan.populations.shape[0]
    rounds = 1
    if phase.order == ORDER_PARITY:
        rounds = 2
    elif phase.order == ORDER_UPWARDS:
        rounds = populations
    for first in range(rounds):
        for population in range(first, populations, rounds):
            if not plan.populations[population].spike_input:
                update_population(engine, phase, now, population, n_samples)
        for population in range(first, populations, rounds):
            pop = plan.populations[population]
            if pop.spike_input:
                continue
            column = pop.height * pop.channels
            for sample in range(n_samples):
                if state.active[sample]:
                    if pop.winner:
                        choose_winners(plan, state, population, sample, now.half)
                    spikes = list_spikes(plan, state, phase.firing, population, sample, now.t + 1)
                    counts.spikes[sample, population] += spikes
                    counts.updates[sample, population] += column * state.extent[sample, population]
    for sample in range(n_samples):
        if state.active[sample]:
            counts.steps[sample] += 1


@kernel
def measure_residual(plan, state, counts, sample):
    """Sum of |difference of p between the halves of the window| of one sample, by population."""
    for population in range(plan.populations.shape[0]):
        pop = plan.populations[population]
        if pop.spike_input:
            continue
        counts.residual[sample, population] = population_residual(pop, state.window, sample)


@kernel
def population_residual(pop, window, sample):
    """Sum of |difference of p between the halves of the window| of one sample over the neurons of a population.

    Lanes without a channel are 0 in both halves.
    """
    residual = np.int64(0)
    for i in range(pop.state, pop.state + pop.height * pop.width * pop.blocks * pop.lanes):
        residual += abs(np.int64(window[1, sample, i]) - np.int64(window[0, sample, i]))
    return residual
