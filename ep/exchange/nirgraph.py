"""The network of a run as a NIR graph: what runs forward, exactly; the rest as metadata.

NIR has no node for a neuron that fires with a probability, none for a transposed convolution, and no weights that two
edges share. So a layer becomes Conv2d or Affine, LI (the membrane, whose Euler steps are the dynamics) and a Threshold
at 1/2, which fires where firing is more probable than not; that the Threshold stands for a draw, and that each layer
also receives the one above through the transpose of its weights, is in the metadata of the graph and of these nodes.

No other program has all of these nodes. `make_if_graph` makes do with what snnTorch, Norse, Sinabs and NIRTorch have in
common, convolutions and IF neurons: of a constant input such a neuron, reset by subtraction, makes spikes at the rate
clip(v, 0, 1), which is the mean of the draws.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.engine.synapses import Conv, Shape
from spikesim.ep.config.layer_rows import INPUT
from spikesim.ep.exchange.spikes import nir_library
from spikesim.ep.exchange.structure import Structure
from spikesim.ep.network.graph import Edge
from spikesim.ep.network.heads import READOUT
from spikesim.errors import InputError
from spikesim.io.hdf5_output import storing

__all__ = ["IF_LOSSES", "LOSSES", "make_graph", "make_if_graph", "write_graph", "write_if_graph"]

LOSSES = (
    "NIR cannot say that neurons fire with probability clip(v, 0, 1), nor that they receive the layer above through "
    "transposed weights; both are metadata only"
)
IF_LOSSES = (
    "IF neurons stand for the draws: over many steps of a constant input, and reset by subtraction, they fire at the "
    "rate clip(v, 0, 1); the low pass of the membranes and the feedback are left out"
)
NEURON = "fires at each step with probability clip(v, 0, 1); no reset"
REFRACTORY = "; does not fire in the {steps} steps after a spike"


def make_graph(structure: Structure, step_ms: float) -> Any:
    """The graph, a ``nir.NIRGraph``.

    Nodes of a layer: ``<layer>_weight``, ``<layer>_membrane``, ``<layer>`` (the spikes) and, where it is pooled,
    ``<layer>_pool``; in front of dense ones a Flatten. Shapes are (channels, rows, columns), times are seconds.

    Raises
    ------
    InputError
        A convolution behind a dense layer, or pools of winners, for which NIR has no node either.
    """
    _refuse_unknown(structure)
    nir = nir_library()
    graph, dynamics = structure.graph, structure.config.dynamics
    nodes = _Nodes(nir, graph.image.shape)
    nodes.add("input", nir.Input({"input": np.array(nodes.map_shape(graph.image.shape))}))
    tau = 2.0**dynamics.leak * step_ms * 1e-3
    for layer, population in enumerate(graph.populations):
        name, shape = population.name, population.shape
        tables = []
        for edge in graph.incoming(layer):
            source = _source(structure, edge)
            weights = structure.forms[edge.name].to_layout(structure.weights[edge.weight], "torch")
            if edge.convolution:
                if nodes.is_flat(source):
                    raise InputError(f"{edge.name} is a convolution after a dense layer, for which NIR has no node")
                node = _convolution(nodes, edge, weights, _bias(structure, edge))
            else:
                source = nodes.flatten(edge.name, source, structure.forms[edge.name].features)
                node = nir.Affine(weights, _bias(structure, edge))
            tables.append(nodes.add(f"{edge.name}_weight", node, source))
        ones = np.ones((shape[2],) if nodes.is_flat(tables[0]) else nodes.map_shape(shape), np.float32)
        nodes.add(f"{name}_membrane", nir.LI(tau=ones * np.float32(tau), r=ones, v_leak=0 * ones), *tables)
        nodes.add(name, nir.Threshold(0.5 * ones, metadata=_neuron_metadata(structure, layer)), f"{name}_membrane")
        if _is_pooled(structure, layer):
            two = np.array([2, 2])
            nodes.add(f"{name}_pool", nir.AvgPool2d(kernel_size=two, stride=two, padding=0 * two), name)
    top = _output(structure, structure.readout.layer)
    readout = structure.forms[READOUT].to_layout(structure.weights[f"{READOUT}/weight"], "torch")
    if structure.readout.pooling == "mean" and not nodes.is_flat(top):  # the same weights at each position
        readout = _as_kernels(structure, READOUT).reshape(len(readout), -1)
        top = nodes.flatten(READOUT, top, structure.readout.population.shape)
    else:
        top = nodes.flatten(READOUT, top, structure.readout.shape)
    metadata = {"applied_to": f"mean of p over the last {dynamics.window_free} steps, outside the dynamics"}
    nodes.add(READOUT, nir.Affine(readout, structure.weights[f"{READOUT}/bias"], metadata=metadata), top)
    nodes.add("output", nir.Output({"output": np.array([len(readout)])}), READOUT)
    return nir.NIRGraph(nodes.nodes, nodes.edges, metadata=_graph_metadata(structure, step_ms))


class _Nodes:
    """Nodes and edges of a graph; what several edges bring to a node adds up.

    Maps are (channels, rows, columns); of samples with a single row, series, (channels, frames).
    """

    def __init__(self, nir: Any, image: Shape) -> None:
        self.nir = nir
        self.over_time = image[0] == 1
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []
        self._flat: set[str] = set()

    def add(self, name: str, node: Any, *sources: str) -> str:
        """Add a node behind others; its name."""
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        if isinstance(node, self.nir.Affine | self.nir.Flatten) or any(source in self._flat for source in sources):
            self._flat.add(name)
        return name

    def map_shape(self, shape: Shape) -> tuple[int, ...]:
        """Shape of a map of (height, width, channels)."""
        height, width, channels = shape
        return (channels, width) if self.over_time else (channels, height, width)

    def is_flat(self, name: str) -> bool:
        """Whether a node sends a vector, no map."""
        return name in self._flat

    def flatten(self, name: str, source: str, shape: Shape | None) -> str:
        """A node that sends as a vector what another sends as a map of (height, width, channels)."""
        if self.is_flat(source):
            return source
        assert shape is not None
        channels_first = {"input": np.array(self.map_shape(shape))}
        return self.add(f"{name}_flatten", self.nir.Flatten(channels_first, start_dim=0, end_dim=-1), source)


def _refuse_unknown(structure: Structure) -> None:
    """NIR has no node that passes on the spikes of the neuron with the highest potential, and none for a maximum or a
    lookup.
    """
    if any(edge.lookup for edge in structure.graph.edges):
        raise InputError(
            "the run has a layer of kind tokens, for which NIR has no node; export the weights (--to safetensors)"
        )
    if structure.readout.pooling == "maximum":
        raise InputError(
            "model.global_pooling of the run is 'maximum', for which NIR has no node; export the weights (--to "
            "safetensors), or train with another pooling"
        )
    if structure.config.dynamics.pooling == "winner" and any(row.pool for row in structure.rows[:-1]):
        raise InputError(
            "dynamics.pooling of the run is 'winner', for which NIR has no node; export the weights (--to "
            "safetensors), or train with another pooling"
        )


def _is_pooled(structure: Structure, layer: int) -> bool:
    """Whether a layer is pooled before it is read."""
    return structure.rows[layer].pool and structure.config.dynamics.pooling != "strided"


def _output(structure: Structure, layer: int) -> str:
    """The node that sends what others read of a layer."""
    name = structure.graph.names[layer]
    return f"{name}_pool" if _is_pooled(structure, layer) else name


def _source(structure: Structure, edge: Edge) -> str:
    """The node that a connection reads."""
    return "input" if edge.source == INPUT else _output(structure, edge.source)


def _bias(structure: Structure, edge: Edge) -> NDArray[np.float32]:
    """The bias of a layer, at the first connection into it; zeros at the others."""
    bias = structure.weights[f"{structure.graph.names[edge.target]}/bias"]
    return bias if edge.first else np.zeros_like(bias)


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

    Raises
    ------
    InputError
        Pools of winners.
    """
    _refuse_unknown(structure)
    nir = nir_library()
    graph = structure.graph
    nodes = _Nodes(nir, graph.image.shape)
    nodes.add("input", nir.Input({"input": np.array(nodes.map_shape(graph.image.shape))}))
    for layer, population in enumerate(graph.populations):
        name, shape = population.name, population.shape
        tables = []
        for edge in graph.incoming(layer):
            bias = _bias(structure, edge)
            if edge.convolution:
                weights = structure.forms[edge.name].to_layout(structure.weights[edge.weight], "torch")
                node = _convolution(nodes, edge, weights, bias)
            else:
                node = _plain_convolution(nodes, _as_kernels(structure, edge.name), bias)
            tables.append(nodes.add(f"{edge.name}_weight", node, _source(structure, edge)))
        ones = np.ones(nodes.map_shape(shape), np.float32)
        nodes.add(name, nir.IF(r=ones, v_threshold=ones, metadata=_neuron_metadata(structure, layer)), *tables)
        if _is_pooled(structure, layer):
            quarter = np.zeros((shape[2], shape[2], 2, 2), np.float32)
            quarter[np.arange(shape[2]), np.arange(shape[2])] = 0.25
            pool = _plain_convolution(nodes, quarter, np.zeros(shape[2], np.float32), stride=2)
            nodes.add(f"{name}_pool", pool, name)
    readout, bias = _as_kernels(structure, READOUT), structure.weights[f"{READOUT}/bias"]
    nodes.add(READOUT, _plain_convolution(nodes, readout, bias), _output(structure, structure.readout.layer))
    nodes.add("output", nir.Output({"output": np.array(nodes.map_shape((1, 1, len(readout))))}), READOUT)
    return nir.NIRGraph(nodes.nodes, nodes.edges, metadata={**_graph_metadata(structure, 1.0), "losses": IF_LOSSES})


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
    kernels = weights.reshape(-1, channels, height, width)
    if name == READOUT and structure.readout.pooling == "mean":  # the same everywhere
        height, width = structure.readout.population.shape[:2]
        kernels = np.repeat(np.repeat(kernels, height, axis=2), width, axis=3) / np.float32(height * width)
    return kernels


