"""Watching a training run: a live bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import TYPE_CHECKING

from spikesim.ep.training.observer import Observer
from spikesim.runtime.text import fixed, percent

if TYPE_CHECKING:
    from rich.progress import TaskID

    from spikesim.ep.analysis.summary import EpochMetrics
    from spikesim.ep.training.observer import EpochSummary, Progress


WIDE, NARROW = 90, 70
"""Columns of a terminal below which the text beside the bar may take two lines, and below which there is no bar."""
SHORT_BAR = 10


def make_observer(
    seconds: float, *, silent: bool = False, plain: bool = False, verbosity: str | None = None
) -> "BarObserver | LineObserver | SilentObserver":
    """The bar if standard error is a terminal, else lines every so many seconds, or nothing at all.

    A bar hides the cursor until it ends; what may end at any moment asks for `plain` lines. Of the `verbosity`
    ``"quiet"`` only warnings are shown, and of ``"verbose"`` details too.
    """
    if silent:
        return SilentObserver()
    if verbosity == "quiet":
        return WarningObserver()
    details = verbosity == "verbose"
    return BarObserver(details=details) if sys.stderr.isatty() and not plain else LineObserver(seconds, details=details)


def epoch_line(summary: "EpochSummary | EpochMetrics", epochs: int | None, tested_on: str) -> str:
    """An epoch in one line, of so many if that is known."""
    return (
        f"epoch {of(summary.epoch, epochs)}: train loss {fixed(summary.train_loss)}, "
        f"accuracy {percent(summary.train_accuracy)}; {tested_on} loss {fixed(summary.test_loss)}, "
        f"accuracy {percent(summary.test_accuracy)}; {summary.seconds:.1f} s"
    )


def of(number: int, total: int | None) -> str:
    """A number of so many: ``3/5``, or ``3`` where that is not known."""
    return f"{number}" if total is None else f"{number}/{total}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Recent:
    """Samples a second and the time left, from the mini-batches since this process started."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._samples = 0
        self._batches = 0

    def add(self, progress: "Progress") -> None:
        if self._began is None:  # the first one includes compilation: start the clock after it
            self._began = time.monotonic()
            return
        self._samples += progress.samples
        self._batches += 1

    def text(self, progress: "Progress") -> str:
        if self._began is None or not self._batches:
            return "-- samples/s, -- left"
        elapsed = max(time.monotonic() - self._began, 1e-9)
        left = (progress.epochs - progress.epoch + 1) * progress.batches - progress.batch
        return f"{self._samples / elapsed:.1f} samples/s, {duration(left * elapsed / self._batches)} left"


class SilentObserver(Observer):
    """Says nothing: of several processes one tells what all of them do."""

    def __enter__(self) -> "SilentObserver":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class WarningObserver(SilentObserver):
    """Warnings on standard error."""

    def warning(self, text: str) -> None:
        """A line."""
        print(f"warning: {text}", file=sys.stderr, flush=True)


class LineObserver(Observer):
    """Plain lines on standard error."""

    def __init__(self, seconds: float, *, details: bool = False) -> None:
        self._seconds = seconds
        self._details = details
        self._last = time.monotonic()
        self._recent = _Recent()

    def __enter__(self) -> "LineObserver":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def message(self, text: str) -> None:
        """Something that happens once."""
        print(text, file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """A line, if details are wanted."""
        if self._details:
            self.message(text)

    def calibrating(self, rounds: int, most: int) -> None:
        """A line, if it is time for one."""
        if self._due():
            self.message(f"calibrating the biases: {rounds} rounds of at most {most}")

    def batch(self, progress: "Progress") -> None:
        """A line, if it is time for one."""
        self._recent.add(progress)
        if self._due():
            self.message(
                f"epoch {progress.epoch}/{progress.epochs}, mini-batch {progress.batch}/{progress.batches}: "
                f"loss {fixed(progress.loss)}, accuracy {percent(progress.accuracy)}, "
                f"activity {percent(progress.activity)}, "
                f"{self._recent.text(progress)}"
            )

    def testing(self, epoch: int, done: int, total: int) -> None:
        """A line, if it is time for one."""
        if self._due():
            self.message(f"epoch {epoch}: tested {done}/{total}")

    def epoch(self, summary: "EpochSummary") -> None:
        """A line."""
        self.message(epoch_line(summary, summary.epochs, summary.tested_on))

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class BarObserver(Observer):
    """A live bar on standard error, and a line per epoch above it."""

    def __init__(self, *, details: bool = False) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.table import Column

        from spikesim.cli.terminal.console import PlainConsole

        self._details = details
        self._console = PlainConsole(stderr=True)
        width = self._console.width
        bars = [BarColumn(bar_width=None if width >= WIDE else SHORT_BAR)] if width >= NARROW else []
        text = TextColumn("{task.fields[text]}", table_column=Column(no_wrap=width >= WIDE))
        self._bar = Bar(TextColumn("{task.description}"), *bars, text, console=self._console, expand=True)
        self._task: TaskID | None = None
        self._recent = _Recent()

    def __enter__(self) -> "BarObserver":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """Something that happens once."""
        self._console.print(text)

    def detail(self, text: str) -> None:
        """A line above the bar, if details are wanted."""
        if self._details:
            self._console.print(text)

    def calibrating(self, rounds: int, most: int) -> None:
        """Move the bar."""
        self._show("calibrating", rounds, most, f"{rounds} rounds of at most {most}")

    def batch(self, progress: "Progress") -> None:
        """Move the bar."""
        self._recent.add(progress)
        self._show(
            f"epoch {progress.epoch}/{progress.epochs}",
            progress.batch,
            progress.batches,
            f"loss {progress.loss:.3f} acc {progress.accuracy:.1%} act {progress.activity:.1%} "
            f"{self._recent.text(progress)}",
        )

    def testing(self, epoch: int, done: int, total: int) -> None:
        """Move the bar."""
        self._show(f"testing {epoch}", done, total, f"{done}/{total}")

    def epoch(self, summary: "EpochSummary") -> None:
        """A line above the bar."""
        self._console.print(epoch_line(summary, summary.epochs, summary.tested_on))

    def _show(self, description: str, done: int, total: int, text: str) -> None:
        if self._task is None:
            self._task = self._bar.add_task(description, text=text)
        self._bar.update(self._task, description=description, completed=done, total=total, text=text)
