"""Runs as arrays and tables."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import environment
from runs import LAYERS, make_batch, write_run

import spikesim
from spikesim.ep.analysis.summary import make_report
from spikesim.ep.analysis.tables import Table, open_run
from spikesim.ep.runs.schema import PHASES, TABLES
from spikesim.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with spikesim.open_run(write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)) as opened:
        yield opened


def same(one: object, other: object) -> bool:
    return one == other or (other is None and np.isnan(one))


@pytest.mark.parametrize("section", ["epochs", "phases", "learning", "parameters"])
def test_a_table_is_a_section_of_the_report(run, section):
    table, entries = run.table(section), getattr(run.report(), section)
    assert table.rows == len(entries) > 1
    for row, entry in enumerate(entries):
        for name, value in dataclasses.asdict(entry).items():
            assert same(table[name][row].item(), value), name
    assert set(table.units) == set(table)


def test_the_table_by_layer_has_all_epochs(run):
    table = run.table("layers")
    for epoch in (1, 2, 3):
        entries = make_report(run, epoch).layers
        own = table.where(epoch=epoch)
        assert own.rows == len(entries)
        for row, entry in enumerate(entries):
            assert (own["phase"][row], own["layer"][row]) == (entry.phase, entry.layer)
            assert own["joule"][row] == entry.joule and same(own["residual"][row].item(), entry.residual)
    assert table.units["joule"] == "J" and table.units["spikes"] == "spikes" and table.units["activity"] == "1"


def test_every_column_of_the_file_has_a_long_form(run):
    for name, columns in TABLES.items():
        for column in columns:
            table = run.tidy(column.path)
            values = getattr(run, name)() if name == "spikes" else getattr(run, name)
            assert list(table)[-1] == column.name and table.units[column.name] == column.unit
            assert {len(own) for own in table.values()} == {values[column.name].size}
            assert table.rows > 0


def test_numbers_of_the_long_form_keep_their_places(run):
    table = run.tidy("batches/spikes")
    for index in (0, 5, 9):
        expected = make_batch(index)
        for p, phase in enumerate(PHASES):
            for i, layer in enumerate(LAYERS):
                found = table.where(epoch=expected["epoch"], batch=expected["batch"], phase=phase, layer=layer.name)
                assert found["spikes"].tolist() == [expected["spikes"][p][i]]
    changes = run.tidy("/batches/weight_change").where(epoch=1, batch=2, layer="readout")
    assert changes["weight_change"].tolist() == [make_batch(2)["weight_change"][-1]]
    rates = run.tidy("epochs/test_rates").where(epoch=2, layer="conv2", bin=32)
    assert rates["test_rates"].tolist() == [run.epochs["test_rates"][1, 1, 32]]
    assert set(run.tidy("spikes/neuron")["layer"]) == {"conv1", "conv2"}
    assert set(run.tidy("traces/activity")["phase"]) == set(PHASES)


def test_pandas_takes_a_table(run):
    frame = pd.DataFrame(run.table("layers"))
    assert list(frame.columns) == list(run.table("layers")) and len(frame) == run.table("layers").rows
    totals = frame[frame.layer == "total"].groupby("phase").joule.sum()
    spikes = pd.DataFrame(run.tidy("batches/spikes")).groupby(["phase", "layer"]).spikes.sum()
    assert spikes["free", "conv2"] == run.batches["spikes"][:, 0, 1].sum()
    assert set(totals.index) == {*PHASES, "total", "test"}
    assert frame.neurons.dtype == np.int64 and frame.residual.isna().sum() == frame.phase.isin(["total", "test"]).sum()


def test_what_is_not_there_is_refused(run, tmp_path):
    for action, fragment in (
        (lambda: run.table("layer"), "layers, epochs"),
        (lambda: run.tidy("batches/spike"), "spikesim manual run-file"),
        (lambda: run.table("epochs").where(phase="free"), "test_accuracy"),
        (lambda: open_run(tmp_path / "none.h5"), "does not exist"),
    ):
        with pytest.raises(InputError, match=fragment) as caught:
            action()
        assert "\n" not in str(caught.value)


def test_a_table_tells_its_units():
    table = Table({"a": np.arange(3), "b": np.ones(3)}, {"a": "1", "b": "J", "c": "s"})
    assert repr(table) == "Table of 3 rows: a, b (J)"
    assert Table({}, {}).rows == 0


def test_the_python_of_the_docs_runs(tmp_path):
    write_run(tmp_path / "run.h5", 10)
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "reports.md").read_text(), re.M | re.S)
    (example,) = (block for block in blocks if "open_run" in block)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, env=environment({}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[1 2 3] ") and done.stdout.endswith(" J\n")
