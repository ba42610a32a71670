"""The rows of an architecture, and those that a configuration gives (``model.layers``)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import shown

__all__ = ["INPUT", "Layer", "Source", "read_rows"]

KEYS = ("kind", "channels", "kernel", "padding", "stride", "pool", "from")
SOURCE_KEYS = ("layer", "kernel", "padding", "stride")
WHOLE_MAX = 2**31 - 1
"""Of numbers in a row: far more than fits a network, and few enough that no product of shapes loses its sign."""
INPUT = -1
"""In place of the index of a layer: the input."""


@dataclass(frozen=True)
class Source:
    """What drives a layer, beside or in place of the layer before it.

    Attributes
    ----------
    layer : int
        Index of the layer, from 0; `INPUT` for the samples.
    kernel : int or None
        Of the convolution; None: that of the layer for its first source, 1 for others.
    padding : int
        Counts with a kernel alone.
    stride : int or None
        None: that of the layer for its first source, for others the one that makes the maps fit.
    """

    layer: int
    kernel: int | None = None
    padding: int = 0
    stride: int | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of an architecture.

    Attributes
    ----------
    kind : {"conv", "dense"}
    channels : int
        Output channels (or neurons) at width 1.
    kernel, padding, stride : int
        Of a convolution.
    pool : bool
        Whether the layer is pooled before it is read.
    sources : tuple of Source
        What drives it; none: the layer before it, or the input.
    """

    kind: str
    channels: int
    kernel: int = 3
    padding: int = 1
    pool: bool = False
    stride: int = 1
    sources: tuple[Source, ...] = ()


def read_rows(rows: Iterable[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Layers of the tables of a configuration. Whether they fit an image is for
    `spikesim.ep.network.architectures.build`.

    Raises
    ------
    InputError
        An unknown key, one that is missing, or a value that no layer has.
    """
    layers: list[Layer] = []
    for row in rows:
        layers.append(_layer(row, [f"{layer.kind}{number}" for number, layer in enumerate(layers, 1)]))
    return tuple(layers)


def _layer(row: Mapping[str, Any], below: list[str]) -> Layer:
    if set(row) - set(KEYS) or not {"kind", "channels"} <= set(row):
        raise InputError(
            f"a row of model.layers has the keys {shown(sorted(row))}; kind and channels, perhaps kernel, padding, "
            "stride, pool, from"
        )
    if row["kind"] not in ("conv", "dense"):
        raise InputError(f"a row of model.layers has the kind {shown(row['kind'])}; it is 'conv' or 'dense'")
    whole = [row.get(key, 1) for key in ("channels", "kernel", "padding", "stride")]
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in whole) or row["channels"] < 1:
        raise InputError(
            f"a row of model.layers has {shown(row)}; channels (at least 1), kernel, padding and stride are integers"
        )
    if not all(-WHOLE_MAX <= value <= WHOLE_MAX for value in whole):
        raise InputError(f"a row of model.layers has {shown(row)}; its numbers are at most {WHOLE_MAX}")
    if not isinstance(row.get("pool", False), bool):
        raise InputError(f"a row of model.layers has pool {shown(row['pool'])}; it is true or false")
    plain = {key: value for key, value in row.items() if key != "from"}
    return Layer(**plain, sources=_sources(row["from"], below) if "from" in row else ())


def _sources(given: Any, below: list[str]) -> tuple[Source, ...]:
    """The sources that ``from`` names; `below`: names of the layers of the rows before."""
    if not isinstance(given, list | tuple) or not given:
        raise InputError(
            f"a row of model.layers has from = {shown(given)}; it is a list of names of layers, such as "
            "['conv1', 'conv3'], or of tables with the key layer"
        )
    sources = tuple(_source(one, below) for one in given)
    for source in sources:
        if sum(other.layer == source.layer for other in sources) > 1:
            raise InputError(f"a row of model.layers has from = {shown(given)}; name each layer once")
    return sources


def _source(given: Any, below: list[str]) -> Source:
    table = {"layer": given} if isinstance(given, str) else given
    if not isinstance(table, Mapping) or "layer" not in table or set(table) - set(SOURCE_KEYS):
        raise InputError(
            f"from in a row of model.layers has {shown(given)}; it is the name of a layer, or a table with layer and "
            "perhaps kernel, padding, stride"
        )
    known = {"input": INPUT, **{name: index for index, name in enumerate(below)}}
    if not isinstance(table["layer"], str) or table["layer"] not in known:
        raise InputError(
            f"from in a row of model.layers names {shown(table['layer'])}; it must be one of {', '.join(known)}"
        )
    numbers: dict[str, Any] = {key: table[key] for key in ("kernel", "padding", "stride") if key in table}
    for key, value in numbers.items():
        low = 0 if key == "padding" else 1
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= WHOLE_MAX:
            raise InputError(
                f"from in a row of model.layers has {key} = {shown(value)}; it must be an integer of at least {low}"
            )
    return Source(known[table["layer"]], **numbers)
