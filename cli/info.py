"""``spikesim info``: what a run file is."""

import json

import click

from spikesim.cli.common import run_argument


@click.command()
@run_argument
def info(run: str) -> None:
    """Show the configuration, the versions, the state and the digest of a run file.

    The digest is a SHA-256 over configuration, weights, counts and metrics. Two runs of the same computation have the
    same, however many threads they had and however often they were stopped.
    """
    from spikesim.checkpoint import checkpoint_folder, positions
    from spikesim.reports.state import state_text
    from spikesim.reports.text import counted
    from spikesim.runreader import RunReader
    from spikesim.settings import flat_settings

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
            neurons, weights = counted(layer.neurons, "neuron"), counted(layer.weights, "weight")
            click.echo(f"  {layer.name:<11}{size} = {neurons}, {weights}")
        click.echo("configuration:")
        for key, value in flat_settings(reader.config):
            click.echo(f"  {key} = {json.dumps(value, ensure_ascii=False)}")
        click.echo(f"config_hash: {reader.config_hash}")
        click.echo(f"digest: {reader.digest()}")
