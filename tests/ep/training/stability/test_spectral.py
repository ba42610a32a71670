"""The spectral norm of neighbouring layers against the singular values of matrices that are written out."""

import numpy as np
import pytest
import reference
import small

from spikesim.engine.synapses import Conv
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.normalization import Normalization
from spikesim.ep.training.stability.spectral import limit_spectral_norms, measure_spectral_norms, spectral_norms

LAYERS = ({**small.POOLED, "channels": 3}, {**small.CONV, "channels": 2}, {"kind": "dense", "channels": 5})


def matrices(model: Model) -> list[np.ndarray]:
    """Each layer's weights as a matrix onto the layer below, pool included."""
    found = []
    for edge in model.graph.edges[1:]:
        connection = edge.connection
        table, below = connection.table, connection.source.shape
        weights = connection.integers * 2.0**-connection.exponent
        pool = np.eye(int(np.prod(below)))
        if edge.pooled:
            cells = reference.cells(np.eye(len(pool), dtype=np.int64), below).sum(axis=1)
            pool = cells.reshape(len(pool), -1).T / 4
        if isinstance(table, Conv):
            seen = reference.pooled(below) if edge.pooled else below
            integers, _ = reference.conv_matrix(
                connection.integers.astype(np.int64), table.frame, seen, connection.target.shape
            )
            found.append(integers * 2.0**-connection.exponent @ pool)
        else:
            found.append(weights.T @ pool)
    return found


def make_model(gain: float = 1.0, seed: int = 1) -> tuple[Model, ParameterTree]:
    """A small network with random weights."""
    model = Model(small.make(*LAYERS, dynamics__feedback_gain=gain), small.make_dataset(size=(5, 6)))
    parameters = small.random_parameters(model, seed)
    model.set_parameters(parameters)
    return model, parameters


def random_rates(model: Model, samples: int, seed: int = 0) -> list[np.ndarray]:
    """Silent, linear and certain neurons."""
    rng = np.random.default_rng(seed)
    return [rng.choice([0.0, 0.4, 1.0], (samples, *population.shape)) for population in model.graph.populations]


def exact_norms(model: Model, rates: list[np.ndarray]) -> np.ndarray:
    """Largest singular value of each layer's matrix among linear neurons, of the sample with the largest."""
    found = [0.0]
    for layer, matrix in enumerate(matrices(model), 1):
        linear = [[rates[i][sample].ravel() == 0.4 for i in (layer, layer - 1)] for sample in range(len(rates[0]))]
        found.append(max(np.linalg.norm(matrix[np.ix_(own, below)], 2) for own, below in linear))
    return np.array(found) * 2.0 ** (-0.5 * model.graph.edges[-1].connection.attenuation)


@pytest.mark.parametrize("gain", [1.0, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_coupling_is_the_largest_singular_value_among_linear_neurons(gain: float, seed: int) -> None:
    model, _ = make_model(gain, seed)
    rates = random_rates(model, 4, seed)
    found, exact = spectral_norms(model, rates), exact_norms(model, rates)
    assert found[0] == 0
    assert (found >= exact * (1 - 1e-12)).all() and (found <= exact * (1 + 2e-3)).all()
    assert spectral_norms(model, rates).tobytes() == found.tobytes()


def test_neither_silent_samples_nor_single_neurons_disturb_the_coupling() -> None:
    model, _ = make_model()
    rates = random_rates(model, 3)
    for layer in rates:
        layer[0] = 0.0  # nothing is linear
        layer[1] = 0.0
        layer[1].flat[2] = 0.4  # one neuron: the iteration has nowhere to go
    found, exact = spectral_norms(model, rates), exact_norms(model, rates)
    assert (found >= exact * (1 - 1e-12)).all() and (found <= exact * (1 + 2e-3)).all()
    assert (spectral_norms(model, [layer[:1] for layer in rates]) == 0).all()


def test_a_vector_that_sees_no_edges_misses_nothing() -> None:
    """A kernel whose weights add up to zero: a map of ones, where all neurons are linear, says nothing about it."""
    model, parameters = make_model()
    for weights in parameters.weights(model.graph):
        weights -= weights.mean(axis=tuple(range(weights.ndim - 1)), keepdims=True)
    model.set_parameters(parameters)
    rates = [np.full((1, *population.shape), 0.4) for population in model.graph.populations]
    found, exact = spectral_norms(model, rates), exact_norms(model, rates)
    assert (found >= exact * (1 - 1e-12)).all() and (found <= exact * (1 + 2e-3)).all()


@pytest.mark.parametrize("limit", [0.9, 0.3])
def test_the_limit_holds(limit: float) -> None:
    model, parameters = make_model(seed=4)
    for weights in parameters.weights(model.graph):
        weights *= np.float32(12.0)
    model.set_parameters(parameters)
    rates = random_rates(model, 8)
    before = exact_norms(model, rates)
    assert (before[1:] > limit).all()
    plain = Normalization(small.make(*LAYERS), model.graph, parameters)
    assert limit_spectral_norms(plain, model.graph, spectral_norms(model, rates), limit) == [1, 2]
    model.set_parameters(parameters)
    after = exact_norms(model, rates)
    assert (after <= limit).all(), "by singular values"
    assert (after[1:] > limit - before[1:] / 64 - 3e-3 * limit).all(), "no further than needed"
    assert limit_spectral_norms(plain, model.graph, spectral_norms(model, rates), limit) == []


def test_weights_are_scaled_by_no_more_than_they_may() -> None:
    model, parameters = make_model(seed=4)
    before = [weights.copy() for weights in parameters.weights(model.graph)]
    plain = Normalization(small.make(*LAYERS), model.graph, parameters)
    found = np.array([0.0, 2.0, 0.91])
    assert limit_spectral_norms(plain, model.graph, found, 0.9, 31 / 32) == [1, 2]
    for weights, old, factor in zip(parameters.weights(model.graph), before, (1, 31 / 32, 63 / 64), strict=True):
        np.testing.assert_array_equal(weights, old * np.float32(factor))


def test_weights_beyond_the_limit_are_scaled_down_to_it() -> None:
    config = small.make(*LAYERS)
    dataset = small.make_dataset(size=(5, 6))
    model = Model(config, dataset)
    parameters = small.random_parameters(model, 1, gain=1.5)
    before = [weights.copy() for weights in parameters.weights(model.graph)]
    model.set_parameters(parameters)
    with ThreadPool(model, config, 1) as thread_pool:
        images = np.random.default_rng(3).integers(0, 4096, (3, 5, 6, 1)).astype(np.int16)
        found = measure_spectral_norms(thread_pool, images, np.arange(3), 7)
        assert np.array_equal(found, measure_spectral_norms(thread_pool, images, np.arange(3), 7))
    limit = float(np.sort(found)[1:].mean())
    scaled = limit_spectral_norms(Normalization(config, model.graph, parameters), model.graph, found, limit)
    assert scaled == [layer for layer in range(3) if found[layer] > limit] and len(scaled) == 1
    for layer, (weights, old) in enumerate(zip(parameters.weights(model.graph), before, strict=True)):
        factor = weights.ravel()[0] / old.ravel()[0]
        np.testing.assert_allclose(weights, factor * old, rtol=1e-6)
        if layer in scaled:
            assert limit / found[layer] - 1 / 64 <= factor <= limit / found[layer] + 1e-6
        else:
            assert factor == 1
