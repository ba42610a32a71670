"""The inner loops of the engine: adding weight rows, correlating rates, and turning probabilities into spikes.

A row is the weights of one source neuron onto 16, 32 or 64 neighbouring channels. LLVM does not keep such sums in
registers from a plain loop over a run of events, so the loop is built here on a vector value. Every function has a
plain twin with the same bits; the twins serve where the JIT is off and in the tests.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesim.compilation import PLAIN_LOOPS, inline_kernel

LANES = (16, 32, 64)
SCALED_LANES = (16, 32)
"""Widths of the rows of rates that are added in int64: more would not stay in registers."""
SMALL = 2**16 - 1
"""Sum of |value| up to which sums of value times weight, an int16, fit into int32."""


def plain_add_rows(lanes: int) -> Callable[..., None]:
    """``sums[:lanes] += sum of weights[origin + event * lanes:][:lanes]`` over ``events[first:last]``, in int32."""

    def add_rows(weights, origin, events, first, last, sums):
        for i in range(first, last):
            row = origin + np.int64(events[i]) * lanes
            for lane in range(lanes):
                sums[lane] += np.int32(weights[row + lane])

    return inline_kernel(add_rows)


def plain_add_graded_rows(lanes: int) -> Callable[..., None]:
    """``sums[:lanes] += sum of value * row`` in float64: integers below 2**53 throughout, hence exact in any order."""

    def add_graded_rows(weights, origin, events, values, first, last, sums):
        for i in range(first, last):
            row = origin + np.int64(events[i]) * lanes
            value = np.float64(values[i])
            for lane in range(lanes):
                sums[lane] += value * np.float64(weights[row + lane])

    return inline_kernel(add_graded_rows)


def plain_add_small_rows(lanes: int) -> Callable[..., None]:
    """As `plain_add_graded_rows`, but in int32, for runs whose sum of |value| is at most `SMALL`."""

    def add_small_rows(weights, origin, events, values, first, last, sums):
        for i in range(first, last):
            row = origin + np.int64(events[i]) * lanes
            for lane in range(lanes):
                sums[lane] += np.int32(values[i] * np.int32(weights[row + lane]))

    return inline_kernel(add_small_rows)


def plain_add_scaled_rows(lanes: int) -> Callable[..., None]:
    """``sums[at:][:lanes] += sum of value * rates[origin + offset:][:lanes]`` over ``[first:last]``, in int64."""

    def add_scaled_rows(rates, origin, offsets, values, first, last, sums, at):
        for i in range(first, last):
            row = origin + np.int64(offsets[i])
            value = np.int64(values[i])
            for lane in range(lanes):
                sums[at + lane] += value * np.int64(rates[row + lane])

    return inline_kernel(add_scaled_rows)


def _data(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


def _event_loop(builder: Any, first: Any, last: Any, initial: Any, body: Callable[[Any, Any], Any]) -> Any:
    """``total = initial; for i in first..last: total = body(i, total)``, the total a vector held in registers."""
    entry = builder.block
    loop, done = builder.append_basic_block("rows"), builder.append_basic_block("rows.done")
    builder.cbranch(builder.icmp_signed("<", first, last), loop, done)
    builder.position_at_end(loop)
    i, total = builder.phi(first.type), builder.phi(initial.type)
    new_total = body(i, total)
    next_i = builder.add(i, ir.Constant(first.type, 1))
    for phi, before, after in ((i, first, next_i), (total, initial, new_total)):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, loop)
    builder.cbranch(builder.icmp_signed("<", next_i, last), loop, done)
    builder.position_at_end(done)
    result = builder.phi(initial.type)
    result.add_incoming(initial, entry)
    result.add_incoming(new_total, loop)
    return result


def _load(builder: Any, pointer: Any, vector: Any, align: int) -> Any:
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = align
    return value


def _spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector with the value in all lanes."""
    int32 = ir.IntType(32)
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(int32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(int32, lanes), [0] * lanes))


