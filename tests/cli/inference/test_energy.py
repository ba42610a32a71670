"""spikesim report --energy: one price list for the table, the numbers and the page."""

import csv
import io
import json

import pytest
from commands import ROOT, assert_one_line, spikesim, succeed
from runs import write_run

COSTS = ROOT / "examples" / "energy" / "45nm-int8.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("energy") / "run.h5", 8)


def test_all_forms_have_the_same_energies(run, tmp_path):
    options = ("report", run, "--energy", COSTS)
    found = json.loads(succeed(*options, "--format", "json", "--html", tmp_path / "p.html").stdout)
    prices = found["energy_model"]
    assert (prices["name"], prices["weights_in"]) == ("45 nm int8 with memory", "8 kB")
    state = 2 * prices["state_access_joule"]
    for entry in found["layers"]:
        accumulates = entry["effective_acs_forward"] + entry["effective_acs_feedback"]
        wanted = accumulates * (prices["accumulate_joule"] + prices["weight_fetch_joule"] + state)
        wanted += entry["effective_macs"] * (prices["multiply_accumulate_joule"] + prices["weight_fetch_joule"])
        wanted += entry["neuron_updates"] * (prices["neuron_update_joule"] + state)
        assert entry["joule"] == pytest.approx(wanted, rel=1e-9)
    by_phase = {(e["epoch"], e["phase"]): e["joule"] for e in found["phases"]}
    for entry in found["layers"]:
        if entry["layer"] == "total" and entry["phase"] not in ("total", "test"):
            assert by_phase[entry["epoch"], entry["phase"]] == pytest.approx(entry["joule"], rel=1e-9)
    rows = list(csv.DictReader(io.StringIO(succeed(*options, "--format", "csv").stdout)))
    in_csv = {(row["phase"], row["layer"]): row["value"] for row in rows if row["metric"] == "joule"}
    assert all(float(in_csv[entry["phase"], entry["layer"]]) == entry["joule"] for entry in found["layers"])
    assert {row["metric"]: row["value"] for row in rows if row["section"] == "energy_model"}["name"] == prices["name"]
    page = (tmp_path / "p.html").read_text()
    assert f"as given: {prices['name']}" in page and "Weights lie in 8 kB" in page
    assert all(f'data-given="{entry["joule"]!r}"' in page for entry in found["layers"] if entry["phase"] == "test")
    words = " ".join(succeed(*options).stdout.split())
    assert "Energy (45 nm int8 with memory): 0.03 pJ per AC" in words and "1.25 pJ to fetch a weight from 8 kB" in words


def test_several_runs_and_costs_that_are_none(run):
    found = json.loads(succeed("report", run, run, "--energy", "7nm-int8", "--format", "json").stdout)["runs"][0]
    operations = found["accumulates"] * 0.007e-12 + found["multiply_accumulates"] * 0.077e-12
    assert found["joule"] == pytest.approx(operations) and found["energy_model"]["node"] == "7 nm"
    assert "0.007 pJ per AC" in succeed("report", run, run, "--energy", "7nm-int8").stdout
    assert_one_line(spikesim("report", run, "--energy", "3nm-int8"), "'3nm-int8'", "45nm-int8", ".toml")
