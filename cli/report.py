"""``spikesim report``: what a run did."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import echo_csv, make_console, state_text
from spikesim.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from spikesim.analysis import EpochSummary, LayerWork, Report
    from spikesim.learning import LayerLearning
    from spikesim.runreader import RunReader


@click.command()
@click.argument("run", metavar="[RUN.h5]", type=click.Path(), required=False)
@click.option(
    "--sweep",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="In place of one run all those of a folder, in one table with the settings in which they differ.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Tables to read, one JSON object, or CSV with a line for every number.",
)
@click.option(
    "--epoch",
    type=click.IntRange(min=0),
    help="Epoch of the table by layer.  [default: the last complete one, else the current one]",
)
def report(run: str | None, folder: Path | None, style: str, epoch: int | None) -> None:
    """Show what a run did, also while it is in progress.

    Per phase and layer: neurons, spikes a sample, activity, synaptic operations (dense and effective, feed-forward and
    feedback), estimated energy. By epoch: loss and accuracy, energy function and residual. docs/run-file.md has the
    meaning of every number.
    """
    from spikesim.analysis import make_report
    from spikesim.runreader import RunReader

    if folder is not None:
        if run is not None or epoch is not None:
            raise InputError("--sweep takes all runs of a folder and their last epochs; leave out RUN.h5 and --epoch")
        from spikesim.cli.sweepreport import print_runs

        print_runs(folder, style)
        return
    if run is None:
        raise InputError("there is nothing to report; give a RUN.h5, or --sweep DIR")
    with RunReader(run) as reader:
        numbers = make_report(reader, epoch)
        if style == "json":
            _print_json(reader, numbers)
        elif style == "csv":
            _print_csv(numbers)
        else:
            _print_tables(reader, numbers)


def _print_json(reader: "RunReader", numbers: "Report") -> None:
    import dataclasses
    import json

    head = {
        "status": reader.status,
        "state": state_text(reader),
        "created": reader.created,
        "format_version": reader.format_version,
        "spikesim_version": reader.spikesim_version,
        "config_hash": reader.config_hash,
        "seed": reader.seed,
        "rows": reader.rows,
    }
    value = {"run": head, "energy_model": dataclasses.asdict(reader.energy_model), **dataclasses.asdict(numbers)}
    click.echo(json.dumps(_without_nan(value), indent=2, allow_nan=False))


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print_csv(numbers: "Report") -> None:
    from spikesim.analysis import tidy_rows

    echo_csv([("section", "epoch", "phase", "layer", "metric", "value"), *tidy_rows(numbers)])


def _print_tables(reader: "RunReader", numbers: "Report") -> None:
    console = make_console()
    console.print(f"Run {reader.path}: {state_text(reader)}", soft_wrap=True)
    rows = reader.rows
    console.print(f"{rows['batches']} mini-batches, {rows['epochs']} complete epochs in the file")
    if numbers.epoch is None:
        console.print("There are 0 rows: the first mini-batch has not ended yet.")
        return
    console.print()
    console.print(_accuracy_table(numbers.epochs))
    console.print(_dynamics_table(numbers))
    console.print(_learning_table([item for item in numbers.learning if item.epoch == numbers.epoch]))
    phases = list(dict.fromkeys(work.phase for work in numbers.layers))
    for phase in phases:
        works = [work for work in numbers.layers if work.phase == phase]
        console.print(_work_table(works))
        if works[0].input_ms is not None:
            console.print(_pace_table(works, works[0].input_ms))
    total = numbers.parameters[-1]
    console.print(
        f"{_si(total.parameters)} parameters, {_si(total.footprint_bytes)}B as float32, "
        f"connection sparsity {_percent(total.connection_sparsity)}"
    )
    energy = reader.energy_model
    console.print(
        f"Energy: {energy.accumulate_joule * 1e12:g} pJ an AC, {energy.multiply_accumulate_joule * 1e12:g} pJ a MAC "
        f"({energy.source}); synaptic operations only, no memory traffic, no neuron updates."
    )


def _accuracy_table(epochs: "list[EpochSummary]") -> "Table":
    table = _table("Loss and accuracy by epoch", "epoch")
    for header in ("train loss", "train accuracy", "test loss", "test accuracy", "learning rate", "beta", "seconds"):
        table.add_column(header, justify="right")
    for summary in epochs:
        table.add_row(
            f"{summary.epoch}" if summary.complete else f"{summary.epoch} (so far)",
            _fixed(summary.train_loss),
            _percent(summary.train_accuracy),
            _fixed(summary.test_loss),
            _percent(summary.test_accuracy),
            f"{summary.learning_rate:.3g}",
            f"{summary.beta:.3g}",
            f"{summary.seconds:.1f}",
        )
    return table


def _dynamics_table(numbers: "Report") -> "Table":
    from spikesim.schema import PHASES

    table = _table("Energy function (hopfield) and residual at the end of each phase", "epoch")
    for quantity in ("hopfield", "residual"):
        for phase in PHASES:
            table.add_column(f"{quantity}\n{phase}", justify="right")
    for epoch in dict.fromkeys(summary.epoch for summary in numbers.phases):
        found = {summary.phase: summary for summary in numbers.phases if summary.epoch == epoch}
        hopfield = [_fixed(found[phase].hopfield) if phase in found else "-" for phase in PHASES]
        residual = [f"{found[phase].residual:.2e}" if phase in found else "-" for phase in PHASES]
        table.add_row(f"{epoch}", *hopfield, *residual)
    return table


def _learning_table(learning: "list[LayerLearning]") -> "Table":
    epoch = learning[0].epoch if learning else 0
    table = _table(f"Learning by layer in epoch {epoch}: answer to the nudge, change, error signal, coupling", "layer")
    for header in ("|r+ - r-|", "|dW|", "|W|", "signal", "head loss", "head\naccuracy", "saturated", "coupling"):
        table.add_column(header, justify="right", no_wrap=True)
    for item in learning:
        table.add_row(
            item.layer,
            _scientific(item.rate_difference),
            _scientific(item.weight_change),
            f"{item.weight_norm:.3g}",
            "-" if item.signal_strength is None else f"{item.signal_strength:.3g}",
            _fixed(item.head_loss),
            _percent(item.head_accuracy),
            _percent(item.saturated),
            "-" if item.coupling is None else f"{item.coupling:.2f}",
        )
    return table


def _work_table(works: "list[LayerWork]") -> "Table":
    first = works[0]
    kind = "Test" if first.phase == "test" else f"Phase {first.phase}"
    table = _table(
        f"{kind} of epoch {first.epoch}, a sample (mean of {first.samples} samples, {first.steps:.1f} steps)", "layer"
    )
    for header in (
        "neurons",
        "spikes",
        "activity",
        "Dense\nforward",
        "Dense\nfeedback",
        "Eff. ACs\nforward",
        "Eff. ACs\nfeedback",
        "Eff.\nMACs",
        "energy",
    ):
        table.add_column(header, justify="right", no_wrap=True)
    for work in works:
        table.add_row(
            work.layer,
            f"{work.neurons}",
            _si(work.spikes),
            _percent(work.activity),
            _si(work.dense_forward),
            _si(work.dense_feedback),
            _si(work.effective_acs_forward),
            _si(work.effective_acs_feedback),
            _si(work.effective_macs),
            f"{_si(work.joule)}J",
            end_section=work is works[-2],
        )
    return table


def _pace_table(works: "list[LayerWork]", input_ms: float) -> "Table":
    """Work in the time of the input."""
    table = _table(f"A millisecond of input, {input_ms:.4g} ms a sample", "layer")
    for header in ("spikes", "spikes a neuron", "operations"):
        table.add_column(header, justify="right", no_wrap=True)
    for work in works:
        table.add_row(
            work.layer,
            _si(work.spikes / input_ms),
            _scientific(work.activity_per_ms),
            _si(work.operations_per_ms or 0.0),
            end_section=work is works[-2],
        )
    return table


def _table(title: str, first: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    return table


def _si(value: float) -> str:
    """A number with three digits and a prefix, such as ``1.23 M``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f} "
    power = min(max(math.floor(math.log10(abs(value)) / 3), -5), 5)
    scaled = value / 1000.0**power
    if round(abs(scaled), 0 if abs(scaled) >= 100 else 1) >= 1000 and power < 5:
        power, scaled = power + 1, scaled / 1000
    prefix = "fpnum kMGTP"[power + 5].strip()
    return f"{scaled:#.3g}".rstrip(".") + f" {prefix}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _fixed(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"
