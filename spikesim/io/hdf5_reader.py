"""Reading HDF5 files that nobody vouches for, also while they are written.

Whatever such a file says of itself is looked at before it is believed: the type of a text or of an array before it is
read, the links that lead to it, the filters that its chunks went through, and whether all of it is in the file. So no
other file is opened, no code is loaded, and memory is bounded by what the file holds.
"""

import contextlib
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from spikesim.errors import DamagedError, InputError
from spikesim.io.hdf5_bytes import SIGNATURE, HDF5Bytes
from spikesim.runtime.printable import one_line

__all__ = ["FAULTS", "Contents", "HDF5File", "NotRead", "begins_as_hdf5", "write_text"]

FAULTS = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, MemoryError)
"""What h5py, and code that looks at what it returns, raise for a damaged file."""
PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)
"""Seconds before each new try to read a file that is being written."""
ATTRIBUTE_BYTES_MAX = 60_000
"""A text as an attribute; HDF5 has 64 KB for all that belongs to one."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_LZF}
_CHECKSUM = h5py.h5z.FILTER_FLETCHER32
"""Read where it is the last filter, so that the lengths of the chunks are known: it reads beyond a chunk that is
shorter than its checksum."""
_CHECKSUM_BYTES = 4
_USER_BLOCKS = (512, 1024, 2048, 4096)
"""Where the content of a file may begin behind bytes of others."""
_FILTER_NAMES = {
    h5py.h5z.FILTER_SZIP: "szip",
    h5py.h5z.FILTER_NBIT: "nbit",
    h5py.h5z.FILTER_SCALEOFFSET: "scale-offset",
    _CHECKSUM: "fletcher32 before another filter",
    307: "bzip2",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
_T = TypeVar("_T")


class NotRead(TypeError):
    """Something in a sound file that is not read here; one of `FAULTS`."""


class HDF5File:
    """An HDF5 file to read. Nothing is written to it, and no lock is taken.

    A file that is marked as being written is opened anew for each reading, so that it is seen as it is now, and what
    was caught in the middle of a change is read again: a few times within an eighth of a second. Others are opened
    once.

    Parameters
    ----------
    path : path-like
    wanted : str
        What to give instead, if it is not an HDF5 file; the end of a message.
    remedy : str
        What to do if it is damaged; the end of a message.

    Attributes
    ----------
    path : Path
    written : bool
        Whether the file is marked as being written: it is, or its writer was killed.

    Raises
    ------
    InputError
        If it is missing, cannot be read, is not an HDF5 file, or is damaged (`spikesim.errors.DamagedError` if there is
        a file that may be read and has not the bytes of an HDF5 file).
    """

    def __init__(self, path: str | os.PathLike[str], wanted: str, remedy: str) -> None:
        self.path = Path(path)
        self._remedy = remedy
        self._kept: Contents | None = None
        self._descriptor = _open(self.path, wanted)
        try:
            with self._faults():
                self.written = HDF5Bytes(self._descriptor).written
                if not self.written:
                    self._kept = Contents(self._descriptor)
            self.read(lambda contents: None)
        except BaseException:
            self.close()
            raise

    def read(self, what: Callable[["Contents"], _T]) -> _T:
        """What a function makes of the contents. It may be called several times and must not keep them.

        Raises
        ------
        InputError
            If the function raises one of `FAULTS`: the file is damaged, or, of `NotRead`, sound and not read here. Its
            own `InputError` goes through.
        """
        for pause in PAUSES if self.written else ():
            try:
                return self._read_once(what)
            except InputError:
                raise
            except FAULTS:
                time.sleep(pause)
        with self._faults():
            return self._read_once(what)

    def _read_once(self, what: Callable[["Contents"], _T]) -> _T:
        if self._kept is not None:
            return what(self._kept)
        contents = Contents(self._descriptor)
        try:
            return what(contents)
        finally:
            contents.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except MemoryError as error:
            raise InputError(
                f"{self.path}: there is not enough memory for what it holds ({one_line(error)})"
            ) from error
        except NotRead as error:
            raise InputError(f"{self.path}: {one_line(error)}") from error
        except FAULTS as error:
            raise DamagedError(f"{self.path} is damaged ({one_line(error)}); {self._remedy}") from error

    def close(self) -> None:
        """Close the file. May be called more than once."""
        if self._kept is not None:
            self._kept.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Contents:
    """What is in a file, as of one opening. Whatever is wrong with it raises one of `FAULTS`.

    Attributes
    ----------
    size : int
        Bytes of the file.
    written : bool
        Whether it is marked as being written.
    """

    def __init__(self, descriptor: int) -> None:
        stored = HDF5Bytes(descriptor)
        if stored.size < stored.end:
            raise OSError("it is truncated")
        self.size, self.written = stored.size, stored.written
        self._file = h5py.File(stored, "r")
        self._groups: dict[str, Any] = {"": self._file["/"]}
        self._datasets: dict[str, Any] = {}

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(*FAULTS):
            self._file.close()

    def names(self, path: str) -> list[str]:
        """Names of what is in a group."""
        group = self._item(path)
        if not isinstance(group, h5py.Group):
            raise TypeError(f"{path} is no group")
        return list(group)

    def has(self, path: str) -> bool:
        """Whether there is something of that name in the group above it, which must exist."""
        above, _, name = path.rpartition("/")
        return name in self._item(above)

    def is_group(self, path: str) -> bool:
        """Whether what is there is a group; a link to one is none."""
        try:
            return isinstance(self._item(path), h5py.Group)
        except NotRead:
            return False

    def attribute(self, name: str, path: str = "/") -> int | float | str:
        """A number or a text of fixed length, alone or in an array of one, of what is at a path."""
        item = self._item(path)
        stored = h5py.h5a.open(item.id, name.encode())
        kind = stored.get_type()
        if stored.shape is None or math.prod(stored.shape) != 1:
            raise TypeError(f"attribute {name} is not one value")
        if isinstance(kind, h5py.h5t.TypeStringID):
            if kind.is_variable_str():
                raise TypeError(f"attribute {name} is a text of variable length; it must be of fixed length")
        elif type(kind) not in (h5py.h5t.TypeIntegerID, h5py.h5t.TypeFloatID):
            raise TypeError(f"attribute {name} is neither a number nor a text")
        if max(kind.get_size(), stored.get_storage_size()) > self.size:
            raise OSError(f"attribute {name} is larger than the file")
        value = np.asarray(item.attrs[name]).reshape(-1)[0]
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, bytes):
            return value.decode()
        if not isinstance(value, int | float | str):
            raise TypeError(f"attribute {name} is a {type(value).__name__}")
        return value

    def integers(self, name: str, path: str) -> tuple[int, ...]:
        """An attribute that must be a row of whole numbers."""
        item = self._item(path)
        stored = h5py.h5a.open(item.id, name.encode())
        if type(stored.get_type()) is not h5py.h5t.TypeIntegerID or stored.shape is None or len(stored.shape) != 1:
            raise TypeError(f"attribute {name} is not a row of whole numbers")
        if stored.get_storage_size() > self.size:
            raise OSError(f"attribute {name} is larger than the file")
        return tuple(int(value) for value in np.asarray(item.attrs[name]))

    def text(self, name: str, path: str = "/") -> str:
        """An attribute that must be a text of fixed length."""
        value = self.attribute(name, path)
        if not isinstance(value, str):
            raise TypeError(f"attribute {name} is not a text")
        return value

    def stored_text(self, path: str) -> str:
        """A dataset that is one text of fixed length."""
        dataset = self.dataset(path)
        if dataset.dtype.kind != "S" or dataset.shape != ():
            raise TypeError(f"{path} is not a text")
        self.require_stored(dataset)
        return bytes(dataset[()]).decode()

    def dataset(self, path: str) -> Any:
        """A dataset with all that belongs to it in this file, not read yet."""
        if path not in self._datasets:
            self._datasets[path] = self._checked_dataset(path)
        return self._datasets[path]

    def array(
        self, path: str, dtype: DTypeLike, shape: tuple[int, ...] | None = None, *, compressed: bool = False
    ) -> NDArray[Any]:
        """A whole dataset, which must have this type, and this shape if one is given; `compressed` as for `rows`."""
        dataset = self.dataset(path)
        if dataset.dtype != np.dtype(dtype) or (shape is not None and dataset.shape != shape):
            raise ValueError(f"{path} is an array of {dataset.dtype} {dataset.shape}")
        if not compressed:
            self._require_plain(dataset)
        self.require_stored(dataset)
        return np.asarray(dataset[()])

    def rows(
        self,
        path: str,
        start: int,
        stop: int,
        dtype: DTypeLike,
        trailing: tuple[int, ...],
        *,
        compressed: bool = False,
    ) -> NDArray[Any]:
        """Rows `start` to `stop` of a dataset, which must have this type and rows of this shape.

        Rows that may be compressed can take up far more than the file: whoever asks for them bounds their number.
        """
        dataset = self.dataset(path)
        if dataset.dtype != np.dtype(dtype) or dataset.shape[1:] != trailing or not 0 <= start <= dataset.shape[0]:
            raise ValueError(f"{path} is an array of {dataset.dtype} {dataset.shape}")
        if stop > dataset.shape[0]:
            raise ValueError(f"{path} has {dataset.shape[0]} rows and {stop} are needed")
        if stop <= start:
            return np.zeros((0, *trailing), dtype)
        if not compressed:
            self._require_plain(dataset)
        self.require_stored(dataset, start, stop)
        return np.asarray(dataset[start:stop])

    def length(self, path: str) -> int:
        """Number of rows of a dataset."""
        return int(self.dataset(path).shape[0])

    def _require_plain(self, dataset: Any) -> None:
        """Refuse data that could unpack to more than the file holds."""
        if dataset.id.get_create_plist().get_nfilters():
            raise TypeError(f"{dataset.name} is compressed, which the program never does")

    def require_stored(self, dataset: Any, start: int = 0, stop: int | None = None) -> None:
        """Refuse rows that are not all within the file: HDF5 reads zeros where a file ends, or a chunk is missing."""
        shape, chunks, itemsize = dataset.shape, dataset.chunks, dataset.dtype.itemsize
        if shape is None:
            raise NotRead(f"{dataset.name} has no values; it must be an array")
        if math.prod(shape) == 0:
            return
        if chunks is None:
            offset = dataset.id.get_offset()
            if offset is None or offset + math.prod(shape) * itemsize > self.size:
                raise OSError(f"not all of {dataset.name} is in the file")
            return
        shortest = _CHECKSUM_BYTES + 1 if _CHECKSUM in _filters(dataset) else 0
        first, last = start // chunks[0], -(-(shape[0] if stop is None else stop) // chunks[0])
        needed = (last - first) * math.prod(
            -(-length // chunk) for length, chunk in zip(shape[1:], chunks[1:], strict=True)
        )
        inside, stored = 0, 0

        def visit(chunk: Any) -> None:
            nonlocal inside, stored
            if chunk.size < shortest:
                raise OSError(f"a chunk of {dataset.name} is shorter than its checksum")
            stored += chunk.size
            inside += first <= chunk.chunk_offset[0] // chunks[0] < last and chunk.byte_offset + chunk.size <= self.size

        dataset.id.chunk_iter(visit)
        if inside != needed or stored > self.size:
            raise OSError(f"not all of {dataset.name} is in the file, or some of it twice")

    def _checked_dataset(self, path: str) -> Any:
        dataset = self._item(path)
        if isinstance(dataset, h5py.Group):
            raise NotRead(f"{path} is a group; it must be an array (a dataset)")
        if not isinstance(dataset, h5py.Dataset):
            raise TypeError(f"{path} is not a dataset")
        properties = dataset.id.get_create_plist()
        if properties.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED) or properties.get_external_count():
            raise NotRead(
                f"{path} has its data outside the file or in a rare layout; store the data in the file, plain"
            )
        filters = _filters(dataset)
        if filters[-1:] == [_CHECKSUM]:
            filters.pop()
        for number in filters:
            if number not in _FILTERS:
                name = f" ({_FILTER_NAMES[number]})" if number in _FILTER_NAMES else ""
                raise NotRead(
                    f"{path} went through filter {number}{name}, which is not read; store it plain or with gzip"
                )
        shape, most = dataset.shape, dataset.maxshape
        if shape and (most[1:] != shape[1:] or most[0] not in (None, shape[0])):
            raise NotRead(f"{path} could grow to {most}; only its first dimension may be without limit")
        return dataset

    def _item(self, path: str) -> Any:
        """A group or dataset that hard links lead to: others may lead to another file."""
        path = path.strip("/")
        if path in self._groups:
            return self._groups[path]
        above, _, name = path.rpartition("/")
        group = self._item(above)
        if not isinstance(group, h5py.Group) or name not in group:
            raise KeyError(f"/{path} is missing")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise NotRead(f"/{path} is a link to something else; store what it leads to in its place")
        item = group[name]
        if isinstance(item, h5py.Group):
            self._groups[path] = item
        return item


def _filters(dataset: Any) -> list[int]:
    """Numbers of the filters that the chunks of a dataset went through, in their order."""
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(index)[0] for index in range(properties.get_nfilters())]


def begins_as_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def write_text(attributes: Any, name: str, text: str) -> None:
    """Store a text as UTF-8 of fixed length: of variable length it would lie in a heap, which is not read.

    Raises
    ------
    InputError
        If it is longer than an attribute can be that lies with its object.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > ATTRIBUTE_BYTES_MAX:
        raise InputError(f"{name} is a text of {len(encoded)} bytes; at most {ATTRIBUTE_BYTES_MAX} can be stored")
    attributes.create(name, encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


def _open(path: Path, wanted: str) -> int:
    """Descriptor of a regular file that begins as HDF5 files do."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would keep us waiting
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; {wanted}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'not a regular file'}; {wanted}")
        if os.pread(descriptor, len(SIGNATURE), 0) != SIGNATURE:
            if any(os.pread(descriptor, len(SIGNATURE), at) == SIGNATURE for at in _USER_BLOCKS):
                raise InputError(f"{path} begins with a user block, as MATLAB writes it, which is not read; {wanted}")
            raise DamagedError(f"{path} is not an HDF5 file; {wanted}")
    except OSError as error:
        os.close(descriptor)
        raise DamagedError(f"{path} cannot be read: {error.strerror}") from error
    except InputError:
        os.close(descriptor)
        raise
    return descriptor
