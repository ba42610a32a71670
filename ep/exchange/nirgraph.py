"""The network of a run as a NIR graph: what runs forward, exactly; the rest as metadata.

NIR has no node for a neuron that fires with a probability, none for a transposed convolution, and no weights that two
edges share. So a layer becomes Conv2d or Affine, LI (the membrane, whose Euler steps are the dynamics) and a Threshold
at 1/2, which fires where firing is more probable than not; that the Threshold stands for a draw, and that each layer
also hears the one above through the transpose of its weights, is in the metadata of the graph and of these nodes.

No other program has all of these nodes. `make_if_graph` makes do with what snnTorch, Norse, Sinabs and NIRTorch have in
common, convolutions and IF neurons: of a constant input such a neuron, reset by subtraction, makes spikes at the rate
clip(v, 0, 1), which is the mean of the draws.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.engine.synapses import Shape
from spikesim.ep.config.layer_rows import Layer
from spikesim.ep.exchange.spikes import nir_library
from spikesim.ep.exchange.structure import Structure
from spikesim.ep.network.heads import READOUT
from spikesim.errors import InputError
from spikesim.io.hdf5_output import storing

__all__ = ["IF_LOSSES", "LOSSES", "make_graph", "make_if_graph", "write_graph", "write_if_graph"]

LOSSES = (
    "NIR cannot say that neurons fire with probability clip(v, 0, 1), nor that they hear the layer above through "
    "transposed weights; both are metadata only"
)
IF_LOSSES = (
    "IF neurons stand for the draws: over many steps of a constant input, and reset by subtraction, they fire at the "
    "rate clip(v, 0, 1); the low pass of the membranes and the feedback are left out"
)
NEURON = "fires at each step with probability clip(v, 0, 1); no reset"


def make_graph(structure: Structure, step_ms: float) -> Any:
    """The graph, a ``nir.NIRGraph``.

    Nodes of a layer: ``<layer>_weight``, ``<layer>_membrane``, ``<layer>`` (the spikes) and, where it is pooled,
    ``<layer>_pool``; in front of dense ones a Flatten. Shapes are (channels, rows, columns), times are seconds.

    Raises
    ------
    InputError
        A convolution behind a dense layer, for which NIR has no node either.
    """
    nir = nir_library()
    stack, dynamics = structure.stack, structure.config.dynamics
    height, width, channels = stack.image.shape
    chain = _Chain(nir)
    chain.add("input", nir.Input({"input": np.array([channels, height, width])}))
    tau = 2.0**dynamics.leak * step_ms * 1e-3
    for row, connection, pooled in zip(structure.rows, stack.connections, stack.pooled, strict=True):
        name, shape = connection.target.name, connection.target.shape
        weights = structure.forms[name].to_layout(structure.weights[f"{name}/weight"], "torch")
        bias = structure.weights[f"{name}/bias"]
        if row.kind == "conv":
            if chain.flat:
                raise InputError(f"{name} is a convolution behind a dense layer, which NIR has no node for")
            chain.add(f"{name}_weight", _convolution(nir, row, connection.table, weights, bias))
        else:
            chain.flatten(name, structure.forms[name].features)
            chain.add(f"{name}_weight", nir.Affine(weights, bias))
        ones = np.ones((shape[2],) if chain.flat else (shape[2], *shape[:2]), np.float32)
        chain.add(f"{name}_membrane", nir.LI(tau=ones * np.float32(tau), r=ones, v_leak=0 * ones))
        chain.add(name, nir.Threshold(0.5 * ones, metadata=_neuron_metadata(structure, name)))
        if pooled:
            two = np.array([2, 2])
            chain.add(f"{name}_pool", nir.AvgPool2d(kernel_size=two, stride=two, padding=0 * two))
    chain.flatten(READOUT, structure.heads[-1].shape)
    readout = structure.forms[READOUT].to_layout(structure.weights[f"{READOUT}/weight"], "torch")
    metadata = {"applied_to": f"mean of p over the last {dynamics.window_free} steps, outside the dynamics"}
    chain.add(READOUT, nir.Affine(readout, structure.weights[f"{READOUT}/bias"], metadata=metadata))
    chain.add("output", nir.Output({"output": np.array([len(readout)])}))
    return nir.NIRGraph(chain.nodes, chain.edges, metadata=_graph_metadata(structure, step_ms))


class _Chain:
    """Nodes that follow each other."""

    def __init__(self, nir: Any) -> None:
        self._nir = nir
        self.nodes: dict[str, Any] = {}
        self.flat = False

    @property
    def edges(self) -> list[tuple[str, str]]:
        """From each node to the next."""
        return list(pairwise(self.nodes))

    def add(self, name: str, node: Any) -> None:
        """Add a node at the end."""
        self.nodes[name] = node

    def flatten(self, name: str, shape: Shape | None) -> None:
        """Make a vector of a map (height, width, channels), if it is not one already."""
        if self.flat:
            return
        assert shape is not None
        channels_first = {"input": np.array([shape[2], *shape[:2]])}
        self.add(f"{name}_flatten", self._nir.Flatten(channels_first, start_dim=0, end_dim=-1))
        self.flat = True


def write_graph(path: Path, structure: Structure, step_ms: float) -> None:
    """Write the graph of a run. Parameters and errors as `make_graph`."""
    graph = make_graph(structure, step_ms)
    with storing(path) as stored:
        nir_library().write(stored, graph)


def make_if_graph(structure: Structure) -> Any:
    """The graph in nodes that all readers have, Conv2d and IF, a ``nir.NIRGraph``. A step is the unit of time.

    Nodes of a layer: ``<layer>_weight``, ``<layer>`` (the spikes) and, where it is pooled, ``<layer>_pool``. Pools are
    convolutions with weights of a quarter, dense layers and the read-out are convolutions as large as the map: not all
    readers have average pools, and a Flatten of NIR has no dimension for the batch that they have.
    """
    nir = nir_library()
    stack = structure.stack
    height, width, channels = stack.image.shape
    chain = _Chain(nir)
    chain.add("input", nir.Input({"input": np.array([channels, height, width])}))
    for row, connection, pooled in zip(structure.rows, stack.connections, stack.pooled, strict=True):
        name, shape = connection.target.name, connection.target.shape
        bias = structure.weights[f"{name}/bias"]
        if row.kind == "conv":
            weights = structure.forms[name].to_layout(structure.weights[f"{name}/weight"], "torch")
            chain.add(f"{name}_weight", _convolution(nir, row, connection.table, weights, bias))
        else:
            chain.add(f"{name}_weight", _plain_convolution(nir, _as_kernels(structure, name), bias))
        ones = np.ones((shape[2], *shape[:2]), np.float32)
        chain.add(name, nir.IF(r=ones, v_threshold=ones, metadata=_neuron_metadata(structure, name)))
        if pooled:
            quarter = np.zeros((shape[2], shape[2], 2, 2), np.float32)
            quarter[np.arange(shape[2]), np.arange(shape[2])] = 0.25
            chain.add(f"{name}_pool", _plain_convolution(nir, quarter, np.zeros(shape[2], np.float32), stride=2))
    readout, bias = _as_kernels(structure, READOUT), structure.weights[f"{READOUT}/bias"]
    chain.add(READOUT, _plain_convolution(nir, readout, bias))
    chain.add("output", nir.Output({"output": np.array([len(readout), 1, 1])}))
    return nir.NIRGraph(chain.nodes, chain.edges, metadata={**_graph_metadata(structure, 1.0), "losses": IF_LOSSES})


def write_if_graph(path: Path, structure: Structure) -> None:
    """Write `make_if_graph` so that older versions of nir, which some of the readers need, take it as well."""
    graph = make_if_graph(structure)
    nir_library().write(path, graph)
    with h5py.File(path, "r+") as file:
        for name in file["node/nodes"]:
            if "v_reset" in file[f"node/nodes/{name}"]:  # 0, as everybody takes it who does not find it
                del file[f"node/nodes/{name}/v_reset"]


def _as_kernels(structure: Structure, name: str) -> NDArray[np.float32]:
    """Weights of a dense layer or head as those of a convolution, (outputs, channels, rows, columns) of its map."""
    features = structure.forms[name].features
    assert features is not None
    height, width, channels = features
    weights = structure.forms[name].to_layout(structure.weights[f"{name}/weight"], "torch")
    return weights.reshape(-1, channels, height, width)


def _plain_convolution(nir: Any, weights: Any, bias: Any, stride: int = 1) -> Any:
    """Without padding."""
    return nir.Conv2d(input_shape=None, weight=weights, stride=stride, padding=0, dilation=1, groups=1, bias=bias)


def _convolution(nir: Any, row: Layer, table: Any, weights: Any, bias: Any) -> Any:
    return nir.Conv2d(
        input_shape=None,
        weight=weights,
        stride=table.stride,
        padding=row.padding,
        dilation=1,
        groups=1,
        bias=bias,
    )


def _neuron_metadata(structure: Structure, name: str) -> dict[str, Any]:
    names = [population.name for population in structure.stack.populations]
    above = names[names.index(name) + 1 :]
    feedback = f"transpose of {above[0]}_weight" if above else "none"
    return {"neuron": NEURON, "feedback": feedback, "feedback_gain": structure.config.dynamics.feedback_gain}


def _graph_metadata(structure: Structure, step_ms: float) -> dict[str, Any]:
    config = structure.config
    image = f"normalised (mean 0, deviation {1 / config.data.std_factor:g}), constant over time"
    what = "spikes, at each step" if structure.spikes else f"padded and {image}"
    return {
        "producer": f"spikesim {__version__}",
        "losses": LOSSES,
        "step_ms": step_ms,
        "input": f"a sample of {config.data.dataset}: {what}",
        "pooling": f"{config.dynamics.pooling}; its adjoint gives a quarter to each of four cells on the way back",
        "steps_free": config.dynamics.steps_free,
        "steps_onset": config.dynamics.onset(len(structure.rows)),
        "window_free": config.dynamics.window_free,
        "firing": config.dynamics.firing,
        "order": config.dynamics.order,
    }
