"""Lists of events: the vector code against its plain twins, in compiled code of its own."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.engine.simd import compress as listing
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """Vector and plain forms, each behind a small compiled function."""

    def words(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(word, first, events, at):  # type: ignore[no-untyped-def]
            return function(word, first, events, at)

        return call

    def changes(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(now, then, n, first, events, values, at):  # type: ignore[no-untyped-def]
            return function(now, then, n, first, events, values, at)

        return call

    return SimpleNamespace(
        words=[words(listing.vector_list_word), words(listing.plain_list_word)],
        changes=[changes(listing.vector_list_changes), changes(listing.plain_list_changes)],
    )


@QUICK
@given(word=st.integers(0, 2**16 - 1), first=st.integers(0, 2**30), at=st.integers(0, 9))
def test_bits_become_events(compiled: SimpleNamespace, word: int, first: int, at: int) -> None:
    expected = [first + k for k in range(16) if word >> k & 1]
    for call in compiled.words:
        events = np.full((2, 16 + listing.SLACK), -1, np.int32)
        assert call(np.uint16(word), first, events, at) == len(expected)
        flat = events.ravel()
        assert flat[at : at + len(expected)].tolist() == expected
        assert (flat[:at] == -1).all() and (flat[at + listing.SLACK :] == -1).all(), "no more than the slack is touched"


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    share=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    n=st.integers(0, 9),
    first=st.integers(0, 2**30),
    at=st.integers(0, 9),
)
def test_changes_become_events(compiled: SimpleNamespace, seed: int, share: float, n: int, first: int, at: int) -> None:
    rng = np.random.default_rng(seed)
    then = rng.integers(0, 2**16, (2, 16)).astype(np.int32)
    now = np.where(rng.random((2, 16)) < share, rng.integers(0, 2**16, (2, 16)), then).astype(np.int32)
    change = now.ravel()[n : n + 16].astype(np.int64) - then.ravel()[n : n + 16]
    expected = [first + int(k) for k in np.flatnonzero(change)]
    for call in compiled.changes:
        events, values = (np.full((2, 16 + listing.SLACK), -1, np.int32) for _ in range(2))
        count, largest = call(now, then, n, first, events, values, at)
        assert (count, largest) == (len(expected), np.abs(change).max())
        for array, wanted in ((events, expected), (values, change[change != 0].tolist())):
            flat = array.ravel()
            assert flat[at : at + count].tolist() == wanted
            assert (flat[:at] == -1).all() and (flat[at + listing.SLACK :] == -1).all()
