"""What a data set holds, in numbers and in words: samples, classes, values; of recordings also events and times."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.inspection.sequences import Sequences, sequences_of
from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.model import Dataset, ImageSet, Kind
from spikesim.datasets.samples.tally import Tally
from spikesim.runtime.text import counted

QUARTILES = (0, 25, 50, 75, 100)
NAMED = 8
"""So many things of a kind are named before they are only counted."""
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Part:
    """The training or the test samples.

    Attributes
    ----------
    name : {"training", "test"}
    per_class : int64 (classes,)
        Samples of each class.
    values : (int, int) or None
        The least and the largest pixel of images.
    blank : int
        Images whose pixels are all equal.
    tally : Tally or None
        Of recordings.
    lengths : int64 (n,) or None
        Frames of each series, tokens of each text.
    """

    name: str
    per_class: NDArray[np.int64]
    values: tuple[int, int] | None = None
    blank: int = 0
    tally: Tally | None = None
    lengths: NDArray[np.int64] | None = None

    @property
    def samples(self) -> int:
        """Their number."""
        return int(self.per_class.sum())

    @property
    def empty_classes(self) -> list[int]:
        """Classes without a sample."""
        return np.flatnonzero(self.per_class == 0).tolist()


@dataclass(frozen=True, eq=False)
class Summary:
    """What a data set holds.

    Attributes
    ----------
    shape : (height, width, channels)
        Of an image, or of the sensor and its polarities; of series and texts as `Dataset` has it.
    train, test : Part
    crop : int
        Pixels by which images can be shifted.
    followed : float or None
        Of recordings: milliseconds of each that the free phase follows, or that are worth following.
    time_unit : str
        Of the times as they are stored.
    kind : {"images", "recordings", "series", "text"}
    sequences : Sequences or None
        What else there is to say of series and texts.
    """

    shape: tuple[int, int, int]
    train: Part
    test: Part
    crop: int = 0
    followed: float | None = None
    time_unit: str = "microseconds"
    kind: Kind = "images"
    sequences: Sequences | None = None

    @property
    def parts(self) -> tuple[Part, Part]:
        """Training and test."""
        return self.train, self.test

    @property
    def tallies(self) -> list[tuple[Part, Tally]]:
        """The parts and what was counted of their recordings; none of images."""
        return [(part, part.tally) for part in self.parts if part.tally is not None]

    @property
    def classes(self) -> int:
        """Their number."""
        return len(self.train.per_class)


def summarise(dataset: Dataset) -> Summary:
    """Count what a data set holds; of recordings this was done while they were read."""
    parts = []
    for name, own in (("training", dataset.train), ("test", dataset.test)):
        if isinstance(own, ImageSet):
            parts.append(part_of_images(name, own, dataset.classes))
        elif isinstance(own, EventSet):
            parts.append(part_of_recordings(name, own.tally, dataset.classes))
        else:
            per_class = np.bincount(own.labels, minlength=dataset.classes)
            parts.append(Part(name, per_class, lengths=own.lengths()))
    return Summary(
        dataset.shape,
        parts[0],
        parts[1],
        dataset.augmentation.crop,
        dataset.duration,
        dataset.time_unit,
        dataset.kind,
        sequences_of(dataset),
    )


def part_of_images(name: str, images: ImageSet, classes: int) -> Part:
    """Count images and look at their pixels, once."""
    low, high, blank = 255, 0, 0
    for start in range(0, len(images), _BLOCK):
        block = images.images[start : start + _BLOCK].reshape(-1, int(np.prod(images.shape)))
        least, most = block.min(axis=1), block.max(axis=1)
        low, high = min(low, int(least.min())), max(high, int(most.max()))
        blank += int((least == most).sum())
    per_class = np.bincount(images.labels, minlength=classes)
    return Part(name, per_class, (low, high) if len(images) else None, blank)


def part_of_recordings(name: str, tally: Tally, classes: int) -> Part:
    """Recordings that were counted."""
    return Part(name, np.bincount(tally.labels, minlength=classes), tally=tally)


def facts(summary: Summary) -> list[str]:
    """A data set in a few words each: its samples, its classes; of recordings also their events and their times, of
    series and texts their lengths."""
    height, width, channels = summary.shape
    samples = " and ".join(f"{part.samples} {part.name}" for part in summary.parts)
    each = " and ".join(f"{_range(part.per_class)} {part.name}" for part in summary.parts)
    classes = f"{summary.classes} classes{_names(summary)} of {each} samples each" + "".join(
        f", no {part.name} sample of {named('class', 'classes', part.empty_classes)}"
        for part in summary.parts
        if part.empty_classes
    )
    if summary.sequences is not None:
        lengths = np.concatenate([part.lengths for part in summary.parts if part.lengths is not None])
        return [
            f"{samples} {summary.sequences.samples}",
            classes,
            f"{_quartile_text(lengths)} {summary.sequences.steps} (least, quartiles, most)",
            *summary.sequences.facts,
        ]
    if summary.train.tally is None:
        values = [value for part in summary.parts if part.values for value in part.values]
        return [
            f"{samples} images of {height}x{width} pixels and {counted(channels, 'channel')}, "
            f"values {min(values)} .. {max(values)}",
            classes,
        ]
    events, durations, falls = (
        np.concatenate([getattr(tally, what) for _, tally in summary.tallies])
        for what in ("events", "durations", "falls")
    )
    empty = ", ".join(
        named(f"{part.name} recording", f"{part.name} recordings", np.flatnonzero(tally.events == 0).tolist())
        for part, tally in summary.tallies
        if (tally.events == 0).any()
    )
    unordered = int((falls > 0).sum())
    lasting = durations[events > 0] if (events > 0).any() else durations
    return [
        f"{samples} recordings of a sensor of {height}x{width} pixels",
        classes,
        f"{_quartile_text(events)} events per recording (least, quartiles, most), "
        + (f"{empty} empty" if empty else "none empty"),
        f"{span(lasting.min())} to {span(lasting.max())} long, median {span(float(np.median(lasting)))}, "
        f"times in {summary.time_unit}, "
        + (f"in order but in {unordered} recordings, which are sorted" if unordered else "in order"),
    ]


def as_json(summary: Summary) -> dict[str, Any]:
    """The same for programs; times in milliseconds."""
    found: dict[str, Any] = {"kind": summary.kind, "shape": list(summary.shape), "classes": summary.classes}
    if summary.sequences is not None:
        found |= summary.sequences.numbers
    for key, part in (("train", summary.train), ("test", summary.test)):
        own: dict[str, Any] = {"samples": part.samples, "per_class": part.per_class.tolist()}
        if part.values is not None:
            own["values"] = list(part.values)
        if part.tally is not None:
            own["events"] = _quartiles(part.tally.events)
            own["milliseconds"] = _quartiles(part.tally.durations / 1000)
            own["empty"] = np.flatnonzero(part.tally.events == 0).tolist()
            own["unordered"] = np.flatnonzero(part.tally.falls > 0).tolist()
            own["unwrapped"] = np.flatnonzero(part.tally.wraps > 0).tolist()
        if part.lengths is not None:
            own["lengths"] = _quartiles(part.lengths)
        found[key] = own
    return found


def named(one: str, many: str, numbers: Iterable[int]) -> str:
    """Things with numbers: ``class 3``, ``2 classes (3, 5)``, the first few of them by number."""
    listed = list(numbers)
    if len(listed) == 1:
        return f"{one} {listed[0]}"
    shown = ", ".join(map(str, listed[:NAMED])) + (", ..." if len(listed) > NAMED else "")
    return f"{len(listed)} {many} ({shown})"


def span(microseconds: float) -> str:
    """A time as people say it."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            value = microseconds / size
            return f"{value:.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
    return f"{microseconds:.3g} us"


def _range(counts: NDArray[np.int64]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low} .. {high}" if low != high else str(low)


def _quartile_text(values: NDArray[np.int64]) -> str:
    return " / ".join(f"{value:.0f}" for value in np.percentile(values, QUARTILES))


def _names(summary: Summary) -> str:
    """The names of the classes of series and texts in brackets, where they are few and have some."""
    names = summary.sequences.class_names if summary.sequences is not None else ()
    few = 0 < len(names) <= NAMED and names != tuple(map(str, range(len(names))))
    return f" ({', '.join(names)})" if few else ""


def _quartiles(values: NDArray[Any]) -> list[float]:
    return [float(value) for value in np.percentile(values, QUARTILES)] if len(values) else []
