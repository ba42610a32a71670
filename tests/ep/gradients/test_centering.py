"""Centered learning against sums that are written out."""

import numpy as np
import pytest
import small

from spikesim.engine.synapses import Conv, pooled
from spikesim.ep.gradients.centering import bias_compensation, centre, presynaptic_mean
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model

LAYERS = ({**small.POOLED, "channels": 4}, {**small.CONV, "channels": 3}, {"kind": "dense", "channels": 5})


def model() -> Model:
    return Model(small.make(*LAYERS), small.make_dataset(size=6))


def test_means_stand_behind_their_weights() -> None:
    activity = np.array([0.1, 0.2, 0.3, 0.4])
    edge = model().graph.edges[1]
    conv = presynaptic_mean(edge, activity)
    assert isinstance(edge.connection.table, Conv) and edge.connection.table.padding == 1
    ones = np.ones((1, *pooled(edge.connection.source.shape)[:2], 1))
    for place in np.ndindex(3, 3):  # how often it sees the map: the mean of what it alone lets through
        weights = np.zeros((3, 3, 1, 1))
        weights[place] = 1.0
        share = edge.connection.table.apply(weights, ones).mean()
        np.testing.assert_allclose(conv.reshape(3, 3, 4)[place], share * activity, rtol=1e-6)
    dense = presynaptic_mean(model().graph.edges[2], activity[:3])
    assert dense.shape == (3 * 3 * 3,), "neurons in the order (y, x, channel)"
    np.testing.assert_allclose(dense.reshape(3, 3, 3), np.broadcast_to(activity[:3], (3, 3, 3)), rtol=1e-6)


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
    """A map that is constant and bordered by padding: the mean of its drive over positions does not move."""
    rng = np.random.default_rng(2)
    table = Conv(3, padding, stride=stride)
    sides = table.output(size)
    source, target = (size, size, 4), (sides, sides, 5)
    before, weights = rng.normal(size=(2, 3, 3, 4, 5)).astype(np.float32)
    activity = rng.random(4)
    mean = (table.coverage(source, target)[:, :, np.newaxis] * activity).astype(np.float32)
    drive = table.apply(weights - before, np.broadcast_to(activity, (1, *source))).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(bias_compensation(weights, before, mean.ravel()), drive, rtol=1e-5, atol=1e-5)
    dense = table.coverage(source, target).sum() * sides * sides * 4 * 5
    assert dense == pytest.approx(table.dense_operations(source, target))


def test_a_step_moves_the_weights_and_not_the_mean_drive() -> None:
    """With no learning of the biases of their own, a constant map drives every layer on average as before the step."""
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
            mean = presynaptic_mean(edge, result.activity[edge.source])
            moved = bias_compensation(after[edge.weight], before[edge.weight], mean)
            assert np.abs(moved).max() > 1e-5
            bias = f"{edge.name}/bias"
            np.testing.assert_allclose(after[bias] - before[bias], -moved, atol=1e-6)
    assert (after["conv1/bias"] == before["conv1/bias"]).all(), "the first layer sees an image, which has no rates"
