"""Runs that differ in the seed alone: their groups, tests, curves, and what is told of a sweep's members."""

import csv
import json
import math
from pathlib import Path

import pytest
import runs
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from spikesim.cli import main
from spikesim.ep.reports.charts.chart import Chart, Series, comparison_charts
from spikesim.ep.reports.charts.svg import draw, point_text
from spikesim.ep.reports.comparison import ComparedRun, RunRow
from spikesim.ep.reports.completeness import planned_runs
from spikesim.ep.reports.seeds import Spread, group_by_seed, have_seeds, paired_test, paired_tests
from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.plan import Member, write_plan
from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError

CORRECT = {0.25: (40, 44, 48), 0.5: (38, 45, 49, 30)}
"""Test samples of 50 that a run gets right, by beta and seed."""


def compared(beta: float, seed: int, accuracy: float | None, state: str = "finished") -> ComparedRun:
    row = RunRow(f"beta-{beta}_seed-{seed}.h5", state, 2, "test", test_accuracy=accuracy)
    return ComparedRun(row, {"dynamics.beta": beta, "seed": seed}, [], EnergyModel())


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12))
def test_a_paired_test_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    sides = [[compared(beta, seed, pair[side]) for seed, pair in enumerate(pairs)] for side, beta in enumerate((1, 2))]
    sides[1].append(compared(2, 99, 0.5))  # has no partner
    (test,) = paired_tests(group_by_seed([*sides[0], *sides[1][::-1]]))
    differences = [second - first for first, second in pairs]
    assert test.seeds == len(pairs) and (test.setting, test.reference) == ("beta 2", "beta 1")
    assert test.difference == pytest.approx(sum(differences) / len(pairs))
    if max(differences) - min(differences) > 1e-6:
        expected = ttest_rel([second for _, second in pairs], [first for first, _ in pairs])
        assert (test.t, test.p_value) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
        assert test.standard_error == pytest.approx(abs(test.difference / test.t)) or test.t == 0


def test_where_there_is_no_test_there_is_no_p() -> None:
    assert Spread.of([None, 0.5, math.nan]) == (1, 0.5, None) and Spread.of([]) == (0, None, None)
    same = [compared(beta, seed, 0.5 + beta) for beta in (1, 2) for seed in (0, 1, 2)]
    (test,) = paired_tests(group_by_seed(same))
    assert test.difference == 1 and test.p_value is test.t is None, "all pairs differ by the same"
    apart = group_by_seed([compared(1, 0, 0.5), compared(2, 1, 0.5)])
    test = paired_test(*apart)
    assert (test.seeds, test.difference, test.p_value) == (0, None, None) and paired_tests(apart) == []
    many = group_by_seed([compared(beta, seed, 0.5) for beta in range(50) for seed in (0, 1)])
    assert [test.reference for test in paired_tests(many)] == ["beta 0"] * 49, "not a thousand pairs"


def test_groups_are_of_finished_runs_and_each_seed_counts_once() -> None:
    made = [compared(1, 2, 0.5), compared(1, 0, 0.25), compared(1, 3, 0.9, "stopped; and so on"), compared(1, 0, 0.25)]
    (group,) = group_by_seed(made)
    assert group.seeds == [0, 2] and group.left_out == ["beta-1_seed-3.h5", "beta-1_seed-0.h5"]
    assert group.spread("test_accuracy") == (2, 0.375, pytest.approx(0.125 * math.sqrt(2)))
    assert have_seeds([group]) and not have_seeds(group_by_seed([compared(1, 0, 0.5), compared(2, 1, 0.5)]))


