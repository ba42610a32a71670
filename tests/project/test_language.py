"""The manual and the help texts use the words of the field: neurons receive input, they do not hear it."""

import re

import click
import pytest
from manual.pages import PAGES, ROOT

from spikesim.cli import main
from spikesim.ep.config.parsing import describe

WORDS = {
    r"(layer|head|pixel|neuron|read-out)s? (hears?|heard)": "receives, is trained on",
    r"(has|have|at) a price|priced": "is penalized",
    r"what is (said|told)": "name what it is",
    r"goes? on where it was": "resumes",
}
"""Words, and what to write instead; each has stood in the manual before."""
HISTORY = ROOT / "docs" / "notebook"


def texts() -> list[tuple[str, str]]:
    """The pages, the help of each command and of each key of the configuration: where, and the text."""
    pages = [(str(page.relative_to(ROOT)), page.read_text()) for page in PAGES if HISTORY not in page.parents]
    keys = [(key, meaning) for key, _, _, meaning in describe()]
    return [*pages, *keys, *helps(main, "spikesim")]


def helps(command: click.Command, name: str) -> list[tuple[str, str]]:
    """Help of a command, of its options and of its sub-commands."""
    options = [option.help or "" for option in command.params if isinstance(option, click.Option)]
    found = [(name, "\n".join([command.help or "", *options]))]
    if isinstance(command, click.Group):
        context = click.Context(command)
        for child in command.list_commands(context):
            own = command.get_command(context, child)
            assert own is not None
            found += helps(own, f"{name} {child}")
    return found


@pytest.mark.parametrize(("word", "better"), WORDS.items())
def test_words_that_the_field_does_not_use(word: str, better: str) -> None:
    pattern = re.compile(rf"\b({word})\b", re.IGNORECASE)
    found = [f"{where}: {match[0]!r}" for where, text in texts() for match in pattern.finditer(text)]
    assert not found, f"write {better!r} instead"
