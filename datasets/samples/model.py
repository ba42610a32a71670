"""What a data set is, once it is in memory."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.datasets.samples.vocabulary import Vocabulary
from spikesim.errors import InputError


@dataclass(frozen=True)
class Augmentation:
    """Which random changes leave an image of a data set in its class.

    Attributes
    ----------
    crop : int
        Largest shift of the image in each direction; pixels.
    flip : bool
        Whether the mirror image is as good as the image.
    """

    crop: int
    flip: bool

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise InputError(f"crop is {self.crop}; it must be 0 or more pixels")


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their labels; both arrays are read-only.

    Attributes
    ----------
    images : uint8, shape (n, height, width, channels)
    labels : int64, shape (n,)

    Raises
    ------
    InputError
        An array has another dtype or shape than these.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name, array, dtype, dimensions in (
            ("images", self.images, np.uint8, 4),
            ("labels", self.labels, np.int64, 1),
        ):
            if array.dtype != dtype or array.ndim != dimensions:
                raise InputError(
                    f"{name} are {array.dtype} of {array.ndim} dimensions; "
                    f"they must be {np.dtype(dtype)} of {dimensions} dimensions"
                )
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if len(self.images) != len(self.labels):
            raise InputError(
                f"there are {len(self.images)} images and {len(self.labels)} labels; each image needs one label"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def pictures(self, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Chosen samples to look at, uint8 (n, height, width, channels)."""
        return self.images[samples]


SampleSet = ImageSet | EventSet | SeriesSet | TextSet | TokenSet
"""Samples of any kind, with their labels."""
Kind = Literal["images", "recordings", "series", "text"]


def kind_of(samples: SampleSet) -> Kind:
    """Which kind samples are of."""
    if isinstance(samples, ImageSet):
        return "images"
    if isinstance(samples, EventSet):
        return "recordings"
    return "series" if isinstance(samples, SeriesSet) else "text"


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification.

    Attributes
    ----------
    name : str
        It stands for the content: no two contents have the same, for published files are compared with their sha256
        and the others have their own hash in the name.
    train, test : ImageSet, EventSet, SeriesSet or TextSet
        Both of the same kind. Of series and texts, `longest` becomes that of the two together.
    classes : int
        Number of classes.
    class_names : tuple of str
        Their order is that of the labels.
    mean, std : float64, shape (channels,)
        Of the pixels of the training images scaled to [0, 1]; the constants that the field uses, where it has some.
        Of series, of their training frames as they are. Of recordings and texts 0 and 1: nothing is normalized.
    augmentation : Augmentation
        What suits these images.
    source : str
        Where the data was found.
    duration : float or None
        Of recordings: milliseconds of each that are worth following. None for others.
    time_unit : str
        Of recordings: unit of the times as they are stored.
    vocabulary : Vocabulary or None
        Of texts that are encoded.

    Raises
    ------
    InputError
        There are not as many names as classes, training and test samples differ in kind or shape, a label is no class,
        mean and std do not fit the channels, or recordings have no duration.
    """

    name: str
    train: SampleSet
    test: SampleSet
    classes: int
    class_names: tuple[str, ...]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    augmentation: Augmentation
    source: str
    duration: float | None = None
    time_unit: str = "microseconds"
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        if len(self.class_names) != self.classes:
            raise InputError(f"{self.name} has {self.classes} classes and {len(self.class_names)} names for them")
        if kind_of(self.train) != kind_of(self.test):
            raise InputError(
                f"{self.name} has {kind_of(self.train)} and {kind_of(self.test)}; training and test samples must be of "
                "one kind"
            )
        longest = max(self.train.shape[1], self.test.shape[1])
        for name, own in (("train", self.train), ("test", self.test)):
            if isinstance(own, SeriesSet | TextSet | TokenSet) and own.longest != longest:
                object.__setattr__(self, name, replace(own, longest=longest))
        if self.recordings and not (self.duration is not None and self.duration > 0):
            raise InputError(f"duration of {self.name} is {self.duration}; recordings need one above 0 milliseconds")
        if self.train.shape != self.test.shape:
            raise InputError(
                f"training {self.kind} of {self.name} have shape {self.train.shape} and test {self.kind} "
                f"{self.test.shape}; they must be the same"
            )
        for part, labels in (("training", self.train.labels), ("test", self.test.labels)):
            if len(labels) and not 0 <= labels.min() <= labels.max() < self.classes:
                raise InputError(
                    f"{part} labels of {self.name} reach from {labels.min()} to {labels.max()}; "
                    f"they must be in 0 .. {self.classes - 1}"
                )
        channels = self.shape[2]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values.shape != (channels,):
                raise InputError(f"{name} of {self.name} has shape {values.shape}; it must be ({channels},)")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a sample; a series is a row of frames, a text a row of tokens."""
        return self.train.shape

    @property
    def kind(self) -> Kind:
        """What its samples are."""
        return kind_of(self.train)

    @property
    def recordings(self) -> bool:
        """Whether its samples are recordings of events."""
        return self.kind == "recordings"

    @property
    def series(self) -> bool:
        """Whether its samples are series of channels over time."""
        return self.kind == "series"

    @property
    def text(self) -> bool:
        """Whether its samples are texts."""
        return self.kind == "text"
