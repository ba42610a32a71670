"""Pages and pictures as a user asks for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import runs
from commands import ROOT, assert_one_line, spikesim, succeed

from spikesim.cli.selections import parse_neurons, parse_numbers
from spikesim.ep.analysis.summary import make_report
from spikesim.ep.reports import files
from spikesim.ep.reports.charts import plots
from spikesim.ep.reports.charts.pictures import run_pictures
from spikesim.ep.reports.charts.raster import ALL_LAYERS, RasterChoice, read_rasters
from spikesim.ep.reports.document import report_document
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return runs.write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)


def other(path: Path, **changes: object) -> Path:
    return runs.write_run(path, 8, config={"arch": "conv", "ep": {"beta": 3.0, "steps": [60, 20]}, **changes})


def test_a_page_and_pictures(run, tmp_path):
    command = ("report", run, "--html", tmp_path / "run.html", "--plot", tmp_path)
    result = succeed(*command)
    written = [Path(line.removeprefix("written: ")) for line in result.stdout.splitlines()]
    assert sorted(tmp_path.iterdir()) == sorted(written) and result.stderr == ""
    names = {path.name for path in written}
    assert {"run.html", "accuracy.png", "accuracy.svg", "energy.svg", "firing_rates.png", "raster-9.svg"} <= names
    assert {"confusion.png", "filters.png", "weights.svg"} <= names
    for path in written:
        start = {".png": b"\x89PNG", ".svg": b"<?xml", ".html": b"<!DOCTYPE html>"}[path.suffix]
        assert path.read_bytes().startswith(start)
    before = {path: path.read_bytes() for path in written}
    assert_one_line(spikesim(*command), "run.html exists", "--overwrite")
    assert_one_line(spikesim("report", run, "--plot", tmp_path), "accuracy.png exists", "--overwrite")
    assert {path: path.read_bytes() for path in written} == before


def test_the_same_report_has_the_same_bytes(run, tmp_path):
    with RunReader(run) as reader:
        found = run_pictures(reader, report_document(reader, make_report(reader)))
    pictures = [*found.charts[:1], found.matrix, found.filters, found.histograms, *found.rasters[:1]]
    first, second = (plots.draw_files(tmp_path, pictures) for _ in range(2))
    assert first == second and list(first) == plots.plot_paths(tmp_path, pictures)
    page = tmp_path / "run.html"
    succeed("report", run, "--html", page)
    before = page.read_bytes()
    page.write_text("old")
    succeed("report", run, "--html", page, "--overwrite")
    assert page.read_bytes() == before and list(tmp_path.iterdir()) == [page], "nothing is left beside it"


def test_spikes_are_shown_beside_what_fired_them(run, tmp_path):
    """Sample, classes, and for each layer the spikes of the neurons that were chosen."""
    choice = RasterChoice(neurons={"conv1": (1, 5), ALL_LAYERS: tuple(range(6))})
    with RunReader(run) as reader:
        raster, other = read_rasters(reader, choice)
        assert raster.label == "3" and raster.answer is None, "the last test is of another epoch than the spikes"
    assert (raster.image == runs.RECORDED.images[0]).all() and raster.recorded == 2
    assert other.image is None and other.facts == [], "it is not among those that the file knows"
    assert [own.tolist() for own in raster.shown] == [[1, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert raster.drawn(0) == "2 of 48 neurons" and raster.ticks(0) == {0: 1, 1: 5}
    assert raster.spikes[0].tolist() == [[3, 5]] and raster.spikes[1].tolist() == []
    with RunReader(run) as reader:
        for wrong, told in (
            (RasterChoice((3,)), "no spikes of sample 3 in .*run.h5: those of 9, 10"),
            (RasterChoice(neurons={"conv9": (0,)}), "layer conv9; the layers are conv1, conv2, dense3"),
            (RasterChoice(neurons={"dense3": (7,)}), "neuron 7 of dense3, which has 7"),
        ):
            runs.expect_fault(told, read_rasters, reader, wrong)


def test_neurons_and_samples_as_they_are_typed():
    assert parse_neurons(["0-2", "conv1:5,7-8"]) == {ALL_LAYERS: (0, 1, 2), "conv1": (5, 7, 8)}
    for texts, told in (
        (["conv1"], "conv1; it must be neurons"),
        (["1", "2"], "all layers twice"),
        (["9-3"], "must ascend"),
    ):
        runs.expect_fault(told, parse_neurons, texts)
    runs.expect_fault("more than", parse_numbers, "--samples", "0-9999999999")


def test_a_page_beside_json(run, tmp_path):
    result = succeed("report", run, "--html", tmp_path / "run.html", "--format", "json")
    assert json.loads(result.stdout)["epoch"] == 2
    assert (tmp_path / "run.html").exists()


def test_a_page_of_a_run_without_rows(tmp_path):
    runs.write_run(tmp_path / "run.h5", 0)
    succeed("report", tmp_path / "run.h5", "--html", tmp_path / "run.html")
    assert "the first mini-batch has not ended yet" in (tmp_path / "run.html").read_text()


def test_a_page_of_a_run_in_progress(tmp_path):
    with RunWriter.create(tmp_path / "run.h5", runs.make_header()) as writer:
        runs.append_rows(writer, 0, 6)
        writer.flush()
        succeed("report", tmp_path / "run.h5", "--html", tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text()
    assert f"running (process {os.getpid()} on " in text and "2 (so far)" in text and "Digest so far" in text


def test_the_page_of_an_epoch(run, tmp_path):
    succeed("report", run, "--epoch", 1, "--html", tmp_path / "run.html")
    assert "by layer and phase of epoch 1" in (tmp_path / "run.html").read_text()


def test_gradients_in_a_page(run, tmp_path):
    similarity = {"weight": {"cosine": [0.25, 0.5, 0.75], "norm_ratio": [1.0, 1.0, 1.0]}}
    check = {
        "layers": [layer.name for layer in runs.LAYERS],
        "samples": 8,
        "repeats": 1,
        "mean_field": {"to_exact": similarity},
        "variants": [{"variant": {"steps_nudged": 4, "beta": 1.0}, "to_exact": similarity}],
    }
    (tmp_path / "check.json").write_text(json.dumps(check))
    succeed("report", run, "--gradients", tmp_path / "check.json", "--html", tmp_path / "run.html")
    assert 'id="chart-gradient_cosine"' in (tmp_path / "run.html").read_text()


def test_runs_side_by_side(run, tmp_path):
    second = other(tmp_path / "other.h5", extra=5)
    text = succeed("report", run, second).stdout
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    assert "best" not in text
    assert lines["ep.beta"][1:] == ["2.0", "3.0"] and lines["extra"][1:] == ["not", "set", "5"]
    assert "ep.steps" not in text
    alone = [json.loads(succeed("report", path, "--format", "json").stdout) for path in (run, second)]
    found = json.loads(succeed("report", run, second, "--format", "json").stdout)["runs"]
    for one, both in zip(alone, found, strict=True):
        complete = [epoch for epoch in one["epochs"] if epoch["complete"]]
        assert [own["test_accuracy"] for own in both["curves"]] == [own["test_accuracy"] for own in complete]
        assert both["best_validation_accuracy"] is both["best_epoch"] is None, "the test set is not to choose by"
        test = next(own for own in one["layers"] if own["phase"] == "test" and own["layer"] == "total")
        assert both["joule"] == pytest.approx(test["joule"]) and both["accumulates"] == pytest.approx(
            test["effective_acs_forward"] + test["effective_acs_feedback"]
        )
        seconds = sum(own["seconds"] + own["test_seconds"] for own in complete)
        assert both["seconds"] == pytest.approx(seconds)
    assert [own["run"] for own in found] == ["run.h5", "other.h5"]
    lines = succeed("report", run, second, "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("run,state,epochs,") and len(lines) == 3
    succeed("report", run, second, "--plot", tmp_path / "figures")
    assert {"test_accuracy.png", "joule.svg"} <= {path.name for path in (tmp_path / "figures").iterdir()}


def test_the_best_epoch_by_a_validation_set(tmp_path):
    """Most right, of these the one with the lowest loss; the last accuracy beside it."""
    path = tmp_path / "run.h5"
    with RunWriter.create(path, runs.make_header(config={"data": {"validation": 0.1}}, validated=True)) as writer:
        for epoch, (correct, loss) in enumerate([(40, 0.5), (44, 0.75), (44, 0.25), (44, 0.25), (20, 0.125)], 1):
            for index in range(4):
                writer.append_batch(runs.make_batch(4 * (epoch - 1) + index))
            writer.append_epoch(runs.make_epoch(epoch, test_correct=correct, test_loss=loss))
    second = other(tmp_path / "other.h5")
    found = json.loads(succeed("report", path, "--format", "json", "--html", tmp_path / "run.html").stdout)
    assert (found["best_epoch"], found["tested_on"]) == (3, "validation")
    page = (tmp_path / "run.html").read_text()
    assert "Best by validation, epoch 3" in page and "Validation accuracy, last" in page
    assert "best epoch on the validation set: 3, 88.00 %" in succeed("report", path).stdout
    one, two = json.loads(succeed("report", path, second, "--format", "json").stdout)["runs"]
    assert (one["best_epoch"], one["best_validation_accuracy"], one["test_accuracy"]) == (3, 0.88, 0.4)
    assert (two["tested_on"], two["best_epoch"]) == ("test", None)
    succeed("report", path, second, "--html", tmp_path / "both.html")
    assert "best validation accuracy" in (tmp_path / "both.html").read_text()
    lines = {line[:26].strip(): line.split() for line in succeed("report", path, second).stdout.splitlines()}
    assert lines["best validation accuracy"][3:] == ["88.00", "%", "-"] and lines["in epoch"][2:] == ["3", "-"]
    assert lines["test accuracy"], "where runs differ in what they are tested on"
    assert "best" in succeed("report", "--sweep", tmp_path).stdout
    succeed("report", second, "--html", tmp_path / "second.html")
    assert "Test accuracy, last" in (page := (tmp_path / "second.html").read_text()) and "Best" not in page


def test_names_of_runs_tell_them_apart(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        other(tmp_path / name / "run.h5")
    found = json.loads(succeed("report", tmp_path / "a/run.h5", tmp_path / "b/run.h5", "--format", "json").stdout)
    assert [own["run"] for own in found["runs"]] == ["a/run.h5", "b/run.h5"]


def test_a_sweep_as_a_page(run, tmp_path):
    for number in range(3):
        other(tmp_path / f"run-{number}.h5", seed=number)
    (tmp_path / "broken.h5").write_text("none")
    succeed("report", "--sweep", tmp_path, "--html", tmp_path / "sweep.html")
    text = (tmp_path / "sweep.html").read_text()
    assert "Comparison of 4 runs" in text and "is not an HDF5 file" in text


def test_what_is_refused(run, tmp_path):
    second = other(tmp_path / "other.h5")
    (tmp_path / "text.h5").write_text("none")
    for arguments, fragments in (
        ((run, "--html", tmp_path / "run.h5"), ("must end in .html",)),
        ((run, "--html", tmp_path / "none" / "run.html"), ("does not exist",)),
        ((run, "--plot", tmp_path / "none" / "more"), ("there is no folder",)),
        ((run, "--plot", tmp_path / "text.h5"), ("that is a file",)),
        ((run, second, "--epoch", 1), ("--epoch applies to a single run",)),
        ((run, second, "--samples", 1, "--html", tmp_path / "x.html"), ("--samples applies to a single run",)),
        ((run, "--neurons", "0-31"), ("--html or --plot",)),
        ((run, second, "--gradients", run, "--html", tmp_path / "x.html"), ("applies to a single run",)),
        ((run, "--gradients", run), ("--html or --plot",)),
        ((run, "--gradients", run, "--html", tmp_path / "x.html"), ("is not JSON",)),
        ((run, tmp_path / "text.h5"), ("text.h5", "is not an HDF5 file")),
    ):
        assert_one_line(spikesim("report", *arguments), *fragments)
    assert {path.name for path in tmp_path.iterdir()} == {"other.h5", "text.h5"}


def test_pages_need_no_matplotlib_and_pictures_say_that_they_do(run, tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    blocked = "import sys; sys.path.insert(0, sys.argv.pop(1)); from spikesim.cli import main; main()"

    def report(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", blocked, tmp_path, "report", run, *arguments]
        environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, env=environment)

    assert report("--html", tmp_path / "run.html").returncode == 0
    assert_one_line(report("--plot", tmp_path), "spikesim[plot]")


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_bytes(b"old")
    with pytest.raises(InputError, match="exists"):
        files.write_files({target: b"new"}, overwrite=False)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        files.write_files({target: b"new"}, overwrite=True)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]
    monkeypatch.undo()
    files.write_files({target: b"new"}, overwrite=True)
    assert target.read_bytes() == b"new"
    plain = tmp_path / "plain"
    plain.write_text("")
    assert target.stat().st_mode == plain.stat().st_mode
