"""Logs of a training: what the run file has, once each, however often the training was stopped or killed."""

import errno
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small import DENSE, make, make_dataset
from watched import StopAfter, run_watched

from spikesim.ep.config.sections import Config
from spikesim.ep.logs.json_lines import JsonLog
from spikesim.ep.logs.tensorboard import TensorBoardLog
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.extension import extended
from spikesim.ep.training.observer import Observer, Observers
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError

DATASET = make_dataset()
BATCHES = 3
Log = JsonLog | TensorBoardLog


def config(**changes: Any) -> Config:
    settings = {"data__batch_size": 8, "dynamics__steps_free": 20, "optimizer__epochs": 2, **changes}
    return make(DENSE, **settings)


def train(settings: Config, run: Path, log: Log, stop_after: int | None = None, **options: Any) -> None:
    """Begin a training or go on with it, up to a stop; the last mini-batch before it leaves a checkpoint."""
    stopper = StopAfter(stop_after)
    with log:
        watchers: list[Observer] = [log, stopper]
        run_watched(Trainer(settings, DATASET, RunOptions(run, **options), Observers(watchers)), stopper)


def lines(path: Path, *events: str) -> list[dict[str, Any]]:
    """The objects of a log, of some kinds."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in entries if not events or entry["event"] in events]


def check_lines(run: Path, log: Path) -> None:
    """Every row of the run file has its line, in order."""
    with RunReader(run) as reader:
        batches, epochs = reader.batches, reader.epochs
    found = lines(log, "batch")
    assert [(one["epoch"], one["batch"]) for one in found] == [(e, b) for e in (1, 2) for b in range(1, BATCHES + 1)]
    for key in ("loss", "beta", "samples", "learning_rate"):
        assert [one[key] for one in found] == batches[key].tolist()
    ends = lines(log, "epoch")
    assert [one["train_loss"] for one in ends] == epochs["train_loss"].tolist()
    assert [one["test_accuracy"] for one in ends] == (epochs["test_correct"] / epochs["test_samples"]).tolist()
    assert [one["event"] for one in lines(log, "batch", "epoch")] == (["batch"] * BATCHES + ["epoch"]) * 2
    assert sorted(one["time"] for one in lines(log)) == [one["time"] for one in lines(log)]


@pytest.mark.parametrize("stop_after", [2, BATCHES], ids=["early", "before a test"])
def test_each_row_is_a_line_also_of_a_stopped_run(tmp_path: Path, stop_after: int) -> None:
    run, log = tmp_path / "run.h5", tmp_path / "run.jsonl"
    train(config(), run, JsonLog(log), stop_after)
    with log.open("a") as file:  # told after the checkpoint, by a process that was killed then
        for entry in ({"event": "batch", "epoch": 2, "batch": 3}, {"event": "epoch", "epoch": 2}):
            file.write(json.dumps(entry) + "\n")
        file.write('{"event": "ba')
    train(config(), run, JsonLog(log, resume=True), resume=True)
    check_lines(run, log)
    begins = lines(log, "begin")
    assert len(begins) == 2 and begins[0]["config"] == config().to_dict()
    with RunReader(run) as reader:
        assert begins[-1]["config_hash"] == reader.config_hash


def test_an_extended_run_goes_on_with_its_log(tmp_path: Path) -> None:
    run, log = tmp_path / "run.h5", tmp_path / "run.jsonl"
    first = config(optimizer__epochs=1)
    train(first, run, JsonLog(log))
    train(extended(first, run, 2), run, JsonLog(log, resume=True), resume=True)
    check_lines(run, log)


def events(folder: Path) -> Iterator[Any]:
    """What TensorBoard shows: of the files in their order, without what a later one takes back."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.record_writer import masked_crc32c

    kept: list[Any] = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (length,), data = struct.unpack("<Q", content[:8]), content[12:]
            assert struct.unpack("<I", content[8:12]) == (masked_crc32c(content[:8]),)
            assert struct.unpack("<I", data[length : length + 4]) == (masked_crc32c(data[:length]),)
            event, content = Event.FromString(data[:length]), data[length + 4 :]
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                kept = [one for one in kept if one.step < event.step]
            kept.append(event)
    yield from kept


