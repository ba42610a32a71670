"""Small networks with known gradients: mean fields with one parameter moved, and sums one synapse at a time."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import small
from numpy.typing import NDArray

from spikesim.engine.synapses import Conv
from spikesim.ep.config.parsing import Config
from spikesim.ep.gradcheck import implicit_gradient as ad
from spikesim.ep.gradcheck.mean_field import Inputs, MeanField
from spikesim.ep.network.linear_map import Link
from spikesim.ep.network.model import Model
from spikesim.numerics.fixed_point import ONE

Reals = NDArray[np.float64]
THREE = ({**small.POOLED, "channels": 3}, {**small.CONV, "channels": 3}, {"kind": "dense", "channels": 5})
CASES: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = {
    "two convolutions, odd maps": (({**small.POOLED, "channels": 2}, {**small.CONV, "channels": 3}), {}),
    "no padding, top pooled": (
        ({**small.CONV, "channels": 2, "padding": 0}, {**small.POOLED, "channels": 2}),
        {"dynamics__cost": "squared-error"},
    ),
    "one dense layer": (({"kind": "dense", "channels": 6},), {}),
    "heads": (
        THREE,
        {"error_signals__kind": "local", "error_signals__strength": [0.3, 0.7, 1.0], "error_signals__grid": 2},
    ),
    "teacher": (THREE, {"error_signals__kind": "both", "error_signals__temperature": 2.0, "error_signals__grid": 1}),
    "teacher alone": (THREE, {"error_signals__kind": "kd", "error_signals__temperature": 1.5}),
    "feedback gain": (THREE, {"dynamics__feedback_gain": 0.5}),
    "feedback gain and heads": (THREE, {"dynamics__feedback_gain": 0.5, "error_signals__kind": "both"}),
    "skips": (small.SKIPS, {}),
    "skips, feedback gain and heads": (small.SKIPS, {"dynamics__feedback_gain": 0.5, "error_signals__kind": "both"}),
}
Integers = NDArray[np.int64]
STACKS: dict[str, list[dict[str, Any]]] = {
    "k1, k3": [{**small.CONV, "kernel": 1, "padding": 0}, small.CONV],
    "k5 same, k3 valid": [{**small.CONV, "kernel": 5, "padding": 2}, {**small.CONV, "padding": 0, "channels": 17}],
    "k3 full, k5 full": [{**small.CONV, "padding": 2}, {**small.CONV, "kernel": 5, "padding": 4}],
    "pooled, odd": [small.POOLED, {**small.POOLED, "channels": 17}],
    "pooled, dense, dense": [{**small.POOLED, "channels": 18}, small.DENSE, small.DENSE],
    "dense": [small.DENSE],
    "k1x4, k2x3": [
        {**small.CONV, "kernel": [1, 4], "padding": [0, 2]},
        {**small.CONV, "kernel": [2, 3], "padding": [1, 0], "channels": 17, "stride": 2},
    ],
    "strided": [small.POOLED, {**small.POOLED, "channels": 17, "kernel": 5, "padding": 1}],
}
SAMPLES, WINDOW = 5, 20


@dataclass
class Case:
    """A small network in front of a few images, in the engine's terms and as a mean field."""

    config: Config
    model: Model
    field: MeanField
    inputs: Inputs
    images: NDArray[np.int16]
    labels: NDArray[np.int64]
    targets: Reals


def prepare(name: str, *, samples: int = 5, gain: float = 0.6, **more: Any) -> Case:
    layers, settings = CASES[name]
    config = small.make(*layers, **{**settings, **more})
    model = Model(config, small.make_dataset(size=(7, 6), samples=samples))
    parameters = small.random_parameters(model, 1, gain=gain)
    model.set_parameters(parameters)
    rng = np.random.default_rng(3)
    images = rng.integers(-(2**11), 2**11, (samples, 7, 6, 1)).astype(np.int16)
    labels, scores = rng.integers(0, 3, samples), rng.normal(size=(samples, 3))
    targets = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    given = config.error_signals.strength
    strengths = [
        1.0 if head.name == "readout" else given[head.layer] if isinstance(given, tuple) else given
        for head in model.heads
    ]
    field = MeanField.from_model(model, strengths)
    return Case(config, model, field, Inputs.prepare(images, labels, 3, targets), images, labels, targets)


