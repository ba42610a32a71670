"""What a run tells whoever watches it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """A mini-batch has been done."""

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
    """An epoch has been done."""

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


class Observer(Protocol):
    """Who watches a run."""

    def message(self, text: str) -> None:
        """Something that happens once."""

    def batch(self, progress: Progress) -> None:
        """A mini-batch has been done."""

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Part of a test has been done."""

    def epoch(self, summary: EpochSummary) -> None:
        """An epoch has been done."""
