"""Real numbers to integers: the finest scale that fits, rounding, and refusal of what does not fit."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.errors import InputError
from spikesim.fixedpoint import (
    DRIVE_LIMIT,
    EXPONENT_MAX,
    ONE,
    SHARE_LIMIT,
    WEIGHT_MAX,
    quantise_drive,
    quantise_weights,
    shift_rounding,
    weight_exponent,
)

QUICK = settings(deadline=None, derandomize=True, database=None)
LARGEST_WEIGHT = DRIVE_LIMIT / ONE
FINITE = st.floats(-LARGEST_WEIGHT, LARGEST_WEIGHT, exclude_min=True, exclude_max=True)


@QUICK
@given(st.lists(FINITE, min_size=1, max_size=20))
def test_weights_are_rounded_at_the_finest_scale_that_fits(values: list[float]) -> None:
    weights = np.array(values)
    integers, exponent = quantise_weights(weights)
    assert integers.dtype == np.int16 and exponent <= EXPONENT_MAX
    assert np.abs(integers.astype(int)).max() <= WEIGHT_MAX  # never wrapped, and never -32768: the sign is symmetric
    assert (np.abs(np.ldexp(integers.astype(float), -exponent) - weights) <= 2.0 ** (-exponent - 1)).all()
    if exponent < EXPONENT_MAX:
        assert np.rint(np.abs(weights).max() * 2.0 ** (exponent + 1)) > WEIGHT_MAX
    expected, expected_exponent = reference.quantise(weights)
    assert exponent == expected_exponent
    np.testing.assert_array_equal(integers, expected)
    np.testing.assert_array_equal(quantise_weights(-weights)[0], -integers)


@pytest.mark.parametrize(
    "factor", [1.0, np.nextafter(1, 0), np.nextafter(1, 2), 1 - 2.0**-16, 1 - 2.0**-15, 1 - 2.0**-17]
)
def test_weights_beside_powers_of_two(factor: float) -> None:
    for power in range(-30, 14):
        weights = np.array([factor * 2.0**power])
        integers, exponent = quantise_weights(weights)
        expected, expected_exponent = reference.quantise(weights)
        assert (integers[0], exponent) == (expected[0], expected_exponent), power


def test_zeros_and_nothing_have_the_finest_scale() -> None:
    for weights in (np.zeros((2, 3)), np.zeros((0, 3))):
        integers, exponent = quantise_weights(weights)
        assert exponent == EXPONENT_MAX and integers.shape == weights.shape and not integers.any()


def test_single_and_double_precision_agree() -> None:
    weights = np.random.default_rng(0).normal(0, 0.1, 100).astype(np.float32)
    for a, b in zip(quantise_weights(weights), quantise_weights(weights.astype(np.float64)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, LARGEST_WEIGHT, -LARGEST_WEIGHT, 1e300])
def test_weights_that_do_not_fit_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"^first weights ") as raised:
        quantise_weights(np.array([0.1, bad]), "first weights")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, LARGEST_WEIGHT])
def test_exponent_of_a_bad_magnitude_is_refused(bad: float) -> None:
    with pytest.raises(InputError):
        weight_exponent(bad)


@QUICK
@given(st.lists(st.floats(-SHARE_LIMIT / ONE, SHARE_LIMIT / ONE, exclude_min=True, exclude_max=True), max_size=20))
def test_drives_are_rounded_to_the_nearest(values: list[float]) -> None:
    drives = np.array(values, np.float64)
    integers = quantise_drive(drives)
    assert integers.dtype == np.int32
    assert (np.abs(integers - drives * ONE) <= 0.5).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, SHARE_LIMIT / ONE, -1e12])
def test_drives_that_do_not_fit_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"^biases of x ") as raised:
        quantise_drive(np.array([0.0, bad]), "biases of x")
    assert "\n" not in str(raised.value)


def test_largest_shares_fit_together() -> None:
    """Bias, external drive, nudge, and four shares of all tables, against a potential of the other sign."""
    assert 7 * SHARE_LIMIT <= DRIVE_LIMIT and 2 * DRIVE_LIMIT <= 2**31


@QUICK
@given(st.integers(-(2**45), 2**45), st.integers(-16, 40))
def test_shift_rounds_halves_up(value: int, shift: int) -> None:
    expected = value * 2**-shift if shift <= 0 else (2 * value + 2**shift) // 2 ** (shift + 1)
    assert shift_rounding(np.array([value]), shift)[0] == expected
    assert reference.rounded_shift(np.array([value]), shift)[0] == expected
