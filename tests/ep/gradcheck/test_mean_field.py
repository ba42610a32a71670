"""The mean field in float64: adjoints, energy, fixed points, and the exact gradient against finite differences."""

import numpy as np
import pytest
import small
from gradient_cases import CASES, Case, changed, cosine, leaf, parts, prepare
from numpy.typing import NDArray

from spikesim.engine.synapses import Conv, Dense, Shape
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradcheck.mean_field import MeanField
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.linear_map import Link, columns
from spikesim.ep.phases import workspace as ph
from spikesim.numerics.fixed_point import ONE


def loss(case: Case, field: MeanField, start: list[NDArray[np.float64]] | None = None) -> float:
    return float(field.cost(field.settle(case.inputs, start, tolerance=1e-14).rates, case.inputs).mean())


@pytest.mark.parametrize(
    ("table", "source", "target"),
    [
        (Conv(3, 1), (5, 4, 2), (5, 4, 3)),
        (Conv(3, 0, "average"), (7, 8, 2), (1, 2, 3)),
        (Conv(5, 1, "sampled"), (10, 9, 1), (3, 2, 4)),
        (Conv(3, 2), (2, 3, 2), (4, 5, 2)),
        (Conv((1, 4), (0, 2)), (1, 7, 2), (1, 8, 3)),
        (Conv((2, 3), (1, 0), stride=2), (4, 6, 2), (3, 2, 3)),
        (Conv(3, 1, stride=2), (6, 5, 2), (3, 3, 4)),
        (Conv(5, 1, "average", 2), (12, 11, 2), (2, 2, 3)),
        (Dense("average"), (5, 4, 2), (1, 1, 6)),
        (Conv(3, 1, "winner"), (7, 6, 2), (3, 3, 3)),
        (Dense("winner"), (5, 4, 2), (1, 1, 6)),
        (Dense(), (2, 3, 2), (1, 1, 4)),
    ],
)  # fmt: skip
def test_the_way_down_is_the_adjoint_of_the_way_up(table: Conv | Dense, source: Shape, target: Shape) -> None:
    rng = np.random.default_rng(0)
    link = Link(table, source, target, rng.normal(size=table.weight_shape(source, target)))
    below, above = rng.normal(size=(3, *source)), rng.normal(size=(3, *target))
    assert link.selecting(below).up(below) == pytest.approx(link.up(below), rel=1e-12)
    link = link.selecting(rng.normal(size=below.shape))  # winners, where there are some
    product = (link.up(below) * above).sum()
    assert product == pytest.approx((below * link.down(above)).sum(), rel=1e-12)
    assert product == pytest.approx((link.correlate(below, above) * link.weights).sum(), rel=1e-12)


def test_a_convolution_is_the_one_of_the_tables() -> None:
    rng = np.random.default_rng(0)
    weights, maps = rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(2, 5, 6, 2))
    found = columns(maps, (3, 3), (1, 1)) @ weights.reshape(-1, 4)
    np.testing.assert_allclose(found, Conv(3, 1).apply(weights, maps), atol=1e-12)


