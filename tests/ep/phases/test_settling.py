"""Phases that end when the answer or the network has settled, sample by sample, against the slow reference."""

import numpy as np
import pytest
import reference
import small
from numpy.typing import NDArray
from twin_phases import (
    IDS,
    LABELS,
    RUN,
    SAMPLES,
    Reals,
    assert_phase,
    images,
    prepare,
    settled,
    slow_nudge,
    slow_twin,
    sums_of,
)

from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.numerics.fixed_point import ONE
from spikesim.numerics.portable_math import softmax_and_log_sum


def slow_answers(model: Model, sums: NDArray[np.int64], steps: int) -> Reals:
    """The read-out's probabilities for sums of p over so many steps of the top layer, (n, neurons)."""
    features, cells = sums, 4 if model.graph.readout_pooled else 1
    if model.graph.readout_pooled:
        features = reference.cells(sums, model.top.shape).sum(axis=1).reshape(len(sums), -1)
    weights, exponent = reference.quantize(small.random_parameters(model, 4).readout.weight)
    logits = (features @ weights) / (steps * cells * ONE * 2.0**exponent) + model.packed.bias[-1]
    return softmax_and_log_sum(logits)[0]


@pytest.mark.parametrize(("inference", "order"), [("stochastic", "upwards"), ("mean-field", "synchronous")])
def test_each_sample_rests_when_its_answer_has_settled(inference: str, order: str) -> None:
    model, config, workspace = prepare(dynamics__inference=inference, dynamics__window_free=6, dynamics__order=order)
    twin, changes = slow_twin(model, config), []

    def settled() -> NDArray[np.bool_]:
        first, second = (slow_answers(model, half, 3) for half in twin.window[-1])
        changes.append(np.abs(first - second).sum(axis=1) / 2)  # (n,)
        return changes[-1] <= tolerance

    run = {"window": 6, "stream": 5, "onset": config.dynamics.onset(2), "order": order, "settled": settled}
    tolerance = 0.0
    twin.run(20, **run)
    tolerance = float(np.median(changes[1]))  # at the second look about half of the samples may rest
    twin = slow_twin(model, config)
    twin.run(20, **run)
    assert len(set(twin.steps)) > 1, "the samples should settle at different times"
    _, _, workspace = prepare(
        dynamics__inference=inference, dynamics__window_free=6, dynamics__order=order, dynamics__tolerance=tolerance
    )
    counts = workspace.free(workspace.rest(images(), IDS), 5, RUN)
    assert_phase(workspace, twin, [half.sum(axis=0) for half in twin.window])
    assert counts.steps == twin.steps.sum()
    np.testing.assert_array_equal(counts.residual, twin.residual.sum(axis=0))
    np.testing.assert_array_equal(counts.spikes, twin.spike_counts.sum(axis=0))
    np.testing.assert_array_equal(counts.energy, twin.energy.sum(axis=0))


@pytest.mark.parametrize("window", [2, 8, 14])
def test_a_tolerance_that_is_never_met_changes_nothing(window: int) -> None:
    plain, watched = (
        ph.Workspace(model, config.dynamics, SAMPLES, config.seed, followed=True)
        for tolerance in (None, 1e-300)
        for model, config, _ in (prepare(dynamics__window_free=window, dynamics__tolerance=tolerance),)
    )
    counts = [workspace.free(workspace.rest(images(), IDS), 5, RUN) for workspace in (plain, watched)]
    for name, one, other in zip(PhaseCounts._fields, *counts, strict=True):
        np.testing.assert_array_equal(one, other, name)
    np.testing.assert_array_equal(plain.state.membrane, watched.state.membrane)
    followed = np.zeros((2, SAMPLES, plain.state.window.shape[2]), np.int32)
    for workspace, out in zip((plain, watched), followed, strict=True):
        workspace.followed_steps(SAMPLES, out)
    np.testing.assert_array_equal(sums_of(plain), sums_of(watched))
    np.testing.assert_array_equal(*followed)
    assert 0 < followed.max() <= window


def test_a_squared_error_settles_too() -> None:
    _, _, workspace = prepare(
        dynamics__inference="mean-field", dynamics__cost="squared-error", dynamics__tolerance=0.01,
        dynamics__window_free=4,
    )  # fmt: skip
    counts = settled(workspace)
    assert SAMPLES * 5 <= counts.steps < SAMPLES * 20 and counts.steps % 2 == 0


LIVE = {"dynamics__nudged_phase": "live-spikes", "dynamics__steps_nudged": 21, "dynamics__window_nudged": 6}


