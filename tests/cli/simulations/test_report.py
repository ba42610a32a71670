"""`spikesim report SIM.h5`: tables, JSON, CSV, page and pictures of a simulation."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from commands import succeed
from runs import write_run

from spikesim import InputError, Table, open_run, open_simulation
from spikesim.cli import main
from spikesim.ep.reports.simulations import drawing
from spikesim.ep.reports.simulations.drawing import DrawingChoice, read_raster
from spikesim.sparse import SimulationReader

MEANS = ("cv", "cv2", "fano", "correlation")


def report(*arguments: object, columns: int = 100) -> str:
    """What the command prints."""
    found = CliRunner().invoke(main, ["report", *map(str, arguments)], env={"COLUMNS": str(columns)})
    assert found.exit_code == 0, found.output
    return found.output


def document(*arguments: object) -> dict:
    return json.loads(report(*arguments, "--format", "json"))


def trains(path: Path, population: str, neurons: int, start: int = 0, trial: int | None = None) -> list[list]:
    """By neuron the steps of each trial."""
    with SimulationReader(path) as reader:
        found = [reader.spikes(population, own) for own in (range(2) if trial is None else [trial])]
    return [[own.steps[(own.neurons == neuron) & (own.steps >= start)] for own in found] for neuron in range(neurons)]


@pytest.mark.parametrize(("start", "trial"), [(0, None), (200, 1)])
def test_the_numbers_are_those_of_the_spikes(simulation, start, trial) -> None:
    part = [] if not start else ["--from", start, "--trial", trial]
    noise, cells, _ = document(simulation, *part)["populations"]
    own, steps, trials = trains(simulation, "cells", 150, start, trial), 600 - start, 1 if start else 2
    counts = np.array([sum(map(len, neuron)) for neuron in own])
    assert cells["spikes"] == counts.sum() > 100 and cells["neurons"] == 150
    assert cells["rate"] == pytest.approx(counts.sum() / (150 * steps * trials))
    assert cells["silent"] == np.mean(counts == 0)
    assert cells["rates"]["quantiles"] == pytest.approx(
        np.quantile(counts / (steps * trials), [0.05, 0.25, 0.5, 0.75, 0.95])
    )
    intervals = [np.concatenate([np.diff(train) for train in neuron]) for neuron in own]
    cvs = [np.std(one) / np.mean(one) for one in intervals if len(one) >= 2]
    assert cells["cv"]["count"] == len(cvs) and cells["cv"]["mean"] == pytest.approx(np.mean(cvs))
    bins = [[np.bincount((train - start) // 10, minlength=steps // 10) for train in neuron] for neuron in own]
    binned = np.array([np.concatenate(neuron) for neuron in bins])
    varying = binned[binned.var(axis=1) > 0]
    assert cells["fano"]["mean"] == pytest.approx(np.mean(varying.var(axis=1) / varying.mean(axis=1)))
    pairs = np.corrcoef(varying)[np.triu_indices(len(varying), 1)]
    assert cells["correlation"]["mean"] == pytest.approx(pairs.mean()) and cells["correlation"]["count"] == len(pairs)
    assert noise["rate"] == pytest.approx(0.05, abs=0.01) and noise["cv"] is None


def test_with_a_dt_rates_are_in_hertz_and_times_in_milliseconds(simulation, timed) -> None:
    plain, found = document(simulation, "--from", 100), document(timed, "--from", "50ms", "--bin", "5ms")
    assert (found["time_unit"], found["rate_unit"], plain["rate_unit"]) == ("ms", "Hz", "spikes per step")
    for one, other in zip(plain["populations"], found["populations"], strict=True):
        assert other["rate"] == pytest.approx(2000 * one["rate"])
        assert other["spikes"] == one["spikes"] and other["cv"] == one["cv"] and other["fano"] == one["fano"]
    curve, counts = found["population_rates"][1], found["window"]
    assert counts["start"] == 100 and counts["bin_steps"] == 10 and curve["width"] == 5
    assert curve["x"][:2] == [52.5, 57.5] and curve["x"][-1] == 297.5
    with SimulationReader(timed) as reader:
        spikes = sum(reader.counts("cells", trial)[100:110].sum() for trial in range(2))
    assert curve["y"][0] == pytest.approx(spikes / (150 * 2 * 0.005))
    assert "(Hz)" in report(timed) and "(Hz)" not in report(simulation)


def test_projections_and_potentials(simulation) -> None:
    found = document(simulation, "--trial", 1, "--from", 300)
    (projection,), (first, second) = found["projections"], found["potentials"]
    with SimulationReader(simulation) as reader:
        values = reader.potentials("cells", 1)[300:].astype(float)
    with h5py.File(simulation) as file:
        assert projection["events"] == file["projections/0/events"][1]
    assert projection["rate"] == pytest.approx(projection["events"] / (800 * 600)) and projection["synapses"] == 800
    assert (first["neuron"], second["neuron"]) == (7, 0)
    assert first["unit"] is None
    assert first["mean"] == pytest.approx(values[:, 0].mean()) and second["sd"] == pytest.approx(values[:, 1].std())
    assert (first["lowest"], first["highest"]) == (values[:, 0].min(), values[:, 0].max())


def test_tables_fit_a_terminal_and_say_what_they_are_of(simulation) -> None:
    lines = report(simulation, "--from", 100, columns=80).splitlines()
    assert max(map(len, lines[2:])) <= 80
    assert lines[0].endswith("finished, 600 steps, 2 trials")
    assert lines[1] == "steps 100 to 599, all trials; bins of 10 steps"
    cells = next(line for line in lines if line.startswith("cells"))
    assert cells.split()[1] == "150" and "-" not in cells.split()
    noise = next(line for line in lines if line.startswith("noise"))
    assert noise.split()[-5:] == ["-"] * 5
    assert any("Spikes of noise were not recorded (record = true)" in line for line in lines)
    only = report(simulation, "--population", "output")
    assert "output" in only and "cells" not in only


def test_csv_has_a_line_for_every_number(simulation) -> None:
    rows = list(csv.reader(io.StringIO(report(simulation, "--format", "csv"))))
    found, values = document(simulation), {tuple(row[:3]): float(row[3]) for row in rows[1:]}
    assert rows[0] == ["section", "name", "metric", "value"] and len(values) == len(rows) - 1
    cells = found["populations"][1]
    assert values["populations", "cells", "cv"] == cells["cv"]["mean"]
    assert values["populations", "cells", "rates_q95"] == cells["rates"]["quantiles"][4]
    assert values["projections", "noise->cells", "events"] == found["projections"][0]["events"]
    assert values["potentials", "cells:7", "sd"] == found["potentials"][0]["sd"]
    assert ("populations", "noise", "cv") not in values


def test_several_simulations_are_rows_of_one_table(simulation, timed) -> None:
    lines = report(simulation, timed, columns=300).splitlines()
    first, second = (line.split() for line in lines if line.startswith("cells "))
    assert (first[1], second[1]) == (str(simulation), str(timed))
    rates = [own["populations"][1]["rate"] for own in (document(simulation), document(timed))]
    assert first[-8:-6] == [f"{rates[0]:.4g}", "-"] and second[-8:-6] == ["-", f"{rates[1]:.4g}"]
    cells = document(simulation)["populations"][1]
    assert first[-4:] == [f"{cells[key]['mean']:.3f}" for key in MEANS] and first[-4:-2] == second[-4:-2]
    found = document(simulation, timed)["simulations"]
    assert [own["file"] for own in found] == [str(simulation), str(timed)]
    assert found[0] == {"file": str(simulation), **document(simulation)}
    rows = list(csv.reader(io.StringIO(report(simulation, timed, "--format", "csv"))))
    assert {row[0] for row in rows} == {"file", str(simulation), str(timed)}


def test_a_page_and_pictures(timed, tmp_path) -> None:
    result = succeed("report", timed, "--html", tmp_path / "sim.html", "--plot", tmp_path / "figures", "--to", "250ms")
    written = [Path(line.removeprefix("written: ")) for line in result.stdout.splitlines()]
    assert all(path.stat().st_size > 1000 for path in written)
    names = {path.stem for path in written if path.suffix == ".png"}
    assert names == {"population_rates", "rates", "intervals", "variations", "correlations", "potentials", "raster"}
    page = (tmp_path / "sim.html").read_text()
    embedded = page.partition('id="report">')[2].partition("</script>")[0]
    assert json.loads(embedded) == document(timed, "--to", "250ms")
    cells = re.findall(r'<data value="([^"]+)" data-from="([\w.]+)"', page)
    assert len(cells) > 30
    for value, where in cells:
        expected = json.loads(embedded)
        for part in where.split("."):
            expected = expected[int(part)] if part.isdigit() else expected[part]
        assert float(value) == expected, where
    for text in (
        "Spikes of trial 0, 0 to 250 ms",
        "rate (Hz)",
        "potential (mV)",
        "noise \u2192 cells",
        "time (ms)",
        "100 of 150 neurons",
    ):
        assert text in page, text
    assert "interval (ms)" in page and "intervals (steps)" not in page
    assert "exists" in refused(timed, "--html", tmp_path / "sim.html")


def test_the_raster_has_the_spikes_of_the_chosen_neurons(simulation, monkeypatch) -> None:
    with open_simulation(simulation) as reader:
        window = reader.window(start=50, trial=1)
        names = reader.populations
        choice = DrawingChoice.of_window(window, names, {"cells": (3, 40, 41), "": (0, 1)}, whole=True)
        raster = read_raster(reader, window, choice)
        assert raster is not None
        cells, output = raster.spikes
        spikes = reader.spikes("cells", 1)
        kept = np.isin(spikes.neurons, (3, 40, 41)) & (spikes.steps >= 50)
        assert cells.tolist() == np.stack([spikes.steps[kept] - 50, spikes.neurons[kept]], axis=1).tolist()
        assert [own.tolist() for own in raster.shown] == [[3, 40, 41], [0, 1]] and set(output[:, 1]) <= {0, 1}
        assert (raster.first, raster.steps) == (50, 550)
        monkeypatch.setattr(drawing, "SPIKES_MAX", 10)
        fewer = read_raster(reader, window, choice)
        assert fewer is not None and 0 < sum(map(len, fewer.spikes)) <= 10
        later = fewer.first - raster.first
        for one, every in zip(fewer.spikes, raster.spikes, strict=True):
            kept = every[:, 0] >= later
            assert one.tolist() == (every[kept] - np.array([later, 0])).tolist()


def refused(*arguments: object) -> str:
    found = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert found.exit_code == 2 and not found.stdout
    assert found.stderr.startswith("Error: ") and len(found.stderr.splitlines()) == 1
    return found.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run.h5", 4)


REFUSED = [
    (["--section", "layers"], "--section applies to runs"),
    (["--epoch", "1"], "--epoch applies to runs"),
    (["--energy", "45nm-int8"], "--energy applies to runs"),
    (["--samples", "1"], "--samples applies to runs"),
    (["--group", "none"], "--group applies to runs"),
    (["--neurons", "1"], "--neurons needs --html or --plot"),
    (["--html", "x.html", "--neurons", "cells:150"], "names neuron 150 of cells, which has 150, from 0"),
    (["--html", "x.html", "--neurons", "noise:1"], "names population noise; the populations are cells, output"),
    (["--population", "others"], "has no population 'others'; it has noise, cells, output"),
    (["--trial", "2"], "has no trial 2; it has 2, from 0"),
    (["--from", "600"], "begins at step 600 and ends before step 600: it has no steps"),
    (["--to", "601"], "ends before step 601"),
    (["--from", "10ms"], "the network has no dt; give steps"),
    (["--from", "1.5"], "--from is 1.5; it must be a number of steps, or a time such as 20ms"),
    (["--bin", "0"], "the width of a bin is 0 steps"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_does_not_apply_is_refused_in_one_line(simulation, options, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(simulation, *options)


def test_runs_and_simulations_are_told_apart(simulation, run, tmp_path) -> None:
    assert "--population applies to simulations" in refused(run, "--population", "cells")
    assert "--from applies to simulations" in refused(run, "--from", 3)
    assert "report them separately" in refused(run, simulation)
    assert "apply to a single simulation" in refused(simulation, simulation, "--html", tmp_path / "x.html")
    with pytest.raises(InputError, match=r"'spikesim report' shows and spikesim\.open_simulation reads"):
        open_run(simulation)
    with pytest.raises(InputError, match=r"which 'spikesim report' shows and spikesim\.open_run reads"):
        open_simulation(run)


def test_tables_in_python(simulation, timed) -> None:
    with open_simulation(timed) as reader:
        neurons: Table = reader.table("neurons", reader.window(start=100)).where(population="cells")
        own = [sum(map(len, train)) for train in trains(timed, "cells", 150, 100)]
        assert neurons["spikes"].tolist() == own and neurons.units["rate"] == "Hz"
        assert [len(train) for train in reader.spike_trains("cells", 1)] == np.bincount(
            reader.spikes("cells", 1).neurons, minlength=150
        ).tolist()
        populations = reader.table("populations")
        assert populations["population"].tolist() == ["noise", "cells", "output"] and np.isnan(populations["cv"][0])
        assert populations.units["rates_q05"] == "Hz" and populations["neurons"].dtype == np.int64
        rates, intervals = reader.table("population_rates"), reader.table("intervals")
        assert rates.units["time"] == "ms" and intervals.units["interval"] == "ms"
        assert intervals.where(population="cells")["share"].sum() <= 1
        assert reader.table("potentials")["neuron"].tolist() == [7, 0] and reader.table("projections").rows == 1
        with pytest.raises(InputError, match="no section 'layers'"):
            reader.table("layers")


def test_a_file_without_steps_has_a_report(simulation, tmp_path) -> None:
    path = tmp_path / "empty.h5"
    shutil.copy(simulation, path)
    with h5py.File(path, "r+") as file:
        file["steps"][...] = 0
    assert document(path)["populations"][1]["rate"] is None
    report(path, "--html", tmp_path / "empty.html")
    assert "finished, 0 steps" in report(path)


def test_counts_of_nothing_are_damage(simulation, tmp_path) -> None:
    path = tmp_path / "damaged.h5"
    for group, attribute in (("populations/cells", "size"), ("/", "trials")):
        shutil.copy(simulation, path)
        with h5py.File(path, "r+") as file:
            file[group].attrs[attribute] = 0
        assert "is damaged" in refused(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("neuron", 150, "a spike of no neuron"),
        ("trial", 2, "a spike of no neuron"),
        ("step", 599, "order of their steps"),
    ],
)
def test_spikes_that_cannot_be_are_damage(simulation, tmp_path, column, value, message) -> None:
    path = tmp_path / "damaged.h5"
    shutil.copy(simulation, path)
    with h5py.File(path, "r+") as file:
        file[f"populations/cells/spikes/{column}"][0] = value
    error = refused(path)
    assert "is damaged" in error and message in error
