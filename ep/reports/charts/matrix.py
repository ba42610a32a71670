"""A confusion matrix as a picture."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.ep.reports.charts.markup import element
from spikesim.runtime.text import percent

__all__ = ["COUNTS_MAX", "Matrix", "draw_matrix", "run_matrix"]

COUNTS_MAX = 20
"""With more classes the cells have no numbers."""
SHADES = 20
SIDE, ABOVE, BELOW, NAME_MAX, CHARACTER = 380.0, 6.0, 42.0, 18, 7.2
DARK = 0.55
"""Share from which on a cell is so dark that its number is light."""


@dataclass(frozen=True)
class Matrix:
    """Samples by true and predicted class.

    Attributes
    ----------
    title : str
    names : list of str
        Of the classes, in the order of the labels.
    counts : list of list of int
        A row for each true class.
    """

    title: str
    names: list[str]
    counts: list[list[int]]
    name: str = "confusion"

    def share(self, true: int, predicted: int) -> float:
        """Share of the samples of a class that are taken for another, or for what they are."""
        return self.counts[true][predicted] / max(sum(self.counts[true]), 1)

    @property
    def ticks(self) -> list[int]:
        """Classes whose numbers stand at the axes."""
        return list(range(0, len(self.names), -(-len(self.names) // COUNTS_MAX)))

    def called(self, label: int) -> str:
        """A class by its number, and by its name if it has one."""
        name = self.names[label]
        short = name if len(name) <= NAME_MAX else name[: NAME_MAX - 1] + "\u2026"
        return f"{label}" if name == f"{label}" else f"{label} {short}"


def run_matrix(document: Mapping[str, Any]) -> Matrix | None:
    """That of the last test of a run; None where its file does not have it.

    Parameters
    ----------
    document : dict
        What `report_document` gives.
    """
    found = document["confusion"]
    if found is None:
        return None
    title = f"Confusion matrix, {document['tested_on']} after epoch {found['epoch']}"
    return Matrix(title, [own["name"] for own in found["classes"]], found["matrix"])


def draw_matrix(matrix: Matrix) -> ET.Element:
    """A matrix as ``svg``, true classes from top to bottom, the darker the larger their share."""
    classes, names = len(matrix.names), [matrix.called(label) for label in matrix.ticks]
    left = 30 + CHARACTER * max(map(len, names))
    cell = SIDE / classes
    shades: dict[int, list[str]] = {}
    numbers = []
    for true, row in enumerate(matrix.counts):
        for predicted, count in enumerate(row):
            if not count:
                continue
            share = matrix.share(true, predicted)
            shades.setdefault(max(1, round(SHADES * share)), []).append(f"M{predicted} {true}h1v1h-1z")
            if classes <= COUNTS_MAX:
                place = {"x": f"{left + (predicted + 0.5) * cell:.1f}", "y": f"{(true + 0.5) * cell + 4:.1f}"}
                numbers.append(element("text", f"{count}", **place, class_="over" if share > DARK else "middle"))
    cells = [element("path", d="".join(d), fill_opacity=f"{shade / SHADES:g}") for shade, d in sorted(shades.items())]
    marks = []
    for label, name in zip(matrix.ticks, names, strict=True):
        marks.append(element("text", name, x=f"{left - 8:.1f}", y=f"{(label + 0.5) * cell + 4:.1f}", class_="tick end"))
        below = {"x": f"{left + (label + 0.5) * cell:.1f}", "y": f"{SIDE + 16:.1f}"}
        marks.append(element("text", f"{label}", **below, class_="tick middle"))
    return element(
        "svg",
        element("path", d=f"M{left:.1f} 0h{SIDE:g}v{SIDE:g}h-{SIDE:g}z", class_="band"),
        element("g", cells, transform=f"translate({left:.1f} 0) scale({cell:.4f})", class_="cells"),
        numbers,
        element("path", d=f"M{left:.1f} 0h{SIDE:g}v{SIDE:g}h-{SIDE:g}z", class_="axis"),
        marks,
        element("text", "predicted class", x=f"{left + SIDE / 2:.1f}", y=f"{SIDE + 36:.1f}", class_="label middle"),
        element("text", "true class", transform=f"translate(12 {SIDE / 2:g}) rotate(-90)", class_="label middle"),
        viewBox=f"0 {-ABOVE:g} {left + SIDE + 2:.1f} {ABOVE + SIDE + BELOW:g}",
        role="img",
        aria_label=f"{matrix.title}: {percent(_accuracy(matrix))} on the diagonal",
        class_="chart matrix",
        data_hover="matrix",
        data_left=f"{left:.1f}",
        data_cell=f"{cell:.4f}",
    )


def _accuracy(matrix: Matrix) -> float:
    right = sum(row[label] for label, row in enumerate(matrix.counts))
    return right / max(sum(map(sum, matrix.counts)), 1)
