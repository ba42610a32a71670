"""Reading a run file: finished, in progress, or left behind by a process that was killed."""

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim.energy import EnergyModel
from spikesim.errors import InputError
from spikesim.schema import (
    FORMAT_VERSION,
    LAYER_COLUMNS,
    MAGIC,
    PHASES,
    STATUSES,
    TABLES,
    Column,
    LayerInfo,
    canonical_json,
)

__all__ = ["FAULTS", "RunReader", "is_run_file", "open_hdf5"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, OverflowError)


class RunReader:
    """Read a run file without changing it, also while it is being written.

    Parameters
    ----------
    path : path-like
        The run file.

    Attributes
    ----------
    path : Path
        The file.
    format_version : int
        Version of the layout.
    spikesim_version, created, host, command_line : str
        Where the file comes from.
    versions : dict
        Versions of Python and of the libraries.
    config : dict
        The resolved configuration.
    config_hash : str
        SHA-256 of the canonical configuration.
    seed : int
        The seed.
    layers : list of LayerInfo
        Neuron layers from the input up.
    energy_model : EnergyModel
        Energy charged for each operation.

    Raises
    ------
    InputError
        If the file is missing, is not a run file, has a newer format, or is damaged. Reading more of it later may
        raise the same.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        self._follows = bool(self._file.swmr_mode)  # otherwise the file has been closed and does not change
        try:
            with self._readable():
                self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        attributes = self._file.attrs
        self.format_version = int(attributes["format_version"])
        self.spikesim_version = str(attributes["spikesim_version"])
        if self.format_version != FORMAT_VERSION:
            raise InputError(
                f"{self.path} has format version {self.format_version}, this program reads {FORMAT_VERSION}: "
                f"read it with spikesim {self.spikesim_version}, which wrote it"
            )
        self.created = str(attributes["created"])
        self.host = str(attributes["host"])
        self.command_line = str(attributes["command_line"])
        self.versions: dict[str, str] = dict(json.loads(attributes["versions"]))
        self.config: dict[str, Any] = dict(json.loads(attributes["config"], parse_constant=_refuse_constant))
        self.config_hash = str(attributes["config_hash"])
        self.seed = int(attributes["seed"])
        phases = tuple(name.decode() for name in self._dataset("/phases")[...].tolist())
        if phases != PHASES:
            raise ValueError(f"phases {phases}")
        table = {column.name: self._dataset(column.path)[...] for column in LAYER_COLUMNS}
        self.layers = [
            LayerInfo(
                name=table["name"][index].decode(),
                shape=(int(shape[0]), int(shape[1]), int(shape[2])),
                weights=int(table["weights"][index]),
                synapses_forward=int(table["synapses_forward"][index]),
                synapses_feedback=int(table["synapses_feedback"][index]),
                analogue=bool(table["analogue"][index]),
                cells=int(table["cells"][index]),
            )
            for index, shape in enumerate(table["shape"])
        ]
        energy = self._file["energy"].attrs
        self.energy_model = EnergyModel(
            name=str(energy["name"]),
            accumulate_joule=float(energy["accumulate_joule"]),
            multiply_accumulate_joule=float(energy["multiply_accumulate_joule"]),
            source=str(energy["source"]),
        )

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted key; the default where there is none."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    @property
    def status(self) -> str:
        """``"running"``, ``"stopped"`` or ``"finished"``; a run that was killed still says running."""
        with self._readable():
            return STATUSES[int(self._scalar("/status"))]

    @property
    def rows(self) -> dict[str, int]:
        """Complete rows of each table, now."""
        with self._readable():
            return {table: self._complete_rows(table) for table in TABLES}

    @property
    def batches(self) -> dict[str, NDArray[Any]]:
        """Columns of the mini-batches, each with the same number of complete rows first."""
        return self._table("batches")

    @property
    def epochs(self) -> dict[str, NDArray[Any]]:
        """Columns of the epochs, each with the same number of complete rows first."""
        return self._table("epochs")

    def spikes(self) -> dict[str, NDArray[Any]]:
        """Columns of the raw spikes; no rows if the run did not record any."""
        return self._table("spikes")

    @property
    def traces(self) -> dict[str, NDArray[Any]]:
        """Columns of the phases that were followed step by step; no rows if the run did not record any."""
        return self._table("traces")

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights as of the last checkpoint, float32, by ``"<layer>/<array>"``."""
        with self._readable():
            group = self._file["weights"]
            return {
                f"{layer}/{name}": np.asarray(self._dataset(f"/weights/{layer}/{name}")[...], dtype=np.float32)
                for layer in group
                for name in group[layer]
            }

    def blocks(self, table: str, rows: int, block: int = 1 << 20) -> Iterator[dict[str, NDArray[Any]]]:
        """The first `rows` rows of a table in pieces of at most `block` rows.

        Raises
        ------
        InputError
            If the table has fewer complete rows, or is damaged.
        """
        with self._readable():
            complete = self._complete_rows(table)
        if complete < rows:
            raise InputError(
                f"{self.path} has {complete} complete rows of /{table} and {rows} are needed: it is not the file that "
                "the checkpoint was made for"
            )
        for start in range(0, rows, block):
            stop = min(rows, start + block)
            with self._readable():
                columns = {column.name: self._column(column, start, stop) for column in TABLES[table]}
            yield columns

    def digest(self) -> str:
        """SHA-256 over configuration, layers, weights, counts and metrics, hexadecimal.

        Equal for two runs of the same computation. Left out: times, host, command line, versions, and whether the
        run has ended. Columns go in by the order of the schema, with name, type and number of rows, little endian;
        weights by name.
        """
        digest = hashlib.sha256()

        def put(name: str, array: NDArray[Any]) -> None:
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name}|{little.dtype.str}|{little.shape}\n".encode())
            digest.update(little.data if little.size else b"")

        digest.update(f"{MAGIC} {self.format_version}\n".encode())
        layers = [dataclasses.asdict(layer) for layer in self.layers]
        digest.update(canonical_json({"config": self.config, "seed": self.seed, "layers": layers}).encode())
        for name, array in sorted(self.weights().items()):
            put(f"/weights/{name}", array)
        for table, columns in TABLES.items():
            for values in self.blocks(table, self.rows[table]):
                for column in columns:
                    if column.in_digest:
                        put(column.path, values[column.name])
        return digest.hexdigest()

    def close(self) -> None:
        """Close the file. May be called more than once."""
        with contextlib.suppress(*FAULTS):
            self._file.close()

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _table(self, table: str) -> dict[str, NDArray[Any]]:
        with self._readable():
            rows = self._complete_rows(table)
            return {column.name: self._column(column, 0, rows) for column in TABLES[table]}

    def _complete_rows(self, table: str) -> int:
        # The writer raises the count after it has flushed the columns, so a row that is counted is whole. The lengths
        # matter where a machine lost its power, when the order of writes is not kept.
        count = int(self._scalar(f"/rows/{table}"))
        return min(count, *(int(self._dataset(column.path).shape[0]) for column in TABLES[table]))

    def _scalar(self, path: str) -> Any:
        return self._dataset(path)[()]

    def _column(self, column: Column, start: int, stop: int) -> NDArray[Any]:
        dataset = self._dataset(column.path)
        trailing = column.row_shape(len(self.layers))
        if dataset.shape[1:] != trailing or dataset.dtype != np.dtype(column.dtype):
            raise ValueError(f"{column.path} has rows of {dataset.dtype} {dataset.shape[1:]}")
        if stop <= start:
            return np.zeros((0, *trailing), dtype=column.dtype)
        _require_stored(dataset, start, stop, os.fstat(self._file.id.get_vfd_handle()).st_size)
        return np.asarray(dataset[start:stop], dtype=column.dtype)

    def _dataset(self, path: str) -> Any:
        """A dataset of the file itself: no link to another file, no data outside it."""
        dataset = self._file[path]
        link = self._file.get(path, getlink=True)
        if not isinstance(dataset, h5py.Dataset) or not isinstance(link, h5py.HardLink):
            raise TypeError(f"{path} is not a dataset of this file")
        if dataset.is_virtual or dataset.external:
            raise TypeError(f"{path} has its data in another file")
        if self._follows:
            dataset.refresh()
        return dataset

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except FAULTS as error:
            raise InputError(
                f"{self.path} is damaged ({_one_line(error)}): use a copy of it, or start the run again"
            ) from error


