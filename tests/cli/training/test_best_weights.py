"""A validation set as a user types it: the training ends by it, and its best weights are used."""

import json
from pathlib import Path

import h5py
import numpy as np
import safetensors.numpy
from commands import CONFIG, assert_one_line, digest, spikesim, succeed

from spikesim.ep.runs.reader import RunReader

STILL = ("--inference", "mean-field", "--normalization", "none", "--set", "optimizer.learning_rate=0",
         "--set", "optimizer.readout_learning_rate=0", "--set", "stability.homeostasis=0")  # fmt: skip
"""Nothing is learned and nothing is random: all tests are the same."""


def test_a_training_that_does_not_get_better_ends(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    run = tmp_path / "run.h5"
    given = ("train", "--config", tmp_path / "tiny.toml", *STILL, "--epochs", 9, "--patience", 2, "--out", run)
    assert_one_line(spikesim(*given), "optimizer.patience is 2; it needs a validation set")
    told = succeed(*given, "--validation", 0.1).stderr
    assert "the training ends after epoch 3 of 9: 2 epochs did not raise the validation accuracy of epoch 1, " in told
    with RunReader(run) as reader:
        assert (reader.status, reader.rows["epochs"], reader.best_epoch) == ("finished", 3, 1)
    before = digest(run)
    assert "is finished; nothing to do\n" in succeed("resume", run).stderr
    assert_one_line(
        spikesim("resume", run, "--epochs", 20), "was ended after epoch 3 by optimizer.patience, which is 2"
    )
    assert digest(run) == before


def test_the_best_weights_are_used(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    run = tmp_path / "run.h5"
    succeed("train", "--config", tmp_path / "tiny.toml", "--validation", 0.1, "--epochs", 4, "--out", run)
    with RunReader(run) as reader:
        epoch, weights = reader.best()
        shape = (2, *reader.samples.shape)
        tests = list(zip(-reader.epochs["test_correct"].astype(int), reader.epochs["test_loss"], strict=True))
        assert epoch == 1 + min(range(4), key=tests.__getitem__)
    assert f"best epoch:  {epoch} by the validation set" in succeed("info", run).stdout
    assert (
        f"best epoch by the validation set: {epoch}, {-tests[epoch - 1][0] / 4:.2f} %" in succeed("report", run).stdout
    )
    found = {
        which: json.loads(succeed("evaluate", run, "--weights", which, "--format", "json").stdout)
        for which in ("best", "last")
    }
    assert found["best"]["weights"] == "best" and found["last"]["weights"] == "last"
    assert (found["best"]["tests"] == found["last"]["tests"]) == (epoch == 4)
    out = tmp_path / "w.safetensors"
    succeed("export", run, "--to", "safetensors", "--layout", "spikesim", "--weights", "best", "--out", out)
    for name, array in safetensors.numpy.load_file(out).items():
        np.testing.assert_array_equal(array, weights[name])
    np.save(tmp_path / "images.npy", np.zeros(shape, np.uint8))
    named = (run, tmp_path / "images.npy", "--weights", "best", "--out")
    succeed("predict", *named, tmp_path / "p.npz")
    with h5py.File(run, "r+") as file:  # as an older version has it
        del file["best"]
    for command in (("evaluate", run, "--weights", "best"), ("predict", *named, tmp_path / "q.npz")):
        assert_one_line(spikesim(*command), "has no best weights")
