"""The keys of the data and how they are presented."""

from dataclasses import dataclass

from spikesim.ep.config.sections.options import option
from spikesim.runtime.manual import manual

__all__ = ["DURATION_MAX", "DataSettings", "tested_on"]


DURATION_MAX = 4e6
"""Milliseconds of a recording that can be followed."""


def tested_on(validation: float | None) -> str:
    """What the tests of a run are made on, "test" or "validation", with this share of the training set held out."""
    return "validation" if validation else "test"


@dataclass(frozen=True)
class DataSettings:
    """The data and how they are presented."""

    dataset: str = option(
        "fashion-mnist-mini",
        "Name of the data set, which `spikesim data list` shows, or a file of your own: images, series or texts "
        f"(`{manual('own-data')}`) or recordings (`{manual('streams')}`).",
    )
    limit: int | None = option(None, "Use only the first N training samples.", low=1, optional=True)
    test_limit: int | None = option(None, "Use only the first N test samples.", low=1, optional=True)
    validation: float = option(
        0.0,
        "Share of the training samples of each class, chosen by the seed, that is held out: the run is tested on "
        "these instead of the test set, which `spikesim evaluate` reads.",
        low=0,
        high=0.5,
    )
    min_count: int = option(
        2,
        "How often a token must occur in the training texts to be in the vocabulary; others count as unknown.",
        low=1,
        high=2**31 - 1,
        later=True,
    )
    vocabulary_size: int | None = option(
        None,
        "Keep the most frequent tokens only, so many; by default all that occur often enough.",
        low=1,
        high=2**31 - 1,
        optional=True,
        later=True,
    )
    longest: int | None = option(
        None,
        "Tokens of a text that count, from its beginning; by default all.",
        low=1,
        high=2**15,
        optional=True,
        later=True,
    )
    token_dropout: float = option(
        0.0,
        "Share of the tokens of training texts, chosen at random, that drive nothing.",
        low=0,
        high=0.9,
        later=True,
    )
    batch_size: int = option(32, "Samples in a mini-batch.", low=1, high=65536)
    augment: bool = option(False, "Random crops and flips, as far as they suit the data set.")
    cutout: int = option(
        0,
        "Side of a square, pixels, that covers a random place of each training image with the mean colour; needs "
        "`augment`.",
        low=0,
        high=1024,
        later=True,
    )
    std_factor: float = option(
        1.0, "Normalized images are divided by this; the literature takes 3 for CIFAR-10.", above=0, high=100
    )
    encoding: str = option(
        "auto",
        f"How samples enter: as a current, or as spikes of an input population (`{manual('streams')}`): bernoulli and "
        "latency code images, bernoulli shows series frame by frame, events are for recordings. auto is events for "
        "recordings and a current for others.",
        choices=("auto", "current", "bernoulli", "latency", "events"),
        later=True,
    )
    duration: float | None = option(
        None,
        "Milliseconds of a recording, from its first event, that the steps of the free phase divide; by default what "
        "suits the data set, or the median duration of a file's training recordings.",
        above=0,
        high=DURATION_MAX,
        optional=True,
        later=True,
    )
    frames: int | None = option(
        None,
        "Frames that a recording is binned into, at most the steps of the free phase, which are divided among them; by "
        "default there are none, and events are delivered in the step that they fall into.",
        low=1,
        optional=True,
        later=True,
    )
    coarse: int = option(
        1, "Pixels of a recording along each side that share an input neuron.", low=1, high=64, later=True
    )
