"""The gradient check on a small network."""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import small

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.gradcheck.check import CheckResult, Similarity, Variant, check_gradients, course, is_noisy, variants
from spikesim.ep.parallel.execution import Execution
from spikesim.errors import InputError

LAYERS = ({**small.POOLED, "channels": 8}, {**small.CONV, "channels": 8})


def prepare(**settings: Any) -> tuple[Config, Dataset]:
    phases = {"dynamics__steps_free": 40, "dynamics__steps_nudged": 32, "data__batch_size": 16}
    start = {"model__activity": 0.2, "model__calibration_samples": 8}
    config = small.make(*LAYERS, **{**start, **phases, **settings})
    return config, small.make_dataset(size=8, samples=24)


def check(config: Config, dataset: Dataset, grid: list[Variant], **options: Any) -> CheckResult:
    return check_gradients(config, dataset, grid, **{"repeats": 2, **options})


def test_similarity() -> None:
    one = [[np.array([3.0, 4.0]), np.zeros(2)]]
    other = [[np.array([8.0, -6.0]), np.ones(2)]]
    found = Similarity.of(one, other)
    np.testing.assert_allclose(found.cosine, [[0.0, math.nan]])
    np.testing.assert_allclose(found.ratio, [[0.5, 0.0]])
    assert Similarity.of(one, [[np.array([6.0, 8.0]), np.zeros(2)]]).to_dict() == {
        "cosine": [pytest.approx(1.0), None],
        "cosine_deviation": [0.0, None],
        "norm_ratio": [0.5, None],
        "norm_ratio_deviation": [0.0, None],
    }


def test_the_grid() -> None:
    config, _ = prepare(dynamics__window_nudged=8)
    own = Variant.of(config)
    assert variants(config, (), (), levers=False) == [own]
    grid = variants(config, (10, 20), (1.0, 2.0, 4.0), levers=True)
    assert len(set(grid)) == len(grid) == 16 * 6
    assert own.configure(config) == config
    longer = variants(config, (10,), (4.0,), levers=False)[0].configure(config)
    assert (longer.dynamics.nudged_window, longer.dynamics.beta) == (10, 4.0)
    with pytest.raises(InputError, match=r"dynamics\.beta"):
        variants(config, (), (0.0,), levers=False)[0].configure(config)


def test_graded_errors_leave_fewer_levers() -> None:
    """Nudged phases without noise and without spikes have neither kinds of noise nor of contrast."""
    held = {
        "dynamics__nudged_phase": "linear-response",
        "dynamics__rule": "postsynaptic",
    }
    config, _ = prepare(**held)
    grid = variants(config, (), (), levers=True)
    assert {(one.firing, one.pooling) for one in grid} == set(product(("iid", "stratified"), ("average", "sampled")))
    assert len(grid) == 4
    for variant in grid:
        variant.configure(config)


def test_common_noise_and_probabilities_are_nearer_to_the_exact_gradient() -> None:
    config, dataset = prepare(dynamics__beta=0.5)
    grid = [
        variant
        for variant in variants(config, (), (), levers=True)
        if (variant.firing, variant.pooling) == ("iid", "average")
    ]
    found = check(config, dataset, grid)
    assert found.residual.max() < 1e-8 and found.residual_nudged.max() < 1e-8
    assert (found.weights.cosine > 0.999).all() and (found.biases.cosine > 0.99).all()
    by_kind = {
        (result.variant.noise, result.variant.contrast): float(result.weights["exact"].cosine.mean())
        for result in found.variants
    }
    best = by_kind["common", "probability"]
    assert best > 0.95
    assert best > by_kind["independent", "probability"] + 0.05
    assert best > by_kind["common", "spikes"] + 0.1
    assert by_kind["common", "spikes"] > by_kind["independent", "spikes"] + 0.2
    noisy = {result.variant.noise: result.difference for result in found.variants}
    assert (noisy["independent"] > noisy["common"]).all(), "noise adds to what is between the phases"


