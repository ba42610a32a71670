"""How a run stands, in words."""

from spikesim.ep.runs.reader import RunReader
from spikesim.io.checkpoint import checkpoint_folder, positions
from spikesim.io.lock import lock_holder

__all__ = ["checkpoints_text", "state_text"]


def state_text(reader: RunReader) -> str:
    """How a run stands, in words: a run that says that it is running may have been killed."""
    holder = lock_holder(reader.path)  # before the status: a writer sets that and then lets go of the lock
    status = reader.status
    if status == "finished":
        return "finished"
    given = reader.setting("model.weights") and not reader.rows["batches"]
    if given and status == "stopped" and positions(checkpoint_folder(reader.path)):
        return (
            "not trained yet, its weights are given; evaluate tests it, 'spikesim train' with its configuration and "
            "--resume trains it"
        )
    if status == "stopped":
        return "stopped; the same command with --resume continues it"
    if holder is not None:
        return f"running ({holder})"
    return "ended before it was finished; the same command with --resume continues it"


def checkpoints_text(reader: RunReader) -> str:
    """Where the checkpoints of a run are, in words.

    Raises
    ------
    InputError
        Their folder cannot be read.
    """
    found = positions(checkpoint_folder(reader.path))
    if not found:
        return "none"
    tests = 0
    if reader.rows["epochs"]:  # before the first has ended, positions are mini-batches
        steps = int((reader.batches["epoch"] == 1).sum()) + 1  # of an epoch: its mini-batches, and its test
        tests = found[-1] // steps
        found = [position - position // steps for position in found]
    named = " and ".join(map(str, dict.fromkeys(found)))
    both = f", before and after the test of epoch {tests}" if len(set(found)) < len(found) else ""
    return f"after {named} mini-batch{'' if named == '1' else 'es'}{both}"
