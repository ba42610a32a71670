"""Nested settings with dotted keys, and where two or more of them differ."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["differing_settings", "flat_settings"]


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
    differing = [key for key in keys if len({json.dumps(own.get(key), sort_keys=True) for own in read}) > 1]
    return [{key: own.get(key) for key in differing} for own in flat]
