"""Plastic weights and what was learned, in `spikesim report`, `info` and `export`, and in tables of Python."""

import csv
import json
import re
from pathlib import Path

import h5py
import libsonata
import numpy as np
import pytest
from click.testing import CliRunner

from spikesim import open_simulation
from spikesim.cli import main
from spikesim.sparse import EdgeList, SimulationReader

PLASTIC = """\
trials = 2
dt = 0.5

[[population]]
name = "noise"
kind = "source"
size = 30
rate = 0.1

[[population]]
name = "cells"
kind = "iaf_psc_exp"
size = 8

[[projection]]
source = "noise"
target = "cells"
number = 2
weight = 50.0

[[projection]]
source = "noise"
target = "cells"
rule = "fixed_indegree"
indegree = 20
weight = { distribution = "uniform", low = 100.0, high = 300.0 }
delay = [1, 3]
plasticity = { rule = "stdp", Wmax = 400.0, lambda = 0.05 }
record_weights = { every = 50, synapses = [3, 0, 7] }
"""
LEARNING = """\
[[population]]
name = "inputs"
kind = "source"
size = 4
rate = 0.0

[[population]]
name = "outputs"
size = 2
bias = 0.2

[[projection]]
source = "inputs"
target = "outputs"
rule = "all_to_all"
weight = 0.1
plasticity = { rule = "contrastive", limit = 1.0 }

[learning]
input = "inputs"
output = "outputs"
train = { inputs = [[0.6, 0.0], [0.0, 0.6]], labels = [0, 1] }
epochs = 3
batch_size = 2
rate = 0.1
"""


def run(*arguments: object, code: int = 0) -> str:
    """What the command prints, on both streams."""
    found = CliRunner().invoke(main, [str(one) for one in arguments], env={"COLUMNS": "100"})
    assert found.exit_code == code, found.output
    return found.output


@pytest.fixture(scope="module")
def plastic(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("plastic")
    (folder / "net.toml").write_text(PLASTIC)
    run("simulate", folder / "net.toml", "--steps", 300, "--out", folder / "sim.h5", "--threads", 1)
    return folder / "sim.h5"


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    (folder / "net.toml").write_text(LEARNING)
    run("simulate", folder / "net.toml", "--out", folder / "sim.h5", "--threads", 1)
    return folder / "sim.h5"


def document(*arguments: object) -> dict:
    return json.loads(run("report", *arguments, "--format", "json"))


def test_a_report_has_the_weights_at_the_start_at_the_end_and_over_time(plastic) -> None:
    found = document(plastic)
    with SimulationReader(plastic) as reader:
        assert reader.plastic_projections() == [1]
        before = reader.initial_weights(1)
        after = np.concatenate([reader.synapses(1, trial).weights for trial in (0, 1)])
        rows = np.stack([reader.recorded_weights(1, trial).weights for trial in (0, 1)])
    (own,), (histogram,), (course,) = found["plastic"], found["weights"], found["mean_weights"]
    assert (own["projection"], own["rule"], own["unit"], own["synapses"], own["step"]) == (1, "stdp", "pA", 160, 300)
    for key, values in (("initial", before), ("weights", after)):
        assert own[key]["mean"] == pytest.approx(values.mean()) and own[key]["sd"] == pytest.approx(values.std())
        assert own[key]["quantiles"] == pytest.approx(np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]))
        assert sum(histogram[key]) == pytest.approx(1)
        mean = np.dot(histogram["x"], histogram[key])
        assert mean == pytest.approx(values.mean(), abs=histogram["width"] / 2)
    assert before.mean() != pytest.approx(after.mean(), rel=1e-3)
    assert course["x"] == [25.0 * place for place in range(7)] and course["synapses"] == 3
    assert course["mean"] == pytest.approx(rows.mean(axis=(0, 2))) and course["sd"] == pytest.approx(
        rows.std(axis=(0, 2))
    )
    one = document(plastic, "--trial", 1, "--from", "50ms", "--to", "100ms")
    assert one["plastic"][0]["weights"]["mean"] == pytest.approx(after[160:].mean())
    assert one["mean_weights"][0]["x"] == [50.0, 75.0, 100.0]
    assert one["mean_weights"][0]["mean"] == pytest.approx(rows[1, 2:5].mean(axis=1))


