"""The page that shows which tokens fired the neurons that decided: ``spikesim predict --explain --out FILE.html``."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from typing import Any

from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.pages.shell import make_page, section
from spikesim.runtime.text import counted

__all__ = ["words_page"]

LABELS, BARS, VALUES, LINE = 150.0, 420.0, 70.0, 20.0
"""Widths of the words, the bars and the numbers, and the height of a token."""
LETTERS = 22
_NOTE = (
    "To the right, what speaks for the class, in logits. Words in brackets are not in the vocabulary. 'No token': what "
    "neurons contributed that no token excited."
)
_LEAD = (
    "The evidence is the logit of the class less the mean over all classes, without the biases of the read-out. "
    "It is shared out over the tokens by the mean firing probabilities of the neurons: the part of each neuron "
    "goes to those below that fired it, in proportion to their excitatory drive. Contributions add up to the evidence."
)


def words_page(document: Mapping[str, Any]) -> bytes:
    """Texts with a bar for each of their tokens.

    Parameters
    ----------
    document : dict
        ``run``, its path, and ``texts``: of each ``text``, ``class``, and what `Explanation.to_dict` gives.

    Returns
    -------
    bytes
        HTML in UTF-8, which needs nothing else.
    """
    texts = document["texts"]
    sections = [
        section(
            f"text{at}",
            f"{at + 1}: {own['class']}, {own['probability']:.1%}",
            element("div", _figure(at, own), class_="charts"),
        )
        for at, own in enumerate(texts)
    ]
    lead: list[Child] = [element("p", f"{document['run']}, {counted(len(texts), 'text')}."), element("p", _LEAD)]
    return make_page("Which tokens decided", lead, sections, document, layers=1)


def _figure(at: int, own: Mapping[str, Any]) -> ET.Element:
    rows = [(row["token"] if row["known"] else f"({row['token']})", row["contribution"]) for row in own["tokens"]]
    rows.append(("no token", own["unassigned"]))
    title = f"Evidence for {own['class']}: {own['evidence']:+.3f}"
    cells: list[list[Child]] = [[word, number(value, f"{value:+.4f}")] for word, value in rows]
    return element(
        "figure",
        element("figcaption", element("h3", title), element("p", own["text"]), element("p", _NOTE)),
        _bars(rows, f"Contribution of each token to the evidence for {own['class']}"),
        element("details", element("summary", "Table of this chart"), table(title, ["token", "contribution"], cells)),
        id=f"chart-text{at}",
    )


def _bars(rows: list[tuple[str, float]], label: str) -> ET.Element:
    """A bar a row, from the axis at zero to the right or to the left."""
    values = [0.0, *(value for _, value in rows)]
    scale = BARS / ((max(values) - min(values)) or 1.0)
    zero, height = LABELS + 10 - min(values) * scale, LINE * len(rows)
    drawn = []
    for line, (word, value) in enumerate(rows):
        y, size = line * LINE, abs(value) * scale
        middle = f"{y + 14:g}"
        shown = word if len(word) <= LETTERS else f"{word[: LETTERS - 1]}…"
        drawn += [
            element("text", shown, x=LABELS, y=middle, class_="end"),
            element(
                "rect",
                element("title", f"{word}: {value:+.4f}"),
                x=f"{min(zero, zero + value * scale):.1f}",
                y=f"{y + 3:g}",
                width=f"{size:.1f}",
                height=LINE - 6,
                class_=f"mark kind{0 if value >= 0 else 1}",
            ),
            element("text", f"{value:+.3f}", x=LABELS + BARS + VALUES, y=middle, class_="tick end"),
        ]
    axis = element("line", x1=f"{zero:.1f}", x2=f"{zero:.1f}", y1=0, y2=height, class_="axis")
    box = f"0 0 {LABELS + BARS + VALUES + 5:g} {height:g}"
    return element("svg", drawn, axis, viewBox=box, role="img", aria_label=label, class_="chart")
