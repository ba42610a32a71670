"""Several runs in one table, such as the members of a sweep."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import echo_csv, make_console
from spikesim.cli.terminal.tables import Table, print_table

if TYPE_CHECKING:
    from spikesim.ep.reports.comparison import ComparedRun

__all__ = ["print_comparison"]

SETTINGS_SHOWN = 6
"""Columns of settings in a table, at most."""
BESIDE_MAX = 5
"""As many runs have a column each; more have a row each."""


def print_comparison(runs: "list[ComparedRun]", style: str, folder: str | None = None) -> None:
    """Print runs as a table, JSON or CSV.

    Parameters
    ----------
    runs : list of ComparedRun
        What `compare` gives.
    style : str
        ``"table"``, ``"json"`` or ``"csv"``.
    folder : str, optional
        The folder of a sweep, which JSON tells.
    """
    from spikesim.ep.reports.comparison import comparison_document
    from spikesim.ep.reports.document import json_text

    if style == "json":
        head = {} if folder is None else {"folder": folder}
        click.echo(json_text({**head, **comparison_document(runs)}))
    elif style == "csv":
        values = ([*asdict(run.row).values(), *run.settings.values()] for run in runs)
        echo_csv([[*asdict(runs[0].row), *runs[0].settings], *values])
    else:
        _print_tables(runs, beside=folder is None)


def _print_tables(runs: "list[ComparedRun]", *, beside: bool) -> None:
    from spikesim.runtime.text import counted

    console = make_console()
    if beside and len(runs) <= BESIDE_MAX:
        print_table(console, _beside_table(runs))
        print_table(console, _epochs_table(runs))
        return
    print_table(console, _runs_table(runs))
    finished = sum(run.row.state == "finished" for run in runs)
    console.print(f"{finished} of {counted(len(runs), 'run')} finished")
    more = len(runs[0].settings) - SETTINGS_SHOWN
    if more > 0:
        console.print(f"{counted(more, 'more setting')} not shown; --format csv and json have all that differ")


def _beside_table(runs: "list[ComparedRun]") -> Table:
    """All settings that differ and the figures of the last complete epochs, a column a run."""
    from spikesim.ep.analysis.summary import all_tested_on
    from spikesim.runtime.text import percent, si

    tested_on = all_tested_on(run.row.tested_on for run in runs)
    table = Table("", ("",))
    table.add_columns(*(run.row.run for run in runs))
    for key in runs[0].settings:
        table.add_row(key, *(_setting(run.settings[key]) for run in runs), end_section=key == [*runs[0].settings][-1])
    rows = [run.row for run in runs]
    table.add_row("state", *(row.state.partition(";")[0] for row in rows))
    table.add_row("complete epochs", *(str(row.epochs) for row in rows))
    table.add_row("train accuracy", *(percent(row.train_accuracy) for row in rows))
    table.add_row(f"{tested_on} accuracy", *(percent(row.test_accuracy) for row in rows))
    if _have_best(runs):
        table.add_row("best validation accuracy", *(percent(row.best_validation_accuracy) for row in rows))
        table.add_row("  in epoch", *("-" if row.best_epoch is None else str(row.best_epoch) for row in rows))
    table.add_row("activity, test", *(percent(row.activity) for row in rows))
    table.add_row("ACs, a test sample", *(si(row.accumulates) for row in rows))
    table.add_row("MACs, a test sample", *(si(row.multiply_accumulates) for row in rows))
    table.add_row("energy, a test sample", *("-" if row.joule is None else f"{si(row.joule)}J" for row in rows))
    table.add_row("seconds", *(_shown(row.seconds, "{:.0f}") for row in rows))
    return table


def _have_best(runs: "list[ComparedRun]") -> bool:
    """Whether a run has a best epoch by a validation set; the test set is not to choose by."""
    return any(run.row.best_epoch is not None for run in runs)


def _setting(value: object) -> str:
    """A setting as a configuration has it."""
    return "not set" if value is None else str(value)


def _runs_table(runs: "list[ComparedRun]") -> Table:
    from spikesim.ep.analysis.summary import all_tested_on

    table = Table("", ("run",))
    shown = list(runs[0].settings)[:SETTINGS_SHOWN]
    table.add_columns(*(key.rpartition(".")[2].replace("_", " ") for key in shown))
    tested_on = all_tested_on(run.row.tested_on for run in runs)
    best = ("best",) if _have_best(runs) else ()
    table.add_columns("epochs", "train", tested_on, *best, "activity", "ACs", "energy", "hours")
    table.add_columns("state", left=True)
    for run in runs:
        row = run.row
        table.add_row(
            row.run,
            *("-" if run.settings.get(key) is None else str(run.settings[key]) for key in shown),
            str(row.epochs),
            _shown(row.train_accuracy, "{:.2%}"),
            _shown(row.test_accuracy, "{:.2%}"),
            *(_shown(row.best_validation_accuracy, "{:.2%}") for _ in best),
            _shown(row.activity, "{:.1%}"),
            _shown(row.accumulates, "{:.3g}"),
            _shown(None if row.joule is None else row.joule * 1e6, "{:.3g} uJ"),
            _shown(None if row.seconds is None else row.seconds / 3600, "{:.2f}"),
            row.state.partition(";")[0],
        )
    return table


def _epochs_table(runs: "list[ComparedRun]") -> Table:
    """Test accuracy and loss by epoch, a column a run."""
    table = Table("", ("epoch",))
    table.add_columns(*(f"{what}\n{run.row.run}" for what in ("accuracy", "loss") for run in runs))
    points = [{point.epoch: point for point in run.epochs} for run in runs]
    for epoch in sorted({epoch for own in points for epoch in own}):
        found = [own.get(epoch) for own in points]
        table.add_row(
            str(epoch),
            *(_shown(None if point is None else point.test_accuracy, "{:.2%}") for point in found),
            *(_shown(None if point is None else point.test_loss, "{:.4f}") for point in found),
        )
    return table


def _shown(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
