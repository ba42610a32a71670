"""Labels that are names: numbered, and the test part compared with the training part."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

__all__ = ["Labelled", "numbered"]

CLASSES_MAX = 2**16
_SHOWN = 40


class Labelled(NamedTuple):
    """Where labels are from: the file or a part of it, the labels, and the line of each."""

    name: str
    labels: Sequence[str]
    lines: Sequence[int]


def numbered(
    train: Labelled, test: Labelled, samples: str, announced: Sequence[str] = ()
) -> tuple[tuple[str, ...], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The names of the classes, and the labels of both parts as numbers.

    Parameters
    ----------
    samples : str
        What the samples are called.
    announced : sequence of str
        All classes in their order; by default those of the training part, by number if all are whole numbers, else by
        their characters.

    Raises
    ------
    InputError
        There is a single class, too many of them, one without a training sample, or no sample in a part.
    """
    for part in (train, test):
        if not part.labels:
            raise InputError(f"{part.name}: has no {samples}; the training part and the test part need some")
    present = set(train.labels)
    names = tuple(announced) or tuple(sorted(present, key=_by_number if all(map(_is_whole, present)) else str))
    empty = next((name for name in names if name not in present), None)
    if empty is not None:
        raise InputError(
            f"{train.name}: class {_short(empty)} has no training {samples}; give some, or take the class out of the "
            "header"
        )
    if not 2 <= len(names) <= CLASSES_MAX:
        raise InputError(f"{train.name}: the training part has {len(names)} classes; it must have 2 .. {CLASSES_MAX}")
    for label, line in zip(test.labels, test.lines, strict=True):
        if label not in present:
            raise InputError(
                f"{test.name}: line {line} has the label {_short(label)}, which is not in the training part; give "
                "training "
                f"{samples} of it, or leave it out of the test part"
            )
    numbers = {name: number for number, name in enumerate(names)}
    found = [np.array([numbers[label] for label in part.labels], np.int64) for part in (train, test)]
    return names, (found[0], found[1])


def _is_whole(label: str) -> bool:
    return label.removeprefix("-").isdecimal() and label.isascii()


def _by_number(label: str) -> tuple[int, str]:
    return int(label), label


def _short(label: str) -> str:
    return repr(label if len(label) <= _SHOWN else f"{label[:_SHOWN]}...")
