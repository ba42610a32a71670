"""Options of a command in groups with headings, so that help is not one long list."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["GroupedCommand", "grouped", "in_groups"]

REST = "Options"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class GroupedOption(click.Option):
    """An option that says under which heading it stands.

    Parameters
    ----------
    group : str
    """

    def __init__(self, *args: Any, group: str = REST, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


def grouped(group: str, *flags: str, **attributes: Any) -> Callable[[Decorated], Decorated]:
    """As `click.option`, in a group."""
    return click.option(*flags, cls=GroupedOption, group=group, **attributes)


def in_groups(command: click.Command, context: click.Context) -> dict[str, list[tuple[str, str]]]:
    """What help says of each option, by heading; headings as they first come, and what has none last."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            groups.setdefault(getattr(parameter, "group", REST), []).append(record)
    if REST in groups:
        groups[REST] = groups.pop(REST)
    return groups


class GroupedCommand(click.Command):
    """A command whose help has its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        for title, records in in_groups(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)
