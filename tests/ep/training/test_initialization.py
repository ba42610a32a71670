"""A training run starts with the wanted activity and a spectral norm within its limit."""

import numpy as np
import pytest
import small

from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.training.calibration import calibrate
from spikesim.ep.training.initialization import CALIBRATED, start
from spikesim.ep.training.stability.spectral import free_rates, spectral_norms

LAYERS = ({**small.POOLED, "channels": 8}, {**small.CONV, "channels": 8})


@pytest.mark.parametrize("limit", [None, 0.2])
def test_activity_and_coupling_at_the_start(limit: float | None) -> None:
    settings = {"model__activity": 0.2, "model__calibration_samples": 8, "model__gain": 2.0}
    config = small.make(*LAYERS, **settings, stability__spectral_norm_limit=limit)
    dataset = small.make_dataset(size=8, samples=24)
    with small.learning(config, dataset) as (learner, pipeline):
        before = small.copied(learner.parameters)
        found = start(learner.model, config, learner.normalization, learner.thread_pool, pipeline, 24)
        after = small.copied(learner.parameters)
        ids = np.arange(8)
        _, result = learner.estimate(
            MiniBatch(0, 0, pipeline.plain(dataset.train, ids), ids, dataset.train.labels[ids])
        )
    assert [float(activity.mean()) for activity in result.activity] == pytest.approx([0.2, 0.2], abs=0.05)
    assert (after["conv1/weight"] == before["conv1/weight"]).all()
    if limit is None:
        assert found is None and (after["conv2/weight"] == before["conv2/weight"]).all()
    else:
        assert found is not None and found[1] <= limit, "the spectral norm of the last round"
        assert np.abs(after["conv2/weight"]).max() < np.abs(before["conv2/weight"]).max()


def test_an_activity_of_zero_leaves_everything_as_it_is() -> None:
    config = small.make(*LAYERS, model__activity=0.0, stability__spectral_norm_limit=0.01)
    dataset = small.make_dataset(size=8, samples=24)
    with small.learning(config, dataset) as (learner, pipeline):
        before = small.copied(learner.parameters)
        assert start(learner.model, config, learner.normalization, learner.thread_pool, pipeline, 24) is None
        for name, array in small.copied(learner.parameters).items():
            assert array.tobytes() == before[name].tobytes()


def test_a_network_that_stays_silent_from_rest_is_calmed() -> None:
    layers = ({**small.CONV, "channels": 16},) * 3
    settings = {"model__gain": 3.0, "model__activity": 0.1, "model__calibration_samples": 8}
    config = small.make(*layers, **settings, stability__spectral_norm_limit=0.9)
    dataset = small.make_dataset(size=8, samples=24)
    with small.learning(config, dataset) as (learner, pipeline):
        ids = np.arange(8)
        images = pipeline.plain(dataset.train, ids)
        calibrate(learner.model, config, learner.normalization, learner.thread_pool, images, ids)
        calibrated = free_rates(learner.thread_pool, images, ids, CALIBRATED)
        assert min(float(rates.mean()) for rates in calibrated) < 0.02, "bistable"
        start(learner.model, config, learner.normalization, learner.thread_pool, pipeline, 24)
        rates = free_rates(learner.thread_pool, images, ids, CALIBRATED)
        assert spectral_norms(learner.model, rates).max() < 0.95
    assert [float(own.mean()) for own in rates] == pytest.approx([0.1] * 3, abs=0.03)
