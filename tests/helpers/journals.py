"""What a training does to its files, without the network: some rows and checkpoints in a fraction of a second."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runs import append_rows, make_header, make_weights

from spikesim.ep.parallel.communicator import Alone
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_store import Found, RunOptions, RunStore

BATCHES = 10
EVERY = 3
"""Rows of mini-batches between checkpoints."""


def run(out: Path, resume: bool = False, **changes: Any) -> list[str]:
    """Begin a run or go on with it, to its end; what the user is told."""
    header = make_header(**changes)
    with RunStore(RunOptions(out, resume=resume), Alone()) as journal:
        found = journal.find(SimpleNamespace(to_dict=lambda: header.config))
        if found.finished:
            return ["finished"]
        journal.open(header, found)
        at = _take_up(journal, found)
        journal.write(lambda writer: writer.set_status("running"))
        if found.checkpoint is None:
            _save(journal, 0)
        for index in range(at, BATCHES):
            journal.write(lambda writer, index=index: append_rows(writer, index, index + 1))
            if index % 2:
                journal.write(RunWriter.flush)  # as once a second
            if (index + 1) % EVERY == 0 or index + 1 == BATCHES:
                _save(journal, index + 1)
        journal.write(lambda writer: writer.set_status("finished"))
        return journal.notes


def _take_up(journal: RunStore, found: Found) -> int:
    if found.checkpoint is None:
        return 0
    weights = found.checkpoint.arrays
    journal.write(lambda writer: writer.write_weights(weights))
    return int(found.checkpoint.meta["at"])


def _save(journal: RunStore, at: int) -> None:
    weights = make_weights(at)
    journal.save(at, weights, weights, {"at": at})


def digest(path: Path) -> str:
    """That of a run file."""
    with RunReader(path) as reader:
        return reader.digest()
