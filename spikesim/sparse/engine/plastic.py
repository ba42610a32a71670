"""Plastic synapses: weights that pairs of spikes move, when a spike comes over the synapse.

Nothing happens at a synapse when its target fires: the target keeps its last spikes, and the next spike that comes over
the synapse brings the weight up to date, first for the spikes of the target since the one before, in their order, then
for itself, as in NEST. A row of synapses is read in one go, and no index of synapses by target is needed. When a target
has no room for another spike, all synapses onto its part are brought up to date (*swept*), which changes no bit.

A spike that comes over a synapse of delay d in step t was at the synapse in step t - b, where b is the dendritic part
of d; a spike of the target was there b steps after it was fired. So a spike of the target counts as one of 2 b steps
later, in steps in which spikes come over the synapse; one of the present step has not been fired yet.
"""

from typing import NamedTuple

import numpy as np

from spikesim.engine.simd.llvm import prefetch
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.sparse.engine.delivery import AHEAD_POINTERS, AHEAD_ROWS, LINE_BYTES
from spikesim.sparse.engine.layout import DECAY_BITS, FINE_BITS, POWER_0, POWER_1, POWER_BITS, WEIGHT_BITS, WEIGHT_ONE

FINE, HALF_DECAY, HALF_WEIGHT = (1 << FINE_BITS) - 1, 1 << (DECAY_BITS - 1), 1 << (WEIGHT_BITS - 1)
REST_BITS = WEIGHT_BITS - 1 - POWER_BITS
"""Of a weight between two entries of a table of powers."""
RETAINED = 3
"""Room for the spike that depresses next, for one of the same step before it, and for the next one."""


class Side(NamedTuple):
    """A record of `SIDE` as numbers: those of a record would be read again for each synapse."""

    gain: int
    shift: int
    power: int
    one: int
    decays: int
    coarse: int


class Row(NamedTuple):
    """What the synapses of a row have in common while a spike comes over them, or while they are swept."""

    before: int | np.int64  # trace without the last spike that came, in the step in which it came
    after: int | np.int64  # with it
    last: int | np.int64  # the step in which it came, -1: none
    later: int | np.int64  # steps by which a spike of a target counts later
    done: int | np.int64  # spikes of a target up to this step have been looked at
    upto: int | np.int64  # those up to this one are looked at now


@inline_kernel
def side_of(plastic, place):
    own = plastic.sides[place]
    return Side(own.gain, own.shift, own.power, own.one, own.decays, own.coarse)


@inline_kernel
def _decayed(plastic, side, trace, steps):
    """A trace some steps later."""
    coarse = steps >> FINE_BITS
    if coarse >= side.coarse:
        return np.int64(0)
    factor = plastic.decays[side.decays + (steps & FINE)]
    if coarse:
        factor = (factor * plastic.decays[side.decays + FINE + 1 + coarse] + HALF_DECAY) >> DECAY_BITS
    return (trace * factor + HALF_DECAY) >> DECAY_BITS


@kernel
def raised(powers, power, x):
    """x**mu for x of 0 .. 1, unit 2**-WEIGHT_BITS, with a table of powers: linear between 256 points an octave."""
    if power == POWER_1 or x == 0 or x == WEIGHT_ONE:
        return x
    bits = np.int64(0)
    while x >> bits:
        bits += 1
    beyond = (x << (WEIGHT_BITS - bits)) - (WEIGHT_ONE >> 1)
    at, rest = power + WEIGHT_BITS + 1 + (beyond >> REST_BITS), beyond & ((1 << REST_BITS) - 1)
    fraction = powers[at] + (((powers[at + 1] - powers[at]) * rest) >> REST_BITS)
    return (powers[power + bits] * fraction + HALF_WEIGHT) >> WEIGHT_BITS


@inline_kernel
def _change(plastic, side, x, trace):
    """How far a weight moves whose distance to its limit is x."""
    if side.power != POWER_0:
        trace = (raised(plastic.powers, side.power, x) * trace + HALF_WEIGHT) >> WEIGHT_BITS
    return (trace * side.gain + (np.int64(1) << (side.shift - 1))) >> side.shift


@kernel
def row_of(tables, state, index, row, d, t):
    """What a row of a table has in step t."""
    table = tables.tables[index]
    rule, at = tables.plastic.rules[table.rule], table.rows + row
    last, before = state.plastic.last[at], np.int64(state.plastic.traces[at])
    delay = tables.delays[table.delays + d]
    later = 2 * (delay if rule.dendritic < 0 else rule.dendritic)
    lag = max(later, 1)
    one = tables.plastic.sides[2 * table.rule].one
    after = (np.int64(0) if rule.nearest else before) + one if last >= 0 else np.int64(0)
    return Row(before, after, last, later, max(last, state.plastic.swept[index]) - lag, t - lag)


