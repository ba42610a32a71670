"""Plasticity in TOML files and in the files of simulations."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from spikesim.cli import main
from spikesim.errors import InputError
from spikesim.sparse import STDP, Simulation, SimulationReader
from spikesim.sparse.description import make_network, read_network

NETWORK = """\
trials = 2
dt = 0.5

[[population]]
name = "noise"
kind = "source"
size = 30
rate = 0.05

[[population]]
name = "cells"
size = 12
leak = 0
bias = 0.1

[[projection]]
source = "noise"
target = "cells"
rule = "fixed_indegree"
indegree = 10
weight = 0.1
delay = [1, 3]
plasticity = { rule = "stdp", Wmax = 0.3, tau_plus = 15.0, lambda = 0.05, mu_minus = 0.5, dendritic_delay = 1 }
record_weights = { every = 20, synapses = [5, 2] }

[[projection]]
source = "noise"
target = "cells"
number = 2
weight = 0.05
"""
A, B = {"name": "a", "kind": "source", "size": 3, "rate": 0.1}, {"name": "b", "size": 3}
STATIC = {"source": "a", "target": "b", "number": 1, "weight": 0.1}


def simulate(folder: Path, steps: int, *options: str, out: str = "sim.h5") -> Any:
    (folder / "net.toml").write_text(NETWORK)
    arguments = ["simulate", str(folder / "net.toml"), "--steps", str(steps), "--out", str(folder / out), *options]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_a_file_has_the_weights_also_of_a_simulation_that_went_on(tmp_path: Path) -> None:
    assert simulate(tmp_path, 150).exit_code == 0
    assert simulate(tmp_path, 70, out="parts.h5").exit_code == 0
    with SimulationReader(tmp_path / "parts.h5") as half:
        assert half.recorded_weights(0).steps.tolist() == [0, 20, 40, 60]
    assert simulate(tmp_path, 150, "--resume", out="parts.h5").exit_code == 0
    net = read_network(tmp_path / "net.toml").network
    rule = STDP(0.3, tau_plus=15.0, lambda_=0.05, mu_minus=0.5, dendritic_delay=1)
    assert net.projections[0].plasticity == rule and net.projections[1].plasticity is None
    simulation = Simulation(net, trials=2)
    simulation.record_weights(net.projections[0], every=20, synapses=[5, 2])
    simulation.run(150)
    for name in ("sim.h5", "parts.h5"):
        with SimulationReader(tmp_path / name) as reader:
            assert reader.weights_step(0) == 150
            for trial in (0, 1):
                found, expected = reader.synapses(0, trial), simulation.synapses(net.projections[0], trial)
                assert found.shape == (12, 30)
                for own, other in zip(found[:3], expected[:3], strict=True):
                    assert np.array_equal(own, other)
                assert np.array_equal(found.weights, expected.weights.astype(np.float32))
                seen, wanted = reader.recorded_weights(0, trial), simulation.recorded_weights(net.projections[0], trial)
                assert seen.synapses.tolist() == [5, 2] and seen.steps.tolist() == list(range(0, 150, 20))
                assert np.array_equal(seen.weights, wanted.weights.astype(np.float32))
            with pytest.raises(InputError, match="has no plastic projection 1"):
                reader.synapses(1)
            with pytest.raises(InputError, match="has no trial 2"):
                reader.recorded_weights(0, 2)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"plasticity": {"rule": "stdp"}}, "has no Wmax; it needs rule, Wmax"),
        ({"plasticity": {"rule": "bcm", "Wmax": 1.0}}, "rule of the plasticity of the projection a -> b is 'bcm'"),
        ({"plasticity": {"rule": "stdp", "w_max": 1.0}}, "unknown key 'w_max' .*did you mean Wmax"),
        ({"plasticity": {"rule": "stdp", "Wmax": 1.0, "alpha": -1}}, "a -> b: alpha is -1; it must be in 0 .. "),
        ({"plasticity": 3}, "plasticity of the projection a -> b is 3"),
        ({"record_weights": {"every": 10}}, "has record_weights and no plasticity"),
        (
            {"plasticity": {"rule": "stdp", "Wmax": 1.0}, "record_weights": {"every": 0}},
            "every of record_weights of the projection a -> b is 0",
        ),
    ],
)
def test_what_is_refused(given: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        make_network({"population": [A, B], "projection": [STATIC | given]}, tmp_path)
