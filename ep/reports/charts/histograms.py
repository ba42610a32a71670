"""Histograms of weights, a panel for each layer with axes of its own: their ranges differ by orders of magnitude."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.ep.reports.charts.markup import element
from spikesim.runtime.text import count, percent

__all__ = ["Histograms", "Panel", "draw_histograms", "run_histograms"]

WIDTH, PANEL_WIDTH, PANEL_HEIGHT, TOP, BOTTOM, LEFT = 600.0, 190.0, 130.0, 20.0, 34.0, 40.0
ACROSS = 3


@dataclass(frozen=True)
class Panel:
    """A histogram over equal intervals.

    Attributes
    ----------
    name : str
        Of the layer.
    note : str
        How many weights it has, and their standard deviation.
    largest : float
        The intervals divide the range from ``-largest`` to ``largest``.
    shares : list of float
        Shares of the intervals.
    """

    name: str
    note: str
    largest: float
    shares: list[float]

    def edges(self, index: int) -> tuple[float, float]:
        """The ends of an interval."""
        width = 2 * self.largest / len(self.shares)
        return index * width - self.largest, (index + 1) * width - self.largest


@dataclass(frozen=True)
class Histograms:
    """Panels in order."""

    title: str
    x_label: str
    y_label: str
    panels: list[Panel]
    name: str = "weights"


def run_histograms(document: Mapping[str, Any]) -> Histograms | None:
    """The weights of a run by layer; None before its first checkpoint.

    Parameters
    ----------
    document : dict
        What `report_document` gives.
    """
    panels = [
        Panel(
            own["layer"],
            f"{count(own['weights'])} weights, std {own['deviation']:.2g}",
            own["largest"],
            own["shares"],
        )
        for own in document["weight_histograms"]
    ]
    if not panels:
        return None
    return Histograms("Weights by layer as of the last checkpoint", "weight (no unit)", "weights (%)", panels)


def draw_histograms(histograms: Histograms) -> ET.Element:
    """Histograms as ``svg``, three panels in a row."""
    rows = -(-len(histograms.panels) // ACROSS)
    height = rows * (TOP + PANEL_HEIGHT + BOTTOM)
    drawn = [
        element(
            "g",
            _panel(panel),
            transform=f"translate({LEFT + index % ACROSS * PANEL_WIDTH:g} {index // ACROSS * height / rows:g})",
            class_=f"layer{index}",
        )
        for index, panel in enumerate(histograms.panels)
    ]
    below = {"x": f"{WIDTH / 2:g}", "y": f"{height + 12:g}"}
    beside = {"transform": f"translate(10 {height / 2:g}) rotate(-90)"}
    return element(
        "svg",
        drawn,
        element("text", histograms.x_label, class_="label middle", **below),
        element("text", histograms.y_label, class_="label middle", **beside),
        viewBox=f"0 0 {WIDTH:g} {height + 18:g}",
        role="img",
        aria_label=histograms.title,
        class_="chart",
    )


def _panel(panel: Panel) -> list[ET.Element]:
    width, highest = PANEL_WIDTH - 36, max(panel.shares)
    step, bottom = width / len(panel.shares), TOP + PANEL_HEIGHT
    drawn = [element("text", f"{panel.name}: {panel.note}", x="0", y=f"{TOP - 6:g}", class_="name small")]
    for index, share in enumerate(panel.shares):
        if share:
            low, high = panel.edges(index)
            told = f"{panel.name}, weights from {low:.3g} to {high:.3g}: {percent(share)}"
            tall = PANEL_HEIGHT * share / highest
            place = {"x": f"{index * step:.2f}", "y": f"{bottom - tall:.2f}"}
            bar = element("rect", element("title", told), width=f"{step:.2f}", height=f"{tall:.2f}", **place)
            drawn.append(element("g", bar, class_="mark"))
    drawn.append(element("path", d=f"M0 {TOP:g}V{bottom:g}H{width:g}", class_="axis"))
    for text, along in ((f"{-panel.largest:.2g}", 0.0), ("0", width / 2), (f"{panel.largest:.2g}", width)):
        drawn.append(element("text", text, x=f"{along:g}", y=f"{bottom + 14:g}", class_="tick middle"))
    for text, height in (("0", bottom), (f"{100 * highest:.3g}", TOP + 8)):
        drawn.append(element("text", text, x="-4", y=f"{height:g}", class_="tick end"))
    return drawn
