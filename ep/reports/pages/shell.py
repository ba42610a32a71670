"""What all pages have in common: head, style, script, navigation, figures, energies that a reader can change."""

import base64
import hashlib
import importlib.resources
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from spikesim import __version__
from spikesim.ep.analysis.published import MEMORY_NOTE, published
from spikesim.ep.reports.charts.chart import Chart
from spikesim.ep.reports.charts.colours import ramp
from spikesim.ep.reports.charts.markup import Child, element, embedded_json, number, serialise, table
from spikesim.ep.reports.charts.svg import draw, point_text
from spikesim.runtime.text import si

__all__ = ["assumptions_form", "figure", "joule_cell", "make_page", "section"]


_CHARGED = (
    "Charged are synaptic operations: an accumulate for a synaptic event, a multiply-accumulate for a graded input. "
    "Memory traffic and the updates of the neurons cost nothing unless they have a price. A weight is fetched for each "
    "AC and MAC; the state of a neuron is read and written for each AC and each update. Random numbers, the "
    "read-out and the optimizer are left out. Use the figures to compare runs and layers, not as the consumption of a "
    "device. "
)


def make_page(
    title: str,
    lead: Sequence[Child],
    sections: Sequence[ET.Element | None],
    document: Mapping[str, Any],
    *,
    layers: int,
) -> bytes:
    """A page that needs nothing else.

    Its content security policy allows its own style and script, by their hashes, and nothing from elsewhere.

    Parameters
    ----------
    title : str
        Title and first heading.
    lead : sequence of str and Element
        What stands before the first section.
    sections : sequence of Element or None
        What `section` made; None is left out.
    document : dict
        The JSON object whose numbers the page shows, embedded as ``report``.
    layers : int
        Colours for ordered series that are needed.

    Returns
    -------
    bytes
        HTML in UTF-8.
    """
    style = _resource("page.css") + _layer_colours(layers)
    script = _resource("page.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    present = [own for own in sections if own is not None]
    links = [element("li", element("a", own.get("aria-label") or "", href=f"#{own.get('id')}")) for own in present]
    root = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="generator", content=f"spikesim {__version__}"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", title),
            element("style", style),
        ),
        element(
            "body",
            element("a", "Skip to the results", href=f"#{present[0].get('id')}" if present else "#", class_="skip"),
            element("header", element("h1", title), lead),
            element("nav", element("ul", links), aria_label="Sections"),
            element("main", present),
            element("footer", element("p", f"Written by spikesim {__version__}. Nothing is loaded from elsewhere.")),
            embedded_json(document, "report"),
            embedded_json(published(), "assumptions"),
            element("script", script),
        ),
        lang="en",
    )  # fmt: skip
    return serialise(root)


def section(name: str, heading: str, *children: Child | Sequence[Child]) -> ET.Element:
    """A section with a heading, to which the navigation leads."""
    return element("section", element("h2", heading), *children, id=name, aria_label=heading)


def figure(chart: Chart) -> ET.Element:
    """A chart with its title, a sentence on how to read it, and the table behind it."""
    values = [dict(zip(own.x, own.y, strict=True)) for own in chart.series]
    rows = [
        [
            chart.categories[int(at)] if chart.categories else f"{at:g}",
            *(number(own.get(at), point_text(chart, line, at)) for line, own in zip(chart.series, values, strict=True)),
        ]
        for at in chart.positions
    ]
    headings = [chart.x_label, *(own.name for own in chart.series)]
    return element(
        "figure",
        element("figcaption", element("h3", chart.title), element("p", chart.words) if chart.words else None),
        draw(chart),
        element("details", element("summary", "Table of this chart"),
                table(f"{chart.title}: {chart.y_label}", headings, rows)),
        id=f"chart-{chart.name}",
    )  # fmt: skip


