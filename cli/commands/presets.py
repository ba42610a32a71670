"""``spikesim presets``: the named sets of keys."""

import json

import click

from spikesim.cli.common import style_option


@click.command()
@style_option
def presets(style: str) -> None:
    """List the presets of train, gradcheck and ablation with their keys.

    Choose one with --preset NAME, or with preset = "NAME" in the TOML file; all other settings override it. Keys that a
    preset does not name have their defaults.
    """
    from spikesim.ep.config.sections.presets import PRESETS

    if style == "json":
        found = {name: {"text": preset.text, "keys": dict(preset.keys)} for name, preset in PRESETS.items()}
        click.echo(json.dumps(found, indent=2))
        return
    for name, preset in PRESETS.items():
        click.echo(f"{name}: {preset.text}")
        for key, value in sorted(preset.keys.items()):
            click.echo(f"  {key} = {json.dumps(value)}")
