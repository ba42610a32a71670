"""What the last test of a run answered, by class: kept beside its rows, so that a report needs no data set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLASSES_MAX", "LastTest", "RecordedSamples"]

CLASSES_MAX = 1000
"""With more classes no confusion matrix is kept, which would be larger than the network."""
_EPOCH, _CONFUSION, _ANSWERS = "last_test/epoch", "last_test/confusion", "last_test/answers"


class RecordedSamples(NamedTuple):
    """The test samples whose spikes a run records, to be looked at beside them.

    Attributes
    ----------
    samples : int64 (n,)
        Their indices in the data set.
    labels : int64 (n,)
        Their classes.
    images : uint8 (n, height, width, channels)
        As the data set has them; of a recording the events of each pixel and polarity, at most 255.
    tokens : int32 (n, longest), optional
        Of texts: their tokens, as numbers of the vocabulary, and 0 behind their ends.
    """

    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    images: NDArray[np.uint8]
    tokens: NDArray[np.int32] | None = None


def _none(shape: tuple[int, ...]) -> NDArray[np.int64]:
    return np.zeros(shape, np.int64)


@dataclass(frozen=True, eq=False)
class LastTest:
    """The answers of a test.

    Attributes
    ----------
    epoch : int
        The epoch after which it was made, from 1; 0 before the first test.
    confusion : int64 (classes, classes)
        Samples by true class (rows) and predicted class (columns); of shape (0, 0) where there are more classes than
        `CLASSES_MAX`.
    answers : int64 (n,)
        The predicted classes of the recorded samples.
    """

    epoch: int = 0
    confusion: NDArray[np.int64] = field(default_factory=lambda: _none((0, 0)))
    answers: NDArray[np.int64] = field(default_factory=lambda: _none((0,)))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays of a checkpoint; none before the first test."""
        if not self.epoch:
            return {}
        return {_EPOCH: np.array(self.epoch, np.int64), _CONFUSION: self.confusion, _ANSWERS: self.answers}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "LastTest":
        """Out of a checkpoint. One without is from before the first test, or of an older version.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is that of another run.
        """
        if _EPOCH not in arrays:
            return cls()
        confusion, answers = (np.asarray(arrays[name], np.int64) for name in (_CONFUSION, _ANSWERS))
        return cls(int(arrays[_EPOCH]), confusion, answers)
