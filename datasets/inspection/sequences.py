"""What there is to say of series and texts, beside their classes and their lengths."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikesim.datasets.samples.model import Dataset
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.vocabulary import tokens_of
from spikesim.runtime.text import counted

UNKNOWN_SHARE = 0.2
"""Part of the test tokens that training texts may lack."""
REPEATED_SHARE = 0.01
"""Part of the test samples that may be training samples too."""
LONG_FACTOR = 10
"""The longest sample, of the median: the others are padding for the most part."""
IMAGE_SIDES = 8
"""Frames and channels from which on floats in 0 .. 1 of one length look like images."""


@dataclass(frozen=True)
class Sequences:
    """What was found.

    Attributes
    ----------
    samples, steps : str
        Words for the samples, and for what their length is counted in.
    class_names : tuple of str
    facts, warnings : tuple of str
        A line each.
    numbers : dict
        The same for programs.
    """

    samples: str
    steps: str
    class_names: tuple[str, ...]
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    numbers: dict[str, Any]


def sequences_of(dataset: Dataset) -> Sequences | None:
    """What a set of series or texts holds; None of other samples."""
    train, test = dataset.train, dataset.test
    if isinstance(train, SeriesSet) and isinstance(test, SeriesSet):
        low, high = (float(limit) for limit in (train.values.min(), train.values.max()))
        return Sequences(
            samples=f"series of {counted(dataset.shape[2], 'channel')}, values {low:.4g} .. {high:.4g} in training",
            steps="frames a series",
            class_names=dataset.class_names,
            facts=(),
            warnings=(*_of_lengths(dataset, "series", "frames"), *_of_series(train, test)),
            numbers={"class_names": list(dataset.class_names), "values": [low, high]},
        )
    if isinstance(train, TextSet) and isinstance(test, TextSet):
        known = Counter(token for text in train.texts for token in tokens_of(text))
        once = sum(count == 1 for count in known.values())
        total = int(test.lengths().sum())
        unknown = sum(token not in known for text in test.texts for token in tokens_of(text)) / max(total, 1)
        return Sequences(
            samples="texts",
            steps="tokens a text",
            class_names=dataset.class_names,
            facts=(
                f"{len(known)} different tokens in the training texts, {once} of them once; {unknown:.1%} of the "
                "tokens of the test texts are none of these",
            ),
            warnings=(*_of_lengths(dataset, "texts", "tokens"), *_of_texts(train, test, unknown)),
            numbers={"class_names": list(dataset.class_names), "tokens": len(known), "once": once, "unknown": unknown},
        )
    return None


def _of_lengths(dataset: Dataset, samples: str, steps: str) -> Iterator[str]:
    assert isinstance(dataset.train, SeriesSet | TextSet)
    lengths = dataset.train.lengths()
    median = float(np.median(lengths))
    if dataset.shape[1] > LONG_FACTOR * median:
        yield (
            f"the longest of the {samples} has {dataset.shape[1]} {steps} and half of them have {median:.0f} or less: "
            "each takes the room of the longest; cut or leave out the long ones"
        )
    if lengths.max() == 1:
        yield (
            f"all training {samples} have one of their {steps}: nothing comes one after another; look at how they were "
            "made"
        )


def _of_series(train: SeriesSet, test: SeriesSet) -> Iterator[str]:
    constant = np.flatnonzero(np.ptp(train.values, axis=0) == 0).tolist()
    if constant:
        shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
        yield (
            f"channel {shown} has one value in all training frames: there is nothing to see in it, and its deviation "
            "is taken for 1; leave it out"
        )
    equal = len(np.unique(train.lengths())) == 1
    inside = train.values.min() >= 0 and train.values.max() <= 1
    if equal and inside and min(train.longest, train.shape[2]) >= IMAGE_SIDES:
        yield (
            f"all values are in 0 .. 1, and all series have {train.longest} frames of {train.shape[2]} channels: if "
            "they are images, store (x * 255).round().astype(numpy.uint8)"
        )
    yield from _repeated(_contents(train), _contents(test), "series")


def _contents(series: SeriesSet) -> list[bytes]:
    return [own.tobytes() for own in np.split(series.values, series.offsets[1:-1])]


def _of_texts(train: TextSet, test: TextSet, unknown: float) -> Iterator[str]:
    if unknown > UNKNOWN_SHARE:
        yield (
            f"{unknown:.0%} of the tokens of the test texts are in no training text, usual are up to "
            f"{UNKNOWN_SHARE:.0%}: are both parts in one language? Mix the texts before they are divided"
        )
    yield from _repeated(train.texts, test.texts, "texts")


def _repeated(train: Any, test: Any, samples: str) -> Iterator[str]:
    present = set(train)
    repeated = sum(own in present for own in test)
    if repeated > REPEATED_SHARE * len(test):
        yield (
            f"{repeated} of {len(test)} test {samples} are training {samples} too: the test says little of new ones; "
            "leave them out of one part"
        )
