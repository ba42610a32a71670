"""How each layer learned, by epoch: its error signal, its answer to the nudge, its change. Part of a report."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.schema import READOUT, LayerInfo

__all__ = ["LayerLearning", "layer_learning"]

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerLearning:
    """Means over the mini-batches of an epoch; None for what a layer or the epoch does not have.

    Attributes
    ----------
    epoch : int
        The epoch.
    layer : str
        Name of the layer, or ``"readout"``.
    rate_difference : float or None
        Mean |r+ - r-| of the layer between the nudged phases.
    weight_change : float
        Mean |dW| of the weights into the layer, in a mini-batch.
    weight_norm : float
        Euclidean norm of these weights after the epoch's last mini-batch.
    signal_strength : float or None
        Strength of the nudge by the layer's head beside the read-out's, whose layer has 1.
    head_loss, head_accuracy : float or None
        Cost against the labels, and share of right answers, of the head that reads the layer.
    saturated : float or None
        Share of neurons with a firing probability of 1 at the end of the free phase.
    spectral_norm : float or None
        Estimated spectral norm with the layer below after the epoch.
    """

    epoch: int
    layer: str
    rate_difference: float | None
    weight_change: float
    weight_norm: float
    signal_strength: float | None
    head_loss: float | None
    head_accuracy: float | None
    saturated: float | None
    spectral_norm: float | None


def layer_learning(batches: Columns, epochs: Columns, layers: list[LayerInfo]) -> list[LayerLearning]:
    """Learning by epoch and layer, the read-out after the layers."""
    found: list[LayerLearning] = []
    for epoch in np.unique(batches["epoch"]):
        chosen = batches["epoch"] == epoch
        samples = batches["samples"][chosen].astype(np.float64)
        if samples.sum() == 0:
            continue
        share = samples / samples.sum()
        updates, steps = batches["neuron_updates"][chosen, 0], batches["steps"][chosen, 0]
        neurons = (updates * (samples / np.maximum(steps, 1))[:, np.newaxis]).sum(axis=0)  # that exist, of all samples
        complete = np.flatnonzero(epochs["epoch"] == epoch)
        norms = [float(norm) for norm in epochs["spectral_norm"][complete[0]]] if len(complete) else None

        def mean(name: str, index: int, chosen: Any = chosen, share: Any = share) -> float:
            return float((batches[name][chosen, index] * share).sum())

        for index, name in enumerate([*(layer.name for layer in layers), READOUT]):
            is_layer = index < len(layers)
            strength = mean("signal_strength", index) if is_layer else None
            loss = mean("head_loss", index) if is_layer else math.nan
            has_head = not math.isnan(loss)
            full = float(batches["saturated"][chosen, 0, index].sum()) if is_layer else 0.0
            correct = float(batches["head_correct"][chosen, index].sum()) if is_layer else 0.0
            found.append(
                LayerLearning(
                    epoch=int(epoch),
                    layer=name,
                    rate_difference=mean("rate_difference", index) if is_layer else None,
                    weight_change=mean("weight_change", index),
                    weight_norm=float(batches["weight_norm"][chosen][-1, index]),
                    signal_strength=strength if has_head else None,
                    head_loss=loss if has_head else None,
                    head_accuracy=correct / float(samples.sum()) if has_head else None,
                    saturated=full / float(neurons[index]) if is_layer else None,
                    spectral_norm=norms[index] if is_layer and norms is not None else None,
                )
            )
    return found
