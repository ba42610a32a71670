"""Published archives of recordings and texts, .zip and .tar.gz, to folders of files
(`spikesim.datasets.formats.folder_layouts`).

No path in an archive is ever used: a member is taken if its last three names are those of a sample, and its place is
made of these names. What is no sample is passed over.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from spikesim.datasets.catalogue.registry import Archive, Entry
from spikesim.datasets.catalogue.unpacking import FAULTS, tar_members
from spikesim.datasets.fetching.download import writing
from spikesim.datasets.formats.folder_layouts import BYTES_MAX, LAYOUTS
from spikesim.errors import InputError
from spikesim.io.atomic import replacing_folder

ARCHIVE_MAX = 2**33
"""Bytes of the largest archive: several times the largest that is published."""
UNPACKED_MAX = 2**35
"""Bytes that the samples of an archive may have together."""
_BLOCK = 1 << 20


def check_archive(path: Path, archive: Archive) -> None:
    """Compare an archive with the published md5.

    Raises
    ------
    InputError
        It is another, or cannot be read.
    """
    found = hashlib.md5(usedforsecurity=False)
    try:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                found.update(block)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if found.hexdigest() != archive.md5:
        raise InputError(f"{path}: not the published {archive.name} (md5 {found.hexdigest()}, not {archive.md5})")


def missing_parts(entry: Entry, archive: Archive, target: Path) -> list[str]:
    """The parts of a set that are in an archive, all if it is the only one, and have no folder yet."""
    parts = LAYOUTS[entry.form].parts
    inside = parts if len(entry.archives) == 1 else (parts[entry.archives.index(archive)],)
    return [part for part in inside if not (target / part).is_dir()]


def unpack(path: Path, archive: Archive, entry: Entry, target: Path) -> None:
    """Unpack the samples in an archive into a folder for each part of the set that is in it, unless it is there.

    They are written beside it and get their place together, when all are there.

    Parameters
    ----------
    path : Path
        Of the archive, which may have any name.
    target : Path
        Folder of the set.

    Raises
    ------
    InputError
        The archive is damaged, holds no samples of a part or too much.
    CannotWrite
        A file cannot be written.
    """
    for part in missing_parts(entry, archive, target):
        _unpack_part(path, archive, entry, part, target)


def _unpack_part(path: Path, archive: Archive, entry: Entry, part: str, target: Path) -> None:
    left, count = UNPACKED_MAX, 0
    with writing(target / part), replacing_folder(target / part, target / f"{part}.tmp") as temporary:
        for folder, name, data in _samples(path, archive, entry, part):
            left, count = left - len(data), count + 1
            if left < 0:
                raise InputError(f"{path}: unpacks to more than {UNPACKED_MAX} bytes; the published one does not")
            with writing(temporary / folder / name):
                (temporary / folder).mkdir(parents=True, exist_ok=True)
                (temporary / folder / name).write_bytes(data)
        if count == 0:
            raise InputError(f"{path}: holds no {entry.kind} of {entry.name}")


def _samples(path: Path, archive: Archive, entry: Entry, part: str) -> Iterator[tuple[str, str, bytes]]:
    """Folder, name and content of every sample of a part."""
    packed = tar_members(path, UNPACKED_MAX) if archive.name.endswith(".gz") else _zip_members(path)
    layout = LAYOUTS[entry.form]
    try:
        for name, _, stream in packed:
            names = name.replace("\\", "/").split("/")
            if len(names) < 3 or names[-3] != part:
                continue
            if not layout.folder.fullmatch(names[-2]) or not layout.file.fullmatch(names[-1]):
                continue
            data = stream.read(BYTES_MAX + 1)
            if len(data) > BYTES_MAX:
                raise InputError(f"{path}: {names[-1]} has more than {BYTES_MAX} bytes; no sample is so large")
            yield names[-2], names[-1], data
    except InputError:
        raise
    except FAULTS as error:
        raise InputError(f"{path}: not a whole {archive.name.partition('.')[2]} archive ({error})") from None


def _zip_members(path: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                with archive.open(info) as stream:
                    yield info.filename, info.file_size, stream
