"""Rows in lists: dot products against their plain twins, lists against runs, and networks that use the one or other."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import Pair, assert_same

from spikesim.engine import layout as compiled_networks
from spikesim.engine.plan import KIND_DENSE
from spikesim.engine.simd import accumulate as rows
from spikesim.engine.simd import dot_products as rowlists
from spikesim.engine.simd.compress import SLACK
from spikesim.engine.synapses import Conv, Dense
from spikesim.errors import InputError
from spikesim.jit.compilation import JIT
from spikesim.simulator import Simulator

compiles = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)
ABREAST = {32: rowlists.ABREAST_32, 64: rowlists.ABREAST_64}
UNTOUCHED = -7
NONE = np.zeros(0, np.int16)


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """Plain forms, and vector ones where the machine has dot products, each behind a small compiled function."""

    def lister(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(events, values, first, last, origin, place, low, high, n):  # type: ignore[no-untyped-def]
            runs = rows.Runs(np.array([0, first]), np.array([0, last]), np.array([0, origin]))
            return function(rows.Synapses(NONE, events, values), runs, 1, rowlists.Listed(place, low, high), n)

        return call

    def adder(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(weights, place, low, high, count, reach, right, left, out, at, keep):  # type: ignore[no-untyped-def]
            scale, drive = rows.Scale(reach, right, left), rows.Drive(out, at, keep)
            function(weights, rowlists.Listed(place, low, high), count, scale, drive)

        return call

    @numba.njit
    def lists(synapses, runs, count, lanes, weighted, listed, scale, drive):  # type: ignore[no-untyped-def]
        rowlists.deliver_lists(synapses, runs, count, lanes, weighted, listed, scale, drive)

    cases = [(lanes, weighted) for lanes in rowlists.LISTED_LANES for weighted in (False, True)]
    adders = [rowlists.plain_add_listed, *([rowlists.vector_add_listed] if rowlists.DOT_PRODUCTS else [])]
    return SimpleNamespace(
        list={
            (lanes, weighted): [
                lister(build(lanes, weighted=weighted))
                for build in (rowlists.plain_list_rows, rowlists.vector_list_rows)
            ]
            for lanes, weighted in cases
        },
        add={
            (lanes, weighted): [adder(build(lanes, weighted=weighted)) for build in adders] for lanes, weighted in cases
        },
        lists=lists,
    )


@compiles
@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    lanes=st.sampled_from(rowlists.LISTED_LANES),
    weighted=st.booleans(),
    first=st.integers(0, 9),
    length=st.sampled_from([0, 1, 2, 15, 16, 17, 31, 33]),
    n=st.integers(0, 9),
)
def test_events_become_places_of_rows(
    compiled: SimpleNamespace, seed: int, lanes: int, weighted: bool, first: int, length: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    events = rng.integers(5, 10**6, (3, 20)).astype(np.int32)
    values = rng.integers(-(2**15), 2**15, (3, 20)).astype(np.int32)
    origin = int(rng.integers(-5, 10**8)) * lanes
    chosen = slice(first, first + length)
    for call in compiled.list[lanes, weighted]:
        listed = np.full((3, 80), UNTOUCHED, np.int32)
        assert call(events, values, first, first + length, origin, *listed, n) == n + length
        found = listed[:, n : n + length]
        np.testing.assert_array_equal(
            found[0] * np.int64(rowlists.UNIT), origin + events.ravel()[chosen] * np.int64(lanes)
        )
        if weighted:
            np.testing.assert_array_equal(found[1] & 0xFFFF, values.ravel()[chosen] & 0xFFFF)
            np.testing.assert_array_equal(found[1] >> 16, 0)
            np.testing.assert_array_equal(found[2] >> 16, values.ravel()[chosen])
            np.testing.assert_array_equal(found[2] & 0xFFFF, 0)
        end = n + length + (SLACK if length else 0)
        assert (listed[:, :n] == UNTOUCHED).all() and (listed[:, end:] == UNTOUCHED).all(), "no more than the slack"


@compiles
@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    lanes=st.sampled_from(rowlists.LISTED_LANES),
    weighted=st.booleans(),
    groups=st.sampled_from([0, 1, 2, 7]),
    stretch=st.integers(1, 4),
    shift=st.integers(-3, 31),
    at=st.integers(0, 5),
    keep=st.sampled_from([0, -1]),
    extreme=st.booleans(),
)
def test_listed_rows_become_drives(
    compiled: SimpleNamespace, seed: int, lanes: int, weighted: bool, groups: int, stretch: int, shift: int, at: int,
    keep: int, extreme: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    weights = rng.integers(-32767, 32768, 20 * 64).astype(np.int16)
    count, reach = groups * ABREAST[lanes], stretch * ABREAST[lanes]
    largest = min(rows.SMALL // reach, 2**15 - 1)
    values = rng.integers(-largest, largest + 1, count)
    if extreme:  # sums as large as they come
        weights[:], values[:] = -32767, -largest
    places = rng.integers(0, len(weights) // lanes, count) * lanes
    listed = np.stack([places // rowlists.UNIT, values & 0xFFFF, values << 16]).astype(np.int32)
    sums = np.zeros(lanes, np.int64)
    for place, value in zip(places.tolist(), values.tolist(), strict=True):
        sums += (value if weighted else 1) * weights[place : place + lanes].astype(np.int64)
    right, left = max(shift, 0), max(-shift, 0)
    half = 1 << (shift - 1) if shift > 0 else 0
    initial = rng.integers(-(2**20), 2**20, 80).astype(np.int32)
    expected = initial.copy()
    drive = ((sums + half) >> right << left).astype(np.int32)  # a drive that is too large for 32 bits wraps
    expected[at : at + lanes] = drive + (initial[at : at + lanes] if keep else 0)
    for call in compiled.add[lanes, weighted]:
        out = initial.copy()
        call(weights, *listed, count, reach, right, left, out, at, keep)
        np.testing.assert_array_equal(out, expected)


@compiles
@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    lanes=st.sampled_from(rowlists.LISTED_LANES),
    weighted=st.booleans(),
    lengths=st.lists(st.integers(0, 40), max_size=5),
    reach=st.sampled_from([7, 8, 50]),
)
def test_lists_and_runs_agree(
    compiled: SimpleNamespace, seed: int, lanes: int, weighted: bool, lengths: list[int], reach: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-32767, 32768, 64 + 50 * lanes).astype(np.int16)
    weights[: rowlists.ZEROS] = 0
    events = rng.integers(0, 20, 60).astype(np.int32)
    largest = rows.SMALL // reach
    values = rng.integers(-largest, largest + 1, 60).astype(np.int32)
    runs = np.zeros((3, 6), np.int64)
    for k, length in enumerate(lengths):
        first = int(rng.integers(0, 61 - length - SLACK if length < 45 else 1))
        runs[:, k] = first, first + length, 64 + int(rng.integers(0, 30)) * lanes
    before = rng.integers(-(2**20), 2**20, lanes).astype(np.int32)
    expected, found = before.copy(), before.copy()
    plain = rows.plain_deliver_runs(lanes, weighted=weighted)
    synapses, named = rows.Synapses(weights, events, values), rows.Runs(*runs)
    scale, count = rows.Scale(reach, 6, 0), len(lengths)
    plain.py_func(synapses, named, count, scale, rows.Drive(expected, 0, -1))
    listed = rowlists.Listed(*np.zeros((3, sum(lengths) + SLACK), np.int32))
    compiled.lists(synapses, named, count, lanes, weighted, listed, scale, rows.Drive(found, 0, -1))
    np.testing.assert_array_equal(found, expected)


def _uses_lists(simulator: Simulator, table: int) -> list[bool]:
    """Of each sample, whether the rows of its present spikes would be listed."""
    plan, start = simulator.compiled.plan, simulator.state.start
    row = plan.tables[table]
    source, lanes = plan.populations[row.source], int(plan.populations[row.target].lanes)
    pixels = int(row.in_height * row.in_width)
    at = source.pooled_start if row.pooled else source.start
    taps = 1 if row.kind == KIND_DENSE else int(row.kernel_height * row.kernel_width)
    return [bool(rowlists.worth_lists(lanes, heard * taps, pixels, False, False, 1)) for heard in start[:, at + pixels]]


@pytest.mark.parametrize("pool", [None, "average", "sampled"])
@pytest.mark.parametrize("lanes", [(64, 32), (32, 64)])
@pytest.mark.parametrize("bias", [(-0.2, 0.05), (0.2, 0.5), (1.0, 1.5)])
def test_networks_equal_reference(lanes: tuple[int, int], pool: str | None, bias: tuple[float, float]) -> None:
    """From nearly silent to all neurons firing, so that their pixels hear too little for lists, or all they can."""
    pair = Pair(lanes[0])
    sides = (7, 6) if pool else (3, 3)
    lower, upper = pair.population(*sides, lanes[0], bias=bias), pair.population(3, 3, lanes[1] - 3, bias=bias)
    top = pair.population(1, 1, lanes[0], bias=bias)
    pair.connect(lower, upper, Conv(3, 1, pool=pool), tied=True, gain=0.2)  # type: ignore[arg-type]
    pair.connect(upper, top, Dense(), tied=True, gain=0.2)
    simulator, model = pair.build(3, "stratified", steps=6)
    assert {int(row.lanes) for row in simulator.compiled.plan.populations} == set(lanes)
    room = len(simulator._scratch.listed.rows)
    guarded = np.full((3, room + 50), UNTOUCHED, np.int32)
    simulator._scratch = simulator._scratch._replace(listed=rowlists.Listed(*guarded))
    for _ in range(6):
        simulator.run(1, window=0)
        model.run(1, window=0)
        assert_same(simulator, model)
    used = [use for table in range(4) for use in _uses_lists(simulator, table)]
    assert (guarded[:, room:] == UNTOUCHED).all(), "the room for lists is large enough"
    if rowlists.DOT_PRODUCTS:
        assert bias[0] > 0 or not all(used)
        assert bias[0] < 1 or all(used)


def test_weights_begin_with_a_row_of_zeros() -> None:
    pair = Pair(1)
    lower, upper = pair.population(3, 3, 20), pair.population(3, 3, 64)
    pair.connect(lower, upper, Conv(3, 1), tied=True)
    plan = pair.build()[0].compiled.plan
    assert not plan.weights[: rowlists.ZEROS].any() and plan.weights[rowlists.ZEROS :].any()
    assert (plan.tables["weights"] % rowlists.UNIT == 0).all()


def test_more_weights_than_lists_can_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(1)
    lower, upper = pair.population(3, 3, 20), pair.population(3, 3, 64)
    pair.connect(lower, upper, Conv(3, 1), tied=True)
    weights = len(pair.network.compile().plan.weights)
    monkeypatch.setattr(compiled_networks, "MOST_WEIGHTS", weights)
    pair.network.compile()
    monkeypatch.setattr(compiled_networks, "MOST_WEIGHTS", weights - 1)
    with pytest.raises(InputError, match=f"{weights:,} weights.*at most {weights - 1:,}.*make the network smaller"):
        pair.network.compile()
