"""A part of the training samples, held out for validation."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.model import Dataset, ImageSet, SampleSet
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.errors import InputError

__all__ = ["hold_out", "subset"]

VALIDATION_STREAM = 0x76616C69 << 64
"""Of the random numbers that choose validation samples; those of weights are small numbers."""


def subset(samples: SampleSet, ids: NDArray[np.int64]) -> SampleSet:
    """Some of the samples, in the order of `ids`, int64 (n,)."""
    labels = samples.labels[ids]
    if isinstance(samples, ImageSet):
        return ImageSet(samples.images[ids], labels)
    if isinstance(samples, TextSet):
        return replace(samples, texts=tuple(samples.texts[i] for i in ids), labels=labels)
    lengths = np.diff(samples.offsets)[ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(samples.offsets[ids] - offsets[:-1], lengths)
    if isinstance(samples, TokenSet):
        return replace(samples, tokens=samples.tokens[rows], offsets=offsets, labels=labels)
    if isinstance(samples, SeriesSet):
        return replace(samples, values=samples.values[rows], offsets=offsets, labels=labels)
    return replace(samples, neurons=samples.neurons[rows], times=samples.times[rows], offsets=offsets, labels=labels)


def hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, NDArray[np.int64]]:
    """Put a share of the training samples in the place of the test samples, by class.

    Parameters
    ----------
    share : float
        Of the samples of each class, rounded to the nearest number, at least 1.
    seed : int
        Decides which; 0 .. 2**63 - 1.

    Returns
    -------
    Dataset
        Both parts in their old order.
    int64 (n,)
        Indices of the remaining training samples.

    Raises
    ------
    InputError
        A class has a single training sample.
    """
    labels = dataset.train.labels
    generator = np.random.Generator(np.random.Philox(key=seed + VALIDATION_STREAM))
    rank = np.argsort(generator.random(len(labels)), kind="stable")
    held = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        own = rank[labels[rank] == label]
        if len(own) < 2:
            raise InputError(
                f"class {dataset.class_names[label]} of {dataset.name} has 1 training sample; data.validation needs 2 "
                "of each class: leave the class or the key out"
            )
        held[own[: min(max(1, round(share * len(own))), len(own) - 1)]] = True
    rest = np.flatnonzero(~held)
    train, test = subset(dataset.train, rest), subset(dataset.train, np.flatnonzero(held))
    return replace(dataset, train=train, test=test), rest
