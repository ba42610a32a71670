"""Testing a network: free phases only, with the heads that answer on their window."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.model import SampleSet
from spikesim.ep.inputs.encoding import Input
from spikesim.ep.inputs.pipeline import SamplePipeline
from spikesim.ep.parallel.communicator import share
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import RATE_BINS, PhaseCounts
from spikesim.ep.phases.readout import Answers, Predictions
from spikesim.ep.runs.last_test import CLASSES_MAX
from spikesim.errors import Stopped

Result = TypeVar("Result")
CHUNK = 512
"""Samples that are prepared at a time."""


@dataclass(frozen=True)
class Evaluation:
    """What a test gave."""

    samples: int
    correct: int
    loss: float
    counts: PhaseCounts
    rates: NDArray[np.int64]  # (L, RATE_BINS): neurons of all samples by their mean firing probability
    labels: NDArray[np.int64]  # (samples,): true classes
    answers: NDArray[np.int64]  # (samples,): predicted classes
    classes: int

    def confusion(self) -> NDArray[np.int64]:
        """Samples by true class (rows) and predicted class (columns); (0, 0) with more classes than `CLASSES_MAX`."""
        if self.classes > CLASSES_MAX:
            return np.zeros((0, 0), np.int64)
        pairs = np.bincount(self.labels * self.classes + self.answers, minlength=self.classes**2)
        return pairs.reshape(self.classes, self.classes).astype(np.int64)

    @property
    def accuracy(self) -> float:
        """Share of the samples that were right."""
        return self.correct / self.samples


def evaluate(
    thread_pool: ThreadPool,
    pipeline: SamplePipeline,
    images: SampleSet,
    samples: int,
    stream: int,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Test the network as it is loaded on the first samples of a set, each rank on its share of them.

    Parameters
    ----------
    stream : int
        Stream of random numbers.
    progress : callable, optional
        Called with the number of samples that have been done since the last call; the other ranks' at the end.

    Raises
    ------
    Stopped
    """
    counts, rates = (
        PhaseCounts.zero(thread_pool.model.layers),
        np.zeros((thread_pool.model.layers, RATE_BINS), np.int64),
    )
    found = []

    def look(workspace: ph.Workspace, prediction: Predictions, own_counts: PhaseCounts) -> _Tested:
        return _Tested(prediction.answers, own_counts, workspace.rate_bins(len(prediction.answers.losses)))

    for answers, own_counts, own_rates in free_phases(
        thread_pool, pipeline, images, samples, stream, look, progress=progress
    ):
        found.append(np.stack([answers.losses, answers.correct, answers.logits.argmax(axis=1)], axis=1))  # (n, 3)
        counts.add(own_counts)
        rates += own_rates
    thread_pool.ranks.add([*counts, rates])
    losses, correct, answers = _join(thread_pool, found, (3,)).T
    return Evaluation(
        samples=samples,
        correct=int(correct.sum()),
        loss=math.fsum(losses) / samples,
        counts=counts,
        rates=rates,
        labels=images.labels[:samples],
        answers=answers.astype(np.int64),
        classes=thread_pool.model.classes,
    )


def logits(
    thread_pool: ThreadPool,
    pipeline: SamplePipeline,
    images: SampleSet,
    samples: int,
    stream: int,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """What the network says of the first samples of a set, float64 (samples, classes).

    Parameters are those of `evaluate`, whose free phases these are.

    Raises
    ------
    Stopped
    """

    def look(workspace: ph.Workspace, prediction: Predictions, counts: PhaseCounts) -> NDArray[np.float64]:
        return prediction.answers.logits

    found = free_phases(thread_pool, pipeline, images, samples, stream, look, progress=progress)
    return _join(thread_pool, list(found), (thread_pool.model.classes,))


class _Tested(NamedTuple):
    """A group after its free phases."""

    answers: Answers
    counts: PhaseCounts
    rates: NDArray[np.int64]  # (L, RATE_BINS)


def _join(thread_pool: ThreadPool, rows: list[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The rows of all ranks, (samples, *shape); there may be none of this one."""
    return thread_pool.ranks.join(np.concatenate([np.empty((0, *shape)), *rows]))


def free_phases(
    thread_pool: ThreadPool,
    pipeline: SamplePipeline,
    images: SampleSet,
    samples: int,
    stream: int,
    look: Callable[[ph.Workspace, Predictions, PhaseCounts], Result],
    *,
    ids: NDArray[np.int64] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Result]:
    """What is seen of free phases from rest, a group at a time, in the order of the samples.

    Those of this rank's share; ends, or is stopped, when all ranks are through theirs.

    Parameters
    ----------
    look : callable
        Takes the workspace of a group after its phase, what the heads answer, and what was counted.
    ids : int64 (samples,), optional
        Identities, which random numbers follow; by default the indices.

    Raises
    ------
    Stopped
    """
    own = share(thread_pool.ranks, samples)

    def run(first: int, inputs: Input, part: slice) -> Result:
        workspace, rows = thread_pool.workspace, np.arange(first + part.start, first + part.stop)
        n = workspace.rest(inputs[part], rows if ids is None else ids[rows])
        counted = workspace.free(n, stream, thread_pool.stop)
        found = Predictions.empty(thread_pool.model.packed, n)
        workspace.predict(n, images.labels[rows], None, found, first=thread_pool.model.answers_from)
        return look(workspace, found, counted)

    def prepare(chunk: slice) -> Input:
        return pipeline.plain(images, chunk, stream, ids)

    stopped = False
    chunks = [slice(first, min(first + CHUNK, own.stop)) for first in range(own.start, own.stop, CHUNK)]
    try:
        for chunk, inputs in zip(chunks, thread_pool.ahead(prepare, chunks), strict=True):
            yield from thread_pool.map(partial(run, chunk.start, inputs), thread_pool.groups(len(inputs)))
            if progress:
                progress(len(inputs))
    except Stopped:
        stopped = True
    if thread_pool.ranks.any(stopped):
        raise Stopped
    others = samples - (own.stop - own.start)
    if progress and others:
        progress(others)


class SpikeTrain(NamedTuple):
    """Spikes of one sample in one free phase."""

    steps: NDArray[np.int64]
    layers: NDArray[np.int64]
    neurons: NDArray[np.int64]  # (y * W + x) * C + channel


def record_spikes(
    thread_pool: ThreadPool,
    pipeline: SamplePipeline,
    images: SampleSet,
    samples: Sequence[int],
    stream: int,
    ids: NDArray[np.int64] | None = None,
) -> Iterator[tuple[int, SpikeTrain]]:
    """The spikes of chosen samples, the same that a test with this stream draws.

    Parameters
    ----------
    samples : sequence of int
        Their indices.
    ids : int64, optional
        Identities of all samples, as for `free_phases`.

    Raises
    ------
    Stopped
    """
    workspace = ph.Workspace(thread_pool.model, thread_pool.config.dynamics, 1, thread_pool.config.seed)
    for sample in samples:
        row = np.array([sample])
        workspace.rest(pipeline.plain(images, row, stream, ids), row if ids is None else ids[row])
        steps, layers, neurons = [], [], []
        for t, _ in enumerate(workspace.free_steps(1, stream, thread_pool.stop)):
            for layer, spiking in enumerate(workspace.spikes(0)):
                steps.append(np.full(len(spiking), t))
                layers.append(np.full(len(spiking), layer))
                neurons.append(spiking.astype(np.int64))
        yield sample, SpikeTrain(np.concatenate(steps), np.concatenate(layers), np.concatenate(neurons))
