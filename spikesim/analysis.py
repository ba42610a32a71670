"""The numbers of a report, from the rows of a run file.

Synaptic operations and sparsities have NeuroBench's names: *dense* operations are those of the same network if every
neuron sent at every step; *effective* accumulates (ACs) and multiply-accumulates (MACs) are those that were done.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.energy import EnergyModel
from spikesim.errors import InputError
from spikesim.learning import LayerLearning, layer_learning
from spikesim.pace import step_milliseconds
from spikesim.profiles import FiringRates, TraceStep, firing_rates, trace_steps
from spikesim.runreader import RunReader
from spikesim.schema import PHASES, LayerInfo

__all__ = [
    "TEST_PHASE",
    "TOTAL",
    "EpochSummary",
    "LayerWork",
    "ParameterSummary",
    "PhaseSummary",
    "Report",
    "layer_work",
    "make_report",
    "parameter_summaries",
    "summarise_epochs",
    "summarise_phases",
    "tidy_rows",
]

TOTAL = "total"
TEST_PHASE = "test"

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LayerWork:
    """What a layer did in a phase, per sample, over the mini-batches of an epoch or over a test.

    Attributes
    ----------
    epoch : int
        The epoch.
    phase : str
        A phase of training, or ``"test"``.
    layer : str
        Name of the layer, or ``"total"``.
    neurons, samples : int
        Neurons of the layer; samples that the averages are over.
    steps : float
        Time steps a sample.
    spikes : float
        Spikes a sample.
    activity, activation_sparsity : float
        Spikes a neuron and step, and 1 less that.
    dense_forward, dense_feedback : float
        Dense synaptic operations a sample into the layer.
    effective_acs_forward, effective_acs_feedback : float
        Accumulates a sample (synaptic events) into the layer.
    effective_macs : float
        Multiply-accumulates a sample into the layer.
    neuron_updates : float
        Updates of a membrane potential a sample.
    saturated : float or None
        Share of neurons with a firing probability of 1 at the end of the phase; not measured in tests.
    residual : float or None
        Mean change of the firing probability between the halves of the window; not measured in tests.
    joule : float
        Estimated energy a sample.
    input_ms : float or None
        Milliseconds of input a sample; None where the phase does not follow a recording of events.
    activity_per_ms, operations_per_ms : float or None
        Spikes a neuron and millisecond of input; accumulates and multiply-accumulates a millisecond of input.
    """

    epoch: int
    phase: str
    layer: str
    neurons: int
    samples: int
    steps: float
    spikes: float
    activity: float
    activation_sparsity: float
    dense_forward: float
    dense_feedback: float
    effective_acs_forward: float
    effective_acs_feedback: float
    effective_macs: float
    neuron_updates: float
    saturated: float | None
    residual: float | None
    joule: float
    input_ms: float | None = None
    activity_per_ms: float | None = None
    operations_per_ms: float | None = None


@dataclass(frozen=True)
class EpochSummary:
    """Loss and accuracy of an epoch. An epoch in progress has no test, and its figures are those of its mini-batches.

    Accuracies are shares from 0 to 1; None where there is nothing to divide by.
    """

    epoch: int
    complete: bool
    train_loss: float
    train_accuracy: float | None
    train_samples: int
    test_loss: float | None
    test_accuracy: float | None
    test_samples: int
    learning_rate: float
    beta: float
    seconds: float
    test_seconds: float | None


@dataclass(frozen=True)
class PhaseSummary:
    """Steps a sample, energy function and residual of a phase, means over the samples of an epoch."""

    epoch: int
    phase: str
    steps: float
    hopfield: float
    residual: float
    joule: float


@dataclass(frozen=True)
class ParameterSummary:
    """Stored parameters of a layer.

    Attributes
    ----------
    layer : str
        Name of the layer, ``"readout"`` or ``"total"``.
    parameters : int
        Weights and biases.
    connection_sparsity : float or None
        Share of the parameters that are zero; None if there are none.
    footprint_bytes : int
        Bytes of the float32 parameters.
    """

    layer: str
    parameters: int
    connection_sparsity: float | None
    footprint_bytes: int


@dataclass(frozen=True)
class Report:
    """All that ``spikesim report`` shows.

    Attributes
    ----------
    epoch : int or None
        Epoch that `layers` is about; None if the run has no rows yet.
    layers : list of LayerWork
        By phase, the layers from the input up and then their total; the test last.
    epochs : list of EpochSummary
        In order.
    phases : list of PhaseSummary
        By epoch and phase.
    learning : list of LayerLearning
        By epoch and layer, the read-out last.
    parameters : list of ParameterSummary
        As of the last checkpoint.
    traces : list of TraceStep
        The phases step by step, after `epoch`.
    firing_rates : list of FiringRates
        By layer, in the test after `epoch`.
    """

    epoch: int | None
    layers: list[LayerWork]
    epochs: list[EpochSummary]
    phases: list[PhaseSummary]
    learning: list[LayerLearning]
    parameters: list[ParameterSummary]
    traces: list[TraceStep]
    firing_rates: list[FiringRates]


def make_report(reader: RunReader, epoch: int | None = None) -> Report:
    """Compute the report of a run as it stands.

    Parameters
    ----------
    reader : RunReader
        The run.
    epoch : int, optional
        Epoch for the table by layer. Default: the last complete one, or the current one if none is complete.

    Raises
    ------
    InputError
        If the run has no rows of that epoch, or is damaged.
    """
    batches, epochs = reader.batches, reader.epochs
    present = sorted({int(value) for value in batches["epoch"]} | {int(value) for value in epochs["epoch"]})
    if epoch is None and present:
        epoch = int(epochs["epoch"][-1]) if len(epochs["epoch"]) else present[-1]
    elif epoch is not None and epoch not in present:
        held = f"epochs {present[0]} to {present[-1]}" if present else "no epochs yet"
        raise InputError(f"{reader.path} has no epoch {epoch}: it holds {held}")
    tables = (batches, epochs, reader.layers, reader.energy_model)
    step_ms = step_milliseconds(reader.config)
    # Runs that diverged have infinite numbers, which a report shows and nobody needs to be warned of.
    with np.errstate(over="ignore", invalid="ignore"):
        return Report(
            epoch=epoch,
            layers=[] if epoch is None else layer_work(*tables, epoch, step_ms=step_ms),
            epochs=summarise_epochs(batches, epochs),
            phases=summarise_phases(batches, reader.layers),
            learning=layer_learning(batches, epochs, reader.layers),
            parameters=parameter_summaries(reader.weights()),
            traces=[] if epoch is None else trace_steps(reader.traces, epoch),
            firing_rates=[] if epoch is None else firing_rates(epochs, reader.layers, epoch),
        )


def layer_work(
    batches: Columns,
    epochs: Columns,
    layers: list[LayerInfo],
    energy: EnergyModel,
    epoch: int,
    *,
    step_ms: float | None = None,
) -> list[LayerWork]:
    """Work by phase and layer in one epoch, with totals, and that of the test after it.

    Parameters
    ----------
    batches, epochs : mapping of str to ndarray
        Columns as `RunReader` gives them.
    layers : list of LayerInfo
        The layers.
    energy : EnergyModel
        Energy charged for each operation.
    epoch : int
        The epoch.
    step_ms : float, optional
        Milliseconds of input that a step of the free phase and of the test follows.

    Returns
    -------
    list of LayerWork
        Phases without samples or steps are left out.
    """
    neurons = np.array([layer.neurons for layer in layers], dtype=np.float64)
    found: list[LayerWork] = []
    chosen = batches["epoch"] == epoch
    samples = batches["samples"][chosen].astype(np.float64)
    for index, phase in enumerate(PHASES):
        names = ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates", "saturated")
        sums = {name: batches[name][chosen, index].sum(axis=0, dtype=np.float64) for name in names}
        found += _work_of_phase(
            epoch=epoch,
            phase=phase,
            samples=int(samples.sum()),
            steps=float(batches["steps"][chosen, index].sum(dtype=np.float64)),
            sums=sums,
            residual=_mean(batches["residual"][chosen, index], samples),
            saturated=sums["saturated"] / neurons,
            layers=layers,
            energy=energy,
            step_ms=step_ms,
        )
    for row in np.flatnonzero(epochs["epoch"] == epoch):
        tested = ("spikes", "events_forward", "events_feedback", "macs", "neuron_updates")
        found += _work_of_phase(
            epoch=epoch,
            phase=TEST_PHASE,
            samples=int(epochs["test_samples"][row]),
            steps=float(epochs["test_steps"][row]),
            sums={name: epochs[f"test_{name}"][row].astype(np.float64) for name in tested},
            residual=None,
            saturated=None,
            layers=layers,
            energy=energy,
            step_ms=step_ms,
        )
    return found


def _work_of_phase(
    *,
    epoch: int,
    phase: str,
    samples: int,
    steps: float,
    sums: Mapping[str, NDArray[np.float64]],
    residual: NDArray[np.float64] | None,
    saturated: NDArray[np.float64] | None,
    layers: list[LayerInfo],
    energy: EnergyModel,
    step_ms: float | None,
) -> list[LayerWork]:
    if samples == 0 or steps == 0:
        return []
    # The drive of a constant image is computed when a sample starts, and kept by the phases that go on from there.
    starts = phase in (PHASES[0], TEST_PHASE)
    dense_forward = [
        layer.synapses_forward * (float(starts) if layer.analogue else steps / samples) for layer in layers
    ]
    input_ms = step_ms * steps / samples if step_ms is not None and starts else None
    dense_feedback = [layer.synapses_feedback * steps / samples for layer in layers]
    neurons = np.array([layer.neurons for layer in layers])

    def work(name: str, chosen: slice) -> LayerWork:
        size = int(neurons[chosen].sum())
        share = neurons[chosen] / size
        spikes = float(sums["spikes"][chosen].sum())
        forward = float(sums["events_forward"][chosen].sum())
        feedback = float(sums["events_feedback"][chosen].sum())
        macs = float(sums["macs"][chosen].sum())
        activity = spikes / (size * steps)
        return LayerWork(
            epoch=epoch,
            phase=phase,
            layer=name,
            neurons=size,
            samples=samples,
            steps=steps / samples,
            spikes=spikes / samples,
            activity=activity,
            activation_sparsity=1 - activity,
            dense_forward=float(sum(dense_forward[chosen])),
            dense_feedback=float(sum(dense_feedback[chosen])),
            effective_acs_forward=forward / samples,
            effective_acs_feedback=feedback / samples,
            effective_macs=macs / samples,
            neuron_updates=float(sums["neuron_updates"][chosen].sum()) / samples,
            saturated=None if saturated is None else float((saturated[chosen] * share).sum() / samples),
            residual=None if residual is None else float((residual[chosen] * share).sum()),
            joule=float(energy.estimate(forward + feedback, macs)) / samples,
            input_ms=input_ms,
            activity_per_ms=None if input_ms is None else spikes / (size * samples * input_ms),
            operations_per_ms=None if input_ms is None else (forward + feedback + macs) / (samples * input_ms),
        )

    by_layer = [work(layer.name, slice(index, index + 1)) for index, layer in enumerate(layers)]
    return [*by_layer, work(TOTAL, slice(0, len(layers)))]


def summarise_epochs(batches: Columns, epochs: Columns) -> list[EpochSummary]:
    """Loss and accuracy by epoch; the epoch in progress from its mini-batches."""
    found: list[EpochSummary] = []

    def mean_beta(epoch: int) -> float:
        chosen = batches["epoch"] == epoch
        return float(_mean(batches["beta"][chosen], batches["samples"][chosen].astype(np.float64)))

    for row in range(len(epochs["epoch"])):
        train_samples, test_samples = int(epochs["train_samples"][row]), int(epochs["test_samples"][row])
        found.append(
            EpochSummary(
                epoch=int(epochs["epoch"][row]),
                complete=True,
                train_loss=float(epochs["train_loss"][row]),
                train_accuracy=_share(epochs["train_correct"][row], train_samples),
                train_samples=train_samples,
                test_loss=float(epochs["test_loss"][row]) if test_samples else None,
                test_accuracy=_share(epochs["test_correct"][row], test_samples),
                test_samples=test_samples,
                learning_rate=float(epochs["learning_rate"][row]),
                beta=mean_beta(int(epochs["epoch"][row])),
                seconds=float(epochs["seconds"][row]),
                test_seconds=float(epochs["test_seconds"][row]),
            )
        )
    for epoch in np.setdiff1d(batches["epoch"], epochs["epoch"]):
        chosen = batches["epoch"] == epoch
        weights = batches["samples"][chosen].astype(np.float64)
        found.append(
            EpochSummary(
                epoch=int(epoch),
                complete=False,
                train_loss=float(_mean(batches["loss"][chosen], weights)),
                train_accuracy=_share(batches["correct"][chosen].sum(), int(weights.sum())),
                train_samples=int(weights.sum()),
                test_loss=None,
                test_accuracy=None,
                test_samples=0,
                learning_rate=float(batches["learning_rate"][chosen][-1]),
                beta=mean_beta(int(epoch)),
                seconds=float(batches["seconds"][chosen].sum()),
                test_seconds=None,
            )
        )
    return sorted(found, key=lambda summary: summary.epoch)


def summarise_phases(batches: Columns, layers: list[LayerInfo]) -> list[PhaseSummary]:
    """Energy function, residual and estimated energy by epoch and phase, of phases that ran."""
    neurons = np.array([layer.neurons for layer in layers], dtype=np.float64)
    found: list[PhaseSummary] = []
    for epoch in np.unique(batches["epoch"]):
        chosen = batches["epoch"] == epoch
        samples = batches["samples"][chosen].astype(np.float64)
        for index, phase in enumerate(PHASES):
            steps = float(batches["steps"][chosen, index].sum(dtype=np.float64))
            if steps == 0 or samples.sum() == 0:
                continue
            by_layer = _mean(batches["residual"][chosen, index], samples)
            found.append(
                PhaseSummary(
                    epoch=int(epoch),
                    phase=phase,
                    steps=steps / float(samples.sum()),
                    hopfield=float(_mean(batches["hopfield"][chosen, index], samples)),
                    residual=float((by_layer * neurons).sum() / neurons.sum()),
                    joule=float(batches["joule"][chosen, index].sum() / samples.sum()),
                )
            )
    return found


def parameter_summaries(weights: Mapping[str, NDArray[np.float32]]) -> list[ParameterSummary]:
    """Parameters, zeros and bytes of each layer and in total."""
    names = list(dict.fromkeys(name.split("/")[0] for name in weights))
    groups = {name: [array for path, array in weights.items() if path.split("/")[0] == name] for name in names}
    return [
        ParameterSummary(
            layer=name,
            parameters=size,
            connection_sparsity=_share(sum(int((array == 0).sum()) for array in arrays), size),
            footprint_bytes=sum(array.nbytes for array in arrays),
        )
        for name, arrays in [*groups.items(), (TOTAL, list(weights.values()))]
        for size in [sum(array.size for array in arrays)]
    ]


def tidy_rows(report: Report) -> Iterator[tuple[str, str, str, str, str, str]]:
    """A report in long form: ``(section, epoch, phase, layer, metric, value)`` for every number, "" for what is not.

    Numbers have all their digits. Values that were not measured have no row.
    """
    keys = ("epoch", "phase", "layer")
    for section in ("layers", "epochs", "phases", "learning", "parameters"):
        for item in getattr(report, section):
            values = dataclasses.asdict(item)
            where = [str(values.pop(key, "")) for key in keys]
            for metric, value in values.items():
                if value is not None:
                    yield (
                        section,
                        where[0],
                        where[1],
                        where[2],
                        metric,
                        repr(int(value) if isinstance(value, bool) else value),
                    )


def _mean(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(weights.sum())
    if total == 0:
        return np.full(values.shape[1:], math.nan)
    return np.asarray(np.tensordot(weights, values, axes=1) / total, dtype=np.float64)


def _share(count: Any, total: int) -> float | None:
    return float(count) / total if total else None