@dataclass(frozen=True, eq=False)
class OneWay(Link):
    """A link whose weights have moved on the way up and not on the way down."""

    moved: Reals

    def up(self, below: Reals) -> Reals:
        return Link(self.table, self.source, self.target, self.moved).up(below)


def changed(
    field: MeanField, index: int, kind: str, at: tuple[int, ...], step: float, rule: str = "symmetric"
) -> MeanField:
    """The same network with one parameter moved; a weight on the way up only, if the rule is the postsynaptic one."""
    if kind == "weight":
        path = field.paths[index]
        own = path.link
        weights = own.weights.copy()
        weights[at] += step
        other = replace(own, weights=weights)
        if rule == "postsynaptic":
            other = OneWay(own.table, own.source, own.target, own.weights, moved=weights)
        paths = [replace(path, link=other) if i == index else one for i, one in enumerate(field.paths)]
        return replace(field, paths=tuple(paths))
    bias = field.biases[index].copy()
    bias[at] += step
    return replace(field, biases=tuple(bias if i == index else own for i, own in enumerate(field.biases)))


def parts(gradient: ad.Gradient) -> Iterator[tuple[int, str, Reals]]:
    """Index of the connection and "weight", or of the layer and "bias", with their gradient."""
    for index, (weights, bias) in enumerate(itertools.zip_longest(gradient.weights, gradient.biases)):
        yield index, "weight", weights
        if bias is not None:  # there are at least as many connections as layers
            yield index, "bias", bias


def leaf(model: Model, index: int, kind: str) -> str:
    """Name of the parameters that `parts` has at an index."""
    return model.graph.edges[index].weight if kind == "weight" else f"{model.names[index]}/bias"


def cosine(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float((first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second))


def naive(model: Model, layer: int, pre: Integers, post: Integers) -> Integers:
    """Sum over samples and positions, one synapse at a time."""
    table, total = model.graph.edges[layer].connection.table, np.zeros(model.graph.edges[layer].shape, np.int64)
    if not isinstance(table, Conv):
        for sample in range(len(pre)):
            total += np.outer(pre[sample].ravel(), post[sample].ravel())
        return total
    height, width = pre.shape[1:3]
    places = itertools.product(range(post.shape[1]), range(post.shape[2]), *map(range, table.sides))
    for y, x, ky, kx in places:
        from_y, from_x = y * table.stride + ky - table.frame[0], x * table.stride + kx - table.frame[1]
        if 0 <= from_y < height and 0 <= from_x < width:
            for sample in range(len(pre)):
                total[ky, kx] += np.outer(pre[sample, from_y, from_x], post[sample, y, x])
    return total


def sum_cells(maps: Integers) -> Integers:
    height, width = maps.shape[1] // 2, maps.shape[2] // 2
    total = np.zeros((len(maps), height, width, maps.shape[3]), np.int64)
    for y, x in itertools.product(range(2 * height), range(2 * width)):
        total[:, y // 2, x // 2] += maps[:, y, x]
    return total


def random_rates(model: Model, seed: int, below: int = WINDOW * ONE) -> NDArray[np.int32]:
    """Window sums of all layers, padding at zero."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((SAMPLES, model.compiled.sizes["state"]), np.int32)
    for layer, population in enumerate(model.graph.populations):
        values = rng.integers(0, below, (SAMPLES, *population.shape)).astype(np.int32)
        sums[:, model.state_slice(layer)] = population.to_state(values)
    return sums


def stack(name: str) -> tuple[Config, Model]:
    """One of `STACKS`."""
    config = small.make(*STACKS[name], dynamics__pooling="strided" if name == "strided" else "average")
    return config, Model(config, small.make_dataset(size=(7, 5), channels=2))
