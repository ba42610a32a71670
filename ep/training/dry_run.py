"""How long a training will take and what it will need: some of its mini-batches and of its test, thrown away.

What is timed is what `Trainer` runs, on the same data and from the same start, without a run file or a checkpoint. The
cost of a step follows the spikes, so an estimate is one for the activity that the first mini-batches have.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from spikesim.ep.config.random_streams import STREAM_EVALUATION, stream_of
from spikesim.ep.evaluation.evaluate import evaluate, record_spikes
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.schema import RunHeader, file_bytes
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.observer import Observer, Progress
from spikesim.ep.training.trainer import Trainer
from spikesim.ep.training.training_state import Position
from spikesim.jit.compile_time import CompileTime, compile_time
from spikesim.runtime.free_memory import peak_memory

__all__ = ["DryRun", "Estimate", "Measured", "Work"]

Result = TypeVar("Result")

BATCHES_MIN, BATCHES_MAX = 3, 100
"""Mini-batches that are timed, at least and at most."""
BATCH_SECONDS = 10.0
"""Time after which no further mini-batch is begun, once there are enough."""
TEST_SECONDS = 5.0
"""Time that the samples of the test should take, at most."""
_STREAM = stream_of(0, STREAM_EVALUATION)


@dataclass(frozen=True)
class Work:
    """How much there is to do.

    Attributes
    ----------
    epochs, batches : int
        Epochs of the run, and mini-batches of each.
    samples, test_samples : int
        Samples of an epoch, and of the test after it.
    recorded : int
        Test samples whose spikes are recorded at the end.
    """

    epochs: int
    batches: int
    samples: int
    test_samples: int
    recorded: int


@dataclass(frozen=True)
class Measured:
    """What a part of the work took; seconds, without those of the compiler.

    Attributes
    ----------
    compilation : float
        What the compiler took; 0 if all kernels came from the cache.
    preparation, calibration : float
        Data read, weights drawn, and what the first mini-batch takes more than others, for it loads the kernels; the
        calibration.
    batches : tuple of float
        Of each mini-batch but the first, all of them whole.
    tested : int
        Samples of the test that were tested.
    test, beside_test : float
        Of these samples; and of what follows a test: spectral norms, and samples whose phases are followed.
    recorded : float
        Of one sample whose spikes are recorded.
    activity : float
        Spikes a neuron and step in the free phase of these mini-batches.
    """

    compilation: float
    preparation: float
    calibration: float
    batches: tuple[float, ...]
    tested: int
    test: float
    beside_test: float
    recorded: float
    activity: float


@dataclass(frozen=True)
class Estimate:
    """What a training will take, in seconds and bytes.

    A mini-batch counts with the median of those that were measured. An epoch's last one counts as a whole one.

    Attributes
    ----------
    header : RunHeader
        The network.
    work : Work
    measured : Measured
    memory : int
        Peak of the resident memory of this process so far.
    file : int
        The run file at its end, without recorded spikes.
    """

    header: RunHeader
    work: Work
    measured: Measured
    memory: int
    file: int

    @property
    def batch(self) -> float:
        """A mini-batch."""
        return statistics.median(self.measured.batches)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A mini-batch: a quarter of them is faster, a quarter slower."""
        low, high = np.quantile(self.measured.batches, (0.25, 0.75))
        return float(low), float(high)

    @property
    def epoch(self) -> float:
        """The mini-batches of an epoch."""
        return self.work.batches * self.batch

    @property
    def test(self) -> float:
        """A test, with what follows it."""
        return self.measured.test * self.work.test_samples / self.measured.tested + self.measured.beside_test

    def run(self, batch: float) -> float:
        """The whole run, if its mini-batches take so many seconds; kernels come from the cache."""
        once = self.measured.preparation + self.measured.calibration + self.work.recorded * self.measured.recorded
        return once + self.work.epochs * (self.work.batches * batch + self.test)


