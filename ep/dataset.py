"""The data set that a configuration names."""

from dataclasses import replace
from pathlib import Path

from spikesim.datasets import Dataset, load
from spikesim.ep.config import Config
from spikesim.freememory import naming_memory


def load_dataset(config: Config, data_dir: str | Path | None = None) -> tuple[Config, Dataset]:
    """Find, check and read the data set of a configuration.

    Returns
    -------
    Config
        The same, with the name that the data set has for itself: of a file of one's own it holds the hash of the
        content and no folder, so that a run goes on with the same images only, wherever they lie.
    Dataset

    Raises
    ------
    InputError
        As for `spikesim.datasets.load`.
    """
    with naming_memory(f"the samples of {config.data.dataset}", "use a machine with more memory, or fewer samples"):
        dataset = load(config.data.dataset, data_dir)
    return replace(config, data=replace(config.data, dataset=dataset.name)), dataset
