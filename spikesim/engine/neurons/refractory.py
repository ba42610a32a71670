"""The clipped linear neuron with an absolute refractory period: for R steps after a spike it does not fire.

V moves as without one. Where p = clip(V) stays, the mean of p over the steps, 0 in those R, is

    r = p / (1 + R p),      dr/dV = 1 / (1 + R p)^2 = (1 - R r)^2      where 0 < V < 1.

That is what it sends where rates are sent (`REFRACTORY_RATE`), to the nearest 2**-16, halves up. In spikes the share of
the steps in which p follows V has one of the two factors 1 - R r already; `response` adds the other.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from spikesim.engine.neurons import clipped_linear as cl
from spikesim.engine.neurons.neuron import Neuron, StateArray
from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.fixed_point import ONE

REFRACTORY_MAX = 64
"""Steps of the longest refractory period."""


@inline_kernel
def begin(memory, at, potential, setting):
    """p of this step, 0 while `wait`, the steps until the neuron may fire again, is not over; it is a step less."""
    wait = np.int32(memory.wait.flat[at])
    if wait > 0:
        wait -= np.int32(1)
        memory.wait.flat[at] = np.uint8(wait)
    return cl.clip(potential) if wait == 0 else np.int32(0)


@inline_kernel
def follows(memory, at, potential):
    """Whether p moves with V."""
    return memory.wait.flat[at] == 0 and cl.follows(memory, at, potential)


@inline_kernel
def end(memory, at, fired, setting):
    """After a spike it may fire again in step R + 1."""
    if fired:
        memory.wait.flat[at] = np.uint8(setting + 1)


@inline_kernel
def present(memory, sample, index, potential, setting):
    """p of the present step; with `wait` at R + 1 it has just fired, hence could."""
    silent = 0 < memory.wait[sample, index] <= setting
    return np.int32(0) if silent else cl.clip(potential)


@inline_kernel
def kept(rate, setting):
    """1 - R r, which a rate measured in few steps may exceed: within 0 .. 1."""
    return max(1.0 - np.float64(setting) * np.float64(rate) / ONE, 0.0)


@inline_kernel
def response(drive, followed, steps, rate, setting):
    """The drive times (1 - R r) times the share of the window in which p followed V."""
    return cl.response(drive, followed, steps, rate, setting) * kept(rate, setting)


def vector_begin(builder: Any, own: dict[str, Any], potential: Any, setting: Any) -> tuple[Any, Any]:
    """The vector forms of `begin` and `follows`."""
    p, follows = cl.vector_clip(builder, potential)
    wait = own["wait"]
    none = ir.Constant(wait.type, [0] * wait.type.count)
    wait = builder.sub(wait, builder.zext(builder.icmp_unsigned("!=", wait, none), wait.type))
    own["wait"] = wait
    ready = builder.icmp_unsigned("==", wait, none)
    return builder.select(ready, p, ir.Constant(p.type, [0] * p.type.count)), builder.and_(ready, follows)


def vector_end(builder: Any, own: dict[str, Any], fired: Any, setting: Any) -> None:
    """The vector form of `end`."""
    wait = own["wait"]
    one = ir.Constant(wait.type, [1] * wait.type.count)
    longest = builder.add(builder.trunc(setting, wait.type), one)
    own["wait"] = builder.select(fired, longest, wait)


def rate(drive: NDArray[np.float64], setting: int) -> NDArray[np.float64]:
    """r where V = u."""
    p = cl.rate(drive, 0)
    return p / (1.0 + setting * p)


def slope(drive: NDArray[np.float64], setting: int) -> NDArray[np.float64]:
    """Its derivative."""
    return cl.slope(drive, 0) / (1.0 + setting * cl.rate(drive, 0)) ** 2


@inline_kernel
def mean_rate(potential, setting):
    """r in integers."""
    p = np.int64(cl.clip(potential))
    divisor = ONE + np.int64(setting) * p
    return np.int32((p * ONE + (divisor >> 1)) // divisor)


@inline_kernel
def begin_rate(memory, at, potential, setting):
    """r in place of p."""
    return mean_rate(potential, setting)


@inline_kernel
def present_rate(memory, sample, index, potential, setting):
    """r in place of p."""
    return mean_rate(potential, setting)


@inline_kernel
def response_rate(drive, followed, steps, rate, setting):
    """With both factors 1 - R r, for p follows V in all steps."""
    return response(drive, followed, steps, rate, setting) * kept(rate, setting)


def vector_begin_rate(builder: Any, own: dict[str, Any], potential: Any, setting: Any) -> tuple[Any, Any]:
    """The vector forms of `begin_rate` and `follows`; the whole part of a quotient of integers below 2**33 is exact."""
    p, follows = cl.vector_clip(builder, potential)
    count = p.type.count
    double = ir.VectorType(ir.DoubleType(), count)
    one, bit = (ir.Constant(p.type, [value] * count) for value in (ONE, 1))
    divisor = builder.add(one, builder.mul(setting, p))
    half = builder.sitofp(builder.lshr(divisor, bit), double)
    dividend = builder.fadd(builder.fmul(builder.sitofp(p, double), builder.sitofp(one, double)), half)
    return builder.fptosi(builder.fdiv(dividend, builder.sitofp(divisor, double)), p.type), follows


REFRACTORY_RATE = replace(
    cl.CLIPPED_LINEAR,
    name="refractory-rate",
    begin=begin_rate,
    present=present_rate,
    response=response_rate,
    vector_begin=vector_begin_rate,
    rate=rate,
    slope=slope,
    linear=False,
    settings=(1, REFRACTORY_MAX),
)

REFRACTORY = Neuron(
    name="refractory",
    move=cl.move,
    begin=begin,
    follows=follows,
    end=end,
    present=present,
    response=response,
    vector_move=cl.vector_move,
    vector_begin=vector_begin,
    vector_end=vector_end,
    rate=rate,
    slope=slope,
    arrays=(StateArray("wait", np.uint8, 0),),
    settings=(1, REFRACTORY_MAX),
    mean_field=REFRACTORY_RATE,
)
