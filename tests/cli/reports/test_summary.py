"""The beginning of a report, and parts of it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from commands import assert_one_line, spikesim
from runs import write_run

from spikesim.cli import main
from spikesim.runtime.text import fixed, percent, si


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two complete epochs and a part of a third."""
    return write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)


def report(*arguments: object) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(main, ["report", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_five_lines_sum_up_an_epoch(run: Path, epoch: int) -> None:
    numbers = json.loads(report(run, "--epoch", epoch, "--format", "json"))
    (own,) = (one for one in numbers["epochs"] if one["epoch"] == epoch)
    totals = {one["phase"]: one for one in numbers["layers"] if one["layer"] == "total"}
    head, _, rest = report(run, "--epoch", epoch).partition("\n\n")
    lines = rest.partition("\n\n")[0].splitlines()
    assert head.startswith("Run ") and [line.split()[0] for line in lines] == [
        "accuracy",
        "loss",
        "activity",
        "energy",
        "time",
    ]
    assert max(map(len, lines)) <= 80
    found = {
        line.split()[0]: re.findall(r"(?:test|training) (-|[\d.]+(?: \S+?)?)(?=,| {2}| \(|$)", line) for line in lines
    }
    test = totals.get("test")
    tested = {
        "accuracy": percent(own["test_accuracy"]),
        "loss": fixed(own["test_loss"]),
        "activity": percent(test["activity"]) if test else "-",
        "energy": f"{si(test['joule'])}J" if test else "-",
        "time": f"{si(own['test_seconds'] / own['test_samples'])}s" if test else "-",
    }
    trained = {
        "accuracy": percent(own["train_accuracy"]),
        "loss": fixed(own["train_loss"]),
        "activity": percent(totals["free"]["activity"]),
        "energy": f"{si(totals['total']['joule'])}J",
        "time": f"{si(own['seconds'] / own['train_samples'])}s",
    }
    assert found == {name: [tested[name], trained[name]] for name in tested}
    assert (", so far)" in lines[0]) == (epoch == 3) == (test is None)


def test_sections_are_parts_of_the_whole(run: Path) -> None:
    whole, left = report(run), 0
    sections = ("summary", "epochs", "phases", "learning", "layers", "parameters")
    for section in sections:
        part = report(run, "--section", section)
        assert part in whole
        left += len(part)
    assert left == len(whole)
    both = report(run, "--section", "parameters", "--section", "epochs")
    assert both == report(run, "--section", "epochs") + report(run, "--section", "parameters")


def test_what_has_no_such_section_is_refused(run: Path) -> None:
    assert_one_line(spikesim("report", run, "--section", "foo"), "'foo' is not one of 'summary', 'epochs'")
    for more in (("--format", "json"), (run,)):
        assert_one_line(spikesim("report", run, "--section", "epochs", *more), "--section")
