"""Plastic weights of a simulation in the formats of others: edges of SONATA, and a table."""

import csv
from pathlib import Path

import numpy as np

from spikesim import __version__
from spikesim.ep.exchange.spikes import sonata_file
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import write_text
from spikesim.sparse.recording import SimulationReader

__all__ = ["one_trial", "plastic_projections", "write_edges", "write_weight_table"]

PIECE = 1 << 16
"""Lines of a table that are made at a time."""


def plastic_projections(reader: SimulationReader) -> list[int]:
    """Numbers of the projections whose weights are written.

    Raises
    ------
    InputError
        There is none.
    """
    found = reader.plastic_projections()
    if not found:
        raise InputError(f"{reader.path} has no plastic weights; simulate with a plasticity of a projection")
    return found


def one_trial(reader: SimulationReader, chosen: tuple[int, ...]) -> int:
    """The trial whose weights are written where there is room for one; by default the first if all have the same.

    Raises
    ------
    InputError
        Several are chosen, or they differ and none is chosen.
    """
    if len(chosen) == 1:
        return chosen[0]
    trials = chosen or tuple(range(reader.trials))
    for number in reader.plastic_projections():
        first = reader.weights(number, trials[0])
        if any(not np.array_equal(first, reader.weights(number, trial)) for trial in trials[1:]):
            raise InputError(
                f"{reader.path} has weights of their own in {len(trials)} trials, and an edge has one; choose a trial "
                "with --trial"
            )
    return trials[0]


def write_edges(path: Path, reader: SimulationReader, trial: int, step_ms: float) -> None:
    """Write the plastic projections as populations of edges, with `syn_weight` and `delay` (ms).

    The population of projection N is named SOURCE__TARGET__N.

    Raises
    ------
    InputError
        The file is damaged.
    """
    projections = reader.projections()
    about = {
        "spikesim_version": __version__,
        "seed": reader.seed,
        "trial": trial,
        "step_ms": step_ms,
        "network": reader.network,
    }
    with sonata_file(path, about) as file:
        for number in plastic_projections(reader):
            own, ends = reader.synapses(number, trial), projections[number]
            count = len(own.weights)
            group = file.create_group(f"edges/{ends.source}__{ends.target}__{number}")
            for end, nodes, population in (
                ("source", own.sources, ends.source),
                ("target", own.targets, ends.target),
            ):
                group.create_dataset(f"{end}_node_id", data=nodes.astype("<u8"))
                write_text(group[f"{end}_node_id"].attrs, "node_population", population)
            group.create_dataset("edge_type_id", data=np.zeros(count, "<i8"))
            group.create_dataset("edge_group_id", data=np.zeros(count, "<u8"))
            group.create_dataset("edge_group_index", data=np.arange(count, dtype="<u8"))
            group.create_dataset("0/syn_weight", data=own.weights.astype("<f4"))
            group.create_dataset("0/delay", data=(own.delays * step_ms).astype("<f4"))


def write_weight_table(path: Path, reader: SimulationReader, trials: tuple[int, ...], step_ms: float) -> None:
    """Write a line for each plastic synapse in each of some trials; `initial` is empty where the file does not have it.

    Raises
    ------
    InputError
        The file is damaged.
    """
    projections = reader.projections()
    with open(path, "x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ("projection", "from", "to", "trial", "source", "target", "delay", "delay_ms", "initial", "weight")
        )
        for number in plastic_projections(reader):
            names, start = (projections[number].source, projections[number].target), reader.initial_weights(number)
            for trial in trials:
                own = reader.synapses(number, trial)
                for first in range(0, len(own.weights), PIECE):
                    part = slice(first, first + PIECE)
                    columns = [own.sources, own.targets, own.delays, own.weights]
                    sources, targets, delays, weights = (column[part].tolist() for column in columns)
                    initial = [""] * len(weights) if start is None else map(_short, start[part].tolist())
                    for source, target, delay, before, weight in zip(
                        sources, targets, delays, initial, weights, strict=True
                    ):
                        row = (source, target, delay, delay * step_ms, before, _short(weight))
                        writer.writerow((number, *names, trial, *row))


def _short(value: float) -> str:
    """The shortest number that is the same float32."""
    return str(np.float32(value))
