"""Predictions as files: a table for people and spreadsheets, or all arrays."""

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import TextSet
from spikesim.datasets.samples.model import SampleSet
from spikesim.ep.evaluation.network import TrainedNetwork
from spikesim.ep.evaluation.prediction import Prediction
from spikesim.ep.runs.schema import hash_of_config
from spikesim.errors import InputError

__all__ = ["SUFFIXES", "Predicted", "check_suffix", "write_predictions"]

SUFFIXES = (".csv", ".npz")


class Predicted(NamedTuple):
    """What is to be written."""

    network: TrainedNetwork
    prediction: Prediction
    ids: NDArray[np.int64]  # (n,)
    samples: SampleSet
    names: list[str] | None = None  # of their files, where each has one
    texts: tuple[str, ...] | None = None  # as they were given


def check_suffix(path: Path, *, spikes: bool) -> None:
    """Refuse the name of a file that cannot hold predictions, or with spikes not these.

    Raises
    ------
    InputError
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"--out is {path}; its name must end in .csv (a row per sample) or .npz (all arrays)")
    if spikes and path.suffix == ".csv":
        raise InputError(f"--out is {path}, and a table of samples cannot hold spikes: use a name that ends in .npz")


def write_predictions(path: Path, found: Predicted, suffix: str) -> None:
    """Make the file in the form that the suffix, one of `SUFFIXES`, stands for.

    Raises
    ------
    OSError
        It cannot be written.
    """
    if suffix == ".csv":
        _write_table(path, found)
        return
    with open(path, "xb") as stream:  # of a name, NumPy would change the ending
        np.savez(stream, **_arrays(found))  # type: ignore[arg-type]


def _write_table(path: Path, found: Predicted) -> None:
    network, prediction = found.network, found.prediction
    named = network.classes != tuple(map(str, range(len(network.classes))))
    spikes = _counts(prediction).sum(axis=1)
    rows = np.arange(len(prediction))
    columns: dict[str, list[Any]] = {"sample": found.ids.tolist()}
    if found.names is not None:
        columns["file"] = found.names
    if found.texts is not None:
        columns["text"] = list(found.texts)
    columns["label"] = prediction.labels.tolist()
    if named:
        columns["class"] = [network.classes[label] for label in prediction.labels]
    columns["probability"] = prediction.probabilities[rows, prediction.labels].tolist()
    columns |= {"spikes": spikes.tolist(), "accumulates": prediction.accumulates.tolist()}
    with open(path, "x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _arrays(found: Predicted) -> dict[str, NDArray[Any]]:
    network, prediction = found.network, found.prediction
    arrays = {
        "samples": found.ids,
        "classes": np.array(network.classes),
        "layers": np.array(list(network.layers)),
        "layer_shapes": np.array(list(network.layers.values()), np.int64),
        "config_hash": np.array(hash_of_config(network.config)),
        "spike_counts": _counts(prediction),
    }
    names = ("labels", "logits", "probabilities", "accumulates", "multiply_accumulates", "steps")
    arrays |= {name: getattr(prediction, name) for name in names}
    arrays |= {f"rates_{layer}": rates for layer, rates in prediction.rates.items()}
    if found.names is not None:
        arrays["files"] = np.array(found.names)
    if prediction.spikes:
        arrays |= _spike_columns(found)
    return arrays


def _pictures(samples: SampleSet, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
    assert not isinstance(samples, TextSet)  # encoded
    return samples.pictures(chosen)


def _counts(prediction: Prediction) -> NDArray[np.int64]:
    """Spikes by sample and layer, (n, L)."""
    return np.stack(list(prediction.spike_counts.values()), axis=1)


def _spike_columns(found: Predicted) -> dict[str, NDArray[Any]]:
    """A row per spike, by sample, layer and step; and the samples, of which some may have none, to look at too."""
    rows = [
        (found.ids[row], layer, train)
        for row, trains in found.prediction.spikes.items()
        for layer, train in enumerate(trains.values())
    ]
    lengths = [len(train.steps) for _, _, train in rows]
    recorded = list(found.prediction.spikes)
    return {
        "recorded": found.ids[recorded],
        "recorded_images": _pictures(found.samples, np.array(recorded)),
        "spike_sample": np.repeat([sample for sample, _, _ in rows], lengths),
        "spike_layer": np.repeat([layer for _, layer, _ in rows], lengths),
        "spike_step": np.concatenate([train.steps for _, _, train in rows]),
        "spike_neuron": np.concatenate([train.neurons for _, _, train in rows]),
    }
