"""The tables of ``spikesim report``, and those that ``spikesim watch`` shares with it."""

from typing import TYPE_CHECKING

from spikesim.cli.common import make_console
from spikesim.cli.terminal.tables import Table, print_table
from spikesim.runtime.manual import manual
from spikesim.runtime.text import counted, fixed, percent, scientific, si

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spikesim.ep.analysis.layers import LayerLearning
    from spikesim.ep.analysis.summary import EpochMetrics, LayerWork, Report
    from spikesim.ep.runs.energy import EnergyModel
    from spikesim.ep.runs.reader import RunReader

__all__ = ["SECTIONS", "accuracy_table", "energy_words", "print_tables"]


SECTIONS = ("summary", "epochs", "phases", "learning", "layers", "parameters")
"""Parts of the report, in their order; but for the summary they have the names that JSON and CSV have."""


def print_tables(reader: "RunReader", numbers: "Report", sections: "Sequence[str]" = SECTIONS) -> None:
    """Print a report, or only some sections of it."""
    from spikesim.ep.runs.state import state_text

    console = make_console()
    if numbers.epoch is None or "summary" in sections:
        console.print(f"Run {reader.path}: {state_text(reader)}", soft_wrap=True)
        rows = reader.rows
        batches, epochs = counted(rows["batches"], "mini-batch"), counted(rows["epochs"], "complete epoch")
        console.print(f"{batches}, {epochs} in the file")
    if numbers.epoch is None:
        console.print("There are no rows yet: no mini-batch has ended.")
        console.print(_parameters_line(numbers))
        return
    printers = {
        "summary": _print_summary,
        "epochs": _print_epochs,
        "phases": _print_phases,
        "learning": _print_learning,
        "layers": _print_layers,
        "parameters": _print_parameters,
    }
    for section in SECTIONS:
        if section in sections:
            printers[section](console, reader, numbers)


