"""Pieces of hand-built vector code: what Numba's own code generation does not offer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


def members(context: Any, builder: Any, kind: Any, value: Any) -> list[tuple[Any, Any]]:
    """Types and values of what a tuple holds, integers as int64."""
    found = []
    for own, part in zip(kind, cgutils.unpack_tuple(builder, value, len(kind)), strict=True):
        if isinstance(own, types.Integer):
            found.append((types.int64, context.cast(builder, part, own, types.int64)))
        else:
            found.append((own, part))
    return found


def loop(builder: Any, first: Any, last: Any, initial: Any, body: Callable[[Any, Any], Any], step: Any = None) -> Any:
    """``total = initial; for i in first..last: total = body(i, total)``, the total a vector held in registers."""
    step = ir.Constant(first.type, 1) if step is None else step
    entry = builder.block
    loop, done = builder.append_basic_block("rows"), builder.append_basic_block("rows.done")
    builder.cbranch(builder.icmp_signed("<", first, last), loop, done)
    builder.position_at_end(loop)
    i, total = builder.phi(first.type), builder.phi(initial.type)
    new_total = body(i, total)
    latch = builder.block  # the body may hold a loop of its own
    next_i = builder.add(i, step)
    for phi, before, after in ((i, first, next_i), (total, initial, new_total)):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, latch)
    builder.cbranch(builder.icmp_signed("<", next_i, last), loop, done)
    builder.position_at_end(done)
    result = builder.phi(initial.type)
    result.add_incoming(initial, entry)
    result.add_incoming(new_total, latch)
    return result


def stretches(
    builder: Any, first: Any, last: Any, length: Any, initial: Any, body: Callable[[Any, Any, Any], Any]
) -> Any:
    """As `loop`, a stretch of at most this length at a time: ``total = body(begin, end, total)``."""

    def add_stretch(begin: Any, total: Any) -> Any:
        end = builder.add(begin, length)
        end = builder.select(builder.icmp_signed("<", end, last), end, last)
        return body(begin, end, total)

    return loop(builder, first, last, initial, add_stretch, length)


def unknown(builder: Any, number: Any) -> Any:
    """The number, in a way that LLVM cannot see: a loop with such a step stays as it is.

    Where it unrolls a loop over dot products, it also cuts some of these into a product and a sum.
    """
    return builder.asm(ir.FunctionType(number.type, [number.type]), "", "=r,0", [number], False)


def load(builder: Any, pointer: Any, vector: Any, align: int) -> Any:
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = align
    return value


def spread(builder: Any, value: Any, lanes: int) -> Any:
    """A vector with the value in all lanes."""
    int32 = ir.IntType(32)
    undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(int32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(int32, lanes), [0] * lanes))


def add_lanes(builder: Any, lanes: Any) -> Any:
    """The sum of the lanes of a vector of integers."""
    return _reduced(builder, "add", lanes)


def largest_lane(builder: Any, lanes: Any) -> Any:
    """The largest of the lanes of a vector of integers."""
    return _reduced(builder, "smax", lanes)


def _reduced(builder: Any, operation: str, lanes: Any) -> Any:
    kind = lanes.type
    name = f"llvm.vector.reduce.{operation}.v{kind.count}i{kind.element.width}"
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(kind.element, [kind]))
    return builder.call(function, [lanes])


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
        pointer = builder.gep(data_of(context, builder, signature.args[0], args[0]), [args[1]])
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(function, [builder.bitcast(pointer, byte), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return signature, codegen


lowest_bit = plain_lowest_bit if PLAIN_LOOPS else vector_lowest_bit
prefetch = plain_prefetch if PLAIN_LOOPS else vector_prefetch
