"""What a user chooses: options, and numbers such as ``0,3,10-19``, of all layers or by layer."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spikesim.errors import InputError
from spikesim.runtime.text import counted

__all__ = ["given_options", "parse_neurons", "parse_numbers"]

NUMBERS_MAX = 2**20


def given_options(values: Mapping[str, Any]) -> list[str]:
    """Names of the options that were given: of a value, or of values, which are none where they were not."""
    return [name for name, value in values.items() if value not in (None, ())]


def parse_numbers(option: str, text: str, what: str = "numbers", samples: int | None = None) -> list[int]:
    """Numbers and ranges in their order.

    Parameters
    ----------
    option : str
        Name of the option, for messages.
    text : str
        What the user gave, such as ``0,3,10-19``.
    what : str
        What the numbers are of.
    samples : int, optional
        How many samples there are, of which the numbers are positions.

    Raises
    ------
    InputError
        The text is something else, names one that is not there, or too many.
    """
    chosen: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        if found is None:
            raise InputError(f"{option} is {text}; it must be {what}, such as 0,3,10-19")
        start, stop = int(found[1]), int(found[2] or found[1])
        if samples is not None and stop >= samples:
            raise InputError(f"{option} names {part.strip()}; there are {counted(samples, 'sample')}, from 0")
        if stop < start:
            raise InputError(f"{option} names {part.strip()}; a range must ascend, such as 10-19")
        if len(chosen) + stop - start >= NUMBERS_MAX:
            raise InputError(f"{option} names more than {NUMBERS_MAX} {what}; name fewer")
        chosen.extend(range(start, stop + 1))
    return chosen


def parse_neurons(texts: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Neurons by layer out of texts such as ``0-31`` and ``conv1:0-63``; those of all layers under ``""``.

    Raises
    ------
    InputError
        A text is something else, or a layer is named twice.
    """
    chosen: dict[str, tuple[int, ...]] = {}
    for text in texts:
        layer, _, numbers = text.rpartition(":")
        if layer in chosen:
            raise InputError(
                f"--neurons names {layer or 'those of all layers'} twice; give all at once, such as 0-31,64-95"
            )
        what = "neurons, of all layers or of one as in conv1:0-63"
        chosen[layer] = tuple(parse_numbers("--neurons", numbers, what))
    return chosen
