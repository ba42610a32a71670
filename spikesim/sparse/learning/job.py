"""Learning as a job: epochs of a described network, into the file of a simulation, saved, stopped and resumed."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError, Stopped
from spikesim.io.numbers import integer
from spikesim.runtime.command_line import resume_advice
from spikesim.runtime.text import counted
from spikesim.sparse.description import Description
from spikesim.sparse.job import SAVE_SECONDS, Job
from spikesim.sparse.learning.described import Patterns, read_task
from spikesim.sparse.learning.equilibrium import EquilibriumPropagation
from spikesim.sparse.recorder import SimulationWriter
from spikesim.sparse.recording import LEARNING_COLUMNS
from spikesim.sparse.simulation import Simulation

EPOCHS_MAX = 2**20


class LearningProgress(NamedTuple):
    """How the learning stands after an epoch.

    Attributes
    ----------
    epoch, epochs : int
    numbers : dict of str to float
        By the names of `LEARNING_COLUMNS`; NaN where there are no labels, or nothing to test with.
    """

    epoch: int
    epochs: int
    numbers: dict[str, float]


class _Epoch:
    """Sums over the batches of an epoch so far."""

    def __init__(self, sums: NDArray[np.float64] | None = None) -> None:
        found: list[float] = [0.0, 0.0, 0.0] if sums is None else sums.tolist()
        self.batches, self.error, self.right = found

    def array(self) -> NDArray[np.float64]:
        return np.array([self.batches, self.error, self.right])


class LearningJob(Job):
    """Trains a described network for some epochs, then records the free phase of the first samples.

    Epochs are repeated with the same calls in Python (`spikesim.sparse.learning`) to the same bits. The order of an
    epoch is `numpy.random.default_rng([seed, epoch]).permutation`; samples that fill no batch are left out of it. A
    test after an epoch changes nothing of what follows.

    The arguments are those of `spikesim.sparse.job.Job`.

    Attributes
    ----------
    task : Task
    learner : EquilibriumPropagation
    """

    def __init__(self, description: Description, out: Any, *, threads: int = 1, **options: Any) -> None:
        self.task = read_task(description)
        self.learner = EquilibriumPropagation(
            description.network,
            self.task.input,
            self.task.output,
            samples=self.task.batch_size,
            phases=self.task.phases,
            seed=description.seed,
            threads=threads,
        )
        self._rows = np.zeros((0, len(LEARNING_COLUMNS)))
        self._epoch = _Epoch()
        self._resumed = False
        super().__init__(description, out, threads=threads, **options)

    def _restore(self) -> None:
        found = self.learner.restore(self._state)
        rows, sums = found.get("epochs"), found.get("epoch")
        if rows is None or rows.shape[1:] != self._rows.shape[1:] or sums is None or sums.shape != (3,):
            raise InputError(f"{self._state} is not the state of a network that learns; --overwrite starts anew")
        self._rows, self._epoch = rows, _Epoch(sums)
        self._resumed = self._overwrite = True  # what the file has of them, the state has, too

    def _save(self) -> None:
        self.learner.save(self._state, {"epochs": self._rows, "epoch": self._epoch.array()})

    @property
    def progress(self) -> LearningProgress:
        """How it stands after the last epoch."""
        last = self._rows[-1].tolist() if len(self._rows) else [np.nan] * len(LEARNING_COLUMNS)
        return LearningProgress(len(self._rows), self.task.epochs, dict(zip(LEARNING_COLUMNS, last, strict=True)))

    def learn(self, observe: Callable[[LearningProgress], None] = lambda progress: None) -> None:
        """Learn for the epochs of the description.

        Raises
        ------
        InputError
            More epochs are done already, or a file cannot be written.
        Stopped
            `request_stop` was called; everything is saved.
        """
        epochs = integer(self.task.epochs, "epochs", 1, EPOCHS_MAX)
        if epochs < len(self._rows):
            raise InputError(
                f"epochs is {epochs}, and {self.path} has {len(self._rows)} of them already; ask for at least as many"
            )
        with _LearningWriter(
            self.path,
            self.description,
            self.simulation,
            overwrite=self._overwrite,
            keep_damaged=self._damaged,
            command_line=self.command_line,
        ) as writer:
            if not self._resumed:
                self._state.unlink(missing_ok=True)
            writer.write_epochs(self._rows)
            saved_at = time.monotonic()
            while len(self._rows) < epochs and not self._stop:
                if self._finish_epoch(saved_at):
                    writer.write_epochs(self._rows)
                    observe(self.progress)
                if time.monotonic() - saved_at >= SAVE_SECONDS:
                    self._save()
                    saved_at = time.monotonic()
            self._save()
            shown = _batch((self.task.test or self.task.train).inputs, 0, self.task.batch_size)
            self.learner.prepare(self.simulation, shown)
            writer.write_biases(self.learner)
            if len(self._rows) < epochs:
                writer.close("stopped", self.simulation)
                raise Stopped(
                    f"Stopped after {len(self._rows)} of {counted(epochs, 'epoch')}; {resume_advice(self.command_line)}"
                )
            self.simulation.run(self.task.phases.free)
            writer.append(self.simulation)
            writer.close("finished", self.simulation)

    def _finish_epoch(self, saved_at: float) -> bool:
        """Go on with an epoch until it ends, a state should be saved, or a stop is requested; whether it has ended."""
        task, own = self.task, self._epoch
        order = np.arange(len(task.train.inputs))
        if task.shuffle:
            order = np.random.default_rng([self.description.seed, len(self._rows)]).permutation(order)
        batches = len(order) // task.batch_size
        while own.batches < batches and not self._stop and time.monotonic() - saved_at < SAVE_SECONDS:
            first = int(own.batches) * task.batch_size
            chosen = order[first : first + task.batch_size]
            found = self.learner.contrast(task.train.inputs[chosen], task.train.targets[chosen])
            self.learner.move(found, task.rate, bias_rate=task.bias_rate, decay=task.decay)
            own.error += found.error
            own.right += 0 if task.train.labels is None else task.right(found.rates, task.train.labels[chosen])
            own.batches += 1
        if own.batches < batches:
            return False
        accuracy = np.nan if task.train.labels is None else own.right / (batches * task.batch_size)
        row = [own.error / batches, accuracy, *self._test()]
        self._rows, self._epoch = np.concatenate([self._rows, [row]]), _Epoch()
        return True

    def _test(self) -> tuple[float, float]:
        """Mean squared error and accuracy of the test samples."""
        patterns = self.task.test
        if patterns is None:
            return np.nan, np.nan
        before = self.learner.simulation.snapshot()
        rates = self._rates(patterns)
        self.learner.simulation.rewind(before)
        accuracy = np.nan if patterns.labels is None else self.task.right(rates, patterns.labels) / len(rates)
        return float(np.mean((patterns.targets - rates) ** 2)), accuracy

    def _rates(self, patterns: Patterns) -> NDArray[np.float64]:
        """Rates of the outputs in free phases, (samples, outputs), batch by batch."""
        size, samples = self.task.batch_size, len(patterns.inputs)
        found = [self.learner.rates(_batch(patterns.inputs, first, size)) for first in range(0, samples, size)]
        return np.concatenate(found)[:samples]


def _batch(inputs: NDArray[np.float64], first: int, size: int) -> NDArray[np.float64]:
    """A batch from a sample on; what the samples do not fill are the first ones again."""
    return inputs[np.arange(first, first + size) % len(inputs)]


class _LearningWriter(SimulationWriter):
    """Writes what was learned, too: the group `learning` of the file."""

    def write_epochs(self, rows: NDArray[np.float64]) -> None:
        """Write the numbers of the epochs that are done."""
        with self._file.changing():
            for place, name in enumerate(LEARNING_COLUMNS):
                self._file[f"learning/{name}"][: len(rows)] = rows[:, place]
            self._file.flush()
            self._file.write("learning/epochs", len(rows))  # only now: a reader sees whole rows
            self._file.flush()

    def write_biases(self, learner: EquilibriumPropagation) -> None:
        """Write what the biases have become; `close` writes the weights."""
        with self._file.changing():
            for population in self.description.network.populations:
                if population.index in learner.biases:
                    self._file.write(f"learning/biases/{population.name}", learner.biases[population.index])
            self._file.flush()

    def _write_layout(self, file: Any, simulation: Simulation) -> None:
        super()._write_layout(file, simulation)
        assert self.description.learning is not None
        group, epochs = file.create_group("learning"), int(self.description.learning["epochs"])
        group.create_dataset("epochs", data=np.uint64(0))
        for name in LEARNING_COLUMNS:
            group.create_dataset(name, data=np.full(epochs, np.nan))
        for population in self.description.network.populations:
            if not population.source:
                group.create_dataset(f"biases/{population.name}", data=np.zeros(population.size))
