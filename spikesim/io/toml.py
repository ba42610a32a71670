"""Reading TOML files, and writing single values."""

import codecs
import datetime
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import require_64_bits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_toml", "toml_text", "tomllib"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\"}

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


def toml_text(value: Any) -> str:
    """A value as TOML writes it on one line, in ASCII alone, so that no locale on its way changes a character.

    Parameters
    ----------
    value : bool, int, float, str, date, time, list or mapping
        As `tomllib` returns it.

    Raises
    ------
    TypeError
        TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf, nan in both languages
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return f'"{"".join(map(_letter, value))}"'
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = (
            f"{key if _BARE_KEY.fullmatch(key) else toml_text(key)} = {toml_text(one)}" for key, one in value.items()
        )
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_text, value))}]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _letter(letter: str) -> str:
    """A character within quotation marks."""
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if " " <= letter <= "~":
        return letter
    return f"\\u{ord(letter):04x}" if letter <= "\uffff" else f"\\U{ord(letter):08x}"


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
