"""The network of a run file, rebuilt from its configuration and its layers, without the data."""

import json
import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import find, load
from spikesim.datasets.catalogue import registry, search
from spikesim.datasets.formats import event_file as eventfile
from spikesim.datasets.samples.identity import split_name
from spikesim.engine.synapses import Shape, pair_of
from spikesim.ep.config.layer_rows import Layer
from spikesim.ep.config.parsing import Config, config_of_run
from spikesim.ep.exchange.layouts import Form, parameter_forms
from spikesim.ep.network.architectures import Architecture, NeuronParameters, architecture, build, input_shape
from spikesim.ep.network.error_signals import place_heads
from spikesim.ep.network.graph import LayerGraph
from spikesim.ep.network.heads import READOUT, Head
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.samples import SampleSpec
from spikesim.errors import InputError
from spikesim.io.fields import shown

__all__ = ["Structure", "read_structure"]


@dataclass(frozen=True, eq=False)
class Structure:
    """What a run's network is made of.

    Attributes
    ----------
    config : Config
    rows : tuple of Layer
        The architecture, a row per layer.
    graph : LayerGraph
        Populations and tables; its weights are not set.
    heads : tuple of Head
    spikes : bool
        Samples enter as spikes, not as a constant image.
    weights : dict of str to float32 array
        By name as in the run file (`ParameterTree.leaves`).
    samples : SampleSpec or None
        The samples that the network takes; None where the file does not say.
    """

    config: Config
    rows: tuple[Layer, ...]
    graph: LayerGraph
    heads: tuple[Head, ...]
    spikes: bool
    weights: dict[str, NDArray[np.float32]]
    samples: SampleSpec | None = None

    @property
    def normalization(self) -> str:
        """How images are prepared, for metadata: the mean and the divisor of each channel, as JSON; "" if unknown."""
        if self.samples is None or self.spikes or self.samples.series:
            return ""
        divisor = self.samples.std * self.config.data.std_factor
        return json.dumps({"pixels": "0 to 1", "subtract": self.samples.mean.tolist(), "divide_by": divisor.tolist()})

    @property
    def readout(self) -> Head:
        """The head that is the read-out."""
        return next(head for head in self.heads if head.name == READOUT)

    @property
    def forms(self) -> dict[str, Form]:
        """Forms of the weights by name of the layer or head."""
        return parameter_forms(self.graph, self.heads, len(self.weights["readout/bias"]))


def read_structure(reader: RunReader, which: str = "last") -> Structure:
    """Rebuild the network of a run.

    Parameters
    ----------
    which : {"last", "best"}
        The weights of the last checkpoint, or of the best epoch by the validation set.

    Raises
    ------
    InputError
        The run has no such weights, or its configuration does not describe the layers of the file.
    """
    config = config_of_run(reader.config)
    arch = architecture(config.model.arch, config.model.layers)
    weights = reader.weights(which)
    if not any(array.any() for array in weights.values()):
        raise InputError(f"{reader.path} has no weights yet; wait for its first checkpoint")
    vocabulary = None if reader.samples is None else reader.samples.vocabulary
    graph = build(
        arch,
        _image_shape(reader, config, arch, weights),
        width=config.model.width,
        pooling=cast(Any, config.dynamics.pooling),
        neurons=NeuronParameters.of(config),
        words=len(vocabulary) if vocabulary else None,
    )
    spikes = not reader.layers[0].analogue
    samples = reader.samples
    heads = place_heads(config, graph, "images" if samples is None else samples.kind)
    structure = Structure(config, arch.layers, graph, heads, spikes, weights, samples)
    built = [(population.name, population.shape) for population in graph.populations]
    if built != [(layer.name, layer.shape) for layer in reader.layers] or "readout/bias" not in weights:
        raise InputError(f"{reader.path} has other layers than its configuration describes; it is damaged")
    for name, form in structure.forms.items():
        wanted = form.shapes("spikesim")
        found = {kind: weights[f"{name}/{kind}"].shape for kind in wanted if f"{name}/{kind}" in weights}
        if found != wanted:
            raise InputError(f"{reader.path} has other weights of {name} than its configuration describes")
    return structure


def _image_shape(
    reader: RunReader, config: Config, arch: Architecture, weights: dict[str, NDArray[np.float32]]
) -> Shape:
    """Shape of the samples as the network sees them: that of the file, or what an old one lets conclude."""
    weight = weights.get(f"{reader.layers[0].name}/weight")
    if reader.input_shape is not None:
        vocabulary = None if reader.samples is None else reader.samples.vocabulary
        words = None if vocabulary is None else len(vocabulary)
        if weight is None or not _sees(weight.shape, reader.input_shape, words):
            raise InputError(f"{reader.path} has other weights of the first layer than its input_shape needs")
        return reader.input_shape
    row, first = arch.layers[0], reader.layers[0]
    channels = 0 if weight is None or weight.ndim != 4 else int(weight.shape[2])
    if channels and arch.image_size is not None:
        return arch.image_size, arch.image_size, channels
    if channels and not (row.pool and config.dynamics.pooling == "strided"):
        sides, frame = pair_of(row.kernel), pair_of(row.padding)
        seen = zip(first.shape[:2], sides, frame, strict=True)
        height, width = (side + own - 1 - 2 * zeros for side, own, zeros in seen)
        return height, width, channels
    dataset = config.data.dataset
    plain = split_name(dataset)[0]
    if plain in registry.names():
        entry = registry.find(plain)
        coarse = config.data.coarse if entry.recordings else 1
        return -(-entry.shape[0] // coarse), -(-entry.shape[1] // coarse), entry.shape[2]
    if eventfile.is_event_file(plain) and find(dataset) is not None:
        samples = load(dataset)
        return input_shape(config.model.arch, arch, samples, config.data.coarse if samples.recordings else 1)
    raise InputError(
        f"{reader.path} is of an older version, which does not store the shape of samples, and {shown(dataset)} is not "
        "found; "
        f"go to its folder, or name it in ${search.DATA_VARIABLE}"
    )


def _sees(weights: tuple[int, ...], image: Shape, words: int | None) -> bool:
    """Whether weights of this shape are those of a first layer that sees such an image, or texts of so many words;
    looked at before it is built, which takes the memory of its weights."""
    if len(weights) == 4:
        return weights[2] == image[2]
    return weights[:1] == (math.prod(image) if words is None else words,)
