"""Refractory neurons in the phases: against the slow reference to the bit, and against the exact gradient."""

from typing import Any

import gradient_cases as mf
import numpy as np
import pytest
import reference
import small
import twin_phases as tp
from numpy.typing import NDArray

from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE

REFRACTORY = {"model__neuron": "refractory", "model__refractory": 2}
GRADED = {**tp.CLAMPED, "dynamics__nudged_phase": "linear-response"}
WINDOW = 8

Integers = NDArray[np.int64]


def firing_settings(firing: str) -> dict[str, Any]:
    if firing == "mean-field":
        return {"dynamics__inference": "mean-field", **REFRACTORY}
    return {"dynamics__firing": firing, **REFRACTORY}


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled"])
@pytest.mark.parametrize("order", ["synchronous", "parity", "upwards"])
def test_live_phases_agree_with_the_reference_to_the_bit(order: str, firing: str, pooling: str) -> None:
    model, config, workspace = tp.prepare(
        dynamics__pooling=pooling, dynamics__order=order, seed=3, **firing_settings(firing)
    )
    twin = tp.slow_twin(model, config)
    counts = tp.settled(workspace)
    twin.run(20, window=8, stream=5, order=order)
    tp.assert_phase(workspace, twin, [window.sum(axis=0) for window in twin.window])
    np.testing.assert_array_equal(counts.spikes, twin.spike_counts.sum(axis=0))
    np.testing.assert_array_equal(counts.residual, twin.residual.sum(axis=0))
    if firing != "mean-field":
        assert all(own.any() for own in twin.countdown), "some wait when the phases begin"
    for stream in (6, 7):  # from the same state, which is restored
        own = tp.slow_twin(model, config)
        own.run(20, window=8, stream=5, order=order)
        workspace.restore(tp.SAMPLES)
        workspace.nudged(tp.SAMPLES, stream, tp.LABELS, np.array([1.5]), tp.RUN)
        windows = [np.zeros_like(potential) for potential in own.potential]
        for t in range(9):
            own.populations[-1].nudge = tp.slow_nudge(model, own, 1.5)
            own.run(1, first=t, stream=stream, order=order)
            if t >= 1:
                for window, p in zip(windows, own.probability, strict=True):
                    window += p
        tp.assert_phase(workspace, own, windows)


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled"])
def test_phases_with_held_drives_agree_with_the_reference_to_the_bit(firing: str, pooling: str) -> None:
    model, config, workspace = tp.prepare(
        dynamics__pooling=pooling, dynamics__feedback_gain=0.5, dynamics__error_gain=0.25, seed=3,
        **tp.CLAMPED, **firing_settings(firing),
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    twin.run(20, window=8, stream=5)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    for population, drive in zip(twin.populations, tp.clamped_drives(twin, 8, 1, 2), strict=True):
        population.external = drive
    twin.__class__ = tp.ClampedTwin
    twin.attenuation = 2  # type: ignore[attr-defined]
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[-1].nudge = tp.slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, onset=model.layers)
        if t >= 1:
            for window, p in zip(windows, twin.probability, strict=True):
                window += p
    tp.assert_phase(workspace, twin, windows)


