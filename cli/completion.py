"""What a shell offers while a command is typed: values of options, keys, data sets and run files."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

# An item of the type file or dir has the shell list these where nothing else begins so. It comes first: click's script
# for bash forgets what came before.

__all__ = ["complete_dataset", "complete_key", "complete_setting", "run_files"]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_key(key: str) -> Complete | None:
    """Values of a key of the configuration; None where they cannot be listed."""
    if key == "data.dataset":
        return complete_dataset
    if key == "model.arch":
        return _of(_architectures)
    return _of(lambda: _choices(key)) if _choices(key) else None


def complete_dataset(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of data sets, and files of your own."""
    from spikesim.datasets.catalogue import registry

    return [CompletionItem(incomplete, type="file"), *_beginning(incomplete, registry.names())]


def complete_setting(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Keys for ``--set``, and behind the equals sign the values of a key that has a list of them."""
    from spikesim.ep.config.parsing import describe

    key, equals, _ = incomplete.partition("=")
    if equals:
        return _beginning(incomplete, [f"{key}={value}" for value in _choices(key)])
    return [CompletionItem(f"{name}=", help=text) for name, _, _, text in describe() if name.startswith(incomplete)]


def run_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """HDF5 files, and the folders on the way to them."""
    folder = Path(incomplete).parent if not incomplete.endswith("/") else Path(incomplete)
    given = incomplete[: incomplete.rfind("/") + 1]
    names = sorted(path.name for path in folder.glob("*.h5")) if folder.is_dir() else []
    return [CompletionItem(incomplete, type="dir"), *_beginning(incomplete, [given + name for name in names])]


def _of(values: Callable[[], Iterable[str]]) -> Complete:
    return lambda context, parameter, incomplete: _beginning(incomplete, values())


def _beginning(incomplete: str, values: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]


def _architectures() -> list[str]:
    from spikesim.ep.network.architectures import ARCHITECTURES

    return [*ARCHITECTURES, "custom"]


def _choices(key: str) -> list[str]:
    """Values of a key that takes one of a list."""
    from spikesim.ep.config.parsing import describe

    allowed = {name: text.split(", ") for name, _, text, _ in describe()}.get(key, [])
    return allowed if len(allowed) > 1 and all(" " not in value for value in allowed) else []
