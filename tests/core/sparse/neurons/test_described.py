"""Models and units in the TOML file of a network, as `spikesim simulate` reads it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from spikesim.cli import main
from spikesim.errors import InputError
from spikesim.sparse import (
    IafPscExp,
    Izhikevich,
    Network,
    Normal,
    RandomSynapses,
    Simulation,
    SimulationReader,
    Uniform,
)
from spikesim.sparse.description import make_network

NETWORK = """\
dt = 0.1
seed = 3

[[population]]
name = "input"
kind = "source"
size = 50
rate_hz = 40

[[population]]
name = "cells"
kind = "iaf_psc_exp"
size = 20
tau_m = 15
tau_syn_in = 8.0
V_m = { distribution = "uniform", low = -70, high = -60 }
V_th = { distribution = "normal", mean = -50, std = 1, low = -54 }
t_ref = 1.5
poisson = { rate_hz = 500, weight = -20.0 }
record = true
record_potential = [0, 3]

[[population]]
name = "others"
kind = "izhikevich"
size = 3
a = 0.1
I_e = [0, 5, 10.0]

[[projection]]
source = "input"
target = "cells"
number = 10
weight = 400
delay_ms = [1, 2.5]

[[projection]]
source = "cells"
target = "others"
number = 2
weight = 3
delay_ms = 1.5
"""


def run(folder: Path, text: str, *more: str) -> Result:
    (folder / "net.toml").write_text(text)
    command = [
        "simulate",
        str(folder / "net.toml"),
        "--steps",
        "600",
        "--out",
        str(folder / "out.h5"),
        "--threads",
        "1",
    ]
    return CliRunner().invoke(main, [*command, *more])


def test_a_file_with_units_is_the_network_that_python_builds(tmp_path: Path) -> None:
    result = run(tmp_path, NETWORK)
    assert result.exit_code == 0, result.output
    assert "600 steps of 0.1 ms, 1 trial" in result.output and " Hz " in result.output
    net = Network(3, dt=0.1)
    source = net.add_source(50, net.per_step(40), name="input")
    model = IafPscExp(tau_m=15, tau_syn_in=8, V_m=Uniform(-70, -60), V_th=Normal(-50, 1, low=-54), t_ref=1.5)
    cells = net.add_population(20, model, name="cells")
    others = net.add_population(3, Izhikevich(a=0.1, I_e=[0, 5, 10]), name="others")
    net.add_poisson(cells, float(net.per_step(500)), -20)
    net.connect(source, cells, RandomSynapses(10, 400, (net.steps(1), net.steps(2.5))))
    net.connect(cells, others, RandomSynapses(2, 3, net.steps(1.5)))
    twin = Simulation(net, seed=3)
    twin.record(cells)
    twin.record_potential(cells, [0, 3])
    twin.run(600)
    assert twin.spike_counts(cells).sum() > 5 and twin.spike_counts(others).sum() > 0
    with SimulationReader(tmp_path / "out.h5") as reader:
        np.testing.assert_array_equal(reader.counts("cells"), twin.counts(cells))
        np.testing.assert_array_equal(reader.counts("others"), twin.counts(others))
        np.testing.assert_array_equal(reader.potentials("cells"), twin.potentials(cells).astype(np.float32))
        assert np.all((reader.potentials("cells") > -100) & (reader.potentials("cells") < -45))
        units = reader.network["units"]
    assert units["dt"] == "ms" and set(units["populations"]) == {"cells", "others"}
    own = units["populations"]["cells"]
    assert (own["potential"], own["weight"], own["parameters"]["t_ref"]) == ("mV", "pA", "ms")
    assert run(tmp_path, NETWORK, "--resume").exit_code == 0  # it is the same network


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("dt = 0.1", "", "input has rate_hz, and the file has no dt; give the milliseconds of a step, as in dt = 0.1"),
        ("dt = 0.1", "dt = 0", "dt is 0 ms; it must be in 1e-6 .. 1000"),
        ("tau_m = 15", "tau_m = 0", "tau_m of cells is 0.0; it must be above 0"),
        ("tau_m = 15", 'tau_m = "15 ms"', "tau_m of cells is '15 ms'; it must be a number"),
        ("tau_m = 15", "tau_m = [15, 16]", "tau_m of cells has shape (2,); it must be () or (20,)"),
        (
            "tau_m = 15",
            "tau = 15",
            "unknown key 'tau' in cells, a population of kind iaf_psc_exp (did you mean tau_m?)",
        ),
        (
            '"iaf_psc_exp"',
            '"iaf_psc_expo"',
            "kind of cells is 'iaf_psc_expo'; it must be one of probabilistic, lif, iaf_",
        ),
        ("std = 1, low = -54 }", "low = -54 }", "std"),
        (
            "std = 1, low = -54 }",
            "std = 1, low = -40 }",
            "V_th of cells: 7.6e-24 of Normal(mean=-50, std=1) lies in -40",
        ),
        (
            "delay_ms = 1.5",
            "delay_ms = 1.55",
            "delay_ms of the projection cells -> others: 1.55 ms is 15.5 steps of 0.1",
        ),
        ("delay_ms = 1.5", "delay_ms = 1.5\ndelay = 3", "cells -> others has delay and delay_ms; give one of them"),
        ("delay_ms = 1.5", "delay_ms = 0.04", "0.04 ms is 0.4 steps"),
        ("rate_hz = 40", "rate_hz = 40000", "rates reach from 4 to 4; they must be in 0 .. 1"),
        ("t_ref = 1.5", "V_reset = -40", "cells: V_reset reaches -40 mV, and V_th -5"),
    ],
)
def test_faults_are_one_line(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in NETWORK
    result = run(tmp_path, NETWORK.replace(old, new, 1))
    assert result.exit_code == 2 and words in " ".join(result.output.split()), result.output
    assert "Traceback" not in result.output


def test_models_without_units_take_arrays_and_time_constants(tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [
        {"name": "a", "size": 3, "tau": 12.5, "refractory": [0, 2, 5], "initial": 0.25, "bias": 0.1},
        {"name": "b", "size": 2, "kind": "lif", "threshold": [0.5, 1], "width": 0, "tau": 9.0},
    ]
    net = make_network({"population": tables}, tmp_path).network
    assert all(own.general is not None for own in net.populations)
    Simulation(net).run(3)
    with pytest.raises(InputError, match="a has a leak and a tau; give one of them"):
        make_network({"population": [tables[0] | {"leak": 2}]}, tmp_path)
    assert "units" not in make_network({"population": tables}, tmp_path).content
