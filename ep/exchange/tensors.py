"""Weights in safetensors files: a format that holds arrays by name and nothing that could be executed."""

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.exchange.layouts import LAYOUTS, Form
from spikesim.ep.network.rounding import round_weights
from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.numerics.fixed_point import ONE_BITS, quantize_drive
from spikesim.runtime.manual import manual

__all__ = ["DTYPES", "GivenWeights", "read_weights", "write_integers", "write_weights"]

DTYPES = {"float32": None, "int16": 16, "int8": 8, "int4": 4}
"""By name, the bits of a weight; None for the weights as they are stored."""

HEADER_MAX = 1 << 20
"""Bytes of a header: names, types and shapes of some ten arrays need a few thousand."""
FLOATS = ("F16", "F32", "F64")
INTEGERS = ("I8", "I16", "I32")
EXPONENTS_MAX = 64
"""Magnitude of an exponent in a file; those of this program's files are from -12 to 24."""
_HOW = f"'{manual('exchange')}' has the names and shapes"

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
    _write(path, {name: _Stored(array) for name, array in weights.items()}, forms, layout, metadata)


class _Stored(NamedTuple):
    """An array as a file holds it: its values are those of the array times 2**-exponent."""

    array: NDArray[Any]
    exponent: int | None = None


def write_integers(
    path: Path,
    weights: Mapping[str, Array],
    forms: Mapping[str, Form],
    layout: str,
    metadata: Mapping[str, str],
    dtype: str,
) -> None:
    """Write weights rounded to integers, with their exponents in the header.

    Weights of 16 bits and biases of layers are those that the dynamics compute with; weights of 8 and of 4 bits are
    int8. Biases of heads stay float32, as heads compute with them.

    Parameters
    ----------
    path, weights, forms, layout, metadata
        As for `write_weights`.
    dtype : {"int16", "int8", "int4"}
    """
    bits, stored = DTYPES[dtype], {}
    assert bits is not None
    for name, array in weights.items():
        layer, _, kind = name.partition("/")
        if kind == "weight":
            rounded = round_weights(array, bits, f"weights of {layer}")
            stored[name] = _Stored(rounded.integers.astype(np.int16 if bits > 8 else np.int8), rounded.exponent)
        elif forms[layer].is_head:
            stored[name] = _Stored(array)
        else:
            stored[name] = _Stored(quantize_drive(array, f"biases of {layer}"), ONE_BITS)
    _write(path, stored, forms, layout, {**metadata, "dtype": dtype, "bits": str(bits)})


def _write(
    path: Path, stored: Mapping[str, _Stored], forms: Mapping[str, Form], layout: str, metadata: Mapping[str, str]
) -> None:
    library, joint = safetensors_library(), LAYOUTS[layout]
    arrays, exponents = {}, {}
    for name, form in forms.items():
        for kind in form.shapes(layout):
            array, exponent = stored[f"{name}/{kind}"]
            theirs = f"{name}{joint}{kind}"
            arrays[theirs] = form.to_layout(array, layout) if kind == "weight" else np.ascontiguousarray(array)
            if exponent is not None:
                exponents[theirs] = exponent
    said = {**metadata, "layout": layout}
    if exponents:
        said["exponents"] = json.dumps(exponents)
    path.write_bytes(library.numpy.save(arrays, metadata=said))


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
            metadata = file.metadata() or {}
            layout, exponents = _layout(path, list(file.keys()), metadata), _exponents(path, metadata)
            wanted = _wanted(path, set(file.keys()), forms, optional, layout)
            slices = {own: file.get_slice(theirs) for own, (theirs, _) in wanted.items()}
            for own, (theirs, shape) in wanted.items():
                kinds = FLOATS + INTEGERS * (theirs in exponents)
                _check_form(path, theirs, slices[own].get_dtype(), tuple(slices[own].get_shape()), shape, kinds)
            arrays = {
                own: _finite(path, theirs, file.get_tensor(theirs), exponents.get(theirs, 0))
                for own, (theirs, _) in wanted.items()
            }
    except InputError:
        raise
    except (library.SafetensorError, OSError, ValueError, TypeError, OverflowError, MemoryError) as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path} is not a readable safetensors file ({text}); {_HOW}") from error
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


def _check_form(
    path: Path, name: str, kind: str, shape: tuple[int, ...], wanted: tuple[int, ...], kinds: tuple[str, ...]
) -> None:
    if kind not in kinds:
        integers = "; integers need an exponent in the metadata" if kind in INTEGERS else ""
        raise InputError(f"{path} has {name} of type {_shown(kind)}; it must be one of {', '.join(kinds)}{integers}")
    if shape != wanted:
        raise InputError(f"{path} has {name} of shape {shape}; the network needs {wanted}: {_HOW}")


def _exponents(path: Path, metadata: Mapping[str, str]) -> dict[str, int]:
    """By name of an array of the file, the exponent of its unit."""
    text = metadata.get("exponents", "{}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(value, int) and not isinstance(value, bool) and abs(value) <= EXPONENTS_MAX
        for value in found.values()
    ):
        raise InputError(
            f"{path} has the exponents {shown(text)} in its metadata; they must be a JSON object of names and integers "
            f"from -{EXPONENTS_MAX} to {EXPONENTS_MAX}: {_HOW}"
        )
    return found


def _finite(path: Path, name: str, array: NDArray[Any], exponent: int) -> Array:
    with np.errstate(over="ignore"):
        values: Array = np.multiply(array, math.ldexp(1.0, -exponent), dtype=np.float64).astype(np.float32)
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
