"""Who watches a training: more lines, fewer lines, and logs, as a user asks for them."""

import json
from pathlib import Path

import pytest
from commands import CONFIG, assert_one_line, spikesim, succeed


def test_a_quiet_run_and_one_that_tells_all(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    (tmp_path / "tiny.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 1").replace("limit = 48", "limit = 12"))
    logs = ("--log", "run.jsonl", "--tensorboard", "events")
    given = ("train", "--config", "tiny.toml", "--out", "run.h5", "--set", "optimizer.learning_rate=0", *logs)
    quiet = succeed(*given, "-q", cwd=tmp_path)
    assert quiet.stdout == "run file: run.h5\n"
    assert all(line.startswith("warning: ") for line in quiet.stderr.splitlines()), quiet.stderr
    assert_one_line(spikesim(*given, "--out", "other.h5", cwd=tmp_path), "run.jsonl exists")
    told = succeed("resume", "run.h5", "--epochs", 2, "-v", *logs, cwd=tmp_path).stderr
    for words in ("numba", "compiled kernels: ", 'model.arch="custom"', "configuration ", "checkpoint after 6 mini-"):
        assert words in told
    entries = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in entries if entry["event"] == "epoch"] == [1, 2]
    assert {entry["level"] for entry in entries if entry["event"] == "message"} <= {"info", "warning"}
    assert len(list((tmp_path / "events").iterdir())) == 2


def test_a_missing_extra_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "tensorboardX.py").write_text("raise ImportError")
    hidden = spikesim(
        "train", "--arch", "conv", "--out", "run.h5", "--tensorboard", "events", cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"},
    )  # fmt: skip
    assert_one_line(hidden, "pip install 'spikesim[tensorboard]'")
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []
