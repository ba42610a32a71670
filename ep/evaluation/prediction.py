"""What a network answers for samples without labels, and what it took: free phases alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.model import SampleSet
from spikesim.ep.evaluation.evaluate import SpikeTrain, free_phases, record_spikes
from spikesim.ep.inputs.pipeline import SamplePipeline
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts, SampleCounts
from spikesim.ep.phases.readout import Predictions
from spikesim.numerics.portable_math import softmax_and_log_sum

__all__ = ["LayerSpikes", "Prediction", "Rows", "predict"]


class LayerSpikes(NamedTuple):
    """The spikes of a layer in the free phase of one sample, by step.

    Attributes
    ----------
    steps : int64 (spikes,)
        Time step of each spike, from 0.
    neurons : int64 (spikes,)
        Index of its neuron, ``(row * columns + column) * channels + channel``.
    """

    steps: NDArray[np.int64]
    neurons: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a network answers for n samples, and what it took.

    Attributes
    ----------
    labels : int64 (n,)
        The class with the largest logit, the first one of equals.
    logits : float64 (n, classes)
        Those of the read-out; where several heads answer, the mean of their log-probabilities.
    probabilities : float64 (n, classes)
        Softmax of the logits. A network that was trained by the squared error was not trained for them: there they are
        no more than an order.
    rates : dict of str to float32 (n, channels)
        By layer, the mean firing probability of each channel at each step, over its positions and the window of the
        free phase. A dense layer has a channel a neuron.
    spike_counts : dict of str to int64 (n,)
        By layer, spikes of the free phase; in the mean field, where neurons send their firing probability, the steps in
        which it is above 0.
    accumulates : int64 (n,)
        Synaptic events of the free phase; none in the mean field.
    multiply_accumulates : int64 (n,)
        Of an analogue image, once, and of the mean field.
    steps : int64 (n,)
        Length of the free phase; less than what was set for a sample whose answer settled (`dynamics.tolerance`).
    spikes : dict of int to dict of str to LayerSpikes
        By index of the sample and by layer, of the samples whose spikes were to be recorded.
    """

    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    rates: dict[str, NDArray[np.float32]]
    spike_counts: dict[str, NDArray[np.int64]]
    accumulates: NDArray[np.int64]
    multiply_accumulates: NDArray[np.int64]
    steps: NDArray[np.int64]
    spikes: dict[int, dict[str, LayerSpikes]]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.labels)


class Rows(NamedTuple):
    """Samples that are to be answered."""

    samples: SampleSet
    ids: NDArray[np.int64]  # (n,): identities, which random numbers follow
    recorded: tuple[int, ...]  # indices of those whose spikes are recorded
    stream: int


class _Group(NamedTuple):
    """Some samples after their free phases."""

    logits: NDArray[np.float64]  # (n, classes)
    counts: SampleCounts
    rates: list[NDArray[np.float32]]  # by layer (n, channels)


def predict(thread_pool: ThreadPool, pipeline: SamplePipeline, rows: Rows) -> Prediction:
    """Free phases of samples, as `spikesim.ep.evaluation.evaluate.evaluate` has them.

    Raises
    ------
    Stopped
    """
    model = thread_pool.model

    def look(workspace: ph.Workspace, found: Predictions, counts: PhaseCounts) -> _Group:
        n = len(found.answers.logits)
        return _Group(found.answers.logits, workspace.sample_counts(n), workspace.channel_rates(n))

    groups = list(free_phases(thread_pool, pipeline, rows.samples, len(rows.ids), rows.stream, look, ids=rows.ids)) or [
        _nothing(thread_pool)
    ]
    logits = np.concatenate([group.logits for group in groups])
    counts = SampleCounts(*map(np.concatenate, zip(*(group.counts for group in groups), strict=True)))
    rates = [np.concatenate(parts) for parts in zip(*(group.rates for group in groups), strict=True)]
    return Prediction(
        labels=logits.argmax(axis=1).astype(np.int64),
        logits=logits,
        probabilities=softmax_and_log_sum(logits)[0],
        rates=dict(zip(model.names, rates, strict=True)),
        spike_counts={name: counts.spikes[:, layer].copy() for layer, name in enumerate(model.names)},
        accumulates=counts.accumulates,
        multiply_accumulates=counts.multiply_accumulates,
        steps=counts.steps,
        spikes=_recorded(thread_pool, pipeline, rows, counts.steps),
    )


def _nothing(thread_pool: ThreadPool) -> _Group:
    """A group of no samples."""
    model = thread_pool.model
    none = np.zeros(0, np.int64)
    counts = SampleCounts(none, np.zeros((0, model.layers), np.int64), none, none)
    rates = [np.zeros((0, population.shape[2]), np.float32) for population in model.graph.populations]
    return _Group(np.zeros((0, model.classes)), counts, rates)


def _recorded(
    thread_pool: ThreadPool, pipeline: SamplePipeline, rows: Rows, steps: NDArray[np.int64]
) -> dict[int, dict[str, LayerSpikes]]:
    """The spikes of the chosen samples, shared among the threads."""
    names = thread_pool.model.names

    def record(part: Sequence[int]) -> list[tuple[int, SpikeTrain]]:
        return list(record_spikes(thread_pool, pipeline, rows.samples, part, rows.stream, rows.ids))

    parts = [rows.recorded[first :: thread_pool.threads] for first in range(thread_pool.threads)]
    found = dict(train for part in thread_pool.map(record, [part for part in parts if part]) for train in part)
    return {row: _by_layer(found[row], names, int(steps[row])) for row in rows.recorded}


def _by_layer(train: SpikeTrain, names: Sequence[str], steps: int) -> dict[str, LayerSpikes]:
    """The spikes of a sample by layer, up to the step where its free phase ended."""
    spikes = {}
    for layer, name in enumerate(names):
        own = (train.layers == layer) & (train.steps < steps)
        spikes[name] = LayerSpikes(train.steps[own], train.neurons[own])
    return spikes
