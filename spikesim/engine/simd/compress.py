"""Lists of events, sixteen neurons at a time and without a branch on what each of them did.

Whether a neuron fires is as good as random, and so often is a branch on it mispredicted. Where the machine can move the
chosen lanes of a vector together (AVX-512), all sixteen are written, and the next ones from behind the last one chosen:
a list needs room for `SLACK` entries behind its last. The plain twins have the same bits.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

from spikesim.engine.simd.llvm import data_of, largest_lane, load, lowest_bit, spread
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

SLACK = 16


@inline_kernel
def plain_list_word(word, first, events, at):
    """Bits of a uint16 as events, ``first + k`` for each bit k that is 1, from flat index `at` on; returns how many."""
    bits, n = np.uint64(word), at
    while bits:
        events.flat[n] = np.int32(first + lowest_bit(bits))
        bits &= bits - np.uint64(1)
        n += 1
    return n - at


@inline_kernel
def plain_list_changes(now, then, n, first, events, values, at):
    """Changes of sixteen neurons, flat indices n and on, as events ``first + k`` with their values, where not zero.

    Returns how many there are, and the size of the largest.
    """
    end, largest = at, np.int64(0)
    for k in range(16):
        change = np.int32(now.flat[n + k] - then.flat[n + k])
        events.flat[end], values.flat[end] = np.int32(first + k), change  # in any case: no branch to mispredict
        end += change != 0
        largest = max(largest, np.int64(abs(change)))
    return end - at, largest


def _together(builder: Any, lanes: Any, mask: Any) -> Any:
    """The lanes of a vector that the mask chooses, moved to its front."""
    kind = lanes.type
    name = f"llvm.experimental.vector.compress.v16i{kind.element.width}"
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind, [kind, mask.type, kind]))
    return builder.call(function, [lanes, mask, ir.Constant(kind, ir.Undefined)])


def _put(context: Any, builder: Any, array_type: Any, array: Any, at: Any, lanes: Any) -> None:
    pointer = builder.gep(data_of(context, builder, array_type, array), [at])
    builder.store(lanes, builder.bitcast(pointer, lanes.type.as_pointer())).align = 4


def _numbers(builder: Any, first: Any) -> Any:
    """first, first + 1, .. in int32."""
    sixteen = ir.VectorType(ir.IntType(32), 16)
    start = spread(builder, builder.trunc(first, ir.IntType(32)), 16)
    return builder.add(start, ir.Constant(sixteen, list(range(16))))


@intrinsic
def vector_list_word(typingctx, word, first, events, at):
    """The vector form of `plain_list_word`."""
    signature = types.int64(types.uint16, types.int64, events, types.int64)

    def codegen(context, builder, signature, args):
        mask = builder.bitcast(args[0], ir.VectorType(ir.IntType(1), 16))
        listed = _together(builder, _numbers(builder, args[1]), mask)
        _put(context, builder, signature.args[2], args[2], args[3], listed)
        return builder.zext(builder.ctpop(args[0]), ir.IntType(64))

    return signature, codegen


@intrinsic
def vector_list_changes(typingctx, now, then, n, first, events, values, at):
    """The vector form of `plain_list_changes`."""
    returned = types.UniTuple(types.int64, 2)
    signature = returned(now, then, types.int64, types.int64, events, values, types.int64)

    def codegen(context, builder, signature, args):
        int64, sixteen = ir.IntType(64), ir.VectorType(ir.IntType(32), 16)
        before, after = (
            load(builder, builder.gep(data_of(context, builder, signature.args[k], args[k]), [args[2]]), sixteen, 4)
            for k in (1, 0)
        )
        zero, change = ir.Constant(sixteen, [0] * 16), builder.sub(after, before)
        mask = builder.icmp_signed("!=", change, zero)
        for k, lanes in ((4, _numbers(builder, args[3])), (5, change)):
            _put(context, builder, signature.args[k], args[k], args[6], _together(builder, lanes, mask))
        size = builder.select(builder.icmp_signed("<", change, zero), builder.neg(change), change)
        count = builder.ctpop(builder.bitcast(mask, ir.IntType(16)))
        results = builder.zext(count, int64), builder.sext(largest_lane(builder, size), int64)
        return context.make_tuple(builder, signature.return_type, results)

    return signature, codegen


COMPRESSES = not PLAIN_LOOPS and binding.get_host_cpu_features().get("avx512f", False)
list_word = vector_list_word if COMPRESSES else plain_list_word
list_changes = vector_list_changes if COMPRESSES else plain_list_changes
