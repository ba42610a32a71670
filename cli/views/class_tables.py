"""Accuracy by class and the confusion matrix of ``spikesim evaluate``."""

from typing import TYPE_CHECKING

from spikesim.cli.terminal.tables import Table, print_table
from spikesim.runtime.text import percent

if TYPE_CHECKING:
    from rich.console import Console

    from spikesim.ep.analysis.classes import ClassAccuracy, Confusion

__all__ = ["print_classes"]


def print_classes(console: "Console", confusion: "Confusion", repeats: int = 1) -> None:
    """Print what a confusion matrix says, of one test or of so many together."""
    together = f", {repeats} repeats together" if repeats > 1 else ""
    by_class = Table(f"Accuracy by class{together}", ("class",))
    by_class.add_columns("samples", "predicted", "recall", "precision")
    for own in confusion.classes:
        counts = (f"{own.samples}", f"{own.predicted}")
        by_class.add_row(_called(own), *counts, percent(own.recall), percent(own.precision))
    print_table(console, by_class)
    matrix = Table(f"Confusion matrix{together}: true classes in rows, predicted classes in columns", ("true",))
    matrix.add_columns(*(f"{own.label}" for own in confusion.classes))
    for own, row in zip(confusion.classes, confusion.matrix, strict=True):
        matrix.add_row(_called(own), *(f"{count}" if count else "." for count in row))
    print_table(console, matrix)


def _called(own: "ClassAccuracy") -> str:
    """A class by number, and name where it has one."""
    return f"{own.label}" if own.name == f"{own.label}" else f"{own.label} {own.name}"
