"""Which of four neurons has the highest potential, for sixteen channels at a time."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from spikesim.engine.simd.llvm import data_of, load
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

__all__ = ["plain_winner_words", "vector_winner_words", "winner_words"]


@inline_kernel
def plain_winner_words(v, first, second, third, fourth):
    """A word for each of four neurons: bit k is 1 where, of ``v[.. + k]``, its own is the highest, the first of some.

    v: int32, the flat indices of the four neurons of channel 0 follow; uint64 words of 16 bits.
    """
    words = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
    for k in range(16):
        a, b, c, d = v.flat[first + k], v.flat[second + k], v.flat[third + k], v.flat[fourth + k]
        above, bit = max(a, b) >= max(c, d), np.uint64(k)
        words = (
            words[0] | np.uint64(above and a >= b) << bit,
            words[1] | np.uint64(above and a < b) << bit,
            words[2] | np.uint64(not above and c >= d) << bit,
            words[3] | np.uint64(not above and c < d) << bit,
        )
    return words


@intrinsic
def vector_winner_words(typingctx, v, first, second, third, fourth):
    """The vector form of `plain_winner_words`."""
    returned = types.UniTuple(types.uint64, 4)
    signature = returned(v, types.int64, types.int64, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        vector, sixteen, int64 = ir.VectorType(ir.IntType(32), 16), ir.IntType(16), ir.IntType(64)
        data = data_of(context, builder, signature.args[0], args[0])
        a, b, c, d = (load(builder, builder.gep(data, [at]), vector, 4) for at in args[1:])
        left, low_left = builder.icmp_signed(">=", a, b), builder.icmp_signed(">=", c, d)
        upper, lower = builder.select(left, a, b), builder.select(low_left, c, d)
        above = builder.bitcast(builder.icmp_signed(">=", upper, lower), sixteen)
        left, low_left = builder.bitcast(left, sixteen), builder.bitcast(low_left, sixteen)
        below = builder.not_(above)
        words = (
            builder.and_(above, left),
            builder.and_(above, builder.not_(left)),
            builder.and_(below, low_left),
            builder.and_(below, builder.not_(low_left)),
        )
        return context.make_tuple(builder, signature.return_type, [builder.zext(word, int64) for word in words])

    return signature, codegen


winner_words = plain_winner_words if PLAIN_LOOPS else vector_winner_words
