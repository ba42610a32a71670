"""A key of the configuration: its default, what is allowed, and what it means."""

from dataclasses import field
from typing import Any

from spikesim.io.validation import Limits

__all__ = ["option"]


def option(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    per_layer: bool = False,
    optional: bool = False,
    later: bool = False,
    before: Any = None,
    **limits: float,
) -> Any:
    """A field of a section: its default, its meaning and what is allowed.

    Parameters
    ----------
    per_layer : bool
        Also takes a list with a value per layer, the lowest first.
    optional : bool
        May be left out (None).
    later : bool
        Added after there were runs: left out of the canonical form where it has its default, so that a configuration
        that knows nothing of it stays the same.
    before
        What runs had before there was the key, where that is not its default (`as_recorded`).
    **limits : float
        `low`, `high` and `above`: smallest and largest value, and a value that must be exceeded (`Limits`).
    """
    rules = {
        "text": text,
        "choices": choices,
        "limits": Limits(**limits),
        "per_layer": per_layer,
        "optional": optional,
        "later": later,
        "before": before,
    }
    return field(default=default, metadata=rules)
