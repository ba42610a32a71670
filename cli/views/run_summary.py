"""What a run reached and what it cost, in five lines: the beginning of ``spikesim report``."""

from typing import TYPE_CHECKING

from spikesim.runtime.text import fixed, percent, si

if TYPE_CHECKING:
    from spikesim.ep.analysis.summary import LayerWork, Report

__all__ = ["summary_lines"]


def summary_lines(numbers: "Report", epochs: int | None) -> list[str]:
    """Accuracy, loss, activity, energy and time of the epoch of the report.

    The activity is that of the free phase; the energy and the time of training are those of all phases.

    Parameters
    ----------
    numbers : Report
        Of a run that has rows.
    epochs : int or None
        Epochs that the run is to have.
    """
    from spikesim.ep.analysis.summary import TEST_PHASE, TOTAL

    (own,) = (epoch for epoch in numbers.epochs if epoch.epoch == numbers.epoch)
    work = {work.phase: work for work in numbers.layers if work.layer == TOTAL}
    test, free, whole = work.get(TEST_PHASE), work.get("free"), work.get(TOTAL)
    name = numbers.tested_on
    so_far = "" if own.complete else ", so far"
    of = "" if epochs is None else f" of {epochs}"
    test_seconds = own.test_seconds / own.test_samples if own.test_seconds is not None and own.test_samples else None
    pairs = {
        "accuracy": (percent(own.test_accuracy), percent(own.train_accuracy), f" (epoch {own.epoch}{of}{so_far})"),
        "loss": (fixed(own.test_loss), fixed(own.train_loss), ""),
        "activity": (
            percent(None if test is None else test.activity),
            percent(None if free is None else free.activity),
            ", spikes per neuron and step",
        ),
        "energy": (_joule(test), _joule(whole), ", per sample"),
        "time": (_seconds(test_seconds), _seconds(own.seconds / max(1, own.train_samples)), ", per sample"),
    }
    shown = {what: [f"{name} {tested}", f"training {trained}"] for what, (tested, trained, _) in pairs.items()}
    width = max(len(first) for first, _ in shown.values())
    return [f"{what:<9} {first:<{width}}  {second}{pairs[what][2]}" for what, (first, second) in shown.items()]


def _joule(work: "LayerWork | None") -> str:
    return "-" if work is None else f"{si(work.joule)}J"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{si(value)}s"
