"""Nested settings with dotted keys, and where two or more of them differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spikesim.errors import InputError

__all__ = ["differing_settings", "flat_settings", "require_same_settings"]

_NAMED = 3
"""Differences that a message names."""
_NOTHING = "nothing"
"""The value of a key that is not there, in a message."""


def flat_settings(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values with dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat_settings(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differing_settings(configurations: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """The settings in which configurations differ, of each; those of None, which is left out, are None.

    Parameters
    ----------
    configurations : sequence of dict or None
        Nested values, as `RunReader.config`.

    Returns
    -------
    list of dict
        One a configuration, all with the same dotted keys.
    """
    flat = [dict(flat_settings(own)) if own else {} for own in configurations]
    keys = list(dict.fromkeys(key for own in flat for key in own))
    read = [own for own in flat if own]
    differing = [key for key in keys if len({_text(own.get(key)) for own in read}) > 1]
    return [{key: own.get(key) for key in differing} for own in flat]


def require_same_settings(path: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on with a file that is of a run with other settings.

    Parameters
    ----------
    path : Path
        The file.
    stored, wanted : dict
        Nested values in the file, and those of the run that is to go on.

    Raises
    ------
    InputError
    """
    before, after = dict(flat_settings(stored)), dict(flat_settings(wanted))
    found = [
        f"{key}: {before.get(key, _NOTHING)} in the file, {after.get(key, _NOTHING)} now"
        for key in sorted(before.keys() | after.keys())
        if _text(before.get(key, _NOTHING)) != _text(after.get(key, _NOTHING))
    ]
    if found:
        more = f" (and {len(found) - _NAMED} more)" if len(found) > _NAMED else ""
        raise InputError(
            f"{path} is a run of another configuration: {'; '.join(found[:_NAMED])}{more}; "
            "resume with the values in the file, or choose another --out"
        )


def _text(value: Any) -> str:
    """By which values are compared: 1 is not 1.0, nor is it true."""
    return json.dumps(value, sort_keys=True)
