"""Centered learning against sums that are written out."""

import numpy as np
import pytest
import small

from spikesim.engine.synapses import Conv
from spikesim.ep.gradients.centering import bias_compensation, centre, presynaptic_mean, seen
from spikesim.ep.gradients.contrast import phase_correlation, presynaptic_rows, presynaptic_unit
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.phases.rate_sums import RateSums
from spikesim.numerics.fixed_point import ONE

LAYERS = ({**small.POOLED, "channels": 4}, {**small.CONV, "channels": 3}, {"kind": "dense", "channels": 5})
WINDOW = 6
GRADED = {"dynamics__nudged_phase": "linear-response", "dynamics__rule": "postsynaptic"}


@pytest.mark.parametrize(
    ("size", "kernel", "padding", "stride"), [(4, 3, 1, 1), (5, 3, 2, 1), (6, 3, 1, 2), (7, 5, 0, 2)]
)
def test_a_place_of_a_kernel_sees_what_it_alone_lets_through(size: int, kernel: int, padding: int, stride: int) -> None:
    maps = np.random.default_rng(0).integers(0, 2**40, (size, size, 3))
    table = Conv(kernel, padding, stride=stride)
    side, _ = table.output((size, size))
    found = table.seen(maps, (side, side, 1))
    for place in np.ndindex(kernel, kernel, 3):
        weights = np.zeros((kernel, kernel, 3, 1))
        weights[place] = 1.0
        assert found[place] == table.apply(weights, maps[None]).sum()


@pytest.mark.parametrize("pooling", ["average", "sampled", "winner"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_means_are_those_of_the_correlation_with_an_error_that_is_everywhere(pooling: str, number: int) -> None:
    """The gradient that centering takes away is that of a constant error, at each place of the kernel by itself."""
    layers = (*LAYERS[:2], {**small.POOLED, "channels": 4}, LAYERS[2])
    model = Model(small.make(*layers, **GRADED, dynamics__pooling=pooling), small.make_dataset(size=14))
    edge, rng = model.graph.edges[number], np.random.default_rng(number)
    window = rng.integers(0, 2**16, (2, 5, model.compiled.sizes["state"])).astype(np.int32)
    sums = RateSums.zero(model.compiled.sizes["state"])
    sums.add(window, 4)
    height, width, _ = edge.connection.target.shape
    found = presynaptic_mean(edge, seen(model, edge, sums), 4 * height * width, WINDOW)
    rates = window[:, :4].sum(axis=0)
    ones = np.zeros_like(rates)
    ones[:, model.state_slice(edge.target)] = 1
    rows = presynaptic_rows(model, edge, np.zeros(0, np.int16), rates)
    everywhere = phase_correlation(model, edge, ones, rows)
    height, width, _ = edge.connection.target.shape
    expected = everywhere.weights[0] / (4 * height * width * presynaptic_unit(edge, WINDOW))
    assert found.shape == (expected.size,)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-6)


def test_a_centered_gradient_is_that_of_centered_inputs() -> None:
    rng = np.random.default_rng(0)
    inputs, errors = rng.random((50, 7)), rng.normal(size=(50, 4))
    mean = inputs.mean(axis=0)
    found = (inputs.T @ errors).astype(np.float32)
    centre(found, errors.sum(axis=0).astype(np.float32), mean.astype(np.float32))
    np.testing.assert_allclose(found, (inputs - mean).T @ errors, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 4, 5), (7, 5)])
def test_compensated_biases_keep_the_drive_of_the_mean_input(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    before, weights = rng.normal(size=(2, *shape)).astype(np.float32)
    mean = rng.random(shape[:-1]).astype(np.float32)
    drive = np.einsum("...io,...i->...o", (weights - before).astype(np.float64), mean.astype(np.float64))
    expected = drive.reshape(-1, shape[-1]).sum(axis=0)
    np.testing.assert_allclose(bias_compensation(weights, before, mean.ravel()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "padding", "stride"), [(4, 1, 1), (5, 2, 1), (6, 1, 2), (6, 0, 1)])
def test_what_the_bias_gives_back_is_the_mean_drive_over_the_map(size: int, padding: int, stride: int) -> None:
    """Any map, bordered by padding: the mean of its drive over positions does not move."""
    rng = np.random.default_rng(2)
    table = Conv(3, padding, stride=stride)
    side, _ = table.output((size, size))
    before, weights = rng.normal(size=(2, 3, 3, 4, 5)).astype(np.float32)
    maps = rng.integers(0, 2**16, (size, size, 4))
    mean = (table.seen(maps, (side, side, 5)) / (ONE * side * side)).astype(np.float32)
    drive = table.apply(weights - before, maps[None] / ONE).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(bias_compensation(weights, before, mean.ravel()), drive, rtol=1e-5, atol=1e-5)
    dense = table.seen(np.ones((size, size, 4), np.int64), (side, side, 5)).sum() * 5
    assert dense == table.dense_operations((size, size, 4), (side, side, 5))


def test_a_step_moves_the_weights_and_not_the_mean_drive() -> None:
    """With no learning of the biases of their own, the rates drive every layer on average as before the step."""
    config = small.make(
        *LAYERS, optimizer__centering=True, optimizer__bias_factor=0.0, stability__homeostasis=0.0, data__batch_size=8,
    )  # fmt: skip
    dataset = small.make_dataset(size=6, samples=8)
    start = small.random_parameters(Model(config, dataset), 2)
    before = small.copied(start)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        ids = np.arange(8)
        result = learner.batch(MiniBatch(0, 0, pipeline.plain(dataset.train, ids), ids, dataset.train.labels), 1.0)
        after = start.leaves()
        for edge in learner.model.graph.edges[1:]:
            below = seen(learner.model, edge, result.rate_sums)
            height, width, _ = edge.connection.target.shape
            mean = presynaptic_mean(edge, below, 8 * height * width, config.dynamics.window_free)
            moved = bias_compensation(after[edge.weight], before[edge.weight], mean)
            assert np.abs(moved).max() > 1e-5
            bias = f"{edge.name}/bias"
            np.testing.assert_allclose(after[bias] - before[bias], -moved, atol=1e-6)
    assert (after["conv1/bias"] == before["conv1/bias"]).all(), "the first layer sees an image, which has no rates"
