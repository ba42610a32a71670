"""A validation set as a user types it: the training ends by it, and its best weights are used."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.numpy
from click.testing import CliRunner
from commands import CONFIG, assert_one_line, digest, spikesim, succeed

import spikesim as spikesim_package
from spikesim.cli import main
from spikesim.datasets import load
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
    assert_one_line(spikesim("resume", run, "--epochs", 20), "ended after epoch 3 by optimizer.patience, which is 2")
    assert digest(run) == before


def within(*arguments: object, code: int = 0) -> str:
    """What a command prints, run in this process."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a validation set."""
    folder = tmp_path_factory.mktemp("validated")
    (folder / "tiny.toml").write_text(CONFIG)
    succeed("train", "--config", folder / "tiny.toml", "--validation", 0.1, "--epochs", 4, "--out", folder / "run.h5")
    return folder / "run.h5"


def test_the_best_weights_are_used(validated: Path, tmp_path: Path) -> None:
    run = validated
    with RunReader(run) as reader:
        epoch, weights = reader.best()
        shape = (2, *reader.samples.shape)
        tests = list(zip(-reader.epochs["test_correct"].astype(int), reader.epochs["test_loss"], strict=True))
        assert epoch == 1 + min(range(4), key=tests.__getitem__)
    assert f"best epoch:  {epoch} by the validation set" in succeed("info", run).stdout
    assert (
        f"best epoch on the validation set: {epoch}, {-tests[epoch - 1][0] / 4:.2f} %" in succeed("report", run).stdout
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
    check = ("gradcheck", "--run", run, "--batch", 8, "--format", "json", "--weights")
    checked = {which: json.loads(within(*check, which)) for which in ("best", "last")}
    assert checked["best"]["weights"] == "best"
    assert "Error: --weights best needs a run; add --run RUN.h5" in within("gradcheck", "--weights", "best", code=2)
    assert (checked["best"]["mean_field"] == checked["last"]["mean_field"]) == (epoch == 4)
    told = within("teacher", run, "--weights", "best", "--out", tmp_path / "teacher.h5")
    with h5py.File(tmp_path / "teacher.h5") as file:
        assert f"of the best epoch, {epoch}, of the run" in str(file.attrs["description"]) and "right" in told
        shown = spikesim_package.load(run, weights="best").predict(load("fashion-mnist-mini").train.images[:5])
        np.testing.assert_array_equal(file["logits"][:5], shown.logits)
    run = tmp_path / "old.h5"
    run.write_bytes(validated.read_bytes())
    named = (run, *named[1:])
    with h5py.File(run, "r+") as file:  # as an older version has it
        del file["best"]
    for command in (("evaluate", run, "--weights", "best"), ("predict", *named, tmp_path / "q.npz")):
        assert_one_line(spikesim(*command), "has no best weights")


def test_a_training_goes_on_from_the_best_weights(validated: Path, tmp_path: Path) -> None:
    """They are known by their hash: the run goes on without the file that they are from."""
    source, run = tmp_path / "source.h5", tmp_path / "on.h5"
    source.write_bytes(validated.read_bytes())
    given = ("train", "--config", validated.with_name("tiny.toml"), "--epochs", 1, "--out", run)
    told = succeed(*given, "--init-from", f"{source}:best", "--freeze", "conv1").stderr
    assert f"taken from {source} (its best epoch): conv1, conv2, head1, readout\n" in told and "calibrating" not in told
    source.unlink()
    shown = within("info", run)
    hash_of_best = within("info", validated).partition("best_weights_hash: ")[2].splitlines()[0]
    assert f'model.weights = "{hash_of_best}"' in shown and 'optimizer.freeze = ["conv1"]' in shown
    assert (
        "\n  conv1      none, it is frozen\n  conv2      weights 0.005 (0.02 x initial deviation 0.25), biases 0.002"
        in shown
    )
    succeed("resume", run, "--epochs", 2)
    with RunReader(validated) as before, RunReader(run) as after:
        assert after.rows["epochs"] == 2
        for name, array in before.best()[1].items():
            assert (array.tobytes() == after.weights()[name].tobytes()) == name.startswith("conv1/"), name
    assert f"Error: {source} does not exist" in within(*given, "--init-from", source, "--resume", code=2)
