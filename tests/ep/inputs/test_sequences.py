"""Samples of different lengths: a sequence with others behind its end is what it is by itself."""

from typing import Any

import numpy as np
import pytest
import reference
import small
from numpy.typing import NDArray

from spikesim.datasets import Dataset, SeriesSet
from spikesim.datasets.samples.model import Augmentation
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradcheck.mean_field import Inputs, MeanField
from spikesim.ep.inputs.encoding import Sequences
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learning.learner import BatchResult
from spikesim.errors import InputError

LENGTHS = (3, 11, 4, 7, 8)
OVER_TIME: dict[str, Any] = {"kind": "conv", "channels": 5, "kernel": [1, 3], "padding": [0, 1]}
LAYERS: tuple[dict[str, Any], ...] = (
    OVER_TIME,
    {**OVER_TIME, "channels": 18, "stride": 2},
    {**OVER_TIME, "channels": 4, "kernel": [1, 4], "padding": [0, 2], "from": ["conv2", "conv1"]},
)
LAYERS = (*LAYERS[:2], {**LAYERS[2], "from": ["conv2"]}, {**OVER_TIME, "channels": 3, "kernel": [1, 1], "padding": 0})
GRADED = {"dynamics__nudged_phase": "linear-response", "dynamics__rule": "postsynaptic", "dynamics__steps_nudged": 2}
WAYS: dict[str, dict[str, Any]] = {
    "linear response": GRADED,
    "linear response, read-out alone": {**GRADED, "error_signals__kind": "none"},
    "linear response, maximum": {**GRADED, "model__global_pooling": "maximum"},
    "linear response, positions": {**GRADED, "model__global_pooling": "none"},
    "clamped spikes": {"dynamics__nudged_phase": "clamped-spikes", "dynamics__rule": "postsynaptic"},
    "live spikes": {},
    "stratified, upwards": {"dynamics__firing": "stratified", "dynamics__order": "upwards"},
    "mean field": {"dynamics__inference": "mean-field"},
}


def dataset(lengths: tuple[int, ...], longest: int, first: int = 0) -> Dataset:
    """Series of noise; each has its own numbers, whatever the others are."""
    values = [np.random.default_rng(first + i).normal(size=(n, 2)) for i, n in enumerate(lengths)]
    own = SeriesSet(
        np.concatenate(values).astype(np.float32),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        (first + np.arange(len(lengths))) % 3,
        longest,
    )
    return Dataset(
        name="noise",
        train=own,
        test=own,
        classes=3,
        class_names=("a", "b", "c"),
        mean=np.full(2, 0.1),
        std=np.full(2, 0.9),
        augmentation=Augmentation(crop=0, flip=False),
        source="memory",
    )


def estimate(
    data: Dataset, ids: NDArray[np.int64], parameters: ParameterTree | None = None, **settings: Any
) -> tuple[dict[str, NDArray[np.float32]], BatchResult, ParameterTree]:
    """Gradients of a mini-batch whose random numbers are those of samples `ids`."""
    given = {"error_signals__kind": "local", "dynamics__steps_free": 30, **settings}
    config = small.make(*LAYERS, **given)
    start = small.random_parameters(Model(config, data), 1, gain=1.2) if parameters is None else parameters
    with small.learning(config, data, parameters=start) as (learner, pipeline):
        rows = np.arange(len(ids))
        inputs = pipeline.plain(data.train, rows)
        assert isinstance(inputs, Sequences)
        gradients, result = learner.estimate(MiniBatch(0, 0, inputs, ids, data.train.labels))
    return gradients, result, start


@pytest.mark.parametrize("way", WAYS)
def test_a_sequence_in_a_longer_map_has_the_bits_that_it_has_alone(way: str) -> None:
    """Gradients, loss and every counter; with a read-out of all positions these are as many as the map has."""
    settings = WAYS[way]
    for number, length in enumerate(LENGTHS):
        alone, padded = (dataset((length,), longest, number) for longest in (length, max(LENGTHS)))
        ids = np.array([number])
        expected, single, parameters = estimate(alone, ids, **settings)
        if settings.get("model__global_pooling") == "none":
            found, result, _ = estimate(padded, ids, **settings)
            assert (result.counts[ph.FREE].updates == single.counts[ph.FREE].updates).all()
            continue
        found, result, _ = estimate(padded, ids, parameters, **settings)
        assert any(gradient.any() for gradient in expected.values())
        for name, gradient in expected.items():
            np.testing.assert_array_equal(found[name], gradient, err_msg=f"{name}, {length} frames")
        assert result.loss_sum == single.loss_sum
        for one, other in zip(result.counts, single.counts, strict=True):
            for name in one._fields:
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        np.testing.assert_array_equal(result.rate_difference, single.rate_difference)


