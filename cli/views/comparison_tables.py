"""Several runs in one table, such as the members of a sweep."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from spikesim.cli.common import make_console
from spikesim.cli.terminal.tables import Table, print_table
from spikesim.cli.views.report_tables import energy_words

if TYPE_CHECKING:
    from spikesim.ep.reports.comparison import ComparedRun
    from spikesim.ep.reports.completeness import Planned
    from spikesim.ep.reports.seeds import PairedTest, SeedGroup
    from spikesim.ep.runs.energy import EnergyModel

__all__ = ["comparison_json", "comparison_rows", "group_rows", "print_comparison"]

SETTINGS_SHOWN = 6
"""Columns of settings in a table, at most."""
BESIDE_MAX = 5
"""As many runs have a column each; more have a row each."""


def comparison_json(runs: "list[ComparedRun]", folder: str | None, planned: "Planned | None") -> str:
    """Runs as a JSON object, with their groups over seeds; of a sweep also its folder and its plan."""
    from spikesim.ep.reports.document import json_text
    from spikesim.ep.reports.seeds import grouped_document

    head = {} if folder is None else {"folder": folder, "plan": None if planned is None else planned._asdict()}
    return json_text({**head, **grouped_document(runs)})


def comparison_rows(runs: "list[ComparedRun]") -> list[list[Any]]:
    """Names of columns, and a row for each run."""
    chosen = ["energy_model"] if any(_chosen(runs)) else []
    values = ([*asdict(run.row).values(), *run.settings.values(), *(run.energy.name for _ in chosen)] for run in runs)
    return [[*asdict(runs[0].row), *runs[0].settings, *chosen], *values]


def group_rows(groups: "list[SeedGroup]") -> list[list[Any]]:
    """Names of columns, and a row for each setting; it is tested against the first."""
    from spikesim.ep.reports.seeds import MEASURES

    spread = [f"{measure}_{what}" for measure in MEASURES for what in ("n", "mean", "sd")]
    tested = ["common_seeds", "difference", "standard_error", "t", "p_value"]
    rows: list[list[Any]] = [["setting", "seeds", "tested_on", *spread, *tested, *groups[0].settings]]
    for group, test in zip(groups, _against_first(groups), strict=True):
        values = [value for measure in MEASURES for value in group.spread(measure)]
        found = ["", "", "", "", ""] if test is None else list(asdict(test).values())[2:]
        rows.append([group.setting, len(group.runs), group.tested_on, *values, *found, *group.settings.values()])
    return rows


def print_comparison(runs: "list[ComparedRun]", groups: "list[SeedGroup]", said: list[str], *, beside: bool) -> None:
    """Print runs as tables.

    Parameters
    ----------
    runs : list of ComparedRun
        What `compare` gives.
    groups : list of SeedGroup
        Their settings, to be shown in their place; empty for the runs themselves.
    said : list of str
        What `completeness` says of them.
    beside : bool
        A few runs may have a column each.
    """
    _print_tables(runs, groups, said, beside=beside)
    for words in dict.fromkeys(energy_words(energy) for energy in _chosen(runs)):
        make_console().print(words)


def _chosen(runs: "list[ComparedRun]") -> "list[EnergyModel]":
    """The costs of runs for which others than those of the file were chosen."""
    from spikesim.ep.analysis.costs import DeviceEnergy

    return [run.energy for run in runs if isinstance(run.energy, DeviceEnergy)]


def _print_tables(runs: "list[ComparedRun]", groups: "list[SeedGroup]", said: list[str], *, beside: bool) -> None:
    from spikesim.runtime.text import counted

    console = make_console()
    if groups:
        print_table(console, _groups_table(groups))
        for sentence in (_GROUPED, *([_TESTED] if len(groups) > 1 else []), *said):
            console.print(sentence)
        return
    if beside and len(runs) <= BESIDE_MAX:
        print_table(console, _beside_table(runs))
        print_table(console, _epochs_table(runs))
        return
    print_table(console, _runs_table(runs))
    for sentence in said:
        console.print(sentence)
    more = len(runs[0].settings) - SETTINGS_SHOWN
    if more > 0:
        console.print(f"{counted(more, 'more setting')} not shown; --format csv and json have all that differ")


_GROUPED = "Mean +- standard deviation over the seeds of finished runs; --group none shows each run."
_TESTED = (
    "difference: from the first setting over the common seeds, in points of accuracy, +- its standard error; "
    "p: paired t test, not corrected for several comparisons. --format json has all pairs."
)


def _against_first(groups: "list[SeedGroup]") -> "list[PairedTest | None]":
    """The test of each group against the first one; None for that, and where they are not tested on the same."""
    from spikesim.ep.reports.seeds import paired_test

    first, *others = groups
    return [None, *(paired_test(own, first) if own.tested_on == first.tested_on else None for own in others)]


def _groups_table(groups: "list[SeedGroup]") -> Table:
    from spikesim.ep.analysis.summary import all_tested_on
    from spikesim.runtime.text import p_text, points, si

    def cell(group: "SeedGroup", measure: str, form: Callable[[float], str]) -> str:
        _, mean, sd = group.spread(measure)
        return "-" if mean is None else form(mean) if sd is None else f"{form(mean)} +- {form(sd)}"

    table = Table("", ("setting",))
    table.add_columns("seeds", f"{all_tested_on(group.tested_on for group in groups)} accuracy")
    if len(groups) > 1:
        table.add_columns("difference", "p")
    table.add_columns("activity", "ACs", "energy")
    for group, test in zip(groups, _against_first(groups), strict=True):
        tested = ["-", "-"]
        if test is not None and test.standard_error is not None:
            tested = [f"{points(test.difference)} +- {points(test.standard_error)}", p_text(test.p_value)]
        table.add_row(
            group.setting,
            str(len(group.runs)),
            cell(group, "test_accuracy", "{:.2%}".format),
            *(tested if len(groups) > 1 else []),
            cell(group, "activity", "{:.2%}".format),
            cell(group, "accumulates", si),
            cell(group, "joule", lambda value: f"{si(value)}J"),
        )
    return table


def _beside_table(runs: "list[ComparedRun]") -> Table:
    """All settings that differ and the figures of the last complete epochs, a column per run."""
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
    """Test accuracy and loss by epoch, a column per run."""
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
