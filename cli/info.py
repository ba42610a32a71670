"""``spikesim info``: what a run file is."""

import json

import click

from spikesim.cli.common import run_argument

LENGTH_MAX = 160


@click.command()
@run_argument
def info(run: str) -> None:
    """Show the configuration, the versions, the state and the digest of a run file, or what a simulation recorded.

    The digest is a SHA-256 over configuration, weights, counts and metrics. Two runs of the same computation have the
    same, however many threads they had and however often they were stopped.
    """
    from spikesim.checkpoint import checkpoint_folder, positions
    from spikesim.reports.state import state_text
    from spikesim.runreader import RunReader, stored_format
    from spikesim.schema import SIMULATION_MAGIC
    from spikesim.settings import flat_settings

    if stored_format(run) == SIMULATION_MAGIC:
        _show_simulation(run)
        return

    with RunReader(run) as reader:
        rows = reader.rows
        found = positions(checkpoint_folder(reader.path))
        checkpoints = f"after {' and '.join(map(str, found))} mini-batches" if found else "none"
        lines = {
            "file": str(reader.path),
            "format": f"version {reader.format_version}",
            "state": state_text(reader),
            "rows": ", ".join(f"{count} {table}" for table, count in rows.items()),
            "checkpoints": checkpoints,
            "created": reader.created,
            "host": reader.host,
            "command": reader.command_line,
            "seed": str(reader.seed),
            "spikesim": reader.spikesim_version,
            **reader.versions,
        }
        for name, text in lines.items():
            click.echo(f"{name + ':':<13}{text}")
        click.echo("layers:")
        for layer in reader.layers:
            size = "x".join(map(str, layer.shape))
            click.echo(f"  {layer.name:<11}{size} = {layer.neurons} neurons, {layer.weights} weights")
        click.echo("configuration:")
        for key, value in flat_settings(reader.config):
            click.echo(f"  {key} = {json.dumps(value, ensure_ascii=False)}")
        click.echo(f"config_hash: {reader.config_hash}")
        click.echo(f"digest: {reader.digest()}")


def _show_simulation(path: str) -> None:
    """What a file of `spikesim simulate` holds."""
    from spikesim.sparse.recording import FORMAT_VERSION, SimulationReader

    with SimulationReader(path) as reader:
        lines = {
            "file": str(reader.path),
            "format": f"simulation, version {FORMAT_VERSION}",
            "state": f"{reader.status}, {reader.steps} steps",
            "trials": str(reader.trials),
            "created": reader.created,
            "host": reader.host,
            "command": reader.command_line,
            "seed": str(reader.seed),
            "spikesim": reader.spikesim_version,
            **reader.versions,
        }
        for name, text in lines.items():
            click.echo(f"{_printable(name) + ':':<13}{_printable(text)}")
        click.echo("populations:")
        for name in reader.populations:
            neurons, spikes = reader.neurons(name), reader.total(name)
            share = spikes / max(1, neurons * reader.steps * reader.trials)
            recorded = [text for text in ("spikes", "potentials") if reader.has(name, text)]
            kept = f", recorded: {' and '.join(recorded)}" if recorded else ""
            click.echo(f"  {_printable(name):<11}{neurons} neurons, {spikes} spikes, {share:.4%} fire in a step{kept}")
        click.echo("projections:")
        for number, own in enumerate(reader.projections()):
            name = _printable(f"{own.source} -> {own.target}")
            click.echo(f"  {number}: {name}, {own.synapses} synapses, {own.events} events")
        click.echo("network:")
        for kind in ("population", "projection"):
            for number, table in enumerate(reader.network.get(kind, [])):
                for key, value in table.items():
                    text = _printable(json.dumps(value, ensure_ascii=False))
                    click.echo(f"  {kind}.{number}.{_printable(key)} = {text}")


def _printable(text: str) -> str:
    """A text from a file, on one line and not longer than is worth reading."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:LENGTH_MAX])
    return shown + "..." * (len(text) > LENGTH_MAX)
