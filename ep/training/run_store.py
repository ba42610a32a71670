"""The run file and the checkpoints of a run: one process keeps them for all.

Whatever goes wrong with them is told to every rank, so that all end alike.

A checkpoint has the state of the network, and the log beside it the rows up to there. So a run goes on from them also
where its file is damaged or missing: what there is of the file is kept under another name, and it is written anew.
"""

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config
from spikesim.ep.parallel.communicator import Communicator
from spikesim.ep.runs.row_log import LoggedRows, RowLog, is_empty, log_path
from spikesim.ep.runs.schema import TABLES, RunHeader, hash_of_config
from spikesim.ep.runs.writer import RunReader, RunWriter, require_same
from spikesim.ep.training.extension import before_extension
from spikesim.errors import DamagedError, InputError
from spikesim.io import checkpoint
from spikesim.io.durable import set_aside
from spikesim.io.hdf5_writer import write_error
from spikesim.io.lock import RunLock
from spikesim.runtime.text import counted

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes a bit of its results.

    Attributes
    ----------
    out : path of the run file
    resume, overwrite : what to do with a run file that exists; of both, `resume` counts, and nothing is replaced
    threads : int
    checkpoint_every : int or None
        Mini-batches between checkpoints; None for once a minute. There is always one after an epoch.
    command_line : str
        For the file's attributes.
    going_on : str
        The command that goes on with the run, if that is another one.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    threads: int = 1
    checkpoint_every: int | None = None
    command_line: str = ""
    going_on: str = ""


@dataclass(frozen=True)
class Found:
    """What there is of a run before it begins.

    Attributes
    ----------
    going_on : bool
        The run file exists and is to be continued.
    finished : bool
        And there is nothing left to do.
    checkpoint : Checkpoint or None
        Where it goes on; None for the beginning.
    fault : str or None
        What is wrong with the run file, if it cannot be used: it is written anew.
    """

    going_on: bool
    finished: bool
    checkpoint: "checkpoint.Checkpoint | None"
    fault: str | None = None


