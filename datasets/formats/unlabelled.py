"""Samples without labels, for a network that is trained: arrays of a program's own, or a file of them."""

import math
import re
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.catalogue.unpacking import read_bounded
from spikesim.datasets.formats import event_file
from spikesim.datasets.formats.binary_images import read_idx
from spikesim.datasets.formats.event_parsing import integers, read_nmnist, read_npy, some_names
from spikesim.datasets.formats.labelled_arrays import BYTES_MAX
from spikesim.datasets.formats.pictures import is_picture, read_pictures
from spikesim.datasets.samples.event_set import Collector, Events, EventSet
from spikesim.datasets.samples.model import ImageSet
from spikesim.errors import InputError
from spikesim.io.npz import ObjectArray, read_array
from spikesim.runtime.manual import manual
from spikesim.runtime.printable import one_line

__all__ = ["Unlabelled", "image_set", "read_images", "read_recordings", "recording_set"]

Shape = tuple[int, int, int]

PIXEL_MAX = 255
TIME_MAX = 2**60
_BLOCK = 4096
_IDX = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")
_IMAGES = "images"
_IMAGE_FILES = (
    "give images as .npy, as .npz with an array 'images', as an IDX file (-idx3-ubyte, .gz or not), as a picture "
    "(.png, .jpg) or as a folder of pictures"
)
_EVENT_FILES = (
    f"give recordings as .npz or HDF5 with x, y, t, p and offsets ({manual('streams')}), or one as N-MNIST's .bin"
)


def image_set(values: Any, shape: Shape, name: str = _IMAGES) -> ImageSet:
    """Images as a set whose labels are all 0.

    Parameters
    ----------
    values : uint8 or float, shape (n, height, width, channels)
        A single channel may be without its axis. Floats are in 0 .. 1 and stand for ``round(255 * x)``: the pixels of
        data sets are bytes.
    shape : (height, width, channels)
        What an image must have.
    name : str
        What error messages call them.

    Raises
    ------
    InputError
        They are no such array, or have values out of range.
    """
    height, width, channels = shape
    if isinstance(values, EventSet | Events):
        raise InputError(f"{name} are recordings of events; the network takes {_wanted(shape)}")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever an object raises that is to become an array
        raise InputError(f"{name} are not an array ({one_line(error)}); the network takes {_wanted(shape)}") from None
    fits = array.ndim == 4 and array.shape[1:] == shape
    fits |= channels == 1 and array.ndim == 3 and array.shape[1:] == (height, width)
    if not fits or not (array.dtype == np.uint8 or array.dtype.kind == "f"):
        raise InputError(
            f"{name} are {array.dtype} of shape {array.shape}; the network takes {_wanted(shape)}"
            f"{_advice(array, shape)}"
        )
    pixels = array.reshape(len(array), *shape)
    if array.dtype.kind == "f":
        pixels = _bytes_of(pixels, name)
    return ImageSet(np.ascontiguousarray(pixels), np.zeros(len(array), np.int64))


def _wanted(shape: Shape) -> str:
    height, width, channels = shape
    flat = f" or (n, {height}, {width})" if channels == 1 else ""
    return f"images as uint8, or floats from 0 to 1, of shape (n, {height}, {width}, {channels}){flat}"


def _advice(array: NDArray[Any], shape: Shape) -> str:
    if array.shape in (shape, shape[:2]):
        return ": give images[numpy.newaxis], for one image is a set of one"
    if array.ndim == 4 and array.shape[1:] == (shape[2], *shape[:2]):
        return ": give images.transpose(0, 2, 3, 1), the channels last"
    if array.dtype.kind in "iub" and array.dtype != np.uint8:
        return ": give images.astype(numpy.uint8), if they are 0 .. 255"
    return ""


