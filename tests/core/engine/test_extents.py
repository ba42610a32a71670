"""Maps of which a sample has some columns only: what they are by themselves, whatever lies behind them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesim import Conv, Lookup, Network, Simulator
from spikesim.engine.synapses import Pool
from spikesim.errors import InputError

HEIGHT, WIDTH = 4, 9


def simulate(
    columns: int, width: int, pool: Pool | None, firing: str, weights: NDArray[np.float64]
) -> list[NDArray[np.int32]]:
    """Potentials of two populations after some steps, with so many columns of the lower one's map."""
    net = Network()
    table = Conv(3, 1, pool=pool)
    lower = net.add_population((HEIGHT, width, 5), name="lower")
    halved = (HEIGHT // 2, width // 2) if pool else (HEIGHT, width)
    upper = net.add_population((*table.output(halved), 17), name="upper")
    connection = net.connect(lower, upper, table, tied=True)
    compiled = net.compile(external=(lower,))
    compiled.set_weights(connection, weights)
    compiled.set_bias(upper, np.full(17, 0.2))
    simulator = Simulator(compiled, 2, firing=firing, seed=1)
    drive = np.random.default_rng(0).uniform(-0.5, 1.2, (2, HEIGHT, WIDTH, 5))
    drive[:, :, columns:] = 3.0  # what lies there must not matter
    simulator.set_external(lower, drive[:, :, :width])
    simulator.state.extent[:, lower.index] = columns
    simulator.state.extent[:, upper.index] = columns // 2 if pool else columns
    simulator.run(12, window=4, order="upwards")
    counted = simulator.counts
    found = [simulator.potential(lower), simulator.potential(upper)]
    return [*found, counted.updates.copy(), counted.events.copy(), counted.graded.copy(), counted.spikes.copy()]


@pytest.mark.parametrize("pool", [None, "average", "winner"])
@pytest.mark.parametrize("columns", [5, 6, 9])
def test_columns_behind_the_extent_do_not_exist(columns: int, pool: Pool | None) -> None:
    """In the mean field, where the numbers of the pixels, which differ, draw nothing."""
    weights = np.random.default_rng(1).normal(0, 0.2, (3, 3, 5, 17))
    found = simulate(columns, WIDTH, pool, "mean-field", weights)
    alone = simulate(columns, columns, pool, "mean-field", weights)
    for own, expected in zip(found[:2], alone[:2], strict=True):
        there = expected.shape[2]
        np.testing.assert_array_equal(own[:, :, :there], expected)
        assert not own[:, :, there:].any() and expected.any()
    for own, expected in zip(found[2:], alone[2:], strict=True):
        np.testing.assert_array_equal(own, expected)


@pytest.mark.parametrize("firing", ["iid", "stratified"])
@pytest.mark.parametrize("pool", [None, "average", "sampled", "winner"])
def test_neurons_behind_the_extent_never_fire(firing: str, pool: Pool | None) -> None:
    weights = np.random.default_rng(1).normal(0, 0.2, (3, 3, 5, 17))
    lower, upper, updates, *_, spikes = simulate(5, WIDTH, pool, firing, weights)
    assert not lower[:, :, 5:].any() and not upper[:, :, 2 if pool else 5 :].any()
    assert updates[0].tolist() == [12 * HEIGHT * 5 * 5, 12 * 17 * (2 * 2 if pool else HEIGHT * 5)]
    assert (spikes > 0).all() and (spikes < updates).all()


def test_a_lookup_drives_by_the_rows_of_numbers() -> None:
    net = Network()
    text = net.add_image((1, 4, 1), "text")
    words = net.add_population((1, 4, 3), name="words")
    connection = net.connect(text, words, Lookup(6))
    compiled = net.compile()
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    compiled.set_weights(connection, rows)
    numbers = np.array([[5, 0, 2, 2]], np.int32).reshape(1, 1, 4, 1)
    expected = np.rint(rows[numbers[..., 0]].astype(np.float64) * 2**16)
    expected[0, 0, 1] = 0
    np.testing.assert_array_equal(compiled.drive_from(connection, numbers), expected)
    with pytest.raises(InputError, match=r"numbers of text reach from 0 to 6; they must be in 0 .. 5"):
        compiled.drive_from(connection, numbers + (numbers == 5))
    compiled.set_weights(connection, rows * 1e6)
    with pytest.raises(InputError, match="lower the learning rate"):
        compiled.drive_from(connection, numbers)


@pytest.mark.parametrize(
    ("source", "target", "rows", "message"),
    [
        ((1, 4, 2), (1, 4, 3), 6, "2 numbers each"),
        ((1, 4, 1), (1, 5, 3), 6, "as many positions"),
        ((1, 4, 1), (1, 4, 3), 0, "1 or more"),
    ],
)
def test_lookups_that_fit_nothing(source, target, rows: int, message: str) -> None:  # type: ignore[no-untyped-def]
    net = Network()
    with pytest.raises(InputError, match=message):
        net.connect(net.add_image(source), net.add_population(target), Lookup(rows))
    lower = net.add_population((1, 4, 1))
    with pytest.raises(InputError, match="only an image can hold the numbers of a lookup"):
        net.connect(lower, net.add_population((1, 4, 3)), Lookup(6))
