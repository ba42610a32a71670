import csv
import io
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runs import LAYERS, append_rows, make_batch, make_epoch, make_header, write_run

from spikesim.ep.runs.schema import FORMAT_VERSION, PHASES, LayerInfo
from spikesim.ep.runs.state import checkpoints_text
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.io import checkpoint

ROOT = Path(__file__).parents[2]


def spikesim(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "spikesim", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, **options)


def report(*arguments: object) -> dict:
    result = spikesim("report", *arguments, "--format", "json")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two complete epochs of four mini-batches and half of a third."""
    return write_run(tmp_path_factory.mktemp("run") / "run.h5", 10, status="stopped")


def test_the_numbers_by_phase_and_layer(run):
    found = {(entry["phase"], entry["layer"]): entry for entry in report(run)["layers"]}
    rows = [make_batch(index) for index in range(4, 8)]
    samples = 4 * 32
    for p, phase in enumerate(PHASES):
        steps = (60, 20, 20)[p]
        total = dict.fromkeys(("spikes", "dense_forward", "effective_macs", "joule"), 0.0)
        for i, layer in enumerate(LAYERS):
            entry = found[phase, layer.name]
            spikes, forward, feedback, macs, updates, saturated = (
                sum(int(row[name][p][i]) for row in rows)
                for name in ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates", "saturated")
            )
            times = (1 if phase == "free" else 0) if layer.analogue else steps
            expected = {
                "epoch": 2,
                "neurons": layer.neurons,
                "samples": samples,
                "steps": steps,
                "spikes": spikes / samples,
                "activity": spikes / samples / layer.neurons / steps,
                "activation_sparsity": 1 - spikes / samples / layer.neurons / steps,
                "dense_forward": layer.synapses_forward * times * layer.cells,
                "dense_forward_pooled": layer.synapses_forward * times,
                "dense_feedback": layer.synapses_feedback * steps,
                "effective_acs_forward": forward / samples,
                "effective_acs_feedback": feedback / samples,
                "effective_macs": macs / samples,
                "neuron_updates": updates / samples,
                "saturated": saturated / samples / layer.neurons,
                "residual": sum(row["residual"][p][i] for row in rows) / 4,
                "joule": ((forward + feedback) * 0.9e-12 + macs * 4.6e-12) / samples,
            }
            assert [entry.pop(name) for name in ("input_ms", "activity_per_ms", "operations_per_ms")] == [None] * 3
            assert entry.keys() == {*expected, "phase", "layer"}
            assert {name: entry[name] for name in expected} == pytest.approx(expected, rel=1e-12)
            for name in total:
                total[name] += entry[name]
        assert {name: found[phase, "total"][name] for name in total} == pytest.approx(total)
        assert found[phase, "total"]["neurons"] == sum(layer.neurons for layer in LAYERS)


def test_the_test_is_a_phase_of_its_own(run):
    found = {entry["layer"]: entry for entry in report(run)["layers"] if entry["phase"] == "test"}
    row = make_epoch(2)
    for i, layer in enumerate(LAYERS):
        entry = found[layer.name]
        assert entry["spikes"] == pytest.approx(row["test_spikes"][i] / 50)
        assert entry["activity"] == pytest.approx(row["test_spikes"][i] / layer.neurons / 3000)
        assert entry["dense_forward"] == layer.synapses_forward * (1 if layer.analogue else 60) * layer.cells
        assert entry["effective_acs_forward"] == pytest.approx(row["test_events_forward"][i] / 50)
        assert entry["residual"] is None and entry["saturated"] is None


def test_all_phases_together(run):
    entries = report(run)["layers"]
    summed = {"steps", "spikes", "effective_macs", "neuron_updates", "joule"} | {
        f"{kind}_{way}" for kind in ("dense", "effective_acs") for way in ("forward", "feedback")
    }
    for layer in (*(layer.name for layer in LAYERS), "total"):
        phases = [entry for entry in entries if entry["layer"] == layer and entry["phase"] in PHASES]
        (whole,) = [entry for entry in entries if entry["layer"] == layer and entry["phase"] == "total"]
        assert len(phases) == 3 and whole["samples"] == 4 * 32
        for name in summed | {"dense_forward_pooled"}:
            assert whole[name] == pytest.approx(sum(entry[name] for entry in phases))
        assert whole["activity"] == pytest.approx(whole["spikes"] / whole["neurons"] / 100)
        assert whole["activation_sparsity"] == pytest.approx(1 - whole["activity"])
        assert whole["residual"] is None and whole["saturated"] is None


@pytest.mark.parametrize("response", ["linear-response", "clamped-spikes"])
def test_clamped_phases_use_no_forward_table(tmp_path, response):
    config = {"dynamics": {"nudged_phase": response, "inference": "stochastic"}}
    path = write_run(tmp_path / "run.h5", 4, config=config)
    found = {(entry["phase"], entry["layer"]): entry for entry in report(path)["layers"]}
    for layer in LAYERS:
        for phase in ("nudged+", "nudged-"):
            entry = found[phase, layer.name]
            # mean rates, by all tables, and back by the clamped ones
            once = response == "clamped-spikes" and phase == "nudged+"
            assert entry["dense_forward"] == (layer.synapses_forward if once and not layer.analogue else 0)
            assert entry["dense_feedback"] == layer.synapses_feedback * (20 + 2 * once)
            assert (entry["activation_sparsity"] is None) == (response == "linear-response")
        free = found["free", layer.name]
        assert free["dense_forward"] == layer.synapses_forward * (1 if layer.analogue else 60 * layer.cells)
        assert free["activation_sparsity"] == pytest.approx(1 - free["activity"])


def test_states_at_the_end_of_a_phase_are_of_the_mini_batches_that_had_it(tmp_path):
    """With a random sign a mini-batch has one of the two nudged phases; the other's row is zeros."""

    def batch(index):
        full = make_batch(index)
        missing = 2 if index % 2 else 1
        for name in ("steps", "hopfield", "residual", "saturated", "neuron_updates"):
            values = np.array(full[name])
            values[missing] = 0
            full[name] = values
        return full

    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        for index in range(4):
            writer.append_batch(batch(index))
        writer.append_epoch(make_epoch(1))
        writer.set_status("finished")
    found = report(tmp_path / "run.h5")
    for phase, rows in (("nudged+", (1, 3)), ("nudged-", (0, 2))):
        p = PHASES.index(phase)
        (summary,) = [entry for entry in found["phases"] if entry["phase"] == phase]
        assert summary["hopfield"] == pytest.approx(np.mean([make_batch(index)["hopfield"][p] for index in rows]))
        assert summary["steps"] == 10, "per sample of the epoch: half of them had none"
        for i, layer in enumerate(LAYERS):
            (entry,) = [own for own in found["layers"] if (own["phase"], own["layer"]) == (phase, layer.name)]
            assert entry["residual"] == pytest.approx(np.mean([make_batch(index)["residual"][p][i] for index in rows]))
            saturated = sum(int(make_batch(index)["saturated"][p][i]) for index in rows)
            assert entry["saturated"] == pytest.approx(saturated / (2 * 32 * layer.neurons))