def _plain_convolution(nodes: _Nodes, weights: Any, bias: Any, stride: int = 1, padding: int = 0) -> Any:
    """Of square kernels, or over time."""
    kind, own = (nodes.nir.Conv1d, weights[:, :, 0]) if nodes.over_time else (nodes.nir.Conv2d, weights)
    return kind(input_shape=None, weight=own, stride=stride, padding=padding, dilation=1, groups=1, bias=bias)


def _convolution(nodes: _Nodes, edge: Edge, weights: Any, bias: Any) -> Any:
    table = edge.connection.table
    assert isinstance(table, Conv)
    (height, width), (above, left) = table.sides, table.frame
    if not nodes.over_time and (height != width or above != left):  # its library makes maps of a wrong shape of them
        raise InputError(
            f"the run has a kernel of {table.title}, and the convolutions of NIR are square; export the weights (--to "
            "safetensors)"
        )
    return _plain_convolution(nodes, weights, bias, table.stride, left)


def _neuron_metadata(structure: Structure, layer: int) -> dict[str, Any]:
    above = [f"transpose of {edge.name}_weight" for edge in structure.graph.outgoing(layer)]
    gain = structure.config.dynamics.feedback_gain
    steps = structure.config.model.refractory
    neuron = NEURON if steps is None else NEURON + REFRACTORY.format(steps=steps)
    return {"neuron": neuron, "feedback": ", ".join(above) or "none", "feedback_gain": gain}


def _graph_metadata(structure: Structure, step_ms: float) -> dict[str, Any]:
    config = structure.config
    image = f"normalized (mean 0, deviation {1 / config.data.std_factor:g}), constant over time"
    what = "spikes, at each step" if structure.spikes else f"padded and {image}"
    return {
        "producer": f"spikesim {__version__}",
        "losses": LOSSES,
        "step_ms": step_ms,
        "input": f"a sample of {config.data.dataset}: {what}",
        "normalization": structure.normalization,
        "pooling": f"{config.dynamics.pooling}; its adjoint gives a quarter to each of four cells on the way back",
        "steps_free": config.dynamics.steps_free,
        "steps_onset": config.dynamics.onset(structure.graph.depth),
        "window_free": config.dynamics.window_free,
        "firing": config.dynamics.firing,
        "order": config.dynamics.order,
    }
