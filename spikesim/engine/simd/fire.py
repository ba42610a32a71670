"""The step of sixteen neurons: leak, window, firing, as one pass over vectors that stay in registers.

As in `spikesim.engine.simd.accumulate`, every function has a plain twin with the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesim.engine.simd.llvm import add_lanes, data_of, load, members, spread
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel
from spikesim.numerics.fixed_point import P_MAX


class Membrane(NamedTuple):
    """Potentials v of sixteen neurons, n, n + 1, ..; arrays may have several axes, indices are flat here and below."""

    v: NDArray[np.int32]
    n: int


class Drives(NamedTuple):
    """What drives sixteen neurons: u = rows[row] + rows[cell] + others[other] + bias[b]."""

    rows: NDArray[np.int32]
    row: int
    cell: int
    others: NDArray[np.int32]
    other: int
    bias: NDArray[np.int32]
    b: int


class External(NamedTuple):
    """External drives of sixteen neurons."""

    drive: NDArray[np.int32]
    at: int


class WindowSums(NamedTuple):
    """Sums of p over a half of the window, and steps in which p followed V, of sixteen neurons."""

    sums: NDArray[np.int32]
    steps: NDArray[np.uint16]
    m: int


class Threshold(NamedTuple):
    """What p must exceed for a spike, (random[r] + offset) mod 2**16."""

    random: NDArray[np.uint16]
    r: int
    offset: np.uint16


class LowPass(NamedTuple):
    """V moves by (u - V + dither) >> leak."""

    leak: int
    dither: int


def plain_fire(*, summed: bool, counted: bool) -> Callable[..., Any]:
    """Sixteen neurons leak, add p to the window and fire; bit k of the result is 1 iff neuron n + k fires.

    V = v[n] moves to V + ((u - V + dither) >> leak), and a neuron fires if p = clip(V) exceeds its threshold. summed:
    sums[m] += p; counted: steps[m] += 1 where 0 < V < P_MAX.
    """

    def fire(membrane, drives, window, threshold, low_pass):
        v, n = membrane
        rows, row, cell, others, other, bias, b = drives
        sums, steps, m = window
        random, r, offset = threshold
        leak, dither = low_pass
        word = 0
        for k in range(16):
            drive = np.int32(rows.flat[row + k] + rows.flat[cell + k] + others.flat[other + k] + bias[b + k])
            before = v.flat[n + k]
            moved = np.int32(before + (np.int32(drive - before + dither) >> leak))
            v.flat[n + k] = moved
            p = min(max(moved, np.int32(0)), np.int32(P_MAX))
            if summed:
                sums.flat[m + k] += p
            if counted:
                steps.flat[m + k] += np.uint16(0 < moved < P_MAX)
            if (np.int32(random.flat[r + k]) + np.int32(offset)) & P_MAX < p:
                word |= 1 << k
        return np.uint16(word)

    return inline_kernel(fire)


def vector_fire(*, summed: bool, counted: bool) -> Callable[..., Any]:
    """The vector form of `plain_fire`."""

    @intrinsic
    def fire(typingctx, membrane, drives, window, threshold, low_pass):
        signature = types.uint16(membrane, drives, window, threshold, low_pass)

        def codegen(context, builder, signature, args):
            int16, int32 = ir.IntType(16), ir.IntType(32)
            short, wide = ir.VectorType(int16, 16), ir.VectorType(int32, 16)
            given = [members(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)]
            (v, n), drives, (sums, steps, m), (random, r, offset), low_pass = given
            rows, row, cell, others, other, bias, b = drives

            def pointer(array, at, kind):
                return builder.bitcast(builder.gep(data_of(context, builder, *array), [at[1]]), kind.as_pointer())

            def get(array, at, kind=wide):
                return load(builder, pointer(array, at, kind), kind, kind.element.width // 8)

            def put(value, array, at, kind=wide):
                builder.store(value, pointer(array, at, kind)).align = kind.element.width // 8

            zero, highest = (ir.Constant(wide, [limit] * 16) for limit in (0, P_MAX))
            drive = get(bias, b)
            for array, at in ((rows, row), (rows, cell), (others, other)):
                drive = builder.add(drive, get(array, at))
            before = get(v, n)
            leak, dither = (spread(builder, builder.trunc(number, int32), 16) for _, number in low_pass)
            moved = builder.add(before, builder.ashr(builder.add(builder.sub(drive, before), dither), leak))
            put(moved, v, n)
            above, below = builder.icmp_signed(">", moved, zero), builder.icmp_signed("<", moved, highest)
            p = builder.select(below, builder.select(above, moved, zero), highest)
            if summed:
                put(builder.add(get(sums, m), p), sums, m)
            if counted:
                inside = builder.zext(builder.and_(above, below), short)
                put(builder.add(get(steps, m, short), inside), steps, m, short)
            moved_on = spread(builder, builder.trunc(offset[1], int16), 16)
            limit = builder.add(get(random, r, short), moved_on)
            return builder.bitcast(builder.icmp_unsigned("<", limit, builder.trunc(p, short)), int16)

        return signature, codegen

    return fire  # type: ignore[no-any-return]


@inline_kernel
def plain_energy(membrane, drives, external):
    """The energy of sixteen neurons: the sum of p (p - c - u) in int64, with p = clip(V).

    The drive u holds each synapse's share, as does that at its other end; the constant c, bias plus external drive,
    acts here alone, hence twice.
    """
    v, n = membrane
    rows, row, cell, others, other, bias, b = drives
    energy = np.int64(0)
    for k in range(16):
        constant = np.int64(bias[b + k]) + np.int64(external.drive.flat[external.at + k])
        drive = np.int64(bias[b + k]) + np.int64(rows.flat[row + k]) + np.int64(rows.flat[cell + k])
        drive += np.int64(others.flat[other + k])
        p = np.int64(min(max(v.flat[n + k], np.int32(0)), np.int32(P_MAX)))
        energy += p * (p - constant - drive)
    return energy


@intrinsic
def vector_energy(typingctx, membrane, drives, external):
    """The vector form of `plain_energy`."""
    signature = types.int64(membrane, drives, external)

    def codegen(context, builder, signature, args):
        int64 = ir.IntType(64)
        wide, long = (ir.VectorType(kind, 16) for kind in (ir.IntType(32), int64))
        given = [members(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)]
        (v, n), (rows, row, cell, others, other, bias, b), (external, e) = given

        def get(array, at):
            pointer = builder.gep(data_of(context, builder, *array), [at[1]])
            return builder.sext(load(builder, pointer, wide, 4), long)

        zero, highest = (ir.Constant(long, [limit] * 16) for limit in (0, P_MAX))
        potential, own = get(v, n), get(bias, b)
        p = builder.select(builder.icmp_signed(">", potential, zero), potential, zero)
        p = builder.select(builder.icmp_signed("<", p, highest), p, highest)
        rest = builder.sub(builder.sub(p, own), own)  # the bias is in c and in u
        for array, at in ((rows, row), (rows, cell), (others, other), (external, e)):
            rest = builder.sub(rest, get(array, at))
        return add_lanes(builder, builder.mul(p, rest))

    return signature, codegen


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
            load(builder, builder.gep(data_of(context, builder, kind, array), [args[2]]), vector, 2)
            for kind, array in zip(signature.args[:2], args[:2], strict=True)
        ]
        return builder.bitcast(builder.icmp_unsigned("<", loaded[1], loaded[0]), ir.IntType(16))

    return signature, codegen


_fire = plain_fire if PLAIN_LOOPS else vector_fire
fire, fire_summed = _fire(summed=False, counted=False), _fire(summed=True, counted=False)
fire_counted = _fire(summed=True, counted=True)
energy_of = plain_energy if PLAIN_LOOPS else vector_energy
spike_word = plain_spike_word if PLAIN_LOOPS else vector_spike_word