def write(path: Path, beta: float, seed: int, correct: int, epochs: int = 2) -> None:
    config = {"dynamics": {"beta": beta}, "seed": seed}
    with RunWriter.create(path, runs.make_header(config=config, seed=seed)) as writer:
        for epoch in range(1, epochs + 1):
            for index in range(4):
                writer.append_batch(runs.make_batch(4 * (epoch - 1) + index))
            writer.append_epoch(runs.make_epoch(epoch, test_correct=correct if epoch == 2 else 10))
        writer.set_status("finished" if epochs == 2 else "stopped")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of eight planned members seven runs, one of which is stopped; 0.5 is planned first."""
    folder = tmp_path_factory.mktemp("sweep")
    for beta, correct in CORRECT.items():
        for seed, count in enumerate(correct):
            write(folder / f"beta-{beta}_seed-{seed}.h5", beta, seed, count, epochs=1 if count == 30 else 2)
    names = [f"beta-{beta}_seed-{seed}" for beta in (0.5, 0.25) for seed in range(4)]
    write_plan(folder, [Member(name, ()) for name in names])
    return folder


def reported(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_sweep_is_reported_by_setting(sweep: Path) -> None:
    text = reported("--sweep", sweep)
    rows = [line.split("  ") for line in text.splitlines() if line.startswith("beta")]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert [row[:5] for row in cells[:2]] == [
        ["beta 0.5", "3", "88.00% +- 11.14%", "-", "-"],
        ["beta 0.25", "3", "88.00% +- 8.00%", "0.00 +- 2.00", "1"],
    ]
    assert "6 of 7 runs finished; unfinished: beta-0.5_seed-3.h5 (stopped)" in text
    assert "7 of 8 members are there; missing: beta-0.25_seed-3" in text
    each = reported("--sweep", sweep, "--group", "none")
    assert "beta-0.25_seed-1.h5" in each and "7 of 8 members" in each and "+-" not in each


def test_json_and_csv_have_the_groups(sweep: Path) -> None:
    found = json.loads(reported("--sweep", sweep, "--format", "json"))
    assert found["plan"] == {"members": 8, "missing": ["beta-0.25_seed-3"]}
    assert [len(found[what]) for what in ("runs", "groups", "tests")] == [7, 2, 1]
    first, second = found["groups"]
    assert first["settings"] == {"dynamics.beta": 0.5} and first["seeds"] == [0, 1, 2]
    assert first["left_out"] == ["beta-0.5_seed-3.h5"]
    by_name = {run["run"]: run for run in found["runs"]}
    for measure in ("test_accuracy", "activity", "joule"):
        values = [by_name[name][measure] for name in second["runs"]]
        assert second[measure]["n"] == 3 and second[measure]["mean"] == pytest.approx(sum(values) / 3)
    assert second["curves"][1]["test_accuracy"] == {k: second["test_accuracy"][k] for k in ("mean", "sd")}
    rows = list(csv.DictReader(reported("--sweep", sweep, "--format", "csv").splitlines()))
    assert [row["setting"] for row in rows] == ["beta 0.5", "beta 0.25"] and rows[0]["difference"] == ""
    assert float(rows[1]["test_accuracy_sd"]) == second["test_accuracy"]["sd"]
    assert float(rows[1]["p_value"]) == found["tests"][0]["p_value"] and rows[1]["dynamics.beta"] == "0.25"
    rows = list(csv.DictReader(reported("--sweep", sweep, "--format", "csv", "--group", "none").splitlines()))
    assert len(rows) == 7 and rows[0]["run"] == "beta-0.5_seed-0.h5", "in the order of the plan"


def test_pages_and_pictures_have_bands(sweep: Path, tmp_path: Path) -> None:
    reported("--sweep", sweep, "--html", tmp_path / "a.html", "--plot", tmp_path / "figures")
    page = (tmp_path / "a.html").read_text()
    assert page.count('class="spread"') == 2 * page.count("<figure") > 0 and "beta 0.25 less beta 0.5" in page
    assert "7 of 8 members are there; missing: beta-0.25_seed-3." in page
    assert "88.00 % \u00b1 11.14 %" in page
    picture = (tmp_path / "figures" / "test_accuracy.svg").read_text()
    assert picture.count("FillBetweenPolyCollection") + picture.count("PolyCollection") >= 2
    reported("--sweep", sweep, "--html", tmp_path / "b.html", "--group", "none")
    assert 'class="spread"' not in (tmp_path / "b.html").read_text()
    document = json.loads(reported("--sweep", sweep, "--format", "json"))
    own = next(chart for chart in comparison_charts(document, grouped=True) if chart.name == "test_accuracy").series[0]
    assert own.x == [1, 2] and own.y == [pytest.approx(0.2), pytest.approx(0.88)]
    assert own.band()[1] == (2, pytest.approx(0.88 - 0.11136, abs=1e-4), pytest.approx(0.88 + 0.11136, abs=1e-4))


def test_a_band_lies_within_the_chart() -> None:
    own = Series("one", [1, 2, 3], [0.5, None, 0.75], [0.25, 0.1, None])
    chart = Chart("c", "s", "t", "epoch", "accuracy", [own])
    svg = draw(chart)
    (band,) = [path.get("d") for path in svg.iter("path") if path.get("class") == "spread"]
    heights = [float(pair.split(" ")[1]) for pair in band[1:-1].split("L")]
    assert len(heights) == 2 and min(heights) >= 10, "1: from 0.25 to 0.75"
    assert [point_text(chart, own, at) for at in (1, 2, 3, 4)] == ["0.5 \u00b1 0.25", "-", "0.75", "-"]


def test_what_cannot_be_grouped_is_refused(sweep: Path, tmp_path: Path) -> None:
    one = sweep / "beta-0.5_seed-3.h5"
    write_plan(tmp_path, [Member("seed-0", ())])
    for arguments, fragment in (
        ((one, "--group", "seeds"), "--group applies to several runs"),
        ((one, one, "--group", "seeds"), "--group seeds needs finished runs"),
        (("--sweep", tmp_path), "none of 1 member has started"),
    ):
        result = CliRunner().invoke(main, ["report", *map(str, arguments)])
        assert result.exit_code == 2 and fragment in result.output
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(InputError, match="not the plan of a sweep"):
        planned_runs(tmp_path)
