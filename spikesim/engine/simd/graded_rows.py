"""Weight rows times graded values of more than 16 bits, two events at a time, in products of 16 bits.

A value is ``low + high * 2**LOW_BITS``. The rows of two events are interleaved, so that one instruction multiplies both
weights onto a neuron with the low halves of the two values and adds them, and one with the high halves. All sums are
of integers, hence exact in any order. The plain twins have the same bits.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesim.engine.simd.accumulate import LANES, drive_of, write_drives
from spikesim.engine.simd.dot_products import UNIT
from spikesim.engine.simd.llvm import data_of, load, loop, members, spread, stretches, unknown
from spikesim.engine.simd.pair_products import INSTRUCTION, add_products, word_of
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

LOW_BITS = 9
"""Of a value, which is 0 .. 2**18, the sum of four p: halves have 2**9 at most, and products 2**24."""
PAIRS = 60
"""Pairs of events of which a sum of products fits 32 bits."""
ABREAST_16, ABREAST_32, ABREAST_64 = 4, 2, 1
"""Pairs that are added at a time, each to sums of its own, by lanes: divisors of `PAIRS`."""


def plain_list_graded(lanes: int) -> Callable[..., int]:
    """Append the events of run k to a list, from place n on; returns the place behind the last.

    A word of `Listed.low` has the low halves of the values of two events, at an even place and the next one.
    """

    def list_graded(synapses, runs, k, listed, n):
        for i in range(runs.first[k], runs.last[k]):
            value = synapses.values.flat[i]
            low, high = value & ((1 << LOW_BITS) - 1), value >> LOW_BITS
            listed.rows[n] = np.int32((runs.origin[k] + np.int64(synapses.events.flat[i]) * lanes) // UNIT)
            if n & 1:
                listed.low[n >> 1] = word_of(listed.low[n >> 1], low)
                listed.high[n >> 1] = word_of(listed.high[n >> 1], high)
            else:
                listed.low[n >> 1], listed.high[n >> 1] = np.int32(low), np.int32(high)
            n += 1
        return n

    return inline_kernel(list_graded)


def plain_add_graded(lanes: int) -> Callable[..., None]:
    """The rows of so many listed pairs times their values, written to (or added to) the drives of a pixel."""

    def add_graded(weights, listed, pairs, scale, drive):
        out, at, keep = drive
        for lane in range(lanes):
            total = np.int64(0)
            for pair in range(pairs):
                for odd in range(2):
                    low = (np.int64(listed.low[pair]) >> (16 * odd)) & 0xFFFF
                    high = (np.int64(listed.high[pair]) >> (16 * odd)) & 0xFFFF
                    weight = np.int64(weights[np.int64(listed.rows[2 * pair + odd]) * UNIT + lane])
                    total += (low + (high << LOW_BITS)) * weight
            out[at + lane] = drive_of(total, scale.right, scale.left) + (out[at + lane] & np.int32(keep))

    return inline_kernel(add_graded)


def vector_list_graded(lanes: int) -> Callable[..., int]:
    """The vector form of `plain_list_graded`, sixteen events at a time: it reads and writes up to fifteen too many."""

    @intrinsic
    def list_graded(typingctx, synapses, runs, k, listed, n):
        signature = types.int64(synapses, runs, types.int64, listed, types.int64)

        def codegen(context, builder, signature, args):
            short, int32, int64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
            sixteen, shorts = ir.VectorType(int32, 16), ir.VectorType(short, 16)
            (_, events, values), runs, listed = (
                members(context, builder, signature.args[k], args[k]) for k in (0, 1, 3)
            )
            first, last, origin = (
                builder.load(builder.gep(data_of(context, builder, *array), [args[2]])) for array in runs
            )
            n = args[4]
            events_data, values_data = (
                builder.gep(data_of(context, builder, *array), [first]) for array in (events, values)
            )
            rows_data, low_data, high_data = (data_of(context, builder, *array) for array in listed)
            rows_data = builder.gep(rows_data, [n])
            halves = [builder.gep(builder.bitcast(data, short.as_pointer()), [n]) for data in (low_data, high_data)]
            origin = spread(builder, builder.trunc(builder.sdiv(origin, int64(UNIT)), int32), 16)

            def everywhere(value):
                return ir.Constant(sixteen, [value] * 16)

            def list_sixteen(i, nothing):
                event, value = (
                    load(builder, builder.gep(data, [i]), sixteen, 4) for data in (events_data, values_data)
                )
                row = builder.add(builder.mul(event, everywhere(lanes // UNIT)), origin)
                builder.store(row, builder.bitcast(builder.gep(rows_data, [i]), sixteen.as_pointer())).align = 4
                low = builder.and_(value, everywhere((1 << LOW_BITS) - 1))
                for data, half in zip(halves, (low, builder.ashr(value, everywhere(LOW_BITS))), strict=True):
                    half_data = builder.bitcast(builder.gep(data, [i]), shorts.as_pointer())
                    builder.store(builder.trunc(half, shorts), half_data).align = 2
                return nothing

            count = builder.sub(last, first)
            loop(builder, int64(0), count, int64(0), list_sixteen, unknown(builder, int64(16)))
            return builder.add(n, count)

        return signature, codegen

    return list_graded  # type: ignore[no-any-return]


def _interleaved(builder: Any, one: Any, other: Any) -> list[Any]:
    """Rows of two events as vectors of 32 numbers, those of a neuron beside each other, in the order of `_in_order`."""
    count = one.type.count
    eights = range(0, count, 8)
    orders = [[first + part + k // 2 + k % 2 * count for first in eights for k in range(8)] for part in (0, 4)]
    if count == 16:  # both halves in one vector
        orders = [orders[0] + orders[1]]
    int32 = ir.IntType(32)
    return [
        builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(int32, len(order)), order)) for order in orders
    ]


def _in_order(count: int) -> list[int]:
    """Which of the sums, of all vectors one after the other, is that of each neuron of a row of so many."""
    return [i // 8 * 4 + i % 4 + (i % 8 >= 4) * count // 2 for i in range(count)]


def vector_add_graded(lanes: int, instruction: str) -> Callable[..., None]:
    """The vector form of `plain_add_graded`, by an instruction."""
    width = min(lanes, 32)  # weights of a row that are loaded at once
    vectors, parts = width // 16, lanes // width
    abreast = {16: ABREAST_16, 32: ABREAST_32, 64: ABREAST_64}[lanes]

    @intrinsic
    def add_graded(typingctx, weights, listed, pairs, scale, drive):
        signature = types.void(weights, listed, types.int64, scale, drive)

        def codegen(context, builder, signature, args):
            int32, int64 = ir.IntType(32), ir.IntType(64)
            word, row_type = ir.VectorType(int32, 16), ir.VectorType(ir.IntType(16), width)
            listed, scale, drive = (members(context, builder, signature.args[k], args[k]) for k in (1, 3, 4))
            (_, _), (_, right), (_, left) = scale
            out, (_, out_at), (_, keep) = drive
            rows_data, *halves_data = (data_of(context, builder, *array) for array in listed)
            weights_data = data_of(context, builder, signature.args[0], args[0])
            weights_data = builder.bitcast(weights_data, int64.as_pointer())
            out_data = builder.gep(data_of(context, builder, *out), [out_at])
            own = parts * vectors * 2  # sums of a pair: by part and vector of its rows, of the low and the high halves
            zero = ir.Constant(word, [0] * 16)
            none = ir.Constant(ir.LiteralStructType([word] * (own * abreast)), [zero] * (own * abreast))

            def add_some(i, totals):
                for k in range(abreast):
                    pair = builder.add(i, int64(k))
                    rows = []
                    for odd in range(2):
                        place = builder.add(builder.shl(pair, int64(1)), int64(odd))
                        row = builder.sext(builder.load(builder.gep(rows_data, [place])), int64)
                        rows.append(builder.bitcast(builder.gep(weights_data, [row]), row_type.as_pointer()))
                    factors = [spread(builder, builder.load(builder.gep(data, [pair])), 16) for data in halves_data]
                    for part in range(parts):
                        two = (load(builder, builder.gep(row, [int64(part)]), row_type, 2) for row in rows)
                        for vector, both in enumerate(_interleaved(builder, *two)):
                            for half in range(2):
                                at = ((k * parts + part) * vectors + vector) * 2 + half
                                total = builder.extract_value(totals, at)
                                both_words = builder.bitcast(both, word)
                                total = add_products(builder, instruction, total, both_words, factors[half])
                                totals = builder.insert_value(totals, total, at)
                return totals

            long = ir.VectorType(int64, width)
            order = ir.Constant(ir.VectorType(int32, width), _in_order(width))

            def add_stretch(begin, end, totals):
                sums = loop(builder, begin, end, none, add_some, unknown(builder, int64(abreast)))
                for part in range(parts):
                    both = []
                    for half in range(2):
                        found = []
                        for vector in range(vectors):
                            at = (part * vectors + vector) * 2 + half
                            total = builder.extract_value(sums, at)
                            for k in range(1, abreast):
                                total = builder.add(total, builder.extract_value(sums, k * own + at))
                            found.append(total)
                        both.append(builder.sext(builder.shuffle_vector(found[0], found[-1], order), long))
                    high = builder.shl(both[1], ir.Constant(long, [LOW_BITS] * width))
                    total = builder.add(builder.extract_value(totals, part), builder.add(both[0], high))
                    totals = builder.insert_value(totals, total, part)
                return totals

            nothing = ir.Constant(ir.LiteralStructType([long] * parts), [ir.Constant(long, [0] * width)] * parts)
            totals = stretches(builder, int64(0), args[2], int64(PAIRS), nothing, add_stretch)
            for part in range(parts):
                total = builder.extract_value(totals, part)
                write_drives(builder, total, right, left, builder.gep(out_data, [int64(part * width)]), keep)
            return context.get_dummy_value()

        return signature, codegen

    return add_graded  # type: ignore[no-any-return]


list_graded_16, list_graded_32, list_graded_64 = (
    (plain_list_graded if PLAIN_LOOPS else vector_list_graded)(lanes) for lanes in LANES
)
add_graded_16, add_graded_32, add_graded_64 = (
    plain_add_graded(lanes) if PLAIN_LOOPS else vector_add_graded(lanes, INSTRUCTION) for lanes in LANES
)


@inline_kernel
def deliver_graded(synapses, runs, count, lanes, listed, scale, drive):
    """Weight rows times values of some runs of graded events, written to (or added to) the drives of a pixel.

    The list is filled up with rows of zeros, times zero.
    """
    n = 0
    for k in range(count):
        if lanes == 64:
            n = list_graded_64(synapses, runs, k, listed, n)
        elif lanes == 32:
            n = list_graded_32(synapses, runs, k, listed, n)
        else:
            n = list_graded_16(synapses, runs, k, listed, n)
    abreast = ABREAST_64 if lanes == 64 else ABREAST_32 if lanes == 32 else ABREAST_16
    pairs = (n + 2 * abreast - 1) // (2 * abreast) * abreast
    if n & 1:
        listed.low[n >> 1], listed.high[n >> 1] = listed.low[n >> 1] & 0xFFFF, listed.high[n >> 1] & 0xFFFF
    for k in range(n, 2 * pairs):
        listed.rows[k] = 0
    for pair in range((n + 1) >> 1, pairs):
        listed.low[pair], listed.high[pair] = 0, 0
    if lanes == 64:
        add_graded_64(synapses.weights, listed, pairs, scale, drive)
    elif lanes == 32:
        add_graded_32(synapses.weights, listed, pairs, scale, drive)
    else:
        add_graded_16(synapses.weights, listed, pairs, scale, drive)
