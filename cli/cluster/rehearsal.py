"""The start of a training without the training: what `spikesim train` would refuse before its first mini-batch."""

from pathlib import Path
from typing import TYPE_CHECKING

from spikesim.errors import DamagedError
from spikesim.io.checkpoint import checkpoint_folder
from spikesim.io.config_diff import require_same_settings

if TYPE_CHECKING:
    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config
    from spikesim.ep.training.transfer.source import SourceWeights

__all__ = ["Rehearsal"]

BYTES_MAX = 2**28
"""Of a file of your own that is read for this; a larger one is only looked for, and so are folders of recordings."""


class Rehearsal:
    """Starts of trainings that share a data folder and a teacher. Each data set is read once.

    Parameters
    ----------
    data_dir, teacher : path or None
        As for train.
    skip_data : bool
        The data set and the teacher are not here.
    """

    def __init__(self, data_dir: Path | None, teacher: Path | None, *, skip_data: bool) -> None:
        self._data_dir = data_dir
        self._teacher = teacher
        self._skip_data = skip_data
        self._read: dict[str, Dataset | None] = {}

    def start(self, config: "Config", out: Path) -> None:
        """Do what `spikesim train --resume` does before it trains.

        Raises
        ------
        InputError
            As train would.
        """
        from spikesim.cli.configuration import take_teacher
        from spikesim.ep.inputs.dataset import named
        from spikesim.ep.inputs.teacher import read_teacher
        from spikesim.ep.network.architectures import architecture
        from spikesim.ep.network.error_signals import check_teacher
        from spikesim.ep.training.observer import Silent
        from spikesim.ep.training.run_store import RunOptions
        from spikesim.ep.training.trainer import Trainer
        from spikesim.ep.training.transfer.source import take_weights

        architecture(config.model.arch, config.model.layers)
        check_teacher(config.error_signals, self._teacher is not None)
        if self._skip_data:
            return
        dataset = self._dataset(config.data.dataset)
        if dataset is None:
            if self._teacher is not None:
                read_teacher(self._teacher)
            return
        config, targets = named(config, dataset, out), None
        if self._teacher is not None:
            config, targets = take_teacher(config, dataset, self._teacher)
        config, weights = take_weights(config)
        run = RunOptions(out=out, resume=True)
        self._look(Trainer(config, dataset, run, Silent(), targets, weights=weights).config, out, weights)

    def _look(self, config: "Config", out: Path, weights: "SourceWeights | None") -> None:
        """At the run file that is to be continued, or the weights that a new one starts with."""
        from spikesim.ep.runs.reader import RunReader
        from spikesim.ep.runs.row_log import log_path, logged_config
        from spikesim.ep.training.initialization import check_random_start

        if not out.exists():
            if weights is None:
                check_random_start(config)
            return
        try:
            with RunReader(out) as run:
                require_same_settings(out, run.config, config.to_dict())
        except DamagedError:
            if logged_config(log_path(checkpoint_folder(out))) is None:
                raise
            # else the training goes on from its checkpoint and writes the file anew

    def _dataset(self, name: str) -> "Dataset | None":
        if name not in self._read:
            self._read[name] = self._load(name)
        return self._read[name]

    def _load(self, name: str) -> "Dataset | None":
        """The data set; None where it is there and too large to be read for this."""
        from spikesim.datasets import find, load

        source = find(name, self._data_dir)
        if source is not None and _is_large(name, Path(source)):
            return None
        return load(name, self._data_dir)


def _is_large(name: str, source: Path) -> bool:
    """Whether reading it takes long, as no published images do."""
    from spikesim.datasets.catalogue import registry
    from spikesim.datasets.samples.identity import split_fold

    plain = split_fold(name)[0]
    if plain in registry.names():
        return registry.find(plain).folders_of_files
    return source.stat().st_size > BYTES_MAX
