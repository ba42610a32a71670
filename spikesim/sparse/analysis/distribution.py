"""Distributions of the values of neurons, pairs and synapses: numbers and histograms."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BARS", "QUANTILES", "Distribution", "class_edges"]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BARS = 40
"""Classes of a histogram, about."""


@dataclass(frozen=True)
class Distribution:
    """Values of neurons, or of pairs of them.

    Attributes
    ----------
    count : int
        How many have a value.
    mean, sd : float or None
        Standard deviation; None where none has a value.
    quantiles : tuple of float or None
        5, 25, 50, 75 and 95 %.
    """

    count: int
    mean: float | None
    sd: float | None
    quantiles: tuple[float | None, ...]

    @classmethod
    def of(cls, values: ArrayLike) -> "Distribution":
        """That of values that are not NaN."""
        found = np.asarray(values, np.float64)
        found = found[np.isfinite(found)]
        if not len(found):
            return cls(0, None, None, (None,) * len(QUANTILES))
        return cls(len(found), float(found.mean()), float(found.std()), tuple(np.quantile(found, QUANTILES).tolist()))


def class_edges(values: NDArray[np.float64], low: float | None = None) -> NDArray[np.float64]:
    """Edges of the classes of a histogram, from a fixed lowest value or that of the values, of which there are some."""
    edges = np.linspace(float(values.min()) if low is None else low, float(values.max()), BARS + 1)
    return np.linspace(edges[0] - 0.05, edges[0] + 0.05, 2) if edges[-1] <= edges[0] else edges
