"""The weights of the first layer as images: filters of a convolution, or what each neuron of a dense layer sees."""

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.reports.charts.colours import diverging
from spikesim.ep.reports.charts.markup import element
from spikesim.ep.reports.charts.pixels import draw_pixels
from spikesim.ep.runs.reader import RunReader

__all__ = ["Filters", "draw_filters", "read_filters"]

FILTERS_MAX = 64
"""Filters that are drawn."""
CHANNELS_MAX = 4
"""With more channels of the input a filter shows their mean."""
WIDTH, SCALE_HEIGHT, GAP = 600.0, 60.0, 6.0


@dataclass(frozen=True, eq=False)
class Filters:
    """Weights from the input into the first layer.

    Attributes
    ----------
    layer : str
        Name of the layer.
    count : int
        Filters, or neurons of a dense layer, of which the first are here.
    weights : float64 (n, rows, columns, channels)
        Theirs.
    largest : float
        The largest of these weights, without sign.
    """

    layer: str
    count: int
    weights: NDArray[np.float64]
    largest: float
    name: str = "filters"

    @property
    def coloured(self) -> bool:
        """Whether the channels are red, green and blue and are shown as that; else they stand beside each other."""
        return bool(self.weights.shape[3] == 3)

    @property
    def title(self) -> str:
        """What is shown, and of how many."""
        shown = len(self.weights)
        return f"Filters of {self.layer}: {shown if shown == self.count else f'{shown} of {self.count}'}"

    @property
    def note(self) -> str:
        """How to read them."""
        if self.coloured:
            return "Red, green and blue are the weights from these channels; grey is 0."
        channels = self.weights.shape[3]
        several = f" {channels} channels of the input beside each other." if channels > 1 else ""
        return f"Blue is negative, white 0, red positive.{several}"

    def tile(self, index: int) -> NDArray[np.uint8]:
        """A filter as colours, uint8 (rows, columns, 3)."""
        scaled = self.weights[index] / self.largest
        if self.coloured:
            return np.asarray(np.rint(127.5 * (1 + scaled)), np.uint8)
        return diverging(np.concatenate(list(np.moveaxis(scaled, 2, 0)), axis=1))


def read_filters(reader: RunReader) -> Filters | None:
    """Those of a run as of its last checkpoint; None before it, and where the weights have no place in the input.

    Raises
    ------
    InputError
        The file is damaged.
    """
    layer = reader.layers[0].name
    weights = reader.weights().get(f"{layer}/weight")
    if weights is None:
        return None
    if weights.ndim == 2 and reader.input_shape is not None and math.prod(reader.input_shape) == len(weights):
        weights = weights.reshape(*reader.input_shape, -1)
    if weights.ndim != 4 or not weights.size:
        return None
    shown = np.moveaxis(weights[..., :FILTERS_MAX].astype(np.float64), 3, 0)
    if shown.shape[3] > CHANNELS_MAX:
        shown = shown.mean(axis=3, keepdims=True)
    largest = float(np.abs(shown).max())
    return Filters(layer, weights.shape[3], shown, largest) if 0 < largest < np.inf else None


def draw_filters(filters: Filters) -> ET.Element:
    """Filters as ``svg``, row by row, with the scale of their weights."""
    tiles = [filters.tile(index) for index in range(len(filters.weights))]
    rows, columns = tiles[0].shape[:2]
    across = min(len(tiles), max(1, round(math.sqrt(len(tiles) * 2 * rows / columns))))
    size = min((WIDTH - GAP * (across - 1)) / across / columns, 14.0)
    drawn = []
    for index, pixels in enumerate(tiles):
        at = (index % across * (columns * size + GAP), index // across * (rows * size + GAP))
        own = filters.weights[index]
        told = f"{filters.layer}, filter {index}: weights from {own.min():.3g} to {own.max():.3g}"
        drawn.append(element("g", element("title", told), draw_pixels(pixels, size, at)))
    top = -(-len(tiles) // across) * (rows * size + GAP) + 14
    scale = [] if filters.coloured else draw_pixels(diverging(np.linspace(-1, 1, 41))[np.newaxis], 5.0, (0.0, top))
    ends = ("-", "0", "+") if filters.coloured else (f"{-filters.largest:.3g}", "0", f"{filters.largest:.3g}")
    texts = [
        element("text", text, x=f"{place:g}", y=f"{top + 20:g}", class_=f"tick {where}".strip())
        for text, place, where in zip(ends, (0, 102.5, 205), ("", "middle", "end"), strict=True)
    ]
    label = element("text", "weight", x="220", y=f"{top + 5:g}", class_="label")
    words = element("text", f"grey 0, full colour {filters.largest:.3g}", x="0", y=f"{top + 5:g}", class_="tick")
    return element(
        "svg",
        drawn,
        [words] if filters.coloured else [*scale, *texts, label],
        viewBox=f"0 0 {WIDTH:g} {top + SCALE_HEIGHT - 30:g}",
        role="img",
        aria_label=filters.title,
        class_="chart filters",
    )
