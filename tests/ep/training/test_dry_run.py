"""A dry run estimates by the sum over all mini-batches, on what the training does, and leaves no trace."""

import math
from pathlib import Path

import pytest
import small
from hypothesis import given
from hypothesis import strategies as st

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import LayerInfo, RunHeader
from spikesim.ep.training import dry_run
from spikesim.ep.training.dry_run import DryRun, Estimate, Measured, Work
from spikesim.ep.training.observer import Observer, Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer

TIMES = st.floats(1e-3, 1e4)
COUNTS = st.integers(1, 40)
HEADER = RunHeader({}, 0, (LayerInfo("conv1", (2, 2, 3), 9, 0, 0, True),), {"conv1/weight": (3, 3), "b/c": (4,)}, "")


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    tests = draw(COUNTS)
    work = Work(draw(COUNTS), draw(COUNTS), draw(COUNTS), tests, draw(st.integers(0, 3)))
    measured = Measured(
        compilation=draw(TIMES),
        preparation=draw(TIMES),
        calibration=draw(TIMES),
        batches=tuple(draw(st.lists(TIMES, min_size=3, max_size=9))),
        tested=draw(st.integers(1, tests)),
        test=draw(TIMES),
        beside_test=draw(TIMES),
        recorded=draw(TIMES),
        activity=0.1,
    )
    return Estimate(HEADER, work, measured, 0, 0)


@given(estimates(), TIMES)
def test_the_whole_run_is_the_sum_of_all_that_it_does(estimate: Estimate, batch: float) -> None:
    work, measured = estimate.work, estimate.measured
    spent = [measured.preparation, measured.calibration]
    for epoch in range(work.epochs):
        spent += [batch] * work.batches
        spent += [measured.test / measured.tested] * work.test_samples
        spent.append(measured.beside_test)
        if epoch == work.epochs - 1:
            spent += [measured.recorded] * work.recorded
    assert estimate.run(batch) == pytest.approx(math.fsum(spent), rel=1e-9)


@given(estimates())
def test_a_mini_batch_counts_with_the_median(estimate: Estimate) -> None:
    low, high = estimate.quartiles
    times = estimate.measured.batches
    assert min(times) <= low <= estimate.batch <= high <= max(times)
    assert sum(time <= estimate.batch for time in times) >= len(times) / 2
    assert sum(time >= estimate.batch for time in times) >= len(times) / 2
    assert estimate.epoch == pytest.approx(sum(estimate.batch for _ in range(estimate.work.batches)))
    assert estimate.header.weights == 13


class Watcher(Observer):
    """Remembers the mini-batches that a training did; a dry run tells of none."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.batches = self.epochs = 0

    def message(self, text: str) -> None:
        self.messages.append(text)

    def batch(self, progress: object) -> None:
        self.batches += 1


def settings(**more: object) -> Config:
    changes = {"data__batch_size": 5, "dynamics__steps_free": 8, "dynamics__window_free": 4, "optimizer__epochs": 2}
    return small.make(small.POOLED, small.CONV, **{"record__spikes": [1], **changes, **more})


def digest(config: Config, dataset: Dataset, path: Path) -> str:
    Trainer(config, dataset, RunOptions(path, threads=2), Silent()).run()
    with RunReader(path) as run:
        return run.digest()


def test_a_training_has_the_same_bits_behind_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "BATCH_SECONDS", 0.05)
    config, dataset, watcher = settings(), small.make_dataset(samples=12), Watcher()
    before = digest(config, dataset, tmp_path / "before.h5")
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    DryRun(config, dataset, RunOptions(folder / "run.h5", threads=2), watcher).measure()
    assert not list(folder.iterdir())
    assert watcher.messages == ["calibrating the biases"] and watcher.batches == 0
    assert digest(config, dataset, tmp_path / "behind.h5") == before


def test_whole_mini_batches_are_timed_also_of_short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "BATCH_SECONDS", 0.0)
    dataset = small.make_dataset(samples=12)
    for size, batches in ((5, 3), (12, 1), (100, 1)):
        estimate = DryRun(settings(data__batch_size=size), dataset, RunOptions(Path()), Silent()).measure(7.0)
        assert estimate.work == Work(epochs=2, batches=batches, samples=12, test_samples=12, recorded=1)
        measured = estimate.measured
        assert len(measured.batches) == dry_run.BATCHES_MIN and min(measured.batches) > 0
        assert 1 <= measured.tested <= 12 and measured.test > 0 and measured.recorded > 0
        assert measured.preparation > 7 and 0 < measured.activity < 1
        assert estimate.memory > 1e7


def test_the_size_of_the_run_file_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for its descriptions and lists, some tens of kilobytes."""
    monkeypatch.setattr(dry_run, "BATCH_SECONDS", 0.0)
    dataset, path = small.make_dataset(samples=140), tmp_path / "run.h5"
    config = settings(record__spikes=[], data__batch_size=2, data__test_limit=4)
    estimate = DryRun(config, dataset, RunOptions(path), Silent()).measure()
    digest(config, dataset, path)
    with RunReader(path) as run:
        assert run.rows["batches"] == 140 and run.rows["traces"] > 0
    assert 0 < path.stat().st_size - estimate.file < 80_000
