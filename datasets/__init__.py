"""Data sets of images and of recordings of events: finding, checking and reading them.

The set ``fashion-mnist-mini`` comes with the program; the others are read from a data folder. Random changes and
fixed-point pixels are in `spikesim.datasets.transforms`, downloads in `spikesim.datasets.fetch`.
"""

from spikesim.datasets.eventset import Events, EventSet
from spikesim.datasets.loading import check, find, load
from spikesim.datasets.model import Augmentation, Dataset, ImageSet
from spikesim.datasets.parsing import read_cifar, read_idx
from spikesim.datasets.registry import names

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
