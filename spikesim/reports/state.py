"""How a run stands, in words."""

from spikesim.runlock import lock_holder
from spikesim.runreader import RunReader

__all__ = ["state_text"]


def state_text(reader: RunReader) -> str:
    """How a run stands, in words: a run that says that it is running may have been killed."""
    holder = lock_holder(reader.path)  # before the status: a writer sets that and then lets go of the lock
    status = reader.status
    if status == "finished":
        return "finished"
    if reader.setting("model.weights") and not reader.rows["batches"]:
        return (
            "imported, not trained; evaluate tests it, 'spikesim train' with its configuration and --resume trains it"
        )
    if status == "stopped":
        return "stopped; the same command with --resume continues it"
    if holder is not None:
        return f"running ({holder})"
    return "ended before it was finished; the same command with --resume continues it"
