"""A whole run: epochs of mini-batches, tests, the run file, checkpoints, stop and resume.

A checkpoint is a position between two mini-batches. Nothing that is random has a state, so parameters, moments, the
position and the number of rows written are all there is to keep.
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim import checkpoint
from spikesim.datasets import Dataset
from spikesim.ep import heads as hd
from spikesim.ep import phases as ph
from spikesim.ep.calibration import calibrate
from spikesim.ep.config import Config, per_layer
from spikesim.ep.evaluation import Evaluation, evaluate, record_spikes
from spikesim.ep.learner import BatchResult, Learner
from spikesim.ep.model import Model, Parameters, initial_parameters
from spikesim.ep.observer import EpochSummary, Observer, Progress
from spikesim.ep.optimisers import schedule
from spikesim.ep.presentation import Presenter
from spikesim.ep.team import Team
from spikesim.errors import InputError, Stopped
from spikesim.fixedpoint import ONE
from spikesim.runfile import LayerInfo, RunHeader, RunReader, RunWriter
from spikesim.runlock import RunLock

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; nothing here changes a bit of its results.

    Attributes
    ----------
    out : path of the run file
    resume, overwrite : what to do with a run file that exists
    threads : int
    checkpoint_every : int or None
        Mini-batches between checkpoints; None for once a minute. There is always one after an epoch.
    command_line : str
        For the file's attributes.
    """

    out: Path
    resume: bool = False
    overwrite: bool = False
    threads: int = 1
    checkpoint_every: int | None = None
    command_line: str = ""


@dataclass
class Position:
    """Where a run stands, between two mini-batches; `batch` equal to the number of batches: the test is due."""

    epoch: int = 0
    batch: int = 0
    done: int = 0
    losses: list[float] = field(default_factory=list)  # sums by mini-batch of the present epoch
    correct: int = 0

    def to_meta(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"epoch": self.epoch, "batch": self.batch, "done": self.done, "correct": self.correct}


