"""Sums over rows of sixteen neighbouring channels; the plain twins have the same bits.

LLVM makes vectors of long loops. One of a length that it does not know is scalar code up to 32 or 64 numbers; one of
sixteen is unrolled before it becomes vectors.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesim.engine.simd.llvm import data_of, load, loop, spread
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

__all__ = ["ROW", "add_clipped", "add_products"]

ROW = 16
"""Channels of a row: those of the narrowest block."""


@inline_kernel
def plain_add_products(numbers, first, count, weights, at, step, sums, to):
    """Add each of some numbers times its row of weights to a row of sums.

    numbers: int16. weights, sums: float64, whole numbers, so that what fits into 53 bits is exact. All are flat; the
    rows of weights begin at `at` and lie `step` apart, the sums at `to`.
    """
    for i in range(count):
        value, row = np.float64(numbers[first + i]), at + i * step
        for k in range(ROW):
            sums[to + k] += value * weights[row + k]


@intrinsic
def vector_add_products(typingctx, numbers, first, count, weights, at, step, sums, to):
    """The vector form of `plain_add_products`."""
    int64 = types.int64
    signature = types.void(numbers, int64, int64, weights, int64, int64, sums, int64)

    def codegen(context, builder, signature, args):
        first, count, at, step, to = (args[i] for i in (1, 2, 4, 5, 7))
        numbers, weights, sums = (data_of(context, builder, signature.args[i], args[i]) for i in (0, 3, 6))
        row = ir.VectorType(ir.DoubleType(), ROW)
        place = builder.gep(sums, [to])

        def add(i, total):
            number = builder.sitofp(builder.load(builder.gep(numbers, [builder.add(first, i)])), ir.DoubleType())
            own = load(builder, builder.gep(weights, [builder.add(at, builder.mul(i, step))]), row, 8)
            # fused or not: sums of whole numbers are exact
            product = builder.fmul(spread(builder, number, ROW), own, flags=("contract",))
            return builder.fadd(total, product, flags=("contract",))

        total = loop(builder, ir.Constant(ir.IntType(64), 0), count, load(builder, place, row, 8), add)
        builder.store(total, builder.bitcast(place, row.as_pointer())).align = 8
        return context.get_dummy_value()

    return signature, codegen


@inline_kernel
def plain_add_clipped(values, at, limit, sums, to):
    """Add a row of values, int32, within 0 .. limit, to a row of sums, int32 or int64."""
    for k in range(ROW):
        sums[to + k] += min(max(values[at + k], np.int32(0)), np.int32(limit))


@intrinsic
def vector_add_clipped(typingctx, values, at, limit, sums, to):
    """The vector form of `plain_add_clipped`."""
    signature = types.void(values, types.int64, types.int32, sums, types.int64)

    def codegen(context, builder, signature, args):
        values, sums = (data_of(context, builder, signature.args[i], args[i]) for i in (0, 3))
        kind = signature.args[3].dtype
        row, total = (ir.VectorType(ir.IntType(bits), ROW) for bits in (32, kind.bitwidth))
        own = load(builder, builder.gep(values, [args[1]]), row, 4)
        zero, limit = ir.Constant(row, [0] * ROW), spread(builder, args[2], ROW)
        own = builder.select(builder.icmp_signed(">", own, zero), own, zero)
        own = builder.select(builder.icmp_signed("<", own, limit), own, limit)
        if kind.bitwidth > 32:
            own = builder.sext(own, total)
        place = builder.gep(sums, [args[4]])
        added = builder.add(load(builder, place, total, kind.bitwidth // 8), own)
        builder.store(added, builder.bitcast(place, total.as_pointer())).align = kind.bitwidth // 8
        return context.get_dummy_value()

    return signature, codegen


add_products = plain_add_products if PLAIN_LOOPS else vector_add_products
add_clipped = plain_add_clipped if PLAIN_LOOPS else vector_add_clipped
