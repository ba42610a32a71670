"""Charts as PNG and SVG files for papers, drawn by matplotlib: the charts of the pages, in one width of a column.

The same report gives the same bytes with the same version of matplotlib: no dates, no random names.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.ep.reports.charts.axes import log_axis
from spikesim.ep.reports.charts.chart import Chart
from spikesim.ep.reports.charts.colours import SERIES, ramp
from spikesim.ep.reports.charts.figures import draw_filters, draw_histograms, draw_matrix, draw_raster, literal
from spikesim.ep.reports.charts.filters import Filters
from spikesim.ep.reports.charts.histograms import Histograms
from spikesim.ep.reports.charts.matrix import Matrix
from spikesim.ep.reports.charts.raster import Raster
from spikesim.ep.reports.charts.svg import tick_texts
from spikesim.errors import InputError

__all__ = ["Picture", "draw_files", "plot_paths", "require_matplotlib"]

Picture = Chart | Raster | Matrix | Filters | Histograms

MARKERS = "osD^vP"
LINES = ("-", "--", ":", "-.")
SUFFIXES = (".png", ".svg")
SIZE = (4.8, 3.0)
"""Inches."""

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "spikesim",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.88",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
}


def require_matplotlib() -> None:
    """Refuse to draw without matplotlib, before any work.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(
            "--plot needs matplotlib, which is not installed; pip install 'spikesim[plot]' brings it"
        ) from None


def plot_paths(folder: Path, pictures: Sequence[Picture]) -> list[Path]:
    """The files that `draw_files` makes: ``<name of the picture>.png`` and ``.svg``."""
    return [folder / f"{picture.name}{suffix}" for picture in pictures for suffix in SUFFIXES]


def draw_files(folder: Path, pictures: Sequence[Picture]) -> dict[Path, bytes]:
    """Pictures as files to be written, by path, in the order of `plot_paths`.

    Parameters
    ----------
    folder : Path
        Where they are to be.
    pictures : sequence of Chart, Raster, Matrix, Filters or Histograms
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn: list[bytes] = []
    with matplotlib.rc_context(_STYLE):
        for picture in pictures:
            figure = Figure(figsize=SIZE, layout="constrained")
            _draw(figure, picture)
            drawn += [_bytes(figure, suffix) for suffix in SUFFIXES]
    return dict(zip(plot_paths(folder, pictures), drawn, strict=True))


def _draw(figure: Any, picture: Picture) -> None:
    if isinstance(picture, Chart):
        _draw_chart(figure.subplots(), picture)
    elif isinstance(picture, Raster):
        draw_raster(figure, picture)
    elif isinstance(picture, Matrix):
        draw_matrix(figure, picture)
    elif isinstance(picture, Filters):
        draw_filters(figure, picture)
    else:
        draw_histograms(figure, picture)


def _bytes(figure: Any, suffix: str) -> bytes:
    stream = io.BytesIO()
    metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
    figure.savefig(stream, format=suffix[1:], dpi=200, metadata=metadata)
    return stream.getvalue()


def _draw_chart(axes: Any, chart: Chart) -> None:
    scale = 100.0 if chart.share else 1.0
    ordered = ramp(len(chart.series))
    for index, own in enumerate(chart.series):
        if not any(map(chart.drawable, own.y)):
            continue
        values = [scale * value if value is not None and chart.drawable(value) else np.nan for value in own.y]
        colour = ordered[index] if chart.ordered else SERIES[index % len(SERIES)]
        aside = (index - (len(chart.series) - 1) / 2) * 0.08 if chart.dots else 0.0
        axes.plot(
            [x + aside for x in own.x],
            values,
            color=colour,
            linestyle="none" if chart.dots else LINES[index % len(LINES)],
            marker=MARKERS[index % len(MARKERS)] if len(values) <= 60 else None,
            label=literal(own.name),
        )
        if band := own.band():
            x, low, high = zip(*band, strict=True)
            edges = [[scale * value if chart.drawable(value) else np.nan for value in edge] for edge in (low, high)]
            axes.fill_between(x, *edges, color=colour, alpha=0.18, linewidth=0)
    if chart.log:
        _set_log_axis(axes, chart)
    if chart.categories:
        long = sum(map(len, chart.categories)) > 50
        axes.set_xticks(range(len(chart.categories)), list(map(literal, chart.categories)), rotation=45 if long else 0)
    elif len(chart.positions) == 1:
        axes.set_xticks(chart.positions, [f"{chart.positions[0]:g}"])
    elif all(float(x).is_integer() for x in chart.positions):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if chart.dots and not chart.log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_title(literal(chart.title), fontsize="medium", loc="left")
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if len(chart.series) > 1:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _set_log_axis(axes: Any, chart: Chart) -> None:
    """A logarithmic axis with the ticks of the page: matplotlib's own has one label where values span one decade."""
    values = [value for own in chart.series for value in own.y if value is not None and chart.drawable(value)]
    axis, scale = log_axis(values), 100.0 if chart.share else 1.0
    axes.set_yscale("log", nonpositive="mask")
    axes.minorticks_off()
    axes.set_yticks([scale * tick for tick in axis.ticks], tick_texts(chart, axis.ticks))
    axes.set_ylim(scale * 10.0**axis.low, scale * 10.0**axis.high)
