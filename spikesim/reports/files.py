"""Writing the files of a report: nothing that exists is replaced unasked, and nothing is left half written."""

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from spikesim.errors import InputError

__all__ = ["make_folder", "require_free", "write_files"]


def make_folder(path: Path) -> None:
    """Make a folder if there is none.

    Raises
    ------
    InputError
        It cannot be made.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}; choose another name") from error


def require_free(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse names under which nothing could be written, before any work.

    Raises
    ------
    InputError
        A folder is missing, a file exists and must not be replaced, or a name is that of a folder.
    """
    for path in paths:
        if not path.parent.is_dir():
            raise InputError(f"the folder {path.parent} of {path.name} does not exist; make it, or choose another name")
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file in it")
        if path.exists() and not overwrite:
            raise InputError(f"{path} exists; choose another name, or replace it with --overwrite")


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write files, each beside its place and then into it.

    Parameters
    ----------
    contents : dict of Path to bytes
        The files.
    overwrite : bool
        Replace files that exist. Otherwise none is written if one of them does.

    Raises
    ------
    InputError
        They must not or cannot be written.
    """
    require_free(contents, overwrite=overwrite)
    for path, content in contents.items():
        part: str | None = None
        try:
            descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(descriptor)
            os.chmod(part, 0o666 & ~_umask())
            os.replace(part, path)
        except BaseException as error:
            if part is not None:
                with contextlib.suppress(OSError):
                    os.unlink(part)
            if not isinstance(error, OSError):
                raise
            raise InputError(f"cannot write {path}: {error.strerror}; choose another name") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
