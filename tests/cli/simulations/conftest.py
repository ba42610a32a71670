"""One small simulation, as the command makes it, and what it would be with steps of half a millisecond."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import succeed

NETWORK = """\
trials = 2
seed = 5

[[population]]
name = "noise"
kind = "source"
size = 40
rate = 0.05

[[population]]
name = "cells"
size = 150
leak = 3
bias = -0.05
record = true
record_potential = [7, 0]

[[population]]
name = "output"
kind = "lif"
size = 10
leak = 2
threshold = 0.5
width = 0.2
poisson = { rate = 0.5, weight = 0.1 }
record = true

[[projection]]
source = "noise"
target = "cells"
number = 20
weight = 0.4
delay = [1, 5]
"""


@pytest.fixture(scope="session")
def simulation(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulation")
    (folder / "net.toml").write_text(NETWORK)
    succeed("simulate", folder / "net.toml", "--steps", 600, "--out", folder / "sim.h5", "--threads", 1)
    return folder / "sim.h5"


@pytest.fixture(scope="session")
def timed(simulation) -> Path:
    """The same with a dt of 0.5 ms, and potentials of cells in mV."""
    path = simulation.with_name("timed.h5")
    shutil.copy(simulation, path)
    with h5py.File(path, "r+") as file:
        units = {"dt": "ms", "populations": {"cells": {"potential": "mV"}}}
        network = json.loads(file["network"][()]) | {"dt": 0.5, "units": units}
        del file["network"]
        file.create_dataset("network", data=np.bytes_(json.dumps(network).encode()))
    return path
