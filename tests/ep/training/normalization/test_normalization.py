"""What layers learn against the formulas: the network's weights, the gradients, the statistics."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import small
from numpy.typing import NDArray

from spikesim.ep.gradients.centering import bias_compensation
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.phases.potentials import Moments
from spikesim.ep.training.initialization import start
from spikesim.ep.training.normalization import LayerNormalization, Normalization
from spikesim.ep.training.normalization.running_statistics import EPSILON

LAYERS = ({**small.POOLED, "channels": 4}, {**small.CONV, "channels": 3}, {"kind": "dense", "channels": 5})
KINDS = ("running-statistics", "weight-standardization")
Reals = NDArray[np.float64]


def normalized(kind: str, layers: Iterable[dict] = LAYERS, **settings: object) -> tuple[Model, Normalization]:
    """Random parameters, learned by way of a normalization."""
    config = small.make(*layers, model__normalization=kind, dynamics__feedback_gain=0.25, **settings)
    model = Model(config, small.make_dataset(size=6))
    return model, Normalization(config, model.graph, small.random_parameters(model, 3))


def moments(rng: np.random.Generator, channels: int) -> Moments:
    return Moments(rng.normal(size=channels), rng.uniform(0.05, 0.5, channels))


def columns(weights: Iterable[NDArray[np.float32]]) -> Reals:
    """All synapses of a layer, (synapses, C)."""
    return np.concatenate([own.reshape(-1, own.shape[-1]) for own in weights]).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [LAYERS, small.SKIPS])
def test_the_network_has_the_weights_of_the_formula(kind: str, layers: tuple[dict, ...]) -> None:
    _, normalization = normalized(kind, layers)
    rng = np.random.default_rng(0)
    for layer in normalization.layers:
        layer.observe(moments(rng, len(layer.bias)), 0.1)
        layer.gain[...] = rng.uniform(0.2, 2, len(layer.bias))
    normalization.fold()
    for layer in normalization.layers:
        found, learned = columns(layer.network.weights.values()), columns(layer.weights.values())
        free = learned - learned.mean(axis=0)
        if kind == "running-statistics":
            expected = free * layer.gain / layer.deviation
            np.testing.assert_allclose(
                layer.network.bias, layer.bias - layer.mean * layer.gain / layer.deviation, rtol=1e-5
            )
        else:
            expected = free * layer.gain / np.linalg.norm(free, axis=0)
            np.testing.assert_array_equal(layer.network.bias, layer.bias)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert np.abs(found.mean(axis=0)).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_derivatives_by_what_is_learned(kind: str) -> None:
    """Of a function that is linear in the network's weights and biases, with statistics that are held."""
    _, normalization = normalized(kind, small.SKIPS)
    rng = np.random.default_rng(1)
    for layer in normalization.layers:
        channels = len(layer.bias)
        layer.observe(moments(rng, channels), 0.1)
        layer.gain[...] = rng.uniform(0.5, 2, channels)
        layer.fold()
        slopes = {edge.weight: rng.normal(size=edge.shape).astype(np.float32) for edge in layer.edges}
        bias = rng.normal(size=channels).astype(np.float32)

        def value(layer: LayerNormalization = layer, slopes: dict = slopes, bias: NDArray[np.float32] = bias) -> float:
            layer.fold()
            own = [
                (slopes[edge.weight] * layer.network.weights[edge.name]).sum(dtype=np.float64) for edge in layer.edges
            ]
            return float(sum(own) + (bias * layer.network.bias).sum(dtype=np.float64))

        gain = layer.gain_gradient(slopes, bias)
        projected = {name: slope.copy() for name, slope in slopes.items()}
        layer.project([projected[edge.weight] for edge in layer.edges])
        assert gain is not None
        np.testing.assert_allclose(
            gain, [derivative(value, layer.gain, (c,)) for c in range(channels)], rtol=2e-2, atol=2e-3
        )
        for edge in layer.edges:
            for _ in range(6):
                at = tuple(rng.integers(0, size) for size in edge.shape)
                found = derivative(value, layer.weights[edge.name], at)
                np.testing.assert_allclose(projected[edge.weight][at], found, rtol=2e-2, atol=5e-3)


def derivative(
    value: Callable[[], float], array: NDArray[np.float32], at: tuple[int, ...], step: float = 2e-2
) -> float:
    """Central difference by one element."""
    before = array[at].copy()
    array[at] = before + step
    above = value()
    array[at] = before - step
    below = value()
    array[at] = before
    value()
    return (above - below) / (2 * step)


@pytest.mark.parametrize("kind", KINDS)
def test_before_training_it_is_the_network_without_the_mean_of_its_weights(kind: str) -> None:
    """So that a run from given weights, or one without calibration, starts where it is told to."""
    model = Model(small.make(*LAYERS), small.make_dataset(size=6))
    given = small.copied(small.random_parameters(model, 3))
    _, normalization = normalized(kind)
    for layer in normalization.layers:
        for edge in layer.edges:
            weights = given[edge.weight]
            free = weights - columns([weights]).mean(axis=0)
            np.testing.assert_allclose(layer.network.weights[edge.name], free, atol=1e-6)
        np.testing.assert_array_equal(layer.network.bias, given[f"{layer.name}/bias"])


def test_the_first_observation_keeps_the_network() -> None:
    _, normalization = normalized("running-statistics")
    before = small.copied(normalization.parameters)
    rng = np.random.default_rng(2)
    for layer in normalization.layers:
        layer.observe(moments(rng, len(layer.bias)), 0.1)
    normalization.fold()
    for name, array in normalization.parameters.leaves().items():
        np.testing.assert_allclose(array, before[name], atol=1e-5)


