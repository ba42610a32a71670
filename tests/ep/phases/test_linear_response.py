"""Graded errors: the answers of mean rates against the slow reference to the bit, and against the exact gradient."""

from itertools import pairwise
from typing import Any

import gradient_cases as mf
import numpy as np
import pytest
import reference
import small
import twin_phases as tp

from spikesim.engine.delivery import deliver_block
from spikesim.engine.plan import FIRING_DEVIATIONS, FIRING_MEAN_FIELD
from spikesim.engine.simd.accumulate import SMALL
from spikesim.engine.simd.dot_products import ABREAST_32, ABREAST_64
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradients.centering import seen
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.rate_sums import RateSums, mean_activity
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE

GRADED = {**tp.CLAMPED, "dynamics__nudged_phase": "linear-response"}
WINDOW = tp.WINDOW


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled", "winner", "strided"])
@pytest.mark.parametrize("error_gain", [0, 2])
def test_phases_agree_with_the_reference_to_the_bit(firing: str, pooling: str, error_gain: int) -> None:
    settings = {"inference": "mean-field"} if firing == "mean-field" else {"firing": firing}
    settings["pooling"] = pooling
    model, config, workspace = tp.prepare(
        dynamics__error_gain=2.0**-error_gain, seed=3, dynamics__steps_nudged=3, dynamics__window_nudged=2, **GRADED,
        **{f"dynamics__{key}": value for key, value in settings.items()},
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    counts = workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)

    rates, followed = tp.free_phase(twin, config.dynamics.onset(model.layers))
    assert all(count.any() for count in followed) and followed[0].mean() < WINDOW, "some follow and some do not"
    twin.potential = [rate.copy() for rate in rates]
    windows = [np.zeros_like(rate) for rate in rates]
    for t in range(3):
        tp.answer_step(model, twin, rates, followed, 1.5, error_gain)
        if t >= 1:
            for window, moved in zip(windows, twin.potential, strict=True):
                window += moved
    tp.assert_phase(workspace, twin, windows)
    assert (twin.potential[0] != rates[0]).any(), "the error has come down"
    assert counts.macs[0] > 0 and counts.macs[1] == 0


@pytest.mark.parametrize("firing", ["iid", "mean-field"])
def test_what_winners_passed_on_is_summed_over_the_window(firing: str) -> None:
    """By neuron of the pooled map, of each sample and of all."""
    settings = {"inference": "mean-field"} if firing == "mean-field" else {"firing": firing}
    model, config, workspace = tp.prepare(
        **GRADED, dynamics__pooling="winner", **{f"dynamics__{key}": value for key, value in settings.items()}
    )
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    lower = model.graph.populations[0]
    shape = reference.pooled(lower.shape)
    expected = np.zeros((tp.SAMPLES, *shape), np.int64)
    onset = config.dynamics.onset(model.layers)
    for t in range(20):
        twin.run(1, first=t, stream=5, onset=onset)
        if t >= 20 - WINDOW:
            expected += reference.cells(np.clip(twin.potential[0], 0, ONE - 1), lower.shape).max(axis=1)
    at, size = model.passed_at(lower), shape[0] * shape[1] * lower.lanes * lower.blocks
    found = tp.sums_of(workspace)[:, at : at + size].reshape(tp.SAMPLES, lower.blocks, *shape[:2], lower.lanes)
    found = found.transpose(0, 2, 3, 1, 4).reshape(tp.SAMPLES, *shape[:2], -1)[..., : shape[2]]
    np.testing.assert_array_equal(found, expected)
    sums = RateSums.zero(model.compiled.sizes["state"])
    workspace.rate_sums(tp.SAMPLES, sums)
    np.testing.assert_array_equal(seen(model, model.graph.edges[1], sums), expected.sum(axis=0))
    own = sums.maps(lower, model.slice_of(lower).start)
    np.testing.assert_array_equal(own, lower.from_state(tp.sums_of(workspace)[:, model.state_slice(0)]).sum(axis=0))
    means = own.mean(axis=(0, 1)) / (ONE * tp.SAMPLES * WINDOW)
    np.testing.assert_allclose(mean_activity(own, tp.SAMPLES * own.shape[0] * own.shape[1], WINDOW), means, rtol=1e-15)


