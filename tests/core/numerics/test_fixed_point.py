"""Real numbers to integers: scales, rounding, and refusal of what does not fit."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.ep.phases.nudged.clamped_drive import CLAMPED_LIMIT
from spikesim.errors import InputError
from spikesim.numerics.dither import leak_dither, reversed_bits
from spikesim.numerics.fixed_point import (
    DRIVE_LIMIT,
    ONE,
    SHARE_LIMIT,
    quantize_drive,
    shift_rounding,
    weight_exponent,
)

QUICK = settings(deadline=None, derandomize=True, database=None)
LARGEST_WEIGHT = DRIVE_LIMIT / ONE


@pytest.mark.parametrize("bad", [math.nan, math.inf, LARGEST_WEIGHT])
def test_exponent_of_a_bad_magnitude_is_refused(bad: float) -> None:
    with pytest.raises(InputError):
        weight_exponent(bad)


@QUICK
@given(st.lists(st.floats(-SHARE_LIMIT / ONE, SHARE_LIMIT / ONE, exclude_min=True, exclude_max=True), max_size=20))
def test_drives_are_rounded_to_the_nearest(values: list[float]) -> None:
    drives = np.array(values, np.float64)
    integers = quantize_drive(drives)
    assert integers.dtype == np.int32
    assert (np.abs(integers - drives * ONE) <= 0.5).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, SHARE_LIMIT / ONE, -1e12])
def test_drives_that_do_not_fit_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"^biases of x ") as raised:
        quantize_drive(np.array([0.0, bad]), "biases of x")
    assert "\n" not in str(raised.value)


def test_largest_shares_fit_together() -> None:
    """Bias, external drive, nudge, and four shares of all tables, against a potential of the other sign; and the dither
    of the slowest leak."""
    assert 7 * SHARE_LIMIT <= DRIVE_LIMIT * 7 // 8 and 2 * (DRIVE_LIMIT * 7 // 8) + 2**15 <= 2**31
    assert CLAMPED_LIMIT < SHARE_LIMIT


@QUICK
@given(step=st.integers(0, 2**32 - 1), leak=st.integers(0, 15))
def test_dither_is_the_low_bits_of_the_step_reversed(step: int, leak: int) -> None:
    assert reversed_bits(step) == reference.bit_reversed(step, 16)
    assert leak_dither(step, leak) == reference.bit_reversed(step, leak)
    assert leak_dither(step << leak, leak) == 0


@QUICK
@given(step=st.integers(0, 2**32 - 2**10), leak=st.integers(0, 8), difference=st.integers(-(2**20), 2**20))
def test_leak_loses_nothing_on_average(step: int, leak: int, difference: int) -> None:
    moves = [(difference + leak_dither(t, leak)) >> leak for t in range(step, step + 2**leak)]
    assert sum(moves) == difference
    assert max(moves) - min(moves) <= 1


@QUICK
@given(st.integers(-(2**45), 2**45), st.integers(-16, 40))
def test_shift_rounds_halves_up(value: int, shift: int) -> None:
    expected = value * 2**-shift if shift <= 0 else (2 * value + 2**shift) // 2 ** (shift + 1)
    assert shift_rounding(np.array([value]), shift)[0] == expected
    assert reference.rounded_shift(np.array([value]), shift)[0] == expected
