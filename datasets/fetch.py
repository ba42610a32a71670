"""Data sets from their published addresses into a data folder."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from spikesim.datasets import registry, search
from spikesim.datasets.download import CannotWrite, Progress, Unavailable, download, sync, writing
from spikesim.datasets.loading import is_good
from spikesim.datasets.registry import Entry, File
from spikesim.datasets.unpacking import ARCHIVE_SLACK, read_archive, read_file
from spikesim.errors import InputError


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

    Parameters
    ----------
    name : str
        One of `names()`.
    data_dir : path
        Made if it is missing. The files go into a sub-folder: ``mnist``, ``fashion-mnist``, ``cifar-10`` or
        ``cifar-100``.
    progress : callable, optional
        Called with the name of the file, the bytes that have arrived, and all its bytes or None if that is not known.
    base_urls : sequence of str, optional
        Addresses of folders with the published files, tried in order, in place of the published ones.

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
    for folder in (*(root / sub for sub in entry.folders), root):
        if is_good(search.look(entry, folder)):
            return folder
    target = root / entry.folders[0]
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    bases = [base.rstrip("/") + "/" for base in (entry.mirrors if base_urls is None else base_urls)]
    job = _Job(entry, target, bases, progress or _silent)
    with _locked(target):
        if entry.archive is None:
            for file in entry.files:
                job.fetch_file(file)
        else:
            job.fetch_archive(entry.archive)
        with writing(target):
            sync(target)
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
            sync(part)
            os.replace(part, final)

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

    def _download(self, name: str, limit: int, accept: Callable[[Path], object]) -> Path:
        """A .part file whose content `accept` took without an InputError."""
        part = self._target / f"{name}.part"
        failures = []
        for base in self._bases:
            url = base + name
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
            f"run the command again to go on, or put the file into {self._target} yourself"
        )


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    with writing(path):
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _set_aside(path: Path) -> None:
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.wrong" + (f"-{number}" if number > 1 else ""))):
        number += 1
    with writing(path):
        path.rename(aside)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another fetch is writing into {folder}; wait until it has ended") from None
        except OSError:
            # Some network file systems do not lock folders. There, two fetches at once may spoil each other's .part
            # file, never a checked one.
            pass
        yield
    finally:
        os.close(descriptor)
