"""Whether the processes of a run mean the same run: their configuration, data, teacher, weights and versions.

Processes that differ would train one network on two sets of data, or exchange messages of different lengths. So they
compare before the first mini-batch, and all of them refuse alike.
"""

import hashlib
import platform
from collections.abc import Mapping

import h5py
import numba
import numpy as np
import scipy
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.datasets import Dataset
from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.identity import split_name, text_arrays
from spikesim.datasets.samples.series_set import SeriesSet
from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.ep.config.parsing import Config
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.communicator import Communicator
from spikesim.errors import InputError
from spikesim.io.config_diff import flat_settings
from spikesim.jit.compilation import source_hash

__all__ = ["check_agreement", "check_same"]

SHOWN = 60
"""Characters of a value in a message."""


def check_agreement(
    ranks: Communicator,
    config: Config,
    dataset: Dataset,
    soft_targets: NDArray[np.float64] | None = None,
    parameters: ParameterTree | None = None,
) -> None:
    """Refuse processes that differ in what decides the bits of a result. Called by all of them.

    Parameters
    ----------
    ranks : Communicator
    config : Config
    dataset : Dataset
    soft_targets : float64 (training samples, classes), optional
        A teacher's softened answers.
    parameters : ParameterTree, optional
        Those of a run file.

    Raises
    ------
    InputError
        In all processes.
    """
    if ranks.size == 1:
        return
    facts = {f"the version of {name}": version for name, version in _versions().items()}
    facts |= {key: str(value) for key, value in flat_settings(config.to_dict())}
    if split_name(dataset.name)[1] is None:  # else the name has the hash of the content
        facts |= {f"the content of {dataset.name} ({name})": value for name, value in _contents(dataset).items()}
    if soft_targets is not None:
        facts["the content of the teacher file"] = _hash(soft_targets)
    if parameters is not None:
        facts["the content of the run file"] = _hash(*parameters.leaves().values())
    check_same(ranks, facts)


def check_same(ranks: Communicator, facts: Mapping[str, str]) -> None:
    """Refuse processes that differ in one of these facts. Called by all of them.

    Parameters
    ----------
    facts : mapping of str to str
        Names of things, as a message has them, to their values in this process.

    Raises
    ------
    InputError
        In all processes, with the first thing that differs.
    """
    first, *others = ranks.gather(dict(facts))
    for number, other in enumerate(others, 1):
        for name in [*first, *(name for name in other if name not in first)]:
            here, there = first.get(name, "missing"), other.get(name, "missing")
            if here != there:
                raise InputError(
                    f"{name} is {_short(there)} in process {number} and {_short(here)} in process 0; the processes of "
                    "one run need the same; start independent runs separately, or submit them as a sweep"
                )


def _versions() -> dict[str, str]:
    return {
        "spikesim": f"{__version__} ({source_hash()})",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
        "Numba": numba.__version__,
        "h5py": h5py.__version__,
    }


def _contents(dataset: Dataset) -> dict[str, str]:
    found = {"normalization": _hash(dataset.mean, dataset.std)}
    for name, part in (("training", dataset.train), ("test", dataset.test)):
        if isinstance(part, EventSet):
            found[name] = _hash(part.neurons, part.times, part.offsets, part.labels)
        elif isinstance(part, SeriesSet):
            found[name] = _hash(part.values, part.offsets, part.labels)
        elif isinstance(part, TokenSet):
            found[name] = _hash(part.tokens, part.offsets, part.labels)
        elif isinstance(part, TextSet):
            found[name] = _hash(*text_arrays(part.texts), part.labels)
        else:
            found[name] = _hash(part.images, part.labels)
    return found


def _hash(*arrays: NDArray[np.generic]) -> str:
    """16 hexadecimal digits over dtypes, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
