"""How the weights of each layer are distributed. Part of a report."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import READOUT

__all__ = ["WeightHistogram", "weight_histograms"]

BINS = 41
"""An odd number, so that the middle interval is around 0."""


@dataclass(frozen=True)
class WeightHistogram:
    """Weights into a layer by their size, biases left out, as of the last checkpoint.

    Attributes
    ----------
    layer : str
        Name of the layer, or ``"readout"``.
    weights : int
        How many there are.
    largest : float
        The largest one, without sign: the intervals divide the range from ``-largest`` to ``largest`` equally.
    deviation : float
        Standard deviation.
    shares : list of float
        Share of the weights in each interval.
    """

    layer: str
    weights: int
    largest: float
    deviation: float
    shares: list[float]


def weight_histograms(reader: RunReader) -> list[WeightHistogram]:
    """By layer from the input up, the read-out last; empty before the first checkpoint, and of weights that diverged.

    Raises
    ------
    InputError
        The file is damaged.
    """
    arrays = reader.weights()
    found = []
    for layer in (*(own.name for own in reader.layers), READOUT):
        own = [array for name, array in arrays.items() if name.startswith(f"{layer}/") and not name.endswith("/bias")]
        found += _histogram(layer, own)
    return found


def _histogram(layer: str, arrays: Iterable[NDArray[np.float32]]) -> list[WeightHistogram]:
    values = np.concatenate([np.zeros(0), *(array.ravel().astype(np.float64) for array in arrays)])
    largest = float(np.abs(values).max(initial=0.0))
    if not 0 < largest < np.inf:
        return []
    counts, _ = np.histogram(values / largest, BINS, (-1.0, 1.0))
    return [WeightHistogram(layer, len(values), largest, float(values.std()), (counts / len(values)).tolist())]