def test_tables_pages_and_info_show_them(plastic, learned, tmp_path) -> None:
    text = run("report", plastic)
    assert re.search(r"1: noise -> cells +start .*\n +stdp, pA +step 300 ", text)
    assert (
        "1,plastic" not in (rows := run("report", plastic, "--format", "csv"))
        and "plastic,1:noise->cells,initial_sd," in rows
    )
    assert re.search(r"1: noise -> cells, .*, stdp: weights .* \+- .*, .* after 300 steps", run("info", plastic))
    for path, named in ((plastic, ("weights_1", "mean_weight_1")), (learned, ("weights_0", "learning_accuracy"))):
        run("report", path, "--html", tmp_path / "page.html", "--overwrite")
        page = (tmp_path / "page.html").read_text()
        assert all(f'id="{name}"' in page or f"{name}" in page for name in named)
        assert "Plastic weights" in page and ("Learning by phases" in page) == (path == learned)
    assert re.search(
        r"^epoch 3/3: train mean squared error [\d.]+, [\d.]+% right$", run("watch", learned), re.MULTILINE
    )
    text = run("report", learned)
    assert "Learning by phases, 3 epochs" in text and re.search(r"contrastive +end", text)
    assert re.search(
        r"learning:\n  epochs: 3\n  train_error = 0\.\d+\n  train_accuracy = [\d.]+\n", run("info", learned)
    )


def test_python_has_a_row_for_each_synapse_and_epoch(plastic, learned) -> None:
    with open_simulation(plastic) as simulation:
        table = simulation.table("weights").where(trial=1)
        own = simulation.synapses(1, 1)
        for name, values in (("source", own.sources), ("target", own.targets), ("weight", own.weights)):
            assert table[name].tolist() == values.tolist()
        assert table["initial"].tolist() == simulation.initial_weights(1).tolist() and set(table["projection"]) == {1}
        assert simulation.table("plastic")["weights_sd"].tolist() == [simulation.report().plastic[0].weights.sd]
        assert len(simulation.table("learning")["epoch"]) == 0
    with open_simulation(learned) as simulation:
        table = simulation.table("learning")
        assert table["epoch"].tolist() == [1, 2, 3] and np.isnan(table["test_error"]).all()
        assert table["train_error"].tolist() == simulation.learning().epochs["train_error"].tolist()


def test_sonata_edges_are_read_by_libsonata_and_again_as_a_projection(plastic, tmp_path) -> None:
    assert "choose a trial with --trial" in run(
        "export", plastic, "--to", "sonata", "--table", "weights", "--out", tmp_path / "e.h5", code=2
    )
    told = run("export", plastic, "--to", "sonata", "--table", "weights", "--trial", 1, "--out", tmp_path / "e.h5")
    assert "not written: 1 projection with fixed weights" in told
    storage = libsonata.EdgeStorage(str(tmp_path / "e.h5"))
    assert storage.population_names == {"noise__cells__1"}
    edges = storage.open_population("noise__cells__1")
    every = edges.select_all()
    with SimulationReader(plastic) as reader:
        own = reader.synapses(1, 1)
    assert (edges.source, edges.target) == ("noise", "cells")
    assert edges.source_nodes(every).tolist() == own.sources.tolist()
    assert edges.target_nodes(every).tolist() == own.targets.tolist()
    assert edges.get_attribute("syn_weight", every).tolist() == own.weights.tolist()
    assert edges.get_attribute("delay", every).tolist() == (own.delays * 0.5).tolist()
    again = EdgeList.from_sonata(tmp_path / "e.h5", step_ms=0.5)
    (rows,) = again.bind(30, 8, 0).rows(30, 8)
    assert np.sort(rows.weights).tolist() == np.sort(own.weights).tolist()
    assert np.bincount(rows.delays).tolist() == np.bincount(own.delays).tolist()


def test_a_table_has_all_weights_and_fixed_ones_are_told(plastic, learned, simulation, tmp_path) -> None:
    run("export", plastic, "--to", "csv", "--table", "weights", "--out", tmp_path / "w.csv")
    with open(tmp_path / "w.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    with SimulationReader(plastic) as reader:
        expected = np.concatenate([reader.synapses(1, trial).weights for trial in (0, 1)])
        before = np.tile(reader.initial_weights(1), 2)
    assert [float(np.float32(row["weight"])) for row in rows] == expected.tolist()
    assert [float(np.float32(row["initial"])) for row in rows] == before.tolist()
    assert {(row["from"], row["to"], row["projection"]) for row in rows} == {("noise", "cells", "1")}
    with h5py.File(plastic) as file:
        assert file["projections/1/plastic/initial"].dtype == np.float32
    run("export", learned, "--to", "sonata", "--table", "weights", "--out", tmp_path / "l.h5")  # trials have the same
    command = ("export", simulation, "--to", "csv", "--table", "weights", "--out", tmp_path / "n.csv")
    assert "has no plastic weights" in run(*command, code=2)
