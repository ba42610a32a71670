"""exp, log and softmax against the mathematical library, over their whole range."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.numerics.portable_math import exp, log, softmax_and_log_sum

ULPS = 2 * 2.0**-52
NORMAL_MIN = 2.0**-1022


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False)


@settings(deadline=None)
@given(numbers(-708.0, 709.0) | numbers(-1.0, 1.0))
def test_exp_is_within_two_ulps(x: float) -> None:
    assert abs(exp(x) - math.exp(x)) <= ULPS * math.exp(x)


@settings(deadline=None)
@given(numbers(NORMAL_MIN, 1e308) | numbers(0.5, 2.0))
def test_log_is_within_two_ulps(x: float) -> None:
    assert abs(log(x) - math.log(x)) <= ULPS * abs(math.log(x))


def test_exp_and_log_at_the_ends() -> None:
    assert exp(0.0) == 1.0 and log(1.0) == 0.0
    assert exp(-708.1) == exp(-1e300) == exp(-math.inf) == 0.0
    assert exp(-708.0) > 0.0 and math.isfinite(exp(709.0))
    for k in range(-1022, 1024):
        assert abs(log(math.ldexp(1.0, k)) - k * math.log(2.0)) <= ULPS * abs(k * math.log(2.0))
    just_below = math.nextafter(1.0, 0.0)
    assert log(just_below) == math.log(just_below) != 0.0


@settings(deadline=None)
@given(st.lists(st.lists(numbers(-800.0, 800.0), min_size=4, max_size=4), min_size=1, max_size=5))
def test_softmax_is_a_distribution_and_agrees_with_the_library(rows: list[list[float]]) -> None:
    logits = np.array(rows)
    found, log_sums = softmax_and_log_sum(logits)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    totals = shifted.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, shifted / totals, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(log_sums, logits.max(axis=1) + np.log(totals[:, 0]), rtol=1e-14, atol=1e-14)


def test_softmax_of_extremes_stays_finite() -> None:
    found, log_sums = softmax_and_log_sum(np.array([[1e6, -1e6, 0.0], [-1e300, -1e300, -1e300], [5.0, 5.0, 5.0]]))
    np.testing.assert_array_equal(found[0], [1.0, 0.0, 0.0])
    np.testing.assert_allclose(found[1:], 1 / 3)
    assert log_sums[0] == 1e6 and log_sums[1] == -1e300
    alone, log_sum = softmax_and_log_sum(np.array([[3.5]]))
    assert alone[0, 0] == 1.0 and log_sum[0] == 3.5
    none, _ = softmax_and_log_sum(np.zeros((0, 3)))
    assert none.shape == (0, 3)
