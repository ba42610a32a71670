"""The weights of a run that a training starts from.

The configuration names their hash and no file: what a run comes to depends on the weights, wherever they lie.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikesim.ep.config.parsing import Config, config_of_run, make_config, merge
from spikesim.ep.network.parameters import Array, weights_digest
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError

__all__ = ["SourceWeights", "take_weights"]

_DIGEST = re.compile("[0-9a-f]{64}")
_WHICH = ("best", "last")


@dataclass(frozen=True, eq=False)
class SourceWeights:
    """Weights of a run.

    Attributes
    ----------
    path : Path
        The run file.
    which : {"last", "best"}
    arrays : mapping of str to float32 array
        The network's weights and biases, and gains and statistics as far as the file has them, by their names there.
    config : Config
        That of the run.
    """

    path: Path
    which: str
    arrays: Mapping[str, Array]
    config: Config

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays, which stands for them in a configuration."""
        return weights_digest(self.arrays)

    def __str__(self) -> str:
        return f"{self.path}{' (its best epoch)' if self.which == 'best' else ''}"


def take_weights(config: Config) -> tuple[Config, SourceWeights | None]:
    """Read the weights that a configuration names as a file.

    Parameters
    ----------
    config : Config
        With ``model.weights`` a run file: ``RUN.h5`` for its last weights, ``RUN.h5:best`` for those of its best epoch
        by the validation set.

    Returns
    -------
    Config
        The same, with the SHA-256 of the weights in place of the file.
    SourceWeights or None
        None where it names no file.

    Raises
    ------
    InputError
        The file cannot be read, or has no such weights.
    """
    name = config.model.weights
    if not name or _DIGEST.fullmatch(name):
        return config, None
    path, which = _parsed(name)
    with RunReader(path) as reader:
        arrays = {**reader.weights(which), **reader.normalization(which)}
        if not any(array.any() for array in arrays.values()):
            raise InputError(f"{path} has no weights yet; wait for its first checkpoint")
        for own, array in arrays.items():
            if not np.isfinite(array).all():
                raise InputError(f"{path} has values that are not finite in {own}; choose another run")
        source = SourceWeights(path, which, arrays, config_of_run(reader.config))
    return make_config(merge(config.to_dict(), [("model.weights", source.digest)])), source


def _parsed(name: str) -> tuple[Path, str]:
    """The file, and which of its weights; a file whose own name ends like that is taken as it is."""
    path, colon, which = name.rpartition(":")
    if colon and which in _WHICH and not Path(name).exists():
        return Path(path), which
    return Path(name), "last"
