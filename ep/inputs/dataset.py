"""The data set that a configuration names."""

from dataclasses import replace
from pathlib import Path, PurePath

from spikesim.datasets import Dataset, find, load
from spikesim.datasets.samples.identity import base_name, split_fold, split_name
from spikesim.ep.config.parsing import Config
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError
from spikesim.runtime.free_memory import naming_memory

__all__ = ["is_name_of", "load_dataset", "load_of_run", "named"]


def load_dataset(
    config: Config, data_dir: str | Path | None = None, resumed: Path | None = None
) -> tuple[Config, Dataset]:
    """Find, check and read the data set of a configuration.

    Parameters
    ----------
    config : Config
    data_dir : path, optional
    resumed : Path, optional
        The run file that is to be continued, if it exists.

    Returns
    -------
    Config
        The same, with the name that the data set has for itself (`named`).
    Dataset

    Raises
    ------
    InputError
        As for `spikesim.datasets.load` and `named`.
    """
    dataset = _load(config.data.dataset, data_dir)
    return named(config, dataset, resumed), dataset


def load_of_run(config: Config, reader: RunReader, data_dir: str | Path | None = None) -> tuple[Config, Dataset]:
    """`load_dataset` for a configuration made of that of a run: its data are also looked for where they were then.

    Raises
    ------
    InputError
        As for `spikesim.datasets.load`.
    """
    name, source = config.data.dataset, reader.data_source
    if name != reader.setting("data.dataset") or not source or find(name, data_dir) is not None:
        return load_dataset(config, data_dir)
    place, file = Path(source), split_fold(name)[0]
    if place.is_file() and place.name == PurePath(file).name:
        dataset = _load(source + name[len(file) :], None)
    else:  # a published set, whose source is its folder or an archive in it
        folder = place if place.is_dir() else place.parent
        dataset = _load(name, folder if folder.is_dir() else data_dir)
    return named(config, dataset), dataset


def named(config: Config, dataset: Dataset, resumed: Path | None = None) -> Config:
    """The configuration with the name that the data set has for itself.

    Of a file of your own and of recordings it holds the hash of the content and no folder, so that a run goes on with
    the same samples only, wherever they lie. A run that was begun on recordings without a hash keeps their name, and
    its content is not compared.

    Raises
    ------
    InputError
        The run that is to be continued has other content under this name.
    """
    name = dataset.name
    if resumed is not None and resumed.exists():
        try:
            with RunReader(resumed) as run:
                begun = run.setting("data.dataset")
        except InputError:  # whoever continues the file says what is wrong with it, or makes it anew
            begun = None
        if is_name_of(begun, dataset):
            name = begun
        elif isinstance(begun, str) and split_name(begun)[1] and base_name(begun) == base_name(name):
            raise InputError(
                f"{resumed} was started on other data: data.dataset is {begun} in the file and {name} now, with the "
                f"hash of the content of {dataset.source}; give the original data, or choose another --out"
            )
    return replace(config, data=replace(config.data, dataset=name))


def is_name_of(name: object, dataset: Dataset) -> bool:
    """Whether a run file or a teacher file means this data set.

    The oldest ones have recordings without a hash behind the name, and with a folder in front of it.
    """
    if name == dataset.name:
        return True
    plain = isinstance(name, str) and split_name(name)[1] is None
    return plain and dataset.recordings and base_name(str(name)) == base_name(dataset.name)


def _load(name: str, data_dir: str | Path | None) -> Dataset:
    with naming_memory(f"the samples of {name}", "use a machine with more memory, or fewer samples"):
        return load(name, data_dir)
