"""What is adjusted from mini-batch to mini-batch: beta, the strengths of the heads, penalties, the biases."""

from typing import Any

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

from spikesim.ep.config.sections import ErrorSignalSettings, StabilitySettings
from spikesim.ep.network.error_signals import annealing, teacher_weights
from spikesim.ep.network.model import Model
from spikesim.ep.training.stability.controllers import BALANCE_MAX, Controllers
from spikesim.ep.training.stability.homeostasis import STEP_MAX, bias_change
from spikesim.errors import InputError

LAYERS = (small.POOLED, small.CONV, small.DENSE)
ACTIVITY = np.array([0.05, 0.2, 0.3])


def make(**settings: Any) -> Controllers:
    config = small.make(*LAYERS, **settings)
    model = Model(config, small.make_dataset())
    return Controllers(config, model)


def test_without_steering_nothing_moves() -> None:
    controllers = make(error_signals__kind="local", dynamics__beta=1.5)
    for response in (0.5, 1e-6, 0.0):
        controllers.observe(np.full(3, response), ACTIVITY)
    assert controllers.beta == 1.5
    assert not controllers.penalties.any()
    assert controllers.lambdas(0.9).tolist() == [0.3, 0.3, 1.0]


def test_beta_follows_the_answer_of_the_top_layer() -> None:
    """A network that answers in proportion to the nudge is brought to the wanted answer, whatever it starts from."""
    for slope in (0.003, 0.05):
        controllers = make(stability__beta_control="rate-difference", stability__rate_difference=0.02)
        for _ in range(200):
            controllers.observe(np.array([9.0, 9.0, slope * controllers.beta]), ACTIVITY)
        assert slope * controllers.beta == pytest.approx(0.02, rel=0.01)


@given(st.lists(st.floats(0, 1), max_size=60))
def test_beta_stays_within_its_bounds(responses: list[float]) -> None:
    controllers = make(stability__beta_control="rate-difference", stability__beta_low=0.5, stability__beta_high=3.0)
    for response in responses:
        controllers.observe(np.array([0.0, 0.0, response]), ACTIVITY)
        assert 0.5 <= controllers.beta <= 3.0


def test_balanced_strengths_bring_all_layers_to_the_answer_of_the_top() -> None:
    controllers = make(error_signals__kind="local", error_signals__profile="balanced", error_signals__strength=1.0)
    slopes = np.array([0.002, 0.09, 0.02])
    for _ in range(400):
        controllers.observe(slopes * controllers.lambdas(0.0), ACTIVITY)
    answers = slopes * controllers.lambdas(0.0)
    np.testing.assert_allclose(answers, 0.02, rtol=0.02)
    for _ in range(400):
        controllers.observe(np.array([0.0, 0.0, 1.0]), ACTIVITY)
    assert controllers.lambdas(0.0).tolist() == [BALANCE_MAX, BALANCE_MAX, 1.0]


def test_geometric_strengths_grow_downwards() -> None:
    controllers = make(
        error_signals__kind="local",
        error_signals__profile="geometric",
        error_signals__ratio=2.0,
        error_signals__strength=0.5,
    )
    assert controllers.lambdas(0.0).tolist() == [2.0, 1.0, 1.0]
    controllers = make(error_signals__kind="local", error_signals__strength=[0.1, 0.2, 5.0])
    assert controllers.lambdas(0.0).tolist() == [0.1, 0.2, 1.0], "the read-out's is 1"
    with pytest.raises(InputError, match=r"signals\.strength has 2 values; the network has 3 layers"):
        make(error_signals__kind="local", error_signals__strength=[0.1, 0.2])


def test_annealed_strengths_end_at_zero() -> None:
    controllers = make(error_signals__kind="local", error_signals__schedule="annealed", error_signals__anneal_from=0.5)
    assert controllers.lambdas(0.5).tolist() == [0.3, 0.3, 1.0]
    assert controllers.lambdas(0.75) == pytest.approx([0.15, 0.15, 1.0])
    assert controllers.lambdas(1.0).tolist() == [0.0, 0.0, 1.0]
    assert annealing(ErrorSignalSettings(schedule="annealed", anneal_from=1.0), 1.0) == 1.0


def test_state_survives_a_checkpoint() -> None:
    settings = {
        "error_signals__kind": "local", "error_signals__profile": "balanced", "stability__beta_control":
        "rate-difference", "stability__target_rate": 0.1,
    }  # fmt: skip
    one, other = make(**settings), make(**settings)
    for _ in range(5):
        one.observe(np.array([0.1, 0.3, 0.05]), ACTIVITY)
    other.restore({name: array.copy() for name, array in one.state().items()})
    for controllers in (one, other):
        controllers.observe(np.array([0.2, 0.1, 0.04]), ACTIVITY)
    assert one.beta == other.beta
    assert one.lambdas(0.0).tolist() == other.lambdas(0.0).tolist()
    assert one.penalties.tolist() == other.penalties.tolist()
    assert (one.penalties > 0).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("kind", "expected"), [("none", [0.0]), ("local", [0, 0, 0]), ("kd", [1, 1, 0.6]), ("both", [0.6, 0.6, 0.6])]
)
def test_who_hears_the_teacher(kind: str, expected: list[float]) -> None:
    config = small.make(*LAYERS, error_signals__kind=kind, error_signals__teacher_weight=0.6)
    assert list(teacher_weights(config.error_signals, Model(config, small.make_dataset()).heads)) == expected


@pytest.mark.parametrize("layers", [[3], [1, 1], [9]])
def test_heads_of_layers_that_cannot_have_one_are_refused(layers: list[int]) -> None:
    config = small.make(*LAYERS, error_signals__kind="local", error_signals__layers=layers)
    with pytest.raises(InputError, match=r"signals\.layers is .* 1 to 2, each once"):
        Model(config, small.make_dataset())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_biases_move_only_beyond_floor_and_ceiling(activity: list[float]) -> None:
    stability = StabilitySettings(activity_floor=0.05, activity_ceiling=0.5, homeostasis=0.4)
    found = bias_change(stability, np.array(activity))
    for value, change in zip(activity, found, strict=True):
        expected = 0.4 * (0.05 - value) if value < 0.05 else -0.4 * (value - 0.5) if value > 0.5 else 0.0
        assert change == pytest.approx(min(max(expected, -STEP_MAX), STEP_MAX), abs=1e-7)


def test_a_target_rate_lowers_the_floor_to_half_of_it() -> None:
    activity = np.array([0.01, 0.03])
    stability = StabilitySettings(target_rate=0.04, activity_floor=0.05, homeostasis=0.4)
    np.testing.assert_allclose(bias_change(stability, activity), [0.4 * (0.02 - 0.01), 0.0], rtol=1e-5)
    lower = StabilitySettings(target_rate=0.04, activity_floor=0.015, homeostasis=0.4)
    np.testing.assert_allclose(bias_change(lower, activity), [0.4 * (0.015 - 0.01), 0.0], rtol=1e-5)
