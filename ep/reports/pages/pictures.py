"""Sections of the page of a run that are no charts of numbers: classes, weights, recorded spikes."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from spikesim.ep.reports.charts.filters import draw_filters
from spikesim.ep.reports.charts.histograms import draw_histograms
from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.charts.matrix import COUNTS_MAX, Matrix, draw_matrix
from spikesim.ep.reports.charts.pictures import RunPictures
from spikesim.ep.reports.charts.pixels import draw_pixels, sample_pixels
from spikesim.ep.reports.charts.raster import Raster, SampleRaster
from spikesim.ep.reports.charts.raster_svg import draw_raster
from spikesim.ep.reports.pages.shell import section
from spikesim.runtime.text import counted, percent, scientific

__all__ = ["classes_section", "raster_figure", "spikes_section", "weights_section"]

TABLE_MAX = 100
"""With more classes the matrix has no table, which would have tens of thousands of cells."""
PICTURE = 140.0
"""Side of the picture of a sample."""


def classes_section(document: Mapping[str, Any], matrix: Matrix | None) -> ET.Element | None:
    """Accuracy by class and the confusion matrix of the last test."""
    if matrix is None:
        return None
    classes = document["confusion"]["classes"]

    def cell(index: int, key: str, text: str) -> Child:
        return number(classes[index][key], text, data_from=f"confusion.classes.{index}.{key}")

    rows = [
        [
            matrix.called(index),
            cell(index, "samples", str(own["samples"])),
            cell(index, "predicted", str(own["predicted"])),
            cell(index, "recall", percent(own["recall"])),
            cell(index, "precision", percent(own["precision"])),
        ]
        for index, own in enumerate(classes)
    ]
    headings = ["class", "samples", "predicted", "recall", "precision"]
    counts: list[list[Child]] = [
        [matrix.called(index), *map(str, row)] for index, row in enumerate(matrix.counts) if len(classes) <= TABLE_MAX
    ]
    numbered = ["true class", *(str(index) for index in range(len(classes)))]
    drawn = _figure(
        "confusion",
        matrix.title,
        "The darker a cell, the larger the share of its true class. The diagonal is right.",
        draw_matrix(matrix),
        table(f"{matrix.title}: samples by true (rows) and predicted class (columns)", numbered, counts)
        if counts
        else None,
    )
    title = f"Accuracy by class, {document['tested_on']} after epoch {document['confusion']['epoch']}"
    note = "Recall: the share of a class that is recognized, its accuracy. Precision: of what is taken for the class, "
    told = [
        table(title, headings, rows, id="class-table"),
        element("p", f"{note}the share that is.", class_="note"),
    ]
    by_class = (
        element("div", told, class_="beside")
        if len(classes) <= COUNTS_MAX
        else element("details", element("summary", "Accuracy by class"), told)
    )
    return section("classes", "Classes", element("div", drawn, by_class, class_="charts"))


def weights_section(document: Mapping[str, Any], pictures: RunPictures) -> ET.Element | None:
    """Filters of the first layer, and histograms by layer."""
    figures = []
    if pictures.filters is not None:
        filters = pictures.filters
        rows: list[list[Child]] = [
            [str(index), *(number(float(value), f"{value:.3g}") for value in (own.min(), own.mean(), own.max()))]
            for index, own in enumerate(filters.weights)
        ]
        headings = ["filter", "smallest weight", "mean", "largest"]
        drawn = draw_filters(filters)
        figures.append(_figure("filters", filters.title, filters.note, drawn, table(filters.title, headings, rows)))
    if pictures.histograms is not None:
        rows = [
            [
                own["layer"],
                number(own["weights"], str(own["weights"]), data_from=f"weight_histograms.{index}.weights"),
                number(own["deviation"], scientific(own["deviation"])),
                number(own["largest"], scientific(own["largest"])),
            ]
            for index, own in enumerate(document["weight_histograms"])
        ]
        headings = ["layer", "weights", "standard deviation", "largest absolute value"]
        title = pictures.histograms.title
        drawn = draw_histograms(pictures.histograms)
        note = "Each layer has axes of its own. Biases are left out."
        figures.append(_figure("weights", title, note, drawn, table(title, headings, rows)))
    return section("weights", "Weights", element("div", figures, class_="charts")) if figures else None


def spikes_section(rasters: Sequence[SampleRaster]) -> ET.Element | None:
    """Rasters, with the sample, its class and the answer beside each."""
    if not rasters:
        return None
    figures = [
        raster_figure(raster, f"Sample {raster.sample}", _RASTER_NOTE, "layer", _sample(raster)) for raster in rasters
    ]
    recorded, drawn = rasters[0].recorded, len(rasters)
    note = f"{drawn} of {counted(recorded, 'recorded sample')}, {rasters[0].where}. "
    return section(
        "spikes",
        "Recorded spikes",
        element("p", note, _CHOOSE if drawn < recorded else "", class_="note"),
        element("div", figures, class_="charts"),
    )


_CHOOSE = "'spikesim report --samples' chooses others, --neurons the neurons."
_RASTER_NOTE = "A tick is a spike. The lowest band is nearest to the input."


def raster_figure(raster: Raster, title: str, note: str, kind: str, beside: ET.Element | None = None) -> ET.Element:
    """A raster with its title, a sentence on how to read it, and a table of its bands.

    Parameters
    ----------
    raster : Raster
    title, note : str
    kind : str
        What a band is: ``"layer"`` or ``"population"``.
    beside : Element or None
        What stands at its left.
    """
    rows: list[list[Child]] = [
        [
            layer.name,
            str(layer.neurons),
            str(len(raster.shown[index])),
            number(len(raster.spikes[index]), str(len(raster.spikes[index]))),
        ]
        for index, layer in enumerate(raster.layers)
    ]
    headings = [kind, "neurons", "neurons drawn", "spikes"]
    return _figure(
        raster.name,
        title,
        note,
        element("div", beside, draw_raster(raster), class_="sampled"),
        table(f"{raster.title}", headings, rows),
    )


def _sample(raster: SampleRaster) -> ET.Element | None:
    """The sample and what it is."""
    picture = None
    if raster.image is not None:
        pixels = sample_pixels(raster.image)
        rows, columns = pixels.shape[:2]
        size = PICTURE / max(rows, columns)
        box = f"0 0 {columns * size:g} {rows * size:g}"
        picture = element("svg", draw_pixels(pixels, size), viewBox=box, role="img", aria_label="The sample")
    facts = [element("p", fact) for fact in raster.facts]
    return element("div", picture, facts, class_="sample") if picture is not None or facts else None


def _figure(name: str, title: str, note: str, drawn: ET.Element, behind: ET.Element | None) -> ET.Element:
    caption = element("figcaption", element("h3", title), element("p", note))
    details = element("details", element("summary", "Table of this chart"), behind) if behind is not None else None
    return element("figure", caption, drawn, details, id=name if name.startswith("raster") else f"chart-{name}")
