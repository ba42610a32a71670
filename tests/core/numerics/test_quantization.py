"""Weights to integers: the finest scale that fits, refusal of what does not, sums of magnitudes and norms."""

import math

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.errors import InputError
from spikesim.numerics.fixed_point import DRIVE_LIMIT, EXPONENT_MAX, ONE, WEIGHT_MAX
from spikesim.numerics.quantization import largest_sums, norm, quantize_weights

QUICK = settings(deadline=None, derandomize=True, database=None)
LARGEST_WEIGHT = DRIVE_LIMIT / ONE
FINITE = st.floats(-LARGEST_WEIGHT, LARGEST_WEIGHT, exclude_min=True, exclude_max=True)


@QUICK
@given(st.lists(FINITE, min_size=1, max_size=20))
def test_weights_are_rounded_at_the_finest_scale_that_fits(values: list[float]) -> None:
    weights = np.array(values)
    integers, exponent = quantize_weights(weights)
    assert integers.dtype == np.int16 and exponent <= EXPONENT_MAX
    assert np.abs(integers.astype(int)).max() <= WEIGHT_MAX  # never wrapped, and never -32768: the sign is symmetric
    assert (np.abs(np.ldexp(integers.astype(float), -exponent) - weights) <= 2.0 ** (-exponent - 1)).all()
    if exponent < EXPONENT_MAX:
        assert np.rint(np.abs(weights).max() * 2.0 ** (exponent + 1)) > WEIGHT_MAX
    expected, expected_exponent = reference.quantize(weights)
    assert exponent == expected_exponent
    np.testing.assert_array_equal(integers, expected)
    np.testing.assert_array_equal(quantize_weights(-weights)[0], -integers)


@pytest.mark.parametrize(
    "factor", [1.0, np.nextafter(1, 0), np.nextafter(1, 2), 1 - 2.0**-16, 1 - 2.0**-15, 1 - 2.0**-17]
)
def test_weights_beside_powers_of_two(factor: float) -> None:
    for power in range(-30, 14):
        weights = np.array([factor * 2.0**power])
        integers, exponent = quantize_weights(weights)
        expected, expected_exponent = reference.quantize(weights)
        assert (integers[0], exponent) == (expected[0], expected_exponent), power


def test_zeros_and_nothing_have_the_finest_scale() -> None:
    for weights in (np.zeros((2, 3)), np.zeros((0, 3))):
        integers, exponent = quantize_weights(weights)
        assert exponent == EXPONENT_MAX and integers.shape == weights.shape and not integers.any()


def test_single_and_double_precision_agree() -> None:
    weights = np.random.default_rng(0).normal(0, 0.1, 100).astype(np.float32)
    for a, b in zip(quantize_weights(weights), quantize_weights(weights.astype(np.float64)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, LARGEST_WEIGHT, -LARGEST_WEIGHT, 1e300])
def test_weights_that_do_not_fit_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"^first weights ") as raised:
        quantize_weights(np.array([0.1, bad]), "first weights")
    assert "\n" not in str(raised.value)


def test_views_are_quantized_in_their_own_order() -> None:
    weights = np.random.default_rng(0).normal(0, 0.1, (5, 4, 3)).astype(np.float32)
    for view in (weights.T, weights[::2], weights[:, ::-1]):
        for a, b in zip(quantize_weights(view), quantize_weights(view.copy()), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 5, 7), (2, 64, 33), (0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_largest_sums_and_norms_are_exact(shape: tuple[int, int, int]) -> None:
    for weights in (
        np.random.default_rng(0).integers(-WEIGHT_MAX, WEIGHT_MAX + 1, shape).astype(np.int16),
        np.full(shape, -WEIGHT_MAX, np.int16),
    ):
        size = abs(weights.astype(object))
        into, out_of = size.sum(axis=(0, 1)), size.sum(axis=(0, 2))
        assert largest_sums(weights) == (max(into, default=0), max(out_of, default=0))
        assert norm(weights, 3) == math.sqrt(int((size * size).sum())) / 8
