"""What a run tells whoever watches it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spikesim.errors import Stopped

if TYPE_CHECKING:
    from spikesim.ep.config.parsing import Config


@dataclass(frozen=True)
class Beginning:
    """Where the mini-batches of this process begin: at the first one, or where a checkpoint was made.

    Attributes
    ----------
    out : path of the run file
    config : Config
    epoch, batch : int
        Epochs that are complete, and mini-batches of the next one that are done.
    batches, samples : int
        Mini-batches and samples of an epoch.
    """

    out: Path
    config: "Config"
    epoch: int
    batch: int
    batches: int
    samples: int


@dataclass(frozen=True)
class Progress:
    """A mini-batch has been done.

    Attributes
    ----------
    epoch, epochs : int
        Its epoch, from 1, and the epochs of the run.
    batch, batches : int
        Mini-batches of the epoch that are done, and all of them.
    samples : int
        Samples of this mini-batch.
    loss : float
        Mean cost of the read-out over them; nats, or without unit for the squared error.
    accuracy : float
        Share of them that the read-out names right.
    activity : float
        Spikes a neuron and step of the free phase.
    learning_rate, beta : float
        That of the first layer, and the strength of the nudge.
    seconds : float
        Wall time of the mini-batch.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    samples: int
    loss: float
    accuracy: float
    activity: float
    learning_rate: float
    beta: float
    seconds: float = field(compare=False)  # the same training takes another time


@dataclass(frozen=True)
class EpochSummary:
    """An epoch and its test have been done.

    Attributes
    ----------
    epoch, epochs : int
        Its number, from 1, and the epochs of the run.
    train_loss, test_loss : float
        Mean cost of the read-out, the former while the weights changed; nats, or without unit for the squared error.
    train_accuracy, test_accuracy : float
        Shares of samples that the read-out names right.
    tested_on : str
        What the test was made on: "test" or "validation".
    seconds : float
        Wall time of training and test.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    tested_on: str
    seconds: float


class Observer(Protocol):
    """Who watches a run: inherit from it, and define what you want to be told."""

    def message(self, text: str) -> None:
        """Something that happens once."""
        return None

    def warning(self, text: str) -> None:
        """Something is odd, and the text says what to change; by default a message."""
        self.message(f"warning: {text}")

    def detail(self, text: str) -> None:
        """Something for those who want to know all."""
        return None

    def begin(self, beginning: Beginning) -> None:
        """Mini-batches are going to be trained; an `InputError` refuses that before anything is written."""
        return None

    def calibrating(self, rounds: int, most: int) -> None:
        """The biases have been moved so many times before the first mini-batch, of at most so many."""
        return None

    def batch(self, progress: Progress) -> None:
        """A mini-batch has been done."""
        return None

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Part of a test has been done."""
        return None

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch has been done."""
        return None


class Silent(Observer):
    """Nobody watches."""


class Observers(Observer):
    """Tells several observers, and asks for a stop for one that raises `Stopped`.

    Attributes
    ----------
    request_stop : callable
        Asks the training to stop.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self.request_stop: Callable[[], None] = lambda: None

    def message(self, text: str) -> None:
        """Pass it on."""
        self._tell("message", text)

    def warning(self, text: str) -> None:
        """Pass it on."""
        self._tell("warning", text)

    def detail(self, text: str) -> None:
        """Pass it on."""
        self._tell("detail", text)

    def begin(self, beginning: Beginning) -> None:
        """Pass it on."""
        self._tell("begin", beginning)

    def calibrating(self, rounds: int, most: int) -> None:
        """Pass it on."""
        self._tell("calibrating", rounds, most)

    def batch(self, progress: Progress) -> None:
        """Pass it on."""
        self._tell("batch", progress)

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Pass it on."""
        self._tell("testing", epoch, done, total)

    def epoch(self, summary: EpochSummary) -> None:
        """Pass it on."""
        self._tell("epoch", summary)

    def _tell(self, what: str, *arguments: Any) -> None:
        for observer in self._observers:
            try:
                getattr(observer, what)(*arguments)
            except Stopped:
                self.request_stop()
