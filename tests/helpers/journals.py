"""What a training does to its files, without the network: some rows and checkpoints in a fraction of a second."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runs import append_rows, make_header, make_weights

from spikesim.ep.config.sections import OptimizerSettings
from spikesim.ep.parallel.communicator import Alone
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_store import Found, RunOptions, RunStore

BATCHES = 10
EVERY = 3
"""Rows of mini-batches between checkpoints."""


def config_of(header):
    """What a run store looks at of a configuration."""
    return SimpleNamespace(to_dict=lambda: header.config, optimizer=OptimizerSettings())


def run(out: Path, resume: bool = False, **changes: Any) -> list[str]:
    """Begin a run or go on with it, to its end; what the user is told."""
    header = make_header(**changes)
    with RunStore(RunOptions(out, resume=resume), Alone()) as run_store:
        found = run_store.find(config_of(header))
        if found.finished:
            return ["finished"]
        run_store.open(header, found)
        at = _take_up(run_store, found)
        run_store.write(lambda writer: writer.set_status("running"))
        if found.checkpoint is None:
            _save(run_store, 0)
        for index in range(at, BATCHES):
            run_store.write(lambda writer, index=index: append_rows(writer, index, index + 1))
            if index % 2:
                run_store.write(RunWriter.flush)  # as once a second
            if (index + 1) % EVERY == 0 or index + 1 == BATCHES:
                _save(run_store, index + 1)
        run_store.write(lambda writer: writer.set_status("finished"))
        return run_store.notes


def _take_up(run_store: RunStore, found: Found) -> int:
    if found.checkpoint is None:
        return 0
    weights = found.checkpoint.arrays
    run_store.write(lambda writer: writer.write_weights(weights))
    return int(found.checkpoint.meta["at"])


def _save(run_store: RunStore, at: int) -> None:
    weights = make_weights(at)
    run_store.save(at, weights, weights, {"at": at})


def digest(path: Path) -> str:
    """That of a run file."""
    with RunReader(path) as reader:
        return reader.digest()
