"""benchmarks/science/nir_readers.py as a user types it: what the exported graph answers elsewhere."""

import importlib.util
import re

import numpy as np
import pytest
from commands import script

import spikesim

STEPS = 32


@pytest.fixture(scope="module")
def accuracies(tmp_path_factory):
    """A tiny network without feedback that tells four patterns apart, and its accuracy by program."""
    folder, rng = tmp_path_factory.mktemp("nir"), np.random.default_rng(0)
    patterns = rng.integers(0, 2, (4, 8, 8)) * 70
    labels = {"train": np.arange(256) % 4, "test": np.arange(120) % 4}
    arrays = {f"{part}_labels": own for part, own in labels.items()}
    for part, own in labels.items():
        arrays[f"{part}_images"] = (patterns[own] + rng.integers(0, 180, (len(own), 8, 8))).astype(np.uint8)
    np.savez(folder / "own.npz", **arrays)
    layers = [{"kind": "conv", "channels": 4, "pool": True}, {"kind": "dense", "channels": 12}]
    settings = {"model.arch": "custom", "model.layers": layers, "dynamics.feedback_gain": 0, "optimizer.epochs": 3}
    spikesim.fit(folder / "own.npz", folder / "run.h5", settings, progress=False, threads=1)
    found = script("benchmarks/science/nir_readers.py", folder / "run.h5", "--steps", STEPS, "--data-dir", folder)
    assert found.returncode == 0, found.stderr
    rows = re.findall(r"^(\S.*?)  +([\d.]+)%$", found.stdout, re.MULTILINE)
    return {name.partition(" (")[0]: float(share) for name, share in rows}


def test_if_neurons_have_the_accuracy_of_this_program(accuracies):
    ours = accuracies["spikesim, mean field"]
    assert ours > 60 and abs(accuracies["spikesim, spikes"] - ours) < 8
    assert abs(accuracies["NumPy, reset by subtraction"] - ours) < 5


@pytest.mark.parametrize(
    ("package", "name", "bound"),
    [("nirtorch", "NIRTorch", 0.1), ("snntorch", "snnTorch", 2), ("norse", "Norse", 15), ("sinabs", "Sinabs", 15)],
)
def test_other_programs_have_the_accuracy_of_if_neurons(accuracies, package, name, bound):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the benchmark runs {name} where it is installed, which the package does not need")
    assert abs(accuracies[name] - accuracies["NumPy, reset by subtraction"]) <= bound