def _print_summary(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    from spikesim.cli.views.run_summary import summary_lines

    console.print()
    for line in summary_lines(numbers, reader.setting("optimizer.epochs")):
        console.print(line)
    console.print()


def _print_epochs(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    print_table(console, accuracy_table(numbers.epochs, numbers.tested_on))
    for best in (epoch for epoch in numbers.epochs if epoch.epoch == numbers.best_epoch):
        console.print(f"best epoch on the validation set: {best.epoch}, {percent(best.test_accuracy)}\n")


def _print_phases(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    print_table(console, _dynamics_table(numbers))


def _print_learning(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    print_table(console, _learning_table([item for item in numbers.learning if item.epoch == numbers.epoch]))


def _print_layers(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    for phase in dict.fromkeys(work.phase for work in numbers.layers):
        works = [work for work in numbers.layers if work.phase == phase]
        print_table(console, _work_table(works))
        if works[0].input_ms is not None:
            print_table(console, _pace_table(works, works[0].input_ms))
    if any(layer.cells > 1 for layer in reader.layers):
        console.print(
            "Dense counts each cell of an average pool, since each sends its spikes; with the pool as a layer of its "
            f"own, the layer after it has a quarter ({manual('metrics')})."
        )
    console.print(energy_words(reader.energy_model))


def energy_words(energy: "EnergyModel") -> str:
    """What operations are charged."""
    from spikesim.ep.analysis.costs import DeviceEnergy

    if isinstance(energy, DeviceEnergy):
        return energy.words()
    return (
        f"Energy: {energy.accumulate_joule * 1e12:g} pJ per AC, {energy.multiply_accumulate_joule * 1e12:g} pJ per MAC "
        f"({energy.source}); synaptic operations only, no memory traffic, no neuron updates."
    )


def _print_parameters(console: "Console", reader: "RunReader", numbers: "Report") -> None:
    console.print(_parameters_line(numbers))


def _parameters_line(numbers: "Report") -> str:
    network, total = numbers.parameters[-2:]
    sparsity = network.connection_sparsity
    heads = total.parameters - network.parameters
    return (
        f"{_count(network.parameters)} parameters, {si(network.footprint_bytes)}B as float32, "
        f"connection sparsity {'not yet' if sparsity is None else percent(sparsity)}"
        + (f"; {_count(heads)} more in heads that only training needs" if heads else "")
    )


def _count(number: int) -> str:
    return str(number) if number < 1000 else si(number).strip()


def accuracy_table(epochs: "list[EpochMetrics]", tested_on: str) -> Table:
    table = Table("Loss and accuracy by epoch", ("epoch",))
    table.add_columns("train loss", "train accuracy", f"{tested_on} loss", f"{tested_on} accuracy")
    table.add_columns("learning rate", "beta", "seconds")
    for summary in epochs:
        table.add_row(
            f"{summary.epoch}" if summary.complete else f"{summary.epoch} (so far)",
            fixed(summary.train_loss),
            percent(summary.train_accuracy),
            fixed(summary.test_loss),
            percent(summary.test_accuracy),
            f"{summary.learning_rate:.3g}",
            f"{summary.beta:.3g}",
            f"{summary.seconds:.1f}",
        )
    return table


def _dynamics_table(numbers: "Report") -> Table:
    from spikesim.ep.runs.schema import PHASES

    table = Table("Energy function (hopfield) and residual at the end of each phase", ("epoch",))
    table.add_columns(*(f"{quantity}\n{phase}" for quantity in ("hopfield", "residual") for phase in PHASES))
    for epoch in dict.fromkeys(summary.epoch for summary in numbers.phases):
        found = {summary.phase: summary for summary in numbers.phases if summary.epoch == epoch}
        hopfield = [fixed(found[phase].hopfield) if phase in found else "-" for phase in PHASES]
        residual = [f"{found[phase].residual:.2e}" if phase in found else "-" for phase in PHASES]
        table.add_row(f"{epoch}", *hopfield, *residual)
    return table


def _learning_table(learning: "list[LayerLearning]") -> Table:
    epoch = learning[0].epoch if learning else 0
    table = Table(
        f"Learning by layer in epoch {epoch}: rate difference, change, error signal, spectral norm", ("layer",)
    )
    changes = ("|r+ - r-|", "|dW|", "|W|")
    table.add_columns(*changes, "signal", "head loss", "head\naccuracy", "saturated", "spectral\nnorm")
    for item in learning:
        table.add_row(
            item.layer,
            scientific(item.rate_difference),
            scientific(item.weight_change),
            f"{item.weight_norm:.3g}",
            "-" if item.signal_strength is None else f"{item.signal_strength:.3g}",
            fixed(item.head_loss),
            percent(item.head_accuracy),
            percent(item.saturated),
            "-" if item.spectral_norm is None else f"{item.spectral_norm:.2f}",
        )
    return table


def _work_table(works: "list[LayerWork]") -> Table:
    from spikesim.ep.analysis.operations import phase_title

    first = works[0]
    mean = f"mean of {counted(first.samples, 'sample')}, {first.steps:.1f} steps"
    table = Table(f"{phase_title(first.phase)}, per sample (epoch {first.epoch}, {mean})", ("layer",))
    table.add_columns(
        "neurons",
        "spikes",
        "activity",
        "Dense\nforward",
        "Dense\nfeedback",
        "Eff. ACs\nforward",
        "Eff. ACs\nfeedback",
        "Eff.\nMACs",
        "energy",
    )
    for work in works:
        table.add_row(
            work.layer,
            f"{work.neurons}",
            si(work.spikes),
            percent(work.activity),
            si(work.dense_forward),
            si(work.dense_feedback),
            si(work.effective_acs_forward),
            si(work.effective_acs_feedback),
            si(work.effective_macs),
            f"{si(work.joule)}J",
            end_section=work is works[-2],
        )
    return table


def _pace_table(works: "list[LayerWork]", input_ms: float) -> Table:
    """Work in the time of the input."""
    table = Table(f"Per millisecond of input ({input_ms:.4g} ms per sample)", ("layer",))
    table.add_columns("spikes", "spikes per neuron", "operations")
    for work in works:
        table.add_row(
            work.layer,
            si(work.spikes / input_ms),
            scientific(work.activity_per_ms),
            si(work.operations_per_ms or 0.0),
            end_section=work is works[-2],
        )
    return table