@inline_kernel
def _caught_up(tables, state, plus, row, target, weight):
    """A weight after the spikes of its target that have not been looked at, and how many have been in all."""
    posts, newest = state.plastic.posts, state.plastic.counts[target]
    kept = posts.shape[1]
    oldest, end = max(newest - kept, 0), newest
    while end > oldest and np.int64(posts[target, (end - 1) & (kept - 1), 0]) > row.upto:
        end -= 1
    begin = end
    if row.last >= 0:
        while begin > oldest and np.int64(posts[target, (begin - 1) & (kept - 1), 0]) > row.done:
            begin -= 1
        for post in range(begin, end):
            since = np.int64(posts[target, post & (kept - 1), 0]) + row.later - row.last
            trace = row.before if since == 0 else _decayed(tables.plastic, plus, row.after, since)
            weight = min(weight + _change(tables.plastic, plus, WEIGHT_ONE - weight, trace), WEIGHT_ONE)
    return weight, end


@kernel
def present(tables, state, plus, row, target, weight):
    """A weight after the spikes of its target that have not been looked at."""
    if row.last < 0:
        return weight
    return _caught_up(tables, state, plus, row, target, weight)[0]


@inline_kernel
def _depressed(tables, state, rule, minus, row, target, weight, reached):
    """A weight after a spike that comes over the synapse; reached: spikes of the target up to `row.upto`."""
    posts = state.plastic.posts
    kept, now = posts.shape[1], row.upto + max(row.later, 1) - row.later  # as a step in which the target fires
    oldest = max(state.plastic.counts[target] - kept, 0)
    if reached > oldest and np.int64(posts[target, (reached - 1) & (kept - 1), 0]) == now:
        reached -= 1  # in the same step: no pair
    if reached > oldest:
        slot = (reached - 1) & (kept - 1)
        since = now - np.int64(posts[target, slot, 0])
        trace = _decayed(tables.plastic, minus, np.int64(posts[target, slot, 1]), since)
        weight = max(weight - _change(tables.plastic, minus, weight, trace), rule.lowest)
    return weight


@kernel
def deliver_plastic(tables, state, block, t, listed, n):
    """Add the weights of all events that reach a block in step t over plastic synapses, and move these weights.

    listed, n: as `spikesim.sparse.engine.delivery.deliver` takes and returns them; it comes before.
    """
    first, size = tables.blocks[block].first, tables.blocks[block].neurons
    touched = state.scratch.touched[first : first + size]
    targets, weights = tables.targets, state.plastic.weights
    depth, in_line = state.ring.neurons.shape[0], LINE_BYTES // targets.itemsize
    for index in range(tables.blocks[block].tables_end, tables.blocks[block].plastic_end):
        table = tables.tables[index]
        rule = tables.plastic.rules[table.rule]
        plus, minus = side_of(tables.plastic, 2 * table.rule), side_of(tables.plastic, 2 * table.rule + 1)
        drive = state.drive[first + table.drive : first + table.drive + size]
        delays, source_begin, weights_at = table.delay_count, table.begin, table.weights
        pointers = tables.pointers[table.pointers :]
        posts = rule.posts + first - rule.begin
        own, own_shift = rule.weight, rule.weight_shift
        half = np.int64(1) << (own_shift - 1)
        delivered, sources = np.int64(0), table.sources_end - table.sources
        for visit in range(delays * sources):
            d, source = visit // sources, table.sources + visit % sources
            slot = (t - tables.delays[table.delays + d]) % depth
            fired = state.ring.neurons[slot, tables.parts[source].first :]
            count = state.ring.counts[slot, source]
            for i in range(count):
                if i + AHEAD_POINTERS < count:
                    prefetch(pointers, (np.int64(fired[i + AHEAD_POINTERS]) - source_begin) * delays + d)
                if i + AHEAD_ROWS < count:
                    at = (np.int64(fired[i + AHEAD_ROWS]) - source_begin) * delays + d
                    for line in range(pointers[at], pointers[at + 1], in_line):
                        prefetch(targets, line)
                        prefetch(weights, weights_at + line)
                number = (np.int64(fired[i]) - source_begin) * delays + d
                row = row_of(tables, state, index, number, d, t)
                begin, end = pointers[number], pointers[number + 1]
                delivered += end - begin
                for synapse in range(begin, end):
                    target = np.int64(targets[synapse])
                    weight = np.int64(weights[weights_at + synapse])
                    if rule.moves:
                        weight, reached = _caught_up(tables, state, plus, row, posts + target, weight)
                        weight = _depressed(tables, state, rule, minus, row, posts + target, weight, reached)
                        weights[weights_at + synapse] = np.int32(weight)
                    before = drive[target]
                    if listed and before == 0:
                        if n < size:
                            touched[n] = np.int32(first + target)
                        n += 1
                    drive[target] = np.int32(before + ((weight * own + half) >> own_shift))
                if not rule.moves:
                    continue
                state.plastic.traces[table.rows + number] = (
                    np.int32(_decayed(tables.plastic, plus, row.after, t - row.last)) if row.last >= 0 else np.int32(0)
                )
                state.plastic.last[table.rows + number] = t
        state.counts.events[index] += delivered
    return n


