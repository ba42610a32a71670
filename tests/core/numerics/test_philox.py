"""Philox4x32-10: known answers, the plain NumPy twin, and the seed as the key."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.errors import InputError
from spikesim.numerics.philox import philox_words, seed_key

# Counter, key, answer: the known-answer vectors of Random123 (kat_vectors, philox4x32 10).
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
WORD = st.integers(0, 2**32 - 1)


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize("function", [philox_words, reference.philox], ids=["compiled", "reference"])
@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(function, counter: str, key: str, answer: str) -> None:  # type: ignore[no-untyped-def]
    low, high = words(key)
    result = function(np.array([words(counter)], np.uint32), high << 32 | low)
    assert result.dtype == np.uint32
    assert result.tolist() == [words(answer)]


@settings(deadline=None, derandomize=True, database=None)
@given(counters=st.lists(st.tuples(WORD, WORD, WORD, WORD), max_size=9), seed=st.integers(0, 2**64 - 1))
def test_compiled_equals_reference(counters: list[tuple[int, ...]], seed: int) -> None:
    array = np.array(counters, np.uint32).reshape(-1, 4)
    result = philox_words(array, seed)
    np.testing.assert_array_equal(result, reference.philox(array, seed))
    np.testing.assert_array_equal(philox_words(array[::-1], seed), result[::-1])  # a function, not a state


def test_bits_are_balanced() -> None:
    """Each of the 128 bits over 4,096 neighbouring counters: within 6.5 sigma, once in 1e8 trials."""
    counters = np.zeros((4096, 4), np.uint32)
    counters[:, 0] = np.arange(4096)
    bits = np.unpackbits(philox_words(counters, 0).view(np.uint8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 6.5 * 0.5 / 64


def test_seed_key_is_low_word_first() -> None:
    assert seed_key(0x0123456789ABCDEF).tolist() == [0x89ABCDEF, 0x01234567]


@pytest.mark.parametrize(("shape", "seed"), [((3, 3), 0), ((4,), 0), ((2, 4, 1), 0), ((2, 4), -1), ((2, 4), 2**64)])
def test_bad_input(shape: tuple[int, ...], seed: int) -> None:
    with pytest.raises(InputError) as raised:
        philox_words(np.zeros(shape, np.uint32), seed)
    assert "\n" not in str(raised.value)
