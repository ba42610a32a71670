"""What a run tells whoever watches it."""

from dataclasses import dataclass
from typing import Protocol


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
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    samples: int
    loss: float
    accuracy: float
    activity: float


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
    """Who watches a run: inherit from it, and define what you want to hear."""

    def message(self, text: str) -> None:
        """Something that happens once."""
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
