"""Rasters as SVG inside a page."""

import xml.etree.ElementTree as ET

from spikesim.ep.reports.charts.axes import linear_axis
from spikesim.ep.reports.charts.markup import element
from spikesim.ep.reports.charts.raster import SPIKES_LABEL, STEP_LABEL, Raster

__all__ = ["draw_raster"]

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 600, 64, 136, 6, 40
ROW, GAP, BAND_MIN = 2.6, 10.0, 26.0


def draw_raster(raster: Raster) -> ET.Element:
    """A raster as ``svg``: a band for each layer, the lowest nearest to the input, a tick for each spike."""
    bands = [max(len(shown) * ROW, BAND_MIN) for shown in raster.shown]
    height = TOP + sum(bands) + GAP * (len(bands) - 1)
    plot = WIDTH - LEFT - RIGHT
    width = plot / raster.steps
    drawn: list[ET.Element] = []
    bottom = height
    for layer, band in enumerate(bands):
        shown = raster.shown[layer]
        row = band / len(shown)
        rows = {neuron: place for place, neuron in enumerate(shown.tolist())}
        steps = [
            f"M{LEFT + (step + 0.1) * width:.1f} {bottom - row * (rows[neuron] + 0.5):.1f}h{0.8 * width:.1f}"
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
                element("path", d="".join(steps), class_="spikes"),
                element("text", name, **at, class_="name"),
                element("text", raster.drawn(layer), x=at["x"], y=f"{bottom - band / 2 + 12:.1f}", class_="tick small"),
                ticks,
                class_=f"layer{layer}",
                aria_label=told,
                data_layer=name,
                data_neurons=" ".join(map(str, shown.tolist())),
                **place,
            )
        )
        bottom -= band + GAP
    for tick in linear_axis([0.0, float(max(raster.steps - 1, 1))], integers=True, count=8).ticks:
        where = {"x": f"{LEFT + (tick + 0.5) * width:.1f}", "y": f"{height + 17:.1f}", "class_": "tick middle"}
        drawn.append(element("text", f"{tick:g}", **where))
    words = {"x": LEFT + plot / 2, "y": f"{height + BOTTOM - 6:.1f}", "class_": "label middle"}
    drawn.append(element("text", STEP_LABEL, **words))
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
    )
