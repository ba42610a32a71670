"""A head as a linear map in float64, with its adjoint."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.network import heads as hd
from spikesim.ep.network.model import Model

__all__ = ["HeadMap"]

Reals = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeadMap:
    """A linear classifier outside of the dynamics.

    Attributes
    ----------
    layer : int
        Index of the layer that it reads, from 0.
    side, shift : int
        It reads sums over side x side cells of p times 2**-shift.
    weights : float64 (features, classes)
        Features in the order (y, x, channel).
    bias : float64 (classes,)
    pooling : {"none", "mean", "maximum"}
        Other than "none": it reads the mean, or the maximum, over all positions that exist.
    """

    layer: int
    side: int
    shift: int
    weights: Reals
    bias: Reals
    pooling: str = "none"

    @classmethod
    def of(cls, model: Model, index: int) -> "HeadMap":
        """A head of a model with the quantized weights that it has."""
        head, packed = model.heads[index], model.packed
        by_class = hd.weights_of(packed, index).astype(np.int64)  # (classes, features)
        integers = head.blocks.from_state(by_class).reshape(model.classes, -1).T  # (features, classes)
        weights = integers * 2.0 ** -float(packed.table[index].exponent)
        return cls(head.layer, head.side, head.shift, weights, packed.bias[index], head.pooling)

    def logits(self, rates: Reals, mask: Reals) -> Reals:
        """o of rates (n, H, W, C), (n, classes); mask: 1 where a position exists, else 0, (n, 1, W, 1)."""
        n, height, width, channels = rates.shape
        if self.pooling == "mean":
            means = rates.sum(axis=(1, 2)) / (height * mask.sum(axis=(1, 2)))
            return np.asarray(means @ self.weights + self.bias)
        if self.pooling == "maximum":
            return np.asarray(rates.max(axis=(1, 2)) @ self.weights + self.bias)
        rows, row = height // self.side, width // self.side
        whole = rates[:, : rows * self.side, : row * self.side]
        sums = whole.reshape(n, rows, self.side, row, self.side, channels).sum(axis=(2, 4))
        logits: Reals = (sums.reshape(n, -1) * 2.0**-self.shift) @ self.weights + self.bias
        return logits

    def push(self, errors: Reals, rates: Reals, mask: Reals) -> Reals:
        """The adjoint of `logits` at some rates: -dC/dp of the layer from -dC/do, (n, classes) to (n, H, W, C)."""
        n, (height, width, channels) = len(errors), rates.shape[1:]
        if self.pooling != "none":
            pushed = (errors @ self.weights.T)[:, None, None]
            if self.pooling == "mean":
                return np.asarray(
                    pushed * mask / (height * mask.sum(axis=(1, 2), keepdims=True)) * np.ones(rates.shape)
                )
            flat = rates.reshape(n, height * width, channels)
            first = np.zeros(flat.shape)
            np.put_along_axis(first, flat.argmax(axis=1)[:, None], 1.0, axis=1)
            return np.asarray(first.reshape(rates.shape) * pushed)
        rows, row = height // self.side, width // self.side
        features = (errors @ self.weights.T * 2.0**-self.shift).reshape(n, rows, 1, row, 1, channels)
        push = np.zeros(rates.shape)
        push[:, : rows * self.side, : row * self.side] = np.broadcast_to(
            features, (n, rows, self.side, row, self.side, channels)
        ).reshape(n, rows * self.side, row * self.side, channels)
        return push
