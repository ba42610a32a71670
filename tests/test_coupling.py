"""The coupling of neighbouring layers against the singular values of matrices that are written out."""

import numpy as np
import pytest
import reference
import small

from spikesim.ep.coupling import coupling, limit_coupling, measure_coupling
from spikesim.ep.model import Model
from spikesim.ep.team import Team
from spikesim.tables import Conv

LAYERS = ({**small.POOLED, "channels": 3}, {**small.CONV, "channels": 2}, {"kind": "dense", "channels": 5})


def matrices(model: Model) -> list[np.ndarray]:
    """Each layer's weights as a matrix onto the layer below, pool included."""
    found = []
    for layer, connection in enumerate(model.stack.connections):
        if layer == 0:
            continue
        table, below = connection.table, connection.source.shape
        weights = connection.integers * 2.0**-connection.exponent
        pool = np.eye(int(np.prod(below)))
        if model.stack.pooled[layer - 1]:
            cells = reference.cells(np.eye(len(pool), dtype=np.int64), below).sum(axis=1)
            pool = cells.reshape(len(pool), -1).T / 4
        if isinstance(table, Conv):
            seen = reference.pooled(below) if model.stack.pooled[layer - 1] else below
            integers, _ = reference.conv_matrix(
                connection.integers.astype(np.int64), table.padding, seen, connection.target.shape
            )
            found.append(integers * 2.0**-connection.exponent @ pool)
        else:
            found.append(weights.T @ pool)
    return found


@pytest.mark.parametrize("gain", [1.0, 0.25])
def test_coupling_is_the_largest_singular_value_among_linear_neurons(gain: float) -> None:
    config = small.make(*LAYERS, dynamics__feedback_gain=gain)
    model = Model(config, small.make_dataset(size=(5, 6)))
    model.load(small.random_parameters(model, 1))
    rng = np.random.default_rng(0)
    rates = [rng.choice([0.0, 0.4, 1.0], (2, *population.shape)) for population in model.stack.populations]
    found = coupling(model, rates)
    assert found[0] == 0
    for layer, matrix in enumerate(matrices(model), 1):
        exact = []
        for sample in range(2):
            own, below = (rates[i][sample].ravel() == 0.4 for i in (layer, layer - 1))
            exact.append(np.linalg.norm(matrix[np.ix_(own, below)], 2) * gain**0.5)
        assert 0.85 * np.mean(exact) < found[layer] < 1.0001 * np.mean(exact)


def test_weights_beyond_the_limit_are_scaled_down_to_it() -> None:
    config = small.make(*LAYERS)
    dataset = small.make_dataset(size=(5, 6))
    model = Model(config, dataset)
    parameters = small.random_parameters(model, 1, gain=1.5)
    before = [weights.copy() for weights in parameters.weights]
    model.load(parameters)
    with Team(model, config, 1) as team:
        images = np.random.default_rng(3).integers(0, 4096, (3, 5, 6, 1)).astype(np.int16)
        found = measure_coupling(team, images, np.arange(3), 7)
        assert np.array_equal(found, measure_coupling(team, images, np.arange(3), 7))
    limit = float(np.sort(found)[1:].mean())
    scaled = limit_coupling(parameters, found, limit)
    assert scaled == [layer for layer in range(3) if found[layer] > limit] and len(scaled) == 1
    for layer, (weights, old) in enumerate(zip(parameters.weights, before, strict=True)):
        factor = weights.ravel()[0] / old.ravel()[0]
        np.testing.assert_allclose(weights, factor * old, rtol=1e-6)
        if layer in scaled:
            assert limit / found[layer] - 1 / 64 <= factor <= limit / found[layer] + 1e-6
        else:
            assert factor == 1
