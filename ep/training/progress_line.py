"""A training in one line that is written over, on a terminal or in a notebook, and a line for each epoch."""

import sys
import time
from typing import TextIO

from spikesim.ep.training.observer import EpochSummary, Observer, Progress
from spikesim.runtime.text import fixed, percent

__all__ = ["ProgressLine"]

BAR, WIDTH = 20, 79


class ProgressLine(Observer):
    """Shows how a training stands; several times per second at most.

    Parameters
    ----------
    stream : text stream, optional
        By default standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = 0.0

    def message(self, text: str) -> None:
        """A line of its own."""
        self._line(text)

    def calibrating(self, rounds: int, most: int) -> None:
        """The line, written over."""
        self._over(f"calibrating: {rounds} rounds of at most {most}")

    def batch(self, progress: Progress) -> None:
        """The line, written over."""
        done = BAR * progress.batch // progress.batches
        self._over(
            f"epoch {progress.epoch}/{progress.epochs} [{'#' * done}{'.' * (BAR - done)}] "
            f"loss {fixed(progress.loss)}, accuracy {percent(progress.accuracy)}"
        )

    def testing(self, epoch: int, done: int, total: int) -> None:
        """The line, written over."""
        self._over(f"testing {epoch}: {done}/{total}")

    def epoch(self, summary: EpochSummary) -> None:
        """A line that stays."""
        self._line(
            f"epoch {summary.epoch}/{summary.epochs}: loss {fixed(summary.train_loss)}, accuracy "
            f"{percent(summary.train_accuracy)}; {summary.tested_on} {fixed(summary.test_loss)}, "
            f"{percent(summary.test_accuracy)}; {summary.seconds:.1f} s"
        )

    def _over(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown >= 0.2:
            self._shown = now
            self._stream.write(f"\r{text[:WIDTH]:<{WIDTH}}")
            self._stream.flush()

    def _line(self, text: str) -> None:
        self._stream.write(f"\r{text:<{WIDTH}}\n")
        self._stream.flush()
