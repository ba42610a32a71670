"""Optimizers against the formulas of their papers in float64."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from spikesim.ep.config.sections import OptimizerSettings
from spikesim.ep.training.learning.optimizers import Optimizer, schedule

SHAPES = {"conv1/weight": (3, 3, 2, 4), "conv1/bias": (4,), "readout/weight": (5, 3), "readout/bias": (3,)}
RATES = {"conv1/weight": 0.1, "conv1/bias": 0.02, "readout/weight": 0.3, "readout/bias": 0.05}
STEPS = 25

Arrays = dict[str, NDArray[np.float32]]


def arrays(seed: int, scale: float = 1.0) -> Arrays:
    rng = np.random.default_rng(seed)
    return {name: (scale * rng.normal(size=shape)).astype(np.float32) for name, shape in SHAPES.items()}


def sgd(
    settings: OptimizerSettings, name: str, value: NDArray[np.float64], gradients: list[NDArray[np.float64]]
) -> None:
    """Momentum, with L2 decay in the gradient (Sutskever et al. 2013, as in PyTorch)."""
    decay = settings.weight_decay if name.endswith("/weight") else 0.0
    velocity = np.zeros_like(value)
    for t, gradient in enumerate(gradients):
        velocity = settings.momentum * velocity + gradient + decay * value
        value -= RATES[name] * factor(t) * velocity


def adam(
    settings: OptimizerSettings, name: str, value: NDArray[np.float64], gradients: list[NDArray[np.float64]]
) -> None:
    """Algorithm 1 of Kingma & Ba 2015, with the decay of algorithm 2 of Loshchilov & Hutter 2019."""
    decay = settings.weight_decay if name.endswith("/weight") else 0.0
    first, second = np.zeros_like(value), np.zeros_like(value)
    for t, gradient in enumerate(gradients, 1):
        first = settings.beta1 * first + (1 - settings.beta1) * gradient
        second = settings.beta2 * second + (1 - settings.beta2) * gradient**2
        moved = first / (1 - settings.beta1**t) / (np.sqrt(second / (1 - settings.beta2**t)) + settings.epsilon)
        value -= RATES[name] * factor(t - 1) * (moved + decay * value)


def take_step(optimizer: Optimizer, gradients: Arrays, factor: float) -> dict[str, float]:
    """Move every array; the mean magnitude of the change of each."""
    optimizer.begin()
    return {name: optimizer.move(name, gradients[name], factor) for name in optimizer.parameters}


def factor(step: int) -> float:
    return 1.0 - 0.02 * step


@pytest.mark.parametrize("decay", [0.0, 0.05])
@pytest.mark.parametrize("formula", [sgd, adam])
def test_steps_follow_the_formula(formula: object, decay: float) -> None:
    assert formula in (sgd, adam)
    settings = OptimizerSettings(name="sgd" if formula is sgd else "adam", weight_decay=decay, beta2=0.99)
    parameters = arrays(0)
    expected = {name: value.astype(np.float64) for name, value in parameters.items()}
    gradients = [arrays(seed, 0.1) for seed in range(1, STEPS + 1)]
    optimizer = Optimizer(settings, parameters, RATES)
    for t, gradient in enumerate(gradients):
        before = {name: value.copy() for name, value in parameters.items()}
        changes = take_step(optimizer, gradient, factor(t))
        for name, value in parameters.items():
            assert value.dtype == np.float32
            assert changes[name] == pytest.approx(np.abs(value - before[name]).mean(), rel=1e-3)
    for name, value in expected.items():
        formula(settings, name, value, [gradient[name].astype(np.float64) for gradient in gradients])  # type: ignore[operator]
        np.testing.assert_allclose(parameters[name], value, rtol=2e-5, atol=2e-6)


def test_a_rate_of_zero_keeps_every_bit() -> None:
    for name in ("sgd", "adam"):
        parameters = arrays(0)
        optimizer = Optimizer(OptimizerSettings(name=name, weight_decay=0.1), parameters, dict.fromkeys(RATES, 0.0))
        changes = take_step(optimizer, arrays(1), 1.0)
        assert set(changes.values()) == {0.0}
        for key, value in arrays(0).items():
            np.testing.assert_array_equal(parameters[key], value)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_moments_that_are_taken_up_again_continue_to_the_bit(name: str) -> None:
    straight, broken = arrays(0), arrays(0)
    optimizer = Optimizer(OptimizerSettings(name=name), straight, RATES)
    for seed in range(1, 7):
        take_step(optimizer, arrays(seed), 1.0)
    first = Optimizer(OptimizerSettings(name=name), broken, RATES)
    for seed in range(1, 4):
        take_step(first, arrays(seed), 1.0)
    saved = {key: value.copy() for key, value in first.state().items()}
    second = Optimizer(OptimizerSettings(name=name), broken, RATES)
    second.restore(saved, first.steps)
    for seed in range(4, 7):
        take_step(second, arrays(seed), 1.0)
    assert second.steps == 6
    for key, value in straight.items():
        np.testing.assert_array_equal(value, broken[key])
    for key, value in optimizer.state().items():
        np.testing.assert_array_equal(value, second.state()[key])


def test_schedule_falls_from_one_to_the_final_factor() -> None:
    assert {schedule(OptimizerSettings(schedule="constant"), progress) for progress in (0.0, 0.3, 1.0)} == {1.0}
    settings = OptimizerSettings(schedule="cosine", final_factor=0.2)
    values = [schedule(settings, i / 20) for i in range(21)]
    assert values[0] == 1.0 and values[-1] == pytest.approx(0.2) and values[10] == pytest.approx(0.6)
    assert all(later < earlier for earlier, later in itertools.pairwise(values))


def test_the_mean_change_is_the_same_in_any_order() -> None:
    gradient = np.random.default_rng(0).normal(size=1001).astype(np.float32)

    def change(order: NDArray[np.int64]) -> float:
        settings = OptimizerSettings(name="sgd", momentum=0.0)
        optimizer = Optimizer(settings, {"b": np.zeros(1001, np.float32)}, {"b": 1.0})
        return take_step(optimizer, {"b": gradient[order]}, 1.0)["b"]

    found = change(np.arange(1001))
    assert found == pytest.approx(np.abs(gradient.astype(np.float64)).mean(), abs=2.0**-32)
    for seed in range(5):
        assert change(np.random.default_rng(seed).permutation(1001)) == found
