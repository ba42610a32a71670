"""The hand-built vector code against its plain twins, in compiled code of its own."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.engine.neurons import Memory
from spikesim.engine.neurons.clipped_linear import CLIPPED_LINEAR
from spikesim.engine.simd import accumulate as rows
from spikesim.engine.simd import fire as firing
from spikesim.engine.simd import llvm as vectors
from spikesim.engine.simd import winners as four
from spikesim.jit.compilation import JIT

pytestmark = pytest.mark.skipif(not JIT, reason="vector code needs the JIT")

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@pytest.fixture(scope="module")
def compiled() -> SimpleNamespace:
    """Vector and plain forms, each behind a small compiled function."""

    def deliverer(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(weights, events, values, runs, count, reach, right, left, out, at, keep):  # type: ignore[no-untyped-def]
            synapses, scale = rows.Synapses(weights, events, values), rows.Scale(reach, right, left)
            function(synapses, rows.Runs(runs[0], runs[1], runs[2]), count, scale, rows.Drive(out, at, keep))

        return call

    def worder(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(probability, random, lane):  # type: ignore[no-untyped-def]
            return function(probability, random, lane)

        return call

    def firer(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(membrane, drives, window, threshold, low_pass):  # type: ignore[no-untyped-def]
            return function(membrane, drives, window, threshold, low_pass)

        return call

    def energy(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(membrane, drives, external):  # type: ignore[no-untyped-def]
            return function(membrane, drives, external)

        return call

    def winner(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(v, first, second, third, fourth):  # type: ignore[no-untyped-def]
            return function(v, first, second, third, fourth)

        return call

    def lowest(function):  # type: ignore[no-untyped-def]
        @numba.njit
        def call(word):  # type: ignore[no-untyped-def]
            return function(word)

        return call

    return SimpleNamespace(
        deliver={
            (n, weighted): [
                deliverer(build(n, weighted=weighted)) for build in (rows.vector_deliver_runs, rows.plain_deliver_runs)
            ]
            for n in rows.LANES
            for weighted in (False, True)
        },
        fire=[
            [
                firer(build(CLIPPED_LINEAR, summed=variant > 0, counted=variant > 1))
                for build in (firing.vector_fire, firing.plain_fire)
            ]
            for variant in range(3)
        ],
        energy=(energy(firing.vector_energy(CLIPPED_LINEAR)), energy(firing.plain_energy(CLIPPED_LINEAR))),
        word=(worder(firing.vector_spike_word), worder(firing.plain_spike_word)),
        winners=(winner(four.vector_winner_words), winner(four.plain_winner_words)),
        lowest=(lowest(vectors.vector_lowest_bit), lowest(vectors.plain_lowest_bit)),
    )


NOTHING = Memory(np.zeros((1, 0), np.uint8))

CASES = st.fixed_dictionaries(
    {
        "lanes": st.sampled_from(rows.LANES),
        "seed": st.integers(0, 2**32 - 1),
        "before": st.integers(0, 3),
        "events": st.integers(0, 9),
        "after": st.integers(0, 3),
        "origin": st.integers(-5, 5),  # a kernel's first column may lie outside the map: the origin is then negative
        "extreme": st.booleans(),
    }
)


def run(case: dict, rng: np.random.Generator):  # type: ignore[no-untyped-def, type-arg]
    """Weights, origin, events and bounds of a run, and the rows that it adds."""
    lanes, origin = case["lanes"], case["origin"] * 3 + case["seed"] % 2
    total = case["before"] + case["events"] + case["after"]
    events = rng.integers(5, 20, total).astype(np.int32)  # origin + event * lanes stays inside
    weights = rng.integers(-32767, 32768, 21 * lanes + 64).astype(np.int16)
    if case["extreme"]:
        weights[:] = np.where(weights < 0, -32767, 32767)
    first, last = case["before"], case["before"] + case["events"]
    chosen = np.stack([weights[origin + event * lanes :][:lanes] for event in events[first:last]] or [np.zeros(lanes)])
    return weights, origin, events, first, last, chosen.astype(np.int64)


@QUICK
@given(
    case=CASES,
    lengths=st.lists(st.integers(0, 9), max_size=4),
    shift=st.integers(-3, 31),  # weighted up to 63; spikes need 18
    at=st.integers(0, 5),
    keep=st.sampled_from([0, -1]),
    weighted=st.booleans(),
    reach=st.sampled_from([1, 2, 4, 50]),
)
def test_runs_of_events_become_drives(  # type: ignore[type-arg]
    compiled: SimpleNamespace, case: dict, lengths: list[int], shift: int, at: int, keep: int, weighted: bool,
    reach: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(case["seed"])
    lanes = case["lanes"]
    weights = rng.integers(-32767, 32768, 30 * lanes + 64).astype(np.int16)
    if case["extreme"]:
        weights[:] = np.where(weights < 0, -32767, 32767)
    events = rng.integers(5, 20, 50).astype(np.int32)
    runs = np.zeros((3, 5), np.int64)  # more room than runs
    runs[0, : len(lengths)] = rng.integers(0, 40, len(lengths))
    runs[1, : len(lengths)] = runs[0, : len(lengths)] + lengths
    runs[2, : len(lengths)] = rng.integers(-5 * lanes, 5 * lanes, len(lengths))  # the origin may lie before the table
    values = rng.integers(-(2**16), 2**16, 50).astype(np.int32)
    stretches = [(i, min(i + reach, last)) for first, last in runs[:2].T.tolist() for i in range(first, last, reach)]
    while any(np.abs(values[first:last]).sum() > rows.SMALL for first, last in stretches):
        values //= 2
    if case["extreme"] and lengths and lengths[0]:
        values[:] = 0
        values[runs[0, 0]] = rows.SMALL
    sums = np.zeros(lanes, np.int64)
    for first, last, origin in runs[:, : len(lengths)].T.tolist():
        for event, value in zip(events[first:last].tolist(), values[first:last].tolist(), strict=True):
            sums += (value if weighted else 1) * weights[origin + event * lanes :][:lanes].astype(np.int64)
    right, left = max(shift, 0), max(-shift, 0)
    half = 1 << (shift - 1) if shift > 0 else 0
    initial = rng.integers(-(2**20), 2**20, 80).astype(np.int32)
    expected = initial.copy()
    expected[at : at + lanes] = ((sums + half) >> right << left) + (initial[at : at + lanes] if keep else 0)
    for deliver in compiled.deliver[lanes, weighted]:
        out = initial.copy()
        deliver(weights, events, values, runs, len(lengths), reach, right, left, out, at, keep)
        np.testing.assert_array_equal(out, expected)


@QUICK
@given(seed=st.integers(0, 2**32 - 1), places=st.tuples(*[st.integers(0, 40)] * 4), size=st.integers(1, 9))
def test_winner_words(compiled: SimpleNamespace, seed: int, places: tuple[int, ...], size: int) -> None:
    """Few values, so that several are the highest."""
    v = np.random.default_rng(seed).integers(-size, size, (1, 60)).astype(np.int32)
    best = np.array([v[0, at : at + 16] for at in places]).argmax(axis=0)
    for words in compiled.winners:
        found = words(v, *places)
        assert [int(word) for word in found] == [sum(1 << k for k in range(16) if best[k] == n) for n in range(4)]


def test_an_empty_run_at_the_end_adds_nothing(compiled: SimpleNamespace) -> None:
    for lanes in rows.LANES:
        for weighted in (False, True):
            for deliver in compiled.deliver[lanes, weighted]:
                out, none = np.arange(64, dtype=np.int32), np.zeros(0, np.int32)
                deliver(np.zeros(0, np.int16), none, none, np.zeros((3, 1), np.int64), 1, 1, 0, 0, out, 0, -1)
                np.testing.assert_array_equal(out, np.arange(64))


@QUICK
@given(seed=st.integers(0, 2**32 - 1), lane=st.sampled_from([0, 16, 32, 48]), near=st.booleans())
def test_spike_word(compiled: SimpleNamespace, seed: int, lane: int, near: bool) -> None:
    rng = np.random.default_rng(seed)
    random = rng.integers(0, 2**16, 64).astype(np.uint16)
    probability = rng.integers(0, 2**16, 64).astype(np.uint16)
    if near:  # equal or beside: the comparison is strict and without sign
        probability = (random + rng.integers(-1, 2, 64)).clip(0, 65535).astype(np.uint16)
    expected = sum(int(random[lane + i] < probability[lane + i]) << i for i in range(16))
    for word in compiled.word:
        assert int(word(probability, random, lane)) == expected


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    variant=st.integers(0, 2),
    leak=st.integers(0, 15),
    dithered=st.floats(0, 1, exclude_max=True),
    flipped=st.integers(0, 65535),
    bits=st.sampled_from([4, 15, 16, 17, 20, 26]),  # of the drives: far inside, about and far outside of 0 .. 1
    places=st.tuples(*[st.integers(0, 8)] * 7),
    near=st.booleans(),
)
def test_sixteen_neurons_leak_and_fire(
    compiled: SimpleNamespace, seed: int, variant: int, leak: int, dithered: float, flipped: int, bits: int,
    places: tuple[int, ...], near: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    n, m, r, row, cell, other, b = places
    v, drives, others, bias, sums = rng.integers(-(2**bits), 2**bits, (5, 24)).astype(np.int32)
    random, steps = rng.integers(0, 65536, 24).astype(np.uint16), rng.integers(0, 100, 24).astype(np.uint16)
    parts = ((drives, row), (drives, cell), (others, other), (bias, b))
    drive = sum(array[at : at + 16].astype(np.int64) for array, at in parts)
    dither = int(dithered * 2**leak)
    moved = v[n : n + 16] + ((drive - v[n : n + 16] + dither) >> leak)
    p = moved.clip(0, 65535)
    if near:  # equal or beside: the comparison is strict and without sign
        random[r : r + 16] = (p + rng.integers(-1, 2, 16)) % 65536 ^ flipped
    expected = int(((random[r : r + 16].astype(np.int64) ^ flipped) < p) @ (1 << np.arange(16)))
    for fire in compiled.fire[variant]:
        now, total, counted = v.copy(), sums.reshape(2, 12).copy(), steps.reshape(1, 2, 12).copy()
        word = fire(
            firing.Membrane(now, n, NOTHING, 0),
            firing.Drives(drives, row, cell, others, other, bias, b),
            firing.WindowSums(total, counted, m),
            firing.Threshold(random, r, np.uint16(flipped)),
            firing.LowPass(leak, dither),
        )
        assert int(word) == expected
        for array, before, at, change in (
            (now, v, n, moved - v[n : n + 16]),
            (total, sums, m, p * (variant > 0)),
            (counted, steps, m, ((moved > 0) & (moved < 65535)) * (variant > 1)),
        ):
            after = before.astype(np.int64)
            after[at : at + 16] += change
            np.testing.assert_array_equal(array.ravel(), after)


@QUICK
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(1, 31), places=st.tuples(*[st.integers(0, 8)] * 6))
def test_energy_of_sixteen_neurons(compiled: SimpleNamespace, seed: int, bits: int, places: tuple[int, ...]) -> None:
    """Drives of any size: a sum of four numbers of 32 bits, and its product, keep all their bits."""
    rng = np.random.default_rng(seed)
    n, row, cell, other, own, b = places
    v, drives, others, external, bias = rng.integers(-(2**bits), 2**bits, (5, 24)).astype(np.int32)

    def part(array: np.ndarray, at: int) -> np.ndarray:
        return array[at : at + 16].astype(np.int64)

    p, constant = part(v, n).clip(0, 65535), part(bias, b) + part(external, own)
    drive = part(bias, b) + part(drives, row) + part(drives, cell) + part(others, other)
    for energy in compiled.energy:
        drives_of_them = firing.Drives(drives, row, cell, others, other, bias, b)
        found = energy(firing.Membrane(v, n, NOTHING, 0), drives_of_them, firing.External(external.reshape(2, 12), own))
        assert int(found) == int((p * (p - constant - drive)).sum())


def test_lowest_bit(compiled: SimpleNamespace) -> None:
    for word in [1 << i for i in range(16)] + [0b1010_0000, 0xFFFF, 0x8001, 0xC000]:
        for lowest in compiled.lowest:
            assert lowest(word) == (word & -word).bit_length() - 1
