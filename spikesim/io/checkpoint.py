"""Checkpoints of a run: whole or absent, the last two kept, no pickle."""

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.atomic import replacing
from spikesim.io.formats import canonical_json
from spikesim.io.npz import read_array

__all__ = ["ROW_LOG", "Checkpoint", "checkpoint_folder", "load_latest", "positions", "remove", "save"]

ROW_LOG = "rows.log"
"""Name of the log of rows beside the checkpoints (`spikesim.ep.runs.row_log`)."""

_KIND = "spikesim-checkpoint"
_VERSION = 2
_KEPT = 2
_NAME = re.compile(r"(\d{9,18})\.npz")
_TEMPORARY = ".checkpoint-"
_HEADER_LIMIT = 1 << 24


@dataclass(frozen=True)
class Checkpoint:
    """A state to continue from.

    Attributes
    ----------
    position : int
        Place in the run: mini-batches and tests of epochs that are done.
    arrays : dict of str to ndarray
        The arrays as they were given to `save`.
    meta : dict
        The plain values as they were given to `save`.
    warning : str or None
        One line to show if a newer checkpoint was damaged and this one is used in its place.
    """

    position: int
    arrays: dict[str, NDArray[Any]]
    meta: dict[str, Any]
    warning: str | None = None


def checkpoint_folder(path: str | os.PathLike[str]) -> Path:
    """Folder of the checkpoints of a run file: ``<run file>.checkpoints`` beside it."""
    run = Path(os.path.realpath(path))
    return run.with_name(run.name + ".checkpoints")


def save(
    folder: str | os.PathLike[str], position: int, arrays: Mapping[str, NDArray[Any]], meta: dict[str, Any]
) -> Path:
    """Store a checkpoint so that a kill at any moment leaves it whole or absent.

    Only the newest two up to `position` are kept. A checkpoint of a later position, left behind when the run went on
    from an older one, is removed.

    Parameters
    ----------
    folder : path-like
        Folder of the run's checkpoints; made if it does not exist.
    position : int
        Place in the run: mini-batches and tests of epochs that are done.
    arrays : mapping of str to ndarray
        Arrays of numbers or booleans.
    meta : dict
        Plain values, JSON-able.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If an array holds Python objects, or `meta` is no JSON.
    InputError
        If the file cannot be written, for example because the disk is full. Earlier checkpoints are kept.
    """
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"array {name!r} holds Python objects")
    header = canonical_json({"kind": _KIND, "version": _VERSION, "position": position, "meta": meta}).encode()
    directory = Path(folder)
    target = directory / f"{position:09d}.npz"
    try:
        directory.mkdir(exist_ok=True)
        _remove_temporary(directory)
        with replacing(target, directory / f"{_TEMPORARY}{position:09d}.tmp") as part, open(part, "xb") as stream:
            _write(stream, header, arrays)
        stored = _positions(directory)
        kept = sorted(at for at in stored if at <= position)[-_KEPT:]
        for at, path in stored.items():
            if at not in kept:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write the checkpoint {target}: {error.strerror or error}; earlier ones are kept: "
            "make room and continue with --resume"
        ) from error
    return target


def load_latest(folder: str | os.PathLike[str]) -> Checkpoint | None:
    """The newest checkpoint that is whole.

    Parameters
    ----------
    folder : path-like
        Folder of the run's checkpoints.

    Returns
    -------
    Checkpoint or None
        None if there is none.

    Raises
    ------
    InputError
        If there are checkpoints and none of them is whole.
    """
    directory = Path(folder)
    faults: list[str] = []
    for position, path in sorted(_positions(directory).items(), reverse=True):
        try:
            found = _read(path)
            if found.position != position:
                raise ValueError(f"it is the checkpoint of position {found.position}")
        except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
            faults.append(f"{path.name}: {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}")
            continue
        warning = f"damaged checkpoint in {directory} ({'; '.join(faults)}): going on from {path.name}"
        return Checkpoint(found.position, found.arrays, found.meta, warning if faults else None)
    if faults:
        raise InputError(
            f"all checkpoints in {directory} are damaged ({'; '.join(faults)}); start the run again with --overwrite"
        )
    return None


def positions(folder: str | os.PathLike[str]) -> list[int]:
    """Positions of the checkpoints in a folder, oldest first, whole or not.

    Raises
    ------
    InputError
        If the folder cannot be read.
    """
    return sorted(_positions(Path(folder)))


def remove(folder: str | os.PathLike[str]) -> None:
    """Remove the checkpoints of a run and their log of rows, and the folder if nothing else is in it.

    Raises
    ------
    InputError
        If they cannot be removed.
    """
    directory = Path(folder)
    try:
        for path in _positions(directory).values():
            path.unlink(missing_ok=True)
        if directory.is_dir():
            for name in (ROW_LOG, f"{ROW_LOG}.tmp"):
                (directory / name).unlink(missing_ok=True)
        _remove_temporary(directory)
    except OSError as error:
        raise InputError(f"cannot remove the checkpoints in {directory}: {error.strerror}; remove them") from error
    with contextlib.suppress(OSError):
        directory.rmdir()


def _positions(directory: Path) -> dict[int, Path]:
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise InputError(f"cannot read the checkpoints in {directory}: {error.strerror}") from error
    matches = (_NAME.fullmatch(name) for name in names)
    return {int(match[1]): directory / match[0] for match in matches if match}


def _remove_temporary(directory: Path) -> None:
    if directory.is_dir():
        for path in directory.glob(f"{_TEMPORARY}*.tmp"):
            path.unlink(missing_ok=True)


def _write(stream: IO[bytes], header: bytes, arrays: Mapping[str, NDArray[Any]]) -> None:
    digest = hashlib.sha256(header)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # members without the time of day, which a clock may put where the format cannot
        archive.writestr(zipfile.ZipInfo("header.json"), header)
        for name in sorted(arrays):
            array = np.asarray(arrays[name], order="C")
            _digest_array(digest, name, array)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
        archive.writestr(zipfile.ZipInfo("sha256"), digest.hexdigest())


def _digest_array(digest: Any, name: str, array: NDArray[Any]) -> None:
    digest.update(f"\n{name}|{array.dtype.str}|{array.shape}\n".encode())
    digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")


def _read(path: Path) -> Checkpoint:
    """Read a checkpoint whole. Memory is bounded by the size of the file: nothing in it may be compressed."""
    if path.is_symlink() or not path.is_file():
        raise ValueError("it is not a regular file")
    with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
        size = os.fstat(stream.fileno()).st_size
        members = {member.filename: member for member in archive.infolist()}
        if len(members) != len(archive.infolist()):
            raise ValueError("two members of the same name")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("compressed members")
        if sum(member.file_size for member in members.values()) > size:
            raise ValueError("members larger than the file")
        if members["header.json"].file_size > _HEADER_LIMIT or members["sha256"].file_size != 64:
            raise ValueError("header too long")
        header_bytes = archive.read("header.json")
        digest = hashlib.sha256(header_bytes)
        arrays: dict[str, NDArray[Any]] = {}
        for name in sorted(filename.removesuffix(".npy") for filename in members if filename.endswith(".npy")):
            arrays[name] = read_array(archive, members[f"{name}.npy"])
            _digest_array(digest, name, arrays[name])
        if archive.read("sha256").decode("ascii") != digest.hexdigest():
            raise ValueError("the checksum does not match")
    header = json.loads(header_bytes)
    if header["kind"] != _KIND or header["version"] != _VERSION:
        raise ValueError(f"it is of kind {header['kind']!r}, version {header['version']!r}")
    return Checkpoint(int(header["position"]), arrays, dict(header["meta"]))
