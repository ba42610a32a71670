"""Recorded spikes in the formats of others: SONATA, NIRData, and a table.

None of them knows samples: what a run recorded are free phases of test samples, each from rest. SONATA gets them one
after the other on one axis of time, NIRData as the rows of its arrays, the table in a column.
"""

import contextlib
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.ep.runs.schema import LayerInfo
from spikesim.errors import InputError
from spikesim.io.formats import canonical_json
from spikesim.io.hdf5_output import storing

__all__ = [
    "Recording",
    "SpikeSource",
    "nir_library",
    "nir_node",
    "read_recording",
    "sonata_file",
    "sonata_population",
    "store_nirdata",
    "write_nirdata",
    "write_sonata",
    "write_spike_table",
]

SONATA_MAGIC = 0x0A7A
SONATA_VERSION = (0, 1)
SORTING = {"none": 0, "by_id": 1, "by_time": 2}

Integers = NDArray[np.int64]


class SpikeSource(Protocol):
    """What has recorded spikes: a run, or a file of predictions."""

    path: Path
    config_hash: str
    layers: list[LayerInfo]

    def spikes(self) -> dict[str, NDArray[Any]]:
        """Columns, as in /spikes of a run file."""

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted key."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The spikes of free phases of some samples, by sample, step, layer and neuron.

    Attributes
    ----------
    config_hash : str
        Of the run.
    epoch : int
        The epoch after which they were recorded; 0 of predictions.
    steps : int
        Length of a free phase.
    samples : tuple of int
        Indices in the test set, or in the file of a prediction; a sample may have no spikes.
    layers : list of LayerInfo
    sample : int64 (spikes,)
        Position in `samples`.
    step, layer, neuron : int64 (spikes,)
        Step from 0, index of the layer, index of the neuron in its layer (row, column, channel).
    """

    config_hash: str
    epoch: int
    steps: int
    samples: tuple[int, ...]
    layers: list[LayerInfo]
    sample: Integers
    step: Integers
    layer: Integers
    neuron: Integers

    def of_layer(self, index: int) -> tuple[Integers, Integers, Integers]:
        """Sample (its position), step and neuron of the spikes of a layer, in order."""
        own = self.layer == index
        return self.sample[own], self.step[own], self.neuron[own]


def read_recording(reader: SpikeSource, chosen: tuple[int, ...] = ()) -> Recording:
    """The spikes that a run recorded in its last test, or a prediction.

    Parameters
    ----------
    reader : RunReader or PredictedSpikes
    chosen : tuple of int
        Samples to take; by default all.

    Raises
    ------
    InputError
        The run recorded none, or not those of a chosen sample.
    """
    rows = reader.spikes()
    if not len(rows["step"]):
        raise InputError(
            f"{reader.path} has no recorded spikes; train with --set record.spikes=[0,1] to record "
            "some, or export the .npz of 'spikesim predict --spikes'"
        )
    epoch = int(rows["epoch"][-1])
    last = rows["epoch"] == epoch
    columns = {name: rows[name][last].astype(np.int64) for name in ("sample", "step", "layer", "neuron")}
    present = _present(reader, columns["sample"])
    missing = set(chosen) - set(present)
    if missing:
        raise InputError(f"{reader.path} has no spikes of sample {min(missing)}; it has {', '.join(map(str, present))}")
    samples = chosen or present
    sizes = np.array([layer.neurons for layer in reader.layers])
    if columns["layer"].max() >= len(sizes) or (columns["neuron"] >= sizes[columns["layer"]]).any():
        raise InputError(f"{reader.path} has spikes of neurons that its layers do not have; it is damaged")
    place = {sample: position for position, sample in enumerate(samples)}
    kept = np.isin(columns["sample"], samples)
    steps = max(_whole(reader.setting("dynamics.steps_free")), int(columns["step"].max()) + 1)
    columns = {name: values[kept] for name, values in columns.items()}
    position = np.array([place[sample] for sample in columns["sample"].tolist()], np.int64)
    order = np.lexsort((columns["neuron"], columns["layer"], columns["step"], position))
    return Recording(
        config_hash=reader.config_hash,
        epoch=epoch,
        steps=steps,
        samples=samples,
        layers=reader.layers,
        sample=position[order],
        **{name: columns[name][order] for name in ("step", "layer", "neuron")},
    )


def _present(reader: SpikeSource, sample: Integers) -> tuple[int, ...]:
    """Samples that were recorded: those with spikes, and those of the configuration, which may have had none."""
    asked = reader.setting("record.spikes", [])
    silent = [one for one in asked if isinstance(one, int) and one >= 0] if isinstance(asked, list) else []
    return tuple(sorted({*silent, *np.unique(sample).tolist()}))


def _whole(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 2**32 else 0


def write_sonata(path: Path, recording: Recording, step_ms: float) -> None:
    """Write spikes as SONATA, one population a layer.

    A spike of step t of the sample in position i has the time (i * steps + t) * step_ms.
    """
    with sonata_file(path, {**_about(recording, step_ms), "neuron_index": "row, column, channel"}) as file:
        for index, layer in enumerate(recording.layers):
            sample, step, neuron = recording.of_layer(index)
            times, nodes = sonata_population(file, layer.name, len(step))
            times[...] = (sample * recording.steps + step) * step_ms
            nodes[...] = neuron


@contextlib.contextmanager
def sonata_file(path: Path, about: Mapping[str, Any]) -> Iterator[Any]:
    """A new SONATA file. Not compressed, and in a format that HDF5 1.10 and later read: libsonata has no filters.

    Parameters
    ----------
    path : Path
    about : mapping
        What the format has no place for.
    """
    with storing(path) as stored, h5py.File(stored, "w", libver=("v110", "v110")) as file:
        file.attrs["magic"] = np.uint32(SONATA_MAGIC)
        file.attrs["version"] = np.array(SONATA_VERSION, np.uint32)
        file.attrs["spikesim"] = canonical_json(about)
        yield file


def sonata_population(file: Any, name: str, spikes: int) -> tuple[Any, Any]:
    """Room for the times (ms) and the nodes of spikes, which are to be sorted by time."""
    group = file.create_group(f"spikes/{name}")
    group.attrs.create("sorting", SORTING["by_time"], dtype=h5py.enum_dtype(SORTING, basetype="u1"))
    times = group.create_dataset("timestamps", (spikes,), "<f8")
    times.attrs["units"] = "ms"
    return times, group.create_dataset("node_ids", (spikes,), "<u8")


def write_nirdata(path: Path, recording: Recording, step_ms: float) -> None:
    """Write spikes as NIRData, a node a layer, named as the neurons of the exported NIR graph.

    A row per sample, padded with the index -1 and the time inf. Times are in seconds, in the middle of the step, from
    where rounding finds the step again. Neurons are numbered channel, row, column, as NIR lays out its arrays.
    """
    size = (len(recording.samples), recording.steps)
    nodes = {}
    for index, layer in enumerate(recording.layers):
        sample, step, neuron = recording.of_layer(index)
        spikes = (sample, step, channels_first(neuron, layer.shape))
        nodes[layer.name] = nir_node(spikes, layer.neurons, size, step_ms)
    store_nirdata(path, nodes, {**_about(recording, step_ms), "neuron_index": "channel, row, column"})


def nir_node(spikes: tuple[Integers, Integers, Integers], neurons: int, size: tuple[int, int], step_ms: float) -> Any:
    """The spikes of a node.

    Parameters
    ----------
    spikes : tuple of int64 (spikes,)
        Row, step and neuron, by row and step.
    neurons : int
        Of the node.
    size : tuple of int
        Rows and steps.
    step_ms : float
    """
    nir = nir_library()
    row, step, neuron = spikes
    seconds = step_ms * 1e-3
    end = size[1] * seconds
    if int(end / seconds) < size[1]:  # NIRData divides to know the number of steps
        end = float(np.nextafter(end, np.inf))
    counts = np.bincount(row, minlength=size[0])
    rows = np.full((len(counts), int(counts.max(initial=0))), -1, np.int64)
    times = np.full(rows.shape, np.inf)
    column = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows[row, column] = neuron
    times[row, column] = (step + 0.5) * seconds
    events = nir.EventData(idx=rows, time=times, n_neurons=neurons, t_max=end)
    return nir.NIRNodeData(observables={"spikes": events})


def store_nirdata(path: Path, nodes: dict[str, Any], about: Mapping[str, Any]) -> None:
    """Write nodes, and beside them what NIRData has no place for."""
    nir = nir_library()
    with storing(path) as stored:
        nir.write_data(stored, nir.NIRGraphData(nodes=nodes))
    with storing(path, new=False) as stored, h5py.File(stored, "r+") as file:
        file.attrs["spikesim"] = canonical_json(about)


def write_spike_table(path: Path, recording: Recording, step_ms: float) -> None:
    """Write spikes as CSV, a line per spike."""
    names = [layer.name for layer in recording.layers]
    with open(path, "x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("epoch", "sample", "step", "time_ms", "layer", "neuron", "row", "column", "channel"))
        for sample, step, layer, neuron in zip(
            recording.sample.tolist(), recording.step.tolist(), recording.layer.tolist(), recording.neuron.tolist(),
            strict=True,
        ):  # fmt: skip
            where = np.unravel_index(neuron, recording.layers[layer].shape)
            place = recording.samples[sample]
            writer.writerow((recording.epoch, place, step, step * step_ms, names[layer], neuron, *map(int, where)))


def channels_first(neuron: Integers, shape: tuple[int, int, int]) -> Integers:
    """Indices in the order (row, column, channel) as those in the order (channel, row, column)."""
    row, column, channel = np.unravel_index(neuron, shape)
    return np.asarray(np.ravel_multi_index((channel, row, column), (shape[2], *shape[:2])), np.int64)


def nir_library() -> Any:
    """The module; InputError says how to get it."""
    try:
        import nir
    except ImportError:
        raise InputError("NIR files need the package nir: pip install 'spikesim[exchange]'") from None
    return nir


def _about(recording: Recording, step_ms: float) -> dict[str, Any]:
    """What the formats have no place for."""
    return {
        "spikesim_version": __version__,
        "config_hash": recording.config_hash,
        "epoch": recording.epoch,
        "samples": list(recording.samples),
        "steps": recording.steps,
        "step_ms": step_ms,
        "layers": {layer.name: list(layer.shape) for layer in recording.layers},
        "phase": "free, each sample from rest",
    }
