"""The best weights by the validation set, and a training that ends when it gets no better."""

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import DENSE, POOLED, make, make_dataset
from threadranks import on_ranks
from watched import StopAfter, run_watched

import spikesim
from spikesim.datasets import Dataset, ImageSet
from spikesim.datasets.samples.split import hold_out
from spikesim.ep.config.parsing import Config
from spikesim.ep.evaluation.from_run import retest
from spikesim.ep.runs.best_epoch import BestEpoch
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.writer import RunWriter
from spikesim.ep.training.extension import extended
from spikesim.ep.training.observer import EpochSummary
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError
from spikesim.io import checkpoint

EPOCHS, BATCHES = 6, 3
SEED = 2  # with which the validation accuracy goes up and down


def noisy(dataset: Dataset) -> Dataset:
    """With labels of which some are wrong, so that a validation accuracy goes up and down."""
    labels = dataset.train.labels.copy()
    labels[::4] = (labels[::4] + 1) % dataset.classes
    return Dataset(**{**vars(dataset), "train": ImageSet(dataset.train.images, labels)})


DATASET = noisy(make_dataset(samples=48))  # half of them held out: 24 samples, three mini-batches


def config(epochs: int = EPOCHS, **changes: Any) -> Config:
    settings = {
        "data__batch_size": 8,
        "data__validation": 0.5,
        "dynamics__nudged_phase": "linear-response",
        "dynamics__rule": "postsynaptic",
        "dynamics__feedback_gain": 0.25,
        "dynamics__steps_nudged": 1,
        "dynamics__steps_free": 12,
        "dynamics__window_free": 4,
        "optimizer__epochs": epochs,
        "optimizer__learning_rate": 0.4,
        "optimizer__schedule": "constant",
        "seed": SEED,
        "record__spikes": [0, 1],
        "record__traces": 1,
        "stability__spectral_norm_limit": 1e-3,  # changes weights before each test
    }
    return make(POOLED, DENSE, **{**settings, **changes})


class Watcher(StopAfter):
    """Also remembers what it is told."""

    def __init__(self, stop_after: int | None) -> None:
        super().__init__(stop_after)
        self.messages: list[str] = []
        self.epochs: list[int] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def epoch(self, summary: EpochSummary) -> None:
        self.epochs.append(summary.epoch)


def train(
    settings: Config, out: Path, stop_after: int | None = None, dataset: Dataset = DATASET, **options: Any
) -> Watcher:
    watcher = Watcher(stop_after)
    ranks = options.pop("ranks", None)
    run_watched(Trainer(settings, dataset, RunOptions(out, **options), watcher, ranks=ranks), watcher)
    return watcher