def test_statistics_are_those_of_the_drive_and_follow_at_their_rate() -> None:
    """Potentials are those of the network; the statistics are those of the drive by the learned weights."""
    _, normalization = normalized("running-statistics")
    layer = normalization.layers[0]
    rng = np.random.default_rng(4)
    drives = rng.normal(0.7, 0.3, size=(500, len(layer.bias)))
    layer.gain[...] = 1.7
    layer.mean[...], layer.deviation[...] = 0.2, 0.6
    layer.fold()
    potentials = layer.bias + layer.gain * (drives - layer.mean) / layer.deviation
    layer.observe(Moments(potentials.mean(axis=0), potentials.var(axis=0)), 0.25)
    np.testing.assert_allclose(layer.mean, 0.2 + 0.25 * (drives.mean(axis=0) - 0.2), rtol=1e-4)
    square = 0.36 + 0.25 * (drives.var(axis=0) + EPSILON - 0.36)
    np.testing.assert_allclose(layer.deviation, np.sqrt(square), rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("layers", "number"), [(LAYERS, 1), (small.SKIPS, 2)])
def test_a_change_of_the_weights_keeps_the_mean_drive(kind: str, layers: tuple[dict, ...], number: int) -> None:
    _, normalization = normalized(kind, layers, optimizer__centering=True)
    layer = normalization.layers[number]
    rng = np.random.default_rng(5)
    layer.observe(moments(rng, len(layer.bias)), 0.1)
    layer.fold()
    means = {edge.name: rng.uniform(0.05, 0.3, edge.fan_in).astype(np.float32) for edge in layer.edges}
    layer_shape = {edge.name: edge.shape[:-1] for edge in layer.edges}

    def drive() -> Reals:
        own = [
            np.einsum("yxio,yxi->o", layer.network.weights[name].astype(np.float64), mean.reshape(layer_shape[name]))
            for name, mean in means.items()
        ]
        return np.sum(own, axis=0) + layer.network.bias

    before, seen = drive(), layer.seen(means)
    old = {name: weights.copy() for name, weights in layer.weights.items()}
    for name, weights in layer.weights.items():
        weights += rng.normal(0, 1e-3, weights.shape).astype(np.float32)
        layer.keep_mean_drive(bias_compensation(weights, old[name], seen[name]))
    layer.fold()
    np.testing.assert_allclose(drive(), before, atol=2e-4)
    assert np.abs(columns([layer.weights[name] - own for name, own in old.items()])).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_drives_have_the_wanted_deviation_and_activity_at_the_start(kind: str) -> None:
    layers = ({**small.POOLED, "channels": 8}, {**small.CONV, "channels": 8}, {"kind": "dense", "channels": 16})
    config = small.make(
        *layers,
        model__normalization=kind,
        model__drive_deviation=0.4,
        model__activity=0.12,
        dynamics__feedback_gain=2**-7,
    )
    with small.learning(config, small.make_dataset(samples=24)) as (learner, pipeline):
        start(learner.model, config, learner.normalization, learner.thread_pool, pipeline, 24)
        ids = np.arange(24)
        batch = MiniBatch(0, 0, pipeline.plain(learner_data(pipeline), ids), ids, learner_data(pipeline).labels)
        _, result = learner.estimate(batch)
    for activity in result.activity:
        assert activity.mean() == pytest.approx(0.12, rel=0.25)
    for own in result.potentials:
        assert np.sqrt(own.variance).mean() == pytest.approx(0.4, rel=0.2)


def learner_data(pipeline):
    """The training images that a pipeline presents."""
    return pipeline.dataset.train


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_restored_statistics_do_not_change_a_bit(kind: str) -> None:
    """Two mini-batches: on one thread, on three, and the second by a learner that took the state of the first up."""
    config = small.make(
        *LAYERS, model__normalization=kind, dynamics__feedback_gain=0.25, optimizer__centering=True, data__batch_size=8,
    )  # fmt: skip
    dataset = small.make_dataset(size=6)
    model = Model(config, dataset)

    def run(threads: int, batches: Iterable[int], state: tuple | None = None) -> tuple[dict, dict, ParameterTree]:
        tree = small.random_parameters(model, 2)
        with small.learning(config, dataset, threads=threads, parameters=tree) as (learner, pipeline):
            if state is not None:
                learned, statistics = state
                for name, array in learner.optimizer.parameters.items():
                    array[...] = learned[name]
                learner.normalization.restore(statistics)
            for number in batches:
                ids = np.arange(8) + 8 * number
                images = pipeline.train(0, ids)
                learner.optimizer.steps = 0  # no moments: they are the optimizer's to keep
                for moment in learner.optimizer.state().values():
                    moment[...] = 0
                learner.batch(MiniBatch(0, number, images, ids, dataset.train.labels[ids]), 1.0)
            copies = {name: array.copy() for name, array in learner.optimizer.parameters.items()}
            return copies, {k: v.copy() for k, v in learner.normalization.statistics().items()}, tree

    one, three = run(1, (0, 1)), run(3, (0, 1))
    first = run(2, (0,))
    again = run(1, (1,), first[:2])
    for other in (three, again):
        for found, expected in zip(other[:2], one[:2], strict=True):
            for name, array in expected.items():
                assert found[name].tobytes() == array.tobytes(), name
        for name, array in one[2].leaves().items():
            assert other[2].leaves()[name].tobytes() == array.tobytes(), name
