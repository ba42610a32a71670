"""The rows of an architecture, and those that a configuration gives (``model.layers``)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import shown

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
    if set(row) - set(KEYS) or not {"kind", "channels"} <= set(row):
        raise InputError(
            f"a row of model.layers has the keys {shown(sorted(row))}; kind and channels, perhaps kernel, padding, pool"
        )
    if row["kind"] not in ("conv", "dense"):
        raise InputError(f"a row of model.layers has the kind {shown(row['kind'])}; it is 'conv' or 'dense'")
    whole = [row.get(key, 1) for key in ("channels", "kernel", "padding")]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in whole) or row["channels"] < 1:
        raise InputError(
            f"a row of model.layers has {shown(row)}; channels (at least 1), kernel and padding are integers"
        )
    if not all(-WHOLE_MAX <= value <= WHOLE_MAX for value in whole):
        raise InputError(f"a row of model.layers has {shown(row)}; its numbers are at most {WHOLE_MAX}")
    if not isinstance(row.get("pool", False), bool):
        raise InputError(f"a row of model.layers has pool {shown(row['pool'])}; it is true or false")
    return Layer(**row)
