"""Lines about a run that goes wrong: each said once, and none about a run that goes well."""

from typing import Any

import numpy as np
import pytest
import small

from spikesim.ep.network.model import Model
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.training.diagnostics import RECENT, Diagnostics
from spikesim.ep.training.learning.learner import BatchResult

LAYERS = (small.POOLED, small.DENSE)


def diagnosis(**settings: Any) -> Diagnostics:
    config = small.make(*LAYERS, dynamics__window_free=4, dynamics__steps_free=8, **settings)
    return Diagnostics(Model(config, small.make_dataset()), config)


def result(
    *, activity: float = 0.1, saturated: float = 0.0, residual: float = 0.01, loss: float = 1.0, beta: float = 2.0
) -> BatchResult:
    """A mini-batch of two samples whose second layer is as it is said."""
    free = PhaseCounts.zero(2)
    neurons = np.array([6 * 6 * 4, 8])
    free.updates[:] = 2 * 8 * neurons
    free.spikes[:] = np.rint(free.updates * np.array([0.1, activity]))
    free.saturated[:] = np.rint(2 * neurons * np.array([0.0, saturated]))
    free.residual[:] = np.rint(2.0**16 * 2 * 2 * neurons * np.array([0.01, residual]))
    free.neurons[:] = 2 * neurons
    return BatchResult(
        [loss, loss], 1, [free, PhaseCounts.zero(2), PhaseCounts.zero(2)], np.full(2, 0.01), beta, np.ones(1),
        np.zeros(2), np.ones(1), np.ones(1, np.int64), [np.full(4, 0.1), np.full(8, activity)], [], [], [],
    )  # fmt: skip


def lines_of(watch: Diagnostics, batches: int = 2 * RECENT, **values: float) -> list[str]:
    return [line for _ in range(batches) for line in watch.observe(result(**values))]


def test_a_run_that_goes_well_is_not_talked_about() -> None:
    assert lines_of(diagnosis()) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"activity": 0.0}, "dense2 has fallen silent (activity 0.000%): raise stability.activity_floor"),
        ({"activity": 0.9}, "dense2 runs hot (activity 90%): lower stability.activity_ceiling"),
        ({"saturated": 0.75}, "75% of the neurons of dense2 fire at every step"),
        ({"residual": 0.3}, "the free phase of dense2 does not settle (residual 0.300): lower model.gain"),
    ],
)
def test_each_trouble_of_a_layer_has_one_line(values: dict[str, float], words: str) -> None:
    watch = diagnosis()
    lines = lines_of(watch, **values)
    assert len(lines) == 1 and lines[0].startswith(words)
    assert lines_of(watch, **values) == [], "once a run"


def test_a_loss_that_rises_is_told() -> None:
    watch = diagnosis()
    assert lines_of(watch, loss=1.1) == []
    lines = lines_of(watch, loss=2.4)
    assert len(lines) == 1 and "the loss has risen from 1.100 to" in lines[0]


def test_a_beta_at_its_bound_is_told_when_it_is_steered() -> None:
    assert lines_of(diagnosis(), beta=8.0) == []
    (line,) = lines_of(diagnosis(stability__beta_control="rate-difference"), beta=8.0)
    assert "beta has stayed at stability.beta_high = 8" in line


def test_a_coupling_above_one_is_told() -> None:
    watch = diagnosis()
    assert watch.coupled(np.array([0.0, 0.9])) == []
    (line,) = watch.coupled(np.array([0.0, 1.4]))
    assert (
        "the spectral norm of dense2 with the layer below is 1.40" in line and "stability.spectral_norm_limit" in line
    )
    assert watch.coupled(np.array([0.0, 1.5])) == []
