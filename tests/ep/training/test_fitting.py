"""`spikesim.fit`: the command's training from Python, with whoever watches, and interrupted."""

import _thread
import io
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journals import digest
from small import make_dataset

import spikesim
from spikesim.ep.training.observer import EpochSummary, Progress, Silent
from spikesim.ep.training.progress_line import ProgressLine

SETTINGS = {
    "model.arch": "custom",
    "model.layers": [{"kind": "conv", "channels": 4, "pool": True}, {"kind": "dense", "channels": 8}],
    "data.batch_size": 8,
    "optimizer.epochs": 3,
    "seed": 4,
}


def arrays() -> dict[str, Any]:
    dataset = make_dataset()
    train, test = dataset.train, dataset.test
    return {
        "train_images": train.images[..., 0],
        "train_labels": train.labels,
        "test_images": test.images[..., 0],
        "test_labels": test.labels,
    }


class Watcher(Silent):
    """Remembers, and asks for an end after so many mini-batches."""

    def __init__(self, last: int | None = None, act: Any = None) -> None:
        self.last, self.act = last, act
        self.batches: list[Progress] = []
        self.epochs: list[EpochSummary] = []

    def batch(self, progress: Progress) -> None:
        self.batches.append(progress)
        if len(self.batches) == self.last:
            self.act()

    def epoch(self, summary: EpochSummary) -> None:
        self.epochs.append(summary)


def stop() -> None:
    raise spikesim.Stopped


def interrupt() -> None:
    _thread.interrupt_main()
    time.sleep(1)  # the other thread looks several times a second


@pytest.fixture
def heeding_interrupts() -> Iterator[None]:
    """Python's own reaction to Ctrl-C, which it leaves out where it is started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_network_is_trained_and_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given, watcher = arrays(), Watcher()
    net = spikesim.fit(given, tmp_path / "run.h5", SETTINGS, observers=[watcher], threads=1)
    assert len(watcher.batches) == 9 and [summary.epoch for summary in watcher.epochs] == [1, 2, 3]
    found = net.predict(given["test_images"])
    assert (found.labels == given["test_labels"]).mean() == watcher.epochs[-1].test_accuracy > 0.4
    shown = capsys.readouterr()
    assert "epoch 3/3: loss" in shown.err and not shown.out
    np.savez(tmp_path / "arrays.npz", **given)
    spikesim.fit(tmp_path / "arrays.npz", tmp_path / "file.h5", SETTINGS, progress=False, threads=2)
    assert digest(tmp_path / "file.h5") == digest(tmp_path / "run.h5")  # the same content under the same name
    assert not capsys.readouterr().err


@pytest.mark.usefixtures("heeding_interrupts")
@pytest.mark.parametrize("act", [stop, interrupt], ids=["by an observer", "by Ctrl-C"])
def test_an_interrupted_training_goes_on_to_the_same_result(tmp_path: Path, act: Any) -> None:
    given = arrays()
    with pytest.raises(spikesim.Stopped, match=r"Stopped at epoch 2, mini-batch \d; the same call with resume=True"):
        spikesim.fit(given, tmp_path / "run.h5", SETTINGS, observers=[Watcher(4, act)], progress=False, threads=1)
    with pytest.raises(spikesim.InputError, match=r"run\.h5 exists"):
        spikesim.fit(given, tmp_path / "run.h5", SETTINGS, progress=False)
    spikesim.fit(given, tmp_path / "run.h5", SETTINGS, progress=False, resume=True)
    spikesim.fit(given, tmp_path / "whole.h5", SETTINGS, progress=False, threads=1)
    assert digest(tmp_path / "run.h5") == digest(tmp_path / "whole.h5")


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    with pytest.raises(spikesim.InputError, match="lacks test_labels"):
        spikesim.fit({key: own for key, own in arrays().items() if key != "test_labels"}, out)
    with pytest.raises(spikesim.InputError, match="train_images are float64"):
        spikesim.fit({**arrays(), "train_images": arrays()["train_images"] / 255}, out)
    with pytest.raises(spikesim.InputError, match="data is of type list"):
        spikesim.fit([1, 2], out)  # type: ignore[arg-type]
    with pytest.raises(spikesim.InputError, match="first argument"):
        spikesim.fit("fashion-mnist-mini", out, {"data.dataset": "mnist"})
    with pytest.raises(spikesim.InputError, match=r"dynamics\.betta"):
        spikesim.fit("fashion-mnist-mini", out, {"dynamics.betta": 1})
    assert not out.exists()


def test_the_line_of_progress_is_written_over() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    line.batch(Progress(1, 2, 5, 10, 8, 1.5, 0.25, 0.1, 0.02, 0.25, 0.1))
    line.batch(Progress(1, 2, 6, 10, 8, 1.5, 0.25, 0.1, 0.02, 0.25, 0.1))  # too soon
    line.epoch(EpochSummary(1, 2, 1.5, 0.25, 1.25, 0.5, "test", 3.0))
    first, second = stream.getvalue().split("\r")[1:]
    assert first.startswith("epoch 1/2 [##########..........] loss 1.5000, accuracy 25.00 %") and "\n" not in first
    assert second.rstrip() == "epoch 1/2: loss 1.5000, accuracy 25.00 %; test 1.2500, 50.00 %; 3.0 s"
