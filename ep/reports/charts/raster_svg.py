"""Rasters as SVG inside a page."""

import xml.etree.ElementTree as ET

from spikesim.ep.reports.charts.axes import linear_axis
from spikesim.ep.reports.charts.markup import element
from spikesim.ep.reports.charts.raster import SPIKES_LABEL, Raster

__all__ = ["draw_raster"]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 600, 64, 136, 6, 40
ROW, DENSE_ROW, GAP, BAND_MIN = 2.6, 1.9, 10.0, 26.0


def draw_raster(raster: Raster) -> ET.Element:
    """A raster as ``svg``: a band for each layer or population, the first one lowest, a tick for each spike."""
    height_of = ROW if raster.ordered else DENSE_ROW
    bands = [max(len(shown) * height_of, BAND_MIN) for shown in raster.shown]
    height = TOP + sum(bands) + GAP * (len(bands) - 1)
    plot = WIDTH - LEFT - RIGHT
    width = plot / raster.steps
    drawn: list[ET.Element] = []
    bottom = height
    for layer, band in enumerate(bands):
        shown = raster.shown[layer]
        row = band / len(shown)
        rows = {neuron: place for place, neuron in enumerate(shown.tolist())}
        before, dash = (0.5, f"v{-0.8 * row:.1f}") if raster.upright else (0.1, f"h{0.8 * width:.1f}")
        above = 0.1 if raster.upright else 0.5
        steps = [
            f"M{LEFT + (step + before) * width:.1f} {bottom - row * (rows[neuron] + above):.1f}{dash}"
            for step, neuron in raster.spikes[layer].tolist()
            if neuron in rows
        ]
        name = raster.layers[layer].name
        told = f"{name}: {raster.drawn(layer)}, {len(steps)} of their spikes"
        at = {"x": LEFT + plot + 10, "y": f"{bottom - band / 2 - 1:.1f}"}
        ticks = [
            element(
                "text", f"{neuron}", x=LEFT - 5, y=f"{bottom - row * (line + 0.5) + 4:.1f}", class_="tick end small"
            )
            for line, neuron in raster.ticks(layer).items()
        ]
        place = {"data_top": f"{bottom - band:.1f}", "data_bottom": f"{bottom:.1f}"}
        drawn.append(
            element(
                "g",
                element("path", d=f"M{LEFT} {bottom - band:.1f}h{plot}v{band:.1f}h{-plot}z", class_="band"),
                element("path", d="".join(steps), class_="spikes upright" if raster.upright else "spikes"),
                element("text", name, **at, class_="name"),
                element("text", raster.drawn(layer), x=at["x"], y=f"{bottom - band / 2 + 12:.1f}", class_="tick small"),
                ticks,
                class_=f"layer{layer}" if raster.ordered else f"kind{layer % 8}",
                aria_label=told,
                data_layer=name,
                data_neurons=" ".join(map(str, shown.tolist())),
                **place,
            )
        )
        bottom -= band + GAP
    ends = [float(raster.first) * raster.unit, float(raster.first + max(raster.steps - 1, 1)) * raster.unit]
    for tick in (
        own for own in linear_axis(ends, integers=raster.unit == 1, count=8).ticks if ends[0] <= own <= ends[1]
    ):
        at_step = tick / raster.unit - raster.first
        where = {"x": f"{LEFT + (at_step + 0.5) * width:.1f}", "y": f"{height + 17:.1f}", "class_": "tick middle"}
        drawn.append(element("text", f"{tick:g}", **where))
    words = {"x": LEFT + plot / 2, "y": f"{height + BOTTOM - 6:.1f}", "class_": "label middle"}
    drawn.append(element("text", raster.x_label, **words))
    beside = {"transform": f"translate(12 {height / 2:.1f}) rotate(-90)", "class_": "label middle"}
    drawn.append(element("text", SPIKES_LABEL, **beside))
    return element(
        "svg",
        drawn,
        viewBox=f"0 0 {WIDTH} {height + BOTTOM:.1f}",
        role="img",
        aria_label=f"{raster.title}, by layer",
        class_="chart raster",
        data_hover="raster",
        data_left=LEFT,
        data_right=LEFT + plot,
        data_step=f"{width:.4f}",
        data_first=raster.first,
    )
