"""Consoles of rich that show text as it is: no markup, and nothing in it that a terminal would obey."""

from typing import Any

from rich.console import Console
from rich.text import Text

from spikesim.runtime.printable import printable

__all__ = ["PlainConsole"]


class PlainConsole(Console):
    """A console for texts that may come from a file: strings are shown, cells of tables too, never interpreted."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """A text whose control characters are escaped; line breaks stay."""
        return super().render_str(printable(text, keep="\n"), **options)
