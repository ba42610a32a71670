"""Mini-batches: the same bits however they are divided, nothing half done, and a loss that falls."""

import time
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray
from small import LAYERS, SAMPLES, assert_same
from threadranks import on_ranks

from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_EVALUATION, stream_of
from spikesim.ep.evaluation.evaluate import evaluate
from spikesim.ep.gradients import contrast as co
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.error_signals import has_teacher
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.communicator import Communicator, share
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learning.learner import BatchResult, Learner
from spikesim.errors import InputError, Stopped

SHORT = {
    "dynamics__steps_free": 24, "dynamics__window_free": 12, "dynamics__steps_nudged": 8, "data__batch_size": SAMPLES
}  # fmt: skip

GRADED = {"nudged_phase": "linear-response", "rule": "postsynaptic", "steps_nudged": 2}

MODES: dict[str, dict[str, Any]] = {
    "default": {},
    "one-sided": {"nudging": "one-sided"},
    "random sign": {"nudging": "random-sign"},
    "tolerance": {"tolerance": 0.01, "window_free": 6},
    "independent spikes": {"noise": "independent", "contrast": "spikes"},
    "stratified, sampled": {"firing": "stratified", "pooling": "sampled"},
    "mean field, squared error": {"inference": "mean-field", "cost": "squared-error"},
    "strided": {"pooling": "strided"},
    "winner": {"pooling": "winner", **GRADED},
    "winner, centered": {
        "pooling": "winner", **GRADED, "optimizer__centering": True, "tolerance": 0.01, "window_free": 6
    },
    "low pass": {"trace_leak": 2, "leak": 3, "window_nudged": 4},
    "feedback gain": {"feedback_gain": 0.25},
    "no feedback": {"feedback_gain": 0.0, **GRADED},
    "local heads": {"error_signals__kind": "local", "error_signals__grid": 2},
    "fixed heads, geometric": {"error_signals__kind": "local", "error_signals__learning": "fixed",
    "error_signals__profile": "geometric"}, "one head, independent": {"error_signals__kind": "local",
    "error_signals__layers": [2], "noise": "independent"}, "teacher": {"error_signals__kind": "kd",
    "error_signals__temperature": 2.0}, "both, balanced, steered": {
        "error_signals__kind": "both", "error_signals__profile": "balanced", "error_signals__schedule": "annealed",
        "error_signals__anneal_from": 0.2, "stability__beta_control": "rate-difference", "stability__rate_difference":
        0.1,
    },
    "target rate": {"stability__target_rate": 0.05},
    "centered": {"optimizer__centering": True},
    "postsynaptic": {"rule": "postsynaptic"},
    "postsynaptic, one-sided": {"rule": "postsynaptic", "nudging": "one-sided"},
}  # fmt: skip


def settings_of(mode: str) -> dict[str, Any]:
    named = {key if "__" in key else f"dynamics__{key}": value for key, value in MODES[mode].items()}
    return {**SHORT, **named}


def soft_targets_for(config: Config) -> NDArray[np.float64] | None:
    """Softened answers of a teacher, where the configuration wants one."""
    if not has_teacher(config.error_signals):
        return None
    weights = np.random.default_rng(4).random((SAMPLES, 3))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def run(
    settings: dict[str, Any],
    *,
    threads: int = 1,
    group: int | None = None,
    batches: int = 2,
    ranks: Communicator | None = None,
) -> tuple[dict[str, NDArray[np.float32]], list[BatchResult]]:
    """Parameters and results after some mini-batches of the same samples."""
    config, dataset = small.make(*LAYERS, **settings), small.make_dataset(samples=SAMPLES)
    start = small.random_parameters(Model(config, dataset), 2)
    targets = soft_targets_for(config)
    with small.learning(config, dataset, threads=threads, parameters=start, soft_targets=targets, ranks=ranks) as (
        learner,
        pipeline,
    ):
        if group is not None:
            learner.thread_pool.group = group
        results = []
        for number in range(batches):
            ids = learner.order(number, SAMPLES)
            own = share(learner.thread_pool.ranks, SAMPLES)
            images, labels = pipeline.train(number, ids[own]), dataset.train.labels[ids]
            results.append(
                learner.batch(MiniBatch(number, number, images, ids, labels), 0.5, progress=number / batches)
            )
        return small.copied(learner.parameters), results