def is_run_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a run file of any format version, as far as can be told."""
    try:
        _open(Path(path)).close()
    except InputError:
        return False
    return True


def _open(path: Path) -> Any:
    """Open a file that says that it is a run file."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(len(_SIGNATURE))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give the run file that 'spikesim train --out' wrote") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the run file that 'spikesim train --out' wrote") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if start != _SIGNATURE:
        raise InputError(f"{path} is not an HDF5 file; give the run file that 'spikesim train --out' wrote")
    file = open_hdf5(path)
    try:
        magic = file.attrs.get("format")
    except FAULTS:
        magic = None
    if magic != MAGIC:
        file.close()
        raise InputError(
            f"{path} is an HDF5 file of another program (its 'format' is not {MAGIC!r}); "
            "give the run file that 'spikesim train --out' wrote"
        )
    return file


def open_hdf5(path: Path) -> Any:
    # HDF5 does not look for truncation in SWMR mode, and it retries what it cannot read for minutes. So SWMR is kept
    # for files that are being written, or whose writer was killed, and their length is compared first.
    written, end = _superblock(path)
    try:
        if path.stat().st_size < end:
            raise OSError("truncated")
        return _open_either_way(path, swmr=written)
    except FAULTS as error:
        raise InputError(
            f"{path} cannot be opened: truncated or damaged ({_one_line(error)}); use a copy of it, or start the run "
            "again"
        ) from error


