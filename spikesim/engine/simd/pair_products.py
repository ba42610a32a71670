"""Products of two factors of 16 bits, added up in pairs: what correlates rates.

One instruction of most machines multiplies pairs of 16 bits and adds the two products to 32 bits. So the two sides hold
their numbers by two, of neighbouring positions, and numbers of more bits in two halves. The sums of some channels of
the one side and `LANES` numbers of the other stay in registers while the pairs go by. The plain twins have the same
bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import config
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesim.engine.simd.llvm import data_of, load, loop, members, spread, unknown
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

LANES = 16
"""Neighbouring numbers that are multiplied with each term."""


def _best_instruction() -> str:
    """What multiplies and adds pairs on this machine; none that is sure to be there if code is made for another one."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return "plain"
    features = binding.get_host_cpu_features()
    return next((name for name in ("avx512bw", "avx2") if features.get(name, False)), "plain")


INSTRUCTION = _best_instruction()
ABREAST = 8 if INSTRUCTION == "avx512bw" else 2
"""Channels of terms that lie, and are added up, together: their sums fit the registers. A divisor of `LANES`."""


class PairedNumbers(NamedTuple):
    """Numbers in two halves: number k is ``low + high * 2**bits``; a word has a half of it and of its partner.

    Attributes
    ----------
    low, high : int32, flat
        The half of number k in the lower 16 bits, that of its partner in the upper ones, with their signs.
    bits : int
        Of the low half.
    """

    low: NDArray[np.int32]
    high: NDArray[np.int32]
    bits: int


class PairedTerms(NamedTuple):
    """Terms of `ABREAST` channels, and which numbers each pair of them is multiplied with.

    Attributes
    ----------
    words : int32 (pairs, ABREAST)
        A pair of terms of 16 bits, as in `PairedNumbers`.
    offsets : int32 (pairs,)
        Where the numbers of a pair begin, from the origin.
    """

    words: NDArray[np.int32]
    offsets: NDArray[np.int32]


class PairSums(NamedTuple):
    """Where sums go: those of channel c to ``flat[at + c * step :][:LANES]``, times ``2**shift``.

    Attributes
    ----------
    flat : int64
    at, step, shift : int
    keep : int
        -1 if they are added to what is there, 0 if they replace it.
    """

    flat: NDArray[np.int64]
    at: int
    step: int
    shift: int
    keep: int


@inline_kernel
def word_of(one, other):
    """Two numbers of 16 bits in one of 32, the second in the upper half."""
    return np.int32((np.int32(one) & np.int32(0xFFFF)) | (np.int32(other) << np.int32(16)))


def half_bits(size: int) -> int:
    """Bits of the low half of integers of at most this size, below ``2**31 - 2**15``, so that both halves are short."""
    return size.bit_length() // 2 + 1


def largest_half(size: int, bits: int) -> int:
    """A bound on both halves of integers of at most this size."""
    half = 1 << bits - 1
    return max(half, (size + half) >> bits)


@inline_kernel
def words_of_halves(one, other, bits):
    """The low halves of two int32, ``number = low + high * 2**bits`` with signs, in a word, and the high ones."""
    half, mask = np.int32(1 << bits - 1), np.int32((1 << bits) - 1)
    one, other = np.int32(one + half), np.int32(other + half)
    return word_of((one & mask) - half, (other & mask) - half), word_of(one >> bits, other >> bits)


@inline_kernel
def half_of(word):
    """The lower half of a word, with its sign."""
    return ((np.int64(word) & 0xFFFF) ^ 0x8000) - 0x8000


def plain_add_pairs() -> Callable[..., None]:
    """Sums of products of the pairs ``[first:last]`` and the numbers at ``origin`` and their offsets.

    Those of a half must stay below 2**31.
    """

    def add_pairs(numbers, origin, terms, first, last, sums):
        for channel in range(terms.words.shape[1]):
            for lane in range(LANES):
                low, high = np.int64(0), np.int64(0)
                for pair in range(first, last):
                    at = origin + np.int64(terms.offsets[pair]) + lane
                    word = np.int64(terms.words[pair, channel])
                    one, other = half_of(word), word >> 16
                    low += one * half_of(numbers.low[at]) + other * (np.int64(numbers.low[at]) >> 16)
                    high += one * half_of(numbers.high[at]) + other * (np.int64(numbers.high[at]) >> 16)
                to = sums.at + channel * sums.step + lane
                total = (low + (high << numbers.bits)) << sums.shift
                sums.flat[to] = (sums.flat[to] & np.int64(sums.keep)) + total

    return inline_kernel(add_pairs)


