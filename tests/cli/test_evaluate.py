import json

import h5py
import numpy as np
import pytest
from commands import CONFIG, spikesim, succeed

from spikesim.datasets import load
from spikesim.ep.runs.reader import RunReader


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "tiny.toml").write_text(CONFIG)
    succeed("train", "--config", folder / "tiny.toml", "--out", folder / "run.h5", "--threads", 2)
    return folder / "run.h5"


def evaluate(*arguments):
    result = succeed("evaluate", *arguments, "--format", "json")
    assert result.stderr == ""
    return json.loads(result.stdout)


def refused(*arguments):
    result = spikesim("evaluate", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    return result.stderr


def test_the_first_repeat_is_the_last_test_of_the_run(run):
    before = run.read_bytes()
    found = evaluate(run, "--repeats", 3, "--threads", 1)
    with RunReader(run) as reader:
        last = {name: values[-1] for name, values in reader.epochs.items()}
    first = found["tests"][0]
    assert len(found["tests"]) == 3
    assert (first["samples"], first["correct"]) == (last["test_samples"], last["test_correct"]) and first[
        "samples"
    ] == 400
    assert first["loss"] == last["test_loss"]
    events = last["test_events_forward"].sum() + last["test_events_feedback"].sum()
    assert first["accumulates"] == events / 400
    assert len({test["loss"] for test in found["tests"]}) == 3  # fresh random numbers
    matrix = np.array(first["confusion"]["matrix"])
    assert matrix.trace() == first["correct"]
    labels = load("fashion-mnist-mini").test.labels[:400]
    assert matrix.sum(axis=1).tolist() == np.bincount(labels, minlength=10).tolist()
    kept = json.loads(succeed("report", run, "--format", "json").stdout)["confusion"]
    assert kept == {**first["confusion"], "epoch": 2}
    assert run.read_bytes() == before


def test_weights_that_are_not_those_that_were_tested_are_named(run, tmp_path):
    changed = tmp_path / "changed.h5"
    changed.write_bytes(run.read_bytes())
    with h5py.File(changed, "r+") as file:
        for name in file["weights"]:
            file[f"weights/{name}/weight"][...] *= 0.5
    with RunReader(run) as reader:
        own = reader.epochs["test_correct"][-1] / 400
    told = succeed("evaluate", changed, "--no-confusion").stderr.splitlines()
    assert len(told) == 1 and told[0].startswith(
        f"warning: the run's own test of these weights after epoch 2 has {100 * own:.2f} %, this one "
    )
    for other in (("--test-limit", 50), ("--steps-free", 20), ("--inference", "mean-field")):
        assert succeed("evaluate", changed, "--no-confusion", *other).stderr == "", "another test"


def test_mean_field_has_no_noise(run):
    found = evaluate(run, "--inference", "mean-field", "--repeats", 2, "--test-limit", 50)
    assert found["config"]["dynamics"]["inference"] == "mean-field"
    assert found["tests"][0] == found["tests"][1]
    assert found["tests"][0]["samples"] == 50


def test_settings_of_the_dynamics(run):
    found = evaluate(run, "--set", "dynamics.order=parity", "--set", "dynamics.leak=0", "--steps-free", 10)
    dynamics = found["config"]["dynamics"]
    assert (dynamics["order"], dynamics["leak"], dynamics["steps_free"]) == ("parity", 0, 10)
    assert found["tests"] != evaluate(run, "--steps-free", 10)["tests"]
    assert "--set optimizer.epochs=3" in refused(run, "--set", "optimizer.epochs=3")
    assert "dynamics.nothing" in refused(run, "--set", "dynamics.nothing=3")


def test_the_table(run):
    text = succeed("evaluate", run, "--repeats", 3, "--test-limit", 20).stdout
    assert [line.split()[0] for line in text.splitlines() if "uJ" in line] == ["1", "2", "3"]
    assert "mean and standard deviation of 3 repeats" in text
    lines = text.splitlines()
    by_class = lines[lines.index("Accuracy by class, 3 repeats together") + 2 :]
    assert by_class[0].split() == ["class", "samples", "predicted", "recall", "precision"]
    counts = [line.split("top")[-1].split() for line in by_class if line.startswith("0 T-shirt/top")]
    assert sum(int(count) for count in counts[1] if count != ".") == int(counts[0][0])
    assert "Accuracy by class" not in succeed("evaluate", run, "--test-limit", 20, "--no-confusion").stdout


def test_weights_in_few_bits(run):
    plain = evaluate(run, "--test-limit", 100, "--threads", 1)["tests"]
    found = evaluate(run, "--test-limit", 100, "--threads", 1, "--bits", "8, 2", "--repeats", 2)["tests"]
    assert [test["bits"] for test in found] == [16, 16, 8, 8, 2, 2]
    assert found[0] == plain[0]
    zeros = [test["zeros"] for test in found[::2]]
    assert zeros[0] < zeros[1] < zeros[2] and found[4]["loss"] != found[2]["loss"] != found[0]["loss"]
    text = succeed("evaluate", run, "--bits", "8,2", "--test-limit", 100).stdout
    rows = [line.split() for line in text.splitlines() if line[:2].strip().isdigit() and "%" in line]
    assert [row[0] for row in rows] == ["16", "8", "2"]
    assert rows[0][1:3] == [f"{plain[0]['accuracy']:.2%}", f"{plain[0]['loss']:.4f}"]
    for bits in ("1", "8,", "-4"):
        assert "from 2 to 16" in refused(run, "--bits", bits)


def test_what_is_refused(run, tmp_path):
    assert "imagenet" in refused(run, "--dataset", "imagenet")
    assert "mnist" in refused(run, "--dataset", "mnist")
    assert "1001" in refused(run, "--test-limit", 1001)
    assert "--repeats" in refused(run, "--repeats", 0)
    assert "window_free" in refused(run, "--steps-free", 2)
    assert "missing.h5" in refused(tmp_path / "missing.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    assert "text.h5" in refused(tmp_path / "text.h5")


def test_a_tolerance_saves_steps(run):
    whole = evaluate(run, "--test-limit", 50)["tests"][0]
    settled = evaluate(
        run, "--test-limit", 50, "--set", "dynamics.tolerance=0.2", "--set", "dynamics.window_free=4", "--threads", 1
    )["tests"][0]
    assert whole["steps"] == 8 > settled["steps"] >= 4
    assert settled["accumulates"] < whole["accumulates"]
