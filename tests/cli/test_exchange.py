"""spikesim export and import as a user types them."""

import csv
import json
import os
import shutil
import stat

import libsonata
import nir
import numpy as np
import pytest
import safetensors.numpy
from commands import CONFIG, ROOT, assert_one_line, digest, newest_checkpoint, spikesim, start, succeed, wait_until

from spikesim.cli.commands.export import FORMATS as NAMES
from spikesim.ep.exchange.exporting import FORMATS
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES

SMALL = CONFIG.replace("spikes = [3]", "spikes = [3, 5]").replace("test_limit = 400", "test_limit = 40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration, a run, its weights as torch has them, and the run that an import makes of them."""
    folder = tmp_path_factory.mktemp("exchange")
    (folder / "tiny.toml").write_text(SMALL)
    succeed("train", "--config", folder / "tiny.toml", "--out", folder / "run.h5", "--threads", 1)
    succeed("export", folder / "run.h5", "--to", "safetensors", "--out", folder / "w.safetensors")
    result = succeed(*importing(folder), "--out", folder / "imported.h5")
    (folder / "printed.txt").write_text(result.stdout)
    return folder


def importing(folder, weights="w.safetensors"):
    return ("import", folder / weights, "--config", folder / "tiny.toml")


def export(folder, to, out, *arguments):
    before = (folder / "run.h5").read_bytes()
    result = succeed("export", folder / "run.h5", "--to", to, "--out", out, *arguments)
    assert (folder / "run.h5").read_bytes() == before and result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == f"{to} file: {out}"
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE((folder / "tiny.toml").stat().st_mode)  # as any new file
    assert sorted(path.name for path in out.parent.iterdir() if path.name.startswith(".")) == []
    return lines[1:]


def recorded(folder):
    with RunReader(folder / "run.h5") as reader:
        return reader.layers, reader.spikes()


# Export


def test_the_command_knows_the_formats():
    assert tuple(FORMATS) == NAMES


def test_sonata(folder, tmp_path):
    (note,) = export(folder, "sonata", tmp_path / "s.h5", "--step-ms", 2)
    assert "no samples" in note and "16 ms each" in note
    layers, spikes = recorded(folder)
    for index, layer in enumerate(layers):
        found = libsonata.SpikeReader(str(tmp_path / "s.h5"))[layer.name].get()
        own = spikes["layer"] == index
        times = 2.0 * (8 * (spikes["sample"][own] == 5) + spikes["step"][own])
        assert sorted(found) == sorted(zip(spikes["neuron"][own].tolist(), times.tolist(), strict=True))
    assert export(folder, "sonata", tmp_path / "one.h5", "--sample", 5) == []


def test_the_nodes_of_nirdata_are_those_of_the_graph(folder, tmp_path):
    (note,) = export(folder, "nirdata", tmp_path / "d.h5", "--sample", 3)
    assert "channel, row, column" in note
    (note,) = export(folder, "nir", tmp_path / "g.nir", "--step-ms", 0.5)
    assert "NIR cannot say" in note and "clip(v, 0, 1)" in note and "transposed" in note
    data, graph = nir.read_data(tmp_path / "d.h5"), nir.read(tmp_path / "g.nir")
    layers, spikes = recorded(folder)
    for index, layer in enumerate(layers):
        events = data.nodes[layer.name].observables["spikes"]
        assert events.n_neurons == np.prod(graph.nodes[layer.name].output_type["output"])
        assert events.idx.shape == (1, ((spikes["sample"] == 3) & (spikes["layer"] == index)).sum())


def test_neurobench(folder, tmp_path):
    (note,) = export(folder, "neurobench", tmp_path / "m.json")
    found = json.loads((tmp_path / "m.json").read_text())
    report = json.loads(succeed("report", folder / "run.h5", "--format", "json").stdout)
    test = {entry["layer"]: entry for entry in report["layers"] if entry["phase"] == "test"}
    parameters = {entry["layer"]: entry for entry in report["parameters"]}
    whole = test.pop("total")
    own = found.pop("spikesim")
    assert own["losses"] == note.removeprefix("note: ") and "MembraneUpdates" in note
    assert found == {
        "ParameterCount": parameters["network"]["parameters"],
        "Footprint": parameters["network"]["footprint_bytes"],
        "ConnectionSparsity": round(parameters["network"]["connection_sparsity"], 4),
        "ClassificationAccuracy": report["epochs"][-1]["test_accuracy"],
        "ActivationSparsity": whole["activation_sparsity"],
        "ActivationSparsityByLayer": {name: entry["activation_sparsity"] for name, entry in test.items()},
        "SynapticOperations": {
            "Effective_MACs": whole["effective_macs"],
            "Effective_ACs": whole["effective_acs_forward"] + whole["effective_acs_feedback"],
            "Dense": whole["dense_forward"] + whole["dense_feedback"],
        },
        "MembraneUpdates": None,
    }
    assert own["phases"].keys() == {*PHASES, "total", "test"}
    conv2 = own["phases"]["test"]["conv2"]["forward"]
    assert conv2["Dense"] == 4 * conv2["Dense_with_pooling_layers"] == test["conv2"]["dense_forward"]


@pytest.mark.parametrize("table", ["batches", "epochs"])
def test_csv_has_every_number(folder, tmp_path, table):
    assert export(folder, "csv", tmp_path / "t.csv", *(() if table == "batches" else ("--table", table))) == []
    with open(tmp_path / "t.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    with RunReader(folder / "run.h5") as reader:
        columns = getattr(reader, table)
        names = [*(layer.name for layer in reader.layers), "readout"]
    keys = [key for key in ("epoch", "batch") if key in columns]
    rows = {tuple(int(columns[key][row]) for key in keys): row for row in range(len(columns["epoch"]))}
    for line in lines:
        value = columns[line["metric"].partition("[")[0]][rows[tuple(int(line[key]) for key in keys)]]
        for name, places in (("phase", PHASES), ("layer", names)):
            if line[name]:
                value = value[places.index(line[name])]
        if "[" in line["metric"]:
            value = value[int(line["metric"].partition("[")[2].rstrip("]"))]
        assert float(line["value"]) == value
    measured = sum(int((values == values).sum()) for name, values in columns.items() if name not in keys)
    assert len(lines) == measured == len({tuple(line.values())[:-1] for line in lines})


def test_a_table_of_spikes(folder, tmp_path):
    assert export(folder, "csv", tmp_path / "s.csv", "--table", "spikes", "--sample", 3, "--step-ms", 0.25) == []
    _, spikes = recorded(folder)
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1 + (spikes["sample"] == 3).sum()


@pytest.mark.parametrize("layout", ["torch", "spikesim"])
def test_safetensors(folder, tmp_path, layout):
    assert export(folder, "safetensors", tmp_path / "w", "--layout", layout) == []
    found = safetensors.numpy.load_file(tmp_path / "w")
    with RunReader(folder / "run.h5") as reader:
        weights, config_hash = reader.weights(), reader.config_hash
    if layout == "spikesim":
        assert found.keys() == weights.keys()
        assert all((found[name] == array).all() for name, array in weights.items())
    else:
        assert found["conv2.weight"].tobytes() == weights["conv2/weight"].transpose(3, 2, 0, 1).tobytes()
    with safetensors.safe_open(tmp_path / "w", framework="numpy") as file:
        assert file.metadata()["config_hash"] == config_hash
        said = json.loads(file.metadata()["normalization"])
        assert said["subtract"] == [0.286] and said["divide_by"] == [0.353]


def test_weights_of_8_bits_come_back_as_evaluate_tests_them(folder, tmp_path):
    (note,) = export(folder, "safetensors", tmp_path / "w", "--dtype", "int8")
    assert "8 bits" in note and "spikesim evaluate --bits 8" in note
    succeed(*importing(folder, tmp_path / "w"), "--out", tmp_path / "w.h5")
    options = ("--threads", 1, "--format", "json")
    here = json.loads(succeed("evaluate", folder / "run.h5", "--bits", 8, *options).stdout)["tests"][1]
    there = json.loads(succeed("evaluate", tmp_path / "w.h5", "--repeats", 2, *options).stdout)["tests"][1]
    assert {**there, "bits": 8} == here


def test_what_an_export_refuses(folder, tmp_path):
    run, out = folder / "run.h5", tmp_path / "x"
    base = ("export", run, "--out", out, "--to")
    assert_one_line(spikesim(*base, "neurobench", "--step-ms", 2), "--step-ms is not used with --to neurobench")
    assert_one_line(spikesim(*base, "csv", "--sample", 3), "--table batches")
    assert_one_line(spikesim(*base, "nir", "--nodes", "if", "--step-ms", 2), "--step-ms is not used with --nodes if")
    assert_one_line(spikesim(*base, "csv", "--nodes", "if"), "--nodes is not used with --to csv")
    assert_one_line(spikesim(*base, "nir", "--dtype", "int8"), "--dtype is not used with --to nir")
    assert_one_line(spikesim(*base, "sonata", "--sample", 4), "no spikes of sample 4; it has 3, 5")
    assert_one_line(spikesim("export", run, "--to", "csv", "--out", tmp_path / "no" / "x"), "is not a folder")
    assert not out.exists()
    out.write_text("precious")
    for to in ("sonata", "safetensors"):
        assert_one_line(spikesim(*base, to), "exists: --overwrite replaces it")
    assert out.read_text() == "precious"
    before = run.read_bytes()
    assert_one_line(spikesim("export", run, "--to", "csv", "--out", run, "--overwrite"), "never replaces")
    assert run.read_bytes() == before
    succeed(*base, "csv", "--overwrite")
    assert out.read_text().startswith("epoch,batch,")


@pytest.mark.parametrize(("library", "to"), [("nir", "nir"), ("safetensors", "safetensors")])
def test_a_library_that_is_not_there_is_one_line(folder, tmp_path, library, to):
    (tmp_path / f"{library}.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    result = spikesim("export", folder / "run.h5", "--to", to, "--out", tmp_path / "x", env={"PYTHONPATH": path})
    assert_one_line(result, library, "pip install 'spikesim[exchange]'")


# Import


def test_what_an_import_prints(folder):
    lines = (folder / "printed.txt").read_text().splitlines()
    assert lines[0] == f"{folder / 'w.safetensors'}: layout torch"
    assert lines[1].startswith("  conv1: 3x3x1x4 weights, in steps of 2^-") and lines[1].endswith(" become 0")
    assert lines[3] == f"run file: {folder / 'imported.h5'}"
    assert lines[4].startswith("continue training: spikesim train --config ") and lines[4].endswith(" --resume")


def test_an_imported_run_has_the_weights(folder):
    with RunReader(folder / "run.h5") as run, RunReader(folder / "imported.h5") as imported:
        weights = run.weights()
        found = imported.weights()
        assert found.keys() == weights.keys() and all((found[name] == weights[name]).all() for name in found)
        assert imported.rows["batches"] == 0 and imported.status == "stopped"
        given = {"weights": imported.setting("model.weights"), "normalization": "none"}
        assert (
            imported.config == {**run.config, "model": {**run.config["model"], **given}}
            and len(imported.setting("model.weights")) == 64
        )


def test_an_imported_run_is_tested_as_its_origin(folder):
    def tests(run, repeats):
        found = succeed("evaluate", run, "--repeats", repeats, "--threads", 1, "--format", "json")
        return json.loads(found.stdout)["tests"]

    before = (folder / "imported.h5").read_bytes()
    # the first repeat draws the numbers of the first epoch's test, the second those of the second, the run's last
    assert tests(folder / "imported.h5", 2)[1] == tests(folder / "run.h5", 1)[0]
    assert (folder / "imported.h5").read_bytes() == before


def test_what_else_takes_an_imported_run(folder, tmp_path):
    run = folder / "imported.h5"
    assert "not trained yet" in succeed("info", run).stdout
    report = succeed("report", run)
    assert "not trained yet" in report.stdout and "Traceback" not in report.stderr
    found = json.loads(succeed("report", run, "--format", "json").stdout)
    assert found["layers"] == [] and found["parameters"][-1]["parameters"] > 0
    found = json.loads(succeed("gradcheck", "--run", run, "--batch", 4, "--format", "json").stdout)
    assert found["config"]["model"]["weights"] and min(found["variants"][0]["activity"]) > 0
    succeed("export", run, "--to", "safetensors", "--out", tmp_path / "again")
    assert safetensors.numpy.load_file(tmp_path / "again").keys() == {
        f"{layer}.{kind}" for layer in ("conv1", "conv2", "head1", "readout") for kind in ("weight", "bias")
    }
    for to in ("sonata", "neurobench"):
        assert_one_line(spikesim("export", run, "--to", to, "--out", tmp_path / "x"), "imported.h5 has no")


def test_training_goes_on_from_an_import(folder, tmp_path):
    further = (folder / "printed.txt").read_text().splitlines()[-1].partition(": spikesim ")[2]
    found = set()
    for name, threads, stop in (("a", 1, False), ("b", 2, True)):
        run = tmp_path / f"{name}.h5"
        shutil.copy(folder / "imported.h5", run)
        shutil.copytree(folder / "imported.h5.checkpoints", f"{run}.checkpoints")
        words = further.replace(str(folder / "imported.h5"), str(run)).split()
        if stop:
            process = start(*words, "--threads", threads, "--checkpoint-every", 1)
            wait_until(lambda run=run: newest_checkpoint(run) >= 4, process)
            process.terminate()
            assert process.wait(60) == 75, process.communicate()[1]
            process.communicate()
        succeed(*words, "--threads", threads)
        with RunReader(run) as reader:
            assert reader.status == "finished" and reader.rows["batches"] == 24
            loss = reader.batches["loss"][0]
        found.add(digest(run))
    assert len(found) == 1
    with RunReader(folder / "run.h5") as reader:  # it goes on from where the weights are, not from new ones
        assert loss < reader.batches["loss"][0]


def test_weights_of_a_configuration_are_not_drawn(folder, tmp_path):
    named = ("--set", f"model.weights={'0' * 64}")
    config = ("--config", folder / "tiny.toml")
    assert_one_line(spikesim("train", *config, *named, "--out", tmp_path / "x.h5"), "spikesim import", "0" * 64)
    assert_one_line(spikesim("gradcheck", *config, *named, "--batch", 4), "spikesim import")
    assert_one_line(spikesim(*importing(folder), *named, "--out", tmp_path / "x.h5"), "0" * 64, "w.safetensors")
    resumed = spikesim("train", *config, "--out", folder / "imported.h5", "--resume")
    assert_one_line(resumed, "model.weights")
    assert not (tmp_path / "x.h5").exists()


def test_what_an_import_refuses(folder, tmp_path):
    out = ("--out", tmp_path / "x.h5")
    arrays = safetensors.numpy.load_file(folder / "w.safetensors")

    def refused(*fragments, **changes):
        changed = {**arrays, **{name.replace("__", "."): value for name, value in changes.items()}}
        kept = {name: value for name, value in changed.items() if value is not None}
        safetensors.numpy.save_file(kept, tmp_path / "changed")
        assert_one_line(spikesim(*importing(folder, tmp_path / "changed"), *out), *fragments)
        assert not (tmp_path / "x.h5").exists() and not (tmp_path / "x.h5.checkpoints").exists()

    weight = arrays["conv2.weight"]
    refused("lacks 'readout.bias'", readout__bias=None)
    refused("(6, 4, 3, 3)", conv2__weight=np.ascontiguousarray(weight.transpose(2, 3, 1, 0)))
    refused("cannot be imported", "limit is", conv2__weight=weight + np.float32(1e4))
    refused("cannot be imported", "biases of conv2 reach", conv2__bias=arrays["conv2.bias"] + np.float32(1e6))
    refused("cannot be imported", "drive a neuron", conv1__weight=arrays["conv1.weight"] + np.float32(3e3))
    assert_one_line(spikesim(*importing(folder, tmp_path / "none"), *out), "does not exist")
    assert_one_line(spikesim(*importing(folder), "--signals", "kd", *out), "--teacher FILE")
    before = (folder / "run.h5").read_bytes()
    refused_run = spikesim(*importing(folder), "--out", folder / "run.h5")
    assert_one_line(refused_run, "exists: --overwrite replaces it")
    assert (folder / "run.h5").read_bytes() == before


def test_heads_that_are_not_in_the_file(folder, tmp_path):
    arrays = safetensors.numpy.load_file(folder / "w.safetensors")
    kept = {name: array for name, array in arrays.items() if not name.startswith("head")}
    safetensors.numpy.save_file(kept, tmp_path / "w")
    result = succeed(*importing(folder, tmp_path / "w"), "--out", tmp_path / "x.h5")
    assert "not in the file, set as at the start of a training: head1" in result.stdout
    with RunReader(tmp_path / "x.h5") as reader, RunReader(folder / "run.h5") as run:
        assert reader.weights()["head1/weight"].any()
        assert (reader.weights()["conv2/weight"] == run.weights()["conv2/weight"]).all()
