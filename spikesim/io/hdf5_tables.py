"""Files of a run or of a simulation: HDF5 that only grows, one process writes, and others follow (SWMR).

Each has attributes that say what it is and where it comes from, a status, and tables whose columns grow together.
`GrowingFile` is its writer's side and `FollowedFile` its reader's; what the tables are is for those who use them.
"""

import contextlib
import json
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from spikesim.errors import InputError
from spikesim.io.formats import FORMATS, STATUSES, canonical_json
from spikesim.io.hdf5_output import HDF5Output
from spikesim.io.hdf5_reader import Contents, HDF5File, write_text
from spikesim.io.hdf5_writer import versions, write_error
from spikesim.io.lock import RunLock

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "FollowedFile",
    "GrowingFile",
    "extend",
    "make_column",
    "read_json",
    "read_status",
    "require_format",
    "require_replaceable",
    "write_origin",
]


def require_replaceable(path: str | os.PathLike[str], overwrite: bool, is_own: Callable[[], bool], own: str) -> None:
    """Refuse to replace a file that exists, unless that is wanted and it is one of the program's.

    Parameters
    ----------
    is_own : callable
        Whether it is.
    own : str
        What it is then: the end of "PATH is not ...".

    Raises
    ------
    InputError
    """
    if not overwrite:
        raise InputError(f"{path} exists: --resume continues it, --overwrite replaces it")
    if not is_own():
        raise InputError(f"{path} is not {own}; choose another --out, or remove the file yourself")


def write_origin(
    file: Any, *, magic: str, version: int, program: str, created: str, command_line: str, seed: int | np.uint64
) -> None:
    """The attributes of a new file, and its status, which is that it is being written."""
    texts = {
        "format": magic,
        "spikesim_version": program,
        "created": created,
        "host": socket.gethostname(),
        "command_line": command_line,
        "versions": canonical_json(versions()),
    }
    for name, text in texts.items():
        write_text(file.attrs, name, text)
    file.attrs.update({"format_version": version, "seed": seed})
    file.create_dataset("status", data=np.uint8(STATUSES.index("running")))


def make_column(
    group: Any, name: str, dtype: DTypeLike, trailing: tuple[int, ...], chunk: int, *, compressed: bool = False
) -> Any:
    """An empty dataset that grows by rows of this shape and is stored in chunks of so many rows."""
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if compressed else {}
    return group.create_dataset(
        name, (0, *trailing), dtype, maxshape=(None, *trailing), chunks=(chunk, *trailing), **packing
    )


def extend(dataset: Any, values: NDArray[Any], at: int) -> None:
    """Have a column end with these rows, from row `at` on."""
    dataset.resize(at + len(values), axis=0)
    dataset[at:] = values


