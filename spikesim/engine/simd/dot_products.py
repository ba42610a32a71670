"""Weight rows in lists: those of all events that a pixel hears, one after the other, for dot products.

A dot product of two pairs of 16 bits, added to 32 (AVX512-VNNI), takes half as many instructions as to widen a row and
to add it: with the pair (1, 0) it adds every second weight, with (0, 1) the others; with (v, 0) and (0, v) it adds them
times v. It is slow to end, so some rows at a time go to sums of their own, and a loop over the events of a pixel, not
over each of the short runs that they come in, keeps them busy. To make the lists costs what a few rows do: where pixels
hear few events, runs are faster (`spikesim.engine.simd.accumulate`). The plain twins have the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesim.engine.simd.accumulate import Scale, drive_of, write_drives
from spikesim.engine.simd.llvm import data_of, load, loop, members, spread, stretches, unknown
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

LISTED_LANES = (32, 64)
UNIT = 4
"""Weights that a number in a list counts: a machine multiplies an address by as many bytes."""
ABREAST_32, ABREAST_64 = 4, 3
"""Rows that are added at a time, each to sums of its own. Lists are as long as a multiple of it."""
DENSE_32, DENSE_64 = 24, 10
"""Spikes, heard by a pixel on average, from which on their rows are listed; by lanes."""
ZEROS = 64
"""Weights, all zero, that the weights of a plan begin with: the row that fills lists up."""


class Listed(NamedTuple):
    """A list of rows of weights, int32 (room,)."""

    rows: NDArray[np.int32]  # where each begins in the weights, divided by `UNIT`
    low: NDArray[np.int32]  # its value, of 16 bits with its sign, in the lower half
    high: NDArray[np.int32]  # and in the upper half


def plain_list_rows(lanes: int, *, weighted: bool) -> Callable[..., int]:
    """Append the rows of the events of run k to a list, from place n on; returns the place behind the last.

    The row of an event begins at ``weights[origin[k] + event * lanes]``; values are listed if they are weighted.
    """

    def list_rows(synapses, runs, k, listed, n):
        rows, low, high = listed
        for i in range(runs.first[k], runs.last[k]):
            rows[n] = np.int32((runs.origin[k] + np.int64(synapses.events.flat[i]) * lanes) // UNIT)
            if weighted:
                value = np.int64(synapses.values.flat[i])
                low[n], high[n] = np.int32(value & 0xFFFF), np.int32(value << 16)
            n += 1
        return n

    return inline_kernel(list_rows)


def plain_add_listed(lanes: int, *, weighted: bool) -> Callable[..., None]:
    """The first ``count`` of the listed rows, added and scaled, written to (or added to) the drives of a pixel.

    The number is a multiple of those that are added at a time. Sums are int32; with values, those of ``scale.reach``
    rows are, also such a multiple, and their totals int64. See `plain_deliver_runs` for what becomes of the sums.
    """

    def add_listed(weights, listed, count, scale, drive):
        rows, high = listed.rows, listed.high
        out, at, keep = drive
        for lane in range(lanes):  # no array of sums: machines without dot products compile this, if they never use it
            total = np.int64(0)
            for i in range(count):
                weight = np.int64(weights[np.int64(rows[i]) * UNIT + lane])
                total += (np.int64(high[i]) >> 16) * weight if weighted else weight
            out[at + lane] = drive_of(total, scale.right, scale.left) + (out[at + lane] & np.int32(keep))

    return inline_kernel(add_listed)


def vector_list_rows(lanes: int, *, weighted: bool) -> Callable[..., int]:
    """The vector form of `plain_list_rows`, sixteen events at a time: it reads and writes up to fifteen too many."""

    @intrinsic
    def list_rows(typingctx, synapses, runs, k, listed, n):
        signature = types.int64(synapses, runs, types.int64, listed, types.int64)

        def codegen(context, builder, signature, args):
            int32, int64 = ir.IntType(32), ir.IntType(64)
            sixteen = ir.VectorType(int32, 16)
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
            rows_data, low_data, high_data = (builder.gep(data_of(context, builder, *array), [n]) for array in listed)
            origin = spread(builder, builder.trunc(builder.sdiv(origin, int64(UNIT)), int32), 16)

            def everywhere(value):
                return ir.Constant(sixteen, [value] * 16)

            def put(data, i, lanes):
                builder.store(lanes, builder.bitcast(builder.gep(data, [i]), sixteen.as_pointer())).align = 4

            def list_sixteen(i, nothing):
                event = load(builder, builder.gep(events_data, [i]), sixteen, 4)
                put(rows_data, i, builder.add(builder.mul(event, everywhere(lanes // UNIT)), origin))
                if weighted:
                    value = load(builder, builder.gep(values_data, [i]), sixteen, 4)
                    put(low_data, i, builder.and_(value, everywhere(0xFFFF)))
                    put(high_data, i, builder.shl(value, everywhere(16)))
                return nothing

            count = builder.sub(last, first)
            loop(builder, int64(0), count, int64(0), list_sixteen, unknown(builder, int64(16)))
            return builder.add(n, count)

        return signature, codegen

    return list_rows  # type: ignore[no-any-return]


def vector_add_listed(lanes: int, *, weighted: bool) -> Callable[..., None]:
    """The vector form of `plain_add_listed`."""
    width = 32  # weights that a vector holds, whose even and odd ones have sums of their own
    parts, abreast = lanes // width, ABREAST_64 if lanes == 64 else ABREAST_32

    @intrinsic
    def add_listed(typingctx, weights, listed, count, scale, drive):
        signature = types.void(weights, listed, types.int64, scale, drive)

        def codegen(context, builder, signature, args):
            int32, int64 = ir.IntType(32), ir.IntType(64)
            half = ir.VectorType(int32, width // 2)
            count = args[2]
            listed, scale, drive = (members(context, builder, signature.args[k], args[k]) for k in (1, 3, 4))
            (_, reach), (_, right), (_, left) = scale
            out, (_, out_at), (_, keep) = drive
            rows_data, low_data, high_data = (data_of(context, builder, *array) for array in listed)
            weights_data = data_of(context, builder, signature.args[0], args[0])
            weights_data = builder.bitcast(weights_data, int64.as_pointer())
            out_data = builder.gep(data_of(context, builder, *out), [out_at])
            ones = [ir.Constant(half, [one] * half.count) for one in (1, 1 << 16)]
            zero = ir.Constant(half, [0] * half.count)
            none = ir.Constant(ir.LiteralStructType([half] * (2 * parts * abreast)), [zero] * (2 * parts * abreast))

            def add_some(i, totals):
                for k in range(abreast):
                    place = builder.add(i, int64(k))
                    row = builder.sext(builder.load(builder.gep(rows_data, [place])), int64)
                    row_data = builder.bitcast(builder.gep(weights_data, [row]), half.as_pointer())
                    factors = ones
                    if weighted:
                        pair = (builder.load(builder.gep(data, [place])) for data in (low_data, high_data))
                        factors = [spread(builder, value, half.count) for value in pair]
                    for part in range(parts):
                        row = load(builder, builder.gep(row_data, [int64(part)]), half, 2)
                        for odd in range(2):
                            at = 2 * (k * parts + part) + odd
                            total = _dot(builder, builder.extract_value(totals, at), row, factors[odd])
                            totals = builder.insert_value(totals, total, at)
                return totals

            def added(first, last):
                """Sums of a stretch of the list, a vector for each part, in the order of the lanes."""
                totals = loop(builder, first, last, none, add_some, unknown(builder, int64(abreast)))
                sums = []
                for at in range(2 * parts):
                    total = builder.extract_value(totals, at)
                    for k in range(1, abreast):
                        total = builder.add(total, builder.extract_value(totals, 2 * k * parts + at))
                    sums.append(total)
                order = ir.Constant(ir.VectorType(int32, width), [k // 2 + k % 2 * half.count for k in range(width)])
                return [builder.shuffle_vector(sums[at], sums[at + 1], order) for at in range(0, 2 * parts, 2)]

            if weighted:
                long = ir.VectorType(int64, width)

                def add_stretch(begin, end, totals):
                    for part, sums in enumerate(added(begin, end)):
                        total = builder.add(builder.extract_value(totals, part), builder.sext(sums, long))
                        totals = builder.insert_value(totals, total, part)
                    return totals

                zeros = [ir.Constant(long, [0] * width)] * parts
                totals = ir.Constant(ir.LiteralStructType([long] * parts), zeros)
                totals = stretches(builder, int64(0), count, reach, totals, add_stretch)
                sums = [builder.extract_value(totals, part) for part in range(parts)]
            else:
                sums = added(int64(0), count)
            for part, total in enumerate(sums):
                write_drives(builder, total, right, left, builder.gep(out_data, [int64(part * width)]), keep)
            return context.get_dummy_value()

        return signature, codegen

    return add_listed  # type: ignore[no-any-return]


def _dot(builder: Any, total: Any, row: Any, factors: Any) -> Any:
    """``total + row * factors`` of the two int16 in each lane."""
    kind = total.type
    function = builder.module.declare_intrinsic(
        f"llvm.x86.avx512.vpdpwssd.{32 * kind.count}", (), ir.FunctionType(kind, [kind] * 3)
    )
    return builder.call(function, [total, row, factors])


def _has_dot_products() -> bool:
    if PLAIN_LOOPS or config.CPU_NAME or config.CPU_FEATURES:  # compiled for another machine, perhaps
        return False
    return bool(binding.get_host_cpu_features().get("avx512vnni", False))


DOT_PRODUCTS = _has_dot_products()
_list_rows = vector_list_rows if DOT_PRODUCTS else plain_list_rows
_add_listed = vector_add_listed if DOT_PRODUCTS else plain_add_listed
list_rows_32, list_rows_64 = (_list_rows(lanes, weighted=False) for lanes in LISTED_LANES)
list_values_32, list_values_64 = (_list_rows(lanes, weighted=True) for lanes in LISTED_LANES)
add_listed_32, add_listed_64 = (_add_listed(lanes, weighted=False) for lanes in LISTED_LANES)
add_listed_values_32, add_listed_values_64 = (_add_listed(lanes, weighted=True) for lanes in LISTED_LANES)


@inline_kernel
def worth_lists(lanes, heard, pixels, graded, deviations, reach):
    """Whether the rows of all events of a pixel are listed. Of that nothing depends but the time."""
    if not DOT_PRODUCTS or lanes < 32 or (graded and not deviations):
        return False
    if deviations:
        return reach >= ABREAST_32 + ABREAST_64  # then values fit 16 bits too
    return heard >= (DENSE_64 if lanes == 64 else DENSE_32) * pixels


@inline_kernel
def deliver_lists(synapses, runs, count, lanes, weighted, listed, scale, drive):
    """As `plain_deliver_runs`, with the rows of all runs in one list, filled up with rows of zeros, times zero."""
    n = 0
    for k in range(count):
        if lanes == 64:
            if weighted:
                n = list_values_64(synapses, runs, k, listed, n)
            else:
                n = list_rows_64(synapses, runs, k, listed, n)
        elif weighted:
            n = list_values_32(synapses, runs, k, listed, n)
        else:
            n = list_rows_32(synapses, runs, k, listed, n)
    abreast = ABREAST_64 if lanes == 64 else ABREAST_32
    end = n + -n % abreast
    whole = Scale(scale.reach - scale.reach % abreast, scale.right, scale.left)
    for k in range(n, end):
        listed.rows[k], listed.low[k], listed.high[k] = 0, 0, 0
    if lanes == 64:
        if weighted:
            add_listed_values_64(synapses.weights, listed, end, whole, drive)
        else:
            add_listed_64(synapses.weights, listed, end, whole, drive)
    elif weighted:
        add_listed_values_32(synapses.weights, listed, end, whole, drive)
    else:
        add_listed_32(synapses.weights, listed, end, whole, drive)
