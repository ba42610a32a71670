"""The heads and their nudges against float64 algebra."""

from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray

from spikesim.engine.phase import FIRINGS
from spikesim.engine.plan import FIRING_IID
from spikesim.engine.populations import Population
from spikesim.engine.state import new_state
from spikesim.ep.network import heads as hd
from spikesim.ep.network.error_signals import block_side
from spikesim.ep.network.model import Model
from spikesim.ep.phases import readout as pr
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.nudged.head_nudges import HeadScratch, Nudge, block_sums, nudge_sample
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE

Reals = NDArray[np.float64]

TOPS: dict[str, dict[str, Any]] = {
    "dense": {"kind": "dense", "channels": 21},
    "map": {"kind": "conv", "channels": 5},
    "pooled": {"kind": "conv", "channels": 18, "pool": True},
}
COSTS = ("cross-entropy", "squared-error")
UPPER = {"kind": "dense", "channels": 9}
SOFT = {"none": 0.0, "both": 0.7, "all": 1.0}


def make_model(top: str, cost: str = "cross-entropy", *, gain: float = 1.0, **settings: Any) -> tuple[Model, Reals]:
    """A model whose last layer is 7x5 if it is a map, and the read-out's weights as they are quantized."""
    config = small.make(TOPS[top], dynamics__cost=cost, **settings)
    model = Model(config, small.make_dataset(size=(7, 5), classes=4))
    parameters = small.random_parameters(model, 3)
    parameters.readout.weight[...] *= np.float32(gain)
    model.set_parameters(parameters, config.dynamics.beta)
    return model, rounded(model, parameters.readout.weight, -1)


def make_headed(soft: float, side_of: dict[str, int]) -> tuple[Model, Reals]:
    """A model with a head of its own on a 6x8 map below the top, and that head's weights."""
    kind = {0.0: "local", 0.7: "both", 1.0: "kd"}[soft]
    lower = {"kind": "conv", "channels": 18, "kernel": 1, "padding": 0}
    config = small.make(lower, UPPER, error_signals__kind=kind, error_signals__temperature=3.0, **side_of)
    model = Model(config, small.make_dataset(size=(6, 8), classes=4))
    parameters = small.random_parameters(model, 3)
    weights = parameters.heads[model.heads[0].name].weight
    weights[...] *= np.float32(6)
    model.set_parameters(parameters, config.dynamics.beta)
    return model, rounded(model, weights, 0)


def rounded(model: Model, weights: NDArray[np.float32], head: int) -> Reals:
    """Weights as the head holds them."""
    scale = 2.0 ** int(model.packed.table[head].exponent)
    return np.asarray(np.rint(weights.astype(np.float64) * scale) / scale)


def features_of(head: hd.Head, probabilities: Reals) -> Reals:
    """What a head sees of p (n, H, W, C), (n, features): sums over its blocks, times a power of two."""
    rows, columns, channels = head.shape
    side = head.side
    cells = probabilities[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side, channels)
    return np.asarray(cells.sum(axis=(2, 4)) / 2**head.shift).reshape(len(probabilities), -1)


def spread(head: hd.Head, push: Reals) -> Reals:
    """The adjoint of `features_of`: (n, features) to (n, H, W, C)."""
    rows, columns, channels = head.shape
    maps = np.zeros((len(push), *head.population.shape))
    coarse = push.reshape(-1, rows, columns, channels) / 2**head.shift
    maps[:, : rows * head.side, : columns * head.side] = coarse.repeat(head.side, axis=1).repeat(head.side, axis=2)
    return maps


def softmax(logits: Reals) -> Reals:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def errors_of(
    model: Model, index: int, weights: Reals, features: Reals, labels: NDArray[np.int64], *, soft: float = 0.0,
    targets: Reals | None = None,
) -> Reals:  # fmt: skip
    """-dC/do of a head."""
    logits = features @ weights + model.packed.bias[index]
    answers = np.eye(model.classes)[labels]
    if model.packed.table[index].squared:
        return np.asarray(answers - logits)
    errors = (1 - soft) * (answers - softmax(logits))
    if targets is not None:
        errors = errors + soft * 3.0 * (targets - softmax(logits / 3.0))
    return np.asarray(errors)


