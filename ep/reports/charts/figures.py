"""What is no chart, drawn by matplotlib: rasters, the confusion matrix, filters, histograms."""

import textwrap
from typing import Any

import numpy as np

from spikesim.ep.reports.charts.colours import SERIES, diverging, ramp
from spikesim.ep.reports.charts.filters import Filters
from spikesim.ep.reports.charts.histograms import Histograms
from spikesim.ep.reports.charts.matrix import COUNTS_MAX, DARK, Matrix
from spikesim.ep.reports.charts.pixels import sample_pixels
from spikesim.ep.reports.charts.raster import SPIKES_LABEL, Raster, SampleRaster
from spikesim.runtime.printable import printable

__all__ = ["draw_filters", "draw_histograms", "draw_matrix", "draw_raster", "literal"]

ACROSS = 3
"""Histograms in a row."""
FACT_WIDTH, FACT_LINES = 18, 14
"""Characters of a line beside a raster, and lines of one fact."""
_BARE: dict[str, Any] = {"xticks": [], "yticks": []}


def literal(text: str) -> str:
    """Text that matplotlib takes as it is: no formulas, and labels that begin with an underscore are shown."""
    escaped = printable(text).replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped


def draw_raster(figure: Any, raster: Raster) -> None:
    """A band for each layer or population, and beside them a sample, its class and the answer."""
    count = len(raster.layers)
    known = isinstance(raster, SampleRaster) and (raster.image is not None or bool(raster.facts))
    band = 0.36 if raster.ordered else min(1.6, max(0.36, 0.014 * max(map(len, raster.shown))))
    figure.set_size_inches(6.4, max(3.0, 0.9 + band * count))
    grid = figure.add_gridspec(count, 2, width_ratios=(0.22 if known else 1e-3, 1))
    if isinstance(raster, SampleRaster) and known:
        _draw_sample(figure.add_subplot(grid[:, 0]), raster)
    colours = ramp(count) if raster.ordered else [SERIES[place % len(SERIES)] for place in range(count)]
    lowest = None
    for layer in range(count):
        axes = lowest = figure.add_subplot(grid[count - 1 - layer, 1], sharex=lowest)
        shown, spikes = raster.shown[layer], raster.spikes[layer]
        spikes = spikes[np.isin(spikes[:, 1], shown)]
        rows = np.searchsorted(shown, spikes[:, 1])
        at = (raster.first + spikes[:, 0]) * raster.unit
        mark = {"marker": "|", "s": 3} if raster.upright else {"marker": "_", "s": 4}
        axes.scatter(at, rows, linewidths=0.8, color=colours[layer], **mark)
        axes.set_ylim(-1, len(shown))
        axes.set_yticks(list(raster.ticks(layer)), [f"{neuron}" for neuron in raster.ticks(layer).values()], fontsize=6)
        axes.grid(False)
        axes.tick_params(labelbottom=layer == 0, bottom=layer == 0)
        told = f"{literal(raster.layers[layer].name)}\n{raster.drawn(layer)}"
        axes.annotate(told, (1.01, 0.5), xycoords="axes fraction", va="center", fontsize=6)
        if layer == 0:
            axes.set_xlabel(raster.x_label)
            axes.set_xlim((raster.first - 0.5) * raster.unit, (raster.first + raster.steps - 0.5) * raster.unit)
            axes.xaxis.get_major_locator().set_params(integer=raster.unit == 1)
    figure.suptitle(literal(raster.title), fontsize="medium")
    top = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "right", "fontsize": 6}
    axes.annotate(SPIKES_LABEL, (0.0, 1.0), (-4, 5), **top)


