"""Recordings of events through the commands, as a user types them."""

import csv
import io
import json
from pathlib import Path

import event_files as ef
import numpy as np
import pytest
from commands import assert_one_line, digest, spikesim, succeed

from spikesim.ep.inputs.teacher import read_teacher

NETWORK = (
    "--set", 'model.layers=[{kind="conv",channels=6,pool=true},{kind="dense",channels=12}]', "--arch", "custom",
    "--set", "model.calibration_samples=12", "--batch-size", 12, "--epochs", 2, "--steps-free", 8,
    "--set", "dynamics.window_free=4", "--set", "record.traces=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of moving bars."""
    folder = tmp_path_factory.mktemp("data")
    ef.write_file(folder / "bars.npz", ef.arrays_of(ef.bars(48), 36))
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    succeed("train", *NETWORK, "--dataset", "bars.npz", "--data-dir", data, "--out", data / "run.h5")
    return data / "run.h5"


def test_a_run_on_ones_own_recordings_and_what_its_report_says(data: Path, run: Path) -> None:
    report = json.loads(succeed("report", run, "--format", "json").stdout)
    duration = float(np.median([np.ptp(events.t) for events, _ in ef.bars(36)]) + 1) / 1000
    layers = {(entry["phase"], entry["layer"]): entry for entry in report["layers"]}
    for phase in ("free", "test"):
        for layer in ("conv1", "dense2", "total"):
            entry = layers[phase, layer]
            assert entry["input_ms"] == pytest.approx(duration)
            assert entry["activity_per_ms"] == pytest.approx(entry["spikes"] / entry["neurons"] / duration)
            operations = sum(
                entry[name] for name in ("effective_acs_forward", "effective_acs_feedback", "effective_macs")
            )
            assert entry["operations_per_ms"] == pytest.approx(operations / duration)
        first = layers[phase, "conv1"]
        assert first["effective_macs"] == 0 < first["effective_acs_forward"] < first["dense_forward"]
    assert layers["nudged+", "total"]["input_ms"] is None, "nudged phases hold the input"
    rows = list(csv.DictReader(io.StringIO(succeed("report", run, "--format", "csv").stdout)))
    found = {(row["phase"], row["layer"]): float(row["value"]) for row in rows if row["metric"] == "operations_per_ms"}
    wanted = {
        key: entry["operations_per_ms"] for key, entry in layers.items() if entry["operations_per_ms"] is not None
    }
    assert found == wanted
    text = succeed("report", run).stdout
    assert f"Per millisecond of input ({duration:.4g} ms per sample)" in text
    assert max(map(len, text.split("Loss and accuracy")[1].splitlines())) <= 100


def test_a_test_repeats_the_runs_own_and_takes_the_mean_field(data: Path, run: Path) -> None:
    own = json.loads(succeed("report", run, "--format", "json").stdout)["epochs"][-1]
    for inference in ("stochastic", "mean-field"):
        options = ("--data-dir", data, "--inference", inference, "--format", "json")
        found = json.loads(succeed("evaluate", run, *options).stdout)["tests"][0]
        assert found["samples"] == 12
        assert (found["loss"] == own["test_loss"]) == (inference == "stochastic")
        assert (found["multiply_accumulates"] > 0) == (inference == "mean-field")


def test_threads_change_no_bit(data: Path, run: Path) -> None:
    out = data / "other.h5"
    arguments = (*NETWORK, "--dataset", "bars.npz", "--data-dir", data, "--out", out, "--threads", 1)
    succeed("train", *arguments)
    assert digest(out) == digest(run)


def test_the_other_commands_take_recordings(data: Path, run: Path) -> None:
    check = json.loads(succeed("gradcheck", "--run", run, "--data-dir", data, "--batch", 12, "--format", "json").stdout)
    assert all(cosine is not None for cosine in check["variants"][0]["to_exact"]["weight"]["cosine"])
    succeed("teacher", run, "--data-dir", data, "--out", data / "teacher.h5")
    assert read_teacher(data / "teacher.h5").logits.shape == (36, 3)


def test_images_as_spikes(tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    succeed(
        "train", *NETWORK, "--dataset", "fashion-mnist-mini", "--limit", 24, "--test-limit", 12, "--set",
        "data.encoding=bernoulli", "--out", out,
    )  # fmt: skip
    report = json.loads(succeed("report", out, "--format", "json").stdout)
    first = next(entry for entry in report["layers"] if entry["layer"] == "conv1" and entry["phase"] == "free")
    assert first["effective_macs"] == 0 < first["effective_acs_forward"]
    assert first["input_ms"] is None, "an image has no time"


def test_nmnist_from_its_folders(tmp_path: Path) -> None:
    ef.write_nmnist(tmp_path / "nmnist", {"Train": ef.bars(24), "Test": ef.bars(12, first=100)})
    assert "34x34x2" in succeed("data", "list", "--data-dir", tmp_path).stdout
    said = succeed("data", "check", "nmnist", "--data-dir", tmp_path).stdout
    assert "nmnist: good" in said and "24 of 60000 and 12 of 10000 recordings" in said
    result = succeed(
        "train", *NETWORK, "--dataset", "nmnist", "--data-dir", tmp_path, "--set", "data.coarse=2",
        "--set", "data.duration=20", "--out", tmp_path / "run.h5",
    )  # fmt: skip
    assert "24 training samples" in result.stderr
    assert "data: 24 training and 12 test recordings of a sensor of 34x34 pixels; 10 classes" in result.stderr
    assert "warning: there is no training sample of 7 classes (3, 4, 5, 6, 7, 8, 9), of 10" in result.stderr


def test_digits_that_move_are_learned(tmp_path: Path) -> None:
    """The first recordings of N-MNIST, where they are at hand."""
    path = ef.small_nmnist()
    if path is None:
        pytest.skip("nmnist_small.npz is not on this machine")
    parts = ef.first_nmnist(path)
    ef.write_nmnist(tmp_path, {"Train": parts["Train"][:200], "Test": parts["Test"]})
    succeed(
        "train", "--arch", "conv", "--width", 0.25, "--dataset", "nmnist", "--data-dir", tmp_path, "--epochs", 2,
        "--batch-size", 8, "--out", tmp_path / "run.h5",
    )  # fmt: skip
    report = json.loads(succeed("report", tmp_path / "run.h5", "--format", "json").stdout)
    assert report["epochs"][-1]["test_accuracy"] > 0.45


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dataset", "broken.npz"), "damaged"),
        (("--dataset", "nmnist"), "spikesim data fetch nmnist"),
        (("--dataset", "bars.npz", "--set", "data.encoding=latency"), "it must be 'events', 'current' or 'auto'"),
    ],
)
def test_faults_are_one_line(data: Path, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (data / "broken.npz").write_bytes(b"PK\x03\x04")
    result = spikesim("train", *NETWORK, *arguments, "--data-dir", data, "--out", tmp_path / "run.h5")
    assert_one_line(result, words)
    assert not (tmp_path / "run.h5").exists()
