"""The test after an epoch, and what is recorded with it: the best weights so far, spikes, phases step by step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_EVALUATION, STREAM_FREE, stream_of
from spikesim.ep.evaluation.evaluate import Evaluation, evaluate, record_spikes
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import Samples
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.best_epoch import BestEpoch
from spikesim.ep.runs.writer import RunWriter
from spikesim.ep.training import extension
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.observer import Observer
from spikesim.ep.training.tracing import trace
from spikesim.ep.training.training_state import Position

__all__ = ["EpochTest", "Rows", "Tested"]

Rows = Callable[[RunWriter], None]
"""Writes rows that have been computed."""


class Tested(NamedTuple):
    """What the test after an epoch found."""

    evaluation: Evaluation
    best: BestEpoch  # by then
    rows: list[Rows]  # to be written; none on the ranks after the first


class EpochTest:
    """Tests a network after each epoch of a run.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    pipeline : InputPipeline
    samples, test_samples : int
        Training samples of the run, and test samples: the first so many.
    observer : Observer
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        pipeline: InputPipeline,
        samples: int,
        test_samples: int,
        observer: Observer,
    ) -> None:
        self.config = config
        self.dataset = dataset
        self.pipeline = pipeline
        self.samples = samples
        self.test_samples = test_samples
        self.observer = observer

    def run(self, learner: Learner, position: Position, progress: float) -> Tested:
        """Test the network as it is loaded, and record the phases of some samples; after the last epoch also spikes.

        Parameters
        ----------
        progress : float
            Share of the training that is done.

        Raises
        ------
        Stopped
        """
        epoch, thread_pool, ranks = position.epoch, learner.thread_pool, learner.thread_pool.ranks
        stream = stream_of(epoch, STREAM_EVALUATION)
        done = 0

        def tell(samples: int) -> None:
            nonlocal done
            done += samples
            self.observer.testing(epoch + 1, done, self.test_samples)

        evaluation = evaluate(thread_pool, self.pipeline, self.dataset.test, self.test_samples, stream, tell)
        best, settings = position.best, self.config.optimizer
        if self.config.data.validation:
            best = best.after(epoch + 1, evaluation.correct, evaluation.loss, learner.normalization.stored())
        rows: list[Rows] = []
        if extension.ends_training(settings, position) or best.ends(settings.patience, epoch + 1):
            ranks.first(lambda: rows.append(self._spikes(thread_pool, epoch, stream)))
        if self.config.record.traces:
            ranks.first(lambda: rows.append(partial(_append_traces, self.traces(learner, epoch, progress))))
        return Tested(evaluation, best, rows)

    def _spikes(self, thread_pool: ThreadPool, epoch: int, stream: int) -> Rows:
        """Spikes of the chosen test samples, to be written."""
        trains = list(record_spikes(thread_pool, self.pipeline, self.dataset.test, self.config.record.spikes, stream))

        def write(writer: RunWriter) -> None:
            for sample, train in trains:
                writer.append_spikes(epoch + 1, sample, train.steps, train.layers, train.neurons)

        return write

    def traces(self, learner: Learner, epoch: int, progress: float) -> dict[str, NDArray[Any]]:
        """The phases of some training samples step by step, as rows."""
        ids = np.arange(min(self.config.record.traces, self.samples))
        stream = stream_of(epoch, STREAM_FREE)
        inputs, labels = self.pipeline.plain(self.dataset.train, ids, stream), self.dataset.train.labels[ids]
        targets = None if learner.soft_targets is None else learner.soft_targets[ids]
        rows = trace(learner, epoch, Samples(inputs, ids, labels, targets), progress)
        return {"epoch": np.full(len(rows["step"]), epoch + 1), **rows}


def _append_traces(rows: dict[str, NDArray[Any]], writer: RunWriter) -> None:
    writer.append_traces(rows)
