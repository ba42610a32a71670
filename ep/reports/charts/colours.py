"""Colours of pages and pictures."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SERIES", "diverging", "ramp"]

SERIES = ("#0b65a8", "#c04a00", "#00704f", "#a1326f", "#7a5b00", "#4b4fc4", "#444c56", "#a52a2a")
"""Of what has no order, on paper; the style sheet of the pages has them again."""

_LIGHT = ("#5b1a8b", "#2457c5", "#007a99", "#1a8a3f", "#8a7400", "#c65a00", "#b3202a")
_DARK = ("#d5a6ff", "#8fb4ff", "#5cd3e8", "#7fdc8f", "#e3cf5a", "#ffab66", "#ff8a8a")
_NEGATIVE, _ZERO, _POSITIVE = "#2166ac", "#f7f7f7", "#b2182b"


def ramp(count: int, *, dark: bool = False) -> list[str]:
    """Colours of an order, such as that of layers: along the spectrum, so that neighbours of many differ in hue.

    Parameters
    ----------
    count : int
        How many.
    dark : bool
        For a dark background; else for a light one.
    """
    anchors = _DARK if dark else _LIGHT
    return [_hexadecimal(_blend(anchors, np.array(index / max(count - 1, 1)))) for index in range(max(count, 1))]


def diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values from -1 to 1 as colours, uint8 (..., 3): blue, white at 0, red."""
    return _blend((_NEGATIVE, _ZERO, _POSITIVE), (np.clip(values, -1.0, 1.0) + 1) / 2)


def _blend(anchors: Sequence[str], places: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Between colours at equal distances from 0 to 1."""
    ends = np.array([[int(anchor[at : at + 2], 16) for at in (1, 3, 5)] for anchor in anchors], np.float64)
    low = np.minimum((places * (len(anchors) - 1)).astype(np.int64), len(anchors) - 2)
    share = (places * (len(anchors) - 1) - low)[..., np.newaxis]
    return np.asarray(np.rint(ends[low] + share * (ends[low + 1] - ends[low])), np.uint8)


def _hexadecimal(colour: NDArray[np.uint8]) -> str:
    return "#" + bytes(colour.tolist()).hex()
