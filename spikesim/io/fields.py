"""Values that a user gives, in files and on the command line: within 64 bits, and short where a message shows them."""

import datetime
import re
from collections.abc import Mapping
from typing import Any

from spikesim.errors import InputError

__all__ = ["INTEGER_MAX", "INTEGER_MIN", "require_64_bits", "short_words", "shown"]

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
"""Integers that a computer holds in 64 bits, with a sign or without. Python's have no end, and make no text of one with
more than 4300 digits."""

_LENGTH = 120
_ITEMS = 8
_WORD = re.compile(r"\S{500,}")


def shown(value: object) -> str:
    """A value as a message shows it: as Python writes it, in printable characters, and not much of a long one."""
    text = _text(value, 4)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}..."


def short_words(text: str) -> str:
    """A message that may hold a value of any length, with the middle left out of its longest words."""
    return _WORD.sub(lambda word: f"{word[0][:_LENGTH]}...{word[0][-_LENGTH // 2 :]}", text)


def _text(value: object, depth: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value) if len(value) <= _LENGTH else f"{value[:_LENGTH]!r}..."
    if isinstance(value, Mapping | list | tuple) and depth == 0:
        return "..."
    if isinstance(value, Mapping):
        pairs = [f"{_text(key, 0)}: {_text(one, depth - 1)}" for key, one in list(value.items())[:_ITEMS]]
        return f"{{{', '.join([*pairs, *_rest(value)])}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join([*(_text(one, depth - 1) for one in value[:_ITEMS]), *_rest(value)])}]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return repr(value)


def _rest(values: "Mapping[Any, Any] | list[Any] | tuple[Any, ...]") -> list[str]:
    return ["..."] if len(values) > _ITEMS else []


def require_64_bits(value: object, name: str) -> None:
    """Refuse integers that have no place in 64 bits, also within lists and tables.

    Parameters
    ----------
    value : object
        As a parser of TOML returns it.
    name : str
        What messages call it; "" for the whole of a file.

    Raises
    ------
    InputError
    """
    if isinstance(value, int):
        if not INTEGER_MIN <= value <= INTEGER_MAX:
            raise InputError(f"{name} is {shown(value)}; it must have at most 64")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            require_64_bits(one, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for one in value:
            require_64_bits(one, name)