def vector_add_rows(lanes: int) -> Callable[..., None]:
    """The vector form of `plain_add_rows`."""

    @intrinsic
    def add_rows(typingctx, weights, origin, events, first, last, sums):
        signature = types.void(weights, types.int64, events, types.int64, types.int64, sums)

        def codegen(context, builder, signature, args):
            int64 = ir.IntType(64)
            row_type, sum_type = ir.VectorType(ir.IntType(16), lanes), ir.VectorType(ir.IntType(32), lanes)
            weights_data = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
            events_data = _data(context, builder, signature.args[2], args[2])
            sums_data = builder.bitcast(_data(context, builder, signature.args[5], args[5]), sum_type.as_pointer())

            def body(i, total):
                event = builder.sext(builder.load(builder.gep(events_data, [i])), int64)
                pointer = builder.gep(weights_data, [builder.mul(event, ir.Constant(int64, lanes))])
                return builder.add(total, builder.sext(_load(builder, pointer, row_type, 2), sum_type))

            total = _event_loop(builder, args[3], args[4], _load(builder, sums_data, sum_type, 4), body)
            builder.store(total, sums_data).align = 4
            return context.get_dummy_value()

        return signature, codegen

    return add_rows  # type: ignore[no-any-return]


def vector_add_graded_rows(lanes: int) -> Callable[..., None]:
    """The vector form of `plain_add_graded_rows`; at most 32 sums at a time, more would not stay in registers."""
    width = min(lanes, 32)

    @intrinsic
    def add_graded_rows(typingctx, weights, origin, events, values, first, last, sums):
        signature = types.void(weights, types.int64, events, values, types.int64, types.int64, sums)

        def codegen(context, builder, signature, args):
            int64, double = ir.IntType(64), ir.DoubleType()
            row_type, sum_type = ir.VectorType(ir.IntType(16), width), ir.VectorType(double, width)
            weights_data = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
            events_data = _data(context, builder, signature.args[2], args[2])
            values_data = _data(context, builder, signature.args[3], args[3])
            sums_data = _data(context, builder, signature.args[6], args[6])
            for part in range(0, lanes, width):
                part_data = builder.bitcast(builder.gep(sums_data, [ir.Constant(int64, part)]), sum_type.as_pointer())

                def body(i, total, part=part):
                    event = builder.sext(builder.load(builder.gep(events_data, [i])), int64)
                    value = builder.sitofp(builder.load(builder.gep(values_data, [i])), double)
                    spread = _spread(builder, value, width)
                    offset = builder.add(builder.mul(event, ir.Constant(int64, lanes)), ir.Constant(int64, part))
                    row = _load(builder, builder.gep(weights_data, [offset]), row_type, 2)
                    return builder.fadd(total, builder.fmul(spread, builder.sitofp(row, sum_type)))

                total = _event_loop(builder, args[4], args[5], _load(builder, part_data, sum_type, 8), body)
                builder.store(total, part_data).align = 8
            return context.get_dummy_value()

        return signature, codegen

    return add_graded_rows  # type: ignore[no-any-return]


def vector_add_small_rows(lanes: int) -> Callable[..., None]:
    """The vector form of `plain_add_small_rows`."""

    @intrinsic
    def add_small_rows(typingctx, weights, origin, events, values, first, last, sums):
        signature = types.void(weights, types.int64, events, values, types.int64, types.int64, sums)

        def codegen(context, builder, signature, args):
            int64 = ir.IntType(64)
            row_type, sum_type = ir.VectorType(ir.IntType(16), lanes), ir.VectorType(ir.IntType(32), lanes)
            weights_data = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
            events_data = _data(context, builder, signature.args[2], args[2])
            values_data = _data(context, builder, signature.args[3], args[3])
            sums_data = builder.bitcast(_data(context, builder, signature.args[6], args[6]), sum_type.as_pointer())

            def body(i, total):
                event = builder.sext(builder.load(builder.gep(events_data, [i])), int64)
                value = builder.load(builder.gep(values_data, [i]))
                spread = _spread(builder, value, lanes)
                pointer = builder.gep(weights_data, [builder.mul(event, ir.Constant(int64, lanes))])
                row = builder.sext(_load(builder, pointer, row_type, 2), sum_type)
                return builder.add(total, builder.mul(spread, row))

            total = _event_loop(builder, args[4], args[5], _load(builder, sums_data, sum_type, 4), body)
            builder.store(total, sums_data).align = 4
            return context.get_dummy_value()

        return signature, codegen

    return add_small_rows  # type: ignore[no-any-return]


