"""Weight rows times graded values: each form that this machine runs against Python's integers."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding

from spikesim.engine.simd import graded_rows as graded
from spikesim.engine.simd.accumulate import LANES, Drive, Runs, Scale, Synapses
from spikesim.engine.simd.compress import SLACK
from spikesim.engine.simd.dot_products import ZEROS, Listed
from spikesim.engine.simd.pair_products import INSTRUCTION
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)
UNTOUCHED = -7


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """The whole delivery, and forms of the sums by lanes, each behind a small compiled function."""

    @numba.njit
    def deliver(weights, events, values, runs, count, lanes, listed, right, left, out, at, keep):  # type: ignore[no-untyped-def]
        synapses = Synapses(weights, events, values)
        own, scale = Runs(runs[0], runs[1], runs[2]), Scale(1, right, left)
        graded.deliver_graded(synapses, own, count, lanes, listed, scale, Drive(out, at, keep))

    def lister(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(events, values, first, last, origin, listed, n):  # type: ignore[no-untyped-def]
            runs = Runs(np.array([first]), np.array([last]), np.array([origin]))
            return function(Synapses(np.zeros(0, np.int16), events, values), runs, 0, listed, n)

        return call

    def adder(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(weights, listed, pairs, out):  # type: ignore[no-untyped-def]
            function(weights, listed, pairs, Scale(1, 20, 0), Drive(out, 0, 0))

        return call

    features = binding.get_host_cpu_features()
    others = ["plain", *(name for name in ("avx2", "avx512bw") if features.get(name, False))]
    return SimpleNamespace(
        deliver=deliver,
        list=[lister(graded.plain_list_graded(32)), lister(graded.vector_list_graded(32))],
        add={
            lanes: [
                adder(graded.plain_add_graded(lanes)),
                *(adder(graded.vector_add_graded(lanes, name)) for name in (others if lanes == 32 else [INSTRUCTION])),
            ]
            for lanes in LANES
        },
    )


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    lanes=st.sampled_from(LANES),
    lengths=st.lists(st.sampled_from([0, 1, 2, 3, 15, 16, 17, 40]), max_size=4),
    shift=st.integers(-3, 40),
    at=st.integers(0, 5),
    keep=st.sampled_from([0, -1]),
    extreme=st.booleans(),
)
def test_values_times_rows_become_drives(
    compiled: SimpleNamespace, seed: int, lanes: int, lengths: list[int], shift: int, at: int, keep: int, extreme: bool
) -> None:
    """Runs of events at any place, of any length, the largest values and weights among them."""
    rng = np.random.default_rng(seed)
    neurons = 50
    own = rng.integers(-(2**15), 2**15, neurons * lanes)
    weights = np.concatenate([np.zeros(ZEROS), np.full(own.size, -(2**15)) if extreme else own]).astype(np.int16)
    events, values, runs = [], [], [[], [], []]
    for length in lengths:
        events.append(rng.integers(0, neurons, length))
        values.append(np.full(length, 2**18) if extreme else rng.integers(0, 2**18 + 1, length))
        first = sum(map(len, events[:-1]))
        for column, number in zip(runs, (first, first + length, ZEROS), strict=True):
            column.append(number)
    flat = [np.concatenate([*part, np.zeros(SLACK)]).astype(np.int32) for part in (events, values)]
    rows = weights[ZEROS:].reshape(neurons, lanes).astype(object)
    sums = sum((int(value) * rows[event] for event, value in zip(*flat, strict=True) if value), np.zeros(lanes, object))
    right, left = max(shift, 0), max(-shift, 0)
    before = rng.integers(-(2**20), 2**20, 80).astype(np.int32)
    expected = before.copy()
    half = 1 << (right - 1) if right else 0
    expected[at : at + lanes] = np.array(
        [((int(total) + half >> right << left) + 2**31) % 2**32 - 2**31 for total in sums]
    ) + (before[at : at + lanes] if keep else 0)
    listed = Listed(*np.full((3, sum(lengths) + SLACK), UNTOUCHED, np.int32))
    out = before.copy()
    compiled.deliver(weights, *flat, np.array(runs, np.int64), len(lengths), lanes, listed, right, left, out, at, keep)
    np.testing.assert_array_equal(out, expected)


@QUICK
@given(seed=st.integers(0, 2**32 - 1), lengths=st.lists(st.sampled_from([0, 1, 2, 15, 16, 17]), max_size=3))
def test_lists_are_those_of_the_plain_twin(compiled: SimpleNamespace, seed: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    events = rng.integers(0, 1000, 60).astype(np.int32)
    values = rng.integers(0, 2**18 + 1, 60).astype(np.int32)
    found = []
    for call in compiled.list:
        listed = Listed(*np.full((3, 70 + SLACK), UNTOUCHED, np.int32))
        n = 0
        for length in lengths:
            n = call(events, values, n // 2, n // 2 + length, 320, listed, n)
        whole = n // 2  # of the words of an odd number of values the last half is of no use
        found.append([listed.rows[:n], listed.low[:whole], listed.high[:whole]])
    for plain, vector in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, vector)


@QUICK
@given(seed=st.integers(0, 2**32 - 1), lanes=st.sampled_from(LANES), groups=st.sampled_from([0, 1, 2, 15, 31]))
def test_all_forms_add_alike(compiled: SimpleNamespace, seed: int, lanes: int, groups: int) -> None:
    """More pairs than fit a sum of 32 bits among them."""
    rng = np.random.default_rng(seed)
    pairs = 4 * groups
    weights = rng.choice(np.array([-(2**15), 2**15 - 1, 5], np.int16), 100 * lanes)
    low = rng.integers(0, 2**9, (pairs, 2)).astype(np.int16)
    high = rng.integers(0, 2**9 + 1, (pairs, 2)).astype(np.int16)
    rows = rng.integers(0, 100, 2 * pairs)
    listed = Listed((rows * lanes // 4).astype(np.int32), low.view(np.int32).ravel(), high.view(np.int32).ravel())
    values = low.ravel().astype(np.int64) + (high.ravel().astype(np.int64) << 9)
    sums = values @ weights.reshape(100, lanes)[rows].astype(np.int64)
    for add in compiled.add[lanes]:
        out = np.full(64, UNTOUCHED, np.int32)
        add(weights, listed, pairs, out)
        np.testing.assert_array_equal(out[:lanes], (sums + 2**19) >> 20)
        assert (out[lanes:] == UNTOUCHED).all()
