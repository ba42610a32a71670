"""What a network takes: the samples that a run was trained on, as its file describes them.

With it a network can be used where its data set is not: what prepares samples was taken from the training set.
"""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.vocabulary import Vocabulary
from spikesim.errors import InputError
from spikesim.io.formats import canonical_json

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.datasets.samples.model import Kind

__all__ = ["SampleSpec"]

POLARITIES = 2
CLASSES_MAX = 2**16
"""As many as a data set may have."""
_KEYS = {"name", "shape", "classes", "class_names", "mean", "std", "duration"}
_VOCABULARY = "vocabulary"
_KIND, _RECORDINGS = "kind", "recordings"
"""Keys of which there is one: images and recordings have the second, a boolean, as in the oldest files."""


@dataclass(frozen=True, eq=False)
class SampleSpec:
    """The samples of a data set, without the samples.

    Attributes
    ----------
    name : str
        Of the data set.
    kind : {"images", "recordings", "series", "text"}
    shape : (height, width, channels)
        Of an image, or of the sensor with its two polarities; (1, frames of the longest series, channels); (1, tokens
        of the longest text, 1).
    classes : int
    class_names : tuple of str
        Their order is that of the labels.
    mean, std : float64, shape (channels,)
        With which images are normalized, of the training images scaled to [0, 1]; those of the training frames of
        series, as they are.
    duration : float or None
        Of recordings: milliseconds of each that are followed where `data.duration` is not set.
    vocabulary : Vocabulary or None
        Of texts.
    """

    name: str
    kind: "Kind"
    shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    duration: float | None
    vocabulary: Vocabulary | None = None

    @property
    def recordings(self) -> bool:
        """Whether they are recordings of events."""
        return self.kind == "recordings"

    @property
    def series(self) -> bool:
        """Whether they are series of channels over time."""
        return self.kind == "series"

    @property
    def text(self) -> bool:
        """Whether they are texts."""
        return self.kind == "text"

    @classmethod
    def of(cls, dataset: "Dataset") -> "SampleSpec":
        """That of a data set."""
        return cls(**{name: getattr(dataset, name) for name in cls.__dataclass_fields__})

    def to_json(self) -> str:
        """The text in a run file. Names that are the numbers of the classes are left out."""
        names = None if self.class_names == _numbered(self.classes) else list(self.class_names)
        kind = {_KIND: self.kind} if self.series or self.text else {_RECORDINGS: self.recordings}
        return canonical_json(
            {
                "name": self.name,
                **kind,
                "shape": list(self.shape),
                "classes": self.classes,
                "class_names": names,
                "mean": self.mean.tolist(),
                "std": self.std.tolist(),
                "duration": self.duration,
                **({} if self.vocabulary is None else {_VOCABULARY: list(self.vocabulary.words[2:])}),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "SampleSpec":
        """Back from the text, to the same bits.

        Raises
        ------
        ValueError
            It describes no samples.
        """
        given = json.loads(text)
        forms = (_KEYS | {_KIND}, _KEYS | {_RECORDINGS}, _KEYS | {_KIND, _VOCABULARY})
        if not isinstance(given, dict) or set(given) not in forms:
            raise ValueError("samples are described by other keys")
        shape, classes, names, duration = (given[key] for key in ("shape", "classes", "class_names", "duration"))
        if not (isinstance(shape, list) and len(shape) == 3 and all(_is_size(side) for side in shape)):
            raise ValueError("the shape of the samples is none")
        if not (
            _is_size(classes)
            and classes <= CLASSES_MAX
            and (names is None or _are_texts(names, classes))
            and isinstance(given["name"], str)
        ):
            raise ValueError("the classes of the samples are none")
        kind = _kind(given)
        if kind is None or not (duration is None or _are_numbers([duration], 1)):
            raise ValueError("the samples are of no kind that is known")
        if kind == "recordings" and (duration is None or shape[2] != POLARITIES):
            raise ValueError("recordings without a duration or two polarities")
        if not (_are_numbers(given["mean"], shape[2]) and _are_numbers(given["std"], shape[2])):
            raise ValueError("mean and std of the samples are not one number per channel")
        return cls(
            name=given["name"],
            kind=kind,
            shape=(shape[0], shape[1], shape[2]),
            classes=classes,
            class_names=_numbered(classes) if names is None else tuple(names),
            mean=_fixed(given["mean"]),
            std=_fixed(given["std"]),
            duration=None if duration is None else float(duration),
            vocabulary=_vocabulary(given[_VOCABULARY]) if _VOCABULARY in given else None,
        )


def _kind(given: dict[str, Any]) -> "Kind | None":
    """What the samples are; None: nothing that is known."""
    if _RECORDINGS in given:
        known: dict[bool, Kind] = {False: "images", True: "recordings"}
        return known[given[_RECORDINGS]] if type(given[_RECORDINGS]) is bool else None
    others: tuple[Kind, ...] = ("series", "text")
    return next((kind for kind in others if kind == given[_KIND]), None)


def _vocabulary(words: Any) -> Vocabulary:
    if not (isinstance(words, list) and _are_texts(words, len(words))):
        raise ValueError("the vocabulary of the samples is none")
    try:
        return Vocabulary(("", "<unknown>", *words))
    except InputError as error:
        raise ValueError(str(error)) from None


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(map(str, range(classes)))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**31


def _are_texts(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(isinstance(value, str) for value in values)


def _are_numbers(values: Any, count: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == count
        and all(type(value) in (int, float) and math.isfinite(value) for value in values)
    )


def _fixed(values: list[float]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array