def test_tensorboard_sees_each_mini_batch_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    run, folder = tmp_path / "run.h5", tmp_path / "events"
    train(config(), run, TensorBoardLog(folder), 4)
    train(config(), run, TensorBoardLog(folder, resume=True), resume=True)
    scalars: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    with RunReader(run) as reader:
        losses, epochs = reader.batches["loss"], reader.epochs["test_loss"]
    assert scalars["loss/mini-batch"] == [(i, pytest.approx(loss)) for i, loss in enumerate(losses, 1)]
    assert scalars["loss/test"] == [(BATCHES * i, pytest.approx(loss)) for i, loss in enumerate(epochs, 1)]
    assert "configuration/text_summary" in scalars and len(scalars["accuracy/training"]) == 2


def json_log(folder: Path, **options: bool) -> Log:
    return JsonLog(folder / "log", **options)


def event_files(folder: Path, **options: bool) -> Log:
    pytest.importorskip("tensorboardX")
    return TensorBoardLog(folder / "log", **options)


@pytest.mark.parametrize("make_log", [json_log, event_files])
def test_what_exists_is_kept(make_log: Callable[..., Log], tmp_path: Path) -> None:
    train(config(), tmp_path / "a.h5", make_log(tmp_path), stop_after=1)
    with pytest.raises(InputError, match=r"choose another .*--overwrite"):
        make_log(tmp_path)
    before = sorted(path.read_bytes() for path in tmp_path.rglob("log*") if path.is_file())
    with pytest.raises(InputError, match="of a run with another configuration"):
        train(config(seed=5), tmp_path / "b.h5", make_log(tmp_path, resume=True), resume=True)
    assert not (tmp_path / "b.h5").exists()
    assert sorted(path.read_bytes() for path in tmp_path.rglob("log*") if path.is_file()) == before
    train(config(seed=5), tmp_path / "b.h5", make_log(tmp_path, overwrite=True))
    train(config(seed=5), tmp_path / "b.h5", make_log(tmp_path, resume=True), resume=True)


def test_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    for text in ("a text\n", "[1]\n", "{}\n"):
        (tmp_path / "log").write_text(text)
        with pytest.raises(InputError, match="is not the log of a training"):
            train(config(), tmp_path / "run.h5", JsonLog(tmp_path / "log", resume=True), resume=True)
        assert (tmp_path / "log").read_text() == text and not (tmp_path / "run.h5").exists()
    with pytest.raises(InputError, match="nowhere of the log does not exist"):
        JsonLog(tmp_path / "nowhere" / "log")


def test_a_full_disk_ends_no_training_and_its_lines_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, log = os.write, tmp_path / "run.jsonl"
    failures = 2

    def full(number: int, content: bytes) -> int:
        nonlocal failures
        if os.path.samestat(os.fstat(number), log.stat()) and failures:
            failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, content)

    monkeypatch.setattr(os, "write", full)
    with pytest.warns(UserWarning, match=r"run.jsonl cannot be written: No space left on device"):
        train(config(), tmp_path / "run.h5", JsonLog(log))
    check_lines(tmp_path / "run.h5", log)
    failures = 1000
    log = tmp_path / "run2.jsonl"
    with (
        pytest.warns(UserWarning, match=r"run2.jsonl lacks its last \d+ bytes"),
        pytest.warns(UserWarning, match=r"run2.jsonl cannot be written"),
    ):
        train(config(), tmp_path / "run2.h5", JsonLog(log))
    with RunReader(tmp_path / "run2.h5") as reader:
        assert reader.status == "finished"