def vector_add_pairs(instruction: str, abreast: int) -> Callable[..., None]:
    """The vector form of `plain_add_pairs`, by an instruction, for terms of so many channels."""

    @intrinsic
    def add_pairs(typingctx, numbers, origin, terms, first, last, sums):
        signature = types.void(numbers, types.int64, terms, types.int64, types.int64, sums)

        def codegen(context, builder, signature, args):
            int32, int64 = ir.IntType(32), ir.IntType(64)
            row, total_type = ir.VectorType(int32, LANES), ir.VectorType(int64, LANES)
            numbers, terms, sums = (members(context, builder, signature.args[k], args[k]) for k in (0, 2, 5))
            *halves, (_, bits) = numbers
            halves_data = [builder.gep(data_of(context, builder, *half), [args[1]]) for half in halves]
            words_data, offsets_data = (data_of(context, builder, *array) for array in terms)
            flat, (_, at), (_, step), (_, shift), (_, keep) = sums

            def add_pair(pair, totals):
                offset = builder.sext(builder.load(builder.gep(offsets_data, [pair])), int64)
                rows = [load(builder, builder.gep(data, [offset]), row, 4) for data in halves_data]
                words = builder.gep(words_data, [builder.mul(pair, int64(abreast))])
                for channel in range(abreast):
                    word = builder.load(builder.gep(words, [int64(channel)]))
                    factor = spread(builder, word, LANES)
                    for half in range(2):
                        k = 2 * channel + half
                        total = builder.extract_value(totals, k)
                        total = add_products(builder, instruction, total, rows[half], factor)
                        totals = builder.insert_value(totals, total, k)
                return totals

            zero = ir.Constant(row, [0] * LANES)
            none = ir.Constant(ir.LiteralStructType([row] * (2 * abreast)), [zero] * (2 * abreast))
            totals = loop(builder, args[3], args[4], none, add_pair, unknown(builder, int64(1)))
            bits, shift, keep = (spread(builder, value, LANES) for value in (bits, shift, keep))
            flat_data = builder.gep(data_of(context, builder, *flat), [at])
            for channel in range(abreast):
                low, high = (
                    builder.sext(builder.extract_value(totals, 2 * channel + half), total_type) for half in range(2)
                )
                total = builder.shl(builder.add(low, builder.shl(high, bits)), shift)
                data = builder.gep(flat_data, [builder.mul(step, int64(channel))])
                data = builder.bitcast(data, total_type.as_pointer())
                before = builder.load(data)
                before.align = 8
                builder.store(builder.add(builder.and_(before, keep), total), data).align = 8
            return context.get_dummy_value()

        return signature, codegen

    return add_pairs  # type: ignore[no-any-return]


def add_products(builder: Any, instruction: str, total: Any, pairs: Any, factors: Any) -> Any:
    """``total`` plus the products of the two int16 in each lane."""
    kind = total.type
    short = ir.VectorType(ir.IntType(16), 2 * LANES)
    if instruction == "avx512bw":  # and the sum becomes a part of it where the machine has dot products (AVX512-VNNI)
        words = [builder.bitcast(own, short) for own in (pairs, factors)]
        return builder.add(total, _call(builder, "avx512.pmaddw.d.512", kind, *words))
    if instruction == "avx2":
        half, words = ir.VectorType(ir.IntType(32), LANES // 2), ir.VectorType(ir.IntType(16), LANES)
        products = []
        for first in (0, LANES // 2):
            chosen = _lanes(range(first, first + LANES // 2))
            own = [builder.bitcast(builder.shuffle_vector(one, one, chosen), words) for one in (pairs, factors)]
            products.append(_call(builder, "avx2.pmadd.wd", half, *own))
        return builder.add(total, builder.shuffle_vector(*products, _lanes(range(LANES))))
    sixteen = ir.Constant(kind, [16] * LANES)
    high = builder.mul(*(builder.ashr(own, sixteen) for own in (pairs, factors)))
    low = builder.mul(*(builder.ashr(builder.shl(own, sixteen), sixteen) for own in (pairs, factors)))
    return builder.add(total, builder.add(low, high))


def _lanes(chosen: range) -> Any:
    return ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), list(chosen))


def _call(builder: Any, name: str, kind: Any, *args: Any) -> Any:
    """An instruction of x86, whose result is of this kind."""
    function = ir.FunctionType(kind, [one.type for one in args])
    return builder.call(builder.module.declare_intrinsic(f"llvm.x86.{name}", (), function), args)


add_pairs = plain_add_pairs() if PLAIN_LOOPS else vector_add_pairs(INSTRUCTION, ABREAST)
