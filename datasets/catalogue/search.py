"""Where the files of a data set are: the folders and the names under which people keep them."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from spikesim.datasets.catalogue.registry import Entry, File, entries
from spikesim.datasets.catalogue.unpacking import read_archive, read_bounded, read_file
from spikesim.errors import InputError

DATA_VARIABLE = "SPIKESIM_DATA"


@dataclass(frozen=True)
class Location:
    """A folder that holds a data set, or a part of one.

    Attributes
    ----------
    folder : Path
    files : tuple of (File, Path)
        The files that are there, in the order of the data set.
    missing : tuple of File
        The files that are not.
    archive : Path or None
        The .tar.gz to be read in place of `files`.
    """

    folder: Path
    files: tuple[tuple[File, Path], ...]
    missing: tuple[File, ...]
    archive: Path | None

    @property
    def complete(self) -> bool:
        """Whether all of the data set is there."""
        return self.archive is not None or not self.missing

    @property
    def source(self) -> str:
        """The folder or the archive, for people."""
        return str(self.archive or self.folder)

    def contents(self) -> Iterator[tuple[File, bytes]]:
        """Every file, unpacked and checked, one at a time.

        Raises
        ------
        InputError
            A file cannot be read or is not what was published.
        """
        if self.archive is not None:
            yield from read_archive(self.archive, [file for file, _ in self.files] + list(self.missing))
            return
        for file, path in self.files:
            yield file, read_file(path, file)


def roots(entry: Entry, data_dir: str | Path | None) -> list[Path]:
    """The folders below which a data set is looked for, in order.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder.
    """
    found = _data_folders(data_dir)
    if entry.system_folder is not None:
        found.append(Path(entry.system_folder))
    return found


def _data_folders(data_dir: str | Path | None) -> list[Path]:
    """The one that is given and the one that the environment names, as far as there are any."""
    if data_dir is not None and not os.path.isdir(data_dir):
        raise InputError(f"data folder {data_dir} does not exist or is not a folder")
    return [Path(folder) for folder in (data_dir, os.environ.get(DATA_VARIABLE)) if folder]


def find_own(name: str, data_dir: str | Path | None = None) -> Path | None:
    """A file of your own: in `data_dir`, in the folder that $SPIKESIM_DATA names, or at this path.

    Raises
    ------
    InputError
        `data_dir` is given and is no folder, or what is found is no regular file.
    """
    path = next((place for place in _own_places(name, data_dir) if os.path.lexists(place)), None)
    if path is not None and not os.path.isfile(path):
        raise InputError(f"{path} is not a regular file, or a link to none; give a file of data")
    return path


def require_own(name: str, data_dir: str | Path | None = None) -> Path:
    """As `find_own`.

    Raises
    ------
    InputError
        Also if there is none.
    """
    path = find_own(name, data_dir)
    if path is None:
        places = ", ".join(map(str, _own_places(name, data_dir)))
        raise InputError(f"{name} is not found (looked for {places}); give its path, or --data-dir")
    return path


def _own_places(name: str, data_dir: str | Path | None) -> list[Path]:
    return list(dict.fromkeys(Path(folder, name) for folder in [*_data_folders(data_dir), Path()]))


def candidates(file: File) -> tuple[str, ...]:
    """The names that a file goes by: plain before .gz, and with a dot in front of idx as some copies have it."""
    plain = dict.fromkeys((file.name, file.name.replace("-idx", ".idx")))
    return (*plain, *(f"{name}.gz" for name in plain))


def look(entry: Entry, folder: Path) -> Location:
    """What one folder, without its sub-folders, holds of a data set; contents are not checked."""
    files = []
    missing = []
    for file in entry.files:
        path = next((folder / name for name in candidates(file) if os.path.isfile(folder / name)), None)
        if path is None:
            missing.append(file)
        else:
            files.append((file, path))
    archive = None
    if missing and entry.archive is not None and os.path.isfile(folder / entry.archive):
        archive = folder / entry.archive
    return Location(folder, tuple(files), tuple(missing), archive)


def locate(entry: Entry, data_dir: str | Path | None = None) -> Location:
    """The first folder that holds all files of a data set; contents are not checked.

    The usual sub-folders of a data folder come before the folder itself: MNIST and Fashion-MNIST have the same file
    names.

    Raises
    ------
    InputError
        There is none; the message says what was looked for and what to do.
    """
    partial: Location | None = None
    others = []
    searched = roots(entry, data_dir)
    for root in searched:
        for folder in (*(root / name for name in entry.folders), root):
            location = look(entry, folder)
            if not location.files and not location.complete:
                continue
            other = _other_owner(entry, location)
            if other is not None:
                others.append(f"the files in {folder} are those of {other}")
            elif location.complete:
                return location
            else:
                partial = partial or location
    others += [
        f"{path} is the {version} version, which is not read; the binary version is needed"
        for version, path in _other_versions(entry, searched)
    ]
    advice = fetch_advice(entry, data_dir)
    if partial is not None:
        names = ", ".join(file.name for file in partial.missing)
        raise InputError("; ".join([f"{partial.folder} lacks {names} of {entry.name}, plain or .gz", *others, advice]))
    places = ", ".join(map(str, searched)) if searched else f"no data folder is given, nor ${DATA_VARIABLE}"
    wanted = entry.archive or f"{entry.files[-1].name}[.gz]"
    found = "; ".join([f"looked for {wanted} and the like in: {places}", *others])
    raise InputError(f"{entry.name} is not found ({found}); {advice}")


def fetch_advice(entry: Entry, data_dir: str | Path | None) -> str:
    """What a user without (good) files of a data set should do."""
    folder = data_dir or os.environ.get(DATA_VARIABLE) or "DIR"
    if entry.how is not None:
        return f"{entry.how}; put it into {Path(folder, entry.folders[0])}, plain or .gz"
    return f"get it with 'spikesim data fetch {entry.name} --data-dir {folder}'"


def _other_owner(entry: Entry, location: Location) -> str | None:
    # MNIST and Fashion-MNIST cannot be told apart by file names, but by the sum of the small file of test labels.
    path = dict(location.files).get(entry.test[-1]) if entry.form == "idx" else None
    if path is None:
        return None
    try:
        data = read_bounded(path, entry.test[-1].size + 1)
    except InputError:
        return None
    sha256 = hashlib.sha256(data).hexdigest()
    for other in entries():
        if other.name != entry.name and sha256 in {file.sha256 for file in other.files}:
            return other.name
    return None


def _other_versions(entry: Entry, searched: list[Path]) -> Iterator[tuple[str, Path]]:
    """CIFAR is published in three versions: pickles for Python, which are never read, MATLAB's files, and binary."""
    if entry.form != "cifar" or entry.archive is None:
        return
    stem = entry.archive.removesuffix("-binary.tar.gz")
    folders = {"Python": (f"{stem}-batches-py", f"{stem}-python"), "MATLAB": (f"{stem}-batches-mat", f"{stem}-matlab")}
    inside = {"Python": ("batches.meta", "meta"), "MATLAB": ("batches.meta.mat", "meta.mat")}  # beside the samples
    for root in searched:
        for place in dict.fromkeys((root, *(root / name for name in entry.folders))):
            for version, names in folders.items():
                packed = tuple(f"{stem}-{version.lower()}{ending}" for ending in (".tar.gz", ".tgz", ".tar"))
                found = [place / name for name in (*names, *packed, *inside[version]) if os.path.exists(place / name)]
                yield from ((version, path) for path in found[:1])
