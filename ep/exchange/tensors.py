"""Weights in safetensors files: a format that holds arrays by name and nothing that could be executed."""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.exchange.layouts import LAYOUTS, Form
from spikesim.errors import InputError

__all__ = ["GivenWeights", "read_weights", "write_weights"]

HEADER_MAX = 1 << 20
"""Bytes of a header: names, types and shapes of some ten arrays need a few thousand."""
FLOATS = {"F16": 2, "F32": 4, "F64": 8}
_HOW = "docs/exchange.md has the names and shapes"

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GivenWeights:
    """Weights that a file gave.

    Attributes
    ----------
    arrays : dict of str to float32 array
        In this program's names and layout; a head is there with both of its arrays or with none.
    layout : str
        That of the file.
    """

    arrays: dict[str, Array]
    layout: str


def safetensors_library() -> Any:
    """The module; InputError says how to get it."""
    try:
        import safetensors.numpy
    except ImportError:
        raise InputError("safetensors files need the package safetensors: pip install 'spikesim[exchange]'") from None
    return safetensors


def write_weights(
    path: Path, weights: Mapping[str, Array], forms: Mapping[str, Form], layout: str, metadata: Mapping[str, str]
) -> None:
    """Write weights of this program in a layout.

    Parameters
    ----------
    path : Path
    weights : mapping of str to float32 array
        By ``"<layer or head>/weight"`` and ``"<layer or head>/bias"``.
    forms : mapping of str to Form
        By layer or head.
    layout : {"torch", "spikesim"}
    metadata : mapping of str to str
        For the file's header.
    """
    library, joint = safetensors_library(), LAYOUTS[layout]
    arrays = {}
    for name, form in forms.items():
        arrays[f"{name}{joint}weight"] = form.to_layout(weights[f"{name}/weight"], layout)
        if form.has_bias:
            arrays[f"{name}{joint}bias"] = np.ascontiguousarray(weights[f"{name}/bias"])
    path.write_bytes(library.numpy.save(arrays, metadata={**metadata, "layout": layout}))


def read_weights(path: Path, forms: Mapping[str, Form], optional: frozenset[str]) -> GivenWeights:
    """Read weights for a network.

    Names tell the layout: ``conv1.weight`` is torch's, ``conv1/weight`` this program's. Everything is compared with
    what the network needs before an array is read, so that a file takes no more memory than that.

    Parameters
    ----------
    path : Path
    forms : mapping of str to Form
        By layer or head.
    optional : frozenset of str
        Heads that the file may leave out.

    Raises
    ------
    InputError
        The file is missing or no safetensors file, or names, types, shapes or values are not those that are needed.
    """
    library = safetensors_library()
    _check_header_size(path)
    try:
        with library.safe_open(path, framework="numpy") as file:
            layout = _layout(path, list(file.keys()), file.metadata() or {})
            wanted = _wanted(path, set(file.keys()), forms, optional, layout)
            slices = {own: file.get_slice(theirs) for own, (theirs, _) in wanted.items()}
            for own, (theirs, shape) in wanted.items():
                _check_form(path, theirs, slices[own].get_dtype(), tuple(slices[own].get_shape()), shape)
            arrays = {own: _finite(path, theirs, file.get_tensor(theirs)) for own, (theirs, _) in wanted.items()}
    except InputError:
        raise
    except (library.SafetensorError, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path} is no safetensors file that can be read ({text}); {_HOW}") from error
    for name, form in forms.items():
        if f"{name}/weight" in arrays:
            arrays[f"{name}/weight"] = form.from_layout(arrays[f"{name}/weight"], layout)
    return GivenWeights(arrays, layout)


def _check_header_size(path: Path) -> None:
    try:
        if not path.is_file():  # a pipe or a device would keep us waiting
            problem = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{path} {problem}; give a safetensors file with the weights: {_HOW}")
        with open(path, "rb") as stream:
            start = stream.read(9)
            size = os.fstat(stream.fileno()).st_size
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    length = struct.unpack("<Q", start[:8])[0] if len(start) == 9 else -1
    if length < 2 or length > size - 8 or start[8:] != b"{":
        raise InputError(f"{path} is not a safetensors file; {_HOW}")
    if length > HEADER_MAX:
        raise InputError(f"{path} has a header of {length} bytes; at most {HEADER_MAX} are allowed: {_HOW}")


def _layout(path: Path, names: list[str], metadata: Mapping[str, str]) -> str:
    """The layout that all names and the metadata agree on."""
    found = {layout for layout, joint in LAYOUTS.items() for name in names if joint in name}
    if len(found) != 1:
        what = "no arrays" if not names else f"names such as {_shown(names[0])}"
        raise InputError(
            f"{path} has {what}; either all are as conv1.weight (torch's layout) or all as conv1/weight (this "
            f"program's): {_HOW}"
        )
    (layout,) = found
    said = metadata.get("layout", layout)
    if said != layout:
        raise InputError(
            f"{path} says that its layout is {_shown(said)}, but its names are those of {layout!r}: rename its arrays"
        )
    return layout


def _wanted(
    path: Path, present: set[str], forms: Mapping[str, Form], optional: frozenset[str], layout: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """By our name, the file's name and the shape that it must have."""
    joint = LAYOUTS[layout]
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, form in forms.items():
        pair = form.shapes(layout)
        theirs = {kind: f"{name}{joint}{kind}" for kind in pair}
        if name in optional and not present & set(theirs.values()):
            continue
        wanted.update({f"{name}/{kind}": (theirs[kind], shape) for kind, shape in pair.items()})
    names = {theirs for theirs, _ in wanted.values()}
    problems = []
    if names - present:
        problems.append(f"lacks {_listed(names - present)}")
    if present - names:
        problems.append(f"has {_listed(present - names)} and the network does not")
    if problems:
        raise InputError(f"{path} {'; it '.join(problems)}: {_HOW}")
    return wanted


def _check_form(path: Path, name: str, kind: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if kind not in FLOATS:
        raise InputError(f"{path} has {name} of type {_shown(kind)}; it must be one of {', '.join(FLOATS)}")
    if shape != wanted:
        raise InputError(f"{path} has {name} of shape {shape}; the network needs {wanted}: {_HOW}")


def _finite(path: Path, name: str, array: NDArray[Any]) -> Array:
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise InputError(f"{path} has {array[where]} in {name} at {where}; weights must be finite, as float32")
    return values


def _listed(names: set[str]) -> str:
    first = sorted(names)[:4]
    more = f" and {len(names) - len(first)} more" if len(names) > len(first) else ""
    return ", ".join(_shown(name) for name in first) + more


def _shown(text: str) -> str:
    """A text of a file, safe to print."""
    return repr(text if len(text) <= 60 else text[:60] + "...")