class Trainer:
    """Train a network on a data set, into a run file.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    options : RunOptions
    observer : Observer

    Raises
    ------
    InputError
        The architecture does not fit the data, a list has not a value for each layer, the limits are out of range, or
        the options contradict each other.
    """

    def __init__(self, config: Config, dataset: Dataset, options: RunOptions, observer: Observer) -> None:
        self.config = config
        self.dataset = dataset
        self.options = options
        self.observer = observer
        self.model = Model(config, dataset)
        self.presenter = Presenter(config, dataset, self.model.stack.image.shape)
        self.samples = _limited("data.limit", config.data.limit, len(dataset.train.labels))
        self.test_samples = _limited("data.test_limit", config.data.test_limit, len(dataset.test.labels))
        beyond = [sample for sample in config.record.spikes if sample >= self.test_samples]
        if beyond:
            raise InputError(
                f"record.spikes names sample {beyond[0]}; the test has {self.test_samples} samples, from 0"
            )
        if config.optimiser.epochs > ph.EPOCHS_MAX:
            raise InputError(f"optimiser.epochs is {config.optimiser.epochs}; at most {ph.EPOCHS_MAX}")
        per_layer(config.model.activity, self.model.layers, "model.activity")
        per_layer(config.optimiser.learning_rate, self.model.layers, "optimiser.learning_rate")
        if options.resume and options.overwrite:
            raise InputError("--resume and --overwrite exclude each other; choose one")
        self.batches = -(-self.samples // config.data.batch_size)
        self.stop = np.zeros(1, np.uint8)
        self._neurons = np.array([population.neurons for population in self.model.stack.populations])

    def request_stop(self) -> None:
        """Ask the run to end soon: the mini-batch in progress is dropped. Safe in a signal handler."""
        self.stop[0] = 1

    def run(self) -> None:
        """Train to the end, or go on from the last checkpoint.

        Raises
        ------
        InputError
            A fault of the user; what the run has earned is kept.
        Stopped
            `request_stop` was called; a checkpoint has been written and the message says how to go on.
        """
        options = self.options
        with RunLock(options.out) as lock, Team(self.model, self.config, options.threads, self.stop) as team:
            found = self._find_checkpoint()
            going_on = options.resume and options.out.exists()
            if going_on and self._is_finished():
                self.observer.message(f"{options.out} is finished; nothing to do")
                return
            if going_on and found is None:
                self._require_no_rows()
            rows = found.meta["rows"] if found else {"batches": 0, "epochs": 0, "spikes": 0}
            learner = Learner(self.model, self.config, initial_parameters(self.model, self.config), team)
            self.model.load(learner.parameters, self.config.dynamics.beta)  # refused before anything is replaced
            header = self._header(learner.parameters)
            if going_on:
                writer = RunWriter.resume(options.out, header, rows=rows, lock=lock)
            else:
                writer = RunWriter.create(options.out, header, overwrite=options.overwrite, lock=lock)
                checkpoint.remove(self._folder)
            with writer:
                self._run(writer, learner, team, found)

    def _run(self, writer: RunWriter, learner: Learner, team: Team, found: "checkpoint.Checkpoint | None") -> None:
        position = Position()
        try:
            writer.set_status("running")
            if found is not None:
                self._take_up(found, learner, position)
                self.observer.message(
                    f"resuming {self.options.out} at epoch {position.epoch + 1}, mini-batch {position.batch + 1}"
                )
            else:
                self._calibrate(learner, team)
                self._save(writer, learner, position)
            self._epochs(writer, learner, team, position)
        except Stopped:
            if found is not None or position.done or checkpoint.positions(self._folder):
                self._save(writer, learner, position)
            writer.set_status("stopped")
            raise Stopped(
                f"Stopped at epoch {position.epoch + 1}, mini-batch {position.batch}; "
                f"the same command with --resume goes on from there."
            ) from None
        writer.set_status("finished")

    def _epochs(self, writer: RunWriter, learner: Learner, team: Team, position: Position) -> None:
        """The training loop, from a position to the end."""
        epochs, size = self.config.optimiser.epochs, self.config.data.batch_size
        saved_at = time.monotonic()
        while position.epoch < epochs:
            began = time.perf_counter()
            order = learner.order(position.epoch, self.samples)
            while position.batch < self.batches:
                ids = order[position.batch * size : (position.batch + 1) * size]
                self._batch(writer, learner, position, ids)
                every = self.options.checkpoint_every
                due = time.monotonic() - saved_at >= CHECKPOINT_SECONDS if every is None else position.done % every == 0
                if due:
                    self._save(writer, learner, position)
                    saved_at = time.monotonic()
            trained = time.perf_counter()
            evaluation = self._test(writer, learner, team, position.epoch)
            summary = self._finish_epoch(writer, position, evaluation, trained - began, time.perf_counter() - trained)
            self._save(writer, learner, position)
            saved_at = time.monotonic()
            self.observer.epoch(summary)

    def _batch(self, writer: RunWriter, learner: Learner, position: Position, ids: NDArray[np.int64]) -> None:
        """One mini-batch and its row."""
        began = time.perf_counter()
        factor = self._factor(position)
        images = self.presenter.train(position.epoch, ids)
        labels = self.dataset.train.labels[ids]
        result = learner.batch(position.epoch, position.batch, images, ids, labels, factor, self._progress(position))
        loss = math.fsum(result.loss_sum)
        if not math.isfinite(loss):
            raise InputError("the loss is not finite: the training diverged; lower the learning rates or the gain")
        row = self._batch_row(position, result, len(ids), factor)
        writer.append_batch({**row, "seconds": time.perf_counter() - began})
        position.batch += 1
        position.done += 1
        position.losses.append(loss)
        position.correct += result.correct
        free = result.counts[ph.FREE]
        self.observer.batch(
            Progress(
                epoch=position.epoch + 1,
                epochs=self.config.optimiser.epochs,
                batch=position.batch,
                batches=self.batches,
                samples=len(ids),
                loss=loss / len(ids),
                accuracy=result.correct / len(ids),
                activity=float(free.spikes.sum() / max(1, free.updates.sum())),
            )
        )

    def _factor(self, position: Position) -> float:
        return schedule(self.config.optimiser, self._progress(position))

    def _progress(self, position: Position) -> float:
        """Share of the training that is done."""
        return (position.epoch + position.batch / self.batches) / self.config.optimiser.epochs

    def _rate(self, factor: float) -> float:
        rate = self.config.optimiser.learning_rate
        return factor * (rate[0] if isinstance(rate, tuple) else rate)

    def _batch_row(self, position: Position, result: BatchResult, samples: int, factor: float) -> dict[str, Any]:
        dynamics = self.config.dynamics
        half_windows = (dynamics.window_free // 2, dynamics.nudged_window // 2, dynamics.nudged_window // 2)
        counts = result.counts
        weights = [*self.model.stack.connections]
        norms = [_norm(connection.integers, connection.exponent) for connection in weights]
        norms.append(self._readout_norm())
        return {
            "epoch": position.epoch + 1,
            "batch": position.batch,
            "samples": samples,
            "loss": math.fsum(result.loss_sum) / samples,
            "correct": result.correct,
            "learning_rate": self._rate(factor),
            "beta": result.beta,
            "steps": np.array([phase.steps for phase in counts]),
            "spikes": np.array([phase.spikes for phase in counts]),
            "events_forward": np.array([phase.events_forward for phase in counts]),
            "events_feedback": np.array([phase.events_feedback for phase in counts]),
            "macs": np.array([phase.macs for phase in counts]),
            "neuron_updates": np.array([phase.updates for phase in counts]),
            "saturated": np.array([phase.saturated for phase in counts]),
            "residual": np.array(
                [
                    phase.residual / (ONE * half * samples * self._neurons)
                    for phase, half in zip(counts, half_windows, strict=True)
                ]
            ),
            "hopfield": np.array([self._hopfield(phase) / samples for phase in counts]),
            "rate_difference": result.rate_difference,
            "weight_change": result.changes,
            "weight_norm": np.array(norms),
        }

    def _hopfield(self, counts: ph.PhaseCounts) -> float:
        """Energy function, summed over the samples; with a feedback gain the lower layers weigh more."""
        gain, top = self.config.dynamics.feedback_gain, self.model.layers - 1
        shares = [int(share) * gain ** (layer - top) for layer, share in enumerate(counts.energy)]
        return math.fsum(shares) * 0.5 / ONE**2

    def _readout_norm(self) -> float:
        packed, head = self.model.packed, self.model.heads[-1]
        row, classes = packed.table[-1], self.model.classes
        at = int(row[hd.HEAD_AT]) * classes
        return _norm(packed.by_class[at : at + head.features * classes], int(row[hd.HEAD_EXPONENT]))

    def _test(self, writer: RunWriter, learner: Learner, team: Team, epoch: int) -> Evaluation:
        """The test after an epoch; after the last one the chosen samples' spikes are recorded."""
        self.model.load(learner.parameters)
        stream = ph.stream_of(epoch, ph.STREAM_EVALUATION)
        done = 0

        def progress(samples: int) -> None:
            nonlocal done
            done += samples
            self.observer.testing(epoch + 1, done, self.test_samples)

        evaluation = evaluate(team, self.presenter, self.dataset.test, self.test_samples, stream, progress)
        if epoch == self.config.optimiser.epochs - 1:
            chosen = self.config.record.spikes
            trains = list(record_spikes(team, self.presenter, self.dataset.test, chosen, stream))
            for sample, train in trains:  # all or none, so that a stop leaves no half of them
                writer.append_spikes(epoch + 1, sample, train.steps, train.layers, train.neurons)
        return evaluation

    def _finish_epoch(
        self, writer: RunWriter, position: Position, evaluation: Evaluation, seconds: float, test_seconds: float
    ) -> EpochSummary:
        """The epoch's row; the position moves to the next epoch."""
        train_loss = math.fsum(position.losses) / self.samples
        counts = evaluation.counts
        writer.append_epoch(
            {
                "epoch": position.epoch + 1,
                "train_loss": train_loss,
                "train_correct": position.correct,
                "train_samples": self.samples,
                "test_loss": evaluation.loss,
                "test_correct": evaluation.correct,
                "test_samples": evaluation.samples,
                "test_steps": int(counts.steps),
                "test_spikes": counts.spikes,
                "test_events_forward": counts.events_forward,
                "test_events_feedback": counts.events_feedback,
                "test_macs": counts.macs,
                "test_neuron_updates": counts.updates,
                "learning_rate": self._rate(self._factor(position)),
                "seconds": seconds,
                "test_seconds": test_seconds,
            }
        )
        summary = EpochSummary(
            epoch=position.epoch + 1,
            epochs=self.config.optimiser.epochs,
            train_loss=train_loss,
            train_accuracy=position.correct / self.samples,
            test_loss=evaluation.loss,
            test_accuracy=evaluation.accuracy,
            seconds=seconds + test_seconds,
        )
        position.epoch += 1
        position.batch = position.correct = 0
        position.losses.clear()
        return summary

    def _calibrate(self, learner: Learner, team: Team) -> None:
        if not np.any(np.asarray(self.config.model.activity)):
            return
        self.observer.message("calibrating the biases")
        ids = np.arange(min(self.samples, self.config.model.calibration_samples))
        images = self.presenter.plain(self.dataset.train, ids)
        calibrate(self.model, self.config, learner.parameters, team, images, ids)

    def _header(self, parameters: Parameters) -> RunHeader:
        connections = self.model.stack.connections
        layers = []
        for number, connection in enumerate(connections):
            above = connections[number + 1] if number + 1 < len(connections) else None
            layers.append(
                LayerInfo(
                    name=connection.target.name,
                    shape=connection.target.shape,
                    weights=connection.integers.size,
                    synapses_forward=connection.dense_operations,
                    synapses_feedback=above.dense_operations if above is not None else 0,
                    analogue=number == 0,
                )
            )
        return RunHeader(
            config=self.config.to_dict(),
            seed=self.config.seed,
            layers=tuple(layers),
            weight_shapes={name: array.shape for name, array in parameters.to_dict(self.model.parameter_names).items()},
            command_line=self.options.command_line,
        )

    @property
    def _folder(self) -> Path:
        return checkpoint.checkpoint_folder(self.options.out)

    def _is_finished(self) -> bool:
        with RunReader(self.options.out) as run:
            return run.status == "finished" and run.config == self.config.to_dict()

    def _require_no_rows(self) -> None:
        """Without a checkpoint a run starts again, which must not cost what it has earned."""
        with RunReader(self.options.out) as run:
            batches = run.rows["batches"]
        if batches:
            raise InputError(
                f"{self.options.out} has {batches} mini-batches but no checkpoint in {self._folder} to go on from; "
                "restore that folder, choose another --out, or start again with --overwrite"
            )

    def _find_checkpoint(self) -> "checkpoint.Checkpoint | None":
        """The checkpoint to go on from; None to start at the beginning."""
        options = self.options
        if not options.out.exists():
            if checkpoint.positions(self._folder) and not options.overwrite:
                raise InputError(
                    f"{options.out} is missing but its checkpoints are in {self._folder}; restore the file, "
                    "or remove the folder (or --overwrite) to start again"
                )
            return None
        if not options.resume:
            return None
        found = checkpoint.load_latest(self._folder)
        if found is not None and found.warning:
            self.observer.message(found.warning)
        return found

    def _take_up(self, found: "checkpoint.Checkpoint", learner: Learner, position: Position) -> None:
        """Parameters, moments and position of a checkpoint."""
        for name, array in learner.optimiser.parameters.items():
            array[...] = found.arrays[f"parameters/{name}"]
        moments = {name: found.arrays[f"moments/{name}"] for name in learner.optimiser.state()}
        learner.optimiser.load(moments, found.meta["optimiser_steps"])
        learner.steering.load({name: found.arrays[f"steering/{name}"] for name in learner.steering.state()})
        where = found.meta["position"]
        position.epoch, position.batch = where["epoch"], where["batch"]
        position.done, position.correct = where["done"], where["correct"]
        position.losses = found.arrays["losses"].tolist()

    def _save(self, writer: RunWriter, learner: Learner, position: Position) -> None:
        """Weights into the run file, then the checkpoint that counts on its rows."""
        writer.write_weights(learner.parameters.to_dict(self.model.parameter_names))
        writer.flush()
        arrays: dict[str, NDArray[Any]] = {"losses": np.array(position.losses, np.float64)}
        arrays.update({f"parameters/{name}": array for name, array in learner.optimiser.parameters.items()})
        arrays.update({f"moments/{name}": array for name, array in learner.optimiser.state().items()})
        arrays.update({f"steering/{name}": array for name, array in learner.steering.state().items()})
        # an epoch's test moves the run on without a mini-batch, so it counts as one
        meta = {"position": position.to_meta(), "rows": writer.rows, "optimiser_steps": learner.optimiser.steps}
        checkpoint.save(self._folder, position.done + position.epoch, arrays, meta)


def _limited(name: str, limit: int | None, available: int) -> int:
    if limit is not None and limit > available:
        raise InputError(f"{name} is {limit}; the data set has {available} samples")
    return available if limit is None else limit


def _norm(integers: NDArray[np.int16] | NDArray[np.float64], exponent: int) -> float:
    """Euclidean norm of quantised weights; the sum of squares is exact."""
    return math.sqrt(int(np.square(integers.astype(np.int64)).sum())) * 2.0**-exponent
