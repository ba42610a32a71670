"""Checks of values that a user gives, as a parser of TOML returns them: "WHAT is VALUE; it must be ALLOWED".

Each check returns the value in its type and raises `spikesim.errors.InputError` for any other.
"""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from spikesim.errors import InputError
from spikesim.io import fields

__all__ = [
    "Limits",
    "did_you_mean",
    "flag",
    "items",
    "nearest",
    "number",
    "refuse",
    "require_keys",
    "shown",
    "table",
    "tables",
    "whole",
    "word",
]

_T = TypeVar("_T")
_SIMILAR = 0.6
"""Similarity, from 0 to 1, of words that may be mistaken for each other."""
_COMPARED = 100
"""Letters that are compared at most."""


@dataclass(frozen=True)
class Limits:
    """What a number may be.

    Attributes
    ----------
    low, high : float, optional
        Smallest and largest value.
    above : float, optional
        A value that must be exceeded.
    """

    low: float | None = None
    high: float | None = None
    above: float | None = None

    def __str__(self) -> str:
        rules = (("above", self.above), ("at least", self.low), ("at most", self.high))
        return ", ".join(f"{words} {_plain(limit)}" for words, limit in rules if limit is not None)

    def check(self, value: float, what: str) -> None:
        """Refuse a number out of range.

        Raises
        ------
        InputError
        """
        if self.above is not None and not value > self.above:
            refuse(value, what, f"above {_plain(self.above)}")
        if self.low is not None and not value >= self.low:
            refuse(value, what, f"at least {_plain(self.low)}")
        if self.high is not None and not value <= self.high:
            refuse(value, what, f"at most {_plain(self.high)}")
        if isinstance(value, int) and not fields.INTEGER_MIN <= value <= fields.INTEGER_MAX:
            refuse(value, what, "below 2**64")


ANY = Limits()


def _plain(limit: float) -> str:
    """A limit in full: 1048576, not 1.04858e+06."""
    return str(int(limit)) if float(limit).is_integer() else repr(limit)


def shown(value: object) -> str:
    """A value as a message shows it: short, on one line, and missing where there is none."""
    return "missing" if value is None else " ".join(fields.shown(value).split())


def refuse(value: object, what: str, allowed: str) -> NoReturn:
    """Say what is wrong with a value.

    Raises
    ------
    InputError
    """
    raise InputError(f"{what} is {shown(value)}; it must be {allowed}")


def whole(value: object, what: str, limits: Limits = ANY) -> int:
    """An integer, of at most 64 bits. A float is none, whatever its value."""
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(value, what, "an integer")
    limits.check(value, what)
    return value


def number(value: object, what: str, limits: Limits = ANY) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(value, what, "a number")
    if isinstance(value, float) and not math.isfinite(value):  # an integer may be too large to ask
        refuse(value, what, "finite")
    limits.check(value, what)
    return float(value)


def flag(value: object, what: str) -> bool:
    """True or false; 0 and 1 are neither."""
    if not isinstance(value, bool):
        refuse(value, what, "true or false")
    return value


def word(value: object, what: str, choices: Collection[str] = ()) -> str:
    """A text of Unicode; one of the choices where there are any."""
    if not isinstance(value, str):
        refuse(value, what, f"one of {', '.join(choices)}" if choices else "a text")
    # Halves of surrogate pairs are what Python makes of bytes that are not UTF-8.
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        refuse(value, what, "a text of Unicode: give it in UTF-8")
    if choices and value not in choices:
        refuse(value, what, f"one of {', '.join(choices)}{did_you_mean(nearest(value, choices))}")
    return value


def items(value: object, what: str, kind: str, check: Callable[[Any, str], _T], *, filled: bool = False) -> list[_T]:
    """A list of `kind` (a plural), each of which `check` takes; `filled`: of at least one."""
    if not isinstance(value, list | tuple):
        refuse(value, what, f"a list of {kind}")
    if filled and not value:
        refuse(value, what, f"a list of {kind} that is not empty")
    return [check(one, what) for one in value]


def table(value: object, what: str, form: str) -> Mapping[str, Any]:
    """A table; `form` is how it is written."""
    if not isinstance(value, Mapping):
        refuse(value, what, f"one table, {form}")
    return value


def tables(value: object, what: str, form: str = "") -> list[Mapping[str, Any]]:
    """A list of tables; `form` is how they are written."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        refuse(value, what, f"a list of tables{form and ', '}{form}")
    return list(value)


def nearest(given: str, known: Collection[str]) -> str | None:
    """The word among known ones that somebody may have meant who wrote another."""
    plain = {_plainly(word): word for word in known}
    close = difflib.get_close_matches(_plainly(given[:_COMPARED]), plain, n=1, cutoff=_SIMILAR)
    return plain[close[0]] if close else None


def _plainly(text: str) -> str:
    return text.strip().lower().replace("-", "_")


def did_you_mean(text: str | None) -> str:
    """The question as the end of a message, or nothing where there is nothing to ask."""
    return "" if text is None else f" (did you mean {text}?)"


def require_keys(
    given: Mapping[str, Any],
    known: Collection[str],
    where: str,
    needed: Collection[str] = (),
    prefix: str = "",
    meant: Callable[[str, Collection[str]], str | None] = nearest,
) -> None:
    """Refuse a table that has another key or lacks one.

    Parameters
    ----------
    where : str
        Whose keys they are.
    prefix : str
        Stands before a key that is not known.
    meant : callable
        Which known key somebody may have meant by another one.
    """
    for key in given:
        if key not in known:
            asked = did_you_mean(meant(key, known))
            raise InputError(
                f"unknown key {shown(f'{prefix}{key}')} in {where}{asked}; its keys are {', '.join(known)}"
            )
    for key in needed:
        if key not in given:
            raise InputError(f"{where} has no {key}; it needs {', '.join(needed)}")
