"""Which weights of a run fit another network.

A layer is taken whole, by its name, if all weights and biases of it have the same shapes; what is above a new layer may
still be taken. A head is taken with the layer that it reads, if it has the same features and classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spikesim.ep.config.parsing import Config
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.ep.training.normalization import Normalization
from spikesim.ep.training.transfer.source import SourceWeights
from spikesim.errors import InputError
from spikesim.io.validation import did_you_mean, nearest

__all__ = ["Transfer", "frozen_layers"]

_FUNCTION = (
    "model.neuron", "model.refractory", "data.std_factor", "dynamics.pooling", "dynamics.leak",
    "dynamics.feedback_gain",
)  # fmt: skip
"""Keys that make another function of the same weights."""


@dataclass(frozen=True, eq=False)
class Transfer:
    """What a network takes from a run.

    Attributes
    ----------
    source : SourceWeights
    layers : tuple of int
        Indices of the layers that are taken.
    taken : tuple of str
        Names of the layers and heads that are taken.
    new : tuple of str
        Of the others, each perhaps with why it is new.
    differing : tuple of str
        Settings of the run that make another network of the same weights, and are others here.
    """

    source: SourceWeights
    layers: tuple[int, ...]
    taken: tuple[str, ...]
    new: tuple[str, ...]
    differing: tuple[str, ...]

    @classmethod
    def match(cls, source: SourceWeights, model: Model, config: Config) -> "Transfer":
        """Compare a run with a network.

        Raises
        ------
        InputError
            No layer fits, or the run has weights that the normalization of the network would change.
        """
        _check_normalization(source, config)
        arrays, graph, taken, new = source.arrays, model.graph, [], []
        layers = set[int]()
        for index, population in enumerate(graph.populations):
            shapes = {edge.weight: edge.shape for edge in graph.incoming(index)}
            why = _misfit(arrays, {**shapes, f"{population.name}/bias": population.shape[2:]})
            if why is None and not _extra(arrays, population.name, shapes):
                layers.add(index)
                taken.append(population.name)
            else:
                new.append(f"{population.name}{why or ''}")
        for head in model.heads:
            shape = model.head_shape(head)
            why = _misfit(arrays, {f"{head.name}/weight": shape, f"{head.name}/bias": shape[1:]})
            kept_as_made = head.name != READOUT and config.error_signals.learning == "fixed"
            if why is None and head.layer in layers and not kept_as_made:
                taken.append(head.name)
            else:
                new.append(f"{head.name}{why or ''}")
        if not layers:
            raise InputError(
                f"no layer of {source.path} fits the network, {', '.join(new)}: choose the architecture and the width "
                f"of that run, {source.config.model.arch} and {source.config.model.width:g}"
            )
        return cls(source, tuple(sorted(layers)), tuple(taken), tuple(new), _differing(source, config))

    @property
    def text(self) -> str:
        """What is taken and what is new, in a line."""
        new = f"; new: {', '.join(self.new)}" if self.new else ""
        return f"taken from {self.source}: {', '.join(self.taken)}{new}"

    @property
    def warning(self) -> str | None:
        """A line about settings that the weights were not trained with, if there are any."""
        if not self.differing:
            return None
        return f"the run of these weights had other settings, which change its answers: {', '.join(self.differing)}"

    def start(self, model: Model, initial: ParameterTree) -> ParameterTree:
        """Initial parameters with those of the run in place, as far as they are taken."""
        leaves = initial.leaves()
        own = [f"{name}/{kind}" for name in self._arrays_of(model) for kind in ("weight", "bias")]
        given = {name: self.source.arrays[name] for name in own if name in leaves}
        return ParameterTree.of_leaves(model.graph, model.heads, {**leaves, **given})

    def adopt(self, normalization: Normalization) -> None:
        """Give the layers that are taken what is behind their weights, too."""
        for layer in self.layers:
            normalization.adopt(layer, self.source.arrays)

    def _arrays_of(self, model: Model) -> list[str]:
        edges = [edge.name for layer in self.layers for edge in model.graph.incoming(layer)]
        return [*edges, *self.taken]


def frozen_layers(config: Config, names: tuple[str, ...]) -> frozenset[int]:
    """Indices of the layers that do not learn, among layers of these names.

    Raises
    ------
    InputError
        There is no layer of that name.
    """
    for name in config.optimizer.freeze:
        if name not in names:
            what = "the read-out, which is no layer and always learns" if name == READOUT else "no layer"
            asked = did_you_mean(nearest(name, names))
            raise InputError(f"optimizer.freeze has {name!r}, {what}{asked}; the layers are {', '.join(names)}")
    return frozenset(names.index(name) for name in config.optimizer.freeze)


def _misfit(arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Why arrays do not have these shapes: nothing to say where they are missing, None where they fit."""
    for name, shape in shapes.items():
        if name not in arrays:
            return ""
        there = arrays[name].shape
        if there != shape:
            return f" ({_sides(shape)}, there {_sides(there)})"
    return None


def _extra(arrays: Mapping[str, Array], layer: str, shapes: Mapping[str, Any]) -> bool:
    """Whether there are weights into a layer that it does not have here."""
    prefix = f"{layer}_from_"
    return any(name.startswith(prefix) and name.endswith("/weight") and name not in shapes for name in arrays)


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _check_normalization(source: SourceWeights, config: Config) -> None:
    there = source.config.model.normalization
    if there == "none" and config.model.normalization != "none":
        raise InputError(
            f"model.normalization is {config.model.normalization!r}; the weights of {source.path} were trained without "
            "normalization and keep their means: set it to 'none'"
        )


def _differing(source: SourceWeights, config: Config) -> tuple[str, ...]:
    found = []
    for key in _FUNCTION:
        section, _, name = key.partition(".")
        there, here = (getattr(getattr(one, section), name) for one in (source.config, config))
        if there != here:
            found.append(f"{key} {there} (here {here})")
    return tuple(found)