def test_without_feedback_no_layer_hears_the_one_above() -> None:
    """Lower layers do not change with the weights above them, spikes are delivered upwards alone, errors still come."""
    rates, gradients = [], []
    for seed in (2, 3):
        config = small.make(*small.LAYERS, **GRADED, dynamics__feedback_gain=0.0)
        parameters = small.random_parameters(Model(config, small.make_dataset()), 2)
        upper = small.random_parameters(Model(config, small.make_dataset()), seed)
        for name, values in parameters.leaves().items():
            if not name.startswith("conv1"):
                values[...] = upper.leaves()[name]
        with small.learning(config, small.make_dataset(), parameters=parameters) as (learner, pipeline):
            ids = np.arange(6)
            batch = MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3)
            found, result = learner.estimate(batch, keep_rates=True)
            assert not result.counts[ph.FREE].events_feedback.any()
            assert result.rates is not None
            rates.append([result.rates.free[:, learner.model.state_slice(layer)] for layer in range(3)])
            gradients.append(found["conv1/weight"])
    np.testing.assert_array_equal(rates[0][0], rates[1][0])
    assert (rates[0][1] != rates[1][1]).any() and (gradients[0] != gradients[1]).any()


SINGLE = ABREAST_32 + ABREAST_64
"""Values of which fewer than this have a sum in int32 are not listed."""