def joule_cell(joule: float | None, accumulates: float, macs: float, updates: float) -> Child:
    """An energy of which the page knows the counts, so that the script can compute it again."""
    if joule is None:
        return "-"
    counts = {"data_accumulates": repr(accumulates), "data_macs": repr(macs), "data_updates": repr(updates)}
    counts["data_given"] = repr(joule)
    return number(joule, si(joule) + "J", class_="joule", **counts)


def assumptions_form(energy: Mapping[str, Any]) -> ET.Element:
    """The table of assumptions: what an operation costs, as the run file says, as published, or as the reader says.

    Parameters
    ----------
    energy : dict
        ``energy_model`` of the report.
    """
    rows = published()
    nodes, formats = (list(dict.fromkeys(row[key] for row in rows)) for key in ("node", "format"))
    own = {
        "accumulate": (energy["accumulate_joule"] or 0.0) * 1e12,
        "multiply_accumulate": (energy["multiply_accumulate_joule"] or 0.0) * 1e12,
        "fetch": (energy.get("weight_fetch_joule") or 0.0) * 1e12,
        "state": (energy.get("state_access_joule") or 0.0) * 1e12,
        "update": (energy.get("neuron_update_joule") or 0.0) * 1e12,
    }
    first = f"as given: {energy['name']}" if "node" in energy else f"as in the run file: {energy['name']}"
    levels = (energy.get("weights_in"), energy.get("states_in"))

    def choice(name: str, label: str, options: list[tuple[str, str]]) -> ET.Element:
        return element("label", label, element("select", [element("option", text, value=value)
                       for value, text in options], id=name))  # fmt: skip

    def entry(name: str, label: str, value: float) -> ET.Element:
        return element("label", label, element("input", id=name, type="number", min=0, step="any",
                       value=f"{value:.6g}", data_run=f"{value:.17g}"))  # fmt: skip

    form = element(
        "form",
        element(
            "fieldset",
            element("legend", "What an operation costs"),
            choice("node", "Process node", [("run", first), *((node, node) for node
                   in nodes), ("own", "values of your own")]),
            choice("format", "Numbers", [(name, name) for name in formats]),
            entry("accumulate", "Accumulate (AC), pJ", own["accumulate"]),
            entry("multiply_accumulate", "Multiply-accumulate (MAC), pJ", own["multiply_accumulate"]),
            entry("fetch", "Fetch of a weight, pJ", own["fetch"]),
            entry("state", "Read or write of a state, pJ", own["state"]),
            entry("update", "Update of a neuron, pJ", own["update"]),
            element("button", "As given" if "node" in energy else "As in the run file", type="reset"),
        ),
        element("output", id="energy-summary", aria_live="polite"),
        id="energy-form",
        hidden=True,
    )  # fmt: skip
    cells = [
        [f"{row['node']}, {row['format']}", f"{row['accumulate']:g}", f"{row['multiply_accumulate']:g}", row["source"]]
        for row in rows
    ]
    mine = [
        f"given: {energy['name']}" if "node" in energy else f"run file: {energy['name']}",
        f"{own['accumulate']:g}",
        f"{own['multiply_accumulate']:g}",
        energy["source"],
    ]
    return element(
        "div",
        form,
        element("noscript", element("p", "Without scripts the energies are those of the first row.")),
        table("Assumptions, picojoules an operation", ["numbers", "AC", "MAC", "source"], [mine, *cells],
              id="assumption-table"),
        element("p", f"Weights lie in {levels[0]}, states in {levels[1]}.", class_="note") if any(levels) else None,
        element("p", _CHARGED, MEMORY_NOTE, class_="note"),
    )  # fmt: skip


def _layer_colours(count: int) -> str:
    """Classes of ordered series."""
    lines = []
    for dark, form in ((False, "{}"), (True, "@media screen and (prefers-color-scheme: dark) {{ {} }}")):
        rules = [f".layer{index} {{ --c: {colour} }}" for index, colour in enumerate(ramp(count, dark=dark))]
        lines.append(form.format(" ".join(rules)))
    return "\n".join(lines) + "\n"


def _resource(name: str) -> str:
    return importlib.resources.files("spikesim.ep.reports.pages").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
