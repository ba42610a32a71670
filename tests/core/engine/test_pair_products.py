"""Products of pairs: each form that this machine runs against Python's integers."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding
from numpy.typing import NDArray

from spikesim.engine.simd import pair_products as pp
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)
CHANNELS = (2, 8)


def numbers_and_partners(words: NDArray[np.int32]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Python's integers."""
    lower, upper = words.view(np.int16).reshape(*words.shape, 2).astype(object).transpose(-1, *range(words.ndim))
    return lower, upper


@pytest.fixture(scope="module")
def forms() -> dict[int, list[Callable[..., None]]]:
    """By the number of channels abreast: the plain form, and those of the instructions that the machine has."""

    def callable_form(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(low, high, bits, origin, words, offsets, first, last, flat, at, step, shift, keep):  # type: ignore[no-untyped-def]
            numbers, terms = pp.PairedNumbers(low, high, bits), pp.PairedTerms(words, offsets)
            function(numbers, origin, terms, first, last, pp.PairSums(flat, at, step, shift, keep))

        return call

    features = binding.get_host_cpu_features()
    instructions = ["plain", *(name for name in ("avx2", "avx512bw") if features.get(name, False))]
    return {
        abreast: [
            callable_form(pp.plain_add_pairs()),
            *(callable_form(pp.vector_add_pairs(instruction, abreast)) for instruction in instructions),
        ]
        for abreast in CHANNELS
    }


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    abreast=st.sampled_from(CHANNELS),
    sizes=st.sampled_from([(2**15, 2**11), (2**8, 2**15), (2**11, 2**12)]),
    stretch=st.sampled_from([(0, 0), (0, 1), (1, 2), (0, 7), (3, 12)]),
    bits=st.integers(1, 16),
    shift=st.sampled_from([0, 13]),
    keep=st.sampled_from([0, -1]),
)
def test_sums_of_pairs_are_those_of_pythons_integers(
    forms: dict[int, list[Callable[..., None]]],
    seed: int,
    abreast: int,
    sizes: tuple[int, int],
    stretch: tuple[int, int],
    bits: int,
    shift: int,
    keep: int,
) -> None:
    rng = np.random.default_rng(seed)
    rates, terms = sizes
    low, high = rng.integers(-rates, rates, (2, 120, 2)).astype(np.int16).view(np.int32)[..., 0]
    words = rng.integers(-terms, terms, (12, abreast, 2)).astype(np.int16).view(np.int32)[..., 0]
    offsets, origin, at, step = rng.integers(0, 90, 12).astype(np.int32), 9, 3, 20
    before = rng.integers(-(2**40), 2**40, 8 * 20 + 8)
    expected = before.copy()
    halves = [numbers_and_partners(half) for half in (low, high)]
    term, partner = numbers_and_partners(words)
    for channel in range(abreast):
        for lane in range(pp.LANES):
            total = 0
            for pair in range(*stretch):
                place = origin + int(offsets[pair]) + lane
                for half, (number, beside) in enumerate(halves):
                    products = number[place] * term[pair, channel] + beside[place] * partner[pair, channel]
                    total += products << (bits * half)
            i = at + channel * step + lane
            expected[i] = (int(before[i]) if keep else 0) + (total << shift)
    for add_pairs in forms[abreast]:
        flat = before.copy()
        add_pairs(low, high, bits, origin, words, offsets, *stretch, flat, at, step, shift, keep)
        np.testing.assert_array_equal(flat, expected)


@pytest.mark.parametrize("pair", [(0, 0), (-1, 1), (2**15 - 1, -(2**15)), (-(2**15), 2**15 - 1)])
def test_a_word_holds_two_numbers(pair: tuple[int, int]) -> None:
    @numba.njit
    def word(one, other):  # type: ignore[no-untyped-def]
        return pp.word_of(one, other)

    assert np.array([word(*pair)], np.int32).view(np.int16).tolist() == list(pair)


@pytest.mark.parametrize("size", [0, 1, 2, 2**15 - 1, 2**20 - 3, 2**28, 2**31 - 2**15 - 1])
def test_halves_are_short_and_bounded(size: int) -> None:
    @numba.njit
    def words(one, other, bits):  # type: ignore[no-untyped-def]
        return pp.words_of_halves(one, other, bits)

    bits = pp.half_bits(size)
    for number in {0, size, -size, size // 3, -(size // 3), 1 << bits - 1, -(1 << bits - 1)}:
        if abs(number) > size:
            continue
        low, high = np.array(words(np.int32(number), np.int32(-number), bits), np.int32).view(np.int16).reshape(2, 2)
        for own, first, second in zip((number, -number), low.tolist(), high.tolist(), strict=True):
            assert first + (second << bits) == own
            assert max(abs(first), abs(second)) <= pp.largest_half(size, bits) <= 2**15
