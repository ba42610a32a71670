"""The tables of ``spikesim report`` for simulations, and that of ``spikesim watch``."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spikesim.cli.common import make_console
from spikesim.cli.terminal.tables import Table, print_table
from spikesim.runtime.manual import manual
from spikesim.runtime.text import counted, si
from spikesim.sparse.analysis.plastic import CONTRASTIVE

if TYPE_CHECKING:
    from spikesim.sparse.analysis.summary import Distribution, PopulationActivity, SimulationReport
    from spikesim.sparse.recording import SimulationReader

POTENTIALS_SHOWN = 20
EPOCHS_SHOWN = 10

__all__ = ["learned_words", "plain", "print_comparison", "print_simulation"]

_HEADINGS = ("silent", "CV", "CV2", "Fano", "corr.")
_WORDS = (
    "CV and CV2 are of inter-spike intervals, Fano factor and correlation (corr.) of the spike counts in bins; means "
    "over the neurons, or pairs of them, that have enough spikes"
)


def print_simulation(reader: "SimulationReader", report: "SimulationReport") -> None:
    """Print a report."""
    from spikesim.ep.reports.simulations.document import simulation_words, window_words

    console = make_console()
    console.print(f"Simulation {reader.path}: {simulation_words(reader, report.window.dt)}", soft_wrap=True)
    console.print(f"{window_words(reader, report.window)}\n", soft_wrap=True)
    unit = _rate_heading(report)
    table = Table("Populations", ("population",))
    table.add_columns("neurons", "spikes", unit, *_HEADINGS)
    for own in report.populations:
        table.add_row(own.population, str(own.neurons), si(own.spikes).strip(), plain(own.rate), *_cells(own))
    print_table(console, table)
    missing = [own.population for own in report.populations if own.silent is None and report.window.steps]
    console.print(f"{_WORDS} ({manual('simulations')}).")
    if missing:
        console.print(f"Spikes of {', '.join(missing)} were not recorded (record = true): only rates are shown.")
    console.print()
    if any(own.rates is not None for own in report.populations):
        print_table(console, _distributions(report))
    if report.projections:
        print_table(console, _projections(report))
    if report.plastic:
        print_table(console, _weights(report))
    if report.learning:
        print_table(console, _learning(report))
    if report.potentials:
        print_table(console, _potentials(report))
        more = len(report.potentials) - POTENTIALS_SHOWN
        if more > 0:
            console.print(f"{counted(more, 'more neuron')} not shown; --format csv and json have all")


def print_comparison(readers: "Sequence[SimulationReader]", reports: "Sequence[SimulationReport]") -> None:
    """Print several simulations, a row for each population of each."""
    from spikesim.ep.reports.simulations.document import simulation_words, window_words

    console = make_console()
    for reader, report in zip(readers, reports, strict=True):
        state, part = simulation_words(reader, report.window.dt), window_words(reader, report.window)
        console.print(f"{reader.path}: {state}; {part}", soft_wrap=True)
    console.print()
    headings = dict.fromkeys(map(_rate_heading, reports))
    table = Table("Populations", ("population", "simulation"))
    table.add_columns("spikes", *headings, *_HEADINGS)
    rows = [
        (own, reader, report) for reader, report in zip(readers, reports, strict=True) for own in report.populations
    ]
    order = list(dict.fromkeys(own.population for own, _, _ in rows))
    rows.sort(key=lambda row: order.index(row[0].population))
    for place, (own, reader, report) in enumerate(rows):
        rates = [plain(own.rate) if heading == _rate_heading(report) else "-" for heading in headings]
        ends = place + 1 < len(rows) and rows[place + 1][0].population != own.population
        cells = (si(own.spikes).strip(), *rates, *_cells(own))
        table.add_row(own.population, str(reader.path), *cells, end_section=ends)
    print_table(console, table)
    console.print(f"{_WORDS} ({manual('simulations')}).")


def plain(value: float | None) -> str:
    """Four significant digits, without an exponent where that is short."""
    if value is None:
        return "-"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.2e}"


def _rate_heading(report: "SimulationReport") -> str:
    return f"rate\n({report.rate_unit})" if report.rate_unit == "Hz" else "spikes\nper step"


def _cells(own: "PopulationActivity") -> list[str]:
    silent = "-" if own.silent is None else f"{100 * own.silent:.1f} %"
    return [silent, *(_mean(value) for value in (own.cv, own.cv2, own.fano, own.correlation))]


def _mean(found: "Distribution | None") -> str:
    return "-" if found is None or found.mean is None else f"{found.mean:.3f}"


def _distributions(report: "SimulationReport") -> Table:
    """Quantiles over neurons and pairs."""
    rate = "rate (Hz)" if report.rate_unit == "Hz" else "spikes per step"
    table = Table("Over neurons, and over pairs of them for correlations", ("population", "of"))
    table.add_columns("values", "5 %", "25 %", "median", "75 %", "95 %")
    for place, own in enumerate(report.populations):
        kinds = {rate: own.rates, "CV": own.cv, "CV2": own.cv2, "Fano": own.fano, "correlation": own.correlation}
        found = [(name, value) for name, value in kinds.items() if value is not None and value.count]
        for name, value in found:
            last = name == found[-1][0] and place + 1 < len(report.populations)
            table.add_row(own.population, name, str(value.count), *map(_short, value.quantiles), end_section=last)
    return table


def _short(value: float | None) -> str:
    """Three significant digits."""
    return "-" if value is None else f"{value:.3g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.1e}"


def _projections(report: "SimulationReport") -> Table:
    table = Table("Projections, in all steps of the file", ("projection",))
    table.add_columns(
        "synapses", "events", "events per synapse\n" + ("(Hz)" if report.rate_unit == "Hz" else "and step")
    )
    for own in report.projections:
        table.add_row(f"{own.source} -> {own.target}", str(own.synapses), si(own.events).strip(), plain(own.rate))
    return table


def _weights(report: "SimulationReport") -> Table:
    table = Table("Plastic weights, over synapses and trials", ("projection", "of"))
    table.add_columns("mean", "sd", "5 %", "median", "95 %")
    for place, own in enumerate(report.plastic):
        rule, unit = own.rule or "plastic", f", {own.unit}" if own.unit else ""
        parts = [("start", own.initial), ("end" if own.rule == CONTRASTIVE else f"step {own.step}", own.weights)]
        found = [(name, value) for name, value in parts if value is not None and value.count]
        for row, (name, value) in enumerate(found):
            title = f"{own.projection}: {own.source} -> {own.target}" if row == 0 else f"   {rule}{unit}"
            numbers = (value.mean, value.sd, value.quantiles[0], value.quantiles[2], value.quantiles[4])
            last = row + 1 == len(found) and place + 1 < len(report.plastic)
            table.add_row(title, name, *map(_short, numbers), end_section=last)
    return table


def _learning(report: "SimulationReport") -> Table:
    """The first epoch, the last one, and some at equal distances."""
    epochs = report.learning
    table = Table(f"Learning by phases, {counted(len(epochs), 'epoch')}", ("epoch",))
    table.add_columns("mean squared error", "right", "in the test", "right")
    every = max(1, -(-len(epochs) // EPOCHS_SHOWN))
    for own in epochs:
        if own.epoch % every == 0 or own.epoch in (1, len(epochs)):
            numbers = ((own.train_error, own.train_accuracy), (own.test_error, own.test_accuracy))
            cells = [text for error, right in numbers for text in (plain(error), _percent(right))]
            table.add_row(str(own.epoch), *cells)
    return table


def learned_words(numbers: Mapping[str, float]) -> str:
    """Errors and accuracies of an epoch, as far as there are any."""
    found = []
    for part in ("train", "test"):
        error, accuracy = numbers[f"{part}_error"], numbers[f"{part}_accuracy"]
        if not math.isnan(error):
            right = "" if math.isnan(accuracy) else f", {accuracy:.1%} right"
            found.append(f"{part} mean squared error {error:.4f}{right}")
    return "; ".join(found)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _potentials(report: "SimulationReport") -> Table:
    table = Table("Recorded potentials", ("neuron",))
    table.add_columns("unit", "mean", "sd", "lowest", "highest")
    for own in report.potentials[:POTENTIALS_SHOWN]:
        numbers = (own.mean, own.sd, own.lowest, own.highest)
        table.add_row(f"{own.population} {own.neuron}", own.unit or "-", *map(plain, numbers))
    return table