@pytest.mark.parametrize("mode", MODES)
def test_threads_and_groups_change_no_bit(mode: str) -> None:
    settings = settings_of(mode)
    alone = run(settings)
    assert_same(run(settings, threads=2), alone)
    assert_same(run(settings, threads=3), alone)
    assert_same(run(settings, threads=2, group=1), alone)
    assert_same(run(settings, threads=1, group=3), alone)


@pytest.mark.parametrize("size", [2, 3, SAMPLES + 2])
@pytest.mark.parametrize("mode", MODES)
def test_ranks_change_no_bit(mode: str, size: int) -> None:
    settings = settings_of(mode)
    alone = run(settings)
    for found in on_ranks(size, lambda ranks: run(settings, ranks=ranks)):
        assert_same(found, alone)


def test_every_mode_is_a_different_run() -> None:
    ends = {run({**settings_of(mode), "seed": 1})[0]["conv2/weight"].tobytes() for mode in MODES}
    assert len(ends) == len(MODES)


@pytest.mark.parametrize(("nudging", "differ"), [("centered", True), ("one-sided", False)])
def test_only_a_second_nudged_phase_can_have_noise_of_its_own(nudging: str, differ: bool) -> None:
    settings = {**SHORT, "dynamics__nudging": nudging}
    common, _ = run({**settings, "dynamics__noise": "common"}, batches=1)
    independent, _ = run({**settings, "dynamics__noise": "independent"}, batches=1)
    assert (common["conv2/weight"] != independent["conv2/weight"]).any() == differ


@pytest.mark.parametrize("mode", MODES)
def test_result_says_what_happened(mode: str) -> None:
    config = small.make(*LAYERS, **settings_of(mode))
    dynamics = config.dynamics
    parameters, results = run(settings_of(mode), batches=1)
    (result,) = results
    free, plus, minus = result.counts
    assert len(result.loss_sum) == SAMPLES and np.isfinite(result.loss_sum).all() and min(result.loss_sum) > 0
    assert 0 <= result.correct <= SAMPLES
    if dynamics.tolerance is None:
        assert free.steps == SAMPLES * 24
    else:
        assert SAMPLES * 6 < free.steps < SAMPLES * 24 and free.steps % 3 == 0
    nudged = (int(plus.steps), int(minus.steps))
    once = SAMPLES * dynamics.steps_nudged
    drawn = [(once, 0), (0, once)]
    expected = {"centered": [(once, once)], "one-sided": [(once, 0)], "random-sign": drawn, "deviation": drawn}
    assert nudged in expected[dynamics.nudging]
    assert result.rate_difference.shape == (3,) and (result.rate_difference > 0).all()
    assert result.rate_difference.max() < 0.5
    assert result.changes.shape == (4,) and (result.changes > 0).all()
    model = Model(config, small.make_dataset())
    start = small.random_parameters(model, 2)
    assert result.lambdas.shape == result.head_loss.shape == result.head_correct.shape == (len(model.heads),)
    assert result.lambdas[-1] == 1
    if model.packed.answers.sum() == 1:
        assert result.head_correct[-1] == result.correct
        assert result.head_loss[-1] == pytest.approx(np.mean(result.loss_sum))
    assert [len(activity) for activity in result.activity] == [4, 17, 8]
    for name, before in start.leaves().items():
        moved = (parameters[name] != before).any()
        fixed = config.error_signals.learning == "fixed" and name.startswith("head")
        assert np.isfinite(parameters[name]).all() and moved != fixed, name


def test_both_signs_are_drawn_and_belong_to_the_mini_batch() -> None:
    config, dataset = small.make(*LAYERS, dynamics__nudging="random-sign"), small.make_dataset()
    with small.learning(config, dataset) as (learner, _):
        signs = [small.sign(learner, epoch, batch) for epoch in range(8) for batch in range(32)]
        assert set(signs) == {1, -1} and abs(sum(signs)) < 80
        assert signs == [small.sign(learner, epoch, batch) for epoch in range(8) for batch in range(32)]
    with small.learning(small.make(*LAYERS), dataset) as (learner, _):
        assert {small.sign(learner, 0, batch) for batch in range(32)} == {1}


