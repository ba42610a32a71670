"""Rows of the run file: what is written of a mini-batch, of an epoch, and of the network before the first."""

import math
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.synapses import Lookup
from spikesim.ep.config.parsing import Config
from spikesim.ep.evaluation.evaluate import Evaluation
from spikesim.ep.network import heads as hd
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import Array, ParameterTree
from spikesim.ep.phases.counters import hopfield
from spikesim.ep.runs.last_test import RecordedSamples
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.schema import LayerInfo, RunHeader
from spikesim.ep.training.learning.learner import BatchResult
from spikesim.numerics.quantization import norm


def make_header(
    model: Model,
    config: Config,
    parameters: ParameterTree,
    command_line: str,
    *,
    data_source: str = "",
    samples: SampleSpec | None = None,
    behind: Mapping[str, Array] = MappingProxyType({}),
    recorded: RecordedSamples | None = None,
) -> RunHeader:
    """The network as the run file describes it.

    Parameters
    ----------
    data_source : str
        That of the data set, "" for what has no place.
    samples : SampleSpec, optional
        Those of the data set, so that the network can be used without it.
    behind : mapping of str to array
        The gains and statistics behind the weights, which the file is to have beside them.
    recorded : RecordedSamples, optional
        Test samples whose spikes are recorded.
    """
    graph, layers = model.graph, []
    for layer, population in enumerate(graph.populations):
        into, out = graph.incoming(layer), graph.outgoing(layer)
        # a connection from an image beside others delivers once per sample: next to nothing beside their work per step
        steady = [edge for edge in into if not edge.analogue] or into
        layers.append(
            LayerInfo(
                name=population.name,
                shape=population.shape,
                weights=sum(edge.connection.integers.size for edge in into),
                synapses_forward=sum(edge.connection.dense_operations for edge in steady),
                synapses_feedback=sum(edge.connection.dense_operations for edge in out),
                analogue=into[0].analogue,
                cells=4 if any(getattr(edge.connection.table, "pool", None) == "average" for edge in into) else 1,
            )
        )
    return RunHeader(
        config=config.to_dict(),
        seed=config.seed,
        layers=tuple(layers),
        weight_shapes={name: array.shape for name, array in parameters.leaves().items()},
        command_line=command_line,
        input_shape=model.graph.image.shape,
        data_source=os.path.abspath(data_source) if os.path.exists(data_source) else "",
        samples=samples,
        normalization_shapes={name: array.shape for name, array in behind.items()},
        validated=config.data.validation > 0,
        recorded=recorded,
    )


def batch_row(model: Model, config: Config, result: BatchResult) -> dict[str, Any]:
    """Everything measured in a mini-batch; its place in the run is for the caller to add."""
    dynamics, counts = config.dynamics, result.counts
    samples = len(result.loss_sum)
    windows = (dynamics.window_free, dynamics.nudged_window, dynamics.nudged_window)
    gain, levels = dynamics.feedback_gain, model.graph.levels
    norms = [_weight_norm(model, layer) for layer in range(model.layers)]
    return {
        "samples": samples,
        "loss": math.fsum(result.loss_sum) / samples,
        "correct": result.correct,
        "beta": result.beta,
        "steps": np.array([phase.steps for phase in counts]),
        "spikes": np.array([phase.spikes for phase in counts]),
        "events_forward": np.array([phase.events_forward for phase in counts]),
        "events_feedback": np.array([phase.events_feedback for phase in counts]),
        "macs": np.array([phase.macs for phase in counts]),
        "neuron_updates": np.array([phase.updates for phase in counts]),
        "saturated": np.array([phase.saturated for phase in counts]),
        "residual": np.array([phase.mean_residual(window) for phase, window in zip(counts, windows, strict=True)]),
        "hopfield": np.array([hopfield(phase.energy, gain, levels) / samples for phase in counts]),
        "rate_difference": result.rate_difference,
        "signal_strength": _by_layer(model, result.lambdas, 0.0),
        "activity_penalty": result.penalties,
        "head_loss": _by_layer(model, result.head_loss, math.nan),
        "head_correct": _by_layer(model, result.head_correct.astype(np.float64), 0.0).astype(np.int64),
        "weight_change": result.changes,
        "weight_norm": np.array([*norms, _readout_norm(model)]),
    }


def epoch_counts(evaluation: Evaluation) -> dict[str, Any]:
    """What a test counted."""
    counts = evaluation.counts
    return {
        "test_loss": evaluation.loss,
        "test_correct": evaluation.correct,
        "test_samples": evaluation.samples,
        "test_steps": int(counts.steps),
        "test_spikes": counts.spikes,
        "test_events_forward": counts.events_forward,
        "test_events_feedback": counts.events_feedback,
        "test_macs": counts.macs,
        "test_neuron_updates": counts.updates,
        "test_rates": evaluation.rates,
    }


def _by_layer(model: Model, values: NDArray[Any], missing: float) -> NDArray[np.float64]:
    """Values by head (heads,) as values by the layer that each reads (L,)."""
    result = np.full(model.layers, missing)
    for head, value in zip(model.heads, values, strict=True):
        result[head.layer] = value
    return result


def _readout_norm(model: Model) -> float:
    index = model.readout
    return norm(hd.weights_of(model.packed, index), int(model.packed.table[index].exponent))


def _weight_norm(model: Model, layer: int) -> float:
    """Euclidean norm of the weights into a layer."""
    connections = [edge.connection for edge in model.graph.incoming(layer)]
    if isinstance(connections[0].table, Lookup):  # a sum over all rows would cost more than the mini-batch
        return math.nan
    norms = [norm(connection.integers, connection.exponent) for connection in connections]
    return norms[0] if len(norms) == 1 else math.hypot(*norms)
