"""Right and wrong by class: what a confusion matrix says. Part of a report, and of a test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.reader import RunReader

__all__ = ["ClassAccuracy", "Confusion", "confusion_of", "run_confusion"]


@dataclass(frozen=True)
class ClassAccuracy:
    """How a class was recognized.

    Attributes
    ----------
    label : int
        The class, from 0.
    name : str
        Its name; its number where it has none.
    samples : int
        Samples of the class.
    predicted : int
        Samples that the network takes for it.
    recall : float or None
        Share of its samples that are recognized: the accuracy of the class. None without samples.
    precision : float or None
        Share of those taken for it that are of it. None if there are none.
    """

    label: int
    name: str
    samples: int
    predicted: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix and its sums.

    Attributes
    ----------
    epoch : int or None
        The epoch after which the run made the test; None for a test of its own.
    matrix : list of list of int
        Samples by true class (rows) and predicted class (columns).
    classes : list of ClassAccuracy
        In the order of the labels.
    """

    epoch: int | None
    matrix: list[list[int]]
    classes: list[ClassAccuracy]


def confusion_of(matrix: NDArray[np.int64], names: Sequence[str], epoch: int | None = None) -> Confusion | None:
    """What a matrix says; None of an empty one, which stands for too many classes.

    Parameters
    ----------
    matrix : int64 (classes, classes)
        True class by row.
    names : sequence of str
        Of the classes.
    epoch : int, optional
        After which the test was made.
    """
    if not matrix.size:
        return None
    right, samples, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    classes = [
        ClassAccuracy(label, name, int(own), int(taken), _share(hit, own), _share(hit, taken))
        for label, (name, hit, own, taken) in enumerate(zip(names, right, samples, predicted, strict=True))
    ]
    return Confusion(epoch, matrix.tolist(), classes)


def run_confusion(reader: RunReader) -> Confusion | None:
    """That of the last test of a run; None before it, with too many classes, and in files of older versions.

    Raises
    ------
    InputError
        The file is damaged.
    """
    test = reader.last_test()
    classes = len(test.confusion)
    named = reader.samples is not None and reader.samples.classes == classes
    names = reader.samples.class_names if named and reader.samples is not None else tuple(map(str, range(classes)))
    return confusion_of(test.confusion, names, test.epoch) if test.epoch else None


def _share(count: np.int64, total: np.int64) -> float | None:
    return float(count / total) if total else None
