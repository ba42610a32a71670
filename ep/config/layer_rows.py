"""The rows of an architecture, and those that a configuration gives (``model.layers``)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.validation import Limits, flag, items, nearest, require_keys, table, whole, word

__all__ = ["INPUT", "Layer", "Source", "read_rows"]

KEYS = ("kind", "channels", "kernel", "padding", "stride", "pool", "from")
OTHER_NAMES = {
    "type": "kind",
    "out_channels": "channels",
    "filters": "channels",
    "features": "channels",
    "units": "channels",
    "neurons": "channels",
    "size": "kernel",
    "pad": "padding",
    "skip": "from",
    "source": "from",
    "sources": "from",
    "inputs": "from",
}
"""What other programs call the keys."""
SOURCE_KEYS = ("layer", "kernel", "padding", "stride")
WHOLE_MAX = 2**31 - 1
"""Of numbers in a row: far more than fits a network, and few enough that no product of shapes loses its sign."""
Sides = int | tuple[int, int]
"""A number for both sides of a map, or one for the height and one for the width."""
INPUT = -1
"""In place of the index of a layer: the input."""


@dataclass(frozen=True)
class Source:
    """What drives a layer, beside or instead of the layer before it.

    Attributes
    ----------
    layer : int
        Index of the layer, from 0; `INPUT` for the samples.
    kernel : int, (int, int) or None
        Of the convolution; None: that of the layer for its first source, 1 for others.
    padding : int or (int, int)
        Counts with a kernel alone.
    stride : int or None
        None: that of the layer for its first source, for others the one that makes the maps fit.
    """

    layer: int
    kernel: Sides | None = None
    padding: Sides = 0
    stride: int | None = None


@dataclass(frozen=True)
class Layer:
    """One layer of an architecture.

    Attributes
    ----------
    kind : {"conv", "dense", "tokens"}
    channels : int
        Output channels (or neurons) at width 1.
    kernel, padding : int or (int, int)
        Of a convolution; height and width, where they differ.
    stride : int
        Of a convolution.
    pool : bool
        Whether the layer is pooled before it is read.
    sources : tuple of Source
        What drives it; none: the layer before it, or the input.
    """

    kind: str
    channels: int
    kernel: Sides = 3
    padding: Sides = 1
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
    for number, row in enumerate(rows, 1):
        below = [f"{layer.kind}{place}" for place, layer in enumerate(layers, 1)]
        try:
            layers.append(_layer(row, below))
        except InputError as error:
            raise InputError(f"row {number} of model.layers, {shown(row)}: {error}") from None
    return tuple(layers)


def _layer(row: Mapping[str, Any], below: list[str]) -> Layer:
    require_keys(row, KEYS, "a layer", needed=("kind", "channels"), meant=_meant)
    word(row["kind"], "kind", ("conv", "dense", "tokens"))
    whole(row["channels"], "channels", Limits(low=1, high=WHOLE_MAX))
    every = Limits(low=-WHOLE_MAX, high=WHOLE_MAX)
    whole(row.get("stride", 1), "stride", every)
    sides = {key: _sides(row[key], key, every) for key in ("kernel", "padding") if key in row}
    flag(row.get("pool", False), "pool")
    sources = _sources(row["from"], below) if "from" in row else ()
    return Layer(**{key: value for key, value in row.items() if key != "from"} | sides, sources=sources)


def _sides(given: Any, what: str, limits: Limits) -> Sides:
    """A whole number, or a list of two."""
    if not isinstance(given, list | tuple):
        return whole(given, what, limits)
    pair = [whole(one, f"each number of {what}", limits) for one in given]
    if len(pair) != 2:
        raise InputError(f"{what} is {shown(given)}; it must be a whole number, or two of them, [height, width]")
    return pair[0], pair[1]


def _meant(key: str, known: Collection[str]) -> str | None:
    return OTHER_NAMES.get(key.lower()) or nearest(key, known)


def _sources(given: Any, below: list[str]) -> tuple[Source, ...]:
    """The sources that ``from`` names; `below`: names of the layers of the rows before."""
    known = {"input": INPUT, **{name: index for index, name in enumerate(below)}}

    def source(one: Any, what: str) -> Source:
        entry = {"layer": one} if isinstance(one, str) else table(one, what, '{layer = "conv1"}')
        require_keys(entry, SOURCE_KEYS, what, needed=("layer",))
        layer = known[word(entry["layer"], f"layer of {what}", tuple(known))]
        numbers: dict[str, Any] = {}
        for key in ("kernel", "padding", "stride"):
            if key in entry:
                read = whole if key == "stride" else _sides
                limits = Limits(low=0 if key == "padding" else 1, high=WHOLE_MAX)
                numbers[key] = read(entry[key], f"{key} of {what}", limits)
        return Source(layer, **numbers)

    sources = tuple(items(given, "from", "names of layers, or tables with layer", source, filled=True))
    if len({one.layer for one in sources}) < len(sources):
        raise InputError(f"from is {shown(given)}; it must name each layer once")
    return sources