def vector_add_scaled_rows(lanes: int) -> Callable[..., None]:
    """The vector form of `plain_add_scaled_rows`."""

    @intrinsic
    def add_scaled_rows(typingctx, rates, origin, offsets, values, first, last, sums, at):
        signature = types.void(rates, types.int64, offsets, values, types.int64, types.int64, sums, types.int64)

        def codegen(context, builder, signature, args):
            int64 = ir.IntType(64)
            row_type, sum_type = ir.VectorType(ir.IntType(32), lanes), ir.VectorType(int64, lanes)
            rates_data = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
            offsets_data = _data(context, builder, signature.args[2], args[2])
            values_data = _data(context, builder, signature.args[3], args[3])
            sums_data = builder.gep(_data(context, builder, signature.args[6], args[6]), [args[7]])
            sums_data = builder.bitcast(sums_data, sum_type.as_pointer())

            def body(i, total):
                offset = builder.sext(builder.load(builder.gep(offsets_data, [i])), int64)
                value = builder.load(builder.gep(values_data, [i]))
                # extended as vectors, the factors show that a product of 32 by 32 bits is enough
                spread = builder.sext(_spread(builder, value, lanes), sum_type)
                row = builder.sext(_load(builder, builder.gep(rates_data, [offset]), row_type, 4), sum_type)
                return builder.add(total, builder.mul(spread, row))

            total = _event_loop(builder, args[4], args[5], _load(builder, sums_data, sum_type, 8), body)
            builder.store(total, sums_data).align = 8
            return context.get_dummy_value()

        return signature, codegen

    return add_scaled_rows  # type: ignore[no-any-return]


@inline_kernel
def plain_spike_word(probability, random, lane):
    """Bit i of the result is 1 iff ``random[lane + i] < probability[lane + i]``, for i in 0..15; arrays of uint16."""
    word = 0
    for i in range(16):
        if random[lane + i] < probability[lane + i]:
            word |= 1 << i
    return np.uint16(word)


@intrinsic
def vector_spike_word(typingctx, probability, random, lane):
    """The vector form of `plain_spike_word`."""
    signature = types.uint16(probability, random, types.int64)

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(16), 16)
        loaded = [
            _load(builder, builder.gep(_data(context, builder, kind, array), [args[2]]), vector, 2)
            for kind, array in zip(signature.args[:2], args[:2], strict=True)
        ]
        return builder.bitcast(builder.icmp_unsigned("<", loaded[1], loaded[0]), ir.IntType(16))

    return signature, codegen


@inline_kernel
def plain_lowest_bit(word):
    """Position of the lowest 1 of a uint64 that is not zero."""
    position = 0
    while not (word >> np.uint64(position)) & np.uint64(1):
        position += 1
    return position


@intrinsic
def vector_lowest_bit(typingctx, word):
    """The machine instruction for `plain_lowest_bit`."""
    signature = types.int64(types.uint64)

    def codegen(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, codegen


@inline_kernel
def plain_prefetch(array, index):
    """Nothing: only the machine's cache could tell."""


@intrinsic
def vector_prefetch(typingctx, array, index):
    """Fetch the cache line of an element that will soon be read; the index may lie outside the array."""
    signature = types.void(array, types.int64)

    def codegen(context, builder, signature, args):
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        pointer = builder.gep(_data(context, builder, signature.args[0], args[0]), [args[1]])
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [builder.bitcast(pointer, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return signature, codegen


_add_rows = plain_add_rows if PLAIN_LOOPS else vector_add_rows
_add_graded_rows = plain_add_graded_rows if PLAIN_LOOPS else vector_add_graded_rows
_add_small_rows = plain_add_small_rows if PLAIN_LOOPS else vector_add_small_rows
_add_scaled_rows = plain_add_scaled_rows if PLAIN_LOOPS else vector_add_scaled_rows
add_rows_16, add_rows_32, add_rows_64 = (_add_rows(lanes) for lanes in LANES)
add_graded_rows_16, add_graded_rows_32, add_graded_rows_64 = (_add_graded_rows(lanes) for lanes in LANES)
add_small_rows_16, add_small_rows_32, add_small_rows_64 = (_add_small_rows(lanes) for lanes in LANES)
add_scaled_rows_16, add_scaled_rows_32 = (_add_scaled_rows(lanes) for lanes in SCALED_LANES)
spike_word = plain_spike_word if PLAIN_LOOPS else vector_spike_word
lowest_bit = plain_lowest_bit if PLAIN_LOOPS else vector_lowest_bit
prefetch = plain_prefetch if PLAIN_LOOPS else vector_prefetch
