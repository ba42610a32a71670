"""Images and recordings of data sets for the inputs of sparse networks, which know no data sets."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, EventSet, ImageSet, load
from spikesim.errors import InputError

_OWN = (".npz", ".h5", ".hdf5")


class DatasetSamples:
    """Reads samples of test sets, each data set once.

    Parameters
    ----------
    folder : Path
        Where one's own files are looked for; published sets are where $SPIKESIM_DATA says.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, Dataset] = {}

    def images(self, dataset: str, samples: list[int]) -> NDArray[np.uint8]:
        """Test images, uint8 (n, H, W, C).

        Raises
        ------
        InputError
            The data set cannot be read, holds no images, or has no such sample.
        """
        found = self._load(dataset)
        if not isinstance(found.test, ImageSet):
            if not found.recordings:
                raise InputError(f"{found.name} holds {found.kind}; give a data set of images")
            raise InputError(f"{found.name} holds recordings of events; give them as recordings")
        _require(found, samples)
        return np.asarray(found.test.images[samples])

    def recording(self, dataset: str, sample: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The events of a recording of the test set: neurons, and milliseconds from the first.

        Raises
        ------
        InputError
            The data set cannot be read, holds no recordings, or has no such sample.
        """
        found = self._load(dataset)
        events = found.test
        if not isinstance(events, EventSet):
            advice = "give them as images" if found.kind == "images" else "give a data set of recordings"
            raise InputError(f"{found.name} holds {found.kind}, not recordings of events: {advice}")
        _require(found, [sample])
        own = slice(int(events.offsets[sample]), int(events.offsets[sample + 1]))
        return events.neurons[own].astype(np.int64), events.times[own] / 1000.0

    def _load(self, name: str) -> Dataset:
        if name not in self._loaded:
            self._loaded[name] = load(name, self._folder if name.endswith(_OWN) else None)
        return self._loaded[name]


def _require(dataset: Dataset, samples: list[int]) -> None:
    if max(samples) >= len(dataset.test):
        raise InputError(
            f"{dataset.name} has {len(dataset.test)} test samples, numbered from 0; there is no {max(samples)}"
        )
