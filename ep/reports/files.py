"""Writing the files of a report: nothing that exists is replaced unasked, and nothing is left half written."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from spikesim.errors import InputError
from spikesim.io.atomic import replacing

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
        try:
            with replacing(path) as part:
                part.write_bytes(content)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another name") from error
