"""``spikesim report``: what a run or a simulation did, or how several compare."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import echo_csv, takes
from spikesim.cli.completion import run_files
from spikesim.cli.help_groups import GroupedCommand, grouped
from spikesim.cli.selections import given_options, parse_neurons, parse_numbers
from spikesim.cli.views.report_tables import SECTIONS
from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.cli.simulations.reporting import SimulationOptions
    from spikesim.ep.analysis.costs import EnergyCosts
    from spikesim.ep.reports.charts.raster import RasterChoice
    from spikesim.ep.reports.writing import Outputs


@dataclass(frozen=True)
class ReportOptions:
    """Options of the command."""

    runs: tuple[Path, ...]
    folder: Path | None
    style: str | None
    sections: tuple[str, ...]
    epoch: int | None
    page: Path | None
    pictures: Path | None
    gradients: Path | None
    energy: str | None
    spikes: Path | None
    samples: str | None
    neurons: tuple[str, ...]
    group: str | None
    overwrite: bool
    populations: tuple[str, ...]
    start: str | None
    stop: str | None
    trial: int | None
    bins: str | None

    @property
    def of_one_run(self) -> list[str]:
        """Options that were given and need a single run."""
        given = {
            "--epoch": self.epoch,
            "--gradients": self.gradients,
            "--spikes": self.spikes,
            "--samples": self.samples,
            "--neurons": self.neurons,
        }
        return given_options(given)

    @property
    def of_runs(self) -> list[str]:
        """Options that were given and that simulations do not have."""
        given = {"--sweep": self.folder, "--section": self.sections, "--energy": self.energy, "--group": self.group}
        own = [name for name in self.of_one_run if name != "--neurons"]
        return own + given_options(given)

    @property
    def of_simulations(self) -> "SimulationOptions":
        """Options that only simulations have."""
        from spikesim.cli.simulations.reporting import SimulationOptions

        return SimulationOptions(self.populations, self.start, self.stop, self.trial, self.bins)


_TIME = "a number of steps, or with a dt a time such as 250ms"


@click.command(cls=GroupedCommand)
@click.argument("runs", metavar="[FILE.h5]...", type=click.Path(path_type=Path), nargs=-1, shell_complete=run_files)
@grouped(
    "Of runs",
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
@grouped(
    "Of runs",
    "--section",
    "sections",
    type=click.Choice(SECTIONS),
    multiple=True,
    help="Only this section of the tables of a run; may be repeated.",
)
@grouped(
    "Of runs",
    "--epoch",
    type=click.IntRange(min=0),
    help="Epoch of the table by layer.  [default: the last complete one, else the current one]",
)
@click.option(
    "--html", "page", type=click.Path(path_type=Path), metavar="FILE.html", help="Write a self-contained page."
)
@click.option(
    "--plot",
    "pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the charts as PNG and SVG files into a folder (needs matplotlib).",
)
@grouped(
    "Of runs",
    "--gradients",
    type=click.Path(path_type=Path),
    metavar="CHECK.json",
    help="Add the cosines of a gradient check, as 'spikesim gradcheck --format json' prints it.",
)
@grouped(
    "Of runs",
    "--spikes",
    type=click.Path(path_type=Path),
    metavar="PREDICTIONS.npz",
    help="Draw the spikes that 'spikesim predict --spikes' recorded, instead of those in the run file.",
)
@grouped(
    "Of runs",
    "--samples",
    metavar="SAMPLES",
    help="Samples whose spikes are drawn, such as 0,3,10-19.  [default: the first two]",
)
@click.option(
    "--neurons",
    multiple=True,
    metavar="NEURONS",
    help="Neurons that are drawn, of all layers or populations, 0-31, or of one, conv1:0-63; repeatable.  [default: 32 "
    "of each layer, 100 of each population]",
)
@grouped(
    "Of runs",
    "--energy",
    metavar="COSTS",
    help="Cost of operations for the estimated energies: 45nm-int8, 45nm-fp16, 45nm-fp32, 7nm-int8, 7nm-fp16, "
    "7nm-fp32, or a TOML file, which may also charge for memory and updates of neurons.  [default: that of the "
    "run file]",
)
@grouped(
    "Of runs",
    "--group",
    type=click.Choice(["seeds", "none"]),
    help="Of several runs: means and tests over seeds, or each run.  [default: seeds if runs differ in the seed alone]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@grouped(
    "Of simulations",
    "--population",
    "populations",
    multiple=True,
    metavar="NAME",
    help="A population; may be repeated.  [default: all]",
)
@grouped("Of simulations", "--from", "start", metavar="TIME", help=f"First step: {_TIME}.  [default: 0]")
@grouped("Of simulations", "--to", "stop", metavar="TIME", help="Step before which it ends.  [default: the last]")
@grouped("Of simulations", "--trial", type=click.IntRange(min=0), help="A trial, from 0.  [default: all]")
@grouped(
    "Of simulations",
    "--bin",
    "bins",
    metavar="TIME",
    help="Width of the bins of Fano factors, correlations and population rates.  [default: 10ms, or 10 steps]",
)
@takes(ReportOptions)
def report(options: ReportOptions) -> None:
    """Show the results of a run or a simulation, also while it is in progress, or compare several.

    The report of a run begins with accuracy, loss, activity, energy and time. By epoch: loss and accuracy, energy
    function and residual. By layer: learning; per phase neurons, spikes per sample, activity, synaptic operations
    (dense and effective, feed-forward and feedback), estimated energy. The report of a simulation has rates,
    irregularity and correlations by population, synaptic events, potentials. spikesim manual reports describes pages
    and pictures, spikesim manual run-file every number of a run, spikesim manual simulations those of a simulation.

    \b
    Examples:
      spikesim report run.h5 --html run.html
      spikesim report a.h5 b.h5 --plot figures
      spikesim report run.h5 --energy 45nm-int8
      spikesim report run.h5 --plot figures --samples 0,7 --neurons conv1:0-63
      spikesim report sim.h5 --html sim.html --from 200
    """
    from spikesim.ep.analysis.costs import energy_costs
    from spikesim.ep.reports.writing import Outputs

    runs, folder, style, several = options.runs, options.folder, options.style, len(options.runs) != 1
    if not runs and folder is None:
        raise InputError("there is nothing to report; give a RUN.h5 or SIM.h5, or --sweep DIR")
    from spikesim.cli.simulations.reporting import are_simulations

    if are_simulations(runs):
        _simulations(options)
        return
    if options.of_simulations.given:
        raise InputError(f"{options.of_simulations.given[0]} applies to simulations; leave it out, or give a SIM.h5")
    if folder is not None and (runs or options.epoch is not None):
        raise InputError("--sweep compares all runs of a folder after their last epochs; leave out RUN.h5 and --epoch")
    if several and options.of_one_run:
        raise InputError(f"{options.of_one_run[0]} applies to a single run; leave it out, or give one RUN.h5")
    if not several and options.group is not None:
        raise InputError("--group applies to several runs; leave it out, or give more of them")
    if options.sections and (several or style in ("json", "csv")):
        raise InputError(
            "--section selects tables of a single run; leave it out, or give one RUN.h5 and --format table"
        )
    costs = None if options.energy is None else energy_costs(options.energy)
    outputs = Outputs(options.page, options.pictures, options.overwrite)
    needless = [name for name in options.of_one_run if name != "--epoch"]
    if needless and not outputs.wanted:
        raise InputError(f"{needless[0]} needs --html or --plot; add one of them")
    shown = style or (None if outputs.wanted and not options.sections else "table")
    if several:
        _several(options, shown, outputs, costs)
    else:
        _one(options, shown, outputs, costs)


def _simulations(options: ReportOptions) -> None:
    from spikesim.cli.simulations.reporting import report_simulations
    from spikesim.ep.reports.writing import Outputs

    if options.of_runs:
        raise InputError(f"{options.of_runs[0]} applies to runs, and {options.runs[0]} is a simulation; leave it out")
    outputs = Outputs(options.page, options.pictures, options.overwrite)
    if options.neurons and not outputs.wanted:
        raise InputError("--neurons needs --html or --plot; add one of them")
    style = options.style or (None if outputs.wanted else "table")
    report_simulations(options.runs, options.of_simulations, parse_neurons(options.neurons), outputs, style)


def _choice(options: ReportOptions) -> "RasterChoice":
    """Which recorded spikes are drawn."""
    from spikesim.ep.exchange.predicted import PredictedSpikes
    from spikesim.ep.reports.charts.raster import RasterChoice

    samples = [] if options.samples is None else parse_numbers("--samples", options.samples, "numbers of samples")
    neurons = parse_neurons(options.neurons)
    file = None if options.spikes is None else PredictedSpikes(options.spikes)
    return RasterChoice(tuple(dict.fromkeys(samples)), neurons, file)


def _one(options: ReportOptions, style: str | None, outputs: "Outputs", costs: "EnergyCosts | None") -> None:
    from spikesim.ep.analysis.summary import cost_rows, make_report, tidy_rows
    from spikesim.ep.reports.document import json_text, report_document
    from spikesim.ep.runs.reader import RunReader

    with RunReader(options.runs[0]) as reader:
        if costs is not None:
            reader.energy_model = costs.model(reader)
        numbers = make_report(reader, options.epoch)
        written = outputs.write_run(reader, numbers, options.gradients, _choice(options) if outputs.wanted else None)
        if style == "json":
            click.echo(json_text(report_document(reader, numbers)))
        elif style == "csv":
            charged = [] if costs is None else cost_rows(reader.energy_model)
            echo_csv([("section", "epoch", "phase", "layer", "metric", "value"), *tidy_rows(numbers), *charged])
        elif style == "table":
            from spikesim.cli.views.report_tables import print_tables

            print_tables(reader, numbers, options.sections or SECTIONS)
        else:
            _tell(written)


def _several(options: ReportOptions, style: str | None, outputs: "Outputs", costs: "EnergyCosts | None") -> None:
    from spikesim.ep.reports.comparison import compare, run_files
    from spikesim.ep.reports.completeness import completeness, planned_runs
    from spikesim.ep.reports.seeds import group_by_seed, have_seeds

    folder = options.folder
    planned = None if folder is None else planned_runs(folder)
    runs = compare(options.runs if folder is None else run_files(folder), strict=folder is None, costs=costs)
    groups = group_by_seed(runs)
    grouped = have_seeds(groups) if options.group is None else options.group == "seeds"
    if grouped and not groups:
        raise InputError("--group seeds needs finished runs, and there are none; leave it out")
    said = completeness(runs, planned)
    written = outputs.write_comparison(runs, said, grouped=grouped)
    if style is None:
        _tell(written)
    elif style == "json":
        from spikesim.cli.views.comparison_tables import comparison_json

        click.echo(comparison_json(runs, None if folder is None else str(folder), planned))
    elif style == "csv":
        from spikesim.cli.views.comparison_tables import comparison_rows, group_rows

        echo_csv(group_rows(groups) if grouped else comparison_rows(runs))
    else:
        from spikesim.cli.views.comparison_tables import print_comparison

        print_comparison(runs, groups if grouped else [], said, beside=folder is None)


def _tell(written: list[Path]) -> None:
    for path in written:
        click.echo(f"written: {path}")
