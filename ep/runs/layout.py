"""The HDF5 side of writing a run file: the empty layout, and how it comes to its place."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.ep.runs.schema import (
    BEST_EPOCH,
    FORMAT_VERSION,
    LAST_TEST,
    LAYER_COLUMNS,
    PHASES,
    RECORDED,
    SAMPLES,
    TABLES,
    Column,
    RunHeader,
)
from spikesim.io.formats import MAGIC, canonical_json
from spikesim.io.hdf5_output import HDF5Output
from spikesim.io.hdf5_reader import write_text
from spikesim.io.hdf5_tables import extend, make_column, write_origin
from spikesim.io.hdf5_writer import SPIKE_CHUNK, create, now

__all__ = ["RowSource", "write_new"]


class RowSource(Protocol):
    """Where the first rows of a run file come from: a run file, or the log beside its checkpoints."""

    @property
    def created(self) -> str:
        """When the run began, as in the attribute of its file."""

    @property
    def size(self) -> int:
        """Bytes that hold the rows, more or less."""

    def blocks(self, table: str, rows: int) -> Iterator[Mapping[str, NDArray[Any]]]:
        """The first rows of a table, in pieces."""

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """The weights, as far as there are any."""

    def best(self) -> tuple[int, Mapping[str, NDArray[Any]]]:
        """The best epoch by the validation set and its weights; 0 and nothing if there is none."""


def write_new(target: Path, header: RunHeader, source: RowSource | None, rows: Mapping[str, int]) -> HDF5Output:
    """Write a file with the first rows of `source`, put it in place of `target`, and return it, open for appending."""

    def fill(file: Any) -> None:
        _write_header(file, header, now() if source is None else source.created)
        for table, columns in TABLES.items():
            _copy_rows(file, source, table, columns, rows[table])
        if source is not None:
            # of what is behind the weights there are zeros, which is unknown, until the run writes it when it goes on
            for name, array in source.weights().items():
                file[header.place(name)][...] = array
            epoch, weights = source.best() if header.validated else (0, {})
            for name, array in weights.items():
                file[header.place(name, best=True)][...] = array
            if epoch:
                file[BEST_EPOCH][...] = epoch

    return create(target, header.fixed_bytes + (0 if source is None else source.size), fill)


def _write_header(file: Any, header: RunHeader, created: str) -> None:
    write_origin(
        file,
        magic=MAGIC,
        version=FORMAT_VERSION,
        program=__version__,
        created=created,
        command_line=header.command_line,
        seed=header.seed,
    )
    texts = {
        "config": header.config_json,
        "config_hash": header.config_hash,
        "input_shape": canonical_json(header.input_shape),
        "data_source": header.data_source,
    }
    for name, text in texts.items():
        write_text(file.attrs, name, text)
    if header.samples is not None:
        file[SAMPLES] = np.bytes_(header.samples.to_json().encode())
    file["phases"] = np.array([name.encode() for name in PHASES])
    for column in LAYER_COLUMNS:
        values = [getattr(layer, column.name) for layer in header.layers]
        if column.name == "name":
            values = [name.encode() for name in values]
        file.create_dataset(column.path, data=np.array(values, dtype=column.dtype))
    for name, shape in header.array_shapes.items():
        file[header.place(name)] = np.zeros(shape, "<f4")  # in the file from the start: what is not there is not read
        if header.validated:
            file[header.place(name, best=True)] = np.zeros(shape, "<f4")
    if header.validated:
        file[BEST_EPOCH] = np.uint32(0)
    _write_samples(file, header)
    for table, columns in TABLES.items():
        file.create_dataset(f"rows/{table}", data=np.uint64(0))
        for column in columns:
            _create_column(file, table, column, len(header.layers))
    energy = file["energy"].attrs
    for name in ("name", "source"):
        write_text(energy, name, getattr(header.energy, name))
    for name in ("accumulate_joule", "multiply_accumulate_joule"):
        energy[name] = getattr(header.energy, name)


def _write_samples(file: Any, header: RunHeader) -> None:
    """What is recorded of single samples, and room for the answers of the last test."""
    recorded = header.recorded
    if header.samples is not None:
        file[f"{LAST_TEST}/epoch"] = np.uint32(0)
        file[f"{LAST_TEST}/confusion"] = np.zeros(header.confusion_shape, "<i8")
        file[f"{LAST_TEST}/answers"] = np.zeros(0 if recorded is None else len(recorded.samples), "<i8")
    if recorded is not None:
        file[f"{RECORDED}/sample"] = recorded.samples.astype("<i8")
        file[f"{RECORDED}/label"] = recorded.labels.astype("<i8")
        file[f"{RECORDED}/image"] = recorded.images
        if recorded.tokens is not None:
            file[f"{RECORDED}/tokens"] = recorded.tokens.astype("<i4")


def _create_column(file: Any, table: str, column: Column, layers: int) -> None:
    trailing = column.row_shape(layers)
    dataset = (
        make_column(file, column.path, column.dtype, trailing, SPIKE_CHUNK, compressed=True)
        if table == "spikes"
        else make_column(file, column.path, column.dtype, trailing, column.chunk_rows(layers))
    )
    write_text(dataset.attrs, "unit", column.unit)
    write_text(dataset.attrs, "description", column.doc)


def _copy_rows(file: Any, source: RowSource | None, table: str, columns: tuple[Column, ...], rows: int) -> None:
    if source is None or rows == 0:
        return
    start = 0
    for block in source.blocks(table, rows):
        for column in columns:
            extend(file[column.path], block[column.name], start)
        start += len(block[columns[0].name])
    file[f"rows/{table}"][...] = rows
