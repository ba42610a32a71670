"""Inputs of spikes in training: phases against the slow reference, gradients, and what must not change a bit."""

from pathlib import Path
from typing import Any

import event_files as ef
import numpy as np
import pytest
import reference
import small
import twin_phases as tp
from numpy.typing import NDArray
from threadranks import on_ranks

from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.synapses import Conv
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_EVALUATION, stream_of
from spikesim.ep.evaluation.evaluate import evaluate, record_spikes
from spikesim.ep.gradcheck.check import Variant, check_gradients
from spikesim.ep.inputs.encoding import window_means
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.linear_map import Link
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.communicator import Communicator, share
from spikesim.ep.phases import workspace as ph
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.calibration import calibrate
from spikesim.ep.training.observer import Observer
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import ONE

STEPS, WINDOW = 20, 8
LIVE: dict[str, Any] = {"data__encoding": "bernoulli"}
CLAMPED: dict[str, Any] = {**LIVE, **tp.CLAMPED}
GRADED: dict[str, Any] = {**CLAMPED, "dynamics__nudged_phase": "linear-response"}
MODES: dict[str, dict[str, Any]] = {
    "live": LIVE,
    "symmetric": {**LIVE, "dynamics__rule": "symmetric"},
    "one-sided": {**LIVE, "dynamics__nudging": "one-sided"},
    "random-sign": {**LIVE, "dynamics__nudging": "random-sign", "dynamics__rule": "postsynaptic"},
    "held": CLAMPED,
    "graded": GRADED,
    "penalized": {**GRADED, "stability__target_rate": 0.05},
    "latency": {**GRADED, "data__encoding": "latency"},
}


def spikes() -> NDArray[np.bool_]:
    return np.random.default_rng(8).random((tp.SAMPLES, STEPS, 5, 4, 2)) < 0.3


def follow(workspace: ph.Workspace) -> None:
    """A free phase that follows the spikes."""
    workspace.free(workspace.rest(SpikeTrains.of_dense(spikes()), tp.IDS), 5, tp.RUN)


# -- Against the reference --------------------------------------------------------------------------------------------


def slow_twin(model: Model, config: Config) -> reference.Model:
    """The same network in the reference, its input the last population."""
    pictures = small.make(*tp.LAYERS, **{"dynamics__pooling": config.dynamics.pooling})
    twin = tp.slow_twin(pictured(pictures), config)
    first = model.graph.edges[0].connection
    assert isinstance(first.table, Conv)
    matrix, exists = reference.conv_matrix(
        first.integers.astype(np.int64), first.table.frame, first.source.shape, first.target.shape, first.table.stride
    )
    given = reference.Population(
        first.source.shape, 0, np.zeros(2, int), stream=spikes().reshape(tp.SAMPLES, STEPS, -1)
    )
    twin.populations[0].external = 0
    populations = [*twin.populations, given]
    tables = [reference.Table(len(populations) - 1, 0, matrix, exists, first.exponent), *twin.tables]
    for table, edge in zip(tables[1:], model.graph.edges[1:], strict=True):
        assert table.attenuation == edge.connection.attenuation
    return reference.Model(populations, tables, twin.samples, twin.firing, twin.seed)


def pictured(config: Config) -> Model:
    """The same network in front of images."""
    model = Model(config, small.make_dataset(size=(5, 4), channels=2))
    model.set_parameters(small.random_parameters(model, 4), config.dynamics.beta)
    return model


