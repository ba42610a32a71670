"""Reading TOML files."""

import codecs
import sys
from pathlib import Path
from typing import Any

from spikesim.errors import InputError
from spikesim.values import require_64_bits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_toml", "tomllib"]

_OTHER_ENCODINGS = {  # UTF-32's mark in front of the one of UTF-16 that it begins with
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, with or without a byte order mark.

    Raises
    ------
    InputError
        The file is missing or not TOML, is text in another encoding than UTF-8, or has an integer beyond 64 bits.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no name of a file
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    try:
        values = tomllib.loads(_decoded(data))
    except (InputError, ValueError, RecursionError) as error:  # not TOML, or thousands of digits or of brackets
        reason = " ".join(str(error).split()).partition("; use sys.")[0]
        raise InputError(f"{path} is not TOML: {reason}") from None
    require_64_bits(values, "")
    return values


def _decoded(data: bytes) -> str:
    """The text of a file, which must be UTF-8."""
    found = next((name for mark, name in _OTHER_ENCODINGS.items() if data.startswith(mark)), None)
    if found is None and b"\0" in data[:2]:  # every text of TOML begins with a character of ASCII
        found = "UTF-16"
    if found is not None:
        raise InputError(f"it is text in {found}; save it in UTF-8")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"line {line} is not text in UTF-8 (byte 0x{data[error.start]:02x}); save it in UTF-8"
        ) from None
