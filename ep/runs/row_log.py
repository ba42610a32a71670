"""The rows of a run once more, beside its checkpoints, for the day when the run file is damaged.

A run file is changed in place while it grows. If the power fails, or the process is killed, within a write of HDF5's
own structures, the file cannot be read any more. This log is only ever appended to, and each checkpoint says how long
it was and what the SHA-256 of so much of it is. So the rows up to a checkpoint are in the log, whole or not at all, and
the run file can be written again from them.

The log begins with a line of JSON, which says what run it is of. Then come pieces: the four letters ``rows``, the index
of the table in `spikesim.ep.runs.schema.TABLES` (uint32) and the number of rows (uint64), and the rows, column by
column in the order of the schema, little endian.
"""

import contextlib
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.layout import RowSource
from spikesim.ep.runs.schema import FORMAT_VERSION, TABLES, RunHeader
from spikesim.errors import InputError
from spikesim.io import durable
from spikesim.io.atomic import temporary
from spikesim.io.checkpoint import ROW_LOG
from spikesim.io.formats import canonical_json
from spikesim.io.hdf5_writer import write_error

__all__ = ["LoggedRows", "RowLog", "is_empty", "log_path", "logged_config"]

_KIND = "spikesim-rows"
_VERSION = 1
_HEADER_LIMIT = 1 << 24
_PIECE = struct.Struct("<4sIQ")
_MARK = b"rows"
_BUFFER_BYTES = 1 << 22
_BLOCK = 1 << 20


def log_path(folder: Path) -> Path:
    """The log in a folder of checkpoints."""
    return folder / ROW_LOG


def is_empty(path: Path) -> bool:
    """Whether there is a log, and no row in it: its run was killed before anything was saved."""
    try:
        with open(path, "rb") as stream:
            first = stream.readline(_HEADER_LIMIT)
            return first.endswith(b"\n") and not stream.read(1)
    except OSError:
        return False


def logged_config(path: Path) -> dict[str, Any] | None:
    """The configuration of the run that a log is of; None where there is no such log."""
    try:
        with open(path, "rb") as stream:
            header = json.loads(stream.readline(_HEADER_LIMIT))
        return dict(header["config"]) if header["kind"] == _KIND else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


class LoggedRows:
    """The rows of a run up to one of its checkpoints.

    Parameters
    ----------
    path : Path
        The log.
    mark : mapping
        What the checkpoint says of it, as `RowLog.mark` gave it.

    Attributes
    ----------
    path : Path
    created : str
        When the run began.
    config : dict
        Its configuration.
    seed : int
    rows : dict of str to int
        Rows of each table.
    size : int
        Bytes of the log up to the checkpoint.

    Raises
    ------
    ValueError
        The log is not what it was when the checkpoint was written.
    OSError
        It cannot be read.
    """

    def __init__(self, path: Path, mark: Mapping[str, Any]) -> None:
        self.path, self.size = path, int(mark["bytes"])
        if not path.is_file() or path.stat().st_size < self.size:
            raise ValueError(f"{path} is missing or too short")
        self.digest = hashlib.sha256()
        with open(path, "rb") as stream:
            left = self.size
            while left:
                data = stream.read(min(_BLOCK, left))
                if not data:
                    raise ValueError(f"{path} is too short")
                self.digest.update(data)
                left -= len(data)
        if self.digest.hexdigest() != mark["sha256"]:
            raise ValueError(f"{path} is damaged")
        header = json.loads(self._first_line())
        if (header["kind"], header["version"], header["format_version"]) != (_KIND, _VERSION, FORMAT_VERSION):
            raise ValueError(f"{path} is of another version")
        self.created, self.config, self.seed = str(header["created"]), dict(header["config"]), int(header["seed"])
        self._layers = int(header["layers"])
        self.rows = dict.fromkeys(TABLES, 0)
        for table, count, _ in self._pieces():
            self.rows[table] += count

    def blocks(self, table: str, rows: int) -> Iterator[Mapping[str, NDArray[Any]]]:
        """The first `rows` rows of a table, in pieces.

        Raises
        ------
        InputError
            There are fewer.
        """
        if self.rows[table] < rows:
            raise InputError(f"{self.path} has {self.rows[table]} rows of /{table}, and {rows} are needed")
        left = rows
        with open(self.path, "rb") as stream:
            for name, count, at in self._pieces():
                if name != table or left == 0:
                    continue
                stream.seek(at)
                found = {}
                for column in TABLES[table]:
                    shape = column.row_shape(self._layers)
                    data = stream.read(count * _row_bytes(column.dtype, shape))
                    found[column.name] = np.frombuffer(data, column.dtype).reshape(count, *shape)[:left]
                yield found
                left -= min(left, count)

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """None: they are in the checkpoint."""
        return {}

    def best(self) -> tuple[int, Mapping[str, NDArray[Any]]]:
        """None: they are in the checkpoint too."""
        return 0, {}

    def _first_line(self) -> bytes:
        with open(self.path, "rb") as stream:
            line = stream.readline(min(_HEADER_LIMIT, self.size))
        if not line.endswith(b"\n"):
            raise ValueError(f"{self.path} has no first line")
        return line

    def _pieces(self) -> Iterator[tuple[str, int, int]]:
        """Table, number of rows, and where they are, of each piece."""
        names = list(TABLES)
        sizes = [
            sum(_row_bytes(column.dtype, column.row_shape(self._layers)) for column in columns)
            for columns in TABLES.values()
        ]
        at = len(self._first_line())
        with open(self.path, "rb") as stream:
            while at < self.size:
                stream.seek(at)
                mark, table, count = _PIECE.unpack(stream.read(_PIECE.size))
                at += _PIECE.size
                if mark != _MARK or table >= len(names) or count * sizes[table] > self.size - at:
                    raise ValueError(f"{self.path} has no rows at byte {at}")
                yield names[table], count, at
                at += count * sizes[table]


