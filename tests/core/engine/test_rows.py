"""Rows of sixteen channels: the vector code and its plain twins against NumPy."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.engine.simd import rows
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """Vector and plain forms, each behind a small compiled function."""

    def products(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def add(numbers, first, count, weights, at, step, sums, to):  # type: ignore[no-untyped-def]
            function(numbers, first, count, weights, at, step, sums, to)

        return add

    def clipped(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def add(values, at, limit, sums, to):  # type: ignore[no-untyped-def]
            function(values, at, np.int32(limit), sums, to)

        return add

    return SimpleNamespace(
        products=[products(rows.vector_add_products), products(rows.plain_add_products)],
        clipped=[clipped(rows.vector_add_clipped), clipped(rows.plain_add_clipped)],
    )


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    count=st.integers(0, 30),
    step=st.sampled_from([16, 19, 64]),
    places=st.tuples(*[st.integers(0, 5)] * 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_products_are_exact(
    compiled: SimpleNamespace, count: int, step: int, places: tuple[int, int, int], seed: int
) -> None:
    rng, (first, at, to) = np.random.default_rng(seed), places
    numbers = rng.integers(-(2**15), 2**15, first + count + 1).astype(np.int16)
    weights = rng.integers(-(2**15), 2**15, at + (count + 1) * step + 16)
    begun = rng.integers(-(2**40), 2**40, to + 20)
    expected = begun.copy()
    for i in range(count):
        expected[to : to + 16] += int(numbers[first + i]) * weights[at + i * step :][:16]
    for add in compiled.products:
        sums = begun.astype(np.float64)
        add(numbers, first, count, weights.astype(np.float64), at, step, sums, to)
        np.testing.assert_array_equal(sums, expected)


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    dtype=st.sampled_from([np.int32, np.int64]),
    limit=st.sampled_from([0, 65535, 2**31 - 1]),
    places=st.tuples(*[st.integers(0, 5)] * 2),
    seed=st.integers(0, 2**32 - 1),
)
def test_values_are_clipped(
    compiled: SimpleNamespace, dtype: type, limit: int, places: tuple[int, int], seed: int
) -> None:
    rng, (at, to) = np.random.default_rng(seed), places
    values = rng.integers(-(2**31), 2**31, at + 20).astype(np.int32)
    values[at : at + 4] = -(2**31), -1, 0, 65535
    begun = np.zeros(to + 20, dtype)
    expected = begun.copy()
    expected[to : to + 16] += np.clip(values[at : at + 16], 0, limit).astype(dtype)
    for add in compiled.clipped:
        sums = begun.copy()
        add(values, at, limit, sums, to)
        np.testing.assert_array_equal(sums, expected)
