"""The HDF5 side of writing a run file: the empty layout, and how it comes to its place."""

import contextlib
import datetime
import errno
import importlib.metadata
import math
import os
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.ep.runs.schema import (
    FORMAT_VERSION,
    LAYER_COLUMNS,
    MAGIC,
    PHASES,
    STATUSES,
    TABLES,
    Column,
    RunHeader,
    canonical_json,
)
from spikesim.errors import InputError
from spikesim.io.hdf5_output import FileBytes, HDF5Output
from spikesim.io.hdf5_reader import write_text

__all__ = ["SPIKE_CHUNK", "RowSource", "create", "now", "versions", "write_error", "write_new"]

SPIKE_CHUNK = 65536
_CHUNK_BYTES = 16384
_CACHE_BYTES = 1 << 17
"""Of chunks of each data set. They are written once and in order; by default a long run keeps a megabyte of each."""
_ATTRIBUTES_MAX = 64
_LIBRARIES = ("numpy", "numba", "scipy", "h5py")


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


def create(target: Path, room: int, fill: Callable[[Any], None]) -> HDF5Output:
    """Write a new HDF5 file beside `target`, put it in its place, and return it, open for appending and for readers.

    Parameters
    ----------
    target : Path
    room : int
        Bytes that it will need at least, so that a full disk is found out now.
    fill : callable
        Writes into the open `h5py.File`, before anybody can see it.

    Raises
    ------
    InputError
        It cannot be written; whatever was at `target` is still there.
    """
    part = target.with_name(f".{target.name}.part")
    output = None
    try:
        part.unlink(missing_ok=True)
        output = HDF5Output(part, _empty)
        with output.changing():
            output.reserve(room)
            fill(output.file)
            # Before the file gets its name, so that whoever finds it can follow it.
            output.file.swmr_mode = True
            output.flush()
            output.sync()
            output.move(target)
    except BaseException as error:
        if output is not None:
            output.abandon()
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, InputError) or not isinstance(error, OSError | RuntimeError):
            raise
        raise write_error(target, error) from error
    return output


def _empty(stored: FileBytes) -> Any:
    """An empty HDF5 file, with which SWMR is possible, open for writing.

    h5py's own way does not let say that attributes are to lie with the file's root however many they are. Otherwise
    more than eight would go to a heap, which `spikesim.io.hdf5_bytes` refuses.
    """
    creation, access = h5py.h5p.create(h5py.h5p.FILE_CREATE), h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    creation.set_attr_phase_change(_ATTRIBUTES_MAX, 0)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, stored)
    _, slots, _, _ = access.get_cache()
    access.set_cache(0, slots, _CACHE_BYTES, 1.0)
    return h5py.File(h5py.h5f.create(repr(stored).encode(), h5py.h5f.ACC_EXCL, fcpl=creation, fapl=access))


def write_new(target: Path, header: RunHeader, source: RowSource | None, rows: Mapping[str, int]) -> HDF5Output:
    """Write a file with the first rows of `source`, put it in place of `target`, and return it, open for appending."""

    def fill(file: Any) -> None:
        _write_header(file, header, now() if source is None else source.created)
        for table, columns in TABLES.items():
            _copy_rows(file, source, table, columns, rows[table])
        if source is not None:
            for name, array in source.weights().items():
                file[f"weights/{name}"][...] = array

    weights = 4 * sum(math.prod(shape) for shape in header.weight_shapes.values())
    return create(target, weights + (0 if source is None else source.size), fill)


def _write_header(file: Any, header: RunHeader, created: str) -> None:
    texts = {
        "format": MAGIC,
        "spikesim_version": __version__,
        "created": created,
        "host": socket.gethostname(),
        "command_line": header.command_line,
        "versions": canonical_json(versions()),
        "config": header.config_json,
        "config_hash": header.config_hash,
        "input_shape": canonical_json(header.input_shape),
        "data_source": header.data_source,
    }
    for name, text in texts.items():
        write_text(file.attrs, name, text)
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["seed"] = header.seed
    file["phases"] = np.array([name.encode() for name in PHASES])
    file.create_dataset("status", data=np.uint8(STATUSES.index("running")))
    for column in LAYER_COLUMNS:
        values = [getattr(layer, column.name) for layer in header.layers]
        if column.name == "name":
            values = [name.encode() for name in values]
        file.create_dataset(column.path, data=np.array(values, dtype=column.dtype))
    for name, shape in header.weight_shapes.items():
        file[f"weights/{name}"] = np.zeros(shape, "<f4")  # in the file from the start: what is not there is not read
    for table, columns in TABLES.items():
        file.create_dataset(f"rows/{table}", data=np.uint64(0))
        for column in columns:
            _create_column(file, table, column, len(header.layers))
    energy = file["energy"].attrs
    for name in ("name", "source"):
        write_text(energy, name, getattr(header.energy, name))
    for name in ("accumulate_joule", "multiply_accumulate_joule"):
        energy[name] = getattr(header.energy, name)


def _create_column(file: Any, table: str, column: Column, layers: int) -> None:
    trailing = column.row_shape(layers)
    dataset: Any
    if table == "spikes":
        options: dict[str, Any] = {"chunks": (SPIKE_CHUNK,), "compression": "gzip", "compression_opts": 1}
        dataset = file.create_dataset(column.path, (0,), column.dtype, maxshape=(None,), shuffle=True, **options)
    else:
        row_bytes = np.dtype(column.dtype).itemsize * int(np.prod(trailing, dtype=np.int64))
        length = min(1024, max(64, _CHUNK_BYTES // row_bytes))
        dataset = file.create_dataset(
            column.path, (0, *trailing), column.dtype, maxshape=(None, *trailing), chunks=(length, *trailing)
        )
    write_text(dataset.attrs, "unit", column.unit)
    write_text(dataset.attrs, "description", column.doc)


def _copy_rows(file: Any, source: RowSource | None, table: str, columns: tuple[Column, ...], rows: int) -> None:
    if source is None or rows == 0:
        return
    start = 0
    for block in source.blocks(table, rows):
        stop = start + len(block[columns[0].name])
        for column in columns:
            file[column.path].resize(stop, axis=0)
            file[column.path][start:stop] = block[column.name]
        start = stop
    file[f"rows/{table}"][...] = rows


def write_error(path: Path, error: BaseException) -> InputError:
    code = getattr(error, "errno", None)
    text = str(error)
    if code is None and "errno = " in text:  # HDF5 puts it into its message
        digits = text.split("errno = ", 1)[1].split(",", 1)[0]
        code = int(digits) if digits.isdigit() else None
    reason = os.strerror(code) if code else text.split("\n")[0].strip()
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = "free some space and continue with --resume, or choose another --out"
    else:
        advice = "choose another --out"
    return InputError(f"cannot write {path}: {reason}; what was written before is kept; {advice}")


def versions() -> dict[str, str]:
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version, "machine": platform.machine()} | (
        versions
    )


def now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).astimezone().isoformat(timespec="seconds")