class RowLog:
    """A log that is appended to. Made by `create` or `resume`.

    What is appended reaches the file at `mark`, and before if it is much. Errors of the disk are `InputError`.
    """

    def __init__(self, path: Path, descriptor: int, size: int, digest: Any) -> None:
        self.path = path
        self._descriptor = descriptor
        self._size, self._digest = size, digest
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    @classmethod
    def create(cls, folder: Path, header: RunHeader, source: RowSource, rows: Mapping[str, int]) -> "RowLog":
        """Begin a log, in place of one that may be there.

        Parameters
        ----------
        folder : Path
            That of the checkpoints; made if there is none.
        header : RunHeader
            What is known of the run.
        source : RowSource
            The run file.
        rows : mapping of str to int
            How many rows of each table to take over.

        Raises
        ------
        InputError
            It cannot be written.
        """
        path = log_path(folder)
        part = path.with_name(path.name + ".tmp")
        first = {
            "kind": _KIND,
            "version": _VERSION,
            "format_version": FORMAT_VERSION,
            "created": source.created,
            "config": json.loads(header.config_json),
            "seed": header.seed,
            "layers": len(header.layers),
        }
        try:
            folder.mkdir(exist_ok=True)
            with temporary(part), contextlib.ExitStack() as after_an_error:
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
                log = cls(path, descriptor, 0, hashlib.sha256())
                after_an_error.callback(log.close)
                log._add(canonical_json(first).encode() + b"\n")
                log._copy(source, rows)
                log.mark()  # which waits for the disk
                durable.put_in_place(part, path)
                durable.sync_folder(folder.parent)
                after_an_error.pop_all()
                return log
        except OSError as error:
            raise write_error(path, error) from error

    @classmethod
    def resume(cls, rows: LoggedRows) -> "RowLog":
        """Go on behind the rows of a checkpoint. What came after them is cut off.

        Raises
        ------
        InputError
            It cannot be written.
        """
        try:
            descriptor = os.open(rows.path, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, rows.size)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise write_error(rows.path, error) from error
        return cls(rows.path, descriptor, rows.size, rows.digest.copy())

    def append(self, table: str, values: list[NDArray[Any]]) -> None:
        """Add rows: for each column of a table, in the order and the types of the schema, an array.

        Raises
        ------
        InputError
            They cannot be written.
        """
        self._add(_PIECE.pack(_MARK, list(TABLES).index(table), len(values[0])))
        for column, array in zip(TABLES[table], values, strict=True):
            self._add(np.ascontiguousarray(array, column.dtype).tobytes())
        if self._pending_bytes >= _BUFFER_BYTES:
            self._write()

    def mark(self) -> dict[str, Any]:
        """Have all rows on the disk; what a checkpoint is to say of them.

        Raises
        ------
        InputError
            They cannot be written.
        """
        self._write()
        try:
            durable.sync(self._descriptor)
        except OSError as error:
            raise write_error(self.path, error) from error
        return {"bytes": self._size, "sha256": self._digest.hexdigest()}

    def close(self) -> None:
        """Close the file. May be called more than once. Rows behind the last mark are nobody's."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _copy(self, source: RowSource, rows: Mapping[str, int]) -> None:
        for table, columns in TABLES.items():
            for block in source.blocks(table, rows[table]):
                self.append(table, [block[column.name] for column in columns])

    def _add(self, data: bytes) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)

    def _write(self) -> None:
        data = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        try:
            durable.write_at(self._descriptor, data, self._size)
        except OSError as error:
            raise write_error(self.path, error) from error
        self._size += len(data)
        self._digest.update(data)


def _row_bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