@kernel
def note_posts(tables, state, part, t, slot):
    """Let the neurons of a part keep the spikes that they fired in step t, for each rule of which they are targets."""
    pop, plastic = tables.parts[part], state.plastic
    fired, kept = state.ring.neurons[slot, pop.first :], plastic.posts.shape[1]
    for place in range(tables.plastic.rules.shape[0]):
        rule = tables.plastic.rules[place]
        if rule.population != pop.population or not rule.moves:
            continue
        minus = side_of(tables.plastic, 2 * place + 1)
        for i in range(state.ring.counts[slot, part]):
            target = rule.posts + np.int64(fired[i]) - pop.begin
            count = plastic.counts[target]
            trace = np.int64(minus.one)
            if count and not rule.nearest:
                before = (count - 1) & (kept - 1)
                since = t - np.int64(plastic.posts[target, before, 0])
                trace += _decayed(tables.plastic, minus, np.int64(plastic.posts[target, before, 1]), since)
            plastic.posts[target, count & (kept - 1), 0] = np.uint32(t)
            plastic.posts[target, count & (kept - 1), 1] = np.uint32(trace)
            plastic.counts[target] = count + 1
            if count + 1 - plastic.seen[target] + RETAINED > kept:
                plastic.crowded[part] = 1


@kernel
def sweep(tables, state, block, t):
    """Bring the weights of the plastic synapses onto a block to where they are before step t."""
    for index in range(tables.blocks[block].tables_end, tables.blocks[block].plastic_end):
        table = tables.tables[index]
        rule, plus = tables.plastic.rules[table.rule], side_of(tables.plastic, 2 * table.rule)
        posts, sources = rule.posts + tables.blocks[block].first - rule.begin, np.int64(0)
        for part in range(table.sources, table.sources_end):
            sources += tables.parts[part].neurons
        for number in range(sources * table.delay_count):
            row = row_of(tables, state, index, number, number % table.delay_count, t)
            if row.last < 0:
                continue
            at = table.pointers + number
            for synapse in range(tables.pointers[at], tables.pointers[at + 1]):
                weight = np.int64(state.plastic.weights[table.weights + synapse])
                weight = present(tables, state, plus, row, posts + np.int64(tables.targets[synapse]), weight)
                state.plastic.weights[table.weights + synapse] = np.int32(weight)
        state.plastic.swept[index] = t


@kernel
def make_room(tables, state, share, t):
    """Sweep those parts of a thread that have no room for more spikes; whether one has none even so.

    It has none where a neuron fires more often than `posts` is long while its spikes are on the way to their synapses.
    """
    plastic, found = state.plastic, False
    kept = plastic.posts.shape[1]
    for part in share.parts:
        if not plastic.crowded[part]:
            continue
        for block in share.blocks:
            if tables.blocks[block].part == part:
                sweep(tables, state, block, t)
        pop = tables.parts[part]
        crowded = False
        for place in range(tables.plastic.rules.shape[0]):
            rule = tables.plastic.rules[place]
            if rule.population != pop.population or not rule.moves:
                continue
            for neuron in range(pop.first, pop.first + pop.neurons):
                target = rule.posts + neuron - pop.begin
                seen, oldest = plastic.counts[target], max(plastic.counts[target] - kept, 0)
                while seen > oldest and np.int64(plastic.posts[target, (seen - 1) & (kept - 1), 0]) > t - rule.lag:
                    seen -= 1
                plastic.seen[target] = seen
                crowded |= plastic.counts[target] - seen + RETAINED > kept
        plastic.crowded[part] = crowded
        found |= crowded
    return found
