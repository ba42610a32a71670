"""The activity penalty: its gradient against naive loops and finite differences, and what it brings about."""

from typing import Any

import numpy as np
import pytest
import small
from gradient_cases import STACKS, WINDOW, naive, random_rates, stack, sum_cells
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesim.ep.config.sections import StabilitySettings
from spikesim.ep.gradients.activity_penalty import add_penalty_gradients, moved_penalties, penalty_sums
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import INPUT_BITS, ONE

SAMPLES = 5
LAYERS = (small.POOLED, small.CONV, small.DENSE)


def shares(layers: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0, 1), min_size=layers, max_size=layers)


@given(activity=shares(3), errors=shares(3), penalties=shares(3))
def test_a_price_rises_where_a_layer_is_too_active_and_falls_to_zero_elsewhere(
    activity: list[float], errors: list[float], penalties: list[float]
) -> None:
    stability = StabilitySettings(target_rate=0.2, penalty_rate=0.1)
    found = moved_penalties(stability, np.array(penalties), np.array(activity), np.array(errors))
    for new, old, active, error in zip(found, penalties, activity, errors, strict=True):
        assert new == pytest.approx(max(old + 0.1 * error * min(active / 0.2 - 1, 1), 0.0), abs=1e-12)
    assert not moved_penalties(StabilitySettings(), np.array(penalties), np.array(activity), np.array(errors)).any()


def test_prices_bring_layers_that_answer_to_them_to_the_target() -> None:
    stability = StabilitySettings(target_rate=0.05, penalty_rate=0.02)
    idle = np.array([0.2, 0.08, 0.03])  # activity at a price of zero
    errors, penalties = np.array([1e-4, 2e-3, 1e-2]), np.zeros(3)
    for _ in range(2000):
        activity = idle / (1 + penalties / errors)
        penalties = moved_penalties(stability, penalties, activity, errors)
    np.testing.assert_allclose(activity, [0.05, 0.05, 0.03], rtol=0.01)


def zeros(model: Model) -> dict[str, Array]:
    found: dict[str, Array] = {}
    for layer, name in enumerate(model.names):
        found[f"{name}/weight"] = np.zeros(model.graph.edges[layer].shape, np.float32)
        found[f"{name}/bias"] = np.zeros(model.graph.edges[layer].shape[-1], np.float32)
    return found


@pytest.mark.parametrize("name", STACKS)
def test_the_gradient_agrees_with_naive_loops(name: str) -> None:
    config, model = stack(name)
    images = np.random.default_rng(9).integers(-(2**15), 2**15, (SAMPLES, 7, 5, 2)).astype(np.int16)
    free, followed = random_rates(model, 0), random_rates(model, 1) % (WINDOW + 1)
    penalties = np.arange(model.layers) * 0.3  # nothing for the lowest, and 0.0 for a single layer
    penalties[-1] += 0.1
    found = {key: array + np.float32(2.0) for key, array in zeros(model).items()}
    with ThreadPool(model, config, 2) as thread_pool:
        sums = penalty_sums(model, thread_pool, images, free, followed, penalties, Buffers())
    add_penalty_gradients(model, sums, SAMPLES, WINDOW, penalties, found)
    for layer, own in enumerate(model.names):
        share = model.layer_maps(layer, followed).astype(np.int64)
        if layer:
            pre, unit = model.layer_maps(layer - 1, free).astype(np.int64), float(ONE * WINDOW)
            if model.graph.edges[layer].pooled:
                pre, unit = sum_cells(pre), 4 * unit
        else:
            pre, unit = images.astype(np.int64), float(2**INPUT_BITS)
        scale = penalties[layer] / (WINDOW * SAMPLES)
        weight = 2.0 + naive(model, layer, pre, share) / unit * scale
        np.testing.assert_allclose(found[f"{own}/weight"], weight, rtol=1e-5)
        np.testing.assert_allclose(found[f"{own}/bias"], 2.0 + share.sum(axis=(0, 1, 2)) * scale, rtol=1e-5)


