"""Files for other programs: written beside their place, whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

from spikesim.ep.runs.reader import is_run_file, stored_format
from spikesim.errors import InputError
from spikesim.io.atomic import replacing
from spikesim.io.formats import SIMULATION_MAGIC

__all__ = ["check_output", "write_output"]


def check_output(path: Path, *, overwrite: bool) -> Path:
    """Where a file is to be written, links followed.

    Raises
    ------
    InputError
        There cannot be a file, there is one and it may not be replaced, or it is that of a run or a simulation.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise InputError(f"cannot write {path}: {target.parent} is not a folder; make it, or choose another --out")
    if target.exists():
        if not target.is_file():
            raise InputError(f"{path} is not a regular file; choose another --out")
        if not overwrite:
            raise InputError(f"{path} exists: --overwrite replaces it")
        if is_run_file(target):
            raise InputError(f"{path} is a run file, which an export never replaces; choose another --out")
        if stored_format(target) == SIMULATION_MAGIC:
            raise InputError(
                f"{path} is the file of a simulation, which an export never replaces; choose another --out"
            )
    return target


def write_output(path: Path, write: Callable[[Path], None], *, overwrite: bool) -> None:
    """Have a file written under another name, and put it in its place.

    Parameters
    ----------
    path : Path
    write : callable
        Makes the file of this name.
    overwrite : bool
        Replace a file that exists; files of runs and simulations are never replaced.

    Raises
    ------
    InputError
        As `check_output`, or the file cannot be written.
    """
    target = check_output(path, overwrite=overwrite)
    try:
        with replacing(target) as part:
            write(part)
    except (OSError, RuntimeError) as error:  # HDF5 raises either
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise InputError(f"cannot write {path}: {reason}; choose another --out") from error
