"""Writing a run file: created whole, appended to while readers follow, resumed after a kill.

The layout is the table in `spikesim.ep.runs.schema`. Nothing but rows, counts, weights and the status changes after
creation, because a file in SWMR mode takes no new dataset or attribute.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.ep.runs.last_test import LastTest
from spikesim.ep.runs.layout import write_new
from spikesim.ep.runs.reader import RunReader, is_run_file
from spikesim.ep.runs.row_log import LoggedRows, RowLog
from spikesim.ep.runs.schema import BEST_EPOCH, FORMAT_VERSION, LAST_TEST, TABLES, Column, LayerInfo, RunHeader
from spikesim.errors import InputError
from spikesim.io.config_diff import require_same_settings
from spikesim.io.hdf5_output import HDF5Output
from spikesim.io.hdf5_tables import GrowingFile, require_replaceable
from spikesim.io.hdf5_writer import SPIKE_CHUNK, writable_target
from spikesim.io.lock import RunLock, holding

__all__ = [
    "LayerInfo",
    "RunHeader",
    "RunLock",
    "RunReader",
    "RunWriter",
]

_FLUSH_SECONDS = 1.0
_OWN = "a run file that can be read, and --overwrite replaces only run files"


class RunWriter:
    """Write a run file. Made by `create` or `resume`; a context manager that closes it.

    Rows are kept for at most a second, or until the next row if that takes longer, and then written and flushed
    together. A reader sees a row only when all its columns are in the file.

    Leaving the context after an error does not change the status: the run stays one that did not end.
    """

    def __init__(
        self, output: HDF5Output, path: Path, header: RunHeader, lock: RunLock | None, rows: Mapping[str, int]
    ) -> None:
        self.path = path
        self._file = GrowingFile(path, output, lock)
        self._header = header
        self._tables = {name: _Table(name, header, rows[name]) for name in TABLES}
        self._log: RowLog | None = None
        self._flushed_at = time.monotonic()

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        header: RunHeader,
        *,
        overwrite: bool = False,
        lock: RunLock | None = None,
    ) -> "RunWriter":
        """Start a new run file.

        Parameters
        ----------
        path : path-like
            The file. It appears under this name once it is complete and empty.
        header : RunHeader
            What is known of the run.
        overwrite : bool
            Replace a run file that exists. Files of other programs are never replaced.
        lock : RunLock, optional
            A lock on `path` that the caller holds and will release; without it the writer takes its own and releases
            it when it is closed.

        Raises
        ------
        InputError
            If `path` exists and may not be replaced, cannot be written, or is being written by another process.
        """
        target = writable_target(path)
        with holding(target, lock) as own:
            if target.exists():
                require_replaceable(path, overwrite, lambda: is_run_file(target), _OWN)
            rows = dict.fromkeys(TABLES, 0)
            return cls(write_new(target, header, None, rows), target, header, own, rows)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        header: RunHeader,
        *,
        rows: Mapping[str, int],
        lock: RunLock | None = None,
        logged: LoggedRows | None = None,
        earlier: Mapping[str, Any] | None = None,
    ) -> "RunWriter":
        """Continue a run file after its first rows.

        The file is rewritten up to `rows` under another name, which then takes its place: a file whose writer was
        killed opens for reading only, and rows after the checkpoint would be repeated.

        Parameters
        ----------
        path, header, lock
            As for `create`. The header's configuration, seed, layers and weights must be those of the file.
        rows : mapping of str to int
            Rows to keep of each table, as `RunWriter.rows` gave them.
        logged : LoggedRows, optional
            These rows once more. They are taken from there, and the file need not have them.
        earlier : mapping, optional
            A configuration that the file may have instead; it gets that of the header.

        Raises
        ------
        InputError
            If the file is missing or not a run file of this format, belongs to another configuration, has fewer rows,
            cannot be written, or is being written by another process.
        """
        target = writable_target(path)
        with holding(target, lock) as own:
            with RunReader(target) as source:
                _require_same_run(source, header, earlier)
                kept = {table: int(rows[table]) for table in TABLES}
                output = write_new(target, header, source if logged is None else _Joined(source, logged), kept)
            return cls(output, target, header, own, kept)

    @classmethod
    def restore(
        cls, path: str | os.PathLike[str], header: RunHeader, logged: LoggedRows, *, lock: RunLock | None = None
    ) -> "RunWriter":
        """Write a run file anew that is missing. Its weights are zeros until they are written.

        Parameters
        ----------
        path, header, lock
            As for `create`.
        logged : LoggedRows
            Its rows.

        Raises
        ------
        InputError
            There is a file, it cannot be written, or the rows are those of another run or damaged.
        """
        target = writable_target(path)
        with holding(target, lock) as own:
            if target.exists():
                require_replaceable(path, False, lambda: False, _OWN)
            require_same(logged.path, logged.config, logged.seed, header)
            return cls(write_new(target, header, logged, logged.rows), target, header, own, logged.rows)

    def keep_log(self, log: RowLog) -> None:
        """Have rows that come from now on in a log too. Its owner closes it."""
        self._log = log

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table so far. All are in the file after `flush`: call that before storing the numbers."""
        return {name: table.rows for name, table in self._tables.items()}

    def append_batch(self, row: Mapping[str, Any]) -> None:
        """Add a mini-batch.

        Parameters
        ----------
        row : mapping
            A value for each column of /batches and /energy (`spikesim.ep.runs.schema.TABLES`). ``joule`` may be left
            out: it is then computed from the counters.

        Raises
        ------
        ValueError
            If a column is missing, unknown, of a wrong shape, or does not fit its type.
        InputError
            If the file cannot be written, for example because the disk is full.
        """
        if "joule" not in row:
            events = np.asarray(row["events_forward"], dtype=np.float64) + np.asarray(row["events_feedback"])
            row = {**row, "joule": self._header.energy.estimate(events, row["macs"]).sum(axis=-1)}
        self._append("batches", {name: np.asarray(value)[np.newaxis] for name, value in row.items()})

    def append_epoch(self, row: Mapping[str, Any]) -> None:
        """Add an epoch: a value for each column of /epochs. Errors as for `append_batch`."""
        self._append("epochs", {name: np.asarray(value)[np.newaxis] for name, value in row.items()})

    def append_spikes(
        self, epoch: ArrayLike, sample: ArrayLike, steps: ArrayLike, layers: ArrayLike, neurons: ArrayLike
    ) -> None:
        """Add raw spikes.

        Parameters
        ----------
        epoch, sample, steps, layers, neurons : array_like of int, shape (n,), or one number for all
            A value for each spike. Errors as for `append_batch`.
        """
        values = np.broadcast_arrays(*(np.atleast_1d(value) for value in (epoch, sample, steps, layers, neurons)))
        names = [column.name for column in TABLES["spikes"]]
        self._append("spikes", dict(zip(names, values, strict=True)))

    def append_traces(self, rows: Mapping[str, NDArray[Any]]) -> None:
        """Add steps of phases.

        Parameters
        ----------
        rows : mapping of str to ndarray
            An array for each column of /traces, with a row for each step. Errors as for `append_batch`.
        """
        self._append("traces", rows)

    def write_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Store the weights, all of them, in place, and what is behind them.

        Parameters
        ----------
        weights : mapping of str to ndarray
            An array for each entry of the header's ``weight_shapes``, stored as float32; and for each of its
            ``normalization_shapes``, as far as they are known.

        Raises
        ------
        ValueError
            If names or shapes are not those of the header.
        InputError
            If the file cannot be written.
        """
        self._require_shapes(weights)
        with self._file.changing():
            for name, array in weights.items():
                self._file.write(self._header.place(name), np.asarray(array, dtype=np.float32))

    def write_best(self, epoch: int, weights: Mapping[str, NDArray[Any]]) -> None:
        """Store the weights of the best epoch by the validation set beside the last, in a run that has one.

        Rows that are kept are written before, so that the epoch is one of the file. While the weights change, and if
        the process dies within, the file says that it has none.

        Parameters
        ----------
        epoch : int
            From 1; 0 for no epoch, or one whose weights are lost.
        weights : mapping of str to ndarray
            As for `write_weights`; nothing for epoch 0.

        Raises
        ------
        ValueError
            The header says that there is no validation set, or names or shapes are not those of the header.
        InputError
            If the file cannot be written.
        """
        if not self._header.validated:
            raise ValueError("a run without a validation set has no best epoch")
        if epoch:
            self._require_shapes(weights)
        arrays = {
            self._header.place(name, best=True): np.asarray(weights.get(name, np.zeros(shape)), np.float32)
            for name, shape in self._header.array_shapes.items()
        }
        self._write_of_epoch(BEST_EPOCH, epoch, arrays)

    def write_last_test(self, test: LastTest) -> None:
        """Store the answers of the last test, in place, as `write_best` stores weights.

        Raises
        ------
        ValueError
            The header has no samples, or other classes or recorded samples.
        InputError
            If the file cannot be written.
        """
        arrays = {f"{LAST_TEST}/confusion": test.confusion, f"{LAST_TEST}/answers": test.answers}
        if test.epoch:
            recorded = 0 if self._header.recorded is None else len(self._header.recorded.samples)
            shapes = [array.shape for array in arrays.values()]
            if self._header.samples is None or shapes != [self._header.confusion_shape, (recorded,)]:
                raise ValueError(f"a test of shapes {shapes}, which the header does not have")
        self._write_of_epoch(f"{LAST_TEST}/epoch", test.epoch, arrays)

    def _write_of_epoch(self, path: str, epoch: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Arrays that belong to an epoch, whose number, 0 for none, says when they are whole."""
        with self._file.changing():
            self._write_rows(partial_chunks=True)
            self._file.write(path, 0)
            self._file.flush()
            if epoch:
                for name, array in arrays.items():
                    self._file.write(name, array)
                self._file.flush()
                self._file.write(path, epoch)
                self._file.flush()

    def set_status(self, status: str) -> None:
        """Say how the run stands: ``"running"``, ``"stopped"`` or ``"finished"``; flushes.

        Raises
        ------
        ValueError
            If the status is none of these.
        InputError
            If the file cannot be written.
        """
        with self._file.changing():
            self._file.write_status(status)
        self.flush()

    def flush(self) -> None:
        """Write every row and wait until the disk has it.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        with self._file.changing():
            self._write_rows(partial_chunks=True)
            self._file.sync()

    def close(self) -> None:
        """Write what is left, close the file and release the writer's own lock. May be called more than once.

        Raises
        ------
        InputError
            If the file cannot be written; it is closed all the same.
        """
        self._file.close(self.flush)

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _require_shapes(self, weights: Mapping[str, NDArray[Any]]) -> None:
        shapes = {name: np.shape(array) for name, array in weights.items()}
        known = self._header.array_shapes  # checkpoints of older versions lack what is behind the best weights
        if shapes != {name: known[name] for name in known if name in shapes or name in self._header.weight_shapes}:
            raise ValueError(f"weights of shapes {shapes}, the header has {known}")

    def _append(self, table: str, rows: Mapping[str, NDArray[Any]]) -> None:
        values = self._tables[table].extend(rows)
        if self._log is not None:
            self._log.append(table, values)
        if time.monotonic() - self._flushed_at >= _FLUSH_SECONDS or self._tables["spikes"].pending >= 4 * SPIKE_CHUNK:
            with self._file.changing():
                # A compressed chunk that is written again moves to the end of the file and leaves a hole.
                self._write_rows(partial_chunks=False)

    def _write_rows(self, *, partial_chunks: bool) -> None:
        self._file.reserve({path: table.pending for table in self._tables.values() for path in table.paths})
        written = {name: table.write(self._file, partial_chunks=partial_chunks) for name, table in self._tables.items()}
        self._file.flush()
        changed = [name for name, count in written.items() if count]
        for name in changed:
            self._file.write(f"rows/{name}", self._tables[name].written)
        if changed:
            self._file.flush()
        self._flushed_at = time.monotonic()


class _Table:
    """The columns of one table with the rows that are not yet written."""

    def __init__(self, name: str, header: RunHeader, rows: int) -> None:
        self._columns = TABLES[name]
        self.paths = [column.path for column in self._columns]
        self._shapes = [column.row_shape(len(header.layers)) for column in self._columns]
        self._names = {column.name for column in self._columns}
        self._compressed = name == "spikes"
        self._pending: list[list[NDArray[Any]]] = []
        self.pending = 0
        self.written = rows

    @property
    def rows(self) -> int:
        return self.written + self.pending

    def extend(self, rows: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Keep rows until they are written; returns them, column by column, in the types of the file."""
        if rows.keys() != self._names:
            raise ValueError(
                f"columns missing: {sorted(self._names - rows.keys())}, unknown: {sorted(rows.keys() - self._names)}"
            )
        values = [
            _checked(column, rows[column.name], shape)
            for column, shape in zip(self._columns, self._shapes, strict=True)
        ]
        self._pending.append(values)
        self.pending += len(values[0])
        return values

    def write(self, file: GrowingFile, *, partial_chunks: bool) -> int:
        """Write the rows that are kept, or of a compressed table only those that fill chunks; returns how many."""
        count = self.pending
        if self._compressed and not partial_chunks:
            count = max(0, (self.rows // SPIKE_CHUNK) * SPIKE_CHUNK - self.written)
        if count == 0:
            return 0
        blocks = [np.concatenate([values[index] for values in self._pending]) for index in range(len(self._columns))]
        file.extend({path: block[:count] for path, block in zip(self.paths, blocks, strict=True)}, self.written)
        self.written += count
        self.pending -= count
        self._pending = [[block[count:] for block in blocks]] if self.pending else []
        return count


def _checked(column: Column, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Values of a column in its type, refusing what does not fit."""
    dtype = np.dtype(column.dtype)
    if values.shape[1:] != shape:
        raise ValueError(f"column {column.name}: a row has the shape {shape}, got {values.shape[1:]}")
    if dtype.kind == "u":
        limits = np.iinfo(dtype)
        if values.dtype.kind not in "uib" or (values.size and (values.min() < 0 or values.max() > limits.max)):
            raise ValueError(f"column {column.name}: integers from 0 to {limits.max} are allowed, got {values}")
    # A copy: the caller may reuse its array before the row is written.
    return values.astype(dtype)


class _Joined:
    """A run file whose rows are taken from elsewhere."""

    def __init__(self, run: RunReader, rows: LoggedRows) -> None:
        self.created, self.size = run.created, run.size + rows.size
        self.blocks, self.weights, self.best = rows.blocks, run.weights, run.best


def require_same(path: Path, config: Mapping[str, Any], seed: int, header: RunHeader) -> None:
    """Refuse what belongs to a run of another configuration or seed.

    Raises
    ------
    InputError
    """
    require_same_settings(path, {**config, "seed": seed}, {**json.loads(header.config_json), "seed": header.seed})


def _require_same_run(source: RunReader, header: RunHeader, earlier: Mapping[str, Any] | None) -> None:
    if source.format_version != FORMAT_VERSION:
        raise InputError(
            f"{source.path} has format version {source.format_version} and this program writes {FORMAT_VERSION}: "
            f"resume it with spikesim {source.spikesim_version}"
        )
    if source.config != earlier:
        require_same(source.path, source.config, source.seed, header)
    shapes = {name: array.shape for name, array in source.weights().items()}
    if source.layers != list(header.layers) or shapes != header.weight_shapes:
        raise InputError(f"{source.path} has other layers than the network of this run; choose another --out")