class DryRun(Trainer):
    """A training of which a little is run, timed, and thrown away; parameters as those of `Trainer`.

    Nothing is written: of the options only the threads count. It is not shared among ranks.
    """

    def measure(self, prepared: float = 0.0) -> Estimate:
        """Start the training, and run a few of its mini-batches and a part of its test.

        Parameters
        ----------
        prepared : float
            Seconds that it took to come here, such as those for reading the data.

        Returns
        -------
        Estimate

        Raises
        ------
        InputError
            As the training would.
        """
        watcher = self.observer = _Watcher(self.observer)
        epochs, spikes = self.config.optimizer.epochs, self.config.record.spikes
        with compile_time() as compiled:
            clock = _Clock(compiled)
            began = clock.now()
            with ThreadPool(self.model, self.config, self.options.threads, self.stop.array) as thread_pool:
                learner = self._learner(thread_pool)
                prepared += clock.now() - began
                _, calibration = clock.time(lambda: self._start(learner, Position()))
                first, *batches = self._timed_batches(learner, clock)
                batch = statistics.median(batches)
                prepared += max(0.0, first - batch)  # it loads the kernels
                tested = self._part_of_the_test(thread_pool, batch)
                _, test = clock.time(lambda: self._test_some(learner, tested))
                _, spectral = clock.time(lambda: self._spectral_limit.apply(learner, Position()))
                traces, followed = clock.time(lambda: self._count_traces(learner))
                _, recorded = clock.time(lambda: self._record_spikes(thread_pool, spikes[:1]))
        measured = Measured(
            compilation=compiled.seconds,
            preparation=prepared,
            calibration=calibration,
            batches=tuple(batches),
            tested=tested,
            test=test,
            beside_test=spectral + followed,
            recorded=recorded,
            activity=watcher.activity,
        )
        work = Work(epochs, self.batches, self.samples, self.test_samples, len(spikes))
        rows = {"batches": epochs * self.batches, "epochs": epochs, "traces": epochs * traces}
        header = self._header(learner)
        return Estimate(header, work, measured, peak_memory(), file_bytes(header, rows))

    @property
    def _whole(self) -> int:
        """Samples of a mini-batch that is whole."""
        return min(self.config.data.batch_size, self.samples)

    def _timed_batches(self, learner: Learner, clock: "_Clock") -> list[float]:
        """Train, from the beginning again where an epoch is too short; the times of whole mini-batches."""
        taken, began = list[float](), clock.now()
        while True:
            position = Position()
            last = clock.now()
            for batch in self._mini_batches(learner, position):
                self._batch(learner, position, batch)
                now = clock.now()
                if len(batch.ids) == self._whole:
                    taken.append(now - last)
                last = now
                if len(taken) > BATCHES_MAX or (len(taken) > BATCHES_MIN and now - began >= BATCH_SECONDS):
                    return taken

    def _part_of_the_test(self, thread_pool: ThreadPool, batch: float) -> int:
        """So many test samples that all threads have the same and that it does not take long: no sample takes longer
        than in training."""
        rounds = thread_pool.threads * thread_pool.group
        wanted = TEST_SECONDS / batch * self._whole
        return min(self.test_samples, max(1, int(wanted / rounds)) * rounds)

    def _test_some(self, learner: Learner, samples: int) -> None:
        self.model.set_parameters(learner.parameters)
        evaluate(learner.thread_pool, self.pipeline, self.dataset.test, samples, _STREAM)

    def _count_traces(self, learner: Learner) -> int:
        """Follow the phases of the chosen samples, as after each epoch; how many rows that gives."""
        at = self._progress(Position())
        return len(self._test.traces(learner, 0, at)["step"]) if self.config.record.traces else 0

    def _record_spikes(self, thread_pool: ThreadPool, samples: tuple[int, ...]) -> None:
        for _ in record_spikes(thread_pool, self.pipeline, self.dataset.test, samples, _STREAM):
            pass


class _Clock:
    """Wall time without that of the compiler."""

    def __init__(self, compiled: CompileTime) -> None:
        self._compiled = compiled

    def now(self) -> float:
        return time.perf_counter() - self._compiled.seconds

    def time(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """What a call gave, and its seconds."""
        began = self.now()
        return work(), self.now() - began


class _Watcher(Observer):
    """Passes on what a training tells before its first mini-batch, and remembers how active the network was."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._activities: list[float] = []

    @property
    def activity(self) -> float:
        return statistics.fmean(self._activities)

    def message(self, text: str) -> None:
        self._observer.message(text)

    def warning(self, text: str) -> None:
        self._observer.warning(text)

    def detail(self, text: str) -> None:
        self._observer.detail(text)

    def calibrating(self, rounds: int, most: int) -> None:
        self._observer.calibrating(rounds, most)

    def batch(self, progress: Progress) -> None:
        self._activities.append(progress.activity)