def input_mean(twin: reference.Model) -> NDArray[np.int64]:
    """Mean of the input over the window, 1.0 = 2**16."""
    return (twin.window[-1].sum(axis=0) + WINDOW // 2) // WINDOW


def hold(twin: reference.Model) -> None:
    """The mean of the input, as a constant, in place of its spikes."""
    table = twin.tables[0]
    twin.populations[0].external = reference.rounded_shift(input_mean(twin) @ table.weights.T, table.exponent)
    given = twin.populations[-1].stream
    assert given is not None
    given[...] = False


@pytest.mark.parametrize("order", ["synchronous", "upwards"])
@pytest.mark.parametrize("firing", ["iid", "stratified"])
@pytest.mark.parametrize("pooling", ["average", "sampled", "strided"])
def test_live_phases_agree_with_the_reference_to_the_bit(pooling: str, firing: str, order: str) -> None:
    model, config, workspace = tp.prepare(
        **LIVE, dynamics__pooling=pooling, dynamics__firing=firing, dynamics__order=order, seed=3
    )
    twin = slow_twin(model, config)
    follow(workspace)
    twin.run(STEPS, window=WINDOW, stream=5, order=order)
    windows = [sums.sum(axis=0) for sums in twin.window]
    tp.assert_phase(workspace, twin, windows[:-1])
    at = model.slice_of(model.graph.image)
    found = model.graph.image.from_state(tp.sums_of(workspace)[:, at]).reshape(tp.SAMPLES, -1)
    np.testing.assert_array_equal(found, windows[-1])
    np.testing.assert_array_equal(workspace.group.engine.counts.spikes, twin.spike_counts)
    np.testing.assert_array_equal(workspace.group.engine.counts.events, twin.event_counts)

    macs = workspace.keep(tp.SAMPLES)
    hold(twin)
    windows = [np.zeros_like(potential) for potential in twin.potential]
    counts = workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    for t in range(9):
        twin.populations[model.layers - 1].nudge = slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, order=order)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows[:-1])
    sent = (input_of(spikes()) > 0) @ twin.tables[0].exists.sum(axis=0)
    assert macs.tolist() == [sent.sum(), 0], "the mean of the input is multiplied once"
    assert counts.events_forward[0] == 0, "nothing moves in the input of a nudged phase"


