"""Eight blocks of random words: the vector code and its plain twins against the reference, block by block."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.engine.simd import random_words as words
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

WORD = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """Vector and plain forms, each behind a small compiled function."""

    def call(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def fill(counter, key, out, at):  # type: ignore[no-untyped-def]
            function(counter, key, out, at)

        return fill

    return SimpleNamespace(
        octets=[call(words.vector_eight_blocks), call(words.plain_eight_octets)],
        blocks=[call(words.vector_eight_blocks), call(words.plain_eight_blocks)],
    )


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(
    first=st.one_of(st.integers(0, 2**32 - 8), st.integers(0, 100)),
    others=st.tuples(WORD, WORD, WORD),
    seed=st.integers(0, 2**64 - 1),
    at=st.integers(0, 9),
)
def test_eight_blocks_are_those_of_eight_counters(
    compiled: SimpleNamespace, first: int, others: tuple[int, int, int], seed: int, at: int
) -> None:
    counters = np.array([(first + block, *others) for block in range(8)], np.uint32)
    expected = reference.philox(counters, seed)
    counter = words.Counter(*(np.uint64(word) for word in (first, *others)))
    key = words.Key(np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32))
    for forms, dtype, whole in (
        (compiled.octets, np.uint16, np.stack([expected & 0xFFFF, expected >> 16], axis=-1)),
        (compiled.blocks, np.uint32, expected),
    ):
        size = whole.size
        for fill in forms:
            out = np.full(size + 20, 7, dtype)
            fill(counter, key, out, at)
            np.testing.assert_array_equal(out[at : at + size], whole.ravel().astype(dtype))
            assert (out[:at] == 7).all() and (out[at + size :] == 7).all(), "nothing beside them is touched"
