"""What looks odd in a data set: each finding one line with what it is, its value, what is usual, and what to do.

Nothing is refused here. Good data give no line; a line means that somebody should look.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.inspection.summary import Summary, named, span
from spikesim.datasets.samples.event_set import GAP_FACTOR
from spikesim.datasets.samples.tally import Tally

SHORT, LONG = 10_000, 60_000_000
"""Microseconds between which the median duration of recordings is usual: 10 ms and a minute."""
UNITS = {"microseconds": ("nanoseconds", "milliseconds or seconds"), "milliseconds": ("microseconds", "seconds")}
"""The shorter and the longer units that times may be in, if they are not in these."""
GAP_MIN = 1_000
"""Microseconds of the shortest gap that is looked at."""
RATE_MAX = 1000.0
"""Events a second of a pixel, mean of the sensor: those of event cameras have 10 to 100."""
FOLLOWED_FACTOR = 20
"""So many times the duration that is followed, or less than this part of it, is another duration."""
OUTLIER_FACTOR = 20
"""A recording that lasts so many times the median."""
SHARE = 0.05
"""Part of the recordings, or of the images, from which on it is no chance."""
STRAY = 0.001
"""Part of the events that may lie outside of the sensor because of faults."""
STRAY_EVENTS = 8
"""As many of them may, if there are few events."""
GAP_COLUMNS = 8
"""Columns without an event that say nothing."""
CHANCE = 10
"""Samples for each class on average, among which one is missing by chance with probability exp(-10)."""
CHANNELS_MAX = 4
"""Channels of usual images."""
ASPECT_MAX = 4
"""The longer side of a usual image, of the shorter one."""
PARTED_EVENTS = 6
"""Of fewer events, a long gap is chance."""


def warnings(summary: Summary) -> list[str]:
    """All that looks odd."""
    found = [*_of_classes(summary)]
    if summary.sequences is not None:
        found += summary.sequences.warnings
    elif summary.train.tally is None:
        found += _of_images(summary)
    else:
        for part, tally in summary.tallies:
            found += _of_clocks(part.name, tally)
        found += _of_durations(summary)
        found += _of_events(summary)
        found += _of_sensor(summary)
    return found


def of_limit(labels: NDArray[np.int64], limit: int | None, key: str) -> list[str]:
    """Whether the first samples, to which a run is limited, are of some classes only.

    Parameters
    ----------
    labels : int64 (n,)
        Of all samples.
    limit : int or None
        So many of them are used.
    key : str
        Setting of the limit.
    """
    if limit is None or limit >= len(labels):
        return []
    missing = sorted({*labels.tolist()} - {*labels[:limit].tolist()})
    if not missing or limit < CHANCE * len(np.unique(labels)):
        return []
    return [
        f"{key} is {limit}, and the first {limit} have no sample of {named('class', 'classes', missing)}: are "
        "the samples sorted? Mix them"
    ]


def _of_classes(summary: Summary) -> Iterator[str]:
    train, test = summary.train, summary.test
    present = np.flatnonzero(train.per_class)
    if len(present) == 1:
        yield (
            f"all {train.samples} training samples are of class {present[0]}: there is nothing to tell apart; "
            "give samples of two classes or more"
        )
    first = int(present[0]) if len(present) else 0
    empty = named("class", "classes", train.empty_classes)
    if first > 0 and len(train.empty_classes) == first:
        yield (
            f"the labels begin at {first}, and there is no training sample of {empty}: classes count from 0; "
            f"subtract {first} from the labels"
        )
    elif train.empty_classes and len(present) != 1:
        yield (
            f"there is no training sample of {empty}, of {summary.classes} classes: number the classes 0 .. n - 1 "
            "without gaps, or give samples of each"
        )
    missing = sorted({*test.empty_classes} - {*train.empty_classes})
    if missing and test.samples >= CHANCE * summary.classes:  # of fewer, one class may be missing by chance
        yield (
            f"there is no test sample of {named('class', 'classes', missing)} among {test.samples}: the test says "
            "nothing of it; mix the samples before they are divided"
        )


def _of_images(summary: Summary) -> Iterator[str]:
    height, width, channels = summary.shape
    if height <= CHANNELS_MAX < min(width, channels) and max(width, channels) <= ASPECT_MAX * min(width, channels):
        yield (
            f"images have {height}x{width} pixels and {channels} channels: the channels come last, (n, height, width, "
            f"channels); if these come first, give images.transpose(0, 2, 3, 1), of {width}x{channels} pixels"
        )
    values = [value for part in summary.parts if part.values for value in part.values]
    if max(values) <= 1:
        yield (
            f"pixels reach from {min(values)} to {max(values)}, usual are 0 .. 255: of images in 0 .. 1 little is "
            "left in whole numbers; multiply by 255 before they are converted to uint8"
        )
    for part in summary.parts:
        if max(values) > 1 and part.blank > SHARE * part.samples:
            yield (
                f"{part.blank} of {part.samples} {part.name} images have one value in all pixels: there is nothing to "
                "see in them; look at how they were read"
            )
    if 2 * summary.crop > min(height, width):
        yield (
            f"crop is {summary.crop} pixels of images of {height}x{width}: data.augment shifts most of an image out "
            f"of sight; usual are up to {max(1, min(height, width) // 8)}"
        )


def _of_clocks(part: str, tally: Tally) -> Iterator[str]:
    if (tally.wraps > 0).any():
        yield (
            f"the clock of {_recordings(part, tally.wraps > 0)} falls back by 2^32 or 2^31 us, as counters of 32 bits "
            "do that wrap: unwrapped, the times go on from there; nothing is to be done"
        )
    if (tally.resets > 0).any():
        yield (
            f"times of {_recordings(part, tally.resets > 0)} fall back by more than a quarter of the recording and "
            "ascend again: if the clock was reset, the parts now lie one over the other; make the times continue"
        )
    alone = _parted(tally)
    last = alone & (tally.before >= tally.events - 1)
    first = alone & (tally.before == 1) & ~last
    for which, at, word in ((first, 0, "first"), (last, -1, "last"), (alone & ~first & ~last, None, "")):
        if not which.any():
            continue
        gap, rest = (float(np.median(times[which])) for times in (tally.gaps, tally.durations - tally.gaps))
        if at is None:
            yield (
                f"nothing happens for {span(gap)} within {_recordings(part, which)}, whose other events take "
                f"{span(rest)}: did the clock wrap or start anew before the events were sorted? Make the times continue"
            )
        else:
            yield (
                f"the {word} event of {_recordings(part, which)} is {span(gap)} from the others, which take "
                f"{span(rest)}: a time that was not set, as 0 before an absolute clock? Drop that event"
            )


def _of_durations(summary: Summary) -> Iterator[str]:
    tallies = [tally for _, tally in summary.tallies]
    events = np.concatenate([tally.events for tally in tallies])
    lasting = np.concatenate(
        [np.where(_parted(tally), tally.durations - tally.gaps, tally.durations) for tally in tallies]
    )[events > 1]
    if not len(lasting):
        return
    median = float(np.median(lasting))
    rate = float(np.median(events[events > 1] / np.maximum(lasting, 1))) * 1e6 / (summary.shape[0] * summary.shape[1])
    usual = f"usual are {span(SHORT)} to {span(LONG)}: are the times {summary.time_unit}, as they are taken,"
    shorter, longer = UNITS[summary.time_unit]
    if median < SHORT:
        yield f"half of the recordings last {span(median)} or less; {usual} or {longer}? Convert them"
    elif rate > RATE_MAX:
        yield (
            f"a pixel has {rate:.0f} events per second, usual are up to {RATE_MAX:.0f}, in recordings of "
            f"{span(median)}; {usual} or {longer}? Convert them"
        )
    elif median > LONG:
        yield f"half of the recordings last {span(median)} or more; {usual} or {shorter}? Convert them"
    followed = (summary.followed or 0) * 1000
    if SHORT <= median <= LONG and followed and not followed / FOLLOWED_FACTOR <= median <= followed * FOLLOWED_FACTOR:
        yield (
            f"{span(followed)} of each recording are followed (data.duration), and half of them last {span(median)} or "
            + ("less: nothing happens for most of that time" if median < followed else "more: most is left out")
            + "; set data.duration"
        )
    for part, tally in summary.tallies:
        outliers = (tally.durations > OUTLIER_FACTOR * max(median, 1)) & ~_parted(tally)
        if outliers.any():
            yield (
                f"{_recordings(part.name, outliers)}: {span(int(tally.durations[outliers].max()))} long, the median is "
                f"{span(median)}: look at the times; what comes after data.duration is left out"
            )


def _of_events(summary: Summary) -> Iterator[str]:
    for part, tally in summary.tallies:
        empty = tally.events == 0
        if empty.mean() > 0.5:
            yield (
                f"most {part.name} recordings are empty, {int(empty.sum())} of {part.samples}: look at how they were "
                "read, and at offsets"
            )
        elif (tally.events == 1).mean() > 0.5:
            yield (
                f"most {part.name} recordings have one event only, {int((tally.events == 1).sum())} of {part.samples}: "
                "are offsets those of recordings, or of events?"
            )


def _of_sensor(summary: Summary) -> Iterator[str]:
    height, width, _ = summary.shape
    tallies = [tally for _, tally in summary.tallies]
    for what, letter, counts in (
        ("column", "x", [tally.columns for tally in tallies]),
        ("row", "y", [tally.rows for tally in tallies]),
    ):
        total = np.sum(counts, axis=0)
        inside, last, stray = _stray(total)
        if stray:
            yield (
                f"{stray} of {total.sum()} events lie beyond {what} {inside}, the last in {what} {last}, of a sensor "
                f"of {height}x{width} pixels: a fault of a pixel or of the reading? Drop them, so that {letter} ends "
                f"at {inside}"
            )


def _stray(counts: NDArray[np.int64]) -> tuple[int, int, int]:
    """The last column that belongs to the sensor, the last one with an event, and the events beyond; 0 of them if all
    belong to it.

    A sensor ends where all but very few events do, or before a gap that is wider than half of all columns.
    """
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return 0, 0, 0
    total, last = int(counts.sum()), int(used[-1])
    allowed = max(1, min(STRAY_EVENTS, total // 100), int(STRAY * total))
    beyond = total - np.cumsum(counts[used])  # events behind each column that is used
    few = int(np.argmax(beyond <= allowed))
    if last + 1 > 2 * (used[few] + 1) and last - used[few] > GAP_COLUMNS:
        return int(used[few]), last, int(beyond[few])
    gaps = np.diff(used)
    widest = int(gaps.argmax())
    if gaps[widest] > max(GAP_COLUMNS, (last + 1) // 2):
        return int(used[widest]), last, int(beyond[widest])
    return 0, 0, 0


def _parted(tally: Tally) -> NDArray[np.bool_]:
    """Recordings that one gap parts in two which do not belong together.

    One of them may be chance, a stray event before a short burst: then it is an outlier too, or long.
    """
    rest = tally.durations - tally.gaps
    parted: NDArray[np.bool_]
    parted = (tally.events >= PARTED_EVENTS) & (tally.gaps > GAP_FACTOR * np.maximum(rest, 1)) & (tally.gaps > GAP_MIN)
    if not parted.any():
        return parted
    usual = float(np.median(rest[tally.events >= PARTED_EVENTS]))
    far = (tally.gaps > LONG) | (tally.gaps > OUTLIER_FACTOR * max(usual, 1))
    if parted.mean() <= SHARE:
        parted &= far
    return parted


def _recordings(part: str, which: NDArray[np.bool_]) -> str:
    return named(f"{part} recording", f"{part} recordings", np.flatnonzero(which).tolist())
