"""The read-out and its nudge against float64 algebra."""

from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray

from spikesim.ep import phases as ph
from spikesim.ep import readout as ro
from spikesim.ep.model import Model
from spikesim.errors import InputError
from spikesim.fixedpoint import ONE

Reals = NDArray[np.float64]

TOPS: dict[str, dict[str, Any]] = {
    "dense": {"kind": "dense", "channels": 21},
    "map": {"kind": "conv", "channels": 5},
    "pooled": {"kind": "conv", "channels": 18, "pool": True},
}
COSTS = ("cross-entropy", "squared-error")


def make_model(top: str, cost: str = "cross-entropy", *, gain: float = 1.0, **settings: Any) -> tuple[Model, Reals]:
    """A model whose last layer is 7x5 if it is a map, and the read-out's weights as they are quantised."""
    config = small.make(TOPS[top], dynamics__cost=cost, **settings)
    model = Model(config, small.make_dataset(size=(7, 5), classes=4))
    parameters = small.random_parameters(model, 3)
    parameters.readout_weight *= np.float32(gain)
    model.load(parameters, config.dynamics.beta)
    scale = 2.0**model.readout.exponent
    return model, np.rint(parameters.readout_weight.astype(np.float64) * scale) / scale


def features_of(model: Model, probabilities: Reals) -> Reals:
    """What the read-out sees of p (n, H, W, C): the mean over the cells of the pool; (n, features)."""
    height, width, channels = model.top.shape
    if model.stack.pooled[-1]:
        cells = probabilities[:, : height // 2 * 2, : width // 2 * 2]
        probabilities = cells.reshape(-1, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return probabilities.reshape(len(probabilities), -1)


def spread(model: Model, push: Reals) -> Reals:
    """The adjoint of `features_of`: (n, features) to (n, H, W, C)."""
    height, width, channels = model.top.shape
    if not model.stack.pooled[-1]:
        return push.reshape(-1, height, width, channels)
    maps = np.zeros((len(push), height, width, channels))
    coarse = push.reshape(-1, height // 2, width // 2, channels) / 4
    maps[:, : height // 2 * 2, : width // 2 * 2] = coarse.repeat(2, axis=1).repeat(2, axis=2)
    return maps


def errors_of(model: Model, weights: Reals, features: Reals, labels: NDArray[np.int64]) -> Reals:
    logits = features @ weights + model.readout.bias
    answers = np.eye(model.classes)[labels]
    if model.readout.squared:
        return np.asarray(answers - logits)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(answers - exponentials / exponentials.sum(axis=1, keepdims=True))


def test_spreading_is_the_adjoint_of_pooling() -> None:
    model, _ = make_model("pooled")
    rng = np.random.default_rng(0)
    maps, push = rng.normal(size=(1, *model.top.shape)), rng.normal(size=(1, model.readout_shape[0]))
    assert (features_of(model, maps) * push).sum() == pytest.approx((maps * spread(model, push)).sum())


@pytest.mark.parametrize("beta", [2.0, -0.7])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_nudge_is_beta_times_the_transpose_of_the_error(top: str, cost: str, beta: float) -> None:
    model, weights = make_model(top, cost)
    workspace = ph.Workspace(model, small.make(TOPS[top]).dynamics, 3, 0)
    rng = np.random.default_rng(1)
    potentials = rng.integers(-ONE // 2, 3 * ONE // 2, (3, *model.top.shape)).astype(np.int32)
    workspace.state.membrane[...] = model.top.to_state(potentials)
    features = features_of(model, np.clip(potentials, 0, ONE - 1) / ONE)
    labels = np.array([3, 0, 1])
    for sample in range(3):
        trace = np.zeros(model.readout.weights.shape[1], np.int32)
        scratch = ro.new_scratch(model.readout)
        ro.nudge_sample(
            model.compiled.plan, workspace.state, model.readout, sample, labels[sample], beta, scratch, trace, 0
        )
    found = model.top.from_state(workspace.state.nudge) / ONE
    expected = beta * spread(model, errors_of(model, weights, features, labels) @ weights.T)
    quantum = (1.0 + np.abs(weights).sum(axis=1).max()) / ONE  # rounded errors and a rounded push
    assert np.abs(expected).max() > 100 * quantum
    np.testing.assert_allclose(found, expected, rtol=0, atol=quantum)
    padding = model.top.to_state(np.ones((1, *model.top.shape), np.int32))[0] == 0
    assert not workspace.state.nudge[:, padding].any()


def test_nudge_sees_the_layer_through_a_low_pass() -> None:
    model, weights = make_model("pooled")
    workspace = ph.Workspace(model, small.make(TOPS["pooled"]).dynamics, 1, 0)
    potentials = np.random.default_rng(1).integers(0, ONE, (1, *model.top.shape)).astype(np.int32)
    workspace.state.membrane[...] = model.top.to_state(potentials)
    features = features_of(model, potentials / ONE)
    trace = np.zeros(model.readout.weights.shape[1], np.int32)
    for seen in (0.25, 0.4375):  # 1 - 0.75, 1 - 0.75 ** 2
        ro.nudge_sample(
            model.compiled.plan, workspace.state, model.readout, 0, 1, 1.0, ro.new_scratch(model.readout), trace, 2
        )
        expected = spread(model, errors_of(model, weights, seen * features, np.array([1])) @ weights.T)
        np.testing.assert_allclose(model.top.from_state(workspace.state.nudge) / ONE, expected, atol=2e-4)


def test_push_is_bounded() -> None:
    model, weights = make_model("dense", "squared-error", gain=0.5)
    readout = model.readout._replace(bias=np.array([1e9, -1e9, 0.0, 0.0]))
    workspace = ph.Workspace(model, small.make(TOPS["dense"]).dynamics, 1, 0)
    trace = np.zeros(readout.weights.shape[1], np.int32)
    ro.nudge_sample(model.compiled.plan, workspace.state, readout, 0, 2, 64.0, ro.new_scratch(readout), trace, 0)
    expected = ro.PUSH_MAX * (weights[:, 1] - weights[:, 0] + weights[:, 2])
    np.testing.assert_allclose(model.top.from_state(workspace.state.nudge)[0, 0, 0] / ONE, expected, atol=1e-3)


def window_sums(model: Model, steps: int, seed: int = 2) -> tuple[NDArray[np.int64], Reals]:
    """Window sums of four samples as the read-out sees them, and the features that they stand for."""
    sums = np.random.default_rng(seed).integers(0, steps * (ONE - 1), (4, *model.top.shape)).astype(np.int32)
    seen = ro.pooled_window(model.readout, model.top, model.top.to_state(sums))
    return seen, features_of(model, sums / (ONE * steps))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_prediction_agrees_with_float64(top: str, cost: str) -> None:
    model, weights = make_model(top, cost, gain=6.0)
    seen, features = window_sums(model, 20)
    logits = features @ weights + model.readout.bias
    labels = np.where([True, False, True, False], logits.argmax(axis=1), logits.argmin(axis=1))
    found = ro.predict(model.readout, seen, 20, labels)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.correct, [True, False, True, False])
    if cost == "cross-entropy":
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), labels]
    else:
        losses = 0.5 * ((np.eye(4)[labels] - logits) ** 2).sum(axis=1)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-10)
    np.testing.assert_allclose(
        found.errors / 2**16, errors_of(model, weights, features, labels), rtol=0, atol=0.5001 / 2**16
    )


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_delta_rule_is_the_gradient_of_the_loss(top: str, cost: str) -> None:
    model, weights = make_model(top, cost)
    seen, _ = window_sums(model, 20)
    labels = np.array([0, 1, 2, 1])
    errors = ro.predict(model.readout, seen, 20, labels).errors
    products = ro.feature_gradient(model.readout, model.top, seen, errors)
    assert products.shape == model.readout_shape
    gradient = -products / (ONE * 20 * (4 if model.stack.pooled[-1] else 1)) / 2**16
    h = 2.0**-7  # a multiple of the quantum of the weights

    def loss(changed: Reals) -> float:
        readout = ro.make_readout(
            model.top, model.stack.pooled[-1], cost, changed.astype(np.float32), model.readout.bias.astype(np.float32)
        )
        return float(ro.predict(readout, seen, 20, labels).losses.sum())

    rng = np.random.default_rng(5)
    for _ in range(12):
        at = rng.integers(weights.shape[0]), rng.integers(weights.shape[1])
        step = np.zeros_like(weights)
        step[at] = h
        slope = (loss(weights + step) - loss(weights - step)) / (2 * h)
        assert gradient[at] == pytest.approx(slope, rel=1e-3, abs=1e-4)


def test_read_outs_that_cannot_be_used_are_refused() -> None:
    model, weights = make_model("dense")
    good, bias = weights.astype(np.float32), np.zeros(4, np.float32)
    for bad in (np.nan, np.inf, 1e6):
        broken = good.copy()
        broken[2, 1] = bad
        with pytest.raises(InputError, match=r"read-out.*lower the learning rate"):
            ro.make_readout(model.top, False, "cross-entropy", broken, bias)
    with pytest.raises(InputError, match=r"biases of the read-out.*not finite"):
        ro.make_readout(model.top, False, "cross-entropy", good, np.array([0, np.nan, 0, 0], np.float32))
    heavy = ro.make_readout(model.top, False, "cross-entropy", good * np.float32(2000 / np.abs(good).max()), bias)
    with pytest.raises(InputError, match="nudge could exceed"):
        ro.check_nudge(heavy, 2.0)
    ro.check_nudge(model.readout, 64.0)
