"""examples/train_twin.py as a user types it, and what the import makes of its weights."""

import json
import re

import pytest
from commands import script, succeed

pytest.importorskip("torch", reason="the example trains with PyTorch, which the package does not need")


def test_the_import_answers_as_the_twin(tmp_path):
    done = script("examples/train_twin.py", "--epochs", 2, "--out", tmp_path / "twin.safetensors")
    assert done.returncode == 0, done.stderr
    accuracy = float(re.findall(r"test accuracy ([\d.]+) %", done.stdout)[-1])
    assert accuracy > 75  # of ten classes
    arguments = ("--arch", "conv", "--dataset", "fashion-mnist-mini", "--out", tmp_path / "twin.h5")
    assert "layout torch" in succeed("import", tmp_path / "twin.safetensors", *arguments).stdout
    for inference in ("stochastic", "mean-field"):
        found = succeed("evaluate", tmp_path / "twin.h5", "--inference", inference, "--format", "json").stdout
        assert abs(100 * json.loads(found)["tests"][0]["accuracy"] - accuracy) < 3
