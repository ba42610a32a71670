"""`spikesim export SIM.h5`, read back with the readers of those who made the formats."""

import csv
import json
from pathlib import Path

import h5py
import libsonata
import nir
import numpy as np
import pytest
from click.testing import CliRunner

from spikesim.cli import main
from spikesim.sparse import SimulationReader

STEPS = 600


def export(simulation: Path, to: str, out: Path, *options: object) -> str:
    command = ["export", str(simulation), "--to", to, "--out", str(out), *map(str, options)]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 0, found.output
    return found.output


def rows(simulation: Path, population: str, trials: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Position of the trial, step and neuron of the spikes, in this order."""
    with SimulationReader(simulation) as reader:
        found = [(place, reader.spikes(population, trial)) for place, trial in enumerate(trials)]
    return [
        (place, *spike)
        for place, own in found
        for spike in sorted(zip(own.steps.tolist(), own.neurons.tolist(), strict=True))
    ]


@pytest.mark.parametrize(("options", "trials"), [([], (0, 1)), (["--trial", 1], (1,))], ids=["all", "one"])
def test_sonata_is_read_by_libsonata(timed, tmp_path, options, trials) -> None:
    told = export(timed, "sonata", tmp_path / "s.h5", *options)
    assert ("SONATA knows no trials: the 2 follow each other in time, 300 ms each" in told) == (len(trials) == 2)
    assert "spikes of noise were not recorded" in told
    reader = libsonata.SpikeReader(str(tmp_path / "s.h5"))
    assert reader.get_population_names() == ["cells", "output"]
    for name in ("cells", "output"):
        population = reader[name]
        assert (population.sorting, population.time_units) == ("by_time", "ms")
        expected = [((place * STEPS + step) * 0.5, neuron) for place, step, neuron in rows(timed, name, trials)]
        assert [(time, node) for node, time in population.get()] == expected and len(expected) > 10
    with h5py.File(tmp_path / "s.h5") as file:
        about = json.loads(file.attrs["spikesim"])
    assert (about["trials"], about["steps"], about["step_ms"]) == (list(trials), STEPS, 0.5)
    report = libsonata.ElementReportReader(str(tmp_path / "s.h5"))["cells"]
    assert (report.data_units, report.time_units) == ("mV", "ms")
    assert report.get_node_ids() == [0, 7] and report.times == (0.0, STEPS * 0.5 * len(trials), 0.5)
    with SimulationReader(timed) as simulation:
        expected = np.concatenate([simulation.potentials("cells", trial)[:, [1, 0]] for trial in trials])
    np.testing.assert_array_equal(report.get(tstop=(len(expected) - 0.5) * 0.5).data, expected)


def test_nirdata_is_read_by_nir(simulation, tmp_path) -> None:
    export(simulation, "nirdata", tmp_path / "n.h5", "--step-ms", 0.1)
    data = nir.read_data(tmp_path / "n.h5")
    assert set(data.nodes) == {"cells", "output"}
    for name, node in data.nodes.items():
        events = node.observables["spikes"]
        assert events.n_neurons == {"cells": 150, "output": 10}[name] and events.t_max >= STEPS * 1e-4
        found = [
            (place, round(time * 1e4 - 0.5), neuron)
            for place in range(2)
            for neuron, time in zip(events.idx[place], events.time[place], strict=True)
            if neuron >= 0
        ]
        assert sorted(found) == rows(simulation, name, (0, 1))
        grid = events.to_time_gridded(1e-4)
        assert grid.data.shape[:2] == (2, STEPS) and int(grid.data.sum()) == len(found)


def test_a_table_of_spikes(timed, tmp_path) -> None:
    export(timed, "csv", tmp_path / "s.csv", "--table", "spikes")
    with open(tmp_path / "s.csv", newline="") as stream:
        heading, *lines = csv.reader(stream)
    assert heading == ["population", "trial", "step", "time_ms", "neuron"]
    found = sorted((int(row[1]), int(row[2]), int(row[4])) for row in lines if row[0] == "cells")
    assert found == rows(timed, "cells", (0, 1))
    assert all(float(row[3]) == int(row[2]) / 2 for row in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "nir"], "holds a simulation, of which only spikes can be exported"),
        (["--to", "csv"], "holds a simulation, of which only spikes can be exported"),
        (["--to", "sonata", "--sample", "0"], "--sample is not used with"),
        (["--to", "sonata", "--weights", "best"], "--weights is not used with --to sonata"),
        (["--to", "sonata", "--trial", "2"], "has no trial 2; it has 2, from 0"),
    ],
)
def test_what_does_not_apply_is_refused(simulation, tmp_path, options, message) -> None:
    found = CliRunner().invoke(main, ["export", str(simulation), "--out", str(tmp_path / "x"), *options])
    assert found.exit_code == 2 and message in found.stderr and len(found.stderr.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_simulation_is_never_replaced(simulation) -> None:
    before = simulation.read_bytes()
    command = ["export", str(simulation), "--to", "sonata", "--out", str(simulation), "--overwrite"]
    found = CliRunner().invoke(main, command)
    assert found.exit_code == 2 and "an export never replaces" in found.stderr
    assert simulation.read_bytes() == before
