"""The compiled loop against the slow reference, and what must not change a bit of its results."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pairs import FIRINGS, Pair, assert_equal_arrays, assert_same, everything, mixed

from spikesim.engine.phase import ORDERS
from spikesim.engine.synapses import Conv, Dense
from spikesim.errors import InputError, Stopped
from spikesim.network import Network
from spikesim.simulator import Simulator

SIZES = st.sampled_from([1, 3, 16, 17, 31, 32, 33, 48, 49, 64, 65])
SETTINGS = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], database=None
)


def check(pair: Pair, firing: str, *, steps: int = 7, window: int = 4, samples: int = 3, seed: int = 1) -> None:
    """Two phases in the engine and the reference, the second going on from the state of the first."""
    simulator, model = pair.build(samples, firing, seed, steps=steps)
    for stream, length in ((0, steps), (5, steps - 2)):
        simulator.run(length, window=window, stream=stream)
        model.run(length, window=window, stream=stream)
        assert_same(simulator, model)
    active = [model.spikes[population.index].any() for population in simulator.compiled.populations]
    assert any(active), "a silent network proves nothing"


# -- Every kind of table ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize("channels", [(1, 65), (3, 33), (17, 3), (33, 17), (65, 1)])
def test_convolution_equals_reference(channels: tuple[int, int], firing: str) -> None:
    pair = Pair(channels[0])
    lower, upper = pair.population(5, 4, channels[0]), pair.population(5, 4, channels[1], leak=3)
    pair.connect(lower, upper, Conv(3, 1), tied=True)
    check(pair, firing)


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize("pool", ["average", "sampled", "winner"])
@pytest.mark.parametrize("channels", [(1, 65), (3, 33), (17, 3), (33, 17), (65, 1)])
def test_pooled_convolution_equals_reference(channels: tuple[int, int], pool: str, firing: str) -> None:
    pair = Pair(channels[1])
    lower, upper = pair.population(7, 6, channels[0]), pair.population(3, 3, channels[1])
    pair.connect(lower, upper, Conv(3, 1, pool=pool), tied=True)  # type: ignore[arg-type]
    check(pair, firing)


@pytest.mark.parametrize(
    ("kernel", "padding", "stride", "shape"),
    [
        ((1, 3), (0, 1), 1, (1, 9)),
        ((1, 4), (0, 2), 1, (1, 9)),
        ((1, 5), 0, 2, (1, 10)),
        ((3, 1), (1, 0), 1, (5, 4)),
        ((2, 4), (1, 3), 2, (5, 6)),
        ((4, 2), (0, 1), 2, (6, 5)),
        (2, 0, 1, (4, 4)),
    ],
)
@pytest.mark.parametrize("firing", FIRINGS)
def test_rectangular_and_even_kernels_equal_reference(kernel, padding, stride, shape, firing: str) -> None:  # type: ignore[no-untyped-def]
    table = Conv(kernel, padding, stride=stride)
    pair = Pair(stride)
    lower, upper = pair.population(*shape, 17), pair.population(*table.output(shape), 20, leak=3)
    pair.connect(lower, upper, table, tied=True)
    check(pair, firing)


@pytest.mark.parametrize(("kernel", "padding"), [(k, pad) for k in (1, 3, 5) for pad in range(k)])
@pytest.mark.parametrize("pool", [None, "average", "sampled", "winner"])
def test_kernels_and_paddings_equal_reference(kernel: int, padding: int, pool: str | None) -> None:
    pair = Pair(kernel)
    sides = (11, 10) if pool else (5, 6)
    change = 2 * padding - kernel + 1
    height, width = (side // (2 if pool else 1) + change for side in sides)
    lower, upper = pair.population(*sides, 3), pair.population(height, width, 5)
    pair.connect(lower, upper, Conv(kernel, padding, pool=pool), tied=True)  # type: ignore[arg-type]
    check(pair, FIRINGS[padding % 3], steps=5, window=2)


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 0), (3, 1), (3, 2), (5, 1), (5, 2), (5, 4)])
@pytest.mark.parametrize("pool", [None, "average"])
@pytest.mark.parametrize("channels", [(3, 33), (65, 5)])
def test_strides_equal_reference(kernel: int, padding: int, pool: str | None, channels: tuple[int, int]) -> None:
    """In both directions, on sides of which some leave a last row or column that nothing reads."""
    pair = Pair(kernel)
    sides = (11, 12) if pool else (6, 7)
    table = Conv(kernel, padding, pool=pool, stride=2)  # type: ignore[arg-type]
    height, width = table.output((sides[0] // (2 if pool else 1), sides[1] // (2 if pool else 1)))
    lower, upper = pair.population(*sides, channels[0]), pair.population(height, width, channels[1])
    pair.connect(lower, upper, table, tied=True)
    check(pair, FIRINGS[padding % 3], steps=6, window=2)


def test_an_image_behind_a_stride_equals_reference() -> None:
    pair = Pair(5)
    image, lower = pair.image(8, 7, 3), pair.population(4, 4, 17)
    pair.connect(image, lower, Conv(3, 1, stride=2))
    check(pair, "iid")


def test_kernel_wider_than_the_map_equals_reference() -> None:
    pair = Pair(3)
    lower, upper = pair.population(1, 2, 5), pair.population(3, 4, 4)
    pair.connect(lower, upper, Conv(5, 3), tied=True)
    check(pair, "iid")


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize("pool", [None, "average", "sampled", "winner"])
@pytest.mark.parametrize(
    ("source", "target"), [((1, 1, 65), (1, 1, 33)), ((5, 3, 17), (1, 1, 10)), ((3, 3, 3), (2, 3, 33))]
)
def test_dense_equals_reference(
    source: tuple[int, int, int], target: tuple[int, int, int], pool: str | None, firing: str
) -> None:
    if pool and min(source[:2]) < 2:
        source = (2, 3, source[2])
    pair = Pair(target[2])
    lower, upper = pair.population(*source), pair.population(*target)
    pair.connect(lower, upper, Dense(pool=pool), tied=True)  # type: ignore[arg-type]
    check(pair, firing)


@pytest.mark.parametrize("firing", FIRINGS)
@pytest.mark.parametrize(
    ("source", "target"), [((2, 3, 17), (3, 1, 33)), ((1, 1, 65), (1, 1, 3)), ((3, 3, 1), (2, 2, 65))]
)
def test_sparse_equals_reference(source: tuple[int, int, int], target: tuple[int, int, int], firing: str) -> None:
    pair = Pair(source[2])
    lower, upper = pair.population(*source), pair.population(*target)
    pair.connect(lower, upper, pair.sparse(lower, upper), tied=True)
    pair.connect(lower, lower, pair.sparse(lower, lower, density=0.1))
    check(pair, firing)


@pytest.mark.parametrize("firing", FIRINGS)
def test_image_stream_and_external_drive_equal_reference(firing: str) -> None:
    pair = Pair(7)
    image, stream = pair.image(7, 7, 3), pair.stream(7, 7, 17)
    lower = pair.population(5, 5, 33, nudged=True)
    upper = pair.population(3, 3, 10, external=True)
    top = pair.population(1, 1, 65, external=True, nudged=True, leak=0)
    pair.connect(image, lower, Conv(3, 0))
    pair.connect(stream, lower, Conv(3, 0))
    pair.connect(stream, upper, Conv(3, 1, pool="sampled"))
    pair.connect(lower, upper, Conv(3, 0), tied=True)
    pair.connect(stream, top, Dense(pool="sampled"))
    pair.connect(stream, top, pair.sparse(stream, top, 0.05))
    pair.connect(upper, top, Dense(), tied=True)
    check(pair, firing)


@pytest.mark.parametrize("firing", FIRINGS)
def test_dense_image_equals_reference(firing: str) -> None:
    pair = Pair(8)
    image, lower = pair.image(4, 3, 2), pair.population(2, 2, 9)
    pair.connect(image, lower, Dense())
    check(pair, firing)


@pytest.mark.parametrize("pool", ["average", "sampled", "winner"])
@pytest.mark.parametrize("firing", FIRINGS)
def test_many_tables_into_one_population_equal_reference(firing: str, pool: str) -> None:
    """Full resolution, half resolution (feedback through pools) and sparse shares meet in one population."""
    pair = Pair(9)
    a, b = pair.population(6, 7, 17), pair.population(6, 7, 33)
    c, d = pair.population(3, 3, 65), pair.population(1, 1, 10)
    pair.connect(a, b, Conv(3, 1), tied=True)
    pair.connect(a, b, Conv(1, 0))
    pair.connect(a, c, Conv(3, 1, pool=pool), tied=True)  # type: ignore[arg-type]
    pair.connect(b, c, Conv(5, 2, pool=pool), tied=True)  # type: ignore[arg-type]
    pair.connect(a, d, Dense(pool=pool), tied=True)  # type: ignore[arg-type]
    pair.connect(b, d, pair.sparse(b, d), tied=True)
    pair.connect(d, a, Dense(), tied=False)
    pair.connect(b, b, pair.sparse(b, b, 0.02))
    check(pair, firing)


@SETTINGS
@given(
    seed=st.integers(0, 10**6),
    firing=st.sampled_from(FIRINGS),
    channels=st.tuples(SIZES, SIZES),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel=st.sampled_from([1, 3, 5]),
    pool=st.sampled_from([None, "average", "sampled"]),
    gain=st.sampled_from([1e-6, 0.5, 30.0]),
    data=st.data(),
)
def test_random_networks_equal_reference(seed, firing, channels, sides, kernel, pool, gain, data) -> None:  # type: ignore[no-untyped-def]
    """A convolution, a dense table and a recurrent sparse one, of random shapes and scales of weights."""
    padding = data.draw(st.integers(0, kernel - 1))
    change = 2 * padding - kernel + 1
    lower_side = [side // 2 if pool else side for side in sides]
    upper_side = [side + change for side in lower_side]
    pair = Pair(seed)
    lower = pair.population(*sides, channels[0], leak=data.draw(st.integers(0, 15)), external=True, bias=(-0.5, 1.2))
    top = pair.population(1, 1, data.draw(SIZES), leak=0)
    if min(lower_side) > 0 and min(upper_side) > 0:
        upper = pair.population(*upper_side, channels[1], leak=data.draw(st.integers(0, 4)))
        pair.connect(lower, upper, Conv(kernel, padding, pool=pool), tied=True, gain=gain)
        pair.connect(upper, top, Dense(), tied=data.draw(st.booleans()), gain=gain)
        pair.connect(upper, upper, pair.sparse(upper, upper, 0.05))
    else:
        pair.connect(lower, top, Dense(), tied=True, gain=gain)
    simulator, model = pair.build(2, firing, seed)
    phase = {
        "window": 2,
        "stream": 3,
        "onset": data.draw(st.integers(0, 6)),
        "order": data.draw(st.sampled_from(list(ORDERS))),
    }
    simulator.run(6, **phase)
    model.run(6, **phase)
    assert_same(simulator, model)


def test_counters_add_up_over_runs_until_reset() -> None:
    pair = Pair(12)
    lower, upper = pair.population(3, 3, 5), pair.population(3, 3, 17)
    connection = pair.connect(lower, upper, Conv(1, 0), tied=True)
    simulator, model = pair.build(2)
    simulator.run(5)
    first = simulator.counts.spikes.copy()
    simulator.run(5, first=5)
    model.run(10)
    assert_same(simulator, model)
    assert (simulator.counts.spikes >= first).all() and (simulator.counts.spikes > first).any()
    # a 1x1 kernel has no padding: every delivered spike reaches all channels; the last step's are not delivered yet
    delivered = simulator.counts.spikes[:, lower.index] - simulator.spikes(lower).reshape(2, -1).sum(axis=1)
    np.testing.assert_array_equal(simulator.counts.events[:, connection.forward], delivered * 17)
    simulator.reset()
    for array in (*simulator.counts, simulator.potential(lower), simulator.spikes(upper)):
        assert not array.any()


# -- What must not change a bit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["average", "sampled", "winner"])
@pytest.mark.parametrize("firing", FIRINGS)
def test_phase_in_parts_equals_phase_in_one(firing: str, pool: str) -> None:
    def run(parts: list[int]) -> list[np.ndarray]:
        simulator, _ = mixed(pool=pool).build(3, firing, steps=16)
        first = 0
        for part in parts[:-1]:
            simulator.run(part, stream=4, first=first)
            first += part
        simulator.run(parts[-1], window=4, stream=4, first=first)
        return everything(simulator)

    whole = run([16])
    for parts in ([3, 13], [5, 1, 2, 8], [12, 4]):
        assert_equal_arrays(run(parts), whole)


@pytest.mark.parametrize("firing", FIRINGS)
def test_samples_that_pass_together_change_nothing(firing: str) -> None:
    results = []
    for together in (1, 2, 3, 32):
        simulator, model = mixed().build(5, firing, together=together)
        simulator.run(8, window=4)
        results.append(everything(simulator))
    model.run(8, window=4)
    assert_same(simulator, model)
    for result in results[1:]:
        assert_equal_arrays(result, results[0])


@pytest.mark.parametrize("firing", FIRINGS)
def test_group_size_and_order_of_samples_change_nothing(firing: str) -> None:
    whole, _ = mixed().build(6, firing)
    whole.run(8, window=4)
    for chosen in ([0], [5, 1], [4, 2, 0, 3, 5, 1]):
        part, model = mixed().build(6, firing)
        group = Simulator(part.compiled, len(chosen), firing=firing, seed=1)  # type: ignore[arg-type]
        group.reset(np.array(model.samples)[chosen])
        for population in part.compiled.populations:
            if population.spike_input:
                spikes = model.populations[population.index].stream
                assert spikes is not None
                group.set_input_spikes(population, spikes[chosen].reshape(len(chosen), -1, *population.shape))
        group.state.external[...] = part.state.external[chosen]
        group.run(8, window=4)
        for result, expected in zip(everything(group), everything(whole), strict=True):
            np.testing.assert_array_equal(result, expected[chosen])


def test_threads_change_nothing() -> None:
    """Several simulators of one compiled network at once give what they give one after the other."""

    def run(simulator: Simulator) -> list[np.ndarray]:
        simulator.run(40, window=8)
        return everything(simulator)

    first, _ = mixed().build(4, "stratified", steps=40)
    simulators = []
    for base in range(0, 24, 4):
        simulator = Simulator(first.compiled, 4, firing="stratified", seed=1)
        simulator.reset(np.arange(base, base + 4))
        simulator.state.external[...] = first.state.external
        simulator._streams.update(first._streams)
        simulators.append(simulator)
    alone = [run(simulator) for simulator in simulators]
    for simulator in simulators:
        simulator.reset(simulator.state.sample_ids.copy())
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(run, simulators))
    for a, b in zip(alone, together, strict=True):
        assert_equal_arrays(a, b)
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_streams_share_or_separate_random_numbers() -> None:
    """The same stream from the same state gives the same spikes; another stream, seed or sample gives others."""

    def spikes(stream: int, seed: int, sample: int) -> np.ndarray:
        net = Network()
        population = net.add_population((4, 4, 16), leak=0)
        compiled = net.compile()
        compiled.set_bias(population, np.full(16, 0.5))
        simulator = Simulator(compiled, 1, seed=seed)
        simulator.reset([sample])
        simulator.run(3, stream=stream)
        return simulator.spikes(population)

    reference_spikes = spikes(2, 5, 7)
    np.testing.assert_array_equal(spikes(2, 5, 7), reference_spikes)
    for stream, seed, sample in ((3, 5, 7), (2, 6, 7), (2, 5 + 2**32, 7), (2, 5, 8), (2**24 - 1, 5, 7)):
        assert (spikes(stream, seed, sample) != reference_spikes).mean() > 0.3


# -- Control and bad input --------------------------------------------------------------------------------------------


def test_stop_ends_a_run_from_another_thread() -> None:
    net = Network()
    a = net.add_population((8, 8, 32))
    simulator = Simulator(net.compile(), 4)
    simulator.run(1)
    outcome: list[object] = []

    def run() -> None:
        try:
            simulator.run(10**9)
        except Stopped as stopped:
            outcome.append(stopped)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    asked = time.monotonic()
    simulator.stop()
    thread.join(10)
    assert not thread.is_alive() and len(outcome) == 1
    assert time.monotonic() - asked < 1
    simulator.reset()
    simulator.run(2)  # usable again
    assert simulator.counts.steps.tolist() == [2] * 4
    assert simulator.potential(a).shape == (4, 8, 8, 32)


def test_running_no_steps_changes_nothing() -> None:
    simulator, model = mixed().build(2)
    simulator.run(4)
    before = everything(simulator)[:2]
    simulator.run(0, first=4)
    assert_equal_arrays(everything(simulator)[:2], before)
    model.run(4)
    assert_same(simulator, model)


def small() -> tuple[Simulator, dict[str, object]]:
    net = Network()
    image, stream = net.add_image((3, 3, 1)), net.add_spike_input((3, 3, 2))
    lower, upper = net.add_population((3, 3, 4)), net.add_population((1, 1, 3))
    first = net.connect(image, lower, Conv(3, 1))
    net.connect(stream, lower, Conv(3, 1))
    second = net.connect(lower, upper, Dense(), tied=True)
    simulator = Simulator(net.compile(), 2)
    return simulator, {"stream": stream, "lower": lower, "upper": upper, "first": first, "second": second}


def stream_of(steps: int) -> np.ndarray:
    return np.zeros((2, steps, 3, 3, 2), bool)


# What is wrong: what the message must speak of, and the call.
BAD = {
    "steps": ("steps is -1", lambda s, n: s.run(-1)),
    "first": ("first is -1", lambda s, n: s.run(1, first=-1)),
    "first beyond 32 bits": ("too long", lambda s, n: s.run(2, first=2**32 - 1)),
    "odd window": ("window is 3", lambda s, n: s.run(4, window=3)),
    "window beyond the steps": ("window is 4", lambda s, n: s.run(2, window=4)),
    "negative window": ("window is -2", lambda s, n: s.run(2, window=-2)),
    "window too long": ("window is 5000", lambda s, n: s.run(6000, window=5000)),
    "stream number": (
        "stream is 16777216",
        lambda s, n: (s.set_input_spikes(n["stream"], stream_of(1)), s.run(1, stream=2**24)),
    ),
    "negative stream number": (
        "stream is -1",
        lambda s, n: (s.set_input_spikes(n["stream"], stream_of(1)), s.run(1, stream=-1)),
    ),
    "no spikes": ("set_input_spikes", lambda s, n: s.run(1)),
    "too few spikes": ("3 steps, 4", lambda s, n: (s.set_input_spikes(n["stream"], stream_of(3)), s.run(4))),
    "spikes of no steps": ("0 steps, 1", lambda s, n: (s.set_input_spikes(n["stream"], stream_of(0)), s.run(1))),
    "spikes of another shape": (
        "(3, 3, 1)",
        lambda s, n: s.set_input_spikes(n["stream"], np.zeros((2, 3, 3, 3, 1), bool)),
    ),
    "spikes of other samples": (
        "(3, 3, 3, 3, 2)",
        lambda s, n: s.set_input_spikes(n["stream"], np.zeros((3, 3, 3, 3, 2), bool)),
    ),
    "spikes without steps": (
        "(2, 3, 3, 2)",
        lambda s, n: s.set_input_spikes(n["stream"], np.zeros((2, 3, 3, 2), bool)),
    ),
    "spikes into neurons": (
        "add_spike_input",
        lambda s, n: s.set_input_spikes(n["lower"], np.zeros((2, 3, 3, 3, 4), bool)),
    ),
    "negative id": ("sample_ids", lambda s, n: s.reset([-1, 0])),
    "id beyond 32 bits": ("sample_ids", lambda s, n: s.reset([0, 2**32])),
    "wrong number of ids": ("sample_ids", lambda s, n: s.reset([0, 1, 2])),
    "broken id": ("sample_ids", lambda s, n: s.reset([0.5, 1])),
    "image of another shape": ("(2, 3, 3, 1)", lambda s, n: s.set_image(n["first"], np.zeros((2, 3, 3, 3), np.int16))),
    "image of another type": ("int16", lambda s, n: s.set_image(n["first"], np.zeros((2, 3, 3, 1), np.float64))),
    "image through spikes": ("image", lambda s, n: s.set_image(n["second"], np.zeros((2, 3, 3, 4), np.int16))),
    "drive unannounced": ("external", lambda s, n: s.set_external(n["upper"], 0.5)),
    "drive of another shape": ("broadcast", lambda s, n: s.set_external(n["lower"], np.zeros((2, 3, 3, 3)))),
    "drive not finite": ("inf", lambda s, n: s.set_external(n["lower"], np.inf)),
    "drive not a number": ("nan", lambda s, n: s.set_external(n["lower"], np.nan)),
    "drive too large": ("limit", lambda s, n: s.set_external(n["lower"], 1e9)),
    "drive into a stream": ("external", lambda s, n: s.set_external(n["stream"], 0.1)),
    "rates without window": ("window", lambda s, n: s.rates(n["lower"])),
    "no samples": ("samples is 0", lambda s, n: Simulator(s.compiled, 0)),
    "firing": ("poisson", lambda s, n: Simulator(s.compiled, 1, firing="poisson")),
    "seed": ("seed is -1", lambda s, n: Simulator(s.compiled, 1, seed=-1)),
    "long seed": ("seed is 18446744073709551616", lambda s, n: Simulator(s.compiled, 1, seed=2**64)),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused_in_one_line(what: str) -> None:
    speaks_of, call = BAD[what]
    with pytest.raises(InputError) as raised:
        call(*small())
    message = str(raised.value)
    assert speaks_of in message and "\n" not in message


def test_refused_ids_leave_the_state_as_it_was() -> None:
    simulator, model = mixed().build(2)
    simulator.run(4)
    model.run(4)
    with pytest.raises(InputError):
        simulator.reset([0, -1])
    assert_same(simulator, model)


def test_drives_at_their_limits_do_not_wrap() -> None:
    """The largest bias, external drive and weights together leave every sum in range."""
    net = Network()
    lower, upper = net.add_population((1, 1, 4), leak=0), net.add_population((1, 1, 3), leak=0)
    connections = [net.connect(lower, upper, Dense()) for _ in range(6)]
    compiled = net.compile(external=(lower, upper))
    largest = largest_accepted(lambda value: compiled.set_bias(upper, np.full(3, value)))
    simulator = Simulator(compiled, 1)
    external = largest_accepted(lambda value: simulator.set_external(upper, value))
    accepted = 0.0
    for connection in connections:
        with contextlib.suppress(InputError):
            accepted += 4 * largest_accepted(
                lambda value, c=connection: compiled.set_weights(c, np.full((4, 3), value))
            )
    compiled.set_bias(lower, np.ones(4) * 1.5)
    simulator.run(2)
    spikes = simulator.spikes(lower).sum()
    simulator.run(1, first=2)
    expected = largest + external + accepted * spikes / 4
    assert simulator.potential(upper).max() / reference.ONE == pytest.approx(expected, rel=1e-3)
    assert expected > 1000


def largest_accepted(setter: Callable[[float], object]) -> float:
    """The largest power of two, less a little, that is not refused; it stays set."""
    for exponent in range(20, -1, -1):
        try:
            setter(2.0**exponent * 0.999)
        except InputError:
            continue
        return 2.0**exponent * 0.999
    raise InputError("nothing is accepted")
