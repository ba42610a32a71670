"""One nudged phase of graded events with a random sign."""

from typing import Any

import numpy as np
import pytest
import small

from spikesim.ep.inputs.samples import MiniBatch
from spikesim.errors import InputError

SAMPLES = 12
GRADED = {
    "dynamics__nudged_phase": "linear-response",
    "dynamics__rule": "postsynaptic",
}


def estimate(nudging: str, number: int = 0, threads: int = 1, **settings: Any) -> tuple[dict[str, Any], Any]:
    """The gradients of a mini-batch and what happened in it; `number` keys the sign."""
    config = small.make(small.POOLED, small.CONV, **GRADED, dynamics__nudging=nudging, dynamics__beta=0.5, **settings)
    with small.learning(config, small.make_dataset(), threads=threads) as (learner, pipeline):
        ids = np.arange(SAMPLES)
        return learner.estimate(MiniBatch(0, number, pipeline.train(0, ids), ids, ids % 3), keep_rates=True)


def signs() -> dict[bool, int]:
    """A mini-batch with a positive and one with a negative first nudge."""
    config = small.make(small.CONV, **GRADED, dynamics__nudging="deviation")
    with small.learning(config, small.make_dataset()) as (learner, _):
        drawn = {learner.scheme.comparison.sign(config.seed, 0, number) > 0: number for number in range(20)}
    assert len(drawn) == 2
    return drawn


def test_the_mean_over_both_signs_is_the_centered_gradient() -> None:
    """The response has no noise: (d+ / beta + d- / -beta) / 2 = (r+ - r-) / 2 beta."""
    centered, _ = estimate("centered")
    either = [estimate("deviation", number)[0] for number in signs().values()]
    for name, wanted in centered.items():
        found = (either[0][name] + either[1][name]) / 2
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max(), err_msg=name)


def test_one_phase_runs_and_its_sums_are_deviations() -> None:
    for positive, number in signs().items():
        _, result = estimate("deviation", number)
        free, plus, minus = result.counts
        ran, idle = (plus, minus) if positive else (minus, plus)
        assert free.updates.all() and ran.updates.all() and not idle.updates.any()
        assert not len(result.rates.minus)
        _, two = estimate("centered", number)
        dynamics = small.make(small.CONV, **GRADED).dynamics
        phase = two.rates.plus if positive else two.rates.minus
        mean = (two.rates.free + dynamics.window_free // 2) // dynamics.window_free
        np.testing.assert_array_equal(result.rates.plus, phase - dynamics.nudged_window * np.minimum(mean, 2**16 - 1))


def test_threads_change_no_bit() -> None:
    one, two = estimate("deviation")[0], estimate("deviation", threads=3)[0]
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], name)


def test_it_needs_graded_errors() -> None:
    with pytest.raises(InputError, match=r"dynamics\.nudging is 'deviation'; .* it must be 'centered'"):
        small.make(small.CONV, **{**GRADED, "dynamics__nudged_phase": "clamped-spikes"}, dynamics__nudging="deviation")
    with pytest.raises(InputError, match="it must be 'centered' or 'deviation'"):
        small.make(small.CONV, **GRADED, dynamics__nudging="one-sided")
