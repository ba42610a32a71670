"""The page that compares runs: ``spikesim report A.h5 B.h5 --html FILE``."""

import json
from collections.abc import Mapping
from typing import Any

from spikesim.ep.analysis.summary import all_tested_on
from spikesim.ep.reports.charts.chart import comparison_charts
from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.pages.shell import assumptions_form, figure, joule_cell, make_page, section
from spikesim.runtime.text import counted, percent, si

__all__ = ["comparison_page"]


def comparison_page(document: Mapping[str, Any]) -> bytes:
    """Runs side by side as one page.

    Parameters
    ----------
    document : dict
        What `comparison_document` gives.

    Returns
    -------
    bytes
        HTML in UTF-8, which needs nothing else.
    """
    runs = document["runs"]
    figures = [figure(chart) for chart in comparison_charts(document)]
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
    finished = sum(run["state"] == "finished" for run in runs)
    sections = [
        section("results", "Results", table("Last complete epoch of each run", headings,
                [_row(index, run, best=best) for index, run in enumerate(runs)], id="runs")),
        section("settings", "Settings that differ", differ),
        section("curves", "Curves", element("div", figures, class_="charts")) if figures else None,
        section("energy", "Energy", element("p", _PRICES),
                assumptions_form(runs[0]["energy_model"])),
    ]  # fmt: skip
    lead: list[Child] = [element("p", f"{finished} of {counted(len(runs), 'run')} finished.")]
    return make_page(f"Comparison of {counted(len(runs), 'run')}", lead, sections, document, layers=1)


_PRICES = "The penalties change the energies under Results. They begin as in the file of the first run."
_FIRST = ("run", "state", "epochs", "train accuracy")
_BEST = ("best validation accuracy", "in epoch")
_LAST = ("activity", "ACs, a test sample", "MACs, a test sample", "energy, a test sample", "hours")


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
