"""A whole run: epochs of mini-batches, tests, the run file, checkpoints, stop and resume.

A checkpoint is a position between two mini-batches. Nothing that is random has a state, so parameters, moments, the
position and the rows written are all there is to keep.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, TextSet
from spikesim.datasets.samples.split import hold_out
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.config.random_streams import EPOCHS_MAX, STREAM_EVALUATION, stream_of
from spikesim.ep.config.sections import tested_on
from spikesim.ep.evaluation.evaluate import Evaluation, evaluate
from spikesim.ep.inputs.encoding import with_duration
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.inputs.texts import encoded
from spikesim.ep.network.error_signals import check_teacher
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.agreement import check_agreement
from spikesim.ep.parallel.communicator import Alone, Communicator, share
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.runs.best_epoch import BestEpoch
from spikesim.ep.runs.last_test import LastTest, RecordedSamples
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.writer import RunHeader, RunReader, RunWriter
from spikesim.ep.training import extension
from spikesim.ep.training.diagnostics import Diagnostics
from spikesim.ep.training.epoch_test import EpochTest, Rows
from spikesim.ep.training.initialization import check_random_start, needs_start, start
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.learning.optimizers import schedule
from spikesim.ep.training.observer import Beginning, EpochSummary, Observer, Progress
from spikesim.ep.training.run_rows import batch_row, epoch_counts, make_header
from spikesim.ep.training.run_store import RunOptions, RunStore
from spikesim.ep.training.spectral_limit import SpectralLimit
from spikesim.ep.training.stability.spectral import by_layer
from spikesim.ep.training.training_state import Position, TrainingState, position_of
from spikesim.ep.training.transfer.matching import Transfer, frozen_layers
from spikesim.ep.training.transfer.source import SourceWeights
from spikesim.errors import InputError, Stopped
from spikesim.io.checkpoint import Checkpoint
from spikesim.runtime.command_line import resume_advice
from spikesim.runtime.free_memory import naming_memory
from spikesim.runtime.stop_flag import StopFlag
from spikesim.runtime.text import counted, percent

CHECKPOINT_SECONDS = 60.0


class Trainer:
    """Train a network on a data set, into a run file; alone or as one of several ranks.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    options : RunOptions
    observer : Observer
    soft_targets : float64 (training samples, classes), optional
        The softened answers of a teacher, for signals that need one.
    ranks : Communicator, optional
        The processes that share the run; each has a trainer with the same arguments. By default this one is alone.
    weights : SourceWeights, optional
        Weights of a run to start from, those that the configuration names (`take_weights`).

    Raises
    ------
    InputError
        The architecture does not fit the data, a list has not a value for each layer, the limits are out of range, or
        the options contradict each other.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        options: RunOptions,
        observer: Observer,
        soft_targets: NDArray[np.float64] | None = None,
        ranks: Communicator | None = None,
        weights: SourceWeights | None = None,
    ) -> None:
        self.config = config = with_duration(config, dataset)
        self.ranks = Alone() if ranks is None else ranks
        if config.data.validation:
            dataset, ids = hold_out(dataset, config.data.validation, config.seed)
            soft_targets = None if soft_targets is None else soft_targets[ids]
        self.dataset = dataset = encoded(config, dataset)
        self.options = replace(options, overwrite=options.overwrite and not options.resume)
        self.observer = observer
        with self._naming_memory("the network", dataset):
            self.model = Model(config, dataset)
        self.pipeline = InputPipeline(config, dataset, self.model.graph.image.shape)
        self.samples = _limited("data.limit", config.data.limit, len(dataset.train.labels))
        self.test_samples = _limited("data.test_limit", config.data.test_limit, len(dataset.test.labels))
        _require_once(config.record.spikes)
        beyond = [sample for sample in config.record.spikes if sample >= self.test_samples]
        if beyond:
            raise InputError(
                f"record.spikes names sample {beyond[0]}; the test has {counted(self.test_samples, 'sample')}, from 0"
            )
        if config.optimizer.epochs > EPOCHS_MAX:
            raise InputError(f"optimizer.epochs is {config.optimizer.epochs}; at most {EPOCHS_MAX}")
        per_layer(config.model.activity, self.model.layers, "model.activity")
        per_layer(config.optimizer.learning_rate, self.model.layers, "optimizer.learning_rate")
        per_layer(config.model.gain, self.model.layers, "model.gain")
        per_layer(config.model.drive_deviation, self.model.layers, "model.drive_deviation")
        per_layer(config.error_signals.strength, self.model.layers, "error_signals.strength")
        self.batches = -(-self.samples // config.data.batch_size)
        frozen_layers(config, self.model.names)
        self._transfer = None if weights is None else Transfer.match(weights, self.model, config)
        self.stop = StopFlag()
        check_teacher(config.error_signals, soft_targets is not None)
        self._soft_targets = soft_targets
        self._diagnosis = Diagnostics(self.model, config)
        self._test = EpochTest(config, dataset, self.pipeline, self.samples, self.test_samples, observer)
        self._spectral_limit = SpectralLimit(
            config, self.pipeline, dataset.train, self.samples, self._tell_spectral_norms
        )

    def _naming_memory(self, what: str, dataset: Dataset) -> AbstractContextManager[None]:
        height, width = dataset.train.shape[:2]
        return naming_memory(
            f"{what} ({self.config.model.arch} for samples of {height}x{width})",
            "use smaller samples or layers, or a machine with more memory",
        )

    def request_stop(self) -> None:
        """Ask the run to end soon: the mini-batch in progress is dropped. Safe in a signal handler."""
        self.stop.set()

    def run(self) -> None:
        """Train to the end, or go on from the last checkpoint.

        Raises
        ------
        InputError
            A fault of the user; what the run has earned is kept.
        Stopped
            `request_stop` was called; a checkpoint has been written and the message says how to go on.
        """
        if self.ranks.size > 1:
            check_agreement(self.ranks, self.config, self.dataset, self._soft_targets)
            self.ranks.by_node(self._warm_up)
        thread_pool = ThreadPool(self.model, self.config, self.options.threads, self.stop.array, self.ranks)
        with RunStore(self.options, self.ranks) as run_store, thread_pool:
            found = run_store.find(self.config)
            if found.finished:
                more = "" if self.config.optimizer.patience else ": spikesim resume --epochs gives it more epochs"
                self.observer.message(f"{self.options.out} is finished; nothing to do{more}")
                return
            if found.checkpoint is None:
                if self._transfer is None:
                    check_random_start(self.config)
            elif found.checkpoint.warning:
                self.observer.warning(found.checkpoint.warning)
            self._announce(found.checkpoint)
            learner = self._learner(thread_pool)
            run_store.open(self._header(learner), found)
            for note in run_store.notes:
                self.observer.warning(note)
            self._run(run_store, learner, found.checkpoint)

    def begin(self, parameters: ParameterTree) -> None:
        """Make the run file with these parameters, and a checkpoint from which `run` trains them.

        Raises
        ------
        InputError
            The parameters do not fit the dynamics, or the file cannot be written.
        """
        thread_pool = ThreadPool(self.model, self.config, 1, self.stop.array, self.ranks)
        with RunStore(self.options, self.ranks) as run_store, thread_pool:
            learner = Learner(self.model, self.config, parameters, thread_pool, self._soft_targets)
            self.model.set_parameters(parameters, self.config.dynamics.beta)  # refused before anything is replaced
            found = run_store.find(self.config)
            run_store.open(self._header(learner), found)
            self._save(run_store, learner, Position())
            run_store.write(lambda writer: writer.set_status("stopped"))

    def _announce(self, found: Checkpoint | None) -> None:
        """Where the mini-batches begin; a fault of the first rank's observer is one of all."""
        at = Position() if found is None else position_of(found)
        beginning = Beginning(self.options.out, self.config, at.epoch, at.batch, self.batches, self.samples)
        self.ranks.first(lambda: self.observer.begin(beginning))

    def _warm_up(self) -> None:
        """Compile the kernels, or load them, on a mini-batch that changes nothing."""
        with ThreadPool(self.model, self.config, 1) as thread_pool:
            parameters = initial_parameters(self.model, self.config)
            learner = Learner(self.model, self.config, parameters, thread_pool, self._soft_targets)
            ids = np.arange(1)
            labels = self.dataset.train.labels[ids]
            learner.batch(MiniBatch(0, 0, self.pipeline.train(0, ids), ids, labels), 0.0)
            evaluate(thread_pool, self.pipeline, self.dataset.test, 1, stream_of(0, STREAM_EVALUATION))

    def _learner(self, thread_pool: ThreadPool) -> Learner:
        """A learner with its first weights, which are also in the network: what is wrong with them is told now."""
        with self._naming_memory("the weights and what learning keeps of them", self.dataset):
            parameters = initial_parameters(self.model, self.config)
            if self._transfer is not None:
                parameters = self._transfer.start(self.model, parameters)
            learner = Learner(self.model, self.config, parameters, thread_pool, self._soft_targets)
            if self._transfer is not None:
                self._transfer.adopt(learner.normalization)
            self.model.set_parameters(parameters, self.config.dynamics.beta)
        return learner

    def _header(self, learner: Learner) -> RunHeader:
        """The run as its file describes it."""
        return make_header(
            self.model,
            self.config,
            learner.parameters,
            self.options.command_line,
            data_source=self.dataset.source,
            samples=SampleSpec.of(self.dataset),
            behind=learner.normalization.behind(),
            recorded=self._recorded_samples(),
        )

    def _recorded_samples(self) -> RecordedSamples | None:
        test, chosen = self.dataset.test, np.array(self.config.record.spikes, np.int64)
        assert not isinstance(test, TextSet)  # encoded
        if not len(chosen):
            return None
        tokens = test.padded(chosen)[0].reshape(len(chosen), -1) if isinstance(test, TokenSet) else None
        return RecordedSamples(chosen, test.labels[chosen], test.pictures(chosen), tokens)

    def _run(self, run_store: RunStore, learner: Learner, found: Checkpoint | None) -> None:
        position = Position()
        try:
            run_store.write(lambda writer: writer.set_status("running"))
            if found is not None:
                self._take_up(found, learner, position)
                weights = learner.normalization.stored()
                run_store.write(lambda writer: writer.write_weights(weights))
                self._take_up_best(run_store, position)
                run_store.write(partial(_write_last_test, position.last_test))
                self.observer.message(
                    f"resuming {self.options.out} at epoch {position.epoch + 1}, mini-batch {position.batch + 1}"
                )
            else:
                self._start(learner, position)
                self._save(run_store, learner, position)
            self._epochs(run_store, learner, position)
        except Stopped:
            if found is not None or run_store.saved:
                self._save(run_store, learner, position)
            run_store.write(lambda writer: writer.set_status("stopped"))
            raise Stopped(
                f"Stopped at epoch {position.epoch + 1}, mini-batch {position.batch}; "
                f"{resume_advice(self.options.going_on or self.options.command_line)}"
            ) from None
        run_store.write(lambda writer: writer.set_status("finished"))

    def _epochs(self, run_store: RunStore, learner: Learner, position: Position) -> None:
        """The training loop, from a position to the end."""
        settings = self.config.optimizer
        saved_at = time.monotonic()
        while position.epoch < settings.epochs and not position.best.ends(settings.patience, position.epoch):
            began = time.perf_counter()
            for batch in self._mini_batches(learner, position):
                self._spectral_limit.before_batch(learner, position)
                row = self._batch(learner, position, batch)
                run_store.write(partial(_append_batch, row))
                every = self.options.checkpoint_every
                due = time.monotonic() - saved_at >= CHECKPOINT_SECONDS if every is None else position.done % every == 0
                if self.ranks.first(partial(bool, due)):  # clocks differ
                    self._save(run_store, learner, position)
                    saved_at = time.monotonic()
            trained = time.perf_counter()
            spectral_norms = self._spectral_limit.apply(learner, position)
            evaluation, best, rows = self._test.run(learner, position, self._progress(position))
            # A run that is stopped before this does the test again; nothing stops it between these rows and the epoch
            run_store.write(partial(_write_all, rows))
            seconds = trained - began, time.perf_counter() - trained
            summary = self._finish_epoch(run_store, position, evaluation, spectral_norms, seconds)
            recorded = evaluation.answers[list(self.config.record.spikes)]
            position.last_test = LastTest(position.epoch, evaluation.confusion(), recorded)
            run_store.write(partial(_write_last_test, position.last_test))
            if best is not position.best:
                position.best = best
                run_store.write(partial(_write_best, best))
            self._save(run_store, learner, position)
            saved_at = time.monotonic()
            self.observer.epoch(summary)
        if position.epoch < settings.epochs:
            self.observer.message(
                f"the training ends after epoch {position.epoch} of {settings.epochs}: "
                f"{counted(settings.patience or 0, 'epoch')} did not raise the validation accuracy of epoch "
                f"{position.best.rose}, {percent(position.best.correct / self.test_samples)}"
            )

    def _mini_batches(self, learner: Learner, position: Position) -> Iterator[MiniBatch]:
        """What is left of an epoch, with the inputs of this rank; those of the next are made while one is learned."""
        size = self.config.data.batch_size
        order = learner.order(position.epoch, self.samples)
        parts = [order[first : first + size] for first in range(position.batch * size, self.samples, size)]
        own = [part[share(self.ranks, len(part))] for part in parts]
        pairs = list(zip(own, parts, strict=True))
        inputs = learner.thread_pool.ahead(lambda pair: self.pipeline.train(position.epoch, *pair), pairs)
        labels = self.dataset.train.labels
        for number, (ids, given) in enumerate(zip(parts, inputs, strict=True), position.batch):
            yield MiniBatch(position.epoch, number, given, ids, labels[ids])

    def _batch(self, learner: Learner, position: Position, batch: MiniBatch) -> dict[str, Any]:
        """One mini-batch, after which the position is behind it; its row."""
        began = time.perf_counter()
        factor, samples = self._factor(position), len(batch.ids)
        result = learner.batch(batch, factor, self._progress(position))
        loss = math.fsum(result.loss_sum)
        if not math.isfinite(loss):
            raise InputError("the loss is not finite: the training diverged; lower the learning rates or the gain")
        for line in self._diagnosis.observe(result):
            self.observer.warning(line)
        rate = self._rate(factor)
        place = {"epoch": position.epoch + 1, "batch": position.batch, "learning_rate": rate}
        row = batch_row(self.model, self.config, result)
        seconds = time.perf_counter() - began
        position.batch += 1
        position.done += 1
        position.losses.append(loss)
        position.correct += result.correct
        free = result.counts[ph.FREE]
        self.observer.batch(
            Progress(
                epoch=position.epoch + 1,
                epochs=self.config.optimizer.epochs,
                batch=position.batch,
                batches=self.batches,
                samples=samples,
                loss=loss / samples,
                accuracy=result.correct / samples,
                activity=float(free.spikes.sum() / max(1, free.updates.sum())),
                learning_rate=rate,
                beta=result.beta,
                seconds=seconds,
            )
        )
        return {**place, **row, "seconds": seconds}

    def _factor(self, position: Position) -> float:
        return schedule(self.config.optimizer, self._progress(position))

    def _progress(self, position: Position) -> float:
        """Share of the training that is done."""
        return extension.progress(self.config.optimizer, position, self.batches)

    def _rate(self, factor: float) -> float:
        rate = self.config.optimizer.learning_rate
        return factor * (rate[0] if isinstance(rate, tuple) else rate)

    def _finish_epoch(
        self,
        run_store: RunStore,
        position: Position,
        evaluation: Evaluation,
        spectral_norms: NDArray[np.float64],
        seconds: tuple[float, float],
    ) -> EpochSummary:
        """The epoch's row; the position moves to the next epoch."""
        train_loss = math.fsum(position.losses) / self.samples
        row = {
            "epoch": position.epoch + 1,
            "train_loss": train_loss,
            "train_correct": position.correct,
            "train_samples": self.samples,
            **epoch_counts(evaluation),
            "spectral_norm": spectral_norms,
            "learning_rate": self._rate(self._factor(position)),
            "seconds": seconds[0],
            "test_seconds": seconds[1],
        }
        run_store.write(lambda writer: writer.append_epoch(row))
        summary = EpochSummary(
            epoch=position.epoch + 1,
            epochs=self.config.optimizer.epochs,
            train_loss=train_loss,
            train_accuracy=position.correct / self.samples,
            test_loss=evaluation.loss,
            test_accuracy=evaluation.accuracy,
            tested_on=tested_on(self.config.data.validation),
            seconds=sum(seconds),
        )
        position.end_epoch()
        return summary

    def _start(self, learner: Learner, position: Position) -> None:
        """Parameters as the training starts with them, and their spectral norm."""
        normalization = learner.normalization
        normalization.hold(() if self._transfer is None else self._transfer.layers)
        if self._transfer is not None:
            self.observer.message(self._transfer.text)
            if self._transfer.warning is not None:
                self.observer.message(f"warning: {self._transfer.warning}")
        if needs_start(self.config, normalization):
            self.observer.message("calibrating the biases")
        found = start(
            self.model,
            self.config,
            normalization,
            learner.thread_pool,
            self.pipeline,
            self.samples,
            self.observer.calibrating,
        )
        normalization.hold(learner.frozen)
        if found is not None:
            position.spectral_norm = float(found.max())
            self._tell_spectral_norms(by_layer(self.model, found))

    def _tell_spectral_norms(self, found: NDArray[np.float64]) -> None:
        for line in self._diagnosis.coupled(found):
            self.observer.warning(line)

    def _take_up(self, found: Checkpoint, learner: Learner, position: Position) -> None:
        """Parameters, moments and position of a checkpoint.

        Raises
        ------
        InputError
            It is that of another run.
        """
        try:
            TrainingState(learner, position).take_up(found)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the checkpoint {found.position} of {self.options.out} is not one of this run ({error}); restore the "
                "folder of its checkpoints, or start again with --overwrite"
            ) from None

    def _take_up_best(self, run_store: RunStore, position: Position) -> None:
        """The best weights of the checkpoint, in the run file; of a run of an older version, what its rows say."""
        if not self.config.data.validation:
            return
        if position.epoch and not position.best.epoch:
            position.best = self.ranks.first(self._best_of_rows)
        if position.best.epoch and not position.best.kept:
            self.observer.warning(
                f"the weights of epoch {position.best.epoch}, the best so far on the validation set, are lost, because "
                "an older version did not keep them; those of a better epoch will be kept"
            )
        run_store.write(partial(_write_best, position.best))

    def _best_of_rows(self) -> BestEpoch:
        with RunReader(self.options.out) as run:
            return BestEpoch.of_rows(run.epochs)

    def _save(self, run_store: RunStore, learner: Learner, position: Position) -> None:
        """Weights and a checkpoint."""
        began = time.perf_counter()
        state = TrainingState(learner, position)
        # an epoch's test moves the run on without a mini-batch, so it counts as one (`runs.state.checkpoints_text`)
        number = position.done + position.epoch
        run_store.save(number, learner.normalization.stored(), state.to_arrays(), state.to_meta())
        seconds = time.perf_counter() - began
        self.observer.detail(f"checkpoint after {counted(position.done, 'mini-batch')}, {seconds:.2f} s")


def _write_all(rows: list[Rows], writer: RunWriter) -> None:
    for write in rows:
        write(writer)


def _append_batch(row: dict[str, Any], writer: RunWriter) -> None:
    writer.append_batch(row)


def _write_best(best: BestEpoch, writer: RunWriter) -> None:
    writer.write_best(best.kept, best.weights)


def _write_last_test(test: LastTest, writer: RunWriter) -> None:
    writer.write_last_test(test)


def _require_once(samples: tuple[int, ...]) -> None:
    """Refuse to record a sample twice: each of its spikes would be counted twice by whoever reads the file."""
    seen: set[int] = set()
    for sample in samples:
        if sample in seen:
            raise InputError(f"record.spikes names sample {sample} more than once; name each once")
        seen.add(sample)


def _limited(name: str, limit: int | None, available: int) -> int:
    if limit is not None and limit > available:
        raise InputError(f"{name} is {limit}; the data set has {counted(available, 'sample')}")
    return available if limit is None else limit