def test_without_feedback_the_free_phase_uses_forward_tables_alone(tmp_path):
    path = write_run(
        tmp_path / "run.h5", 4, config={"dynamics": {"feedback_gain": 0.0, "nudged_phase": "linear-response"}}
    )
    found = {(entry["phase"], entry["layer"]): entry for entry in report(path)["layers"]}
    for layer in LAYERS:
        for phase in ("free", "test"):
            assert found[phase, layer.name]["dense_feedback"] == 0 < found[phase, layer.name]["dense_forward"]
        assert found["nudged+", layer.name]["dense_feedback"] == layer.synapses_feedback * 20


def test_a_mean_field_sends_the_sum_of_a_pool(tmp_path):
    path = write_run(tmp_path / "run.h5", 4, config={"dynamics": {"inference": "mean-field"}})
    for entry in report(path)["layers"]:
        assert entry["dense_forward"] == entry["dense_forward_pooled"]


def test_parameters(tmp_path):
    shapes = {"conv1/weight": (2, 3), "conv1/bias": (3,), "head1/weight": (5, 2), "head1/bias": (2,)}
    shapes |= {"readout/weight": (4, 2), "readout/bias": (2,)}
    weights = {name: np.ones(shape) for name, shape in shapes.items()}
    weights["conv1/weight"][0] = weights["conv1/bias"][0] = weights["head1/weight"][0] = 0
    header = make_header(layers=LAYERS[:1], weight_shapes=shapes)
    with RunWriter.create(tmp_path / "run.h5", header) as writer:
        writer.write_weights(weights)
    found = {entry.pop("layer"): entry for entry in report(tmp_path / "run.h5")["parameters"]}
    assert {name: tuple(entry.values()) for name, entry in found.items()} == {
        "conv1": (9, 3 / 6, 36),  # of the weights: the bias that is zero does not count
        "head1": (12, 2 / 10, 48),
        "readout": (10, 0, 40),
        "network": (19, 3 / 14, 76),
        "total": (31, 5 / 24, 124),
    }
    text = spikesim("report", tmp_path / "run.h5").stdout
    assert "19 parameters, 76.0 B as float32, connection sparsity 21.43 %; 12 more in heads" in text