def input_of(given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Spikes in the window, (samples, neurons)."""
    return given[:, -WINDOW:].sum(axis=1).reshape(tp.SAMPLES, -1)


def slow_nudge(model: Model, twin: reference.Model, beta: float) -> NDArray[np.int64]:
    """As `twin_phases.slow_nudge`, the top layer not being the last population."""
    upper = reference.Model(twin.populations[:-1], twin.tables[1:], twin.samples, twin.firing, twin.seed)
    upper.potential = twin.potential[:-1]
    return tp.slow_nudge(model, upper, beta)


@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_held_phases_agree_with_the_reference_to_the_bit(firing: str) -> None:
    model, config, workspace = tp.prepare(**CLAMPED, dynamics__firing=firing, dynamics__error_gain=0.5, seed=3)
    twin = slow_twin(model, config)
    follow(workspace)
    twin.run(STEPS, window=WINDOW, stream=5)
    workspace.keep(tp.SAMPLES)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    drives = tp.clamped_drives(twin, WINDOW, 0, 1)
    hold(twin)
    for population, drive in zip(twin.populations, drives, strict=True):
        population.external = drive
    twin.__class__ = tp.ClampedTwin
    twin.attenuation = 1  # type: ignore[attr-defined]
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[model.layers - 1].nudge = slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, onset=model.layers)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows[:-1])


def test_a_tolerance_that_is_never_met_changes_nothing_and_one_that_is_ends_early() -> None:
    found = {}
    for tolerance in (None, 1e-12, 1.0):
        settings = {} if tolerance is None else {"dynamics__tolerance": tolerance}
        _, _, workspace = tp.prepare(**LIVE, **settings)
        follow(workspace)
        found[tolerance] = tp.sums_of(workspace), int(workspace.group.engine.counts.steps.sum())
    np.testing.assert_array_equal(found[None][0], found[1e-12][0])
    assert found[1.0][1] < found[1e-12][1] == found[None][1] == tp.SAMPLES * STEPS


def test_samples_follow_each_other_without_a_trace() -> None:
    """A workspace that has held the input of some samples gives others what a fresh one does."""
    for settings in (LIVE, CLAMPED, GRADED):
        results = []
        for used in (False, True):
            _, _, workspace = tp.prepare(**settings)
            if used:
                other = np.random.default_rng(1).random((tp.SAMPLES, STEPS, 5, 4, 2)) < 0.6
                workspace.free(workspace.rest(SpikeTrains.of_dense(other), tp.IDS), 3, tp.RUN)
                workspace.keep(tp.SAMPLES)
                workspace.nudged(tp.SAMPLES, 4, tp.LABELS, np.array([1.0]), tp.RUN)
            follow(workspace)
            free = tp.sums_of(workspace)
            workspace.keep(tp.SAMPLES)
            workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.0]), tp.RUN)
            results.append((free, tp.sums_of(workspace)))
        for one, other in zip(*results, strict=True):
            np.testing.assert_array_equal(one, other)


# -- Gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "penalized"])
def test_the_first_weights_learn_from_the_mean_of_the_window(mode: str) -> None:
    config, dataset = small.make(*small.LAYERS, **MODES[mode]), small.make_dataset(samples=small.SAMPLES)
    with small.learning(config, dataset) as (learner, pipeline):
        ids = learner.order(0, small.SAMPLES)
        inputs = pipeline.train(0, ids)
        gradients, result = learner.estimate(MiniBatch(0, 0, inputs, ids, dataset.train.labels[ids]), keep_rates=True)
        model, rates, dynamics = learner.model, result.rates, config.dynamics
        assert rates is not None and isinstance(inputs, SpikeTrains)
        first = model.graph.edges[0].connection
        size = np.prod(first.source.shape)
        mean = inputs.counts(size, dynamics.steps_free - dynamics.window_free, dynamics.steps_free)
        below = mean.reshape(-1, *first.source.shape) / dynamics.window_free
        centered = dynamics.nudging == "centered"
        other, window = (rates.minus, dynamics.nudged_window) if centered else (rates.free, dynamics.window_free)
        at = model.state_slice(0)
        moved = first.target.from_state(rates.plus[:, at]) / (ONE * dynamics.nudged_window)
        if dynamics.nudging != "deviation":
            moved = moved - first.target.from_state(other[:, at]) / (ONE * window)
        beta = result.beta * (2 if centered else small.sign(learner, 0, 0)) * small.SAMPLES
        share = 1.0 if model.clamped is not None else dynamics.feedback_gain ** (model.layers - 1)
        wanted = -Link.of(first).correlate(below, moved) / (beta * share)
        assert np.abs(wanted).max() > 0
        np.testing.assert_allclose(gradients[f"{model.names[0]}/weight"], wanted, rtol=2e-5, atol=1e-9)


def test_the_gradients_of_recordings_point_where_the_mean_field_says() -> None:
    """The free phase of a recording never rests, and yet the estimate is near to the gradient for its mean."""
    config = small.make(
        *small.LAYERS, **{**GRADED, "data__encoding": "auto"}, dynamics__firing="stratified",
        dynamics__feedback_gain=0.125, model__activity=0.2, data__batch_size=12,
    )  # fmt: skip
    found = check_gradients(config, ef.make_recordings(), [Variant.of(config)], repeats=2)
    cosine = found.variants[0].weights["exact"].cosine.mean(axis=0)
    assert (cosine > 0.5).all(), cosine


def test_calibration_reaches_the_wanted_activity() -> None:
    config, dataset = small.make(*small.LAYERS, model__activity=0.15, model__gain=0.5), ef.make_recordings()
    with small.learning(config, dataset) as (learner, pipeline):
        ids = np.arange(12)
        found = calibrate(
            learner.model, config, learner.normalization, learner.thread_pool, pipeline.plain(dataset.train, ids), ids
        )
        np.testing.assert_allclose(found, 0.15, rtol=0.06)


# -- What must not change a bit ---------------------------------------------------------------------------------------


def run(
    settings: dict[str, Any], *, threads: int = 1, group: int | None = None, ranks: Communicator | None = None
) -> Any:
    """Parameters and results after two mini-batches of recordings or coded images."""
    recordings = settings.get("data__encoding") == "auto"
    dataset = ef.make_recordings(small.SAMPLES) if recordings else small.make_dataset(samples=small.SAMPLES)
    config = small.make(*small.LAYERS, **settings)
    start = small.random_parameters(Model(config, dataset), 2)
    with small.learning(config, dataset, threads=threads, parameters=start, ranks=ranks) as (learner, pipeline):
        learner.thread_pool.group = group or learner.thread_pool.group
        results = []
        for number in range(2):
            ids = learner.order(number, small.SAMPLES)
            inputs = pipeline.train(number, ids[share(learner.thread_pool.ranks, small.SAMPLES)])
            results.append(learner.batch(MiniBatch(number, number, inputs, ids, dataset.train.labels[ids]), 0.5))
        return small.copied(learner.parameters), results


@pytest.mark.parametrize("mode", [*MODES, "recordings"])
def test_threads_groups_and_ranks_change_no_bit(mode: str) -> None:
    settings = {**GRADED, "data__encoding": "auto"} if mode == "recordings" else MODES[mode]
    settings = {**settings, "optimizer__centering": True}
    alone = run(settings)
    small.assert_same(run(settings, threads=3, group=1), alone)
    small.assert_same(run(settings, threads=1, group=3), alone)
    for found in on_ranks(3, lambda ranks: run(settings, ranks=ranks)):
        small.assert_same(found, alone)


class Silent(Observer):
    """Says nothing; asks the trainer to stop at a mini-batch."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.left, self.trainer = stop_at, None

    def batch(self, progress: Any) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                assert self.trainer is not None
                self.trainer.request_stop()


@pytest.mark.parametrize("coding", ["auto", "bernoulli"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path: Path, coding: str) -> None:
    dataset = ef.make_recordings() if coding == "auto" else small.make_dataset()
    config = small.make(
        *small.LAYERS, **{**GRADED, "data__encoding": coding}, data__batch_size=8, optimizer__epochs=2,
        record__spikes=(3,), dynamics__steps_free=12, dynamics__window_free=6,
    )  # fmt: skip
    digests = []
    for name, stops in (("whole.h5", ()), ("stopped.h5", (2, 2))):
        for stop in (*stops, None):
            observer = Silent(stop)
            options = RunOptions(
                out=tmp_path / name, resume=True, overwrite=False, threads=2, checkpoint_every=1, command_line="train"
            )
            observer.trainer = trainer = Trainer(config, dataset, options, observer)
            if stop is None:
                trainer.run()
            else:
                with pytest.raises(Stopped):
                    trainer.run()
        with RunReader(tmp_path / name) as reader:
            digests.append(reader.digest())
            assert not any(layer.analogue for layer in reader.layers)
            free = reader.batches["events_forward"][:, ph.FREE, 0]
            assert (free > 0).all() and not reader.batches["macs"][:, ph.FREE, 0].any()
            assert set(reader.spikes()["layer"].tolist()) <= set(range(len(reader.layers)))
            assert reader.config["data"].get("duration") == (ef.MILLISECONDS if coding == "auto" else None)
    assert digests[0] == digests[1]


def test_moving_bars_are_learned_and_their_test_is_repeated() -> None:
    """Over a recording the classes have as many events in the same places: when they come tells them apart."""
    dataset = ef.make_recordings(48)
    config = small.make(
        {"kind": "conv", "channels": 12, "kernel": 5, "padding": 2, "pool": True}, {"kind": "dense", "channels": 24},
        **{**GRADED, "data__encoding": "auto"}, dynamics__firing="stratified", dynamics__steps_free=16,
        dynamics__window_free=8, dynamics__leak=1, dynamics__feedback_gain=0.0078125, dynamics__error_gain=0.5,
        dynamics__steps_nudged=2, dynamics__beta=0.25, error_signals__kind="local", data__batch_size=12,
        optimizer__learning_rate=0.03, optimizer__readout_learning_rate=0.02, model__activity=0.1,
    )  # fmt: skip
    with small.learning(config, dataset) as (learner, pipeline):
        ids = np.arange(48)
        calibrate(
            learner.model, config, learner.normalization, learner.thread_pool, pipeline.plain(dataset.train, ids), ids
        )
        for epoch in range(12):
            order = learner.order(epoch, 48)
            for batch in range(4):
                own = order[12 * batch : 12 * batch + 12]
                learner.batch(MiniBatch(epoch, batch, pipeline.train(epoch, own), own, dataset.train.labels[own]), 1.0)
        learner.model.set_parameters(learner.parameters)
        stream = stream_of(12, STREAM_EVALUATION)
        found = [evaluate(learner.thread_pool, pipeline, dataset.test, 48, stream) for _ in range(2)]
        assert found[0].accuracy > 0.85 and found[0].loss == found[1].loss
        train = next(iter(record_spikes(learner.thread_pool, pipeline, dataset.test, (5,), stream)))[1]
        assert train.layers.max() < learner.model.layers and len(train.steps)


def test_without_signals_an_untrained_network_guesses() -> None:
    """The same network as it starts cannot tell the bars apart: what the test above finds was learned."""
    dataset = ef.make_recordings(48)
    config = small.make({"kind": "dense", "channels": 24}, **{**GRADED, "data__encoding": "auto"})
    with small.learning(config, dataset, parameters=None) as (learner, pipeline):
        learner.model.set_parameters(initial_parameters(learner.model, config))
        assert evaluate(learner.thread_pool, pipeline, dataset.test, 48, 3).accuracy < 0.6


def test_the_mean_is_what_the_presenter_says() -> None:
    dataset = ef.make_recordings(6)
    config = small.make(small.DENSE)
    pipeline = InputPipeline(config, dataset, (8, 8, 2))
    trains = pipeline.train(0, np.arange(6))
    assert isinstance(trains, SpikeTrains)
    np.testing.assert_array_equal(pipeline.mean(trains), window_means(trains, (8, 8, 2), config.dynamics.window_free))
