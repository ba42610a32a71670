"""``spikesim completion``: what makes a shell complete options and values."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands, options and values of options in a shell.

    Values are architectures, presets, data sets, choices, keys for --set, run files and pages of the manual.

    \b
    Put into ~/.bashrc, or into ~/.zshrc after compinit, with zsh instead of bash:
      eval "$(spikesim completion bash)"
    Once, for fish:
      spikesim completion fish > ~/.config/fish/completions/spikesim.fish
    """
    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "spikesim", "_SPIKESIM_COMPLETE").source())
