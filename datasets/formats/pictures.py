"""Pictures as files: PNG, JPEG and others that Pillow reads, one or a folder of them."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue.unpacking import read_bounded
from spikesim.errors import InputError
from spikesim.runtime.printable import one_line

__all__ = ["SUFFIXES", "Pictures", "is_picture", "read_pictures"]

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".webp": "WEBP"}
"""Endings of names, in any case, and Pillow's names of the formats: no other one is tried."""
FILE_BYTES_MAX = 2**26
_MODES = "1", "L", "LA", "P", "PA", "RGB", "RGBA"
"""Of Pillow, with at most 8 bits per channel."""
_OPAQUE = 255

Shape = tuple[int, int, int]


class Pictures(NamedTuple):
    """Pictures in the order of their names."""

    pixels: NDArray[np.uint8]  # (n, height, width, channels)
    names: list[str]


def is_picture(name: str) -> bool:
    """Whether the name ends as that of a picture."""
    return Path(name).suffix.lower() in SUFFIXES


def read_pictures(path: Path, shape: Shape) -> Pictures:
    """A picture, or all pictures of a folder in the order of their names.

    Parameters
    ----------
    path : Path
        A file, or a folder with nothing but pictures and hidden files in it.
    shape : (height, width, channels)
        What a picture must have: nothing is scaled or cut. One of a single channel may be stored in colour if its
        colours are shades of grey.

    Raises
    ------
    InputError
        There is no Pillow, or a file is none of these pictures.
    """
    files = _files(path) if path.is_dir() else [path]
    pixels = np.empty((len(files), *shape), np.uint8)
    for row, file in zip(pixels, files, strict=True):
        row[...] = _pixels(file, shape)
    return Pictures(pixels, [file.name for file in files])


def _files(folder: Path) -> Sequence[Path]:
    found = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    wanted = f"a folder of samples holds pictures ({', '.join(SUFFIXES)}) and nothing else"
    if not found:
        raise InputError(f"{folder} is empty; {wanted}")
    for file in found:
        if not file.is_file() or not is_picture(file.name):
            raise InputError(f"{folder} has {one_line(file.name)}; {wanted}")
    return found


def _pixels(path: Path, shape: Shape) -> NDArray[Any]:
    height, width, channels = shape
    kind = "grey" if channels == 1 else "RGB"
    if channels not in (1, 3):
        raise InputError(f"{path} is a picture; the network takes {channels} channels: give .npy or .npz")
    try:
        from PIL import Image
    except ImportError:
        raise InputError("pictures need the package Pillow: pip install 'spikesim[pictures]'") from None
    content = read_bounded(path, FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise InputError(
            f"{path}: more than {FILE_BYTES_MAX} bytes; a picture for this network has {width}x{height} pixels"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of sizes and of damage: the size is looked at before anything is decoded
            with Image.open(io.BytesIO(content), formats=[SUFFIXES[path.suffix.lower()]]) as picture:
                size, mode = picture.size, picture.mode
                if size == (width, height) and mode in _MODES:
                    found = np.asarray(picture.convert("RGBA"))
    except Exception as error:  # parsers of pictures raise many kinds for damaged bytes
        raise InputError(
            f"{path}: not a picture of the format that its name says, or a damaged one ({one_line(error)})"
        ) from None
    if size != (width, height):
        raise InputError(f"{path} has {size[0]}x{size[1]} pixels; the network takes {width}x{height}: scale it first")
    if mode not in _MODES:
        raise InputError(f"{path} has pixels of the mode {mode}; the network takes {kind} pictures of 8 bits")
    if (found[..., 3] != _OPAQUE).any():
        raise InputError(f"{path} has transparent pixels, whose colour is undefined; put it on a background first")
    if channels == 1 and (found[..., :1] != found[..., :3]).any():
        raise InputError(f"{path} is in colour; the network takes {kind} pictures: convert it first")
    return found[..., :channels]
