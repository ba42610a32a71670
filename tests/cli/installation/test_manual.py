"""The manual of an installed program: its pages, and texts that point to them."""

import ast
import re
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner
from commands import ROOT

from spikesim.cli import main
from spikesim.runtime.manual import manual

PAGES = {path.stem: path for path in ROOT.glob("docs/*.md")}
SOURCES = [path for folder in ("spikesim", "ep", "datasets", "cli") for path in (ROOT / folder).rglob("*.py")]
NAMED = re.compile(r"spikesim\s+manual\s+([a-z][a-z-]*)")


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["manual", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_all_pages_are_there() -> None:
    listed = dict(line.split(maxsplit=1) for line in shown().splitlines())
    assert listed.keys() == PAGES.keys() and listed["cluster"] == "Run on CPU clusters"
    for given in ("cluster", "cluster.md", "docs/cluster.md"):
        assert shown(given).strip() == PAGES["cluster"].read_text().strip()
    result = CliRunner().invoke(main, ["manual", "../README"])
    assert (result.exit_code, result.stdout) == (2, "") and "no page '../README'" in result.stderr


def helps(group: click.Group, name: str) -> Iterator[tuple[str, str]]:
    """The help of all commands."""
    context = click.Context(group, info_name=name)
    for child in group.list_commands(context):
        command = group.get_command(context, child)
        assert command is not None
        yield child, command.get_help(click.Context(command, info_name=child, parent=context))
        if isinstance(command, click.Group):
            yield from helps(command, child)


def test_help_names_no_file_of_the_checkout() -> None:
    texts = dict(helps(main, "spikesim"))
    assert len(texts) > 20 and sum(len(NAMED.findall(text)) for text in texts.values()) > 8
    for name, text in texts.items():
        assert not re.findall(r"(?:docs|examples|benchmarks|tests)/\S+", text), name
        assert set(NAMED.findall(text)) <= PAGES.keys(), name


def constants(source: str) -> Iterator[str]:
    """Texts of a source that may be shown: all but docstrings and strings on a line of their own."""
    tree = ast.parse(source)
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in silent:
            yield node.value


@pytest.mark.parametrize("path", [path for path in SOURCES if "docs" in path.read_text()], ids=lambda path: path.stem)
def test_messages_name_no_file_of_the_checkout(path) -> None:  # type: ignore[no-untyped-def]
    named = [text for text in constants(path.read_text()) if re.search(r"(docs|examples|benchmarks)/[\w-]+", text)]
    assert named == []


def test_what_points_to_a_page_names_one() -> None:
    called = {page for path in SOURCES for page in re.findall(r"manual\(['\"]([\w-]+)['\"]\)", path.read_text())}
    called |= {page for path in SOURCES for page in NAMED.findall(path.read_text())}
    assert len(called) > 8 and called <= {*PAGES, "manual"}
    assert manual("cluster") == "spikesim manual cluster"
