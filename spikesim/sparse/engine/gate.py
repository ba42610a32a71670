"""Where the threads of a trial wait for each other: between two steps, without leaving compiled code."""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from spikesim.engine.simd.llvm import data_of
from spikesim.jit.compilation import JIT, kernel

SPINS = 2**18
"""Looks at the others before a thread offers its core to them: some tenths of a millisecond, more than a step takes if
every thread has a core. Offering it sooner would hand it to other programs at every step of a busy machine."""


class Gate(NamedTuple):
    """What the threads of a trial share during a stretch of steps, besides the state."""

    threads: int
    arrivals: NDArray[np.int64]  # (1,): of all threads so far
    halts: NDArray[np.uint8]  # (2,): whether to halt before an even, an odd step
    broken: NDArray[np.uint8]  # (1,): not zero once a thread has failed

    @classmethod
    def of(cls, threads: int) -> "Gate":
        """One that nobody has come to."""
        return cls(threads, np.zeros(1, np.int64), np.zeros(2, np.uint8), np.zeros(1, np.uint8))


@intrinsic
def _arrive(typingctx: Any, array: Any) -> Any:
    """Add 1 to the first number of an int64 array, as one operation; the number before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = data_of(context, builder, signature.args[0], args[0])
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(array), codegen


@intrinsic
def _seen(typingctx: Any, array: Any) -> Any:
    """The first number of an int64 array as the other threads left it, with all that they wrote before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = data_of(context, builder, signature.args[0], args[0])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(array), codegen


_offer_core = types.ExternalFunction("sched_yield", types.int32())


@kernel
def _meet(gate):
    """Wait until all threads have come here as often as this one; False: one of them has failed."""
    everyone = (_arrive(gate.arrivals) // gate.threads + 1) * gate.threads
    spins = 0
    while _seen(gate.arrivals) < everyone:
        if gate.broken[0]:
            return False
        spins += 1
        if spins > SPINS:
            _offer_core()
    return gate.broken[0] == 0


@kernel
def pass_gate(gate, step, halt):
    """Come to the gate before a step; False if any of the threads wants to halt, or has failed.

    step: of the stretch. Those that are ahead ask for a halt before the next step in another place.
    """
    if gate.threads == 1:
        return not halt
    if halt:
        gate.halts[step & 1] = 1
    return _meet(gate) and gate.halts[step & 1] == 0


SHARES = JIT
"""Whether threads can share a trial: the interpreter has no operations that others cannot interrupt."""
