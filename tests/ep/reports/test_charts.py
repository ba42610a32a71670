"""Axes, charts as data, and their drawings as SVG."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

from spikesim.ep.analysis.summary import make_report
from spikesim.ep.reports.charts.axes import linear_axis, log_axis
from spikesim.ep.reports.charts.chart import HUGE, TINY, Chart, Series, comparison_charts, run_charts
from spikesim.ep.reports.charts.svg import _spread, draw
from spikesim.ep.reports.comparison import compare, comparison_document
from spikesim.ep.reports.document import report_document
from spikesim.ep.runs.reader import RunReader
from spikesim.runtime.text import si

FINITE = st.floats(-HUGE, HUGE)
POSITIVE = st.floats(TINY, HUGE)


@given(st.lists(FINITE, min_size=1), st.booleans(), st.booleans())
def test_a_linear_axis_holds_its_values(values, zero, integers):
    axis = linear_axis(values, zero=zero, integers=integers)
    room = 1e-9
    assert all(-room <= axis.position(value) <= 1 + room for value in [*values, *([0.0] if zero else [])])
    places = [axis.position(tick) for tick in axis.ticks]
    assert places == sorted(set(places))
    if not integers:
        assert 2 <= len(axis.ticks) <= 9
    elif max(values) < 1e9 > -min(values):
        assert all(float(tick).is_integer() for tick in axis.ticks)


def test_names_of_layers_stand_in_their_order():
    layers = [Series(f"conv{index}", [1.0, 2.0], [1.0, value]) for index, value in enumerate((3.0, 1.0, 2.0, 9.0))]
    svg = drawn(Chart("c", "s", "t", "x", "y", layers, ordered=True))
    names = [text for text in svg.iter("text") if text.get("class") == "name"]
    assert [text.text for text in sorted(names, key=lambda text: float(text.get("y")))] == [own.name for own in layers]


@given(st.lists(POSITIVE, min_size=1))
def test_a_logarithmic_axis_holds_its_values(values):
    axis = log_axis(values)
    assert all(0 < axis.position(value) < 1 for value in values)
    assert all(0 <= axis.position(tick) <= 1 for tick in axis.ticks)
    assert len(axis.ticks) <= 10
    assert len(axis.ticks) >= 2
    assert axis.position(math.sqrt(values[0] * values[-1])) == pytest.approx(
        (axis.position(values[0]) + axis.position(values[-1])) / 2
    )


@given(st.lists(st.floats(-50, 350), min_size=1, max_size=12), st.floats(1, 20))
def test_labels_keep_their_distance_and_their_order(wanted, distance):
    wanted = sorted(wanted)
    places = _spread(wanted, distance, 0.0, 300.0)
    assert all(after - before >= distance - 1e-6 for before, after in itertools.pairwise(places))
    if distance * (len(wanted) - 1) <= 300:
        assert min(places) >= -1e-6 and max(places) <= 300 + 1e-6


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    with RunReader(runs.write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)) as reader:
        return report_document(reader, make_report(reader))


def test_charts_show_the_numbers_of_the_report(document):
    charts = {chart.name: chart for chart in run_charts(document)}
    assert len(charts) == len(run_charts(document))
    training, test = charts["accuracy"].series
    assert training.x == [1, 2, 3] and training.y == [own["train_accuracy"] for own in document["epochs"]]
    assert test.y[2] is None
    energy = {own.name: own for own in charts["energy"].series}
    for entry in document["layers"]:
        if "total" not in (entry["layer"], entry["phase"]):
            place = charts["energy"].categories.index(entry["layer"])
            assert energy[entry["phase"]].y[energy[entry["phase"]].x.index(place)] == entry["joule"]
    free = charts["trace_hopfield"].series[0]
    assert free.y == [own["hopfield"] for own in document["traces"] if own["phase"] == "free"]
    nudged = charts["trace_hopfield"].series[1]
    assert nudged.x[0] == free.x[-1] + 1
    rates = charts["firing_rates"].series
    assert [own.name for own in rates] == ["conv1", "conv2", "dense3"]
    assert all(sum(own.y) == pytest.approx(1) and len(own.y) == 33 for own in rates)


def test_what_was_not_measured_has_no_chart(document):
    bare = {**document, "traces": [], "firing_rates": [], "learning": []}
    names = {chart.name for chart in run_charts(bare)}
    assert {"accuracy", "energy"} <= names
    assert not {name for name in names if name.startswith(("trace", "firing", "rate", "weight"))}


def test_curves_of_runs_lie_over_each_other(tmp_path):
    paths = [runs.write_run(tmp_path / f"{name}.h5", batches) for name, batches in (("a", 8), ("b", 4))]
    charts = {chart.name: chart for chart in comparison_charts(comparison_document(compare(paths, strict=True)))}
    assert [(own.name, own.x) for own in charts["test_accuracy"].series] == [("a.h5", [1, 2]), ("b.h5", [1])]
    assert {"train_loss", "activity", "accumulates", "joule"} <= set(charts)


def drawn(chart: Chart) -> ET.Element:
    return draw(chart)


def line_points(svg: ET.Element) -> list[list[tuple[float, float]]]:
    lines = [own.get("d") for own in svg.iter("path") if own.get("class") == "line"]
    return [[tuple(map(float, pair)) for pair in re.findall(r"([-\d.]+) ([-\d.]+)", text)] for text in lines]


def test_a_line_goes_through_its_values():
    own = Series("one", [1, 2, 3, 4], [10.0, None, 20.0, 15.0])
    svg = drawn(Chart("c", "s", "title", "epoch", "value", [own]))
    (line, _) = [element.get("d") for element in svg.iter("path") if element.get("class") == "line"]
    assert line.count("M") == 2, "a gap"
    (first, third, fourth) = line_points(svg)[0]
    assert first[1] > fourth[1] > third[1], "up is more"
    assert first[1] - fourth[1] == pytest.approx(fourth[1] - third[1], abs=0.2)
    assert fourth[0] - third[0] == pytest.approx((third[0] - first[0]) / 2, abs=0.2)
    told = [element.text for element in svg.iter("title")]
    assert "one, epoch 3: 20" in told and svg.get("aria-label") == "title: value over epoch"


def test_zeros_have_no_place_on_a_logarithmic_axis():
    own = Series("one", [1, 2, 3], [0.0, 1.0, 10.0])
    chart = Chart("c", "s", "title", "epoch", "value", [own, Series("none", [1], [0.0])], log=True)
    assert len(line_points(drawn(chart))[0]) == 2
    assert "Zeros" in chart.words and "none" not in [element.text for element in drawn(chart).iter("text")]
    assert Chart("c", "s", "t", "x", "y", [Series("none", [1], [0.0])], log=True).empty


def test_shares_are_per_cent_and_layers_have_names():
    own = Series("free", [0.0, 1.0], [0.25, 0.5])
    chart = Chart("c", "s", "t", "layer", "activity (%)", [own], categories=["conv1", "x" * 60], share=True, dots=True)
    texts = [element.text for element in drawn(chart).iter("text")]
    assert {"conv1", "x" * 60, "0", "50"} <= set(texts)
    assert "free, conv1: 25.00 %" in [element.text for element in drawn(chart).iter("title")]


def test_series_differ_in_more_than_colour():
    many = [Series(f"run {index}", [1.0, 2.0], [float(index), 1.0]) for index in range(4)]
    svg = drawn(Chart("c", "s", "t", "x", "y", many))
    groups = [group for group in svg.iter("g") if group.find("path[@class='line']") is not None]
    looks = {(group.get("class"), group.find("path[@class='mark']").get("d")) for group in groups}
    assert len(looks) == 4
    assert len({look.split()[1] for look, _ in looks}) == 4 and len({mark for _, mark in looks}) == 4


@given(st.floats(1e-14, 1e17))
def test_numbers_with_a_prefix_are_the_numbers(value):
    figures, _, prefix = si(value).partition(" ")
    scale = 1000.0 ** ("fpnum kMGTP".index(prefix or " ") - 5)
    assert float(figures) * scale == pytest.approx(value, rel=5.1e-3)
    assert 0.99 < float(figures) < 1000 or prefix in "fP"
    assert sum(character.isdigit() for character in figures) == 3 or prefix in "fP"


@pytest.mark.parametrize("count", [1, 8, 60])
def test_all_names_have_room(count):
    many = [Series(f"run {index}", [1.0, 2.0], [1.0, 1.0 + index % 3]) for index in range(count)]
    svg = drawn(Chart("c", "s", "t", "x", "y", many))
    height = float(svg.get("viewBox").split()[3])
    places = sorted(float(text.get("y")) for text in svg.iter("text") if text.get("class") == "name")
    assert len(places) == count and 0 < places[0] and places[-1] < height
    assert all(below - above > 12 for above, below in itertools.pairwise(places))


def test_long_phases_are_shown_step_by_step(document):
    steps = [
        {"epoch": 2, "phase": phase, "step": step, "hopfield": 100.0 * step, "residual": [0.1 * step] * 3,
         "activity": [0.01 * step] * 3}
        for phase, count in (("free", 5), ("nudged+", 2), ("nudged-", 2)) for step in range(1, count + 1)
    ]  # fmt: skip
    charts = {own.name: own for own in run_charts({**document, "traces": steps}) if own.section == "steps"}
    assert set(charts) == {"trace_hopfield", "trace_hopfield_free", "trace_residual_free", "trace_activity_free"}
    assert charts["trace_hopfield_free"].series[0].x == [2, 3, 4, 5]
    assert [own.x for own in charts["trace_hopfield"].series] == [[1, 2, 3, 4, 5], [6, 7], [6, 7]]
    assert charts["trace_residual_free"].series[1].y == [0.1 * step for step in range(1, 6)]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1), st.booleans(), st.sampled_from(["value", "energy (J)"]))
def test_ticks_say_different_things(values, share, y_label):
    svg = drawn(Chart("c", "s", "t", "x", y_label, [Series("one", list(range(len(values))), values)], share=share))
    texts = [text.text for text in svg.iter("text") if text.get("class") == "tick end"]
    assert len(set(texts)) == len(texts) > 1
