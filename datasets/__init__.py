"""Data sets of images and of recordings of events: finding, checking and reading them.

The set ``fashion-mnist-mini`` comes with the program; the others are read from a data folder. Random changes and
fixed-point pixels are in `spikesim.datasets.samples.transforms`, downloads in `spikesim.datasets.fetching.fetch`.

Imports the core alone; `ep` and `cli` import it.
"""

from spikesim.datasets.catalogue.registry import names
from spikesim.datasets.formats.binary_images import read_cifar, read_idx
from spikesim.datasets.loading import check, find, load
from spikesim.datasets.samples.event_set import Events, EventSet
from spikesim.datasets.samples.model import Augmentation, Dataset, ImageSet

__all__ = [
    "Augmentation",
    "Dataset",
    "EventSet",
    "Events",
    "ImageSet",
    "check",
    "find",
    "load",
    "names",
    "read_cifar",
    "read_idx",
]