@pytest.mark.parametrize("beta", [0.02, 1.0, 200.0])
@pytest.mark.parametrize("channels", [(5, 3), (32, 64), (64, 32)])
def test_deviations_of_any_size_are_delivered_exactly(beta: float, channels: tuple[int, int]) -> None:
    """Sums in int32 of as many as fit, down to a single one, against sums in float64, which hold them all."""
    layers = ({**small.POOLED, "channels": count} for count in channels)
    model, _, workspace = tp.prepare(*layers, **GRADED, error_signals__kind="local")
    tp.settled(workspace)
    tp.nudged(workspace, beta, beta)
    assert model.clamped is not None
    plan, state, reaches = model.clamped.plan, workspace.state, []
    engine = workspace.group.engine._replace(plan=plan)
    for table in plan.incoming:
        row = plan.tables[table]
        source, target = plan.populations[row.source], plan.populations[row.target]
        pixels, size = source.height * source.width, target.height * target.width
        for sample in range(tp.SAMPLES):
            at = source.start
            events = state.values[sample, source.events :][: state.start[sample, at + pixels]]
            largest = int(np.abs(events.astype(np.int64)).max())
            assert state.largest[sample, row.source] == largest > 0
            reaches.append((SMALL // largest, len(events)))
            outs = []
            for firing in (FIRING_DEVIATIONS, FIRING_MEAN_FIELD):
                out = np.zeros(size * target.lanes, np.int32)
                deliver_block(engine, firing, table, 0, sample, out, True)
                outs.append(out)
            assert outs[0].any()
            np.testing.assert_array_equal(*outs)
    if beta < 1:
        assert all(reach >= events for reach, events in reaches), "one sum in int32"
    elif beta < 10:
        assert channels == (5, 3) or all(SINGLE < reach < events for reach, events in reaches), "several"
    else:
        assert all(reach < SINGLE for reach, _ in reaches), "too large for 16 bits"


def test_no_noise_and_nothing_moves_without_a_nudge() -> None:
    """After a free phase with spikes no random number matters any more."""
    _, _, workspace = tp.prepare(**GRADED, dynamics__error_gain=0.5)
    tp.settled(workspace)
    rates = workspace.state.membrane.copy()
    np.testing.assert_array_equal(tp.nudged(workspace, 0.0), WINDOW * rates)
    np.testing.assert_array_equal(tp.nudged(workspace, 1.5, stream=6), tp.nudged(workspace, 1.5, stream=7))
    assert (tp.nudged(workspace, 1.5) != WINDOW * rates).any()


def test_answers_to_small_nudges_are_opposite() -> None:
    """Away from the bounds of p, and in the first step, which knows only the nudges of the mean rates."""
    _, _, workspace = tp.prepare(**GRADED, dynamics__steps_nudged=2)
    tp.settled(workspace)
    rates = workspace.state.membrane.copy()
    early = []
    for beta in (0.02, -0.02):
        tp.nudged(workspace, beta)
        early.append(workspace.state.window[0, : tp.SAMPLES] - rates)
    inside = (rates > ONE // 50) & (rates < ONE - ONE // 50)
    assert early[0][inside].any()
    np.testing.assert_array_equal(early[0][inside], -early[1][inside])


def test_layers_answer_to_nothing_below_them() -> None:
    model, _, workspace = tp.prepare(**GRADED, error_signals__kind="local")
    tp.settled(workspace)
    plus, minus = (tp.nudged(workspace, beta, 0.0) for beta in (2.0, -2.0))
    moved = [np.abs(plus - minus)[:, model.state_slice(layer)].sum() for layer in range(model.layers)]
    assert moved[0] > 0 and moved[1] == 0


def test_errors_pass_all_layers_in_one_step() -> None:
    config = small.make(
        *(small.CONV,) * 5, **GRADED, dynamics__error_gain=1.0, dynamics__steps_nudged=2, dynamics__beta=2.0,
        error_signals__kind="none",
    )  # fmt: skip
    with small.learning(config, small.make_dataset()) as (learner, pipeline):
        ids = np.arange(6)
        gradients, result = learner.estimate(MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3))
    assert (result.rate_difference > 0).all()
    assert all(gradients[f"{name}/weight"].any() for name in learner.model.names)


def test_a_longer_window_lowers_the_noise_of_the_errors() -> None:
    """The derivative is a mean over the window, so that estimates of different random numbers agree the better."""
    cosines = []
    for window in (2, 8, 32):
        config = small.make(
            small.POOLED, small.POOLED, **GRADED, dynamics__window_free=window, dynamics__steps_free=40,
            dynamics__firing="iid", dynamics__beta=0.1,
        )  # fmt: skip
        with small.learning(config, small.make_dataset()) as (learner, pipeline):
            ids = np.arange(12)
            images = pipeline.train(0, ids)
            found = [learner.estimate(MiniBatch(epoch, 0, images, ids, ids % 3))[0] for epoch in range(6)]
        estimates = [np.concatenate([one[f"{name}/weight"].ravel() for name in learner.model.names]) for one in found]
        cosines.append(np.mean([mf.cosine(one, other) for one, other in pairwise(estimates)]))
    assert cosines[0] < cosines[1] < cosines[2], cosines


def test_a_small_nudge_needs_graded_errors() -> None:
    """Free phases with spikes, long enough to have the rates of the mean field; a nudge that hardly flips one."""
    lowest = {}
    for phase in ("clamped-spikes", "linear-response"):
        case = mf.prepare(
            "two convolutions, odd maps", **{**tp.CLAMPED, "dynamics__nudged_phase": phase}, dynamics__error_gain=0.5,
            dynamics__leak=4, dynamics__beta=0.02, dynamics__steps_free=600, dynamics__window_free=400,
            dynamics__steps_nudged=8, data__batch_size=5,
        )  # fmt: skip
        dataset = small.make_dataset(size=(7, 6), samples=5)
        start = small.random_parameters(case.model, 1, gain=0.6)
        with small.learning(case.config, dataset, parameters=start) as (learner, _):
            found, _ = learner.estimate(MiniBatch(0, 0, case.images, np.arange(5), case.labels))
        expected = ad.reference(case.field, case.inputs, 0.1, rule="postsynaptic").exact
        lowest[phase] = mf.cosine(expected.weights[0], found[f"{case.model.names[0]}/weight"])
    assert lowest["linear-response"] > 0.999 and lowest["clamped-spikes"] < 0.97, lowest


@pytest.mark.parametrize("nudging", ["centered", "deviation"])
def test_graded_errors_are_multiply_accumulates(nudging: str) -> None:
    config = small.make(small.POOLED, small.CONV, **GRADED, dynamics__nudging=nudging)
    with small.learning(config, small.make_dataset()) as (learner, pipeline):
        ids = np.arange(6)
        _, result = learner.estimate(MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3))
    assert result.counts[ph.FREE].spikes.any() and result.counts[ph.FREE].events_feedback[0] > 0
    nudged = [result.counts[phase] for phase in (ph.PLUS, ph.MINUS) if result.counts[phase].steps]
    assert len(nudged) == (2 if nudging == "centered" else 1)
    for counts in nudged:
        assert counts.macs[0] > 0 and not counts.events_feedback.any()


def test_spikes_cannot_be_averaged_where_there_are_none() -> None:
    with pytest.raises(InputError, match=r"dynamics\.contrast is 'spikes'; .* 'linear-response' it must be 'proba"):
        small.make(small.CONV, **GRADED, dynamics__contrast="spikes")


@pytest.mark.parametrize("inference", ["stochastic", "mean-field"])
def test_threads_and_groups_change_no_bit(inference: str) -> None:
    config = small.make(small.POOLED, small.CONV, **GRADED, error_signals__kind="local", dynamics__inference=inference)

    def gradients(threads: int) -> dict[str, Any]:
        with small.learning(config, small.make_dataset(), threads=threads) as (learner, pipeline):
            ids = np.arange(12)
            return learner.estimate(MiniBatch(0, 0, pipeline.train(0, ids), ids, ids % 3))[0]

    one, two = gradients(1), gradients(3)
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name], name)
