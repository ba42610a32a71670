"""A recorded simulation in the formats of others: SONATA, NIRData, and a table of spikes.

SONATA knows no trials and gets them one after the other on one axis of time; NIRData has them as the rows of its
arrays, the table in a column. Spikes are read piece by piece; only NIRData takes all of them at once.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from spikesim import __version__
from spikesim.ep.exchange.spikes import nir_node, sonata_file, sonata_population, store_nirdata
from spikesim.errors import InputError
from spikesim.runtime.free_memory import require_memory
from spikesim.sparse.analysis.window import potential_unit
from spikesim.sparse.recording import BLOCK_BYTES, SimulationReader

__all__ = [
    "chosen_trials",
    "recorded_populations",
    "write_simulation_nirdata",
    "write_simulation_sonata",
    "write_simulation_spikes",
]

NIR_BYTES = 80
"""About what a spike takes while NIRData are made."""


def chosen_trials(reader: SimulationReader, chosen: tuple[int, ...]) -> tuple[int, ...]:
    """The trials that are written, by default all.

    Raises
    ------
    InputError
        There is no such trial.
    """
    beyond = [trial for trial in chosen if trial >= reader.trials]
    if beyond:
        raise InputError(f"{reader.path} has no trial {beyond[0]}; it has {reader.trials}, from 0")
    return chosen or tuple(range(reader.trials))


def recorded_populations(reader: SimulationReader, column: str = "spikes") -> list[str]:
    """Populations of which spikes, or potentials, were recorded."""
    return [name for name in reader.populations if reader.has(name, column)]


def write_simulation_sonata(path: Path, reader: SimulationReader, trials: tuple[int, ...], step_ms: float) -> None:
    """Write spikes as SONATA, and potentials as a frame-oriented report, a population each.

    What happens in step t of the trial in position i has the time (i * steps + t) * step_ms.

    Raises
    ------
    InputError
        The file is damaged.
    """
    with sonata_file(path, _about(reader, trials, step_ms)) as file:
        for name in recorded_populations(reader):
            ends = np.cumsum(_spikes_of_trials(reader, name, trials))
            times, nodes = sonata_population(file, name, int(ends[-1]))
            places = {trial: (position, int(ends[position - 1]) if position else 0)
                      for position, trial in enumerate(trials)}  # fmt: skip
            for piece in reader.spike_pieces(name):
                for trial, (position, start) in places.items():
                    own = piece.trial == trial
                    stop = start + int(np.count_nonzero(own))
                    if stop > start:
                        times[start:stop] = (position * reader.steps + piece.step[own]) * step_ms
                        nodes[start:stop] = piece.neuron[own]
                    places[trial] = (position, stop)
        for name in recorded_populations(reader, "potentials"):
            _write_report(file, reader, name, trials, step_ms)


def _write_report(file: Any, reader: SimulationReader, name: str, trials: tuple[int, ...], step_ms: float) -> None:
    neurons = reader.potential_neurons(name)
    group, count = file.create_group(f"report/{name}"), len(neurons)
    rows = reader.steps * len(trials)
    data = group.create_dataset("data", (rows, count), "<f4")
    data.attrs["units"] = potential_unit(reader, name) or "1"
    mapping = group.create_group("mapping")
    order = np.argsort(neurons)  # as readers of SONATA expect them
    mapping.create_dataset("node_ids", data=np.array(neurons)[order], dtype="<u8")
    mapping["node_ids"].attrs["sorted"] = np.uint8(1)
    mapping.create_dataset("index_pointers", data=np.arange(count + 1), dtype="<u8")
    mapping.create_dataset("element_ids", data=np.zeros(count), dtype="<u4")
    mapping.create_dataset("time", data=np.array([0.0, rows * step_ms, step_ms]), dtype="<f8")
    mapping["time"].attrs["units"] = "ms"
    length = max(1, BLOCK_BYTES // (4 * reader.trials * count))
    for start in range(0, reader.steps, length):
        stop = min(start + length, reader.steps)
        values = reader.rows(name, "potentials", start, stop)
        for position, trial in enumerate(trials):
            data[position * reader.steps + start : position * reader.steps + stop] = values[:, trial][:, order]


def write_simulation_nirdata(path: Path, reader: SimulationReader, trials: tuple[int, ...], step_ms: float) -> None:
    """Write spikes as NIRData, a node a population and a row per trial.

    Raises
    ------
    InputError
        The file is damaged, or the spikes have no room in memory.
    """
    nodes, place = {}, {trial: position for position, trial in enumerate(trials)}
    for name in recorded_populations(reader):
        most = int(_spikes_of_trials(reader, name, trials).max())
        require_memory({f"the spikes of {name}": NIR_BYTES * most * len(trials)}, "export fewer trials, or SONATA")
        found = []
        for piece in reader.spike_pieces(name):
            kept = np.isin(piece.trial, trials)
            found.append(np.stack([piece.trial[kept], piece.step[kept], piece.neuron[kept]]))
        trial, step, neuron = np.concatenate([np.zeros((3, 0), np.int64), *found], axis=1)
        row = np.array([place[one] for one in trial.tolist()], np.int64)
        order = np.argsort(row, kind="stable")
        spikes = (row[order], step[order], neuron[order])
        nodes[name] = nir_node(spikes, reader.neurons(name), (len(trials), reader.steps), step_ms)
    store_nirdata(path, nodes, _about(reader, trials, step_ms))


def write_simulation_spikes(path: Path, reader: SimulationReader, trials: tuple[int, ...], step_ms: float) -> None:
    """Write spikes as CSV, a line per spike, in the order of the file.

    Raises
    ------
    InputError
        The file is damaged.
    """
    with open(path, "x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("population", "trial", "step", "time_ms", "neuron"))
        for name in recorded_populations(reader):
            for piece in reader.spike_pieces(name):
                kept = np.isin(piece.trial, trials)
                columns = (column[kept].tolist() for column in piece)
                for trial, step, neuron in zip(*columns, strict=True):
                    writer.writerow((name, trial, step, step * step_ms, neuron))


def _spikes_of_trials(reader: SimulationReader, name: str, trials: tuple[int, ...]) -> Any:
    """How many spikes each of the trials has."""
    counts = np.zeros(reader.trials, np.int64)
    for piece in reader.spike_pieces(name):
        counts += np.bincount(piece.trial, minlength=reader.trials)
    return counts[list(trials)]


def _about(reader: SimulationReader, trials: tuple[int, ...], step_ms: float) -> dict[str, Any]:
    """What the formats have no place for."""
    return {
        "spikesim_version": __version__,
        "seed": reader.seed,
        "steps": reader.steps,
        "step_ms": step_ms,
        "trials": list(trials),
        "populations": {name: reader.neurons(name) for name in reader.populations},
        "network": reader.network,
    }