def teach(model: Model, samples: int) -> Reals:
    """Softened answers of some teacher."""
    return softmax(np.random.default_rng(9).normal(size=(samples, model.classes)))


@pytest.mark.parametrize(("grid", "side", "shape"), [(1, 2, (3, 4, 18)), (4, 2, (3, 4, 18)), (8, 1, (6, 8, 18))])
def test_heads_sit_on_blocks_that_divide_the_map(grid: int, side: int, shape: tuple[int, int, int]) -> None:
    model, _ = make_headed(0.0, {"error_signals__grid": grid})
    lower, readout = model.heads
    assert (lower.name, lower.layer, lower.side, lower.shape) == ("head1", 0, side, shape)
    assert (readout.name, readout.layer, readout.side) == ("readout", 1, 1)


@pytest.mark.parametrize(
    ("map_side", "grid", "side"), [(28, 4, 7), (14, 4, 7), (32, 4, 8), (7, 4, 7), (2, 4, 1), (13, 4, 13), (16, 1, 16)]
)
def test_side_of_a_square_map(map_side: int, grid: int, side: int) -> None:
    assert block_side((map_side, map_side, 3), grid) == side


def test_spreading_is_the_adjoint_of_pooling() -> None:
    model, _ = make_model("pooled")
    head = model.heads[-1]
    rng = np.random.default_rng(0)
    maps, push = rng.normal(size=(1, *model.top.shape)), rng.normal(size=(1, model.head_shape(head)[0]))
    assert (features_of(head, maps) * push).sum() == pytest.approx((maps * spread(head, push)).sum())


def nudge_of(
    model: Model, strength: float, labels: NDArray[np.int64], targets: Reals | None = None, *, leak: int = 0
) -> Nudge:
    """A nudge of this strength by all heads, before the first step."""
    n, features = len(labels), sum(one.features for one in model.heads)
    return Nudge(
        heads=model.packed,
        strengths=np.full(len(model.heads), strength),
        labels=labels,
        soft_targets=np.zeros((n, model.classes)) if targets is None else targets,
        scratch=HeadScratch.of(model.packed),
        trace=np.zeros((n, features), np.int32),
        trace_leak=leak,
        firing=FIRINGS["iid"],
    )