class RunStore:
    """The run file, its lock and its checkpoints; a context in which no other process writes them.

    Parameters
    ----------
    options : RunOptions
    ranks : Communicator
        Every method is called by all of them.

    Attributes
    ----------
    notes : list of str
        What the user is to know of how the run file was opened; only the first rank has any.

    Raises
    ------
    InputError
        On entry: another process writes the run, or its folder is missing.
    """

    def __init__(self, options: RunOptions, ranks: Communicator) -> None:
        self.options = options
        self.ranks = ranks
        self.saved = False  # whether a checkpoint has been written
        self._folder = checkpoint.checkpoint_folder(options.out)
        self._hash = ""
        self._lock: RunLock | None = None
        self._writer: RunWriter | None = None
        self._log: RowLog | None = None
        self._logged: LoggedRows | None = None  # rows up to the checkpoint that was found
        self._earlier: Mapping[str, Any] | None = None  # the configuration that may have been given more epochs
        self.notes: list[str] = []

    def __enter__(self) -> "RunStore":
        def lock() -> None:
            self._lock = RunLock(self.options.out)

        self.ranks.first(lock)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._writer.__exit__(kind, error, trace)
        finally:
            if self._log is not None:
                self._log.close()
            if self._lock is not None:
                self._lock.release()

    def find(self, config: Config) -> Found:
        """Look for what there is of the run.

        Raises
        ------
        InputError
            There is something to go on with, or to lose, and no way to.
        """

        self._earlier = before_extension(config)

        def look() -> Found:
            found = self._find_checkpoint()
            if not self.options.resume or (found is None and not self.options.out.exists()):
                return Found(False, False, None)
            self._logged = self._find_rows(found)
            try:
                finished = self._look_at_file(config)
            except DamagedError as error:
                fault = str(error).rpartition("; ")[0] or str(error)
                if self._logged is not None:
                    return Found(True, False, found, fault)
                if found is None and is_empty(log_path(self._folder)):
                    return Found(False, False, None, fault)
                if not self.options.out.exists():
                    raise InputError(
                        f"{fault}, and its checkpoints in {self._folder} do not hold its rows; restore the file, or "
                        "remove the folder (or --overwrite) to start again"
                    ) from None
                raise
            if not finished and found is None:
                self._require_no_rows()
            return Found(True, finished, found)

        return self.ranks.first(look)

    def open(self, header: RunHeader, found: Found) -> None:
        """Open the run file for writing, where `found` says.

        Raises
        ------
        InputError
            The file cannot be written, or is that of another run.
        """

        def start() -> None:
            self._hash = header.config_hash
            self._require_own(header, found)
            if found.fault is not None:
                self._set_aside(found.fault, found.going_on)
            self._writer = writer = self._open_file(header, found)
            if self._logged is not None and self._logged.config == json.loads(header.config_json):
                self._log = RowLog.resume(self._logged)
            else:
                if found.checkpoint is None and checkpoint.positions(self._folder):
                    checkpoint.remove(self._folder)
                with RunReader(self.options.out) as run:
                    self._log = RowLog.create(self._folder, header, run, writer.rows)
            writer.keep_log(self._log)

        self.ranks.first(start)

    def _open_file(self, header: RunHeader, found: Found) -> RunWriter:
        assert self._lock is not None
        out, lock = self.options.out, self._lock
        if not found.going_on:
            return RunWriter.create(out, header, overwrite=self.options.overwrite, lock=lock)
        if found.fault is not None:
            assert self._logged is not None
            return RunWriter.restore(out, header, self._logged, lock=lock)
        rows = found.checkpoint.meta["rows"] if found.checkpoint else dict.fromkeys(TABLES, 0)
        return RunWriter.resume(out, header, rows=rows, lock=lock, logged=self._logged, earlier=self._earlier)

    def _set_aside(self, fault: str, going_on: bool) -> None:
        """Keep what there is of a run file that cannot be used, and say so."""
        kept = ""
        if self.options.out.exists():
            try:
                kept = f"it is kept as {set_aside(self.options.out.resolve())}; "
            except OSError as error:
                raise write_error(self.options.out, error) from error
        what = "it is written anew up to the last checkpoint" if going_on else "the run begins anew, nothing was saved"
        self.notes.append(f"{fault}: {kept}{what}")

    def write(self, work: Callable[[RunWriter], None]) -> None:
        """Do something with the run file.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        self.ranks.first(lambda: work(self._open_writer()))

    def save(self, position: int, weights: Arrays, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Weights into the run file, then the checkpoint that counts on its rows.

        Parameters
        ----------
        position : int
            Of the checkpoint.
        weights : mapping of str to float32 arrays
        arrays, meta
            The checkpoint's; the number of rows of the file, the mark of their log and the hash of the configuration
            are added.

        Raises
        ------
        InputError
            One of them cannot be written; earlier checkpoints are kept.
        """

        def work() -> None:
            writer = self._open_writer()
            writer.write_weights(weights)
            writer.flush()
            assert self._log is not None
            kept = {"rows": writer.rows, "log": self._log.mark(), "config_hash": self._hash}
            checkpoint.save(self._folder, position, arrays, {**meta, **kept})

        self.ranks.first(work)
        self.saved = True

    def _open_writer(self) -> RunWriter:
        assert self._writer is not None
        return self._writer

    def _find_rows(self, found: "checkpoint.Checkpoint | None") -> LoggedRows | None:
        """The rows up to a checkpoint, if they are in the log."""
        if found is None or "log" not in found.meta:  # older versions kept none
            return None
        try:
            logged = LoggedRows(log_path(self._folder), found.meta["log"])
            if logged.rows != found.meta["rows"]:
                raise ValueError(f"{logged.path} has other rows than the checkpoint")
        except (OSError, ValueError, LookupError, TypeError, struct.error) as error:
            self.notes.append(f"{error}: the rows are taken from the run file")
            return None
        return logged

    def _look_at_file(self, config: Config) -> bool:
        """Read all of the run file; whether the run is finished.

        Raises
        ------
        DamagedError
            The file is missing, damaged, or lacks rows that the checkpoint counts on.
        InputError
            It is no run file of this version.
        """
        out = self.options.out
        if not out.exists():
            raise DamagedError(f"{out} is missing")
        with RunReader(out) as run:
            rows = run.rows
            for table in TABLES:
                for _ in run.blocks(table, rows[table]):
                    pass
            run.weights()
            run.best()
            run.last_test()
            own = run.config == config.to_dict()
            finished = own and run.status == "finished"
        for table, needed in self._logged.rows.items() if self._logged is not None else ():
            if own and rows[table] < needed:
                raise DamagedError(f"{out} has {rows[table]} rows of /{table}, and its checkpoint counts on {needed}")
        return finished

    def _require_no_rows(self) -> None:
        """Without a checkpoint a run starts again, which must not cost what it has earned."""
        with RunReader(self.options.out) as run:
            batches = run.rows["batches"]
        if batches:
            raise InputError(
                f"{self.options.out} has {counted(batches, 'mini-batch')} but no checkpoint in {self._folder} to "
                "resume from; restore that folder, choose another --out, or start again with --overwrite"
            )

    def _require_own(self, header: RunHeader, found: Found) -> None:
        """A checkpoint must be of the run whose file it lies beside, before anything is changed."""
        if found.checkpoint is None:
            return
        if found.fault is not None:
            assert self._logged is not None
            require_same(self._logged.path, self._logged.config, self._logged.seed, header)
            own = header.config_hash
        else:
            with RunReader(self.options.out) as run:
                own = run.config_hash
        # of a run that was given more epochs, and has not got further since, it is that of before
        earlier = own if self._earlier is None else hash_of_config(self._earlier)
        if found.checkpoint.meta.get("config_hash", own) not in (own, earlier):
            raise InputError(
                f"the checkpoints in {self._folder} are those of a run with another configuration; restore the "
                "folder, or start again with --overwrite"
            )

    def _find_checkpoint(self) -> "checkpoint.Checkpoint | None":
        """The checkpoint to go on from; None to start at the beginning."""
        options = self.options
        if options.resume:
            return checkpoint.load_latest(self._folder)
        if not options.overwrite and not options.out.exists() and checkpoint.positions(self._folder):
            raise InputError(
                f"{options.out} is missing but its checkpoints are in {self._folder}; restore the file, write it again "
                "with --resume, or remove the folder (or --overwrite) to start again"
            )
        return None
