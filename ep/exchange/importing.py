"""Weights from elsewhere as a run that has not trained yet."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.exchange.layouts import parameter_forms
from spikesim.ep.exchange.tensors import GivenWeights, read_weights
from spikesim.ep.inputs.encoding import maps_of
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree, weights_digest
from spikesim.ep.training.observer import Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE, ONE_BITS

__all__ = ["Imported", "LayerImport", "import_weights"]

CHECKED_IMAGES = 64
"""Training images with which the drive of the first layer is tried."""


@dataclass(frozen=True)
class LayerImport:
    """What the integers of the dynamics make of the weights of a layer.

    Attributes
    ----------
    name : str
    shape : tuple of int
        In this program's layout.
    exponent : int
        The weights are multiples of 2**-exponent.
    lost : float
        Share of the weights that are not zero and become zero.
    """

    name: str
    shape: tuple[int, ...]
    exponent: int
    lost: float


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes
    ----------
    layout : str
        That of the file.
    digest : str
        SHA-256 of the weights, the run's ``model.weights``.
    layers : tuple of LayerImport
    fresh : tuple of str
        Heads that the file did not have; they are as a training begins with them.
    """

    layout: str
    digest: str
    layers: tuple[LayerImport, ...]
    fresh: tuple[str, ...]


def import_weights(
    config: Config,
    dataset: Dataset,
    path: Path,
    options: RunOptions,
    soft_targets: NDArray[np.float64] | None = None,
) -> Imported:
    """Make a run file, without mini-batches, of the weights of a safetensors file.

    The configuration of the run gets the digest of the weights as ``model.weights``: what the run comes to depends on
    them, and a run is what its configuration says.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    path : Path
        The weights; ``spikesim manual exchange`` has names and shapes.
    options : RunOptions
        Where the run file goes.
    soft_targets : float64 (training samples, classes), optional
        The softened answers of a teacher, for signals that need one.

    Raises
    ------
    InputError
        The weights do not fit the network or the dynamics, the configuration names others, or the run file exists.
    """
    if options.out.exists() and not options.overwrite:
        raise InputError(f"{options.out} exists: --overwrite replaces it")
    model = Model(config, dataset)
    optional = frozenset(head.name for head in model.heads) - {READOUT}
    given = read_weights(path, parameter_forms(model.graph, model.heads, model.classes), optional)
    digest = weights_digest(given.arrays)
    if config.model.normalization != "none":
        raise InputError(
            f"model.normalization is {config.model.normalization!r}; imported weights are used as they are, with their "
            "means: set it to 'none'"
        )
    if config.model.weights not in ("", digest):
        raise InputError(
            f"model.weights is {config.model.weights!r}, but the digest of {path} is {digest!r}; give the file of that "
            "digest, or leave the key out"
        )
    own = make_config(merge(config.to_dict(), [("model.weights", digest)]))
    trainer = Trainer(own, dataset, options, Silent(), soft_targets)
    try:
        _try_out(model, InputPipeline(config, dataset, model.graph.image.shape), _parameters(model, config, given))
        trainer.begin(_parameters(trainer.model, own, given))
    except InputError as error:
        raise InputError(f"{path} cannot be imported: {error}") from error
    fresh = tuple(head.name for head in model.heads if f"{head.name}/weight" not in given.arrays)
    return Imported(given.layout, digest, _layers(model, given), fresh)


def _parameters(model: Model, config: Config, given: GivenWeights) -> ParameterTree:
    leaves = initial_parameters(model, config).leaves()
    return ParameterTree.of_leaves(model.graph, model.heads, {**leaves, **given.arrays})


def _try_out(model: Model, pipeline: InputPipeline, parameters: ParameterTree) -> None:
    """Load the weights and show some images to the first layer, whose drive has a range too."""
    model.set_parameters(parameters)
    train = pipeline.dataset.train
    inputs = pipeline.plain(train, slice(0, min(CHECKED_IMAGES, len(train))))
    if not isinstance(inputs, SpikeTrains):  # what spikes can add to a drive is known from the weights
        for edge in model.graph.input_edges:
            model.compiled.drive_from(edge.connection, maps_of(inputs))


def _layers(model: Model, given: GivenWeights) -> tuple[LayerImport, ...]:
    found = []
    for edge in model.graph.edges:
        weights, connection = given.arrays[edge.weight], edge.connection
        if edge.lookup:  # rounded when they are looked up
            lost = float(np.mean((np.rint(weights * ONE) == 0) & (weights != 0)))
            found.append(LayerImport(edge.name, weights.shape, ONE_BITS, lost))
            continue
        lost = float(np.mean((connection.integers == 0) & (weights != 0)))
        found.append(LayerImport(edge.name, weights.shape, connection.exponent, lost))
    return tuple(found)
