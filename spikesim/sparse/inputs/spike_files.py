"""Spikes from files: CSV, SONATA, and what this program records."""

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.formats import MAGIC, SIMULATION_MAGIC
from spikesim.io.hdf5_reader import Contents, HDF5File, NotRead, begins_as_hdf5
from spikesim.sparse.files import sonata
from spikesim.sparse.files.number_table import read_columns
from spikesim.sparse.inputs.spikes import Spikes

PIECE = 1 << 18
"""Spikes that are read at a time."""
_WANTED = "give spikes as CSV, SONATA, or a file of spikesim simulate or train"


def read_spikes(
    path: str | os.PathLike[str], *, population: str | None = None, trial: int = 0, step_ms: float = 1.0
) -> Spikes:
    """The spikes of a population in a file.

    Parameters
    ----------
    path : path-like
        CSV, whose first line names the columns `neuron` and `step`, or `neuron` and `time_ms`; SONATA, /spikes; a file
        of `spikesim simulate`, or a run file of `spikesim train` whose spikes were recorded.
    population : str, optional
        In an HDF5 file with several; in a run file the name of a layer.
    trial : int
        In a file of a simulation; in a run file the sample, of the last test.
    step_ms : float
        Milliseconds of a step, where the file has times.

    Raises
    ------
    InputError
        The file cannot be read, or has no such spikes.
    """
    path = Path(path)
    if not begins_as_hdf5(path):
        return _from_csv(path, step_ms)
    file = HDF5File(path, _WANTED, "write it again")
    with contextlib.closing(file):
        kind = file.read(_kind)
        if kind == SIMULATION_MAGIC:
            return file.read(lambda contents: _of_simulation(contents, path, population, trial))
        if kind == MAGIC:
            return file.read(lambda contents: _of_run(contents, path, population, trial))
    neurons, times = sonata.read_spikes(path, population)
    return _naming(path, lambda: Spikes.at_times(neurons, times, step_ms=step_ms))


def _naming(path: Path, made: Any) -> Spikes:
    try:
        found: Spikes = made()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return found


def _from_csv(path: Path, step_ms: float) -> Spikes:
    found = read_columns(path, ("neuron",), ("step", "time_ms"), whole=("neuron", "step"))
    if ("step" in found) == ("time_ms" in found):
        raise InputError(f"{path} must have a column step or a column time_ms beside neuron, and not both")
    if "step" in found:
        return _naming(path, lambda: Spikes.at_steps(found["neuron"], found["step"]))
    return _naming(path, lambda: Spikes.at_times(found["neuron"], found["time_ms"], step_ms=step_ms))


def _kind(contents: Contents) -> object:
    try:
        return contents.attribute("format")
    except (LookupError, TypeError):
        return None


def _of_simulation(contents: Contents, path: Path, population: str | None, trial: int) -> Spikes:
    group = "/populations"
    names = sorted(name for name in contents.names(group) if contents.has(f"{group}/{name}/spikes"))
    name = _chosen(path, population, names, "population with recorded spikes")
    trials = int(contents.attribute("trials"))
    if not 0 <= trial < trials:
        raise InputError(f"{path} has no trial {trial}; it has {trials}, from 0")
    steps = int(contents.array("/steps", "<u8", ()))
    columns = {"trial": "<u4", "step": "<u8", "neuron": "<u4"}
    length = min(contents.length(f"{group}/{name}/spikes/{column}") for column in columns)
    found = _rows(contents, f"{group}/{name}/spikes", columns, {"trial": trial}, length)
    complete = found["step"] < steps
    return Spikes.at_steps(found["neuron"][complete], found["step"][complete])


def _of_run(contents: Contents, path: Path, layer: str | None, sample: int) -> Spikes:
    stored = contents.dataset("/layers/name")
    if stored.dtype.kind != "S":
        raise NotRead("/layers/name is not text")
    names = [one.decode() for one in contents.array("/layers/name", stored.dtype).tolist()]
    index = names.index(_chosen(path, layer, names, "layer"))
    length = int(contents.array("/rows/spikes", "<u8", ())) if contents.has("/spikes") else 0  # complete ones
    if not length:
        raise InputError(f"{path} has no recorded spikes; train with --set record.spikes=[0,1] to record some")
    last = int(contents.rows("/spikes/epoch", length - 1, length, "<u4", (), compressed=True)[0])
    columns = {"epoch": "<u4", "sample": "<u4", "step": "<u2", "layer": "|u1", "neuron": "<u4"}
    found = _rows(contents, "/spikes", columns, {"epoch": last, "layer": index, "sample": sample}, length)
    if not len(found["step"]):
        raise InputError(f"{path} has no spikes of sample {sample} in {names[index]}; record.spikes says which it has")
    return Spikes.at_steps(found["neuron"], found["step"])


def _chosen(path: Path, given: str | None, names: list[str], what: str) -> str:
    if given is None and len(names) == 1:
        return names[0]
    if given not in names:
        asked = f"has {len(names)} of them" if given is None else f"has no {what} {given!r}"
        raise InputError(f"{path} {asked}; choose a {what} among {', '.join(names) or 'none'}")
    return given


def _rows(
    contents: Contents, group: str, columns: dict[str, str], kept: dict[str, int], length: int
) -> dict[str, NDArray[np.int64]]:
    """Steps and neurons of those of the first rows that have these numbers in these columns, some at a time."""
    pieces: dict[str, list[NDArray[np.int64]]] = {"step": [], "neuron": []}
    for start in range(0, length, PIECE):
        own = {
            name: contents.rows(f"{group}/{name}", start, min(start + PIECE, length), kind, (), compressed=True)
            for name, kind in columns.items()
        }
        wanted = np.logical_and.reduce([own[name] == value for name, value in kept.items()])
        for name, found in pieces.items():
            found.append(own[name][wanted].astype(np.int64))
    return {name: np.concatenate([np.zeros(0, np.int64), *found]) for name, found in pieces.items()}