def free_phase(twin: reference.Model, onset: int) -> tuple[list[Integers], list[Integers]]:
    """Mean rates of the window, and in how many of its steps p followed V; (samples, neurons) a layer."""
    twin.run(20 - WINDOW, stream=5, onset=onset)
    sums = [np.zeros_like(potential) for potential in twin.potential]
    followed = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(20 - WINDOW, 20):
        waits = [own.copy() for own in twin.countdown]
        twin.run(1, first=t, stream=5, onset=onset)
        for layer, potential in enumerate(twin.potential):
            sums[layer] += twin.probability[layer]
            followed[layer] += (potential > 0) & (potential < ONE - 1) & (waits[layer] == 0)
    return [np.minimum((total + WINDOW // 2) // WINDOW, ONE - 1) for total in sums], followed


def answer_step(model: Model, twin: reference.Model, rates: list[Integers], followed: list[Integers]) -> None:
    """One step: the rates, in place of the potentials, answer from the top down."""
    sent = [np.zeros_like(rate) for rate in rates]
    nudge = tp.slow_nudge(model, twin, 1.5)
    factors = 2 if twin.firing == "mean-field" else 1
    for layer in reversed(range(model.layers)):
        shift = tp.drives_from_above(twin, sent, 2, graded=True)[layer]
        if layer == model.layers - 1:
            shift = shift + nudge
        answer = shift * followed[layer] / WINDOW
        for _ in range(factors):
            answer = answer * np.maximum(1.0 - twin.populations[layer].refractory * rates[layer] / ONE, 0.0)
        twin.potential[layer] = np.clip(rates[layer] + np.rint(answer).astype(np.int64), 0, ONE - 1)
        twin.probability[layer] = twin.potential[layer]
        sent[layer] = twin.potential[layer] - rates[layer]


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled"])
def test_the_linear_response_agrees_with_the_reference_to_the_bit(firing: str, pooling: str) -> None:
    model, config, workspace = tp.prepare(
        dynamics__pooling=pooling, dynamics__error_gain=0.25, seed=3, dynamics__steps_nudged=3,
        dynamics__window_nudged=2, **GRADED, **firing_settings(firing),
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    rates, followed = free_phase(twin, config.dynamics.onset(model.layers))
    twin.potential, twin.probability = [own.copy() for own in rates], [own.copy() for own in rates]
    windows = [np.zeros_like(rate) for rate in rates]
    for t in range(3):
        answer_step(model, twin, rates, followed)
        if t >= 1:
            for window, moved in zip(windows, twin.potential, strict=True):
                window += moved
    tp.assert_phase(workspace, twin, windows)
    assert (twin.potential[0] != rates[0]).any(), "the error has come down"


@pytest.mark.parametrize("drive", ["live", "held, spikes", "held, graded"])
def test_threads_and_groups_change_no_bit(drive: str) -> None:
    more: dict[str, Any] = {"live": {}, "held, spikes": tp.CLAMPED, "held, graded": GRADED}[drive]
    config = small.make(small.POOLED, small.CONV, **more, error_signals__kind="local", **REFRACTORY)

    def gradients(threads: int) -> dict[str, Any]:
        with small.learning(config, small.make_dataset(), threads=threads) as (learner, pipeline):
            ids = np.arange(12)
            return learner.estimate(MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3))[0]

    one, two = gradients(1), gradients(3)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], name)


# -- The gradient -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["two convolutions, odd maps", "feedback gain and heads", "skips"])
@pytest.mark.parametrize("refractory", [1, 4])
def test_the_mean_field_comes_to_rest_and_its_gradient_is_that_of_its_cost(case: str, refractory: int) -> None:
    found = mf.prepare(case, model__neuron="refractory", model__refractory=refractory)
    rest = found.field.settle(found.inputs)
    assert rest.residual.max() < 1e-9
    rho = [np.clip(u, 0, 1) / (1 + refractory * np.clip(u, 0, 1)) for u in rest.drives]
    for rates, expected in zip(rest.rates, rho, strict=True):
        np.testing.assert_allclose(rates, expected, atol=1e-9)
    rule = "symmetric" if found.field.gain == 1.0 else "postsynaptic"
    if rule == "postsynaptic":
        return
    exact = ad.exact_gradient(found.field, found.inputs, rest)
    rng = np.random.default_rng(0)
    for index, kind, gradient in mf.parts(exact):
        at = tuple(rng.integers(side) for side in gradient.shape)
        costs = []
        for step in (1e-5, -1e-5):
            other = mf.changed(found.field, index, kind, at, step)
            moved = other.settle(found.inputs, rest.rates, tolerance=1e-12)
            costs.append(other.cost(moved.rates, found.inputs).sum())
        assert gradient[at] == pytest.approx((costs[0] - costs[1]) / 2e-5, rel=1e-3, abs=1e-7)
    estimate = ad.reference(found.field, found.inputs, 0.01)
    for one, other in zip(estimate.exact.weights, estimate.estimate.weights, strict=True):
        assert mf.cosine(one, other) > 0.99


@pytest.mark.parametrize("inference", ["stochastic", "mean-field"])
def test_the_engines_estimate_is_that_of_the_mean_field(inference: str) -> None:
    """Long free phases, whose rates are those of the mean field, and small graded nudges."""
    case = mf.prepare(
        "two convolutions, odd maps", **GRADED, dynamics__error_gain=0.5, dynamics__leak=4, dynamics__beta=0.02,
        dynamics__steps_free=1200, dynamics__window_free=1000, dynamics__steps_nudged=8, data__batch_size=5,
        dynamics__inference=inference, **REFRACTORY,
    )  # fmt: skip
    dataset = small.make_dataset(size=(7, 6), samples=5)
    start = small.random_parameters(case.model, 1, gain=0.6)
    with small.learning(case.config, dataset, parameters=start) as (learner, _):
        found, _ = learner.estimate(MiniBatch(0, 0, case.images, np.arange(5), case.labels))
    expected = ad.reference(case.field, case.inputs, 0.1, rule="postsynaptic").exact
    for edge, own in zip(case.model.graph.edges, expected.weights, strict=True):
        estimate = found[edge.weight]
        assert mf.cosine(own, estimate) > (0.99 if inference == "stochastic" else 0.999), edge.name
        assert np.linalg.norm(estimate) == pytest.approx(np.linalg.norm(own), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__neuron": "refractory"}, "model.refractory is not set; it belongs to model.neuron 'refractory'"),
        ({"model__refractory": 3}, "model.refractory is 3; it belongs to model.neuron 'refractory', which is 'clipped"),
        ({"model__neuron": "refractory", "model__refractory": 65}, "model.refractory"),
        ({"model__neuron": "lif"}, "model.neuron"),
        ({**REFRACTORY, "stability__target_rate": 0.1}, "stability.target_rate is 0.1; the activity penalty"),
    ],
)
def test_what_a_configuration_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        small.make(small.CONV, **settings)


def test_the_default_neuron_is_not_in_the_canonical_form() -> None:
    assert not {"neuron", "refractory"} & small.make(small.CONV).to_dict()["model"].keys()
    assert small.make(small.CONV, **REFRACTORY).to_dict()["model"]["refractory"] == 2