@pytest.mark.parametrize(
    "settings",
    [{}, {"error_signals__kind": "local"}, {"dynamics__feedback_gain": 0.5}, {"dynamics__nudging": "one-sided"}],
)
def test_the_engine_without_noise_agrees(settings: dict[str, Any]) -> None:
    config, dataset = prepare(
        dynamics__inference="mean-field", dynamics__beta=0.2, dynamics__steps_free=80, dynamics__steps_nudged=80,
        dynamics__window_nudged=10, data__batch_size=8, **settings,
    )  # fmt: skip
    found = check(config, dataset, [Variant.of(config)], repeats=1)
    (own,) = found.variants
    for name in ("mean-field", "exact"):
        assert (own.weights[name].cosine > 0.97).all()
        assert (np.abs(own.weights[name].ratio - 1) < 0.1).all()
    np.testing.assert_allclose(own.activity.mean(axis=0), found.activity, atol=2e-3)
    assert (own.residual < 1e-3).all()
    assert (np.diff(own.quantiles, axis=2) >= 0).all()
    assert (own.quantiles[:, :, 1] <= 4 * own.difference).all() and (own.quantiles[:, :, -1] >= own.difference).all()


def test_the_course_of_the_estimate_ends_at_the_exact_gradient() -> None:
    """Without noise, the share of the exact gradient grows step by step to all of it, as of equilibria."""
    config, dataset = prepare(
        dynamics__inference="mean-field", dynamics__beta=0.05, dynamics__steps_free=80, dynamics__steps_nudged=80,
        dynamics__leak=2, data__batch_size=8,
    )  # fmt: skip
    steps = course(config)
    assert [own.steps_nudged for own in steps] == sorted({own.steps_nudged for own in steps})
    assert (steps[0].steps_nudged, steps[-1].steps_nudged) == (2, 80) and {own.window_nudged for own in steps} == {2}
    assert {own.configure(config).dynamics.nudged_window for own in steps} == {2}
    found = check(config, dataset, [Variant.of(config), *steps], repeats=1)
    assert [own.variant for own in found.variants] == [Variant.of(config)]
    assert [own.variant for own in found.course] == steps
    exact = [own.weights["exact"] for own in found.course]
    shares = np.array([(own.cosine * own.ratio)[0] for own in exact])  # (steps, L)
    assert (shares[0] < 0.9).all() and (np.abs(shares[-1] - 1) < 0.03).all()
    assert (np.diff(shares, axis=0) > -0.02).all()
    assert len(found.to_dict()["course"]) == len(steps)


def test_what_has_neither_a_course_nor_noise() -> None:
    linear, _ = prepare(dynamics__nudged_phase="linear-response", dynamics__rule="postsynaptic")
    assert course(linear) == [] and not is_noisy(linear)
    spikes, mean_field = (prepare(dynamics__inference=how)[0] for how in ("stochastic", "mean-field"))
    assert is_noisy(spikes) and not is_noisy(mean_field) and course(spikes) == course(mean_field)


def test_threads_change_no_bit() -> None:
    config, dataset = prepare()
    grid = variants(config, (8, 16), (), levers=False)
    one, two = (check(config, dataset, grid, execution=Execution(threads)).to_dict() for threads in (1, 2))
    assert one == two
    assert one["repeats"] == 2 and len(one["variants"]) == 2
    assert one["variants"][0] != one["variants"][1]


def test_a_teacher_changes_the_gradient() -> None:
    config, dataset = prepare(error_signals__kind="both", error_signals__temperature=2.0)
    rng = np.random.default_rng(0)
    targets = rng.dirichlet(np.ones(3), 24)
    found = check(config, dataset, [Variant.of(config)], soft_targets=targets)
    assert (found.weights.cosine > 0.99).all()
    assert (found.variants[0].weights["exact"].cosine > 0.7).all()
    other = check(config, dataset, [Variant.of(config)], soft_targets=targets[::-1].copy())
    assert other.cost != found.cost


@pytest.mark.parametrize(
    ("settings", "name"), [({"data__batch_size": 25}, "25"), ({"data__limit": 100}, r"data\.limit")]
)
def test_too_few_samples(settings: dict[str, Any], name: str) -> None:
    config, dataset = prepare(**settings)
    with pytest.raises(InputError, match=name):
        check(config, dataset, [Variant.of(config)])
