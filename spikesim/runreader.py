"""Reading a run file: finished, in progress, or left behind by a process that was killed."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.energy import EnergyModel
from spikesim.errors import InputError
from spikesim.hdf5file import Contents, HDF5File, one_line
from spikesim.schema import (
    FORMAT_VERSION,
    LAYER_COLUMNS,
    MAGIC,
    PHASES,
    STATUSES,
    TABLES,
    LayerInfo,
    canonical_json,
)

__all__ = ["RunReader", "is_run_file"]

_WANTED = "give the run file that 'spikesim train --out' wrote"
_REMEDY = "'spikesim train --resume' writes it anew from its checkpoints, or use a copy of it"


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
        self._file = HDF5File(path, _WANTED, _REMEDY)
        self.path = self._file.path
        try:
            self._file.read(self._read_header)
        except BaseException:
            self.close()
            raise

    def _read_header(self, contents: Contents) -> None:
        _require_run_file(contents, self.path)
        self.format_version = int(contents.attribute("format_version"))
        if self.format_version != FORMAT_VERSION:
            wrote = one_line(contents.attribute("spikesim_version"))
            raise InputError(
                f"{self.path} has format version {self.format_version}, this program reads {FORMAT_VERSION}: "
                f"read it with spikesim {wrote}, which wrote it"
            )
        self.spikesim_version = contents.text("spikesim_version")
        self.created = contents.text("created")
        self.host = contents.text("host")
        self.command_line = contents.text("command_line")
        self.versions: dict[str, str] = dict(json.loads(contents.text("versions")))
        self.config: dict[str, Any] = dict(json.loads(contents.text("config"), parse_constant=_refuse_constant))
        self.config_hash = contents.text("config_hash")
        self.seed = int(contents.attribute("seed"))
        phases = tuple(name.decode() for name in contents.array("/phases", "S7").tolist())
        if phases != PHASES:
            raise ValueError(f"phases {phases}")
        count = contents.length(LAYER_COLUMNS[0].path)
        table = {
            column.name: contents.array(column.path, column.dtype, (count, *column.row_shape(count)))
            for column in LAYER_COLUMNS
        }
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
        self.energy_model = EnergyModel(
            name=contents.text("name", "/energy"),
            accumulate_joule=float(contents.attribute("accumulate_joule", "/energy")),
            multiply_accumulate_joule=float(contents.attribute("multiply_accumulate_joule", "/energy")),
            source=contents.text("source", "/energy"),
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
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    @property
    def status(self) -> str:
        """``"running"``, ``"stopped"`` or ``"finished"``; a run that was killed still says running."""
        return self._file.read(lambda contents: STATUSES[int(contents.array("/status", "u1", ()))])

    @property
    def rows(self) -> dict[str, int]:
        """Complete rows of each table, now."""
        return self._file.read(lambda contents: {table: _complete_rows(contents, table) for table in TABLES})

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
        return self._file.read(
            lambda contents: {
                f"{layer}/{name}": np.asarray(contents.array(f"/weights/{layer}/{name}", "<f4"), dtype=np.float32)
                for layer in contents.names("/weights")
                for name in contents.names(f"/weights/{layer}")
            }
        )

    def blocks(self, table: str, rows: int, block: int = 1 << 20) -> Iterator[dict[str, NDArray[Any]]]:
        """The first `rows` rows of a table in pieces of at most `block` rows.

        Raises
        ------
        InputError
            If the table has fewer complete rows, or is damaged.
        """
        complete = self._file.read(lambda contents: _complete_rows(contents, table))
        if complete < rows:
            raise InputError(
                f"{self.path} has {complete} complete rows of /{table} and {rows} are needed: it is not the file that "
                "the checkpoint was made for"
            )
        for start in range(0, rows, block):
            yield self._columns(table, start, min(rows, start + block))

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
        self._file.close()

    def __enter__(self) -> "RunReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _table(self, table: str) -> dict[str, NDArray[Any]]:
        return self._columns(table, 0, None)

    def _columns(self, table: str, start: int, stop: int | None) -> dict[str, NDArray[Any]]:
        """Rows `start` to `stop`, or to the last complete one."""

        def read(contents: Contents) -> dict[str, NDArray[Any]]:
            end = _complete_rows(contents, table) if stop is None else stop
            return {
                column.name: np.asarray(
                    contents.rows(column.path, start, end, column.dtype, column.row_shape(len(self.layers))),
                    dtype=column.dtype,
                )
                for column in TABLES[table]
            }

        return self._file.read(read)


def is_run_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a run file of any format version, as far as can be told."""
    try:
        file = HDF5File(path, _WANTED, _REMEDY)
    except InputError:
        return False
    try:
        file.read(lambda contents: _require_run_file(contents, file.path))
    except InputError:
        return False
    finally:
        file.close()
    return True


def _require_run_file(contents: Contents, path: object) -> None:
    try:
        found = contents.attribute("format")
    except (LookupError, TypeError):
        found = ""
    if found != MAGIC:
        raise InputError(f"{path} is an HDF5 file of another program (its 'format' is not {MAGIC!r}); {_WANTED}")


def _complete_rows(contents: Contents, table: str) -> int:
    # The writer raises the count after it has flushed the columns, so a row that is counted is whole. The lengths
    # matter where a machine lost its power, when the order of writes is not kept.
    count = int(contents.array(f"/rows/{table}", "<u8", ()))
    return min(count, *(contents.length(column.path) for column in TABLES[table]))


def _refuse_constant(name: str) -> None:
    """A configuration has no NaN and no infinities, which JSON does not have either."""
    raise ValueError(f"its configuration has {name}")


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
