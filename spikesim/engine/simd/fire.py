"""The step of sixteen neurons: membrane, window, firing, as one pass over vectors that stay in registers.

What V and p are says a neuron model (`spikesim.engine.neurons`), which is compiled into these kernels. As in
`spikesim.engine.simd.accumulate`, every function has a plain twin with the same bits.
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


class Membrane(NamedTuple):
    """State of sixteen neurons, n, n + 1, ..; arrays may have several axes, indices are flat here and below."""

    v: NDArray[np.int32]  # potentials
    n: int
    memory: Any  # what models carry besides (`spikesim.engine.neurons.Memory`), arrays of the shape of v
    setting: int  # of the model


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
    """What p must exceed for a spike, random[r] with some of its bits flipped."""

    random: NDArray[np.uint16]
    r: int
    flipped: np.uint16


class LowPass(NamedTuple):
    """V moves by (u - V + dither) >> leak."""

    leak: int
    dither: int


def plain_fire(neuron: Any, *, summed: bool, counted: bool) -> Callable[..., Any]:
    """Sixteen neurons move, add p to the window and fire; bit k of the result is 1 iff neuron n + k fires.

    V = v[n] moves as the model says, and a neuron fires if its p exceeds its threshold. summed: sums[m] += p; counted:
    steps[m] += 1 where p follows V.
    """
    move, begin, follows, end = neuron.move, neuron.begin, neuron.follows, neuron.end

    def fire(membrane, drives, window, threshold, low_pass):
        v, n, memory, setting = membrane
        rows, row, cell, others, other, bias, b = drives
        sums, steps, m = window
        random, r, flipped = threshold
        leak, dither = low_pass
        word = 0
        for k in range(16):
            drive = np.int32(rows.flat[row + k] + rows.flat[cell + k] + others.flat[other + k] + bias[b + k])
            moved = move(v.flat[n + k], drive, leak, dither)
            v.flat[n + k] = moved
            p = begin(memory, n + k, moved, setting)
            if summed:
                sums.flat[m + k] += p
            if counted:
                steps.flat[m + k] += np.uint16(follows(memory, n + k, moved))
            fired = (np.int32(random.flat[r + k]) ^ np.int32(flipped)) < p
            end(memory, n + k, fired, setting)
            if fired:
                word |= 1 << k
        return np.uint16(word)

    return inline_kernel(fire)


def vector_fire(neuron: Any, *, summed: bool, counted: bool) -> Callable[..., Any]:
    """The vector form of `plain_fire`."""

    @intrinsic
    def fire(typingctx, membrane, drives, window, threshold, low_pass):
        signature = types.uint16(membrane, drives, window, threshold, low_pass)

        def codegen(context, builder, signature, args):
            int16, int32 = ir.IntType(16), ir.IntType(32)
            short, wide = ir.VectorType(int16, 16), ir.VectorType(int32, 16)
            given = [members(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)]
            (v, n, memory, setting), drives, (sums, steps, m), (random, r, flipped), low_pass = given
            arrays = dict(zip(memory[0].fields, members(context, builder, *memory), strict=True))
            rows, row, cell, others, other, bias, b = drives

            def pointer(array, at, kind):
                return builder.bitcast(builder.gep(data_of(context, builder, *array), [at[1]]), kind.as_pointer())

            def get(array, at, kind=wide):
                return load(builder, pointer(array, at, kind), kind, kind.element.width // 8)

            def put(value, array, at, kind=wide):
                builder.store(value, pointer(array, at, kind)).align = kind.element.width // 8

            drive = get(bias, b)
            for array, at in ((rows, row), (rows, cell), (others, other)):
                drive = builder.add(drive, get(array, at))
            leak, dither = (spread(builder, builder.trunc(number, int32), 16) for _, number in low_pass)
            moved = neuron.vector_move(builder, get(v, n), drive, leak, dither)
            put(moved, v, n)
            kinds = {own.name: ir.VectorType(ir.IntType(8 * np.dtype(own.dtype).itemsize), 16) for own in neuron.arrays}
            own = {name: get(arrays[name], n, kind) for name, kind in kinds.items()}
            chosen = spread(builder, builder.trunc(setting[1], int32), 16)
            p, follows = neuron.vector_begin(builder, own, moved, chosen)
            if summed:
                put(builder.add(get(sums, m), p), sums, m)
            if counted:
                followed = builder.zext(follows, short)
                put(builder.add(get(steps, m, short), followed), steps, m, short)
            limit = builder.xor(get(random, r, short), spread(builder, builder.trunc(flipped[1], int16), 16))
            fired = builder.icmp_unsigned("<", limit, builder.trunc(p, short))
            neuron.vector_end(builder, own, fired, chosen)
            for name, kind in kinds.items():
                put(own[name], arrays[name], n, kind)
            return builder.bitcast(fired, int16)

        return signature, codegen

    return fire  # type: ignore[no-any-return]


def plain_energy(neuron: Any) -> Callable[..., Any]:
    """The energy of sixteen neurons: the sum of p (p - c - u) in int64.

    The drive u holds each synapse's share, as does that at its other end; the constant c, bias plus external drive,
    acts here alone, hence twice. The neuron's own term, p^2, is that of the clipped linear neuron, whatever the model.
    """
    begin = neuron.begin

    def energy_of(membrane, drives, external):
        v, n, memory, setting = membrane
        rows, row, cell, others, other, bias, b = drives
        energy = np.int64(0)
        for k in range(16):
            constant = np.int64(bias[b + k]) + np.int64(external.drive.flat[external.at + k])
            drive = np.int64(bias[b + k]) + np.int64(rows.flat[row + k]) + np.int64(rows.flat[cell + k])
            drive += np.int64(others.flat[other + k])
            p = np.int64(begin(memory, n + k, v.flat[n + k], setting))
            energy += p * (p - constant - drive)
        return energy

    return inline_kernel(energy_of)


def vector_energy(neuron: Any) -> Callable[..., Any]:
    """The vector form of `plain_energy`."""

    @intrinsic
    def energy_of(typingctx, membrane, drives, external):
        signature = types.int64(membrane, drives, external)

        def codegen(context, builder, signature, args):
            wide, long = (ir.VectorType(ir.IntType(bits), 16) for bits in (32, 64))
            given = [members(context, builder, kind, value) for kind, value in zip(signature.args, args, strict=True)]
            (v, n, _, _), (rows, row, cell, others, other, bias, b), (external, e) = given

            def get(array, at):
                return load(builder, builder.gep(data_of(context, builder, *array), [at[1]]), wide, 4)

            p = builder.sext(neuron.vector_begin(builder, {}, get(v, n), None)[0], long)
            own = builder.sext(get(bias, b), long)
            rest = builder.sub(builder.sub(p, own), own)  # the bias is in c and in u
            for array, at in ((rows, row), (rows, cell), (others, other), (external, e)):
                rest = builder.sub(rest, builder.sext(get(array, at), long))
            return add_lanes(builder, builder.mul(p, rest))

        return signature, codegen

    return energy_of  # type: ignore[no-any-return]


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


fire_kernel = plain_fire if PLAIN_LOOPS else vector_fire
energy_kernel = plain_energy if PLAIN_LOOPS else vector_energy
spike_word = plain_spike_word if PLAIN_LOOPS else vector_spike_word