def test_order_is_a_permutation_of_seed_and_epoch() -> None:
    dataset = small.make_dataset()
    orders = []
    for seed in (0, 1):
        with small.learning(small.make(small.DENSE, seed=seed), dataset) as (learner, _):
            for epoch in (0, 1):
                order = learner.order(epoch, 500)
                assert sorted(order.tolist()) == list(range(500))
                assert order.tolist() == learner.order(epoch, 500).tolist()
                orders.append(tuple(order.tolist()))
    assert len(set(orders)) == 4


def one_batch(learner: Learner, pipeline: Any) -> BatchResult:
    ids = np.arange(SAMPLES)
    train = pipeline.dataset.train
    return learner.batch(MiniBatch(0, 0, pipeline.plain(train, ids), ids, train.labels[ids]), 1.0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("where", ["before", "nudged phase", "contrast"])
def test_a_stopped_mini_batch_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, where: str, threads: int) -> None:
    config, dataset = small.make(*LAYERS, **SHORT), small.make_dataset(samples=SAMPLES)
    with small.learning(config, dataset, threads=threads) as (learner, pipeline):
        stop = learner.thread_pool.stop

        def stopping(original: Any) -> Any:
            def wrapped(*arguments: Any) -> Any:
                stop[0] = 1
                return original(*arguments)

            return wrapped

        before, moments = small.copied(learner.parameters), learner.optimizer.state()
        with monkeypatch.context() as patch:
            if where == "before":
                stop[0] = 1
            elif where == "nudged phase":
                patch.setattr(ph.Workspace, "nudged", stopping(ph.Workspace.nudged))
            else:
                patch.setattr(co, "contrast", stopping(co.contrast))
            with pytest.raises(Stopped):
                one_batch(learner, pipeline)
        for name, array in learner.parameters.leaves().items():
            assert array.tobytes() == before[name].tobytes()
        assert learner.optimizer.steps == 0 and not any(moment.any() for moment in moments.values())
        stop[0] = 0
        repeated = one_batch(learner, pipeline)
        after = small.copied(learner.parameters)
    with small.learning(config, dataset) as (learner, pipeline):
        undisturbed = one_batch(learner, pipeline)
        assert_same((after, [repeated]), (small.copied(learner.parameters), [undisturbed]))


def test_first_failure_is_raised_when_all_have_ended() -> None:
    config, dataset = small.make(small.DENSE), small.make_dataset()
    ended = []

    def fail(number: int) -> int:
        ended.append(number)
        if number in (2, 4):
            raise ValueError(f"number {number}")
        return number

    with ThreadPool(Model(config, dataset), config, 2) as thread_pool:
        futures: list[Future[int]] = [thread_pool.executor.submit(fail, number) for number in range(6)]
        with pytest.raises(ValueError, match="number 2"):
            thread_pool.gather(futures)
        assert all(future.done() for future in futures)
        assert thread_pool.gather([thread_pool.executor.submit(fail, number) for number in (7, 5, 6)]) == [7, 5, 6]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_team_maps_in_order_and_begins_nothing_after_a_failure(threads: int) -> None:
    config, dataset = small.make(small.DENSE), small.make_dataset()
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError(f"number {number}")
        time.sleep(0.001)
        return 10 * number

    with ThreadPool(Model(config, dataset), config, threads) as thread_pool:
        assert thread_pool.map(work, range(3, 40)) == list(range(30, 400, 10)) and sorted(begun) == list(range(3, 40))
        assert thread_pool.map(work, []) == []
        begun.clear()
        with pytest.raises(ValueError, match="number 2"):
            thread_pool.map(work, [0, 1, 2, *range(3, 200)])
        assert len(begun) <= 3 + 2 * threads, "the others end what they have begun"
        begun.clear()
        made = thread_pool.ahead(work, [5, 6, 7])
        assert next(made) == 50
        while len(begun) < 2:  # the next one is made without being asked for
            time.sleep(0.001)
        assert begun == [5, 6] and list(made) == [60, 70]
        assert list(thread_pool.ahead(work, [])) == []
        with pytest.raises(ValueError, match="number 2"):
            list(thread_pool.ahead(work, [1, 2, 3]))


@pytest.mark.parametrize("samples", [1, 10, 64, 65])
@pytest.mark.parametrize("threads", [1, 3])
def test_groups_cover_a_mini_batch_and_fit_their_workspaces(samples: int, threads: int) -> None:
    config, dataset = small.make(small.DENSE, data__batch_size=samples), small.make_dataset()
    with ThreadPool(Model(config, dataset), config, threads) as thread_pool:
        groups = thread_pool.groups(samples)
        assert [i for group in groups for i in range(group.start, group.stop)] == list(range(samples))
        assert all(group.stop - group.start <= thread_pool.group for group in groups)
        assert thread_pool.map(lambda _: thread_pool.workspace.capacity, groups) == [thread_pool.group] * len(groups)


