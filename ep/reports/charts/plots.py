"""Charts as PNG and SVG files for papers, drawn by matplotlib: the charts of the pages, in one width of a column.

The same report gives the same bytes with the same version of matplotlib: no dates, no random names.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikesim.ep.reports.charts.chart import Chart
from spikesim.ep.reports.charts.raster import Raster
from spikesim.errors import InputError
from spikesim.runtime.printable import printable

__all__ = ["draw_files", "plot_paths", "require_matplotlib"]

COLOURS = ("#0b65a8", "#c04a00", "#00704f", "#a1326f", "#7a5b00", "#4b4fc4", "#444c56", "#a52a2a")
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


def plot_paths(folder: Path, charts: Sequence[Chart], rasters: Sequence[Raster] = ()) -> list[Path]:
    """The files that `draw_files` makes: ``<name of the chart>.png`` and ``.svg``, ``raster-<sample>`` for spikes."""
    names = [*(chart.name for chart in charts), *(f"raster-{raster.sample}" for raster in rasters)]
    return [folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES]


def draw_files(folder: Path, charts: Sequence[Chart], rasters: Sequence[Raster] = ()) -> dict[Path, bytes]:
    """Charts and rasters as files to be written, by path, in the order of `plot_paths`.

    Parameters
    ----------
    folder : Path
        Where they are to be.
    charts : sequence of Chart
        The charts.
    rasters : sequence of Raster
        Recorded spikes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    pictures: list[bytes] = []
    with matplotlib.rc_context(_STYLE):
        for chart in charts:
            figure = Figure(figsize=SIZE, layout="constrained")
            _draw_chart(figure.subplots(), chart)
            pictures += [_bytes(figure, suffix) for suffix in SUFFIXES]
        for raster in rasters:
            figure = Figure(figsize=SIZE, layout="constrained")
            _draw_raster(figure, raster)
            pictures += [_bytes(figure, suffix) for suffix in SUFFIXES]
    return dict(zip(plot_paths(folder, charts, rasters), pictures, strict=True))


def _bytes(figure: Any, suffix: str) -> bytes:
    stream = io.BytesIO()
    metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
    figure.savefig(stream, format=suffix[1:], dpi=200, metadata=metadata)
    return stream.getvalue()


def _draw_chart(axes: Any, chart: Chart) -> None:
    scale = 100.0 if chart.share else 1.0
    ordered = _ramp(len(chart.series))
    for index, own in enumerate(chart.series):
        values = [scale * value if value is not None and chart.drawable(value) else np.nan for value in own.y]
        colour = ordered[index] if chart.ordered else COLOURS[index % len(COLOURS)]
        aside = (index - (len(chart.series) - 1) / 2) * 0.08 if chart.dots else 0.0
        axes.plot(
            [x + aside for x in own.x],
            values,
            color=colour,
            linestyle="none" if chart.dots else "-" if chart.ordered else LINES[index % len(LINES)],
            marker=MARKERS[index % len(MARKERS)] if len(values) <= 60 else None,
            label=_literal(own.name),
        )
        if band := own.band():
            x, low, high = zip(*band, strict=True)
            edges = [[scale * value if chart.drawable(value) else np.nan for value in edge] for edge in (low, high)]
            axes.fill_between(x, *edges, color=colour, alpha=0.18, linewidth=0)
    if chart.log:
        axes.set_yscale("log", nonpositive="mask")
    if chart.categories:
        long = sum(map(len, chart.categories)) > 50
        axes.set_xticks(range(len(chart.categories)), list(map(_literal, chart.categories)), rotation=45 if long else 0)
    elif all(float(x).is_integer() for own in chart.series for x in own.x):
        axes.xaxis.get_major_locator().set_params(integer=True)
    if chart.dots and not chart.log:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_title(_literal(chart.title), fontsize="medium", loc="left")
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if len(chart.series) > 1:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_raster(figure: Any, raster: Raster) -> None:
    bands = figure.subplots(len(raster.layers), 1, sharex=True, squeeze=False)[::-1, 0]
    for layer, (axes, colour) in enumerate(zip(bands, _ramp(len(raster.layers)), strict=True)):
        shown = raster.shown(layer)
        spikes = raster.spikes[layer]
        spikes = spikes[np.isin(spikes[:, 1], shown)]
        rows = np.searchsorted(shown, spikes[:, 1])
        axes.scatter(spikes[:, 0], rows, s=4, marker="_", color=colour)
        axes.set_ylim(-1, len(shown))
        axes.set_yticks([])
        axes.grid(False)
        axes.set_ylabel(_literal(raster.layers[layer].name), rotation=0, ha="right", va="center")
    bands[0].set_xlabel("step of the free phase, from 0")
    bands[0].set_xlim(-0.5, raster.steps - 0.5)
    bands[-1].set_title(f"Spikes of sample {raster.sample} after epoch {raster.epoch}", fontsize="medium", loc="left")


def _ramp(count: int) -> list[Any]:
    """Colours of an order, dark to light, that differ in brightness too."""
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0.0, 0.8, max(count, 1))))


def _literal(text: str) -> str:
    """Text that matplotlib takes as it is: no formulas, and labels that begin with an underscore are shown."""
    escaped = printable(text).replace("$", r"\$")
    return f"\u200b{escaped}" if escaped.startswith("_") else escaped