def test_the_energy_of_the_report_is_that_of_the_file(run):
    value = report(run)
    with RunReader(run) as reader:
        batches = reader.batches
        chosen = batches["epoch"] == value["epoch"]
        joule = batches["joule"][chosen].sum(axis=0) / batches["samples"][chosen].sum()
    totals = [entry["joule"] for entry in value["layers"] if entry["layer"] == "total" and entry["phase"] in PHASES]
    assert totals == pytest.approx(joule.tolist())
    assert [entry["joule"] for entry in value["phases"] if entry["epoch"] == 2] == pytest.approx(joule.tolist())


def test_the_numbers_by_epoch(run):
    value = report(run)
    assert value["epoch"] == 2
    assert value["run"]["status"] == "stopped"
    assert value["run"]["rows"] == {"batches": 10, "epochs": 2, "spikes": 20, "traces": 12}
    first, second, third = value["epochs"]
    assert (first["complete"], second["complete"], third["complete"]) == (True, True, False)
    row = make_epoch(1)
    assert (first["train_loss"], first["test_loss"]) == (row["train_loss"], row["test_loss"])
    assert (first["train_accuracy"], first["test_accuracy"]) == (100 / 128, 40 / 50)
    rows = [make_batch(index) for index in (8, 9)]
    assert third["train_loss"] == pytest.approx(sum(row["loss"] for row in rows) / 2)
    assert third["train_accuracy"] == (8 + 9) / 64
    assert third["test_accuracy"] is None
    phases = {(entry["epoch"], entry["phase"]): entry for entry in value["phases"]}
    neurons = np.array([layer.neurons for layer in LAYERS])
    for p, phase in enumerate(PHASES):
        entry = phases[3, phase]
        assert entry["hopfield"] == pytest.approx(sum(row["hopfield"][p] for row in rows) / 2)
        residual = sum((row["residual"][p] * neurons).sum() for row in rows) / 2 / neurons.sum()
        assert entry["residual"] == pytest.approx(residual)


def test_the_epoch_can_be_chosen(run):
    assert report(run)["layers"] == report(run, "--epoch", 2)["layers"]
    assert {entry["epoch"] for entry in report(run, "--epoch", 3)["layers"]} == {3}
    result = spikesim("report", run, "--epoch", 9)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"Error: {run} has no epoch 9: it holds epochs 1 to 3\n"


