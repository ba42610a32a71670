"""Images of pixels: samples as people see them, and any image as SVG, which pages show without loading anything."""

import xml.etree.ElementTree as ET
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.reports.charts.markup import element

__all__ = ["draw_pixels", "sample_pixels"]

SIDE_MAX = 64
"""Larger samples are shown smaller."""
LEVELS = 32
"""Shades of each colour of a sample, for a picture of few kilobytes."""
_ON, _OFF = (178, 24, 43), (33, 102, 172)


def sample_pixels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A sample as colours, uint8 (rows, columns, 3), with at most 64 pixels along each side.

    Parameters
    ----------
    image : uint8 (height, width, channels)
        One channel is grey, three are red, green and blue; of two, which are the polarities of events, the second (ON)
        is red and the first (OFF) blue. Of any other number the mean is grey.
    """
    height, width, channels = image.shape
    factor = -(-max(height, width) // SIDE_MAX)
    cells = np.pad(image.astype(np.float64), ((0, -height % factor), (0, -width % factor), (0, 0)), "edge")
    small = cells.reshape(cells.shape[0] // factor, factor, cells.shape[1] // factor, factor, channels).mean((1, 3))
    if channels == 2:
        strength = np.sqrt(small / max(small.max(), 1.0))  # most pixels have a few events, some very many
        colours = 255.0 + strength[..., :1] * (np.array(_OFF) - 255.0) + strength[..., 1:] * (np.array(_ON) - 255.0)
    else:
        colours = small if channels == 3 else np.repeat(small.mean(axis=2, keepdims=True), 3, axis=2)
    step = 255.0 / (LEVELS - 1)
    return np.asarray(np.rint(np.rint(np.clip(colours, 0.0, 255.0) / step) * step), np.uint8)


def draw_pixels(pixels: NDArray[np.uint8], size: float, at: tuple[float, float] = (0.0, 0.0)) -> list[ET.Element]:
    """Pixels as elements of an ``svg``: a path for each colour, neighbours in a row together.

    Parameters
    ----------
    pixels : uint8 (rows, columns, 3)
    size : float
        Side of a pixel.
    at : (float, float)
        Place of the upper left corner.
    """
    paths: dict[str, list[str]] = {}
    for y, row in enumerate(pixels):
        x = 0
        for colour, same in groupby(map(bytes, row)):
            count = len(list(same))
            paths.setdefault(colour.hex(), []).append(f"M{x} {y}h{count}v1h-{count}z")
            x += count
    place = f"translate({at[0]:g} {at[1]:g}) scale({size:g})"
    drawn = [element("path", d="".join(steps), fill=f"#{colour}") for colour, steps in paths.items()]
    return [element("g", drawn, transform=place, class_="pixels")]