def _open_either_way(path: Path, **options: bool) -> Any:
    try:
        # A process that also writes the file must give the writer's way of locking.
        return h5py.File(path, "r", locking="best-effort", **options)
    except FAULTS:
        return h5py.File(path, "r", locking=False, **options)


def stored_end(path: Path) -> int:
    """Where a closed run file ends as far as HDF5 is concerned, in bytes; the file may be longer."""
    return _superblock(path)[1]


def _superblock(path: Path) -> tuple[bool, int]:
    """Whether a file is marked as being written, and where it ends as far as HDF5 knows; 0 in older formats."""
    with open(path, "rb") as stream:
        start = stream.read(36)
    if len(start) < 36 or start[8] < 3 or start[9] != 8:
        return False, 0
    return start[11] != 0, int.from_bytes(start[28:36], "little")


def _require_stored(dataset: Any, start: int, stop: int, file_size: int) -> None:
    """Check that rows lie within the file: HDF5 reads zeros where a file was cut, and for chunks that are not there."""
    if dataset.chunks is None or dataset.chunks[1:] != dataset.shape[1:]:
        raise ValueError(f"{dataset.name} has an unknown layout")
    length = dataset.chunks[0]
    inside: set[int] = set()

    def visit(chunk: Any) -> None:
        if chunk.byte_offset + chunk.size <= file_size:
            inside.add(chunk.chunk_offset[0] // length)

    dataset.id.chunk_iter(visit)
    missing = set(range(start // length, -(-stop // length))) - inside
    if missing:
        raise OSError(f"rows of {dataset.name} lie beyond the end of the file")


def _refuse_constant(name: str) -> None:
    """A configuration has no NaN and no infinities, which JSON does not have either."""
    raise ValueError(f"its configuration has {name}")


def _one_line(error: BaseException | None) -> str:
    text = str(error).split("\n")[0].strip().strip("'\"")
    return text[:160] or type(error).__name__


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Keys in which two configurations differ, with both values, as ``"ep.beta: 1.0 in the file, 2.0 now"``."""
    found: list[str] = []
    for key in sorted(set(old) | set(new)):
        before, after = old.get(key, "nothing"), new.get(key, "nothing")
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after or type(before) is not type(after):
            found.append(f"{prefix}{key}: {before} in the file, {after} now")
    return found
