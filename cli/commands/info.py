"""``spikesim info``: what a run file is."""

import json
from typing import TYPE_CHECKING

import click

from spikesim.cli.common import run_argument

if TYPE_CHECKING:
    from spikesim.ep.runs.reader import RunReader
    from spikesim.sparse.recording import SimulationReader


@click.command()
@run_argument
def info(run: str) -> None:
    """Show the configuration, the versions, the state and the digest of a run file, or what a simulation recorded.

    The digest is a SHA-256 over configuration, weights, counts and metrics. Runs of the same computation have the same
    digest, with any number of threads and stops. The hash of the weights is model.weights in the configuration of a run
    that starts from them.
    """
    from spikesim.ep.config.parsing import beyond_preset
    from spikesim.ep.network.parameters import weights_digest
    from spikesim.ep.runs.reader import RunReader, stored_format
    from spikesim.ep.runs.state import checkpoints_text, state_text
    from spikesim.io.config_diff import flat_settings
    from spikesim.io.formats import SIMULATION_MAGIC
    from spikesim.runtime.printable import printable
    from spikesim.runtime.text import counted

    if stored_format(run) == SIMULATION_MAGIC:
        _show_simulation(run)
        return

    with RunReader(run) as reader:
        rows = reader.rows
        lines = {
            "file": str(reader.path),
            "format": f"version {reader.format_version}",
            "state": state_text(reader),
            "rows": ", ".join(f"{count} {table}" for table, count in rows.items()),
            "checkpoints": checkpoints_text(reader),
        }
        if reader.best_epoch:
            lines["best epoch"] = f"{reader.best_epoch} by the validation set; its weights are kept"
        _show_file(reader, lines)
        click.echo("layers:")
        for layer in reader.layers:
            size = "x".join(map(str, layer.shape))
            neurons, weights = counted(layer.neurons, "neuron"), counted(layer.weights, "weight")
            click.echo(f"  {layer.name:<11}{size} = {neurons}, {weights}")
        _show_rates(reader)
        name, differing = beyond_preset(reader.config)
        click.echo(f"preset: {name}{', but for' if differing else ''}")
        for key, value in differing:
            click.echo(f"  {printable(key)} = {printable(json.dumps(value, ensure_ascii=False))}")
        click.echo("configuration:")
        for key, value in flat_settings(reader.config):
            click.echo(f"  {printable(key)} = {printable(json.dumps(value, ensure_ascii=False))}")
        for which in ("last", *(["best"] if reader.best_epoch else [])):
            found = weights_digest({**reader.weights(which), **reader.normalization(which)})
            click.echo(f"{'best_' if which == 'best' else ''}weights_hash: {found}")
        click.echo(f"config_hash: {reader.config_hash}")
        click.echo(f"digest: {reader.digest()}")


def _show_rates(reader: "RunReader") -> None:
    """The learning rates before the schedule in units of the potential; configured are shares of initial deviations."""
    from spikesim.ep.network.learning_rates import rates_of_run
    from spikesim.errors import InputError
    from spikesim.runtime.printable import printable

    try:
        found = rates_of_run(reader)
    except InputError as error:
        click.echo(f"learning rates: unknown to this version ({printable(str(error))})")
        return
    click.echo("absolute learning rates (unit: potential, at 1 a neuron fires in each step):")
    frozen = reader.setting("optimizer.freeze", ())
    for name, own in found.items():
        if name in frozen:
            text = "none, it is frozen"
        elif own.deviation is None:
            text = f"{own.weights:.4g}"
        else:
            share = own.weights / own.deviation
            text = (
                f"weights {own.weights:.4g} ({share:.4g} x initial deviation {own.deviation:.4g}), "
                f"biases {own.biases:.4g}"
            )
        click.echo(f"  {name:<11}{text}")


def _show_file(reader: "RunReader | SimulationReader", lines: dict[str, str]) -> None:
    """What is special to a kind of file, then where it comes from, a line each."""
    from spikesim.runtime.printable import printable

    origin = {
        "created": reader.created,
        "host": reader.host,
        "command": reader.command_line,
        "seed": str(reader.seed),
        "spikesim": reader.spikesim_version,
        **reader.versions,
    }
    for name, text in {**lines, **origin}.items():
        click.echo(f"{printable(name) + ':':<13}{printable(text)}")


def _weight_words(reader: "SimulationReader", number: int) -> str:
    """Mean and standard deviation of plastic weights at the start and at the end."""
    import numpy as np

    from spikesim.sparse.analysis.plastic import CONTRASTIVE, final_weights, plastic_rule

    rule = plastic_rule(reader, number)
    end = " after learning" if rule == CONTRASTIVE else f" after {reader.weights_step(number)} steps"
    ends = {"": reader.initial_weights(number), end: final_weights(reader, number, range(reader.trials))}
    words = [
        f"{np.mean(own):.4g} +- {np.std(own):.4g}{when}" for when, own in ends.items() if own is not None and own.size
    ]
    return f", {rule or 'plastic'}: weights {', '.join(words)}"


def _show_simulation(path: str) -> None:
    """What a file of `spikesim simulate` holds."""
    from spikesim.runtime.printable import printable
    from spikesim.sparse.recording import FORMAT_VERSION, SimulationReader

    with SimulationReader(path) as reader:
        lines = {
            "file": str(reader.path),
            "format": f"simulation, version {FORMAT_VERSION}",
            "state": f"{reader.status}, {reader.steps} steps",
            "trials": str(reader.trials),
        }
        _show_file(reader, lines)
        click.echo("populations:")
        for name in reader.populations:
            neurons, spikes = reader.neurons(name), reader.total(name)
            share = spikes / max(1, neurons * reader.steps * reader.trials)
            recorded = [text for text in ("spikes", "potentials") if reader.has(name, text)]
            kept = f", recorded: {' and '.join(recorded)}" if recorded else ""
            click.echo(f"  {printable(name):<11}{neurons} neurons, {spikes} spikes, {share:.4%} fire in a step{kept}")
        click.echo("projections:")
        plastic = set(reader.plastic_projections())
        for number, own in enumerate(reader.projections()):
            name = printable(f"{own.source} -> {own.target}")
            moved = _weight_words(reader, number) if number in plastic else ""
            click.echo(f"  {number}: {name}, {own.synapses} synapses, {own.events} events{moved}")
        learned = reader.learning()
        if learned is not None:
            click.echo("learning:")
            click.echo(f"  epochs: {len(learned.epochs['train_error'])}")
            for name, values in learned.epochs.items():
                if len(values) and values[-1] == values[-1]:
                    click.echo(f"  {name} = {values[-1]:.6g}")
        click.echo("network:")
        for kind in ("population", "projection"):
            for number, table in enumerate(reader.network.get(kind, [])):
                for key, value in table.items():
                    text = printable(json.dumps(value, ensure_ascii=False))
                    click.echo(f"  {kind}.{number}.{printable(key)} = {text}")
