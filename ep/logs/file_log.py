"""What logs in files have in common: the file is open from the beginning of the training to the end of the context."""

from typing import TYPE_CHECKING

from spikesim.ep.logs.waiting_file import WaitingFile
from spikesim.ep.runs.schema import hash_of_config
from spikesim.ep.training.extension import before_extension
from spikesim.ep.training.observer import Beginning, Observer

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FileLog", "hashes_of"]


class FileLog(Observer):
    """An observer that writes to a file; a context that writes the last of it when it ends."""

    def __init__(self) -> None:
        self._file: WaitingFile | None = None

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def hashes_of(beginning: Beginning) -> list[str]:
    """Hashes of the configurations whose logs a training goes on with: its own, and that from before an extension."""
    config, earlier = beginning.config.to_dict(), before_extension(beginning.config)
    return [hash_of_config(own) for own in (config, earlier) if own is not None]
