"""What a phase is to the loop: how its neurons fire, which random numbers it draws, and which of its steps is which."""

from typing import Literal, NamedTuple

from spikesim.engine.plan import (
    FIRING_DEVIATIONS,
    FIRING_IID,
    FIRING_MEAN_FIELD,
    FIRING_STRATIFIED,
    ORDER_PARITY,
    ORDER_SYNCHRONOUS,
    ORDER_UPWARDS,
)
from spikesim.errors import InputError
from spikesim.jit.compilation import inline_kernel
from spikesim.numerics.philox import seed_key

Firing = Literal["iid", "stratified", "mean-field"]

ORDERS: dict[str, int] = {
    "synchronous": ORDER_SYNCHRONOUS,
    "parity": ORDER_PARITY,
    "upwards": ORDER_UPWARDS,
}
"""In which order a step updates the populations."""

FIRINGS: dict[str, int] = {
    "iid": FIRING_IID,
    "stratified": FIRING_STRATIFIED,
    "mean-field": FIRING_MEAN_FIELD,
}


class PhaseSpec(NamedTuple):
    """Which random numbers a phase draws, how its neurons fire, and how it begins."""

    firing: int
    stream: int
    key_low: int
    key_high: int
    onset: int = 0  # steps before this one have no low pass: V is the drive
    order: int = 0  # in which order a step updates the populations


class Window(NamedTuple):
    """The last steps of a phase, over which rates are averaged, in two halves."""

    steps: int  # of the phase
    length: int  # even; 0: there is none


class Moment(NamedTuple):
    """A step of a phase."""

    t: int
    half: int  # the half (0, 1) of the window that the step belongs to; -1: to none
    measure: bool  # whether the energy function is taken, at the state before the step


@inline_kernel
def model_of(pop, firing):
    """Number of the model of a population's neurons, or of what stands for it where its rates are sent.

    Where the membranes hold rates, the clipped linear one, 0, hands them on as they are.
    """
    if firing >= FIRING_DEVIATIONS:
        return 0
    return pop.mean_field if firing == FIRING_MEAN_FIELD else pop.model


@inline_kernel
def half(window, t):
    """Half (0, 1) of the window that step t of a phase, counted from 0, belongs to; -1 before the window."""
    position = window.length - (window.steps - t)
    return 2 * position // window.length if position >= 0 else -1


def phase_spec(firing: str, stream: int, seed: int, onset: int = 0, order: str = "synchronous") -> PhaseSpec:
    """How a phase fires, draws and begins.

    Parameters
    ----------
    firing : {"iid", "stratified", "mean-field"}
    stream : int
        0 .. 2**24 - 1: two phases with the same stream share their random numbers.
    seed : int
        0 .. 2**64 - 1.
    onset : int
        Steps before this one have no low pass.
    order : {"synchronous", "parity", "upwards"}
        In which order a step updates the populations.

    Raises
    ------
    InputError
        A value out of range.
    """
    if firing not in FIRINGS:
        raise InputError(f"firing is {firing!r}; it must be one of {', '.join(FIRINGS)}")
    if not 0 <= stream < 2**24:
        raise InputError(f"stream is {stream}; it must be in 0 .. 2**24 - 1")
    if not 0 <= onset < 2**32:
        raise InputError(f"onset is {onset}; it must be in 0 .. 2**32 - 1")
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    low, high = seed_key(seed)
    return PhaseSpec(FIRINGS[firing], stream, int(low), int(high), onset, ORDERS[order])
