import sys

import numpy as np
import pytest
from commands import BATCHES, CONFIG
from threadranks import on_ranks

from spikesim.datasets import load
from spikesim.datasets.samples.split import hold_out
from spikesim.ep.config.parsing import make_config, merge
from spikesim.ep.evaluation.from_run import retest
from spikesim.ep.runs.writer import RunReader
from spikesim.ep.training import spectral_limit
from spikesim.ep.training.observer import Observer
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.stability.spectral import limit_spectral_norms
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError, Stopped
from spikesim.io import checkpoint

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(scope="module")
def dataset():
    return load("fashion-mnist-mini")


STEERED = {
    "error_signals.profile": "balanced",
    "error_signals.schedule": "annealed",
    "stability.beta_control": "rate-difference",
    "stability.rate_difference": 0.05,
    "stability.target_rate": 0.05,
    "stability.spectral_norm_limit": 0.01,
    "stability.spectral_norm_every": 2,
}
"""What has a state of its own that a checkpoint must keep, and what acts between mini-batches."""


def config(**changes):
    settings = {"data.test_limit": 20, **STEERED, **{key.replace("__", "."): value for key, value in changes.items()}}
    return make_config(merge(tomllib.loads(CONFIG), settings.items()))


class Watcher(Observer):
    """An observer that remembers, and may ask for a stop."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.trainer = None
        self.batches, self.epochs, self.tested, self.messages = [], [], [], []

    def message(self, text):
        self.messages.append(text)

    def batch(self, progress):
        self.batches.append(progress)
        if len(self.batches) == self.stop_after:
            self.trainer.request_stop()

    def testing(self, epoch, done, total):
        self.tested.append((epoch, done, total))

    def epoch(self, summary):
        self.epochs.append(summary)


def train(settings, dataset, out, stop_after=None, ranks=None, **options):
    watcher = Watcher(stop_after)
    options = RunOptions(out, threads=2 if ranks is None else 1, **options)
    trainer = watcher.trainer = Trainer(settings, dataset, options, watcher, ranks=ranks)
    try:
        trainer.run()
    except Stopped as stop:
        watcher.messages.append(str(stop))
    return watcher


@pytest.fixture(scope="module")
def whole(dataset, tmp_path_factory):
    run = tmp_path_factory.mktemp("trainer") / "run.h5"
    return run, train(config(), dataset, run)


def test_rows_agree_with_what_the_observer_saw(whole):
    run, watcher = whole
    with RunReader(run) as reader:
        assert reader.status == "finished"
        assert reader.rows["batches"] == len(watcher.batches) == 2 * BATCHES
        assert reader.rows["epochs"] == len(watcher.epochs) == 2
        batches, epochs = reader.batches, reader.epochs
        assert batches["samples"].tolist() == [4] * (2 * BATCHES)
        assert batches["loss"].tolist() == [progress.loss for progress in watcher.batches]
        assert np.all(np.isfinite(batches["loss"]))
        for number, summary in enumerate(watcher.epochs):
            own = batches["epoch"] == batches["epoch"][number * BATCHES]
            assert own.sum() == BATCHES
            assert epochs["train_correct"][number] == batches["correct"][own].sum()
            assert summary.train_loss == pytest.approx(batches["loss"][own].mean(), rel=1e-12)
            assert summary.test_accuracy == epochs["test_correct"][number] / 20
    assert watcher.tested == [(1, 20, 20), (2, 20, 20)]


def test_what_is_steered_is_in_the_rows(whole):
    with RunReader(whole[0]) as reader:
        batches, epochs = reader.batches, reader.epochs
    assert len(np.unique(batches["beta"])) > BATCHES
    assert (batches["signal_strength"][:, 1] == 1).all(), "the read-out's"
    assert len(np.unique(batches["signal_strength"][:, 0])) > BATCHES
    assert batches["signal_strength"][-1, 0] < 0.5 * batches["signal_strength"][BATCHES, 0], "annealed"
    assert (batches["activity_penalty"] > 0).any() and not batches["activity_penalty"][0].any()
    assert (epochs["spectral_norm"][:, 0] == 0).all() and (epochs["spectral_norm"][:, 1] > 0).all()
    assert (epochs["spectral_norm"] <= 0.1).all(), "the limit holds"
    assert np.isfinite(batches["head_loss"]).all() and (batches["head_correct"] <= 4).all()


def test_phases_are_followed_after_every_epoch(whole):
    with RunReader(whole[0]) as reader:
        traces, batches = reader.traces, reader.batches
    assert np.unique(traces["epoch"]).tolist() == [1, 2]
    first, second = (traces["hopfield"][traces["epoch"] == epoch] for epoch in (1, 2))
    assert first.shape == second.shape and not np.array_equal(first, second)
    assert len(batches["batch"]) == 2 * BATCHES


def test_the_weights_that_are_kept_are_those_that_were_tested(whole, dataset):
    """Also where the limit of the spectral norm scales them."""
    with RunReader(whole[0]) as reader:
        found = retest(reader, config(), dataset, 1, 1)[0]
        assert found.correct == reader.epochs["test_correct"][-1]
        assert found.loss == pytest.approx(reader.epochs["test_loss"][-1], rel=1e-12)


@pytest.mark.parametrize("every", [1, 3, BATCHES])
def test_the_limit_is_applied_within_epochs(every, dataset, tmp_path, monkeypatch):
    held, watcher = [], Watcher()

    def counting(*given):
        held.append(len(watcher.batches))
        return limit_spectral_norms(*given)

    monkeypatch.setattr(spectral_limit, "limit_spectral_norms", counting)
    options = RunOptions(tmp_path / "run.h5", threads=1)
    Trainer(config(stability__spectral_norm_every=every), dataset, options, watcher).run()
    within = {epoch * BATCHES + batch for epoch in (0, 1) for batch in range(every, BATCHES, every)}
    assert set(held) == within | {BATCHES, 2 * BATCHES}


@pytest.mark.parametrize("count", [0, 3])
def test_following_phases_does_not_touch_the_training(count, whole, dataset, tmp_path):
    train(config(record__traces=count), dataset, tmp_path / "run.h5")
    with RunReader(tmp_path / "run.h5") as reader, RunReader(whole[0]) as other:
        assert (reader.rows["traces"] > 0) == (count > 0)
        for name, weights in other.weights().items():
            np.testing.assert_array_equal(reader.weights()[name], weights)
        np.testing.assert_array_equal(reader.epochs["test_spikes"], other.epochs["test_spikes"])


def test_recorded_spikes_are_those_of_the_chosen_sample(whole):
    with RunReader(whole[0]) as reader:
        blocks = list(reader.blocks("spikes", reader.rows["spikes"]))
        neurons = [layer.neurons for layer in reader.layers]
    spikes = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    assert set(spikes["sample"].tolist()) == {3}
    assert spikes["step"].max() < 8
    assert all(spikes["neuron"][spikes["layer"] == layer].max() < count for layer, count in enumerate(neurons))


def test_refractory_neurons_stopped_and_resumed(dataset, tmp_path):
    own = config(model__neuron="refractory", model__refractory=2, stability__target_rate=None)
    train(own, dataset, tmp_path / "whole.h5")
    train(own, dataset, tmp_path / "run.h5", BATCHES)
    train(own, dataset, tmp_path / "run.h5", resume=True)
    with RunReader(tmp_path / "run.h5") as resumed, RunReader(tmp_path / "whole.h5") as undisturbed:
        assert resumed.rows == undisturbed.rows
        assert resumed.digest() == undisturbed.digest()


@pytest.mark.parametrize("stop_after", [1, BATCHES, 2 * BATCHES - 1])
def test_stopped_and_resumed(stop_after, whole, dataset, tmp_path):
    run = tmp_path / "run.h5"
    watcher = train(config(), dataset, run, stop_after)
    assert len(watcher.batches) == stop_after
    assert "--resume" in watcher.messages[-1]
    with RunReader(run) as reader:
        assert reader.status == "stopped"
        assert reader.rows["batches"] == stop_after
    assert len(train(config(), dataset, run, resume=True).batches) == 2 * BATCHES - stop_after
    with RunReader(run) as resumed, RunReader(whole[0]) as undisturbed:
        assert resumed.digest() == undisturbed.digest()


@pytest.mark.parametrize("batches", [2, BATCHES])
def test_stopped_between_the_limit_of_the_coupling_and_its_measure(batches, whole, dataset, tmp_path, monkeypatch):
    """The weights have been scaled then, and the mini-batch or the test behind it has not been made."""
    run, watcher = tmp_path / "run.h5", Watcher()

    def limit_and_stop(*given):
        scaled = limit_spectral_norms(*given)
        if len(watcher.batches) == batches:
            assert scaled
            watcher.trainer.request_stop()
        return scaled

    with monkeypatch.context() as patch:
        patch.setattr(spectral_limit, "limit_spectral_norms", limit_and_stop)
        watcher.trainer = Trainer(config(), dataset, RunOptions(run, threads=2), watcher)
        with pytest.raises(Stopped):
            watcher.trainer.run()
    assert len(watcher.batches) == batches and watcher.epochs == []
    train(config(), dataset, run, resume=True)
    with RunReader(run) as resumed, RunReader(whole[0]) as undisturbed:
        assert resumed.rows == undisturbed.rows
        assert resumed.digest() == undisturbed.digest()


def test_stopped_in_the_test_behind_the_limit(whole, dataset, tmp_path):
    """The weights have been scaled, which a run that goes on does once more."""

    class StopsInTest(Watcher):
        def testing(self, epoch, done, total):
            self.trainer.request_stop()

    run, watcher = tmp_path / "run.h5", StopsInTest()
    watcher.trainer = Trainer(config(data__test_limit=20), dataset, RunOptions(run, threads=2), watcher)
    with pytest.raises(Stopped):
        watcher.trainer.run()
    assert len(watcher.batches) == BATCHES and watcher.epochs == []
    train(config(), dataset, run, resume=True)
    with RunReader(run) as resumed, RunReader(whole[0]) as undisturbed:
        assert resumed.digest() == undisturbed.digest()


def test_ranks_stop_together_and_others_go_on(whole, dataset, tmp_path):
    run = tmp_path / "run.h5"

    def begin(ranks):  # the last of them is told to stop
        return train(config(), dataset, run, 3 if ranks.rank == 2 else None, ranks)

    for watcher in on_ranks(3, begin):
        assert len(watcher.batches) == 3 and "--resume" in watcher.messages[-1]
    with RunReader(run) as reader:
        assert (reader.status, reader.rows["batches"]) == ("stopped", 3)
    first, second = on_ranks(2, lambda ranks: train(config(), dataset, run, ranks=ranks, resume=True))
    assert first.batches == second.batches and first.epochs[0].test_loss == second.epochs[0].test_loss
    with RunReader(run) as resumed, RunReader(whole[0]) as undisturbed:
        assert resumed.digest() == undisturbed.digest()


def test_a_fault_of_the_first_rank_ends_all(dataset, tmp_path):
    def work(ranks):
        with pytest.raises(InputError, match="nowhere does not exist"):
            train(config(), dataset, tmp_path / "nowhere" / "run.h5", ranks=ranks)

    on_ranks(3, work)


@pytest.mark.parametrize("changes", [{"seed": 5}, {"optimizer__name": "sgd"}])
def test_checkpoints_of_another_run_are_refused(changes, dataset, tmp_path):
    """Also if all that tells them apart is the seed."""
    for name, settings in (("run.h5", config()), ("other.h5", config(**changes))):
        train(settings, dataset, tmp_path / name, 2)
    folder = checkpoint.checkpoint_folder(tmp_path / "run.h5")
    checkpoint.remove(folder)
    checkpoint.checkpoint_folder(tmp_path / "other.h5").rename(folder)
    before = (tmp_path / "run.h5").read_bytes()
    with pytest.raises(InputError, match="another configuration"):
        train(config(), dataset, tmp_path / "run.h5", resume=True)
    assert (tmp_path / "run.h5").read_bytes() == before


def test_a_checkpoint_that_lacks_something_is_refused(dataset, tmp_path):
    run = tmp_path / "run.h5"
    train(config(), dataset, run, 2)
    folder = checkpoint.checkpoint_folder(run)
    found = checkpoint.load_latest(folder)
    kept = {name: array for name, array in found.arrays.items() if not name.startswith("moments")}
    checkpoint.save(folder, found.position, kept, found.meta)
    with pytest.raises(InputError, match="not one of this run"):
        train(config(), dataset, run, resume=True)


def test_two_checkpoints_are_kept(whole):
    assert checkpoint.positions(checkpoint.checkpoint_folder(whole[0])) == [BATCHES + 1, 2 * BATCHES + 2]


def test_the_last_mini_batch_may_be_smaller(dataset, tmp_path):
    settings = config(data__limit=10, optimizer__epochs=1, data__test_limit=1, record__spikes=[])
    watcher = train(settings, dataset, tmp_path / "run.h5")
    assert [progress.samples for progress in watcher.batches] == [4, 4, 2]


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"data__limit": 5001}, "data.limit is 5001"),
        ({"data__test_limit": 1001}, "data.test_limit is 1001"),
        ({"record__spikes": [20]}, "sample 20"),
        ({"model__activity": [0.1, 0.1, 0.1]}, "model.activity has 3"),
        ({"optimizer__learning_rate": [0.1]}, "optimizer.learning_rate has 1"),
    ],
)
def test_values_that_do_not_fit_are_refused_before_anything_is_written(changes, fragment, dataset, tmp_path):
    with pytest.raises(InputError, match=fragment):
        train(config(**changes), dataset, tmp_path / "run.h5")
    assert not list(tmp_path.iterdir())


def test_a_run_with_validation_never_sees_the_test_set(dataset, tmp_path):
    """It learns from what is left of the training samples and is tested on what was held out."""
    soft = np.random.default_rng(0).dirichlet(np.ones(10), len(dataset.train))
    given = config(data__validation=0.2, optimizer__epochs=1, error_signals__kind="kd")
    watcher = Watcher()
    own = Trainer(given, dataset, RunOptions(tmp_path / "run.h5"), watcher, soft)
    assert len(own.dataset.train) == 4000 and len(own.dataset.test) == 1000
    held, rest = hold_out(dataset, 0.2, given.seed)
    np.testing.assert_array_equal(own.dataset.test.images, held.test.images)
    np.testing.assert_array_equal(own._soft_targets, soft[rest])
    own.run()
    with RunReader(tmp_path / "run.h5") as run:
        assert run.epochs["test_samples"].tolist() == [20]
