"""Data sets from their published addresses into a data folder."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spikesim.datasets.catalogue import registry, search
from spikesim.datasets.catalogue.registry import Archive, Entry, File
from spikesim.datasets.catalogue.unpacking import ARCHIVE_SLACK, read_archive, read_file
from spikesim.datasets.fetching.archives import ARCHIVE_MAX, check_archive, missing_parts, unpack
from spikesim.datasets.fetching.download import CannotWrite, Progress, Unavailable, download, writing
from spikesim.datasets.formats.folder_layouts import find_below
from spikesim.datasets.loading import is_good
from spikesim.errors import InputError
from spikesim.io import durable
from spikesim.io.atomic import put, replacing


def fetch(
    name: str,
    data_dir: str | Path,
    *,
    progress: Progress | None = None,
    base_urls: Sequence[str] | None = None,
) -> Path:
    """Bring a data set into a data folder, unless a good copy is there.

    Every file is checked against the published sha256 after unpacking, and gets its name only then. What a broken
    connection brought stays in a .part file, and the next call goes on from there. Good files are kept; a file that is
    not the published one is renamed to ``<name>.wrong``, never deleted.

    Folders of recordings or texts have no sums but those of their archives. These are checked before they are unpacked;
    a part of the set that is there is kept, however many samples it holds.

    Parameters
    ----------
    name : str
        One of `names()`.
    data_dir : path
        Made if it is missing. The files go into a sub-folder: ``mnist``, ``fashion-mnist``, ``cifar-10``,
        ``cifar-100``, ``nmnist``, ``dvsgesture`` or ``aclImdb``.
    progress : callable, optional
        Called with the name of the file, the bytes that have arrived, and all its bytes or None if that is not known.
    base_urls : sequence of str, optional
        Addresses of folders with the published files, tried in order, in place of the published ones. Those of
        archives of folders are ``<address>/<name of the archive>``.

    Returns
    -------
    Path
        The folder with the files.

    Raises
    ------
    InputError
        There is nothing to fetch under this name; no address gives the right files; the folder cannot be written; or
        another fetch is writing into it.
    """
    entry = registry.find(name)
    if entry.embedded:
        raise InputError(f"{name} comes with the program; there is nothing to fetch")
    root = Path(data_dir)
    if entry.folders_of_files and (found := find_below(entry, root)) is not None:
        return found
    for folder in (*(root / sub for sub in entry.folders), root):
        if not entry.folders_of_files and is_good(search.look(entry, folder)):
            return folder
    if entry.how is not None:
        raise InputError(f"{name} cannot be fetched: {search.fetch_advice(entry, root)}")
    target = root / entry.folders[0]
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    bases = [base.rstrip("/") + "/" for base in (entry.mirrors if base_urls is None else base_urls)]
    job = _Job(entry, target, bases, progress or _silent)
    with _locked(target):
        if entry.folders_of_files:
            for archive in entry.archives:
                job.fetch_folders(archive, None if base_urls is None else bases)
        elif entry.archive is None:
            for file in entry.files:
                job.fetch_file(file)
        else:
            job.fetch_archive(entry.archive)
        with writing(target):
            durable.sync_folder(target)
    return target


def _silent(name: str, done: int, total: int | None) -> None:
    pass


class _Job:
    """One data set on its way into one folder."""

    def __init__(self, entry: Entry, target: Path, bases: Sequence[str], progress: Progress) -> None:
        self._entry = entry
        self._target = target
        self._bases = bases
        self._progress = progress

    def fetch_file(self, file: File) -> None:
        """Bring a file that is published as a .gz, and keep it packed."""
        good, wrong = self._present(file)
        if good:
            for path in wrong:
                _set_aside(path)
            return
        # deflate cannot make a file longer than this; without a bound a server could fill the disk.
        limit = file.size + file.size // 1000 + 1024
        part = self._download(f"{file.name}.gz", limit, lambda path: read_file(path, file))
        for path in wrong:
            _set_aside(path)
        final = self._target / f"{file.name}.gz"
        with writing(final):
            put(part, final)

    def fetch_archive(self, name: str) -> None:
        """Bring a .tar.gz and unpack the files that are not there yet."""

        def unpack(archive: Path) -> None:
            for file, data in read_archive(archive, self._entry.files):
                good, wrong = self._present(file)
                for path in wrong:
                    _set_aside(path)
                if not good:
                    _write(self._target / file.name, data)

        limit = sum(file.size for file in self._entry.files) + ARCHIVE_SLACK
        part = self._download(name, limit, unpack)
        with writing(part):
            part.unlink()

    def fetch_folders(self, archive: Archive, bases: Sequence[str] | None) -> None:
        """Bring an archive of folders of files and unpack the parts of it that are not there.

        bases: addresses of folders in place of the published address.
        """
        if not missing_parts(self._entry, archive, self._target):
            return

        def accept(path: Path) -> None:
            check_archive(path, archive)
            unpack(path, archive, self._entry, self._target)

        urls = [archive.url] if bases is None else [base + archive.name for base in bases]
        brought = self._download(archive.name, ARCHIVE_MAX, accept, urls)
        with writing(brought):
            brought.unlink()

    def _present(self, file: File) -> tuple[bool, list[Path]]:
        """Whether there is a good copy of a file, and the copies that are wrong."""
        good = False
        wrong = []
        for name in search.candidates(file):
            path = self._target / name
            if not os.path.lexists(path):
                continue
            try:
                read_file(path, file)
                good = True
            except InputError:
                wrong.append(path)
        return good, wrong

    def _download(
        self, name: str, limit: int, accept: Callable[[Path], object], urls: Sequence[str] | None = None
    ) -> Path:
        """A .part file whose content `accept` took without an InputError; by default from the addresses of folders."""
        part = self._target / f"{name}.part"
        failures = []
        for url in [base + name for base in self._bases] if urls is None else urls:
            while True:
                begun = part.exists() and part.stat().st_size > 0
                try:
                    download(url, part, limit, self._progress)
                    accept(part)
                    return part
                except Unavailable as error:
                    failures.append(f"{url}: {error}")
                    break
                except CannotWrite:
                    raise
                except InputError as error:
                    with writing(part):
                        part.unlink(missing_ok=True)
                    # Bytes of an earlier try may have been of another file: once more from its start.
                    if not begun:
                        failures.append(f"{url}: {error}")
                        break
        raise InputError(
            f"cannot fetch {name} of {self._entry.name}: {'; '.join(failures) or 'no address is given'}; "
            f"run the command again to continue, or put the file into {self._target} yourself"
        )


def _write(path: Path, data: bytes) -> None:
    with writing(path), replacing(path, path.with_name(f"{path.name}.tmp")) as part:
        part.write_bytes(data)


def _set_aside(path: Path) -> None:
    with writing(path):
        durable.set_aside(path, "wrong")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another fetch is writing into {folder}; wait until it ends") from None
        except OSError:
            # Some network file systems do not lock folders. There, two fetches at once may spoil each other's .part
            # file, never a checked one.
            pass
        yield
    finally:
        os.close(descriptor)
