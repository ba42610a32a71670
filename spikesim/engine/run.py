"""The compiled loop over the steps of a phase, its clock, and the spikes that it is given."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine import plan as p
from spikesim.engine.events import load_stream
from spikesim.engine.populations import Population
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.step import measure_residual, step
from spikesim.errors import InputError
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.philox import seed_key

Firing = Literal["iid", "stratified", "mean-field"]

ORDERS: dict[str, int] = {
    "synchronous": p.ORDER_SYNCHRONOUS,
    "parity": p.ORDER_PARITY,
    "upwards": p.ORDER_UPWARDS,
}
"""In which order a step updates the populations."""

FIRINGS: dict[str, int] = {
    "iid": p.FIRING_IID,
    "stratified": p.FIRING_STRATIFIED,
    "mean-field": p.FIRING_MEAN_FIELD,
}


@kernel
def run_steps(
    plan, state, counts, scratch, clock, n_samples, first, steps, window, stream_populations, stream_events,
    stream_pointers, stop,
):  # fmt: skip
    """Steps first .. first + steps - 1 of a phase, or until a stop is asked for.

    The last `window` steps (an even number) are accumulated in two halves.

    Returns
    -------
    bool
        False: stopped in the middle, the state is of no use.
    """
    for i in range(steps):
        if stop[0]:
            return False
        t = first + i
        position = window - (steps - i)  # in the window; negative before it
        half = -1
        if window > 0 and position >= 0:
            half = 2 * position // window
        load_streams(plan, state, counts, clock, n_samples, stream_populations, stream_events, stream_pointers, t, half)
        step(plan, state, counts, scratch, clock, n_samples, t, half, i == steps - 1)
    if window > 0:
        for sample in range(n_samples):
            measure_residual(plan, state, counts, sample)
    return True


@inline_kernel
def load_streams(plan, state, counts, clock, n_samples, populations, events, pointers, t, half):
    """`load_stream` for all populations that are driven from outside; pointers: int64 (populations, n, steps + 1)."""
    for s in range(populations.shape[0]):
        load_stream(plan, state, counts, clock, populations[s], n_samples, events, pointers[s], t, half)


def make_clock(firing: str, stream: int, seed: int, onset: int = 0, order: str = "synchronous") -> p.Clock:
    """Which random numbers a phase draws, and how it begins.

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
    return p.Clock(FIRINGS[firing], stream, int(low), int(high), onset, ORDERS[order])


class Streams(NamedTuple):
    """Input spikes of streamed populations, as the loop takes them."""

    populations: NDArray[np.int64]  # (S,)
    events: NDArray[np.int32]  # (spikes,)
    pointers: NDArray[np.int64]  # (S, n, steps + 1), as `SpikeTrains.pointers`

    @classmethod
    def none(cls) -> "Streams":
        """No populations."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 0, 0), np.int64))

    @classmethod
    def join(cls, given: Sequence[tuple[Population, SpikeTrains]]) -> "Streams":
        """Of populations and their spikes, all for the same samples and steps."""
        if not given:
            return cls.none()
        offsets = np.cumsum([0] + [len(trains.neurons) for _, trains in given])
        return cls(
            np.array([population.index for population, _ in given], np.int64),
            np.concatenate([trains.neurons for _, trains in given]),
            np.stack([trains.pointers + at for (_, trains), at in zip(given, offsets[:-1], strict=True)]),
        )
