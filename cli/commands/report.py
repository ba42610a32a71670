"""``spikesim report``: what a run did, or how several compare."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import echo_csv
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.reports.comparison import ComparedRun
    from spikesim.ep.reports.writing import Outputs


@click.command()
@click.argument("runs", metavar="[RUN.h5]...", type=click.Path(path_type=Path), nargs=-1)
@click.option(
    "--sweep",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Compare all runs of a folder.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    help="Tables to read, one JSON object, or CSV with a line for every number.  [default: table, or nothing where "
    "--html or --plot writes files]",
)
@click.option(
    "--epoch",
    type=click.IntRange(min=0),
    help="Epoch of the table by layer.  [default: the last complete one, else the current one]",
)
@click.option(
    "--html", "page", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a page that needs nothing else."
)
@click.option(
    "--plot",
    "pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the charts as PNG and SVG files into a folder (needs matplotlib).",
)
@click.option(
    "--gradients",
    type=click.Path(path_type=Path),
    metavar="CHECK.json",
    help="Add the cosines of a gradient check, as 'spikesim gradcheck --format json' prints it.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def report(
    runs: tuple[Path, ...],
    folder: Path | None,
    style: str | None,
    epoch: int | None,
    page: Path | None,
    pictures: Path | None,
    gradients: Path | None,
    overwrite: bool,
) -> None:
    """Show what a run did, also while it is in progress; of several runs, how they compare.

    Per phase and layer: neurons, spikes a sample, activity, synaptic operations (dense and effective, feed-forward and
    feedback), estimated energy. By epoch: loss and accuracy, energy function and residual. docs/reports.md describes
    pages and pictures, docs/run-file.md every number.

    \b
    Examples:
      spikesim report run.h5 --html run.html
      spikesim report a.h5 b.h5 --plot figures
    """
    from spikesim.ep.reports.writing import Outputs

    if not runs and folder is None:
        raise InputError("there is nothing to report; give a RUN.h5, or --sweep DIR")
    if folder is not None and (runs or epoch is not None):
        raise InputError("--sweep takes all runs of a folder and their last epochs; leave out RUN.h5 and --epoch")
    single = len(runs) == 1
    if not single and (epoch is not None or gradients is not None):
        raise InputError("--epoch and --gradients are of one run; leave them out, or give one RUN.h5")
    if gradients is not None and page is None and pictures is None:
        raise InputError("--gradients adds charts to --html or --plot; give one of them")
    outputs = Outputs(page, pictures, overwrite)
    shown = style or (None if outputs.wanted else "table")
    if single:
        _one(runs[0], epoch, gradients, shown, outputs)
    else:
        from spikesim.ep.reports.comparison import compare, run_files

        paths = list(runs) if folder is None else run_files(folder)
        found = compare(paths, strict=folder is None)
        _several(found, shown, None if folder is None else str(folder), outputs)


def _one(run: Path, epoch: int | None, gradients: Path | None, style: str | None, outputs: "Outputs") -> None:
    from spikesim.ep.analysis.summary import make_report, tidy_rows
    from spikesim.ep.reports.document import json_text, report_document
    from spikesim.ep.runs.reader import RunReader

    with RunReader(run) as reader:
        numbers = make_report(reader, epoch)
        written = outputs.write_run(reader, numbers, gradients)
        if style == "json":
            click.echo(json_text(report_document(reader, numbers)))
        elif style == "csv":
            echo_csv([("section", "epoch", "phase", "layer", "metric", "value"), *tidy_rows(numbers)])
        elif style == "table":
            from spikesim.cli.views.report_tables import print_tables

            print_tables(reader, numbers)
        else:
            _tell(written)


def _several(runs: "list[ComparedRun]", style: str | None, folder: str | None, outputs: "Outputs") -> None:
    written = outputs.write_comparison(runs)
    if style is None:
        _tell(written)
        return
    from spikesim.cli.views.comparison_tables import print_comparison

    print_comparison(runs, style, folder)


def _tell(written: list[Path]) -> None:
    for path in written:
        click.echo(f"written: {path}")
