"""The rows of an architecture, and those that a configuration gives (``model.layers``)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.validation import Limits, flag, require_keys, whole, word

__all__ = ["Layer", "read_rows"]

KEYS = ("kind", "channels", "kernel", "padding", "pool")
WHOLE_MAX = 2**31 - 1
"""Of numbers in a row: far more than fits a network, and few enough that no product of shapes loses its sign."""


@dataclass(frozen=True)
class Layer:
    """One layer of an architecture.

    Attributes
    ----------
    kind : {"conv", "dense"}
    channels : int
        Output channels (or neurons) at width 1.
    kernel, padding : int
        Of a convolution.
    pool : bool
        Whether the layer is pooled before it is read.
    """

    kind: str
    channels: int
    kernel: int = 3
    padding: int = 1
    pool: bool = False


def read_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Layers of the tables of a configuration. Whether they fit an image is for
    `spikesim.ep.network.architectures.build`.

    Raises
    ------
    InputError
        An unknown key, one that is missing, or a value that no layer has.
    """
    return tuple(_layer(row) for row in rows)


def _layer(row: Mapping[str, Any]) -> Layer:
    try:
        require_keys(row, KEYS, "a layer", needed=("kind", "channels"))
        word(row["kind"], "kind", ("conv", "dense"))
        whole(row["channels"], "channels", Limits(low=1, high=WHOLE_MAX))
        for key in ("kernel", "padding"):
            whole(row.get(key, 1), key, Limits(low=-WHOLE_MAX, high=WHOLE_MAX))
        flag(row.get("pool", False), "pool")
    except InputError as error:
        raise InputError(f"a row of model.layers has {shown(row)}: {error}") from None
    return Layer(**row)
