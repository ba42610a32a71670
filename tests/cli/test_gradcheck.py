import json
import re
import shutil

import h5py
import numpy as np
import pytest
from commands import CONFIG, spikesim, succeed


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("gradcheck") / "tiny.toml"
    path.write_text(CONFIG)
    return path


def refused(*arguments, **options):
    result = spikesim("gradcheck", *arguments, **options)
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1 and result.stdout == ""
    return result.stderr


def test_json(config):
    arguments = ("gradcheck", "--config", config, "--batch", 8, "--repeats", 2, "--betas", "1,2", "--format", "json")
    result = succeed(*arguments, "--threads", 1)
    assert result.stderr == ""
    assert succeed(*arguments, "--threads", 2).stdout == result.stdout
    found = json.loads(result.stdout)
    assert (found["layers"], found["samples"], found["repeats"]) == (["conv1", "conv2"], 8, 2)
    assert found["config"]["data"]["batch_size"] == 8 and found["run"] is None
    assert [own["variant"]["beta"] for own in found["variants"]] == [1.0, 2.0]
    assert min(found["mean_field"]["to_exact"]["weight"]["cosine"]) > 0.99
    assert max(found["mean_field"]["residual"]) < 1e-6
    for own in found["variants"]:
        assert own["to_exact"]["weight"]["cosine"][1] > 0.5
        assert len(own["rate_difference"]) == len(own["rate_difference_quantiles"]["0.5"]) == 2


def test_the_table_of_a_run(config, tmp_path):
    run = tmp_path / "run.h5"
    succeed("train", "--config", config, "--epochs", 1, "--out", run)
    before = run.read_bytes()
    text = succeed("gradcheck", "--run", run, "--batch", 8).stdout
    rows = [line.split() for line in text.splitlines() if line.startswith("conv")]
    assert [row[0] for row in rows] == ["conv1", "conv2"] * 2
    assert all(-1 <= float(cell) <= 1 for row in rows[2:] for cell in row[1:4])
    assert "exact gradient" in text and "8 samples" in text
    assert run.read_bytes() == before
    found = json.loads(succeed("gradcheck", "--run", run, "--batch", 8, "--format", "json").stdout)
    assert found["config"]["model"]["arch"] == "custom" and found["run"] == str(run)
    start = json.loads(succeed("gradcheck", "--config", config, "--batch", 8, "--format", "json").stdout)
    assert start["mean_field"]["cost"] > found["mean_field"]["cost"], "the run has learned"
    assert "needs (128, 10)" in refused("--run", run, "--batch", 8, "--width", 2)


def test_a_run_of_before_normalization_keeps_the_means_of_its_weights(config, tmp_path):
    run, old = tmp_path / "run.h5", tmp_path / "old.h5"
    succeed("train", "--config", config, "--normalization", "none", "--epochs", 1, "--out", run)
    shutil.copy(run, old)
    with h5py.File(old, "r+") as file:
        recorded = json.loads(file.attrs["config"])
        del recorded["model"]["normalization"]
        file.attrs["config"] = np.bytes_(json.dumps(recorded))
    given = ("--batch", 8, "--format", "json", "--set", "dynamics.feedback_gain=1.0")  # refused with the default
    assert succeed("gradcheck", "--run", old, *given).stdout.replace("old.h5", "run.h5") == (
        succeed("gradcheck", "--run", run, *given).stdout
    )


def test_the_grid(config):
    for phase, number in (("clamped-spikes", 32), ("linear-response", 8)):
        settings = ("--set", f"dynamics.nudged_phase={phase}")
        text = succeed("gradcheck", "--config", config, *settings, "--batch", 4, "--grid", "--windows", "4,6").stdout
        words = ("common|independent", "iid|stratified", "spikes|probability")
        kinds = "".join(f"(?:({word}) +)?" for word in words) + "(average|sampled) +(4|6) +-?[01]"
        rows = re.findall(f"^{kinds}", text, re.MULTILINE)
        assert len(set(rows)) == len(rows) == number


def test_the_picture(config, tmp_path):
    picture = tmp_path / "check.png"
    succeed("gradcheck", "--config", config, "--batch", 4, "--windows", "4,6", "--betas", "1,2", "--plot", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.write_bytes(b"mine")
    assert "--overwrite" in refused("--config", config, "--plot", picture)
    assert picture.read_bytes() == b"mine"
    succeed("gradcheck", "--config", config, "--batch", 4, "--windows", 4, "--plot", picture, "--overwrite")
    assert picture.read_bytes().startswith(b"\x89PNG")
    course = succeed(
        "gradcheck", "--config", config, "--set", "dynamics.nudged_phase=live-spikes", "--batch", 4, "--betas", 1,
        "--windows", 4, "--plot", picture, "--overwrite", "--format", "json",
    )  # fmt: skip
    assert [own["variant"]["steps_nudged"] for own in json.loads(course.stdout)["course"]] == [2, 4, 6]
    assert ".png" in refused("--config", config, "--plot", tmp_path / "check.docx")
    assert "does not exist" in refused("--config", config, "--plot", tmp_path / "missing" / "check.png")


def test_without_matplotlib(config, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    blocked = "import sys; sys.path.insert(0, sys.argv.pop(1)); from spikesim.cli import main; main()"
    import subprocess
    import sys

    from commands import ROOT

    result = subprocess.run(
        [sys.executable, "-c", blocked, tmp_path, "gradcheck", "--plot", tmp_path / "check.png"],
        capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert result.returncode == 2
    assert "spikesim[plot]" in result.stderr and result.stderr.count("\n") == 1


def test_what_is_refused(config, tmp_path):
    assert "--windows" in refused("--config", config, "--windows", "4,x")
    assert "steps_nudged" in refused("--config", config, "--windows", "0")
    assert "beta" in refused("--config", config, "--betas", "nan")
    assert "--small-beta" in refused("--small-beta", 0)
    assert "49" in refused("--config", config, "--batch", 49)
    assert "teacher" in refused("--config", config, "--signals", "kd")
    assert "--config" in refused("--config", config, "--run", tmp_path / "missing.h5")
    assert "missing.h5" in refused("--run", tmp_path / "missing.h5")
    assert "--epochs" in refused("--epochs", 3)
