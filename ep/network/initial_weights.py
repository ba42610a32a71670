"""The weights that a network starts with, before its biases are calibrated."""

import math
from collections.abc import Sequence

import numpy as np

from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array, HeadParameters, LayerParameters, ParameterTree

__all__ = ["initial_deviations", "initial_parameters", "initial_scales", "square_waves"]

SKIP_STREAM = 1 << 20
"""Streams of random numbers from here on are those of connections that are not the first into their layer."""


def initial_scales(model: Model, config: Config) -> tuple[float, ...]:
    """Standard deviation of the initial weights of each layer of a network."""
    fan_ins = [model.graph.fan_in(layer) for layer in range(model.layers)]
    return initial_deviations(config, model.graph.levels, fan_ins)


def initial_deviations(config: Config, levels: Sequence[int], fan_ins: Sequence[int]) -> tuple[float, ...]:
    """Standard deviation of the initial weights of each layer, gain / sqrt(fan-in over all connections into it).

    Parameters
    ----------
    levels, fan_ins : sequence of int
        Of each layer (`spikesim.ep.network.graph.LayerGraph`).
    """
    gain, growth = config.model.gain, config.model.gain_growth
    gains = list(per_layer(gain, len(levels), "model.gain"))
    if not isinstance(gain, tuple):
        grown = gains[0]
        by_level = {1: grown, 2: grown}
        for level in range(3, max(levels) + 1):
            by_level[level] = grown = grown * growth
        gains = [by_level[level] for level in levels]
    for layer, level in enumerate(levels):
        if level == 1:
            gains[layer] = config.model.first_gain
    return tuple(gain / math.sqrt(fan_in) for gain, fan_in in zip(gains, fan_ins, strict=True))


def square_waves(shape: tuple[int, ...]) -> Array:
    """1 and -1 for the features of each class: square waves over the features, class c with c + 1 periods.

    Fixed heads of this kind are those of TESS (Apolinario & Roy 2025, arXiv:2502.01837).

    Parameters
    ----------
    shape : (features, classes)
    """
    features, classes = shape
    halves = 2 * np.arange(features)[:, None] * np.arange(1, classes + 1) // features
    return np.where(halves % 2, -1, 1).astype(np.float32)


def initial_parameters(model: Model, config: Config) -> ParameterTree:
    """Uniform weights with standard deviation gain / sqrt(fan-in), biases at zero; fixed heads are `square_waves`.

    The numbers are those of NumPy's Philox generator under the run's seed, one stream a connection.
    """

    def uniform(stream: int, shape: tuple[int, ...], deviation: float) -> Array:
        generator = np.random.Generator(np.random.Philox(key=config.seed + (stream << 64)))
        values = (2 * generator.random(shape) - 1) * (np.sqrt(3.0) * deviation)
        return np.asarray(values, np.float32)

    graph, scales = model.graph, initial_scales(model, config)
    layers = {}
    for layer, population in enumerate(graph.populations):
        weights = {
            edge.name: uniform(layer if edge.first else SKIP_STREAM + edge.index, edge.shape, scales[layer])
            for edge in graph.incoming(layer)
        }
        layers[population.name] = LayerParameters(weights, np.zeros(population.shape[2], np.float32))
    heads = {}
    for index, head in enumerate(model.heads):
        # the read-out's stream follows the layers' whatever heads there are, then those of the heads
        stream = model.layers if index == model.readout else model.layers + 1 + head.layer
        shape = model.head_shape(head)
        deviation = config.model.readout_gain / math.sqrt(shape[0])
        if index != model.readout and config.error_signals.learning == "fixed":
            weight = square_waves(shape) * np.float32(deviation)
        else:
            weight = uniform(stream, shape, deviation)
        heads[head.name] = HeadParameters(weight, np.zeros(model.classes, np.float32))
    readout = heads.pop(model.heads[model.readout].name)
    return ParameterTree(layers, heads, readout)
