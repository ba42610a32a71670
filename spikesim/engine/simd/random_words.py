"""Eight blocks of Philox4x32-10 at once, of counters that follow each other; a plain twin has the same bits.

LLVM leaves a loop over the blocks of `spikesim.numerics.philox` in scalar code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesim.engine.simd.llvm import data_of, members, spread
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel
from spikesim.numerics.philox import MULTIPLIERS, ROUNDS, WEYL, philox4x32

BLOCKS = 8


class Counter(NamedTuple):
    """Counters first, first + 1, ..., of which only the lowest word differs; uint64 below 2**32."""

    first: np.uint64
    step: np.uint64
    sample: np.uint64
    tag: np.uint64


class Key(NamedTuple):
    """The two words of a seed; uint64 below 2**32."""

    low: np.uint64
    high: np.uint64


def _plain(half_words: bool) -> Callable[..., Any]:
    """The plain form for arrays of uint16, two of which hold a word, the lower half first, or of uint32."""

    def eight_blocks(counter, key, out, at):
        for block in range(BLOCKS):
            first = counter.first + np.uint64(block)
            words = philox4x32(first, counter.step, counter.sample, counter.tag, key.low, key.high)
            for i in range(4):
                if half_words:
                    out[at + 8 * block + 2 * i] = np.uint16(words[i] & np.uint64(0xFFFF))
                    out[at + 8 * block + 2 * i + 1] = np.uint16(words[i] >> np.uint64(16))
                else:
                    out[at + 4 * block + i] = np.uint32(words[i])

    return inline_kernel(eight_blocks)


plain_eight_octets = _plain(True)
plain_eight_blocks = _plain(False)


def _product(builder: Any, words: Any, multiplier: int) -> Any:
    """The words times a constant, 64 bits each; the words are below 2**32, as the masks show to LLVM."""
    return builder.mul(words, _constant(multiplier))


def _constant(number: int) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(64), BLOCKS), [number] * BLOCKS)


@intrinsic
def vector_eight_blocks(typingctx, counter, key, out, at):
    """The vector form of the plain ones: 32 words, the lower half first, into ``out`` from ``out[at]`` on."""
    signature = types.void(counter, key, out, types.int64)

    def codegen(context, builder, signature, args):
        vector = ir.VectorType(ir.IntType(64), BLOCKS)
        low, half = _constant(0xFFFFFFFF), _constant(32)
        given = [
            members(context, builder, kind, value) for kind, value in zip(signature.args[:2], args[:2], strict=True)
        ]
        first, *others = (spread(builder, number, BLOCKS) for _, number in given[0])
        c0 = builder.and_(builder.add(first, ir.Constant(vector, list(range(BLOCKS)))), low)
        c1, c2, c3 = (builder.and_(word, low) for word in others)
        k0, k1 = (builder.and_(spread(builder, number, BLOCKS), low) for _, number in given[1])
        for _ in range(ROUNDS):
            one, two = _product(builder, c0, int(MULTIPLIERS[0])), _product(builder, c2, int(MULTIPLIERS[1]))
            c0, c2 = (
                builder.xor(builder.xor(builder.lshr(product, half), word), k)
                for product, word, k in ((two, c1, k0), (one, c3, k1))
            )
            c1, c3 = builder.and_(two, low), builder.and_(one, low)
            k0, k1 = (
                builder.and_(builder.add(k, _constant(int(weyl))), low) for k, weyl in ((k0, WEYL[0]), (k1, WEYL[1]))
            )
        pairs = [builder.or_(lower, builder.shl(upper, half)) for lower, upper in ((c0, c1), (c2, c3))]
        array = data_of(context, builder, signature.args[2], args[2])
        pointer = builder.bitcast(builder.gep(array, [args[3]]), vector.as_pointer())
        for part in range(2):
            order = [4 * part + i // 2 + BLOCKS * (i % 2) for i in range(BLOCKS)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), BLOCKS), order)
            to = builder.gep(pointer, [ir.Constant(ir.IntType(64), part)])
            builder.store(builder.shuffle_vector(*pairs, mask), to).align = signature.args[2].dtype.bitwidth // 8
        return context.get_dummy_value()

    return signature, codegen


eight_octets = plain_eight_octets if PLAIN_LOOPS else vector_eight_blocks
"""128 bits a block as eight uint16."""
eight_blocks = plain_eight_blocks if PLAIN_LOOPS else vector_eight_blocks
"""128 bits a block as four uint32."""
