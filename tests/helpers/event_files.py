"""Recordings of events made up for tests, in every format that is read."""

import io
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, Events
from spikesim.datasets.samples.event_set import Collector
from spikesim.datasets.samples.model import Augmentation

SIDE = 8
MILLISECONDS = 20.0
PLACES = (os.environ.get("SPIKESIM_DATA", ""), Path(__file__).parents[3] / "shared" / "data" / "nmnist_small")
"""Folders where the first recordings of N-MNIST may lie, in one file."""


def bar(label: int, seed: int, *, side: int = SIDE, events: int = 120, milliseconds: float = MILLISECONDS) -> Events:
    """A bar that moves right (0), left (1) or down (2): in place and number of events the classes are the same."""
    rng = np.random.default_rng([label, seed])
    t = np.sort(rng.integers(0, int(milliseconds * 1000), events))
    along, across = (t * side / (milliseconds * 1000)).astype(np.int64), rng.integers(0, side, events)
    x, y = ((along, across), (side - 1 - along, across), (across, along))[label]
    return Events(x, y, t + 5000, rng.integers(0, 2, events))


def bars(samples: int = 24, *, side: int = SIDE, first: int = 0) -> list[tuple[Events, int]]:
    """Recordings and their labels."""
    return [(bar(i % 3, first + i, side=side), i % 3) for i in range(samples)]


def collected(recordings: list[tuple[Events, int]], side: int = SIDE) -> Any:
    """An `EventSet`."""
    collector = Collector(side, side)
    for events, label in recordings:
        collector.add(events, label, "a recording")
    return collector.finish()


def make_recordings(samples: int = 24, *, side: int = SIDE) -> Dataset:
    """A data set of moving bars."""
    return Dataset(
        name="bars",
        train=collected(bars(samples, side=side), side),
        test=collected(bars(samples, side=side, first=1000), side),
        classes=3,
        class_names=("right", "left", "down"),
        mean=np.zeros(2),
        std=np.ones(2),
        augmentation=Augmentation(crop=0, flip=False),
        source="memory",
        duration=MILLISECONDS,
    )


def nmnist_bytes(events: Events) -> bytes:
    """A recording as N-MNIST has it."""
    columns = [events.x, events.y, events.p << 7 | events.t >> 16, events.t >> 8 & 255, events.t & 255]
    return np.stack(columns, axis=1).astype(np.uint8).tobytes()


def npy_bytes(array: NDArray[Any]) -> bytes:
    """A .npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype.hasobject)
    return stream.getvalue()


def gesture_bytes(events: Events) -> bytes:
    """A recording as Tonic distributes DVS128 Gesture; the times lose what is below a millisecond."""
    return npy_bytes(np.stack([events.x, events.y, events.p, events.t // 1000], axis=1))


def write_nmnist(folder: Path, recordings: dict[str, list[tuple[Events, int]]]) -> Path:
    """Recordings by part, Train and Test, in N-MNIST's folders, numbered from 1."""
    for part, own in recordings.items():
        for number, (events, label) in enumerate(own, 1):
            place = folder / part / str(label)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:05d}.bin").write_bytes(nmnist_bytes(events))
    return folder


def write_gestures(folder: Path, recordings: dict[str, list[tuple[Events, int]]]) -> Path:
    """Recordings by part, ibmGestureTrain and ibmGestureTest, three to a user."""
    for part, own in recordings.items():
        for number, (events, label) in enumerate(own):
            place = folder / part / f"user{number // 3 + 1:02d}_fluorescent_led"
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{label}.npy").write_bytes(gesture_bytes(events))
    return folder


def arrays_of(recordings: list[tuple[Events, int]], n_train: int) -> dict[str, NDArray[Any]]:
    """The arrays of a user's own file."""
    found: dict[str, NDArray[Any]] = {
        what: np.concatenate([getattr(events, what) for events, _ in recordings]) for what in "xytp"
    }
    found["offsets"] = np.cumsum([0, *(len(events.t) for events, _ in recordings)])
    found["labels"] = np.array([label for _, label in recordings])
    found["n_train"] = np.array(n_train)
    return found


def write_file(path: Path, arrays: dict[str, NDArray[Any]], **options: Any) -> Path:
    """A user's own file; options are those of an HDF5 dataset."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        return path
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **(options if array.ndim else {}))
    return path


def small_nmnist() -> Path | None:
    """The file of the first recordings of N-MNIST; None if it is not on this machine."""
    found = (Path(place) / "nmnist_small.npz" for place in PLACES if place)
    return next((path for path in found if path.is_file()), None)


def first_nmnist(path: Path) -> dict[str, list[tuple[Events, int]]]:
    """The first recordings of N-MNIST, by part, in the order of MNIST."""
    with np.load(path, allow_pickle=False) as file:
        records, offsets = file["records_t"].astype(np.int64), file["offsets"]
        labels, n_train = file["labels"], int(file["n_train"])
    found: dict[str, list[tuple[Events, int]]] = {"Train": [], "Test": []}
    for i, label in enumerate(labels):
        x, y, high, middle, low = records[:, offsets[i] : offsets[i + 1]]
        events = Events(x, y, (high & 127) << 16 | middle << 8 | low, high >> 7)
        found["Train" if i < n_train else "Test"].append((events, int(label)))
    return found
