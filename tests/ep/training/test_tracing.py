"""Phases followed step by step end where the engine's own phases end, whatever divides the samples."""

from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray

from spikesim.ep.config.random_streams import STREAM_FREE, stream_of
from spikesim.ep.evaluation.evaluate import evaluate
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch, Samples
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import RATE_BINS, hopfield
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.tracing import trace
from spikesim.numerics.fixed_point import ONE, P_MAX

LAYERS = (small.POOLED, {**small.CONV, "channels": 17}, small.DENSE)
SAMPLES, STEPS, NUDGED = 7, 12, 6
MODES: dict[str, dict[str, Any]] = {
    "live": {},
    "held, graded": {"nudged_phase": "linear-response", "rule": "postsynaptic", "nudging": "centered"},
    "deviation": {"nudged_phase": "linear-response", "rule": "postsynaptic"},
    "held, spikes": {"nudged_phase": "clamped-spikes", "rule": "postsynaptic"},
    "one-sided": {"nudging": "one-sided"},
    "independent": {"noise": "independent"},
    "stratified, upwards": {"firing": "stratified", "order": "upwards", "steps_onset": 1},
    "mean field": {"inference": "mean-field"},
    "feedback gain, heads": {"feedback_gain": 0.5, "error_signals__kind": "local"},
    "teacher": {"error_signals__kind": "kd"},
}


def follow(
    mode: str, *, threads: int = 1, group: int | None = None, **more: Any
) -> tuple[dict[str, NDArray[Any]], Learner, InputPipeline, Any]:
    named = {key if "__" in key else f"dynamics__{key}": value for key, value in {**MODES[mode], **more}.items()}
    lengths = {"dynamics__steps_free": STEPS, "dynamics__window_free": 4, "dynamics__steps_nudged": NUDGED}
    config = small.make(*LAYERS, dynamics__window_nudged=4, **{**lengths, **named})
    dataset = small.make_dataset(samples=SAMPLES)
    start = small.random_parameters(Model(config, dataset), 2)
    targets = np.full((SAMPLES, 3), 1 / 3) if mode == "teacher" else None
    with small.learning(config, dataset, threads=threads, parameters=start, soft_targets=targets) as (learner, shown):
        if group is not None:
            learner.thread_pool.group = group
        ids = np.arange(SAMPLES)
        images, labels = shown.plain(dataset.train, ids), dataset.train.labels[ids]
        rows = trace(learner, 3, Samples(images, ids, labels, targets), 0.5)
        number = next(batch for batch in range(9) if small.sign(learner, 3, batch) > 0)  # as traces have it
        _, result = learner.estimate(MiniBatch(3, number, images, ids, labels), 0.5)
        return rows, learner, shown, result


@pytest.mark.parametrize("mode", MODES)
def test_the_last_step_is_the_end_of_the_phase(mode: str) -> None:
    rows, learner, _, result = follow(mode)
    dynamics = learner.config.dynamics
    both = mode not in ("one-sided", "deviation")
    phases = (ph.FREE, ph.PLUS, ph.MINUS) if both else (ph.FREE, ph.PLUS)
    lengths = [STEPS, NUDGED, NUDGED][: len(phases)]
    np.testing.assert_array_equal(rows["phase"], np.repeat(phases, lengths))
    np.testing.assert_array_equal(rows["step"], np.concatenate([np.arange(1, n + 1) for n in lengths]))
    assert set(map(len, rows.values())) == {sum(lengths)}
    for phase, length in zip(phases, lengths, strict=True):
        own = {name: values[rows["phase"] == phase] for name, values in rows.items()}
        counts = result.counts[phase]
        assert own["hopfield"][-1] == hopfield(counts.energy, dynamics.feedback_gain, (1, 2, 3)) / SAMPLES
        expected = counts.mean_residual(4)
        np.testing.assert_allclose(own["residual"][-1], expected, rtol=1e-12)
        assert (expected > 0).any() or mode in ("held, graded", "deviation")
        assert np.isnan(own["residual"][:3]).all() and not np.isnan(own["residual"][3:]).any()
        assert own["activity"].shape == (length, 3) and (own["activity"][-1] > 0).all()
    nudged = rows["hopfield"][rows["phase"] == ph.PLUS]
    assert len(set(nudged)) > 1, "a nudge has an effect"


