"""Files of a data set out of what they came in: plain, .gz or .tar.gz; never more than was expected, always checked."""

import gzip
import hashlib
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from spikesim.datasets.catalogue.registry import File
from spikesim.errors import InputError

# Headers, padding and the few small files beside the data in a published archive.
ARCHIVE_SLACK = 1 << 20
_BLOCK = 1 << 24

FAULTS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RuntimeError,
)
"""What the libraries let through for a damaged archive, beside their own errors: numbers, names and extended headers
that do not parse, and kinds of compression that are not there."""


def check_content(data: bytes, file: File, where: str) -> None:
    """Compare an unpacked file with what was published.

    Raises
    ------
    InputError
        The length or the sha256 is another.
    """
    if len(data) < file.size:
        raise InputError(f"{where}: truncated, {len(data)} of {file.size} bytes")
    if len(data) > file.size:
        raise InputError(f"{where}: more than the {file.size} bytes of the published {file.name}")
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise InputError(
            f"{where}: not the published {file.name} "
            f"(sha256 of the content is {found[:16]}..., not {file.sha256[:16]}...)"
        )


def read_bounded(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file, unpacked if its name ends in .gz or .gz.part.

    Raises
    ------
    InputError
        The file cannot be read or unpacked.
    """
    packed = path.name.removesuffix(".part").endswith(".gz")
    try:
        with open(path, "rb") as raw:
            if not packed:
                return _read(raw, limit)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read(stream, limit)
    except gzip.BadGzipFile as error:
        raise InputError(f"{path}: not a gzip file, or a damaged one ({error})") from None
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _read(stream: IO[bytes] | gzip.GzipFile, limit: int) -> bytes:
    """At most so many bytes; a single read takes the memory of the limit, whatever there is."""
    blocks = []
    while limit > 0 and (block := stream.read(min(limit, _BLOCK))):
        blocks.append(block)
        limit -= len(block)
    return b"".join(blocks)


def read_file(path: Path, file: File) -> bytes:
    """A checked file of a data set, plain or .gz.

    Raises
    ------
    InputError
        It cannot be read, is no gzip file, is truncated, or has another sha256.
    """
    # One byte more than expected shows a file that is too long, and makes gzip check the sum at its end.
    data = read_bounded(path, file.size + 1)
    check_content(data, file, str(path))
    return data


def read_archive(path: Path, files: Sequence[File]) -> Iterator[tuple[File, bytes]]:
    """Checked files of a data set out of a .tar.gz, in the order in which they are stored.

    Members are known by their base name and only read into memory: no path of the archive is ever used. Everything
    else in the archive is passed over.

    Raises
    ------
    InputError
        The archive cannot be read, unpacks to more than expected, or a file is missing, truncated or has another
        sha256.
    """
    missing = {file.name: file for file in files}
    try:
        for name, size, content in tar_members(path, sum(file.size for file in files)):
            file = missing.get(posixpath.basename(name))
            if file is None:
                continue
            where = f"{path} ({file.name})"
            if size != file.size:
                raise InputError(f"{where}: {size} bytes; the published one has {file.size}")
            data = content.read()
            check_content(data, file, where)
            del missing[file.name]
            yield file, data
            if not missing:
                return
    except InputError:
        raise
    except FAULTS as error:
        detail = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{path}: not a .tar.gz, or a truncated or damaged one ({detail})") from None
    raise InputError(f"{path}: lacks {', '.join(missing)}")


def tar_members(path: Path, expected: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of the files in a .tar.gz, each to be read before the next; other members are passed over.

    Parameters
    ----------
    expected : int
        Bytes that they have together, at most.

    Raises
    ------
    InputError
        It unpacks to more.
    Exception
        One of `FAULTS`: it is damaged.
    """
    with (
        open(path, "rb") as raw,
        gzip.GzipFile(fileobj=raw) as stream,
        tarfile.open(fileobj=_bounded(stream, path, expected), mode="r|") as archive,
    ):
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, member.size, content


def _bounded(stream: gzip.GzipFile, path: Path, expected: int) -> IO[bytes]:
    # A tar stream is read with read(size) alone.
    return cast(IO[bytes], _Bounded(stream, path, expected))


class _Bounded:
    """A stream that refuses to give more than was expected: an archive of 1 MB may unpack to a terabyte."""

    def __init__(self, stream: gzip.GzipFile, path: Path, expected: int) -> None:
        self._stream = stream
        self._path = path
        self._limit = expected + ARCHIVE_SLACK
        self._left = self._limit

    def read(self, size: int) -> bytes:
        data = self._stream.read(min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise InputError(f"{self._path}: unpacks to more than {self._limit} bytes; the published one does not")
        return data