def test_parameters_out_of_range_and_lists_of_wrong_length_are_refused() -> None:
    dataset = small.make_dataset(samples=SAMPLES)
    with small.learning(small.make(*LAYERS), dataset) as (learner, pipeline):
        learner.parameters.weights(learner.model.graph)[1][0, 0, 0, 0] = np.nan
        with pytest.raises(InputError, match="not finite; lower the learning rate"):
            one_batch(learner, pipeline)
    config = small.make(*LAYERS, optimizer__learning_rate=[0.1, 0.2])
    with (
        pytest.raises(InputError, match=r"optimizer\.learning_rate has 2 values; the network has 3 layers"),
        small.learning(config, dataset),
    ):
        pass


def test_layers_learn_at_their_own_rates() -> None:
    zero = {
        **SHORT,
        "optimizer__learning_rate": [0.0, 0.01, 0.02],
        "optimizer__readout_learning_rate": 0.0,
        "stability__homeostasis": 0.0,
    }
    parameters, results = run({**zero, "optimizer__bias_factor": 0.0}, batches=1)
    start = small.random_parameters(Model(small.make(*LAYERS), small.make_dataset()), 2)
    moved = {name for name, before in start.leaves().items()
             if (parameters[name] != before).any()}  # fmt: skip
    assert moved == {"conv2/weight", "dense3/weight"}
    changes = results[0].changes
    assert changes[0] == changes[3] == 0
    for change, rate, fan_in in ((changes[1], 0.01, 9 * 4), (changes[2], 0.02, 3 * 3 * 17)):
        step = 0.5 * rate * 0.5 / fan_in**0.5  # the factor of the schedule, and the initial deviation of the weights
        assert 0.5 * step < change <= 1.001 * step, "the first step of Adam is the rate, where there is a gradient"


@pytest.mark.parametrize(
    "mode", ["default", "one-sided", "random sign", "stratified, sampled", "low pass", "feedback gain", "local heads"]
)
def test_loss_falls_by_learning_in_the_layers_alone(mode: str) -> None:
    dataset = small.make_dataset(samples=24)
    only_layers = {"data__batch_size": 24, "optimizer__learning_rate": 0.2, "optimizer__readout_learning_rate": 0.0}
    layers = ({**small.POOLED, "channels": 8}, {"kind": "dense", "channels": 24})
    config = small.make(*layers, **{**settings_of(mode), **only_layers})
    start = small.random_parameters(Model(config, dataset), 2)
    start.readout.weight[...] *= np.float32(2)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        ids = np.arange(24)
        images, labels = pipeline.plain(dataset.train, ids), dataset.train.labels
        losses = [sum(learner.batch(MiniBatch(0, i, images, ids, labels), 1.0).loss_sum) / 24 for i in range(16)]
    assert np.mean(losses[-3:]) < 0.6 * losses[0], losses


def test_a_separable_problem_is_learned_and_generalises() -> None:
    dataset = small.make_dataset(samples=24)
    config = small.make({**small.POOLED, "channels": 8}, **{**SHORT, "data__batch_size": 24})
    with small.learning(config, dataset, threads=2) as (learner, pipeline):
        start = small.random_parameters(learner.model, 2)
        for name, array in learner.parameters.leaves().items():
            array[...] = start.leaves()[name]
        ids = np.arange(24)
        images, labels = pipeline.plain(dataset.train, ids), dataset.train.labels
        for number in range(16):
            learner.batch(MiniBatch(number, 0, images, ids, labels), 1.0)
        learner.model.set_parameters(learner.parameters, 2.0)
        done: list[int] = []
        found = evaluate(learner.thread_pool, pipeline, dataset.test, 24, stream_of(0, STREAM_EVALUATION), done.append)
        again = evaluate(learner.thread_pool, pipeline, dataset.test, 24, stream_of(0, STREAM_EVALUATION))
    assert found.accuracy >= 0.95 and found.correct == round(found.accuracy * 24)
    assert (found.loss, found.correct) == (again.loss, again.correct)
    assert sum(done) == 24 and found.counts.steps == 24 * 24