def test_csv_and_json_agree(run):
    result = spikesim("report", run, "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    value = report(run)
    expected = {}
    for section in ("layers", "epochs", "phases", "learning", "parameters"):
        for entry in value[section]:
            where = tuple(str(entry.pop(key, "")) for key in ("epoch", "phase", "layer"))
            expected |= {(section, *where, name): float(item) for name, item in entry.items() if item is not None}
    found = {
        (line["section"], line["epoch"], line["phase"], line["layer"], line["metric"]): float(line["value"])
        for line in lines
    }
    assert found == expected
    assert len(found) == len(lines)


def test_tables_fit_into_a_hundred_columns(tmp_path):
    shapes = [(32, 32, 64), (16, 16, 128), (8, 8, 256), (4, 4, 512)]
    layers = tuple(
        LayerInfo(f"conv{i + 1}", shape, 10**6, 10**9, 10**9, i == 0) for i, shape in enumerate([*shapes, shapes[-1]])
    )
    shapes = {"conv1/weight": (3,), "readout/weight": (3,)}
    with RunWriter.create(tmp_path / "run.h5", make_header(layers=layers, weight_shapes=shapes)) as writer:
        big = np.full((3, 5), 123_456_789_012, dtype=np.uint64)
        counts = dict.fromkeys(
            ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates", "saturated"), big
        )
        by_layer = {
            name: np.full(5, 0.123456)
            for name in ("rate_difference", "signal_strength", "activity_penalty", "head_loss")
        } | {"head_correct": np.ones(5, int), "weight_change": np.ones(6), "weight_norm": np.ones(6)}  # fmt: skip
        writer.append_batch({**make_batch(0), **counts, "residual": np.ones((3, 5)), **by_layer, "steps": [10**8] * 3})
    result = spikesim("report", tmp_path / "run.h5")
    assert (result.returncode, result.stderr) == (0, "")
    tables = result.stdout.split("Loss and accuracy")[1]
    assert max(map(len, tables.splitlines())) <= 100
    assert "\u2026" not in result.stdout  # nothing was cut off
    for text in ("conv5", "65536", "3.86 G", "total", "nudged-", "Horowitz", "Eff. ACs", "spectral", "readout"):
        assert text in result.stdout
    assert "\x1b" not in result.stdout


def test_a_run_in_progress(tmp_path):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        text = spikesim("report", path).stdout
        assert "There are no rows yet" in text and "connection sparsity not yet" in text
        empty = report(path)
        assert {entry["connection_sparsity"] for entry in empty["parameters"]} == {None}
        assert spikesim("report", path, "--html", tmp_path / "empty.html").returncode == 0
        assert (empty["epoch"], empty["layers"], empty["epochs"]) == (None, [], [])
        append_rows(writer, 0, 3)
        writer.flush()
        result = spikesim("report", path)
        assert f"running (process {os.getpid()} on " in result.stdout
        assert "1 (so far)" in result.stdout
    assert "ended before it was finished" in spikesim("report", path).stdout


def test_a_number_that_is_none_is_null(tmp_path):
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        writer.append_batch(make_batch(0, loss=math.nan, hopfield=[math.inf, 1.0, 2.0]))
    value = report(tmp_path / "run.h5")
    assert value["epochs"][0]["train_loss"] is None
    assert value["phases"][0]["hopfield"] is None
    assert "nan" in spikesim("report", tmp_path / "run.h5").stdout


@pytest.mark.parametrize(
    ("batches", "saved", "text"),
    [
        (3, [0], "after 0 mini-batches"),
        (3, [0, 3], "after 0 and 3 mini-batches"),
        (4, [0, 5], "after 0 and 4 mini-batches"),  # the end of the epoch is one more than its last mini-batch
        (4, [4, 5], "after 4 mini-batches, before and after the test of epoch 1"),
        (8, [5, 10], "after 4 and 8 mini-batches"),
        (10, [9, 10], "after 8 mini-batches, before and after the test of epoch 2"),
        (10, [10, 12], "after 8 and 10 mini-batches"),
    ],
)
def test_checkpoints_are_told_by_their_mini_batches(tmp_path, batches, saved, text):
    path = write_run(tmp_path / "run.h5", batches)
    for position in saved:
        checkpoint.save(checkpoint.checkpoint_folder(path), position, {}, {})
    with RunReader(path) as reader:
        assert checkpoints_text(reader) == text


def test_checkpoints_of_one_mini_batch_an_epoch(tmp_path):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        append_rows(writer, 0, 1, 1)
    checkpoint.save(checkpoint.checkpoint_folder(path), 2, {}, {})
    with RunReader(path) as reader:
        assert checkpoints_text(reader) == "after 1 mini-batch"
    checkpoint.remove(checkpoint.checkpoint_folder(path))
    with RunReader(path) as reader:
        assert checkpoints_text(reader) == "none"


def test_info(run):
    checkpoint.save(checkpoint.checkpoint_folder(run), 10, {}, {})
    result = spikesim("info", run)
    assert (result.returncode, result.stderr) == (0, "")
    with RunReader(run) as reader:
        assert result.stdout.splitlines()[-1] == f"digest: {reader.digest()}"
    assert "  ep.steps = [60, 20]\n" in result.stdout
    assert '  name = "größe"\n' in result.stdout
    for text in (
        f"version {FORMAT_VERSION}",
        "stopped",
        "10 batches, 2 epochs, 20 spikes, 12 traces",
        "after 8 mini-batches",
        "numba:",
    ):
        assert text in result.stdout


@pytest.mark.parametrize("command", ["report", "info"])
def test_a_file_that_is_none(tmp_path, command):
    (tmp_path / "x.h5").write_text("text")
    for name, reason in (("x.h5", "is not an HDF5 file"), ("y.h5", "does not exist")):
        result = spikesim(command, tmp_path / name)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"Error: {tmp_path / name} {reason}; ")
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("report",), ("report", "--format", "csv"), ("info",)])
def test_a_reader_that_goes_away_is_no_error(run, arguments):
    command = [sys.executable, "-m", "spikesim", arguments[0], str(run), *arguments[1:]]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_help_is_fast_and_imports_nothing_heavy():
    code = (
        "import sys; from spikesim.cli import main; main(['--help'], standalone_mode=False);"
        "print([m for m in ('numpy', 'numba', 'h5py', 'scipy', 'rich') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert result.stdout.splitlines()[-1] == "[]"
    for name in ("train", "evaluate", "report", "info", "data"):
        assert f"\n  {name} " in result.stdout
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        assert spikesim("--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0  # 0.1 s on a machine that does nothing else


def test_version_and_unknown_commands():
    assert spikesim("--version").stdout.startswith("spikesim, version ")
    result = spikesim("trian")
    assert result.returncode == 2
    assert "No such command 'trian'" in result.stderr


def test_blas_starts_no_threads_of_its_own(run):
    code = "import spikesim.cli, os, sys; print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=30
    )
    assert result.stdout == "1 False\n"


@pytest.mark.parametrize(
    ("raised", "code", "shown"),
    [
        ("InputError('no such thing; do this')", 2, "Error: no such thing; do this\n"),
        ("Stopped('go on with --resume')", 75, "go on with --resume\n"),
        ("KeyboardInterrupt()", 130, ""),
    ],
)
def test_exit_codes(raised, code, shown):
    script = f"""
import sys, types, click
from spikesim.cli import LazyGroup
from spikesim.errors import InputError, Stopped
module = sys.modules["fake"] = types.ModuleType("fake")
@click.command()
def command():
    raise {raised}
module.command = command
LazyGroup(name="x", subcommands={{"go": ("fake:command", "go")}})(["go"])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert (result.returncode, result.stdout, result.stderr) == (code, "", shown)