def test_activity_is_the_mean_firing_probability_after_each_step() -> None:
    rows, learner, shown, _ = follow("live")
    workspace = ph.Workspace(learner.model, learner.config.dynamics, SAMPLES, learner.config.seed)
    ids, stream = np.arange(SAMPLES), stream_of(3, STREAM_FREE)
    images = shown.plain(small.make_dataset(samples=SAMPLES).train, ids)
    for step in (1, 5, STEPS):
        n = workspace.rest(images, ids)
        workspace.free(n, stream, np.zeros(1, np.uint8), steps=step)
        for layer, neurons in enumerate(learner.model.neurons):
            p = np.clip(workspace.state.membrane[:, learner.model.state_slice(layer)], 0, P_MAX)
            assert rows["activity"][step - 1, layer] == pytest.approx(p.sum() / (SAMPLES * neurons * ONE), rel=1e-12)


@pytest.mark.parametrize("mode", ["held, graded", "teacher"])
def test_threads_and_groups_do_not_matter(mode: str) -> None:
    expected, *_ = follow(mode)
    for threads, group in ((1, 1), (2, 3)):
        found, *_ = follow(mode, threads=threads, group=group)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_following_changes_nothing() -> None:
    _, learner, _, traced = follow("live")
    config, dataset = learner.config, small.make_dataset(samples=SAMPLES)
    start = small.random_parameters(Model(config, dataset), 2)
    with small.learning(config, dataset, parameters=start) as (other, shown):
        ids = np.arange(SAMPLES)
        _, plain = other.estimate(MiniBatch(3, 0, shown.plain(dataset.train, ids), ids, dataset.train.labels[ids]), 0.5)
    assert plain.loss_sum == traced.loss_sum
    np.testing.assert_array_equal(plain.rate_difference, traced.rate_difference)


def test_a_free_phase_that_may_end_early_is_followed_at_full_length() -> None:
    rows, *_ = follow("live", tolerance=0.9)
    assert (rows["phase"] == ph.FREE).sum() == STEPS


@pytest.mark.parametrize("group", [None, 3])
def test_rates_of_a_test_are_counted_by_bins(group: int | None) -> None:
    config = small.make(*LAYERS, dynamics__steps_free=STEPS, dynamics__window_free=6)
    dataset = small.make_dataset(samples=SAMPLES)
    start = small.random_parameters(Model(config, dataset), 2, bias=0.02, gain=2.0)
    with small.learning(config, dataset, parameters=start) as (learner, shown):
        if group is not None:
            learner.thread_pool.group = group
        learner.model.set_parameters(start)
        found = evaluate(learner.thread_pool, shown, dataset.test, SAMPLES, 5)
        workspace = ph.Workspace(learner.model, config.dynamics, SAMPLES, config.seed)
        n = workspace.rest(shown.plain(dataset.test, np.arange(SAMPLES)), np.arange(SAMPLES))
        workspace.free(n, 5, learner.thread_pool.stop)
        sums = workspace.state.window.sum(axis=0)
    expected = np.zeros((3, RATE_BINS), np.int64)
    for layer, population in enumerate(learner.model.graph.populations):
        height, width, channels = population.shape
        own = sums[:, learner.model.state_slice(layer)]
        totals = np.stack([population.from_state(row)[..., :channels] for row in own]).astype(np.int64)
        assert totals.shape == (SAMPLES, height, width, channels)
        np.add.at(expected[layer], -(-totals * 32 // (6 * ONE)).ravel(), 1)
    np.testing.assert_array_equal(found.rates, expected)
    assert (expected > 0).any(axis=0).sum() > 10 and (expected[:, 0] > 0).any()
