"""IMDB, Maas and others' 50,000 film reviews, in the folders that its archive unpacks to."""

from pathlib import Path

import numpy as np

from spikesim.datasets.catalogue.registry import Entry
from spikesim.datasets.formats.folder_layouts import LAYOUTS, read_bytes, require, sample_files
from spikesim.datasets.formats.sequences.text_lines import decoded
from spikesim.datasets.formats.sequences.text_table import text_dataset
from spikesim.datasets.samples.model import Dataset
from spikesim.datasets.samples.text_set import TextSet
from spikesim.errors import InputError

__all__ = ["load"]

_BREAK = "<br />"
"""What stands in these texts where their writers began a new line."""


def load(entry: Entry, data_dir: str | Path | None = None) -> Dataset:
    """Read a set; its name has no hash yet. Texts are in the order of their numbers, so that classes are mixed, and
    ``<br />`` is a line break.

    Raises
    ------
    InputError
        It is not found, a file cannot be read, is no UTF-8 or is empty, or a class has no text.
    """
    folder = require(entry, data_dir)
    train, test = (_part(entry, folder / part) for part in LAYOUTS[entry.form].parts)
    return text_dataset(entry.name, train, test, entry.class_names, str(folder))


def _part(entry: Entry, part: Path) -> TextSet:
    texts, labels = [], []
    for file in sample_files(entry, part):
        text = decoded(read_bytes(entry, file.path), str(file.path)).replace(_BREAK, "\n").strip()
        if not text:
            raise InputError(f"{file.path}: is empty; remove it, or write its text again")
        texts.append(text)
        labels.append(file.label)
    found = np.array(labels, np.int64)
    for label, name in enumerate(entry.class_names):
        if label not in found:
            raise InputError(f"{part}: has no text of the class {name}; {entry.name} has both in each part")
    return TextSet(tuple(texts), found)