def settle(model: Model, config: Any, parameters: ParameterTree, images: NDArray[np.int16]) -> ph.Workspace:
    """The end of a free phase without noise."""
    model.set_parameters(parameters, 1.0)
    workspace = ph.Workspace(model, config.dynamics, len(images), 0, followed=True)
    workspace.rest(images, np.arange(len(images)))
    workspace.free(len(images), 0, np.zeros(1, np.uint8))
    return workspace


def test_the_gradient_is_that_of_the_activity() -> None:
    """One layer at its fixed point: sum of its rates, weighted with the price, against central differences."""
    config = small.make(
        small.CONV, dynamics__inference="mean-field", dynamics__leak=0, dynamics__steps_free=4, dynamics__window_free=2
    )
    dataset = small.make_dataset()
    model, price, step = Model(config, dataset), 0.7, 2.0**-10
    images = np.random.default_rng(1).integers(-(2**13), 2**13, (SAMPLES, 6, 6, 1)).astype(np.int16)
    parameters = small.random_parameters(model, 3)
    workspace = settle(model, config, parameters, images)
    free = np.empty((SAMPLES, model.compiled.sizes["state"]), np.int32)
    workspace.window_sums(SAMPLES, free)
    found = zeros(model)
    with ThreadPool(model, config, 1) as thread_pool:
        followed = np.empty_like(free)
        workspace.followed_steps(SAMPLES, followed)
        sums = penalty_sums(model, thread_pool, images, free, followed, np.array([price]), Buffers())
    add_penalty_gradients(model, sums, SAMPLES, 2, np.array([price]), found)

    def cost() -> float:
        sums = np.empty_like(free)
        settle(model, config, parameters, images).window_sums(SAMPLES, sums)
        return price * float(sums.sum(dtype=np.int64)) / (2 * ONE * SAMPLES)

    for name, array in (("weight", parameters.weights(model.graph)[0]), ("bias", parameters.biases()[0])):
        gradient = found[f"{model.names[0]}/{name}"]
        for at in list(np.ndindex(array.shape))[::5]:
            before, ends = array[at], []
            for sign in (1, -1):
                array[at] = before + sign * step
                ends.append(cost())
            array[at] = before
            assert gradient[at] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.02, abs=0.1)


def test_a_stopped_team_ends_at_once() -> None:
    config = small.make(*LAYERS)
    model = Model(config, small.make_dataset())
    sums = np.zeros((SAMPLES, model.compiled.sizes["state"]), np.int32)
    with ThreadPool(model, config, 1, np.ones(1, np.uint8)) as thread_pool, pytest.raises(Stopped):
        penalty_sums(model, thread_pool, np.zeros((SAMPLES, 6, 6, 1), np.int16), sums, sums, np.ones(3), Buffers())


@pytest.mark.parametrize("phase", ["linear-response", "clamped-spikes", "live-spikes"])
def test_training_ends_at_the_target_rate(phase: str) -> None:
    """Layers that start twice as active as they should be, whatever the kind of nudged phase."""
    kind = {"dynamics__nudged_phase": phase}
    if phase != "live-spikes":
        kind["dynamics__rule"] = "postsynaptic"
    config = small.make(
        *LAYERS, stability__target_rate=0.15, stability__penalty_rate=0.5, stability__homeostasis=0.0,
        error_signals__kind="local", error_signals__grid=2, data__batch_size=24, optimizer__learning_rate=0.02,
        dynamics__steps_free=16, dynamics__window_free=8, dynamics__steps_nudged=4, dynamics__window_nudged=2,
        **kind,
    )  # fmt: skip
    dataset = small.make_dataset()
    start = small.random_parameters(Model(config, dataset), 2)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        ids = np.arange(24)
        images, labels = pipeline.train(0, ids), dataset.train.labels[ids]
        activity, correct = [], []
        for number in range(160):
            result = learner.batch(MiniBatch(number, 0, images, ids, labels), 1.0)
            activity.append([own.mean() for own in result.activity])
            correct.append(result.correct)
    assert min(activity[0]) > 0.3, "where it would stay"
    assert max(np.mean(activity[-40:], axis=0)) < 0.16
    assert np.mean(correct[-40:]) > 12, "of 24 and three classes"
