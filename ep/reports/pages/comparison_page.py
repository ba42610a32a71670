"""The page that compares runs: ``spikesim report A.h5 B.h5 --html FILE``."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from spikesim.ep.analysis.summary import all_tested_on
from spikesim.ep.reports.charts.chart import comparison_charts
from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.pages.shell import assumptions_form, figure, joule_cell, make_page, section
from spikesim.runtime.text import counted, p_text, percent, points, short, si

__all__ = ["comparison_page"]


def comparison_page(document: Mapping[str, Any], said: Sequence[str] = (), *, grouped: bool = False) -> bytes:
    """Runs side by side as one page.

    Parameters
    ----------
    document : dict
        What `comparison_document` gives, and with `grouped` `grouped_document`.
    said : sequence of str
        Sentences for its head.
    grouped : bool
        Settings, over their seeds, before the runs and in the curves.

    Returns
    -------
    bytes
        HTML in UTF-8, which needs nothing else.
    """
    runs = document["runs"]
    figures = [figure(chart) for chart in comparison_charts(document, grouped=grouped)]
    settings = list(runs[0]["settings"])
    rows = [[key, *(element("code", json.dumps(run["settings"][key], ensure_ascii=False)) for run in runs)]
            for key in settings]  # fmt: skip
    names = [run["run"] for run in runs]
    differ = (
        table("Settings that differ", ["setting", *names], rows)
        if settings
        else element("p", "The configurations are the same.")
    )
    # without a validation set there is no best epoch: the test set is not to choose by
    best = any(run["best_epoch"] is not None for run in runs)
    tested = f"{all_tested_on(run['tested_on'] for run in runs)} accuracy"
    headings = [*_FIRST, tested, *(_BEST if best else ()), *_LAST]
    sections = [
        section("seeds", "Over the seeds", _group_table(document), _test_table(document)) if grouped else None,
        section("results", "Results", table("Last complete epoch of each run", headings,
                [_row(index, run, best=best) for index, run in enumerate(runs)], id="runs")),
        section("settings", "Settings that differ", differ),
        section("curves", "Curves", element("div", figures, class_="charts")) if figures else None,
        section("energy", "Energy", element("p", _PRICES),
                assumptions_form(runs[0]["energy_model"])),
    ]  # fmt: skip
    lead: list[Child] = [element("p", f"{sentence}.") for sentence in said]
    return make_page(f"Comparison of {counted(len(runs), 'run')}", lead, sections, document, layers=1)


_PRICES = (
    "Prices change the energies under Results, which begin as each run is charged; the fields, as the first run is."
)
_ALL_PAIRS_MAX = 5
"""With more settings a page tests against the first one only."""
_FIRST = ("run", "state", "epochs", "train accuracy")
_BEST = ("best validation accuracy", "in epoch")
_LAST = ("activity", "ACs, a test sample", "MACs, a test sample", "energy, a test sample", "hours")


def _group_table(document: Mapping[str, Any]) -> Child:
    """A row for each setting, with means and standard deviations."""
    groups = document["groups"]
    tested = f"{all_tested_on(group['tested_on'] for group in groups)} accuracy"

    def cell(index: int, measure: str, form: Any) -> Child:
        own = groups[index][measure]
        if own["mean"] is None:
            return "-"
        sd = "" if own["sd"] is None else f" \u00b1 {form(own['sd'])}"
        return number(own["mean"], form(own["mean"]) + sd, data_from=f"groups.{index}.{measure}.mean")

    rows = [
        [
            group["setting"],
            number(len(group["runs"]), str(len(group["runs"]))),
            cell(index, "test_accuracy", percent),
            cell(index, "train_accuracy", percent),
            cell(index, "activity", percent),
            cell(index, "accumulates", si),
            cell(index, "joule", lambda value: f"{si(value)}J"),
        ]
        for index, group in enumerate(groups)
    ]
    headings = ["setting", "seeds", tested, "train accuracy", "activity", "ACs, a test sample", "energy, a test sample"]
    caption = "Mean and standard deviation over the seeds of finished runs, after their last epochs"
    return table(caption, headings, rows, id="groups")


def _test_table(document: Mapping[str, Any]) -> Child:
    """A row for each two settings that have seeds in common; of many settings, for each against the first."""
    first = document["groups"][0]["setting"]
    many = len(document["groups"]) > _ALL_PAIRS_MAX
    rows = [
        [
            f"{test['setting']} less {test['reference']}",
            number(test["seeds"], str(test["seeds"])),
            number(test["difference"], f"{points(test['difference'])} \u00b1 {points(test['standard_error'])}"),
            number(test["t"], short(test["t"])),
            number(test["p_value"], p_text(test["p_value"])),
        ]
        for test in document["tests"]
        if test["reference"] == first or not many
    ]
    if not rows:
        return None
    caption = "Differences of accuracy over common seeds, in percentage points, with their standard errors"
    return element(
        "div",
        table(caption, ["settings", "common seeds", "difference", "t", "p"], rows, id="tests"),
        element("p", "p: two-sided paired t test, not corrected for several comparisons.", class_="note"),
    )


def _row(index: int, run: Mapping[str, Any], *, best: bool) -> list[Child]:
    def cell(key: str, form: Any) -> Child:
        value = run[key]
        return number(value, "-" if value is None else form(value), data_from=f"runs.{index}.{key}")

    return [
        run["run"],
        run["state"].partition(";")[0],
        cell("epochs", str),
        cell("train_accuracy", percent),
        cell("test_accuracy", percent),
        *((cell("best_validation_accuracy", percent), cell("best_epoch", str)) if best else ()),
        cell("activity", percent),
        cell("accumulates", si),
        cell("multiply_accumulates", si),
        joule_cell(run["joule"], run["accumulates"] or 0.0, run["multiply_accumulates"] or 0.0,
                   run["neuron_updates"] or 0.0),
        cell("seconds", lambda value: f"{value / 3600:.2f}"),
    ]  # fmt: skip
