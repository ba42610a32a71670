"""Series of any file format on their way to a data set: checked, put behind one another, with their moments."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.model import Augmentation, Dataset
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.errors import InputError

__all__ = ["dataset_of_series", "finite", "joined", "packed"]

_DIMENSIONS = 3


def packed(
    series: NDArray[Any], lengths: NDArray[Any] | None, name: str, lengths_name: str = "lengths"
) -> list[NDArray[np.float32]]:
    """The series of an array in which shorter ones are filled up.

    Parameters
    ----------
    series : numbers, shape (n, frames, channels)
        With lengths, what lies behind them may be anything.
    lengths : integers (n,), optional
        By default all frames.
    name, lengths_name : str
        What error messages call the two.

    Returns
    -------
    list of float32 (frames, channels)

    Raises
    ------
    InputError
        An array has another shape or type, a length does not fit, or a value is NaN or infinite.
    """
    if series.ndim != _DIMENSIONS or series.dtype.kind not in "iuf" or 0 in series.shape:
        raise InputError(
            f"{name} are {series.dtype} of shape {series.shape}; they must be numbers of shape (n, frames, channels), "
            f"nothing 0{_advice(series)}"
        )
    count, frames, _ = series.shape
    if lengths is None:
        lengths = np.full(count, frames)
    if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
        raise InputError(
            f"{lengths_name} of {name} are {lengths.dtype} of shape {lengths.shape}; they must be integers of shape "
            f"({count},), one per series"
        )
    if not 1 <= lengths.min() <= lengths.max() <= frames:
        raise InputError(
            f"{lengths_name} of {name} reach from {lengths.min()} to {lengths.max()}; each must be in 1 .. {frames}, "
            "the frames of the array"
        )
    ends = zip(series, lengths, strict=True)
    return [finite(own[:length], f"{name}: series {row}") for row, (own, length) in enumerate(ends)]


def _advice(series: NDArray[Any]) -> str:
    if series.ndim == 2 and series.dtype.kind in "iuf":
        return "; of one channel, store series[:, :, numpy.newaxis]"
    if series.dtype.kind == "b":
        return "; store series.astype(numpy.float32)"
    return ""


def finite(values: NDArray[Any], name: str) -> NDArray[np.float32]:
    """Numbers (frames, channels) as float32.

    Raises
    ------
    InputError
        One is NaN or infinite.
    """
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    if not np.isfinite(found).all():
        frame, channel = np.argwhere(~np.isfinite(found))[0]
        raise InputError(
            f"{name} has {values[frame, channel]} in frame {frame}, channel {channel}; every value within its length "
            "must be a finite float32: fill it in, or leave the series out"
        )
    return found


def joined(
    series: Sequence[NDArray[np.float32]], labels: NDArray[np.int64], channels: int = 0, longest: int = 0
) -> SeriesSet:
    """Series of float32 (frames, channels) as a set, at least as long as is asked; without series, of `channels`."""
    lengths = [len(own) for own in series]
    return SeriesSet(
        values=np.concatenate(series) if lengths else np.zeros((0, channels), np.float32),
        offsets=np.cumsum([0, *lengths], dtype=np.int64),
        labels=labels,
        longest=max([*lengths, longest]),
    )


def dataset_of_series(
    name: str, train: SeriesSet, test: SeriesSet, class_names: tuple[str, ...], source: str
) -> Dataset:
    """A data set, with the mean and the deviation of each channel over the training frames.

    Raises
    ------
    InputError
        The parts have different numbers of channels.
    """
    if train.shape[2] != test.shape[2]:
        raise InputError(
            f"{source}: training series have {train.shape[2]} channels and test series {test.shape[2]}; they must have "
            "the same"
        )
    mean, std = _moments(train.values)
    return Dataset(
        name=name,
        train=train,
        test=test,
        classes=len(class_names),
        class_names=class_names,
        mean=mean,
        std=std,
        augmentation=Augmentation(crop=0, flip=False),
        source=source,
    )


def _moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation of each channel; the deviation is 1 where all values are equal.

    The sums are exact and rounded once: the same on any machine and for any order of the frames.
    """
    columns = values.astype(np.float64).T
    mean = np.array([math.fsum(column) / len(column) for column in columns])
    std = np.array(
        [math.sqrt(math.fsum((column - own) ** 2) / len(column)) for column, own in zip(columns, mean, strict=True)]
    )
    found = mean, np.where(np.ptp(values, axis=0) == 0, 1.0, std)
    for array in found:
        array.flags.writeable = False
    return found
