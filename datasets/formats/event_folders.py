"""Published sets of recordings, in the folders that their archives unpack to
(`spikesim.datasets.formats.folder_layouts`)."""

from pathlib import Path

import numpy as np

from spikesim.datasets.catalogue.registry import Entry
from spikesim.datasets.formats.event_parsing import read_gesture, read_nmnist
from spikesim.datasets.formats.folder_layouts import LAYOUTS, read_bytes, require, sample_files
from spikesim.datasets.inspection.summary import Summary, part_of_recordings
from spikesim.datasets.samples.event_set import Collector
from spikesim.datasets.samples.model import Dataset

_READERS = {"nmnist": read_nmnist, "gesture": read_gesture}
_TIME_UNITS = {"nmnist": "microseconds", "gesture": "milliseconds"}


def load(entry: Entry, data_dir: str | Path | None = None) -> Dataset:
    """Read a set. Recordings are in the order of their numbers: N-MNIST's is that of MNIST.

    Raises
    ------
    InputError
        It is not found, or a recording cannot be read.
    """
    folder = require(entry, data_dir)
    train, test = (
        _collect(entry, folder / part, Collector(*entry.shape[:2])).finish() for part in LAYOUTS[entry.form].parts
    )
    return Dataset(
        name=entry.name,
        train=train,
        test=test,
        classes=len(entry.class_names),
        class_names=entry.class_names,
        mean=np.array(entry.mean),
        std=np.array(entry.std),
        augmentation=entry.augmentation,
        source=str(folder),
        duration=entry.duration,
        time_unit=_TIME_UNITS[entry.form],
    )


def check(entry: Entry, data_dir: str | Path | None = None) -> tuple[str, Summary]:
    """Read every recording of a set, one at a time; where it was found and how many there are, and what they hold.

    Raises
    ------
    InputError
        As for `load`.
    """
    folder = require(entry, data_dir)
    train, test = (
        part_of_recordings(
            name, _collect(entry, folder / place, Collector(*entry.shape[:2], keep=False)).tally(),
            len(entry.class_names),
        )
        for name, place in zip(("training", "test"), LAYOUTS[entry.form].parts, strict=True)
    )  # fmt: skip
    summary = Summary(
        entry.shape, train, test, followed=entry.duration, time_unit=_TIME_UNITS[entry.form], kind="recordings"
    )
    found = f"{folder}: {train.samples} of {entry.n_train} and {test.samples} of {entry.n_test} recordings"
    return found, summary


def _collect(entry: Entry, part: Path, collector: Collector) -> Collector:
    for file in sample_files(entry, part):
        events = _READERS[entry.form](read_bytes(entry, file.path), str(file.path))
        collector.add(events, file.label, str(file.path))
    return collector
