"""The numbers of a report, from the rows of a run file; docs/metrics.md has their definitions."""

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.analysis.classes import Confusion, run_confusion
from spikesim.ep.analysis.costs import DeviceEnergy
from spikesim.ep.analysis.layers import LayerLearning, layer_learning
from spikesim.ep.analysis.operations import TEST_PHASE, TOTAL, LayerWork, layer_work, samples_of_phase
from spikesim.ep.analysis.traces import FiringRates, TraceStep, firing_rates, trace_steps
from spikesim.ep.analysis.weights import WeightHistogram, weight_histograms
from spikesim.ep.config.sections import answers_with, tested_on
from spikesim.ep.runs.best_epoch import BestEpoch
from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES, READOUT
from spikesim.errors import InputError

__all__ = [
    "NETWORK",
    "TEST_PHASE",
    "TOTAL",
    "EpochMetrics",
    "LayerWork",
    "ParameterSummary",
    "PhaseSummary",
    "Report",
    "all_tested_on",
    "best_epoch",
    "cost_rows",
    "epoch_metrics",
    "layer_work",
    "make_report",
    "parameter_summaries",
    "summarise_phases",
    "tidy_rows",
]

NETWORK = "network"

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class EpochMetrics:
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
        Name of the layer or head, ``"readout"``; ``"network"``, what the answer needs; or ``"total"``, with the
        heads that only training needs.
    parameters : int
        Weights and biases (NeuroBench: ParameterCount).
    connection_sparsity : float or None
        Share of the weights that are zero, biases left out; None if there are none, and before the first checkpoint.
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
    tested_on : str
        What the tests of the run are made on: "test", or "validation" for a share of the training set.
    best_epoch : int or None
        The epoch with the highest validation accuracy, of equal ones that with the lowest loss; None without a
        validation set, for the test set is not to choose by, and before the first test.
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
    confusion : Confusion or None
        Of the last test, whatever `epoch` is; None where the file does not have it.
    weight_histograms : list of WeightHistogram
        By layer, the read-out last, as of the last checkpoint.
    """

    epoch: int | None
    tested_on: str
    layers: list[LayerWork]
    best_epoch: int | None
    epochs: list[EpochMetrics]
    phases: list[PhaseSummary]
    learning: list[LayerLearning]
    parameters: list[ParameterSummary]
    traces: list[TraceStep]
    firing_rates: list[FiringRates]
    confusion: Confusion | None
    weight_histograms: list[WeightHistogram]


def make_report(reader: RunReader, epoch: int | None = None, *, current: bool = False) -> Report:
    """Compute the report of a run as it stands.

    Parameters
    ----------
    reader : RunReader
        The run.
    epoch : int, optional
        Epoch for the table by layer. Default: the last complete one, or the current one if none is complete.
    current : bool
        The default is the current one.

    Raises
    ------
    InputError
        If the run has no rows of that epoch, or is damaged.
    """
    batches, epochs = reader.batches, reader.epochs
    present = sorted({int(value) for value in batches["epoch"]} | {int(value) for value in epochs["epoch"]})
    if epoch is None and present:
        epoch = int(epochs["epoch"][-1]) if len(epochs["epoch"]) and not current else present[-1]
    elif epoch is not None and epoch not in present:
        held = f"epochs {present[0]} to {present[-1]}" if present else "no epochs yet"
        raise InputError(f"{reader.path} has no epoch {epoch}: it holds {held}")
    # Runs that diverged have infinite numbers, which a report shows and nobody needs to be warned of.
    with np.errstate(over="ignore", invalid="ignore"):
        return Report(
            epoch=epoch,
            tested_on=tested_on(reader.setting("data.validation")),
            layers=[] if epoch is None else layer_work(batches, epochs, reader, epoch),
            best_epoch=best_epoch(reader, epochs),
            epochs=epoch_metrics(batches, epochs),
            phases=summarise_phases(batches, reader),
            learning=layer_learning(batches, epochs, reader.layers),
            parameters=parameter_summaries(reader),
            traces=[] if epoch is None else trace_steps(reader.traces, epoch),
            firing_rates=[] if epoch is None else firing_rates(epochs, reader.layers, epoch),
            confusion=run_confusion(reader),
            weight_histograms=weight_histograms(reader),
        )


def best_epoch(reader: RunReader, epochs: Columns) -> int | None:
    """The best epoch of a run by its validation set; None if it has none, or no test yet."""
    if tested_on(reader.setting("data.validation")) != "validation":
        return None
    return BestEpoch.of_rows(epochs).epoch or None


def all_tested_on(tested_on: Iterable[str]) -> str:
    """What the tests of runs were made on, ``"test"`` or ``"validation"``, or ``"test"`` where that differs."""
    found = {name for name in tested_on if name}
    return found.pop() if len(found) == 1 else "test"


def epoch_metrics(batches: Columns, epochs: Columns) -> list[EpochMetrics]:
    """Loss and accuracy by epoch; the epoch in progress from its mini-batches."""
    found: list[EpochMetrics] = []

    def mean_beta(epoch: int) -> float:
        chosen = batches["epoch"] == epoch
        return float(_mean(batches["beta"][chosen], batches["samples"][chosen].astype(np.float64)))

    for row in range(len(epochs["epoch"])):
        train_samples, test_samples = int(epochs["train_samples"][row]), int(epochs["test_samples"][row])
        found.append(
            EpochMetrics(
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
            EpochMetrics(
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


def summarise_phases(batches: Columns, reader: RunReader) -> list[PhaseSummary]:
    """Energy function, residual and estimated energy by epoch and phase, of phases that ran."""
    neurons = np.array([layer.neurons for layer in reader.layers], dtype=np.float64)
    joule = _phase_joule(batches, reader)
    found: list[PhaseSummary] = []
    for epoch in np.unique(batches["epoch"]):
        chosen = batches["epoch"] == epoch
        samples = batches["samples"][chosen].astype(np.float64)
        for index, phase in enumerate(PHASES):
            steps = float(batches["steps"][chosen, index].sum(dtype=np.float64))
            if steps == 0 or samples.sum() == 0:
                continue
            ran = samples_of_phase(batches, chosen, index)
            by_layer = _mean(batches["residual"][chosen, index], ran)
            found.append(
                PhaseSummary(
                    epoch=int(epoch),
                    phase=phase,
                    steps=steps / float(samples.sum()),
                    hopfield=float(_mean(batches["hopfield"][chosen, index], ran)),
                    residual=float((by_layer * neurons).sum() / neurons.sum()),
                    joule=float(joule[chosen, index].sum() / samples.sum()),
                )
            )
    return found


def _phase_joule(batches: Columns, reader: RunReader) -> NDArray[np.float64]:
    """Energy by mini-batch and phase: as the run counted it, or at other costs."""
    energy = reader.energy_model
    if not isinstance(energy, DeviceEnergy):
        return np.asarray(batches["joule"])
    events = batches["events_forward"].astype(np.float64) + batches["events_feedback"]
    return np.asarray(energy.estimate(events, batches["macs"], batches["neuron_updates"]).sum(axis=-1))


def parameter_summaries(reader: RunReader) -> list[ParameterSummary]:
    """Parameters, zeros and bytes of each layer, head and read-out, of what the answer needs, and in total.

    Before the first checkpoint all weights of a run file are zero: nothing is known of their sparsity then.
    """
    weights, names = reader.weights(), [layer.name for layer in reader.layers]
    answer, cost = reader.setting("error_signals.answer", "readout"), reader.setting("dynamics.cost")
    together = (number for number in range(len(names)) if answers_with(answer, cost, number, len(names)))
    written = any(array.any() for array in weights.values())
    groups: dict[str, dict[str, NDArray[np.float32]]] = {}
    for path, array in weights.items():
        name, kind = path.split("/")
        groups.setdefault(name, {})[kind] = array
    own = {READOUT, *names, *(f"head{number + 1}" for number in together)}
    parts = {name: [group] for name, group in groups.items()}
    parts[NETWORK] = [group for name, group in groups.items() if name in own]
    parts[TOTAL] = list(groups.values())
    return [_parameter_summary(name, members, written) for name, members in parts.items()]


def _parameter_summary(name: str, groups: list[dict[str, NDArray[np.float32]]], written: bool) -> ParameterSummary:
    arrays = [array for group in groups for array in group.values()]
    synaptic = [array for group in groups for kind, array in group.items() if kind != "bias"]
    return ParameterSummary(
        layer=name,
        parameters=sum(array.size for array in arrays),
        connection_sparsity=_share(
            sum(int((array == 0).sum()) for array in synaptic), sum(array.size for array in synaptic)
        )
        if written
        else None,
        footprint_bytes=sum(array.nbytes for array in arrays),
    )


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


def cost_rows(energy: EnergyModel) -> Iterator[tuple[str, str, str, str, str, str]]:
    """What operations were charged, as rows beside those of `tidy_rows`."""
    for name, value in dataclasses.asdict(energy).items():
        yield "energy_model", "", "", "", name, value if isinstance(value, str) else repr(value)


def _mean(values: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total = float(weights.sum())
    if total == 0:
        return np.full(values.shape[1:], math.nan)
    return np.asarray(np.tensordot(weights, values, axes=1) / total, dtype=np.float64)


def _share(count: Any, total: int) -> float | None:
    return float(count) / total if total else None
