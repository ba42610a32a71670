"""Learning rates in absolute numbers.

`optimizer.learning_rate` is in units of the standard deviation that the weights of a layer start with. That follows
from the configuration and the fan-in, so that run files need not hold it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from spikesim.ep.config.parsing import Config, config_of_run, per_layer
from spikesim.ep.network.architectures import architecture, levels_of
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.initial_weights import initial_deviations
from spikesim.ep.network.model import Model
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError

__all__ = ["LayerRates", "learning_rates", "rates_of_run"]


class LayerRates(NamedTuple):
    """Learning rates of a layer or a head, before the schedule.

    Attributes
    ----------
    weights : float
        In units of the weights: potential per spike.
    biases : float
        Of biases and gains, in units of the potential.
    deviation : float or None
        Standard deviation that the weights of a layer start with, of which `weights` is a share; None for a head.
    """

    weights: float
    biases: float
    deviation: float | None = None


def learning_rates(model: Model, config: Config) -> dict[str, float]:
    """Learning rate of each array of parameters, by name, before the schedule."""
    rates: dict[str, float] = {}
    graph = model.graph
    fan_ins = [graph.fan_in(layer) for layer in range(model.layers)]
    for layer, (name, own) in enumerate(zip(model.names, _of_layers(config, graph.levels, fan_ins), strict=True)):
        rates[f"{name}/bias"] = rates[f"{name}/gain"] = own.biases
        for edge in graph.incoming(layer):
            rates[edge.weight] = own.weights
    for head in model.heads:
        rates[f"{head.name}/weight"], rates[f"{head.name}/bias"] = _of_head(config, head.name)[:2]
    return rates


def rates_of_run(reader: RunReader) -> dict[str, LayerRates]:
    """Those of a run by the names of its layers, heads and read-out.

    Raises
    ------
    InputError
        The configuration is not one that this version knows, or the network is not that of it.
    """
    config, shapes = config_of_run(reader.config), {name: own.shape for name, own in reader.weights().items()}
    rows = architecture(config.model.arch, config.model.layers).layers
    names = [layer.name for layer in reader.layers]
    if len(rows) != len(names):
        raise InputError(f"{reader.path} has {len(names)} layers; {config.model.arch} has {len(rows)}")
    fan_ins = [
        1
        if row.kind == "tokens"
        else sum(math.prod(own[:-1]) for path, own in shapes.items() if _leads_into(path, name))
        for name, row in zip(names, rows, strict=True)
    ]
    heads = [path.removesuffix("/weight") for path in shapes if path.endswith("/weight") and path[:4] == "head"]
    found = dict(zip(names, _of_layers(config, levels_of(rows), fan_ins), strict=True))
    return {**found, **{name: _of_head(config, name) for name in (*sorted(heads, key=_number), READOUT)}}


def _of_layers(config: Config, levels: Sequence[int], fan_ins: Sequence[int]) -> list[LayerRates]:
    settings = config.optimizer
    shares = per_layer(settings.learning_rate, len(levels), "optimizer.learning_rate")
    deviations = initial_deviations(config, levels, fan_ins)
    return [
        LayerRates(share * deviation, share * settings.bias_factor, deviation)
        for share, deviation in zip(shares, deviations, strict=True)
    ]


def _of_head(config: Config, name: str) -> LayerRates:
    own = config.error_signals.learning_rate
    rate = config.optimizer.readout_learning_rate if name == READOUT or own is None else own
    return LayerRates(rate, rate)


def _leads_into(path: str, layer: str) -> bool:
    """Whether these are the weights of a connection into a layer."""
    connection, _, kind = path.partition("/")
    return kind == "weight" and (connection == layer or connection.startswith(f"{layer}_from_"))


def _number(head: str) -> int:
    digits = head.removeprefix("head")
    return int(digits) if digits.isdigit() else 0
