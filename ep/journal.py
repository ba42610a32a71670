"""The run file and the checkpoints of a run: one process keeps them for all.

Whatever goes wrong with them is told to every rank, so that all end alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from spikesim import checkpoint
from spikesim.ep.config import Config
from spikesim.ep.ranks import Ranks
from spikesim.errors import InputError
from spikesim.reports.text import counted
from spikesim.runfile import RunReader, RunWriter
from spikesim.runlock import RunLock
from spikesim.schema import TABLES, RunHeader

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
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    threads: int = 1
    checkpoint_every: int | None = None
    command_line: str = ""


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
    """

    going_on: bool
    finished: bool
    checkpoint: "checkpoint.Checkpoint | None"


class Journal:
    """The run file, its lock and its checkpoints; a context in which no other process writes them.

    Parameters
    ----------
    options : RunOptions
    ranks : Ranks
        Every method is called by all of them.

    Raises
    ------
    InputError
        On entry: another process writes the run, or its folder is missing.
    """

    def __init__(self, options: RunOptions, ranks: Ranks) -> None:
        self.options = options
        self.ranks = ranks
        self.saved = False  # whether a checkpoint has been written
        self._folder = checkpoint.checkpoint_folder(options.out)
        self._hash = ""
        self._lock: RunLock | None = None
        self._writer: RunWriter | None = None

    def __enter__(self) -> "Journal":
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
            if self._lock is not None:
                self._lock.release()

    def find(self, config: Config) -> Found:
        """Look for what there is of the run.

        Raises
        ------
        InputError
            There is something to go on with, or to lose, and no way to.
        """

        def look() -> Found:
            found = self._find_checkpoint()
            going_on = self.options.resume and self.options.out.exists()
            finished = going_on and self._is_finished(config)
            if going_on and not finished and found is None:
                self._require_no_rows()
            return Found(going_on, finished, found)

        return self.ranks.first(look)

    def open(self, header: RunHeader, found: Found) -> None:
        """Open the run file for writing, where `found` says.

        Raises
        ------
        InputError
            The file cannot be written, or is that of another run.
        """

        def start() -> None:
            assert self._lock is not None
            self._hash = header.config_hash
            if found.going_on:
                self._require_own(found.checkpoint)
                none = dict.fromkeys(TABLES, 0)
                rows = found.checkpoint.meta["rows"] if found.checkpoint else none
                self._writer = RunWriter.resume(self.options.out, header, rows=rows, lock=self._lock)
            else:
                overwrite = self.options.overwrite
                self._writer = RunWriter.create(self.options.out, header, overwrite=overwrite, lock=self._lock)
                checkpoint.remove(self._folder)

        self.ranks.first(start)

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
            The checkpoint's; the number of rows of the file and the hash of its configuration are added.

        Raises
        ------
        InputError
            One of them cannot be written; earlier checkpoints are kept.
        """

        def work() -> None:
            writer = self._open_writer()
            writer.write_weights(weights)
            writer.flush()
            checkpoint.save(self._folder, position, arrays, {**meta, "rows": writer.rows, "config_hash": self._hash})

        self.ranks.first(work)
        self.saved = True

    def _open_writer(self) -> RunWriter:
        assert self._writer is not None
        return self._writer

    def _is_finished(self, config: Config) -> bool:
        with RunReader(self.options.out) as run:
            return run.status == "finished" and run.config == config.to_dict()

    def _require_no_rows(self) -> None:
        """Without a checkpoint a run starts again, which must not cost what it has earned."""
        with RunReader(self.options.out) as run:
            batches = run.rows["batches"]
        if batches:
            raise InputError(
                f"{self.options.out} has {counted(batches, 'mini-batch')} but no checkpoint in {self._folder} to go on "
                "from; restore that folder, choose another --out, or start again with --overwrite"
            )

    def _require_own(self, found: "checkpoint.Checkpoint | None") -> None:
        """A checkpoint must be of the run whose file it lies beside."""
        with RunReader(self.options.out) as run:
            if found is not None and found.meta.get("config_hash", run.config_hash) != run.config_hash:
                raise InputError(
                    f"the checkpoints in {self._folder} are those of a run with another configuration; restore the "
                    "folder, or start again with --overwrite"
                )

    def _find_checkpoint(self) -> "checkpoint.Checkpoint | None":
        """The checkpoint to go on from; None to start at the beginning."""
        options = self.options
        if not options.out.exists():
            if checkpoint.positions(self._folder) and not options.overwrite:
                raise InputError(
                    f"{options.out} is missing but its checkpoints are in {self._folder}; restore the file, "
                    "or remove the folder (or --overwrite) to start again"
                )
            return None
        return checkpoint.load_latest(self._folder) if options.resume else None
