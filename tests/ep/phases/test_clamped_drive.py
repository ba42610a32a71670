"""Clamped drives: the phases against the slow reference to the bit, the gradient against finite differences."""

from dataclasses import replace
from typing import Any

import gradient_cases as mf
import numpy as np
import pytest
import small
import twin_phases as tp
from twin_phases import CLAMPED, ClampedTwin, clamped_drives

from spikesim.ep.config.parsing import Config
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradcheck.mean_field import MeanField, Reals
from spikesim.ep.gradients import contrast as co
from spikesim.ep.gradients.estimator import LayerSums, layer_sums
from spikesim.ep.gradients.scheme import NudgingScheme
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.graph import INPUT
from spikesim.ep.parallel.buffers import Buffers
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled"])
@pytest.mark.parametrize(("gain", "error_gain"), [(0, 0), (3, 1), (1, 4)])
def test_phases_agree_with_the_reference_to_the_bit(gain: int, error_gain: int, firing: str, pooling: str) -> None:
    settings = {"inference": "mean-field"} if firing == "mean-field" else {"firing": firing}
    model, config, workspace = tp.prepare(
        dynamics__pooling=pooling, dynamics__feedback_gain=2.0**-gain, dynamics__error_gain=2.0**-error_gain, seed=3,
        **CLAMPED, **{f"dynamics__{key}": value for key, value in settings.items()},
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    workspace.free(workspace.rest(tp.images(), tp.IDS), 5, tp.RUN)
    twin.run(20, window=8, stream=5)
    macs = workspace.keep(tp.SAMPLES)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)

    for population, drive in zip(twin.populations, clamped_drives(twin, 8, gain, error_gain), strict=True):
        population.external = drive
    twin.__class__ = ClampedTwin
    twin.attenuation = error_gain  # type: ignore[attr-defined]
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[-1].nudge = tp.slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, onset=model.layers)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows)
    assert macs[0] > 0 and macs[1] > 0, "the upper layer's rates have been sent down, the lower layer's up"


def test_without_a_nudge_the_network_stays_where_it_is() -> None:
    _, _, workspace = tp.prepare(
        **CLAMPED, dynamics__inference="mean-field", dynamics__steps_free=200, dynamics__feedback_gain=0.5
    )
    tp.settled(workspace)
    before = tp.sums_of(workspace)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([0.0]), tp.RUN)
    np.testing.assert_allclose(tp.sums_of(workspace), before, atol=8 * 8)  # roundings of 2**-16 over eight steps


def test_holding_leaves_the_state_as_it_was() -> None:
    _, _, workspace = tp.prepare(**CLAMPED)
    workspace.free(workspace.rest(tp.images(), tp.IDS), 5, tp.RUN)
    membrane, words, sums = workspace.state.membrane.copy(), workspace.state.words.copy(), tp.sums_of(workspace)
    workspace.keep(tp.SAMPLES)
    np.testing.assert_array_equal(workspace.state.membrane, membrane)
    np.testing.assert_array_equal(workspace.state.words, words)
    np.testing.assert_array_equal(tp.sums_of(workspace), sums)


def test_a_layer_does_not_answer_to_the_nudges_below_it() -> None:
    settings = {"error_signals__kind": "local", "dynamics__inference": "mean-field"}
    for phase, answers in (("clamped-spikes", False), ("live-spikes", True)):
        model, _, workspace = tp.prepare(**{**CLAMPED, **settings, "dynamics__nudged_phase": phase})
        tp.settled(workspace)
        plus, minus = (tp.nudged(workspace, beta, 0.0) for beta in (2.0, -2.0))
        moved = [np.abs(plus - minus)[:, model.state_slice(layer)].sum() for layer in range(model.layers)]
        assert moved[0] > 0 and (moved[1] > 0) == answers


# -- The mean field ---------------------------------------------------------------------------------------------------


def one_way_cost(case: mf.Case, field: MeanField, rest: list[Reals], layer: int) -> float:
    """What a parameter of a layer descends, of the network driven upwards while its feedback stays as it is: the costs
    of that layer and those above, each the less, the more levels its error has come down."""
    rates: list[Reals] = []
    total, levels, error_gain = 0.0, field.levels, case.config.dynamics.error_gain
    for number in range(field.layers):
        drive = field.biases[number] + np.zeros(rest[number].shape)
        for path in field.into(number):
            drive = drive + path.link.up(case.inputs.images if path.source == INPUT else rates[path.source])
        for path in case.field.out_of(number):
            drive = drive + path.gain * path.link.down(rest[path.target])
        rates.append(np.clip(drive, 0.0, 1.0))
    for head in field.heads:
        if levels[head.layer] >= levels[layer]:
            costs = head.costs(head.logits(rates[head.layer], field.mask(head.layer, case.inputs)), case.inputs)
            total += head.strength * error_gain ** (levels[head.layer] - levels[layer]) * float(costs.mean())
    return total