@pytest.mark.parametrize("way", ["linear response", "live spikes"])
def test_sequences_of_a_mini_batch_do_not_know_of_each_other(way: str) -> None:
    """Sums over the mini-batch are those of its samples, whatever their lengths and groups."""
    whole, count = dataset(LENGTHS, max(LENGTHS)), len(LENGTHS)
    gradients, result, parameters = estimate(whole, np.arange(count), **WAYS[way])
    total = {name: np.zeros(gradient.shape) for name, gradient in gradients.items()}
    neurons = np.zeros(len(LAYERS), np.int64)
    for number, length in enumerate(LENGTHS):
        own, single, _ = estimate(dataset((length,), length, number), np.array([number]), parameters, **WAYS[way])
        for name, gradient in own.items():
            total[name] += gradient.astype(np.float64)
        neurons += single.counts[ph.FREE].neurons
        assert result.loss_sum[number] == single.loss_sum[0]
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, total[name] / count, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(result.counts[ph.FREE].neurons, neurons)
    channels = np.array([5, 18, 4, 3])
    expected = [[n, -(-n // 2), -(-n // 2) + 1, -(-n // 2) + 1] for n in LENGTHS]
    np.testing.assert_array_equal(neurons, np.sum(expected, axis=0) * channels)


@pytest.mark.parametrize("pooling", ["mean", "maximum"])
def test_the_mean_field_of_sequences_is_that_of_each_alone(pooling: str) -> None:
    """Fixed points and exact gradients in float64, with a gradient that finite differences confirm."""
    settings = {**GRADED, "model__global_pooling": pooling, "error_signals__kind": "local"}
    whole = dataset(LENGTHS, max(LENGTHS))
    config = small.make(*LAYERS, **settings)
    model = Model(config, whole)
    parameters = small.random_parameters(model, 1, gain=1.2)

    def prepared(data: Dataset) -> tuple[MeanField, Inputs]:
        own = Model(config, data)
        own.set_parameters(parameters)
        with small.learning(config, data, parameters=parameters) as (_, pipeline):
            given = pipeline.plain(data.train, np.arange(len(data.train)))
            assert isinstance(given, Sequences)
            inputs = Inputs.prepare(pipeline.mean(given), data.train.labels, 3, None, own.extents[given.lengths])
        return MeanField.from_model(own, [0.4] * 3 + [1.0]), inputs

    field, inputs = prepared(whole)
    rest = field.settle(inputs, tolerance=1e-13)
    found = ad.exact_gradient(field, inputs, rest, rule="postsynaptic", tolerance=1e-12)
    total = None
    for number, length in enumerate(LENGTHS):
        alone, own = prepared(dataset((length,), length, number))
        point = alone.settle(own, tolerance=1e-13)
        for both, one in zip(rest.rates, point.rates, strict=True):
            np.testing.assert_allclose(both[number : number + 1, :, : one.shape[2]], one, atol=1e-11)
            assert not both[number, :, one.shape[2] :].any()
        gradient = ad.exact_gradient(alone, own, point, rule="postsynaptic", tolerance=1e-12)
        total = gradient if total is None else total.plus(gradient)
    assert total is not None
    for one, other in zip([*found.weights, *found.biases], [*total.weights, *total.biases], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("steps", [11, 25])
def test_frames_are_shown_one_after_the_other_and_end_with_the_phase(steps: int) -> None:
    """Against a loop over steps and channels, with bits of a Philox block by eight channels."""
    data, each = dataset(LENGTHS, max(LENGTHS)), steps // max(LENGTHS)
    config = small.make(
        {"kind": "dense", "channels": 6},
        **{"data__encoding": "bernoulli", "dynamics__window_free": 4},
        dynamics__steps_free=steps,
    )
    model = Model(config, data)
    assert model.graph.image.shape == (1, 1, 4) and model.spike_input
    pipeline = InputPipeline(config, data, model.graph.image.shape)
    ids = np.array([1, 2, 4])
    found = pipeline.plain(data.train, ids, 9)
    assert isinstance(found, SpikeTrains) and found.steps == steps
    assert isinstance(data.train, SeriesSet)
    for row, sample in enumerate(ids):
        own = data.train.values[data.train.offsets[sample] : data.train.offsets[sample + 1]]
        z = (own - 0.1) / 0.9
        parts = np.concatenate([np.maximum(z, 0), np.maximum(-z, 0)], axis=1)
        for t in range(steps):
            frame = len(own) - (steps // each - t // each)
            bits = reference.philox(np.array([[0, t, sample, 0xFB000000 | 9]]), config.seed)[0].astype(np.int64)
            halves = np.stack([bits & 0xFFFF, bits >> 16], axis=1).ravel()
            expected = []
            if 0 <= frame < len(own):
                limit = np.minimum(np.minimum(np.rint(parts[frame] * 2**12), 2**15 - 1) * 16, 2**16 - 1)
                expected = np.flatnonzero(halves[:4] < limit).tolist()
            first, last = found.pointers[row, t : t + 2]
            assert found.neurons[first:last].tolist() == expected, (sample, t)
    part = pipeline.plain(data.train, ids[1:2], 9)
    assert isinstance(part, SpikeTrains)
    first, last = found.pointers[1, [0, -1]]
    np.testing.assert_array_equal(part.neurons, found.neurons[first:last])


def test_more_frames_than_steps_are_refused() -> None:
    config = small.make(
        {"kind": "dense", "channels": 6}, data__encoding="bernoulli", dynamics__steps_free=10, dynamics__window_free=4
    )
    with pytest.raises(InputError, match="steps_free is 10, and the longest series has 11 frames"):
        Model(config, dataset(LENGTHS, max(LENGTHS)))
