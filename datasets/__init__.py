"""Data sets of images, recordings of events, series and texts: finding, checking and reading them.

The sets ``fashion-mnist-mini`` and ``japanese-vowels`` come with the program; the others are read from a data folder.
Random changes and fixed-point pixels are in `spikesim.datasets.samples.transforms`, downloads in
`spikesim.datasets.fetching.fetch`.

Imports the core alone; `ep` and `cli` import it.
"""

from spikesim.datasets.catalogue.registry import names
from spikesim.datasets.formats.binary_images import read_cifar, read_idx
from spikesim.datasets.loading import check, find, load
from spikesim.datasets.samples.event_set import Events, EventSet
from spikesim.datasets.samples.model import Augmentation, Dataset, ImageSet
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.vocabulary import Vocabulary

__all__ = [
    "Augmentation",
    "Dataset",
    "EventSet",
    "Events",
    "ImageSet",
    "SeriesSet",
    "TextSet",
    "Vocabulary",
    "check",
    "find",
    "load",
    "names",
    "read_cifar",
    "read_idx",
]