def ends(sums: list[Reals], steps: int, tolerance: float) -> list[int]:
    """Steps of each sample until the residual of every layer is within a tolerance.

    sums: by layer, what each step adds to the window, (steps, samples, neurons), 1.0 = a certain spike; windows of six
    steps, looked at every third one.
    """
    looks = range(6, steps + 1, 3)
    halves = [[own[t - 6 : t].reshape(2, 3, SAMPLES, -1).mean(axis=1) for own in sums] for t in looks]
    residual = [np.max([abs(b - a).mean(axis=1) for a, b in by_layer], axis=0) for by_layer in halves]  # (looks, n)
    return [
        next((t for t, own in zip(looks, residual, strict=True) if own[sample] <= tolerance), steps)
        for sample in range(SAMPLES)
    ]


@pytest.mark.parametrize("contrast", ["probability", "spikes"])
@pytest.mark.parametrize("inference", ["stochastic", "mean-field"])
def test_each_sample_ends_its_nudged_phase_when_the_network_has_settled(inference: str, contrast: str) -> None:
    settings = {**LIVE, "dynamics__inference": inference, "dynamics__contrast": contrast, "dynamics__order": "parity"}
    model, config, workspace = prepare(**settings)
    twin = slow_twin(model, config)
    settled(workspace)
    twin.run(20, window=8, stream=5, onset=config.dynamics.onset(2), order="parity")
    steps: list[list[Reals]] = []
    potentials = []
    for t in range(21):
        twin.populations[-1].nudge = slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, order="parity")
        if config.dynamics.contrast_spikes:
            steps.append([z.astype(float) for z in twin.spikes])
        else:
            steps.append([np.clip(v, 0, ONE - 1) / ONE for v in twin.potential])
        potentials.append([v.copy() for v in twin.potential])
    sums = [np.array(layer) for layer in zip(*steps, strict=True)]
    found = [ends(sums, 21, tolerance) for tolerance in np.geomspace(1e-3, 0.3, 60)]
    wanted = max(found, key=lambda own: (len(set(own)), sum(own)))
    tolerance = float(np.geomspace(1e-3, 0.3, 60)[found.index(wanted)])
    assert len(set(wanted)) > 1, "the samples should settle at different times"

    _, _, watched = prepare(**settings, dynamics__residual_tolerance_nudged=tolerance)
    settled(watched)
    counts = watched.nudged(SAMPLES, 6, LABELS, np.array([1.5]), RUN)
    assert counts.steps == sum(wanted)
    windows = sums_of(watched)
    for layer, population in enumerate(model.graph.populations):
        at = model.state_slice(layer)
        own = population.from_state(windows[:, at]).reshape(SAMPLES, -1)
        last = population.from_state(watched.state.membrane[:, at]).reshape(SAMPLES, -1)
        for sample, end in enumerate(wanted):
            np.testing.assert_array_equal(own[sample] / ONE, sums[layer][end - 6 : end, sample].sum(axis=0))
            np.testing.assert_array_equal(last[sample], potentials[end - 1][layer][sample])
    workspace.nudged(SAMPLES, 6, LABELS, np.array([1.5]), RUN)
    assert (sums_of(workspace) != windows).any()


@pytest.mark.parametrize("contrast", ["probability", "spikes"])
def test_a_nudged_phase_that_never_settles_is_the_whole_one(contrast: str) -> None:
    both = []
    for tolerance in (None, 1e-300):
        _, _, workspace = prepare(**LIVE, dynamics__contrast=contrast, dynamics__residual_tolerance_nudged=tolerance)
        settled(workspace)
        both.append((workspace.nudged(SAMPLES, 6, LABELS, np.array([1.5]), RUN), sums_of(workspace)))
    for name, one, other in zip(PhaseCounts._fields, both[0][0], both[1][0], strict=True):
        np.testing.assert_array_equal(one, other, name)
    np.testing.assert_array_equal(both[0][1], both[1][1])


def test_a_free_phase_may_wait_for_the_network_and_for_the_answer() -> None:
    """With both tolerances a sample ends when the later of the two is met."""
    steps = {}
    for name, tolerances in {
        "answer": {"tolerance": 0.02},
        "network": {"residual_tolerance": 2e-4},
        "both": {"tolerance": 0.02, "residual_tolerance": 2e-4},
    }.items():
        _, _, workspace = prepare(
            dynamics__inference="mean-field", dynamics__window_free=4, dynamics__steps_free=40, dynamics__leak=2,
            **{f"dynamics__{key}": value for key, value in tolerances.items()},
        )  # fmt: skip
        workspace.free(workspace.rest(images(), IDS), 5, RUN)
        steps[name] = workspace.group.engine.counts.steps[:SAMPLES].copy()
        model = workspace.model
        if name != "answer":
            window = workspace.state.window
            for layer, neurons in enumerate(model.neurons):
                own = window[:, :, model.state_slice(layer)].astype(np.int64)
                assert (abs(own[1] - own[0]).sum(axis=1) / (2 * ONE * neurons) <= 2e-4).all()
    np.testing.assert_array_equal(steps["both"], np.maximum(steps["answer"], steps["network"]))
    assert (steps["network"] < 40).all() and (steps["network"] != steps["answer"]).any()
