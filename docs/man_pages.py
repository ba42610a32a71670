"""Manual pages in roff, spikesim(1) and one for each sub-command: ``python docs/man_pages.py FOLDER``."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from spikesim import __version__
from spikesim.cli import main
from spikesim.cli.help_groups import in_groups


def escaped(text: str) -> str:
    """A text in which nothing is a request or an escape."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in shown.splitlines())


def paragraphs(text: str) -> Iterator[str]:
    """The help of a command; what stands behind a form feed keeps its lines."""
    for part in inspect.cleandoc(text).split("\n\n"):
        verbatim = part.startswith("\b\n")
        lines = escaped(part.removeprefix("\b\n"))
        yield f".PP\n.nf\n{lines}\n.fi" if verbatim else f".PP\n{lines}"


def page(command: click.Command, context: click.Context) -> str:
    """A page in the macros of man(7)."""
    path = context.command_path
    lines = [
        f'.TH "{escaped(path.replace(" ", "-").upper())}" "1" "" "spikesim {__version__}" "spikesim"',
        ".SH NAME",
        f"{escaped(path.replace(' ', '-'))} \\- {escaped(summary(command))}",
        ".SH SYNOPSIS",
        f".B {escaped(path)}",
        escaped(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *paragraphs(command.help or ""),
    ]
    for title, records in in_groups(command, context).items():
        lines.append(f".SH {escaped(title.upper())}")
        for flags, text in records:
            lines += [".TP", f".B {escaped(flags)}", escaped(" ".join(text.split()))]
    children = list(subcommands(command, context))
    if children:
        lines.append(".SH COMMANDS")
        for child, own in children:
            lines += [".TP", f".B {escaped(str(own.info_name))}", escaped(summary(child))]
        lines += [".SH SEE ALSO", *(f".BR {escaped(own.command_path.replace(' ', '-'))} (1)" for _, own in children)]
    return "\n".join(lines) + "\n"


def summary(command: click.Command) -> str:
    """The first sentence of its help."""
    return " ".join((command.help or "").split("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def subcommands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """The commands of a group."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield child, click.Context(child, info_name=name, parent=context)


def write_pages(command: click.Command, context: click.Context, folder: Path) -> None:
    """The page of a command, and those of its sub-commands."""
    (folder / f"{context.command_path.replace(' ', '-')}.1").write_text(page(command, context), encoding="utf-8")
    for child, own in subcommands(command, context):
        write_pages(child, own, folder)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_pages(main, click.Context(main, info_name="spikesim"), target)
    print(f"manual pages: {target}")