def _bytes_of(images: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Floats from 0 to 1 as bytes."""
    if images.size:
        low, high = float(images.min()), float(images.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise InputError(f"{name} have values that are NaN or infinite; floats must be from 0 to 1")
        if low < 0 or high > 1:
            advice = ": give images.round().astype(numpy.uint8)" if 0 <= low and high <= PIXEL_MAX else ""
            raise InputError(f"{name} reach from {low:g} to {high:g}; floats must be from 0 to 1{advice}")
    out = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        out[start : start + _BLOCK] = np.rint(block.astype(np.float64) * PIXEL_MAX)
    return out


def recording_set(values: Any, shape: Shape, name: str = "recording") -> EventSet:
    """Recordings of events as a set whose labels are all 0.

    Parameters
    ----------
    values : EventSet, or one or several of Events or structured arrays
        `spikesim.datasets.Events`, or arrays with the fields x, y, t, p, as Tonic gives them: column, row,
        microseconds, polarity, all whole numbers.
    shape : (height, width, 2)
        Of the sensor.
    name : str
        What error messages call one of them.

    Raises
    ------
    InputError
        They are no recordings, or have events that the sensor cannot have.
    """
    height, width, _ = shape
    if isinstance(values, EventSet):
        if values.shape != shape:
            raise InputError(f"the recordings are of a sensor of shape {values.shape}; the network takes {shape}")
        return replace(values, labels=np.zeros(len(values), np.int64))
    collector = Collector(height, width)
    for number, one in enumerate(_each(values)):
        collector.add(_events(one, f"{name} {number}"), 0, f"{name} {number}")
    return collector.finish()


def _each(values: Any) -> Iterable[Any]:
    """The recordings: a tuple or a list of them, or one."""
    if isinstance(values, Events) or (isinstance(values, np.ndarray) and values.dtype.names):
        return [values]
    if not isinstance(values, list | tuple):
        raise InputError(f"recordings are {_kind(values)}; {_WANTED_EVENTS}")
    return values


_WANTED_EVENTS = (
    "the network takes a spikesim.datasets.EventSet, or a list of spikesim.datasets.Events or of arrays with the "
    "fields x, y, t, p"
)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} of shape {value.shape}"
    return f"of type {type(value).__name__}"


def _events(one: Any, name: str) -> Events:
    if isinstance(one, Events):
        columns = [np.asarray(getattr(one, field)) for field in "xytp"]
    elif isinstance(one, np.ndarray) and one.dtype.names and set("xytp") <= set(one.dtype.names):
        columns = [one[field] for field in "xytp"]
    else:
        raise InputError(f"{name} is {_kind(one)}; {_WANTED_EVENTS}")
    if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
        shapes = [column.shape for column in columns]
        raise InputError(f"{name}: x, y, t, p have the shapes {shapes}; they must have one dimension of one length")
    x, y, t, p = (integers(column, f"{name}: {field}") for field, column in zip("xytp", columns, strict=True))
    if len(t) and max(abs(int(t.min())), abs(int(t.max()))) >= TIME_MAX:
        raise InputError(f"{name}: t reaches from {t.min()} to {t.max()}; it must be microseconds below 2**60")
    return Events(x, y, t, p)


class Unlabelled(NamedTuple):
    """Samples, and the names of their files where each has one of its own."""

    samples: ImageSet | EventSet
    names: list[str] | None = None


def read_images(path: Path, shape: Shape) -> Unlabelled:
    """Images from a file, with labels that are all 0.

    Parameters
    ----------
    path : Path
        A .npy file; an .npz file with an array ``images``, or with one array; an IDX file, plain or .gz; a picture, or
        a folder of pictures. Nothing is unpickled.
    shape : (height, width, channels)
        What an image must have.

    Raises
    ------
    InputError
        It cannot be read, or as for `image_set`.
    """
    if path.is_dir() or is_picture(path.name):
        if not path.is_dir():
            _require_file(path, _IMAGE_FILES)
        pixels, names = read_pictures(path, shape)
        return Unlabelled(image_set(pixels, shape), names)
    _require_file(path, _IMAGE_FILES)
    if path.name.endswith(".npz"):
        array = _archived(path)
    elif path.name.endswith(".npy"):
        array = read_npy(_content(path), str(path))
    elif _IDX.search(path.name):
        array = read_idx(_content(path), str(path))
    else:
        raise InputError(f"{path}: its name has no known ending; {_IMAGE_FILES}")
    return Unlabelled(image_set(array, shape, f"{path}: the images"))


def read_recordings(path: Path, shape: Shape) -> Unlabelled:
    """Recordings from a file, with labels that are all 0.

    Parameters
    ----------
    path : Path
        An .npz or HDF5 file of recordings, whose labels are passed over and may be missing, or N-MNIST's .bin, which is
        one recording.
    shape : (height, width, 2)
        Of the sensor.

    Raises
    ------
    InputError
        It cannot be read, or as for `recording_set`.
    """
    _require_file(path, _EVENT_FILES)
    if path.name.endswith(".bin"):
        collector = Collector(*shape[:2])
        collector.add(read_nmnist(_content(path), str(path)), 0, str(path))
        return Unlabelled(collector.finish())
    if event_file.is_event_file(path.name):
        return Unlabelled(event_file.read_unlabelled(path, (shape[0], shape[1])))
    raise InputError(f"{path}: its name has no known ending; {_EVENT_FILES}")


def _require_file(path: Path, advice: str) -> None:
    if not path.exists():
        raise InputError(f"{path} does not exist; {advice}")
    if not path.is_file():
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'not a regular file'}; {advice}")


def _content(path: Path) -> bytes:
    data = read_bounded(path, BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise InputError(f"{path}: more than {BYTES_MAX} bytes; give the samples in several files")
    return data


def _archived(path: Path) -> NDArray[Any]:
    """The array of images in an .npz file."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            name = next(iter(members)) if len(members) == 1 else _IMAGES
            if name not in members:
                raise InputError(f"{path}: has {some_names(sorted(members))}; {_IMAGE_FILES}")
            if members[name].file_size > BYTES_MAX:
                raise InputError(f"{path}: {name} takes {members[name].file_size} bytes; at most {BYTES_MAX}")
            return read_array(archive, members[name])
    except (InputError, MemoryError):
        raise
    except ObjectArray as error:
        raise InputError(f"{path}: {error}; {_IMAGE_FILES}") from None
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        raise InputError(f"{path}: not an .npz file, or a damaged one ({one_line(error)}); {_IMAGE_FILES}") from None
