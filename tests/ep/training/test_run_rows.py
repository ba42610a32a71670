"""Rows of the run file against what a mini-batch gave."""

import math

import numpy as np
import pytest
import small

from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.training.run_rows import batch_row

LAYERS = (small.POOLED, small.CONV, small.DENSE)


@pytest.mark.parametrize("gain", [1.0, 0.125])
def test_energy_weighs_the_layers_by_the_feedback_gain(gain: float) -> None:
    config = small.make(*LAYERS, dynamics__feedback_gain=gain, dynamics__steps_free=8, dynamics__window_free=4)
    dataset = small.make_dataset(samples=6)
    with small.learning(config, dataset) as (learner, pipeline):
        ids = np.arange(6)
        result = learner.batch(MiniBatch(0, 0, pipeline.plain(dataset.train, ids), ids, dataset.train.labels), 1.0)
        row = batch_row(learner.model, config, result)
    for phase, value in zip(result.counts, row["hopfield"], strict=True):
        expected = sum(int(share) * gain**layer for layer, share in enumerate(phase.energy)) / 2 / 2.0**32 / 6
        assert value == pytest.approx(expected) and abs(value) < 1e3


def test_heads_stand_at_the_layers_that_they_read() -> None:
    config = small.make(*LAYERS, error_signals__kind="local", error_signals__layers=[2], dynamics__steps_free=20)
    dataset = small.make_dataset(samples=6)
    with small.learning(config, dataset) as (learner, pipeline):
        ids = np.arange(6)
        result = learner.batch(MiniBatch(0, 0, pipeline.plain(dataset.train, ids), ids, dataset.train.labels), 1.0)
        row = batch_row(learner.model, config, result)
    assert row["signal_strength"].tolist() == [0.0, 0.3, 1.0]
    assert not row["activity_penalty"].any(), "no target rate"
    assert math.isnan(row["head_loss"][0]) and row["head_loss"][1:].tolist() == result.head_loss.tolist()
    assert row["head_correct"].tolist() == [0, *result.head_correct]
    assert row["loss"] == pytest.approx(sum(result.loss_sum) / 6) and row["samples"] == 6
    assert row["loss"] != row["head_loss"][-1], "the head of the second layer answers, too"