class GrowingFile:
    """A file that is open for appending, and the lock that keeps other writers out.

    Parameters
    ----------
    path : Path
    output : HDF5Output
        As `spikesim.io.hdf5_writer.create` returns it.
    lock : RunLock or None
        Released when the file is closed or cannot be written any more; None if that is somebody else's.
    """

    def __init__(self, path: Path, output: HDF5Output, lock: RunLock | None) -> None:
        self.path = path
        self._output = output
        self._lock = lock

    @property
    def is_open(self) -> bool:
        """Whether it still can be written."""
        return bool(self._output.file)

    def __getitem__(self, name: str) -> Any:
        """A dataset or a group."""
        return self._output.file[name]

    def __contains__(self, name: str) -> bool:
        return name in self._output.file

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change the file. If it cannot be written, no more of it is, and others may write it.

        Raises
        ------
        InputError
            It is closed, or cannot be written.
        """
        if not self.is_open:
            raise InputError(f"{self.path} is closed")
        try:
            with self._output.changing():
                yield
        except (OSError, RuntimeError) as error:
            self.release()
            raise write_error(self.path, error) from error

    def reserve(self, rows: Mapping[str, int]) -> None:
        """Have room for so many rows more of columns; within `changing`, as all that follows. HDF5 stores whole chunks.

        Raises
        ------
        OSError
        """
        self._output.reserve(sum(self._bytes(self[name], count) for name, count in rows.items() if count))

    @staticmethod
    def _bytes(dataset: Any, rows: int) -> int:
        return int(dataset.dtype.itemsize * math.prod(dataset.shape[1:]) * (rows + dataset.chunks[0]))

    def extend(self, columns: Mapping[str, NDArray[Any]], at: int) -> None:
        """Have columns end with these rows, from row `at` on.

        Raises
        ------
        OSError or RuntimeError
        """
        for name, values in columns.items():
            extend(self[name], values, at)

    def write(self, name: str, value: Any) -> None:
        """Change all of a dataset that does not grow.

        Raises
        ------
        OSError or RuntimeError
        """
        self[name][...] = value

    def write_status(self, status: str) -> None:
        """One of `STATUSES`.

        Raises
        ------
        ValueError
            It is none.
        OSError or RuntimeError
        """
        self.write("status", STATUSES.index(status))

    def flush(self) -> None:
        """Have readers see what was changed.

        Raises
        ------
        OSError
        """
        self._output.flush()

    def sync(self) -> None:
        """Wait until the disk has what was flushed.

        Raises
        ------
        OSError
        """
        self._output.sync()

    def close(self, last: Callable[[], None]) -> None:
        """Do something last and close the file, if it is open; release the lock in any case.

        Raises
        ------
        InputError
            It cannot be written; it is closed all the same.
        """
        try:
            if self.is_open:
                last()
                with self.changing():
                    self._output.close()
        finally:
            self.release()

    def release(self) -> None:
        """Let others write the file."""
        if self._lock is not None:
            self._lock.release()


class FollowedFile:
    """A file to read, also while it grows; a context manager that closes it. Readers of a format are made from it.

    Attributes
    ----------
    path : Path
    spikesim_version, created, host, command_line : str
        Where the file comes from.
    versions : dict
        Versions of Python and of the libraries.
    seed : int

    Raises
    ------
    InputError
        As `spikesim.io.hdf5_reader.HDF5File`, or it is of another format.
    """

    def __init__(self, path: str | os.PathLike[str], wanted: str, remedy: str) -> None:
        self._file = HDF5File(path, wanted, remedy)
        self.path = self._file.path
        try:
            self._file.read(self._read_header)
        except BaseException:
            self.close()
            raise

    def _read_header(self, contents: Contents) -> None:
        """Refuse what has another format, and read what does not change."""
        self.spikesim_version = contents.text("spikesim_version")
        self.created, self.host = contents.text("created"), contents.text("host")
        self.command_line = contents.text("command_line")
        stored = read_json(contents.text("versions"), "list of versions")
        self.versions: dict[str, str] = {key: str(value) for key, value in stored.items()}
        self.seed = int(contents.attribute("seed"))

    def close(self) -> None:
        """Close the file. May be called more than once."""
        self._file.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def require_format(contents: Contents, path: object, magic: str, wanted: str) -> bool:
    """Whether a file has this format, refusing one of the program's other formats.

    Raises
    ------
    InputError
    """
    try:
        found = contents.attribute("format")
    except (LookupError, TypeError):
        return False
    if found != magic and found in FORMATS:
        raise InputError(f"{path} is {FORMATS[str(found)]}; {wanted}")
    return found == magic


def read_status(contents: Contents) -> str:
    """One of `STATUSES`; a file whose writer was killed still says running."""
    return STATUSES[int(contents.array("/status", "u1", ()))]


def read_json(text: str, what: str) -> dict[str, Any]:
    """A text of a file that is a JSON object; a message calls it `what`.

    Raises
    ------
    ValueError
        It is none, or has a number that JSON does not have, or one beyond float64.
    """

    def refuse(number: str) -> None:
        raise ValueError(f"its {what} has {number}")

    def finite(number: str) -> float:
        value = float(number)
        if not math.isfinite(value):
            refuse(number)
        return value

    return dict(json.loads(text, parse_constant=refuse, parse_float=finite))