def test_a_nudge_is_the_slope_of_the_cost() -> None:
    case = prepare("teacher")
    rates = [np.random.default_rng(5).uniform(size=(5, *shape)) for shape in case.field.shapes]
    for head in case.field.heads:
        assert head.soft == 0.7
        mask = case.field.mask(head.layer, case.inputs)
        logits = head.logits(rates[head.layer], mask)
        push = head.push(head.errors(logits, case.inputs), rates[head.layer], mask)
        direction = np.random.default_rng(6).normal(size=push.shape)
        slopes = [
            head.costs(head.logits(rates[head.layer] + step * direction, mask), case.inputs) / 2e-6
            for step in (1e-6, -1e-6)
        ]
        np.testing.assert_allclose(slopes[0] - slopes[1], -(push * direction).sum(axis=(1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("name", ["heads", "feedback gain"])
def test_a_fixed_point_is_where_the_energy_has_no_slope(name: str) -> None:
    case = prepare(name)
    rest = case.field.settle(case.inputs)
    assert rest.residual.max() < 1e-9
    energy = case.field.energy(rest.rates, case.inputs)
    rng = np.random.default_rng(2)
    for layer in range(case.field.layers):
        direction = rng.normal(size=rest.rates[layer].shape)
        inside = (rest.drives[layer] > 1e-3) & (rest.drives[layer] < 1 - 1e-3)
        assert inside.any()
        moved = [list(rest.rates), list(rest.rates)]
        for step, rates in zip((1e-5, -1e-5), moved, strict=True):
            rates[layer] = rates[layer] + step * np.where(inside, direction, 0.0)
        up, down = (case.field.energy(rates, case.inputs) for rates in moved)
        np.testing.assert_allclose((up - down) / 2e-5, 0, atol=1e-7)
        assert (up > energy).all() and (down > energy).all(), "a minimum"


def test_strong_coupling_still_comes_to_rest() -> None:
    case = prepare("heads", gain=3.0)
    assert case.field.settle(case.inputs).residual.max() < 1e-9


@pytest.mark.parametrize("rule", ["symmetric", "postsynaptic"])
@pytest.mark.parametrize("name", CASES)
def test_the_exact_gradient_is_that_of_finite_differences(name: str, rule: str) -> None:
    case = prepare(name, gain=0.5 if name == "skips" else 0.6)  # with 0.6 it takes five times as many sweeps
    rest = case.field.settle(case.inputs, tolerance=1e-14)
    exact = ad.exact_gradient(case.field, case.inputs, rest, rule=rule, tolerance=1e-14).scaled(1 / 5)
    rng = np.random.default_rng(7)
    for layer, kind, gradient in parts(exact):
        chosen = [np.unravel_index(flat, gradient.shape) for flat in rng.integers(0, gradient.size, 6)]
        up, down = (
            np.array([loss(case, changed(case.field, layer, kind, at, step, rule), rest.rates) for at in chosen])
            for step in (1e-6, -1e-6)
        )
        found = (up - down) / 2e-6
        assert np.abs(found).max() > 1e-4, "something to compare"
        np.testing.assert_allclose([gradient[at] for at in chosen], found, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("rule", ["symmetric", "postsynaptic"])
@pytest.mark.parametrize("name", CASES)
def test_equilibrium_propagation_at_a_small_beta_is_the_exact_gradient(name: str, rule: str) -> None:
    case = prepare(name)
    found = ad.reference(case.field, case.inputs, 0.001, rule=rule)  # no neuron reaches 0 or 1 on its way
    for (_, _, exact), (_, _, estimate) in zip(parts(found.exact), parts(found.estimate), strict=True):
        assert cosine(exact, estimate) > 0.999
        assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(exact), rel=0.05)
    assert found.cost == pytest.approx(loss(case, case.field))


def test_the_estimate_is_off_by_the_square_of_beta() -> None:
    case = prepare("one dense layer", gain=0.3)  # where no neuron reaches 0 or 1 on its way
    distances = []
    for beta in (0.05, 0.1):
        found = ad.reference(case.field, case.inputs, beta, tolerance=1e-13)
        difference = found.estimate.plus(found.exact.scaled(-1.0))
        distances.append(np.sqrt(sum((array**2).sum() for _, _, array in parts(difference))))
    assert 3.0 < distances[1] / distances[0] < 5.0


def test_threads_change_no_bit() -> None:
    case = prepare("teacher", samples=40)
    one, two = (ad.reference(case.field, case.inputs, 0.05, threads=threads) for threads in (1, 2))
    for first, second in ((one.exact, two.exact), (one.estimate, two.estimate)):
        for (_, _, a), (_, _, b) in zip(parts(first), parts(second), strict=True):
            np.testing.assert_array_equal(a, b)
    assert one.cost == two.cost and (one.residual == two.residual).all()


@pytest.mark.parametrize("leak", [0, 1, 3])
@pytest.mark.parametrize("name", ["heads", "feedback gain", "no padding, top pooled"])
def test_the_engine_comes_to_rest_at_the_same_point(name: str, leak: int) -> None:
    compare_rest(name, leak)


def test_a_slow_leak_comes_to_rest_at_the_same_point() -> None:
    compare_rest("heads", 7)


def compare_rest(name: str, leak: int) -> None:
    """Within what the rounding of the drives makes: the leak adds nothing."""
    case = prepare(name, dynamics__inference="mean-field", dynamics__leak=leak, dynamics__steps_free=200 + 32 * 2**leak)
    workspace = ph.Workspace(case.model, case.config.dynamics, 5, 0)
    workspace.free(workspace.rest(case.images, np.arange(5)), 0, np.zeros(1, np.uint8))
    rest = case.field.settle(case.inputs)
    for layer, population in enumerate(case.model.graph.populations):
        state = workspace.state.membrane[:, case.model.state_slice(layer)]
        found = np.clip(population.from_state(state), 0, ONE) / ONE
        np.testing.assert_allclose(found, rest.rates[layer], rtol=0, atol=2 / ONE)
        assert 0.02 < rest.rates[layer].mean() < 0.98


@pytest.mark.parametrize("rule", ["symmetric", "postsynaptic"])
@pytest.mark.parametrize("name", ["two convolutions, odd maps", "teacher", "feedback gain and heads"])
def test_the_engine_estimates_the_same_gradient(name: str, rule: str) -> None:
    case = prepare(
        name, dynamics__rule=rule, dynamics__inference="mean-field", dynamics__leak=1, dynamics__beta=0.1,
        dynamics__steps_free=120, dynamics__steps_nudged=120, dynamics__window_nudged=20, data__batch_size=5,
    )  # fmt: skip
    dataset = small.make_dataset(size=(7, 6), samples=5)
    parameters = small.random_parameters(case.model, 1, gain=0.6)
    with small.learning(case.config, dataset, parameters=parameters) as (learner, _):
        if learner.soft_targets is None and case.config.error_signals.kind != "none":
            learner.soft_targets = case.targets
        found, _ = learner.estimate(MiniBatch(0, 0, case.images, np.arange(5), case.labels))
    expected = ad.reference(case.field, case.inputs, 0.1, rule=rule).exact
    for layer, kind, gradient in parts(expected):
        estimate = found[leaf(case.model, layer, kind)]
        assert cosine(gradient, estimate) > 0.95, (layer, kind)
        assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(gradient), rel=0.15), (layer, kind)
