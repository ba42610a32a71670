"""What the tokens of a text contributed to an answer, as bars in the terminal with the words at their side."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from spikesim.runtime.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from spikesim.ep.evaluation.explanation import Explanation

__all__ = ["print_token_bars"]

WORD_MAX = 24
BAR_MIN = 8


def print_token_bars(console: "Console", explained: "Explanation", classes: tuple[str, ...]) -> None:
    """A line a token: the word, its contribution, and a bar, to the right where it speaks for the class."""
    for line in _lines(explained, classes, console.width, "#" if console.options.ascii_only else "█"):
        console.print(line, crop=False)


def _lines(explained: "Explanation", classes: tuple[str, ...], width: int, mark: str) -> Iterator["Text"]:
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    shown = [word if own else f"({word})" for word, own in zip(explained.tokens, explained.known, strict=True)]
    rows = [*zip(map(printable, shown), explained.contributions.tolist(), strict=True)]
    rows.append(("no token", explained.unassigned))
    names = min(WORD_MAX, max(cell_len(word) for word, _ in rows))
    values = [0.0, *(value for _, value in rows)]
    scale = max(BAR_MIN, width - names - len("    +0.000  |")) / ((max(values) - min(values)) or 1.0)
    before = int(-min(values) * scale)  # columns left of the axis
    for word, value in rows:
        length = int(abs(value) * scale)
        left, right = (length, 0) if value < 0 else (0, length)
        line = Text(f"  {set_cell_size(word, names)}  {value:+6.3f}  {' ' * (before - left)}")
        yield line.append(mark * left, "red").append("|").append(mark * right, "blue")
    yield Text(f"  {'evidence'.ljust(names)}  {explained.evidence:+6.3f}  for {printable(classes[explained.label])}")