def _draw_sample(axes: Any, raster: SampleRaster) -> None:
    if raster.image is not None:
        axes.imshow(sample_pixels(raster.image), interpolation="nearest")
    axes.set(**_BARE)
    axes.set_frame_on(raster.image is not None)
    axes.grid(False)
    axes.set_anchor("N")
    lines = []
    for fact in raster.facts:
        what, _, known = literal(fact).partition(": ")
        lines += [f"{what}:", *textwrap.wrap(known, FACT_WIDTH, max_lines=FACT_LINES, placeholder=" ...")]
    if raster.image is not None:
        axes.set_xlabel("\n".join(lines), fontsize=7)
    else:
        axes.text(0.5, 1.0, "\n".join(lines), fontsize=7, ha="center", va="top", transform=axes.transAxes)


def draw_matrix(figure: Any, matrix: Matrix) -> None:
    """True classes from top to bottom, the darker the larger their share."""
    classes = len(matrix.names)
    figure.set_size_inches(5.2, 4.4)
    axes = figure.subplots()
    shares = np.array([[matrix.share(true, predicted) for predicted in range(classes)] for true in range(classes)])
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, interpolation="nearest")
    if classes <= COUNTS_MAX:
        for (true, predicted), share in np.ndenumerate(shares):
            count = matrix.counts[true][predicted]
            colour = "white" if share > DARK else "black"
            axes.text(predicted, true, f"{count}" if count else "", ha="center", va="center", color=colour, fontsize=6)
    size = 8 if len(matrix.ticks) <= 10 else 6
    axes.set_xticks(matrix.ticks, [f"{label}" for label in matrix.ticks], fontsize=size)
    axes.set_yticks(matrix.ticks, [literal(matrix.called(label)) for label in matrix.ticks], fontsize=size)
    axes.grid(False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(literal(matrix.title), fontsize="medium", loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the true class (%)")


def draw_filters(figure: Any, filters: Filters) -> None:
    """Filters row by row, with the scale of their weights."""
    count = len(filters.weights)
    rows, columns = filters.tile(0).shape[:2]
    across = max(1, round((1.6 * count * rows / columns) ** 0.5))
    down = -(-count // across)
    figure.set_size_inches(4.8, 0.6 + 3.5 * down * rows / (across * columns))
    grid = figure.subplots(down, across, squeeze=False, gridspec_kw={"wspace": 0.08, "hspace": 0.08})
    for index, axes in enumerate(grid.ravel()):
        axes.set(**_BARE)
        if index < count:
            axes.imshow(filters.tile(index), interpolation="nearest")
        axes.grid(False)
        axes.set_frame_on(False)
    if not filters.coloured:
        _draw_scale(figure, grid, filters.largest)
    what = f"{filters.title} (RGB, grey is 0, full colour {filters.largest:.3g})" if filters.coloured else filters.title
    figure.suptitle(literal(what), fontsize="medium")


def _draw_scale(figure: Any, grid: Any, largest: float) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = ListedColormap(diverging(np.linspace(-1, 1, 101)) / 255)
    bar = figure.colorbar(ScalarMappable(Normalize(-largest, largest), colours), ax=grid, shrink=0.8)
    bar.set_label("weight (no unit)")


def draw_histograms(figure: Any, histograms: Histograms) -> None:
    """A panel for each layer with axes of its own."""
    panels = histograms.panels
    down = -(-len(panels) // ACROSS)
    figure.set_size_inches(6.4, 0.6 + 1.5 * down)
    grid = figure.subplots(down, ACROSS, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for axes, panel, colour in zip(grid, panels, ramp(len(panels)), strict=False):
        edges = np.linspace(-panel.largest, panel.largest, len(panel.shares) + 1)
        axes.set_axisbelow(True)
        axes.stairs(100 * np.array(panel.shares), edges, fill=True, color=colour)
        axes.set_xticks([-panel.largest, 0, panel.largest], [f"{-panel.largest:.2g}", "0", f"{panel.largest:.2g}"])
        axes.set_title(f"{literal(panel.name)}\n{panel.note}", fontsize=6.5, loc="left")
    figure.supxlabel(histograms.x_label, fontsize=8)
    figure.supylabel(histograms.y_label, fontsize=8)
    figure.suptitle(literal(histograms.title), fontsize="medium")