@pytest.mark.parametrize("error_gain", [1.0, 0.25, 0.0])
@pytest.mark.parametrize("name", mf.CASES)
def test_the_exact_gradient_is_that_of_finite_differences(name: str, error_gain: float) -> None:
    case = mf.prepare(name, **CLAMPED, dynamics__error_gain=error_gain)
    rest = case.field.settle(case.inputs, tolerance=1e-14)
    exact = ad.exact_gradient(case.field, case.inputs, rest, rule="postsynaptic", tolerance=1e-14).scaled(1 / 5)
    rng = np.random.default_rng(7)
    for index, kind, gradient in mf.parts(exact):
        layer = case.field.paths[index].target if kind == "weight" else index
        chosen = [np.unravel_index(flat, gradient.shape) for flat in rng.integers(0, gradient.size, 6)]
        up, down = (
            np.array(
                [one_way_cost(case, mf.changed(case.field, index, kind, at, step), rest.rates, layer) for at in chosen]
            )
            for step in (1e-6, -1e-6)
        )
        found = (up - down) / 2e-6
        heard = error_gain > 0 or any(head.layer == layer and head.strength for head in case.field.heads)
        assert not heard or np.abs(found).max() > 1e-5, "something to compare"
        np.testing.assert_allclose([gradient[at] for at in chosen], found, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", mf.CASES)
def test_the_estimate_at_a_small_beta_is_the_exact_gradient(name: str) -> None:
    case = mf.prepare(name, **CLAMPED, dynamics__error_gain=0.5)
    found = ad.reference(case.field, case.inputs, 0.01, rule="postsynaptic")
    for (_, _, exact), (_, _, estimate) in zip(mf.parts(found.exact), mf.parts(found.estimate), strict=True):
        assert mf.cosine(exact, estimate) > 0.999
        assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(exact), rel=0.05)


@pytest.mark.parametrize("name", ["two convolutions, odd maps", "teacher", "feedback gain and heads"])
def test_the_engine_estimates_the_same_gradient(name: str) -> None:
    case = mf.prepare(
        name, **CLAMPED, dynamics__error_gain=0.5, dynamics__inference="mean-field", dynamics__leak=1,
        dynamics__beta=0.1,
        dynamics__steps_free=120, dynamics__steps_nudged=8, data__batch_size=5,
    )  # fmt: skip
    dataset = small.make_dataset(size=(7, 6), samples=5)
    with small.learning(case.config, dataset, parameters=small.random_parameters(case.model, 1, gain=0.6)) as (
        learner,
        _,
    ):
        if learner.soft_targets is None and case.config.error_signals.kind != "none":
            learner.soft_targets = case.targets
        found, _ = learner.estimate(MiniBatch(0, 0, case.images, np.arange(5), case.labels))
    expected = ad.reference(case.field, case.inputs, 0.1, rule="postsynaptic").exact
    for layer, kind, gradient in mf.parts(expected):
        estimate = found[mf.leaf(case.model, layer, kind)]
        assert mf.cosine(gradient, estimate) > 0.97, (layer, kind)
        assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(gradient), rel=0.15), (layer, kind)


# -- The contrast and the configuration -------------------------------------------------------------------------------


def test_the_contrast_takes_the_rates_of_the_free_phase() -> None:
    config = small.make(small.POOLED, small.CONV, **CLAMPED)
    model, _, workspace = tp.prepare(**CLAMPED)
    tp.settled(workspace)
    free = tp.sums_of(workspace)
    plus, minus = tp.nudged(workspace, 2.0), tp.nudged(workspace, -2.0)
    scheme, edge = NudgingScheme.of(model, config), model.graph.edges[1]
    found = LayerSums.room(model, scheme, Buffers())
    with ThreadPool(model, config, 2) as thread_pool:
        layer_sums(model, scheme, thread_pool, tp.images(), ph.Rates(plus, minus, free, free[:0]), found)
    (difference,), rows = found.correlations[1], co.presynaptic_rows(model, edge, tp.images(), free)
    expected = co.phase_correlation(model, edge, plus, rows).weights
    expected = expected - co.phase_correlation(model, edge, minus, rows).weights
    np.testing.assert_array_equal(difference.weights, expected)
    assert expected.any() and config.dynamics.clamped


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dynamics__rule": "symmetric"}, "dynamics.rule is 'symmetric'"),
        ({"dynamics__nudging": "one-sided"}, "dynamics.nudging is 'one-sided'"),
        ({"dynamics__error_gain": 0.3}, "dynamics.error_gain is 0.3; it must be a power of two"),
    ],
)
def test_what_held_drives_refuse(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        small.make(small.CONV, **{**CLAMPED, **settings})


def test_threads_and_groups_change_no_bit() -> None:
    def gradients(config: Config, threads: int) -> dict[str, Any]:
        with small.learning(config, small.make_dataset(), threads=threads) as (learner, pipeline):
            ids = np.arange(12)
            images = pipeline.train(0, ids)
            return learner.estimate(MiniBatch(0, 0, images, ids, ids % 3))[0]

    config = small.make(small.POOLED, small.CONV, **CLAMPED, error_signals__kind="local")
    one, two = gradients(config, 1), gradients(replace(config), 3)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], name)


def test_the_held_phase_counts_its_graded_operations_once() -> None:
    config = small.make(small.POOLED, small.CONV, **CLAMPED)
    with small.learning(config, small.make_dataset()) as (learner, pipeline):
        ids = np.arange(6)
        _, result = learner.estimate(MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3))
    assert result.counts[ph.PLUS].macs[1] > 0 and not result.counts[ph.MINUS].macs.any()
    assert not result.counts[ph.PLUS].events_forward.any() and result.counts[ph.PLUS].events_feedback[0] > 0
