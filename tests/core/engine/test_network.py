"""Building networks: layouts, weights in and out, and refusal of what makes no sense."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.populations import Connection, Population, lanes_for
from spikesim.engine.synapses import Conv, Dense, Sparse
from spikesim.errors import InputError
from spikesim.network import Network
from spikesim.simulator import Simulator

QUICK = settings(deadline=None, derandomize=True, database=None)


@given(st.integers(1, 2000))
@QUICK
def test_block_of_channels_wastes_at_most_a_quarter_or_the_least_possible(channels: int) -> None:
    chosen = lanes_for(channels)
    waste = {lanes: -channels % lanes for lanes in (16, 32, 64)}
    assert chosen in waste
    assert 4 * waste[chosen] <= channels or waste[chosen] == min(waste.values())
    assert all(4 * waste[wider] > channels for wider in waste if wider > chosen)


@QUICK
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3, 15, 16, 17, 33, 64, 65, 129])),
    lead=st.integers(1, 3),
)
def test_state_layout_is_inverted_exactly(shape: reference.Shape, lead: int) -> None:
    population = Network().add_population(shape)
    values = np.random.default_rng(0).integers(1, 2**31 - 1, (lead, *shape)).astype(np.int32)
    state = population.to_state(values)
    assert state.shape == (lead, population.state_size) and state.dtype == values.dtype
    np.testing.assert_array_equal(population.from_state(state), values)
    assert np.count_nonzero(state) == values.size, "the padding is 0"
    y, x, channel = shape[0] - 1, shape[1] - 1, shape[2] - 1
    block, lane = divmod(channel, population.lanes)
    at = (block * shape[0] * shape[1] + y * shape[1] + x) * population.lanes + lane
    np.testing.assert_array_equal(state[:, at], values[:, y, x, channel])


def small() -> tuple[Network, dict[str, Any]]:
    net = Network()
    parts: dict[str, Any] = {
        "image": net.add_image((4, 4, 1)),
        "stream": net.add_spike_input((4, 4, 2)),
        "lower": net.add_population((4, 4, 3), name="lower"),
        "upper": net.add_population((2, 2, 17), name="upper"),
    }
    parts["first"] = net.connect(parts["image"], parts["lower"], Conv(3, 1))
    parts["second"] = net.connect(parts["lower"], parts["upper"], Conv(3, 1, pool="average"), tied=True)
    return net, parts


def test_weights_are_kept_as_integers_at_their_scale() -> None:
    net, parts = small()
    compiled = net.compile()
    connection: Connection = parts["second"]
    weights = np.random.default_rng(0).normal(0, 0.1, connection.integers.shape)
    compiled.set_weights(connection, weights)
    expected, exponent = reference.quantize(weights)
    np.testing.assert_array_equal(connection.integers, expected)
    assert connection.exponent == exponent
    assert connection.dense_operations == parts["second"].table.dense_operations((4, 4, 3), (2, 2, 17))


def test_sparse_weights_start_at_the_matrix_and_may_change() -> None:
    net = Network()
    lower, upper = net.add_population((1, 1, 4), leak=0), net.add_population((1, 1, 4), leak=0)
    connection = net.connect(lower, upper, Sparse(sparse.eye_array(4) * 0.25))
    compiled = net.compile(external=(lower,))
    simulator = Simulator(compiled, 1, firing="mean-field")
    simulator.set_external(lower, 0.5)
    simulator.run(2)
    np.testing.assert_array_equal(simulator.potential(upper).ravel(), [2**13] * 4)
    compiled.set_weights(connection, np.array([0.5, 0, 0, 0]))
    simulator.run(1)
    np.testing.assert_array_equal(simulator.potential(upper).ravel(), [2**14, 0, 0, 0])


def test_biases_do_not_touch_their_neighbours() -> None:
    net, parts = small()
    compiled = net.compile()
    before = compiled.plan.bias.copy()
    compiled.set_bias(parts["lower"], [0.5, -0.25, 1.0])
    at = compiled.plan.populations[parts["lower"].index].bias
    assert compiled.plan.bias[at : at + 3].tolist() == [2**15, -(2**14), 2**16]
    compiled.set_bias(parts["lower"], np.zeros(3))
    np.testing.assert_array_equal(compiled.plan.bias, before)


def test_a_refused_change_leaves_the_weights_as_they_were() -> None:
    net, parts = small()
    compiled = net.compile()
    connection: Connection = parts["second"]
    compiled.set_weights(connection, np.full(connection.integers.shape, 0.1))
    plan, integers = compiled.plan.weights.copy(), connection.integers.copy()
    for bad in (np.inf, 1000.0):
        with pytest.raises(InputError):
            compiled.set_weights(connection, np.full(connection.integers.shape, bad))
    np.testing.assert_array_equal(compiled.plan.weights, plan)
    np.testing.assert_array_equal(connection.integers, integers)


def test_several_tables_change_together_or_not_at_all() -> None:
    net, parts = small()
    compiled = net.compile()
    tables: list[Connection] = [parts["first"], parts["second"]]
    rng = np.random.default_rng(4)
    weights = [rng.uniform(-0.2, 0.2, table.integers.shape) for table in tables]
    for table, values in zip(tables, weights, strict=True):
        compiled.set_weights(table, values)
    one_by_one = compiled.plan.weights.copy(), compiled.plan.tables.copy()
    compiled.set_all_weights([(table, np.zeros(table.integers.shape)) for table in tables])
    assert not compiled.plan.weights.any()
    calls = []

    def spread(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        calls.append(work)
        return [work(item) for item in list(items)[::-1]][::-1]

    compiled.set_all_weights(list(zip(tables, weights, strict=True)), spread)
    assert calls, "the work is left to the function that spreads it"
    np.testing.assert_array_equal(compiled.plan.weights, one_by_one[0])
    np.testing.assert_array_equal(compiled.plan.tables, one_by_one[1])
    with pytest.raises(InputError, match="upper"):
        compiled.set_all_weights([(tables[0], 0 * weights[0]), (tables[1], weights[1] + 9000.0)])
    np.testing.assert_array_equal(compiled.plan.weights, one_by_one[0])
    assert tables[0].integers.any()


def test_image_drive_is_exact_at_the_limits_of_its_integers() -> None:
    net = Network()
    image, population = net.add_image((8, 8, 4)), net.add_population((8, 8, 3))
    connection = net.connect(image, population, Conv(3, 1))
    compiled = net.compile()
    rng = np.random.default_rng(3)
    compiled.set_weights(connection, rng.uniform(-1, 1, connection.integers.shape))
    images = rng.choice(np.array([-32768, 32767], np.int16), (2, 8, 8, 4))
    matrix, _ = reference.conv_matrix(connection.integers.astype(np.int64), (1, 1), image.shape, population.shape)
    expected = reference.image_drive(matrix, connection.exponent, images.reshape(2, -1).astype(np.int64))
    np.testing.assert_array_equal(compiled.drive_from(connection, images).reshape(2, -1), expected)


def set_full(name: str, value: float) -> Callable[[CompiledNetwork, dict[str, Any]], object]:
    return lambda c, parts: c.set_weights(parts[name], np.full(parts[name].integers.shape, value))


# What is wrong: what the message must speak of, and the call on a network under construction.
BAD_BUILDING: dict[str, tuple[str, Callable[[Network, dict[str, Any]], object]]] = {
    "shape of two": ("(3, 3)", lambda net, parts: net.add_population((3, 3))),
    "empty shape": ("(0, 3, 3)", lambda net, parts: net.add_population((0, 3, 3))),
    "negative shape": ("(3, 3, -1)", lambda net, parts: net.add_spike_input((3, 3, -1))),
    "broken shape": ("(3, 3, 1.5)", lambda net, parts: net.add_image((3, 3, 1.5))),  # type: ignore[arg-type]
    "huge shape": ("too large", lambda net, parts: net.add_population((2**10, 2**10, 2**10))),
    "negative leak": ("leak is -1", lambda net, parts: net.add_population((1, 1, 1), leak=-1)),
    "large leak": ("leak is 16", lambda net, parts: net.add_population((1, 1, 1), leak=16)),
    "broken leak": ("leak is 2.5", lambda net, parts: net.add_population((1, 1, 1), leak=2.5)),  # type: ignore[arg-type]
    "too many": ("250", lambda net, parts: [net.add_population((1, 1, 1)) for _ in range(256)]),
    "into a stream": ("input", lambda net, parts: net.connect(parts["lower"], parts["stream"], Dense())),
    "into an image": ("input", lambda net, parts: net.connect(parts["lower"], parts["image"], Dense())),
    "tied to a stream": ("tied", lambda net, parts: net.connect(parts["stream"], parts["lower"], Dense(), tied=True)),
    "tied to an image": ("tied", lambda net, parts: net.connect(parts["image"], parts["upper"], Dense(), tied=True)),
    "pooled image": ("pool", lambda net, parts: net.connect(parts["image"], parts["upper"], Conv(3, 1, "average"))),
    "second image": ("already", lambda net, parts: net.connect(parts["image"], parts["lower"], Dense())),
    "convolution to itself": ("itself", lambda net, parts: net.connect(parts["lower"], parts["lower"], Conv(3, 1))),
    "kernel": ("kernel is 0", lambda net, parts: net.connect(parts["stream"], parts["lower"], Conv(0, 1))),
    "padding": ("padding is 3", lambda net, parts: net.connect(parts["stream"], parts["lower"], Conv(3, 3))),
    "shape of a map": ("2x2", lambda net, parts: net.connect(parts["lower"], parts["upper"], Conv(3, 1))),
    "no neurons": ("no neurons", lambda net, parts: Network().compile()),
    "only a stream": (
        "no neurons",
        lambda net, parts: (other := Network(), other.add_spike_input((1, 1, 1)), other.compile()),
    ),
    "stranger": (
        "not a population",
        lambda net, parts: net.connect(Network().add_population((1, 1, 1)), parts["upper"], Dense()),
    ),
    "strange drive": (
        "not a population",
        lambda net, parts: net.compile(external=(Network().add_population((1, 1, 1)),)),
    ),
    "driven stream": ("input", lambda net, parts: net.compile(external=(parts["stream"],))),
    "nudged stream": ("input", lambda net, parts: net.compile(nudged=(parts["stream"],))),
    "two ways of pooling": (
        "two ways",
        lambda net, parts: (net.connect(parts["lower"], parts["upper"], Dense("sampled")), net.compile()),
    ),
    "sparse not finite": (
        "not finite",
        lambda net, parts: (
            net.connect(parts["lower"], parts["lower"], Sparse(sparse.eye_array(48) * np.nan)),
            net.compile(),
        ),
    ),
}


@pytest.mark.parametrize("what", BAD_BUILDING)
def test_bad_building_is_refused_in_one_line(what: str) -> None:
    speaks_of, call = BAD_BUILDING[what]
    with pytest.raises(InputError) as raised:
        call(*small())
    assert speaks_of in str(raised.value) and "\n" not in str(raised.value)


BAD_VALUES: dict[str, tuple[str, Callable[[CompiledNetwork, dict[str, Any]], object]]] = {
    "weights of another shape": ("(3, 3)", lambda c, parts: c.set_weights(parts["second"], np.zeros((3, 3)))),
    "weights not a number": ("not finite", set_full("second", np.nan)),
    "weights not finite": ("not finite", set_full("first", np.inf)),
    "weights beyond a drive": ("drive", set_full("second", 2.0**14)),
    "weights that could add up too far": ("too large", set_full("second", 2.0**11)),
    "biases of another shape": ("(2,)", lambda c, parts: c.set_bias(parts["lower"], [0.0, 0.0])),
    "bias not a number": ("nan", lambda c, parts: c.set_bias(parts["lower"], [0.0, 0.0, np.nan])),
    "bias too large": ("limit", lambda c, parts: c.set_bias(parts["lower"], [0.0, 0.0, 1e6])),
    "image too strong": (
        "limit",
        lambda c, parts: (
            set_full("first", 1000.0)(c, parts),
            c.drive_from(parts["first"], np.full((1, 4, 4, 1), 2**14, np.int16)),
        ),
    ),
    "image of another shape": (
        "(4, 4, 2)",
        lambda c, parts: c.drive_from(parts["first"], np.zeros((1, 4, 4, 2), np.int16)),
    ),
}


@pytest.mark.parametrize("what", BAD_VALUES)
def test_bad_values_are_refused_in_one_line(what: str) -> None:
    net, parts = small()
    compiled = net.compile()
    speaks_of, call = BAD_VALUES[what]
    with pytest.raises(InputError) as raised:
        call(compiled, parts)
    assert speaks_of in str(raised.value) and "\n" not in str(raised.value)


def test_tables_into_one_population_share_the_range_of_a_drive() -> None:
    """What one table leaves of the range the next may use, forward and backward, and no more."""
    net = Network()
    lower, upper = net.add_population((1, 1, 1)), net.add_population((1, 1, 1))
    first, second = (net.connect(lower, upper, Dense(), tied=True) for _ in range(2))
    compiled = net.compile()
    compiled.set_weights(first, [[5000.0]])
    with pytest.raises(InputError, match="8192"):
        compiled.set_weights(second, [[5000.0]])
    compiled.set_weights(second, [[3000.0]])
    compiled.set_weights(first, [[0.0]])
    compiled.set_weights(second, [[5000.0]])
    compiled.set_all_weights([(first, [[5000.0]]), (second, [[3000.0]])])


def test_population_without_a_name_is_numbered() -> None:
    net = Network()
    populations: list[Population] = [net.add_population((1, 1, 1)) for _ in range(3)]
    assert len({population.name for population in populations}) == 3
