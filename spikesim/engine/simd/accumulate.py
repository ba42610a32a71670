"""The inner loops of the engine over events: adding rows of weights.

A row is the weights of one source neuron onto 16, 32 or 64 neighbouring channels. LLVM does not keep such sums in
registers from a plain loop over a run of events, so the loop is built here on a vector value. Every function has a
plain twin with the same bits; the twins serve where the JIT is off and in the tests.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesim.engine.simd.llvm import data_of, load, loop, members, spread, stretches
from spikesim.jit.compilation import PLAIN_LOOPS, inline_kernel

LANES = (16, 32, 64)
SMALL = 2**16 - 1
"""Sum of |value| up to which sums of value times weight, an int16, fit into int32."""


class Synapses(NamedTuple):
    """Weights, and the events that choose rows of them; arrays may have several axes, indices are flat."""

    weights: NDArray[np.int16]
    events: NDArray[np.int32]
    values: NDArray[np.int32]  # of graded events


class Runs(NamedTuple):
    """Runs of events, a number each: run k is ``events[first[k] : last[k]]``."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    origin: NDArray[np.int64]  # where the weights of event 0 would be


class Scale(NamedTuple):
    """How sums of weights become drives."""

    reach: int  # events of which a sum of weighted rows fits into int32
    right: int  # a sum S is a drive of S * 2**(left - right), halves rounded up; no more than one of the two is not 0
    left: int


class Drive(NamedTuple):
    """Where the drives of a pixel go: ``out[at:]``, in place of what is there (keep is 0) or added to it (-1)."""

    out: NDArray[np.int32]
    at: int
    keep: int


@inline_kernel
def drive_of(total, right, left):
    """A sum as a drive: total * 2**(left - right) with halves rounded up."""
    up = min(right, 1)  # rounding by the last bit that is lost: a half that is added could overflow
    return np.int32(((total >> right) + ((total >> (right - up)) & up)) << left)


def plain_deliver_runs(lanes: int, *, weighted: bool) -> Callable[..., None]:
    """Weight rows of some runs of events, added and scaled, written to (or added to) the drives of a pixel.

    The row of an event of run k is ``weights[origin[k] + event * lanes :][:lanes]``, times its value if they are
    weighted. Sums are int32; weighted ones those of `Scale.reach` events, whose sum of |value| must be at most `SMALL`,
    and their totals int64.
    """
    total_type = np.int64 if weighted else np.int32

    def deliver_runs(synapses, runs, count, scale, drive):
        weights, events, values = synapses
        out, at, keep = drive
        total = np.zeros(lanes, total_type)
        for run in range(count):
            for i in range(runs.first[run], runs.last[run]):
                row = runs.origin[run] + np.int64(events.flat[i]) * lanes
                for lane in range(lanes):
                    weight = np.int32(weights[row + lane])
                    total[lane] += np.int64(values.flat[i]) * weight if weighted else weight
        for lane in range(lanes):
            out[at + lane] = drive_of(total[lane], scale.right, scale.left) + (out[at + lane] & np.int32(keep))

    return inline_kernel(deliver_runs)


def write_drives(builder: Any, total: Any, right: Any, left: Any, out_data: Any, keep: Any) -> None:
    """Sums, a vector of int32 or int64, become drives as `plain_deliver_runs` says."""
    lanes, number, int64 = total.type.count, total.type.element, ir.IntType(64)
    drive_type = ir.VectorType(ir.IntType(32), lanes)

    def everywhere(value: Any, kind: Any) -> Any:
        return spread(builder, value if kind == int64 else builder.trunc(value, kind), lanes)

    up = builder.zext(builder.icmp_signed(">", right, int64(0)), int64)
    shift, low, up = (everywhere(value, number) for value in (right, builder.sub(right, up), up))
    rounded = builder.add(builder.ashr(total, shift), builder.and_(builder.ashr(total, low), up))
    drive = builder.shl(rounded, everywhere(left, number))
    if number == int64:
        drive = builder.trunc(drive, drive_type)
    out_data = builder.bitcast(out_data, drive_type.as_pointer())
    before = builder.load(out_data)
    before.align = 4
    drive = builder.add(drive, builder.and_(before, everywhere(keep, drive_type.element)))
    builder.store(drive, out_data).align = 4


def vector_deliver_runs(lanes: int, *, weighted: bool) -> Callable[..., None]:
    """The vector form of `plain_deliver_runs`: the sums never leave the registers."""

    @intrinsic
    def deliver_runs(typingctx, synapses, runs, count, scale, drive):
        signature = types.void(synapses, runs, types.int64, scale, drive)

        def codegen(context, builder, signature, args):
            int32, int64 = ir.IntType(32), ir.IntType(64)
            number = int64 if weighted else int32
            row_type, sum_type, total_type = (ir.VectorType(kind, lanes) for kind in (ir.IntType(16), int32, number))
            synapses, runs, scale, drive = (members(context, builder, signature.args[k], args[k]) for k in (0, 1, 3, 4))
            weights_data, events_data, values_data = (data_of(context, builder, *array) for array in synapses)
            runs_data = [data_of(context, builder, *array) for array in runs]
            (_, reach), (_, right), (_, left) = scale
            out, (_, at), (_, keep) = drive

            def add_run(run, total):
                first, last, origin = (builder.load(builder.gep(data, [run])) for data in runs_data)
                own_weights = builder.gep(weights_data, [origin])

                def add_row(i, total):
                    event = builder.sext(builder.load(builder.gep(events_data, [i])), int64)
                    pointer = builder.gep(own_weights, [builder.mul(event, int64(lanes))])
                    row = builder.sext(load(builder, pointer, row_type, 2), sum_type)
                    if weighted:
                        value = builder.load(builder.gep(values_data, [i]))
                        row = builder.mul(row, spread(builder, value, lanes))
                    return builder.add(total, row)

                if not weighted:
                    return loop(builder, first, last, total, add_row)

                def add_stretch(begin, end, total):
                    own = loop(builder, begin, end, ir.Constant(sum_type, [0] * lanes), add_row)
                    return builder.add(total, builder.sext(own, total_type))

                return stretches(builder, first, last, reach, total, add_stretch)

            total = loop(builder, int64(0), args[2], ir.Constant(total_type, [0] * lanes), add_run)
            write_drives(builder, total, right, left, builder.gep(data_of(context, builder, *out), [at]), keep)
            return context.get_dummy_value()

        return signature, codegen

    return deliver_runs  # type: ignore[no-any-return]


_deliver_runs = plain_deliver_runs if PLAIN_LOOPS else vector_deliver_runs
deliver_runs_16, deliver_runs_32, deliver_runs_64 = (_deliver_runs(lanes, weighted=False) for lanes in LANES)
deliver_values_16, deliver_values_32, deliver_values_64 = (_deliver_runs(lanes, weighted=True) for lanes in LANES)