def nudges(
    model: Model, index: int, strength: float, labels: NDArray[np.int64], *, targets: Reals | None = None
) -> tuple[NDArray[np.float64], Reals]:  # fmt: skip
    """Nudges of some random states by one head (n, H, W, C), and the probabilities that it saw."""
    head, n = model.heads[index], len(labels)
    workspace = ph.Workspace(model, small.make(UPPER).dynamics, n, 0)
    shape = head.population.shape
    potentials = np.random.default_rng(1).integers(-ONE // 2, 3 * ONE // 2, (n, *shape)).astype(np.int32)
    at = model.state_slice(head.layer)
    workspace.state.membrane[:, at] = head.population.to_state(potentials)
    nudge = nudge_of(model, strength, labels, targets)
    for sample in range(n):
        nudge_sample(model.compiled.plan, workspace.state, nudge, index % len(model.heads), sample, 0)
    padding = head.population.to_state(np.ones((1, *shape), np.int32))[0] == 0
    assert not workspace.state.nudge[:, at][:, padding].any()
    outside = np.delete(workspace.state.nudge, np.arange(at.start, at.stop), axis=1)
    assert not outside.any(), "a head nudges its own layer and no other"
    return head.population.from_state(workspace.state.nudge[:, at]) / ONE, np.clip(potentials, 0, ONE - 1) / ONE


def assert_nudge(found: Reals, expected: Reals, weights: Reals) -> None:
    quantum = (1.0 + np.abs(weights).sum(axis=1).max()) / ONE  # rounded errors and a rounded push
    assert np.abs(expected).max() > 50 * quantum
    np.testing.assert_allclose(found, expected, rtol=0, atol=quantum)


@pytest.mark.parametrize("beta", [2.0, -0.7])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_nudge_is_beta_times_the_transpose_of_the_error(top: str, cost: str, beta: float) -> None:
    model, weights = make_model(top, cost)
    head, labels = model.heads[-1], np.array([3, 0, 1])
    found, probabilities = nudges(model, -1, beta, labels)
    errors = errors_of(model, -1, weights, features_of(head, probabilities), labels)
    assert_nudge(found, beta * spread(head, errors @ weights.T), weights)


@pytest.mark.parametrize("soft", SOFT.values())
@pytest.mark.parametrize("grid", [4, 8])
def test_nudge_of_an_intermediate_head(grid: int, soft: float) -> None:
    model, weights = make_headed(soft, {"error_signals__grid": grid})
    head, labels, targets = model.heads[0], np.array([3, 0, 1]), teach(model, 3)
    found, probabilities = nudges(model, 0, 1.5, labels, targets=targets)
    errors = errors_of(model, 0, weights, features_of(head, probabilities), labels, soft=soft, targets=targets)
    assert_nudge(found, 1.5 * spread(head, errors @ weights.T), weights)


def test_nudge_sees_the_layer_through_a_low_pass() -> None:
    model, weights = make_model("pooled")
    workspace = ph.Workspace(model, small.make(TOPS["pooled"]).dynamics, 1, 0)
    potentials = np.random.default_rng(1).integers(0, ONE, (1, *model.top.shape)).astype(np.int32)
    workspace.state.membrane[...] = model.top.to_state(potentials)
    head = model.heads[-1]
    features = features_of(head, potentials / ONE)
    low_passed = nudge_of(model, 1.0, np.array([1]), leak=2)

    def nudge(t: int) -> None:
        nudge_sample(model.compiled.plan, workspace.state, low_passed, 0, 0, t)

    for t, seen in enumerate((0.25, 0.4375)):  # 1 - 0.75, 1 - 0.75 ** 2
        nudge(t)
        expected = spread(head, errors_of(model, -1, weights, seen * features, np.array([1])) @ weights.T)
        np.testing.assert_allclose(model.top.from_state(workspace.state.nudge) / ONE, expected, atol=2e-4)
    for t in range(2, 80):
        nudge(t)
    trace = low_passed.trace[0]
    sums = np.zeros_like(trace)
    block_sums(model.compiled.plan, workspace.state, low_passed, 0, 0, sums)
    assert sums.any() and (trace == sums).all(), "it arrives"


def test_push_is_bounded() -> None:
    model, weights = make_model("dense", "squared-error", gain=0.5)
    model.packed = model.packed._replace(bias=np.array([[1e9, -1e9, 0.0, 0.0]]))
    workspace = ph.Workspace(model, small.make(TOPS["dense"]).dynamics, 1, 0)
    nudge_sample(model.compiled.plan, workspace.state, nudge_of(model, 64.0, np.array([2])), 0, 0, 0)
    expected = hd.PUSH_MAX * (weights[:, 1] - weights[:, 0] + weights[:, 2])
    np.testing.assert_allclose(model.top.from_state(workspace.state.nudge)[0, 0, 0] / ONE, expected, atol=1e-3)


def window_sums(model: Model, index: int, steps: int, seed: int = 2) -> tuple[NDArray[np.int64], Reals]:
    """Window sums of four samples as a head sees them, and the features that they stand for."""
    head = model.heads[index]
    shape = (4, *head.population.shape)
    sums = np.random.default_rng(seed).integers(0, steps * (ONE - 1), shape).astype(np.int32)
    state, at = new_state(model.compiled, 4, FIRING_IID), model.state_slice(head.layer)
    state.window[0, :, at] = head.population.to_state(sums // 3)
    state.window[1, :, at] = head.population.to_state(sums - sums // 3)
    seen = pr.Predictions.empty(model.packed, 4).features
    room = np.zeros(model.compiled.sizes["state"], np.int32)
    pr.window_features(model.compiled.plan, model.packed, 0, state, 4, room, seen)
    first = model.packed.table[index].at
    return seen[:, first : first + head.features], features_of(head, sums / (ONE * steps))


def answer_of(
    packed: hd.Heads, index: int, seen: NDArray[np.int64], labels: NDArray[np.int64], targets: Reals | None = None
) -> tuple[Reals, Reals, NDArray[np.bool_], NDArray[np.int64]]:
    """Logits, losses, right answers and errors of a head that sees these sums over 20 steps."""
    found = pr.Predictions.empty(packed, len(seen))
    found.features[:] = 0
    first = packed.table[index].at
    found.features[:, first : first + seen.shape[1]] = seen
    pr.predict(packed, 20, labels, targets, found)
    return found.logits[:, index], found.losses[:, index], found.correct[:, index], found.errors[:, index]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_prediction_agrees_with_float64(top: str, cost: str) -> None:
    model, weights = make_model(top, cost, gain=6.0)
    seen, features = window_sums(model, -1, 20)
    logits = features @ weights + model.packed.bias[-1]
    labels = np.where([True, False, True, False], logits.argmax(axis=1), logits.argmin(axis=1))
    found, own_losses, correct, errors = answer_of(model.packed, -1, seen, labels)
    np.testing.assert_allclose(found, logits, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(correct, [True, False, True, False])
    if cost == "cross-entropy":
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(4), labels]
    else:
        losses = 0.5 * ((np.eye(4)[labels] - logits) ** 2).sum(axis=1)
    np.testing.assert_allclose(own_losses, losses, rtol=1e-10)
    np.testing.assert_allclose(
        errors / 2**16, errors_of(model, -1, weights, features, labels), rtol=0, atol=0.5001 / 2**16
    )


@pytest.mark.parametrize("soft", SOFT.values())
def test_prediction_of_an_intermediate_head(soft: float) -> None:
    model, weights = make_headed(soft, {})
    seen, features = window_sums(model, 0, 20)
    labels, targets = np.array([0, 3, 1, 1]), teach(model, 4)
    logits, _, _, errors = answer_of(model.packed, 0, seen, labels, targets)
    np.testing.assert_allclose(logits, features @ weights + model.packed.bias[0], rtol=1e-12, atol=1e-12)
    expected = errors_of(model, 0, weights, features, labels, soft=soft, targets=targets)
    np.testing.assert_allclose(errors / 2**16, expected, rtol=0, atol=0.5001 / 2**16)


@pytest.mark.parametrize("answer", ["ensemble", "readout"])
def test_the_answer_is_that_of_the_upper_half_or_of_the_read_out(answer: str) -> None:
    """Of five layers with heads on the first four, the third to the last answer together."""
    config = small.make(
        *[{"kind": "conv", "channels": 9}] * 5, error_signals__kind="local", error_signals__answer=answer
    )
    model = Model(config, small.make_dataset(size=(6, 8), classes=4))
    assert model.packed.answers.tolist() == [False, False, answer == "ensemble", answer == "ensemble", True]
    assert model.answers_from == (2 if answer == "ensemble" else 4)
    parameters = small.random_parameters(model, 3)
    model.set_parameters(parameters, config.dynamics.beta)
    rng = np.random.default_rng(8)
    found = pr.Predictions.empty(model.packed, 6)
    found.features[:] = rng.integers(0, 20 * (ONE - 1), found.features.shape)
    labels = rng.integers(0, model.classes, 6)
    pr.predict(model.packed, 20, labels, None, found)
    logits = found.logits[:, -1]
    if answer == "ensemble":
        upper = found.logits[:, 2:]
        logits = (upper - np.log(np.exp(upper).sum(axis=2, keepdims=True))).mean(axis=1)
    np.testing.assert_allclose(found.answers.logits, logits, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.answers.correct, logits.argmax(axis=1) == labels)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), labels]
    np.testing.assert_allclose(found.answers.losses, losses, rtol=1e-12)
    before = found.answers.losses.copy()
    found.logits[:, : model.answers_from] = np.nan  # not looked at
    pr.predict(model.packed, 20, labels, None, found, first=model.answers_from)
    np.testing.assert_array_equal(found.answers.losses, before)


def test_a_read_out_with_a_squared_error_answers_alone() -> None:
    config = small.make(*[{"kind": "conv", "channels": 9}] * 2, dynamics__cost="squared-error")
    model = Model(config, small.make_dataset(size=(6, 8), classes=4))
    assert model.packed.answers.tolist() == [False] * (len(model.heads) - 1) + [True]


def slope_of(loss: Any, weights: Reals, at: tuple[int, int]) -> float:
    """Central difference over a multiple of the quantum of the weights."""
    step = np.zeros_like(weights)
    step[at] = h = 2.0**-7
    return float((loss(weights + step) - loss(weights - step)) / (2 * h))


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("top", TOPS)
def test_delta_rule_is_the_gradient_of_the_loss(top: str, cost: str) -> None:
    model, weights = make_model(top, cost)
    head = model.heads[-1]
    seen, _ = window_sums(model, -1, 20)
    labels = np.array([0, 1, 2, 1])
    errors = answer_of(model.packed, -1, seen, labels)[3]
    products = pr.feature_gradient(head, seen, errors)
    assert products.shape == model.head_shape(head)
    gradient = -products / (ONE * 20 * 2**head.shift) / 2**16

    def loss(changed: Reals) -> float:
        packed = hd.pack_heads(
            (head,), [changed.astype(np.float32)], [model.packed.bias[-1].astype(np.float32)], cost=cost
        )
        return float(answer_of(packed, -1, seen, labels)[1].sum())

    rng = np.random.default_rng(5)
    for _ in range(12):
        at = int(rng.integers(weights.shape[0])), int(rng.integers(weights.shape[1]))
        assert gradient[at] == pytest.approx(slope_of(loss, weights, at), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("top", TOPS)
def test_sums_of_the_delta_rule_are_exact(top: str) -> None:
    """Against Python's integers, with numbers beyond what float64 holds."""
    head = make_model(top, "cross-entropy")[0].heads[-1]
    rng = np.random.default_rng(3)
    neurons = rng.integers(-(2**33), 2**33, (5, *head.shape))
    errors = rng.integers(-(2**27), 2**27, (5, 3))
    errors[1] = 0
    found = pr.feature_gradient(head, head.blocks.to_state(neurons), errors)
    assert found.dtype == np.int64 and found.flags.c_contiguous and np.abs(found).max() > 2**53
    flat = neurons.reshape(5, -1).astype(object)
    np.testing.assert_array_equal(found, flat.T @ errors.astype(object))


def test_errors_are_the_slope_of_labels_and_teacher() -> None:
    """The cost of a head with a teacher, written out: (1 - s) CE + s tau^2 KL."""
    model, _ = make_headed(0.7, {})
    seen, _ = window_sums(model, 0, 20)
    labels, targets = np.array([0, 3, 1, 1]), teach(model, 4)
    found, _, _, errors = answer_of(model.packed, 0, seen, labels, targets)

    def cost(logits: Reals) -> float:
        own = np.log(softmax(logits))[np.arange(4), labels]
        divergence = (targets * (np.log(targets) - np.log(softmax(logits / 3.0)))).sum(axis=1)
        return float((-0.3 * own + 0.7 * 9.0 * divergence).sum())

    for at in np.ndindex(found.shape):
        step = np.zeros_like(found)
        step[at] = 1e-5
        slope = (cost(found + step) - cost(found - step)) / 2e-5
        assert -errors[at] / 2**16 == pytest.approx(slope, abs=2e-5)


def test_heads_that_cannot_be_used_are_refused() -> None:
    model, weights = make_model("dense")
    good, bias = weights.astype(np.float32), np.zeros(4, np.float32)
    for bad in (np.nan, np.inf, 1e6):
        broken = good.copy()
        broken[2, 1] = bad
        with pytest.raises(InputError, match=r"read-out.*lower the learning rate"):
            hd.pack_heads(model.heads, [broken], [bias])
    with pytest.raises(InputError, match=r"biases of the read-out.*not finite"):
        hd.pack_heads(model.heads, [good], [np.array([0, np.nan, 0, 0], np.float32)])
    heavy = hd.pack_heads(model.heads, [good * np.float32(2000 / np.abs(good).max())], [bias])
    with pytest.raises(InputError, match="nudge could exceed"):
        hd.check_nudge(heavy, model.heads, 2.0)
    hd.check_nudge(model.packed, model.heads, 64.0)


def test_a_head_whose_sums_would_not_be_exact_is_refused() -> None:
    hd.check_head(hd.Head("head1", 0, Population(0, "large", (64, 64, 512), 2, False, 0), 16))
    with pytest.raises(InputError, match="too many to be exact"):
        hd.check_head(hd.Head("head1", 0, Population(0, "larger", (64, 64, 2048), 2, False, 0), 16))