def assert_same(one: Path, other: Path) -> None:
    """Results, best weights and the answers of the last test, to the bit."""
    with RunReader(one) as first, RunReader(other) as second:
        assert first.digest() == second.digest() and first.status == second.status
        (epoch, weights), (expected, others) = first.best(), second.best()
        assert epoch == expected and weights.keys() == others.keys()
        for name, array in weights.items():
            assert array.tobytes() == others[name].tobytes(), name
        test, other_test = first.last_test(), second.last_test()
        assert test.epoch == other_test.epoch == first.rows["epochs"]
        assert (test.confusion == other_test.confusion).all() and (test.answers == other_test.answers).all()
        assert test.confusion.trace() == first.epochs["test_correct"][-1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("best") / "whole.h5"
    train(config(), run)
    return run


def test_the_best_weights_have_the_recorded_accuracy(whole: Path) -> None:
    held, _ = hold_out(DATASET, 0.5, SEED)
    with RunReader(whole) as run:
        epochs, best = run.epochs, run.best_epoch
        order = sorted(
            zip(-epochs["test_correct"].astype(int), epochs["test_loss"], epochs["epoch"], strict=True)
        )  # most right, then least loss, then first
        assert best == order[0][2]
        assert 1 < best < EPOCHS, "the test needs a best epoch that is not the last"
        settings = spikesim.ep.config.parsing.config_of_run(run.config)
        found = retest(run, settings, held, 1, 1, which="best")[0]
        assert (found.correct, found.loss) == (epochs["test_correct"][best - 1], epochs["test_loss"][best - 1])
        last = retest(run, settings, held, 1, 1)[0]
        assert any((run.weights()[name] != array).any() for name, array in run.weights("best").items())
    assert last != found


def test_they_are_those_that_were_tested(tmp_path: Path) -> None:
    """The limit of the spectral norms scales the weights of the network down before the test."""
    train(config(1), tmp_path / "run.h5")
    with RunReader(tmp_path / "run.h5") as run:
        assert run.best_epoch == 1
        for name, array in run.weights("best").items():
            np.testing.assert_array_equal(run.weights()[name], array)


def test_from_python(whole: Path) -> None:
    held, _ = hold_out(DATASET, 0.5, SEED)
    net = spikesim.load(whole, weights="best")
    with RunReader(whole) as run:
        expected, correct = run.weights("best"), run.epochs["test_correct"][run.best_epoch - 1]
    for name, array in net.weights.items():
        np.testing.assert_array_equal(array, expected[name])
    assert (net.predict(held.test.images).labels == held.test.labels).sum() == correct
    with pytest.raises(InputError, match="weights is 'first'; it must be 'last' or 'best'"):
        spikesim.load(whole, weights="first")


@pytest.mark.parametrize("stop_after", [1, 4, 6, 13, 18])
def test_interrupted_it_has_the_same(whole: Path, tmp_path: Path, stop_after: int) -> None:
    train(config(), tmp_path / "run.h5", stop_after)
    train(config(), tmp_path / "run.h5", resume=True)
    assert_same(tmp_path / "run.h5", whole)


class Killed(Exception):
    pass


def killed_at(monkeypatch: pytest.MonkeyPatch, where: Any, method: str, call: int, action: Any) -> None:
    """Do something that dies when a method is called for the so many-th time."""
    calls, own = 0, getattr(where, method)

    def die(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Killed
        return own(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(where, method, die)
        action()


@pytest.mark.parametrize("method", ["write_best", "write_weights"])
@pytest.mark.parametrize("call", [1, 2])
def test_killed_around_its_writing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, call: int
) -> None:
    out = tmp_path / "run.h5"
    killed_at(monkeypatch, RunWriter, method, call, lambda: train(config(), out))
    for again in (1, 1):  # and while it goes on
        killed_at(monkeypatch, RunWriter, method, again, lambda: train(config(), out, resume=True))
        with RunReader(out) as run:
            assert run.best_epoch <= run.rows["epochs"] + 1
    train(config(), out, resume=True)
    assert_same(out, whole)


def test_a_kill_within_leaves_none(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run.h5"
    train(config(), out, 13)
    with RunReader(out) as run:
        assert run.best_epoch > 0
    writer = spikesim.io.hdf5_tables.GrowingFile
    # the file's own writes: status, weights (6), epoch 0, two arrays of the best
    killed_at(monkeypatch, writer, "write", 1 + 6 + 1 + 3, lambda: train(config(), out, resume=True))
    with RunReader(out) as run:
        assert run.best_epoch == 0
        with pytest.raises(InputError, match="no best weights"):
            run.weights("best")
    train(config(), out, resume=True)
    assert_same(out, whole)


@pytest.mark.parametrize("damage", ["missing", "damaged", "best"])
def test_a_file_that_is_written_anew_has_them(whole: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "run.h5"
    train(config(), out, 13)
    if damage == "missing":
        out.unlink()
    elif damage == "damaged":
        out.write_bytes(b"\x89HDF\r\n\x1a\nnothing of it")
    else:
        with h5py.File(out, "r+") as file:
            del file["best/weights"]
    told = train(config(), out, resume=True).messages
    assert any("written anew" in line for line in told)
    assert_same(out, whole)


def test_ranks_have_the_same(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    on_ranks(2, lambda ranks: train(config(), out, 4, ranks=ranks))
    on_ranks(2, lambda ranks: train(config(), out, ranks=ranks, resume=True))
    assert_same(out, whole)


def without_best(out: Path) -> None:
    """A run as older versions left it."""
    with h5py.File(out, "r+") as file:
        del file["best"]
    folder = checkpoint.checkpoint_folder(out)
    found = checkpoint.load_latest(folder)
    assert found is not None
    kept = {name: array for name, array in found.arrays.items() if not name.startswith("best")}
    for path in folder.glob("*.npz"):
        path.unlink()
    checkpoint.save(folder, found.position, kept, found.meta)


@pytest.mark.parametrize("stop_after", [4, 16])
def test_lost_weights_of_an_older_run_are_told(whole: Path, tmp_path: Path, stop_after: int) -> None:
    out = tmp_path / "run.h5"
    train(config(), out, stop_after)
    without_best(out)
    with RunReader(out) as run:
        assert run.best_epoch == 0 and run.best() == (0, {})
        lost = BestEpoch.of_rows(run.epochs).epoch
    for stop in (1, None):
        told = train(config(), out, stop, resume=True).messages
        assert any(f"the weights of epoch {lost}, the best so far on the validation set, are lost" in x for x in told)
    with RunReader(out) as run, RunReader(whole) as other:
        assert run.digest() == other.digest()
        if lost == other.best_epoch:
            with pytest.raises(InputError, match="older version trained its best epoch"):
                run.weights("best")
        else:
            assert run.best_epoch == other.best_epoch
    if stop_after == 4:
        assert lost == 1
        assert_same(out, whole)


def test_without_a_validation_set_there_are_none(tmp_path: Path) -> None:
    train(config(1, data__validation=0.0), tmp_path / "run.h5")
    with RunReader(tmp_path / "run.h5") as run, h5py.File(tmp_path / "run.h5") as file:
        assert run.best_epoch == 0 and "best" not in file
        with pytest.raises(InputError, match=r"run\.h5 has no best weights: it has no validation set"):
            run.weights("best")
    found = checkpoint.load_latest(checkpoint.checkpoint_folder(tmp_path / "run.h5"))
    assert found is not None and not [name for name in found.arrays if name.startswith("best")]


def test_before_the_first_epoch_there_are_none(tmp_path: Path) -> None:
    train(config(), tmp_path / "run.h5", 1)
    with RunReader(tmp_path / "run.h5") as run, pytest.raises(InputError, match="its first epoch has not ended"):
        run.weights("best")


def ended(run: Path, patience: int) -> int:
    """After which epoch such a training ends, by the tests of one that goes on."""
    with RunReader(run) as reader:
        correct = reader.epochs["test_correct"].tolist()
    for done in range(patience + 1, len(correct) + 1):
        if max(correct[done - patience : done]) <= max(correct[: done - patience]):
            return done
    return len(correct)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_patience(whole: Path, tmp_path: Path, patience: int) -> None:
    last, out = ended(whole, patience), tmp_path / "run.h5"
    watcher = train(config(optimizer__patience=patience), out)
    assert watcher.epochs == list(range(1, last + 1))
    told = [line for line in watcher.messages if "did not raise the validation accuracy" in line]
    assert len(told) == (last < EPOCHS)
    with RunReader(out) as run, RunReader(whole) as other:
        assert run.status == "finished" and run.rows["epochs"] == last
        for name, column in run.epochs.items():
            if "seconds" not in name:
                np.testing.assert_array_equal(column, other.epochs[name][:last], err_msg=name)
        assert set(run.spikes()["epoch"]) == {last}, "spikes are recorded after the last epoch"
        assert run.spikes()["step"].size > 0
    before = out.read_bytes()
    assert any(
        "is finished; nothing to do" in x
        for x in train(config(optimizer__patience=patience), out, resume=True).messages
    )
    assert out.read_bytes() == before
    for stop_after in (2, BATCHES * (last - 1) + 1, BATCHES * last):
        part = tmp_path / f"{stop_after}.h5"
        train(config(optimizer__patience=patience), part, stop_after)
        train(config(optimizer__patience=patience), part, resume=True)
        assert_same(part, out)


def test_patience_in_a_run_that_is_killed_at_its_end(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient, out = config(optimizer__patience=1), tmp_path / "run.h5"
    train(patient, tmp_path / "other.h5")
    last = ended(whole, 1)
    assert last < EPOCHS
    killed_at(monkeypatch, Watcher, "epoch", last, lambda: train(patient, out))  # the last checkpoint is written
    with RunReader(out) as run:
        assert run.status == "running"
    watcher = train(patient, out, resume=True)
    assert watcher.epochs == [] and "did not raise" in watcher.messages[-1]
    assert_same(out, tmp_path / "other.h5")


def test_patience_and_more_epochs(whole: Path, tmp_path: Path) -> None:
    """A run that has ended by it gets no more; one that has not goes on as its configuration says."""
    patient, out = config(optimizer__patience=1), tmp_path / "run.h5"
    train(patient, out)
    with pytest.raises(InputError, match=r"ended after epoch \d by optimizer\.patience, which is 1") as caught:
        extended(patient, out, 2 * EPOCHS)
    assert "\n" not in str(caught.value)
    last = ended(whole, 1)
    short = config(last - 1, optimizer__patience=1)
    train(short, tmp_path / "short.h5")
    longer = extended(short, tmp_path / "short.h5", EPOCHS)
    train(longer, tmp_path / "short.h5", resume=True)
    train(longer, tmp_path / "long.h5")
    assert_same(tmp_path / "short.h5", tmp_path / "long.h5")
    with RunReader(tmp_path / "short.h5") as run:
        assert run.rows["epochs"] == last and set(run.spikes()["epoch"]) == {last - 1, last}


Test = tuple[int, float]
TESTS = st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.5, 1.0, 2.0, math.inf, math.nan])), max_size=12)


@given(TESTS, st.integers(1, 4))
def test_the_rule(tests: list[Test], patience: int) -> None:
    best, ends = BestEpoch(), 0
    for epoch, (correct, loss) in enumerate(tests, 1):
        best = BestEpoch.of_arrays(best.to_arrays()).after(epoch, correct, loss, {"a/weight": np.full(1, epoch, "f4")})
        if best.ends(patience, epoch) and not ends:
            ends = epoch
    finite = [(correct, math.inf if math.isnan(loss) else loss) for correct, loss in tests]
    expected = min(range(len(tests)), key=lambda i: (-finite[i][0], finite[i][1]), default=-1) + 1
    assert best.epoch == best.kept == expected
    if tests:
        assert best.weights["a/weight"].tolist() == [expected]
    accuracies = [correct for correct, _ in tests]
    stale = [
        n
        for n in range(patience + 1, len(tests) + 1)
        if max(accuracies[n - patience : n]) <= max(accuracies[: n - patience])
    ]
    assert ends == (stale[0] if stale else 0)
    columns = {"epoch": range(1, len(tests) + 1), "test_correct": accuracies, "test_loss": [loss for _, loss in tests]}
    assert BestEpoch.of_rows({name: np.array(own) for name, own in columns.items()}).epoch == expected
