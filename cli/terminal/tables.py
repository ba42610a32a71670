"""Tables for terminals of any width: columns that do not fit stand below, beside the names of the rows again."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spikesim.runtime.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

__all__ = ["Table", "print_table"]

GAP = "  "
NAME_MIN = 16
"""Room that names of rows have on the narrowest terminal: those of layers are shorter, and never broken."""
HEADING_MAX = 24
"""Longer headings, such as names of runs, are broken."""


@dataclass
class Table:
    """Rows with names and cells of text. No cell is ever cut off.

    A cell that is wider than the terminal is broken between words, a name also within one. What a terminal would obey,
    in texts of files, is escaped.

    Parameters
    ----------
    title : str
    names : tuple of str
        Headings of the columns that name a row, at the left.
    """

    title: str
    names: tuple[str, ...]
    _columns: list[tuple[str, bool]] = field(default_factory=list)
    _rows: list[tuple[str, ...]] = field(default_factory=list)
    _ends: set[int] = field(default_factory=set)

    def add_columns(self, *headings: str, left: bool = False) -> None:
        """Columns with these headings, which may have several lines, at the right or at the left of their room."""
        self._columns += [(heading, left) for heading in headings]

    def add_row(self, *cells: str, end_section: bool = False) -> None:
        """A row: its names, then its cells. A blank line follows a section."""
        if len(cells) != len(self.names) + len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self.names)} names and {len(self._columns)} columns")
        self._rows.append(cells)
        if end_section:
            self._ends.add(len(self._rows) - 1)

    def lines(self, width: int, rule: str = "─") -> Iterator[str]:
        """The table as lines of at most a width, as long as no word is wider than that."""
        if self.title:
            yield from textwrap.wrap(printable(self.title), max(width, NAME_MIN), break_long_words=False)
        count = len(self.names)
        columns = [
            _Column.made(heading, [row[count + i] for row in self._rows], left)
            for i, (heading, left) in enumerate(self._columns)
        ]
        names = [_Column.made(name, [row[i] for row in self._rows], True) for i, name in enumerate(self.names)]
        widest = max((column.narrowest for column in columns), default=0)
        room = max(NAME_MIN, width // 2 if count == 1 else width - len(GAP) - widest)
        if _width(names) > room:
            joined = [", ".join(row[:count]) for row in self._rows]
            names = [_Column.made(", ".join(self.names), joined, True).folded(room)]
        beside = width - _width(names) - len(GAP)
        for number, block in enumerate(_blocks([column.wrapped(beside) for column in columns], beside)):
            if number or self.title:
                yield ""
            yield from self._block([*names, *block], rule)
        yield ""

    def _block(self, columns: "list[_Column]", rule: str) -> Iterator[str]:
        """Columns that stand side by side."""
        height = max(len(column.heading) for column in columns)
        yield from _side_by_side(columns, [[""] * (height - len(own.heading)) + own.heading for own in columns])
        yield rule * _width(columns)
        for row in range(len(self._rows)):
            yield from _side_by_side(columns, [column.cells[row] for column in columns])
            if row in self._ends:
                yield ""

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import Segment

        for line in self.lines(options.max_width, "-" if options.ascii_only else "─"):
            yield Segment(line)
            yield Segment.line()


def print_table(console: "Console", table: Table) -> None:
    """Print a table; on a terminal that is narrower than a word of it, the terminal breaks the line."""
    console.print(table, crop=False)


@dataclass(frozen=True)
class _Column:
    """Lines of the heading and of each cell."""

    heading: list[str]
    cells: list[list[str]]
    left: bool

    @classmethod
    def made(cls, heading: str, cells: list[str], left: bool) -> "_Column":
        lines = [
            part
            for line in heading.split("\n")
            for part in textwrap.wrap(printable(line), HEADING_MAX, break_on_hyphens=False) or [""]
        ]
        return cls(lines, [[printable(cell.rstrip())] for cell in cells], left)

    @property
    def _lines(self) -> Iterator[str]:
        yield from self.heading
        for cell in self.cells:
            yield from cell

    @property
    def width(self) -> int:
        return max(map(_cells, self._lines))

    @property
    def narrowest(self) -> int:
        """The widest word, which is not broken."""
        return max((_cells(word) for line in self._lines for word in line.split()), default=0)

    def wrapped(self, width: int) -> "_Column":
        """With cells that are wider broken between words."""
        if self.width <= width:
            return self
        wide = max(width, self.narrowest)
        cells = [_wrapped(cell, wide, within=False) for cell in self.cells]
        return _Column(self.heading, cells, self.left)

    def folded(self, width: int) -> "_Column":
        """With all that is wider broken, between words where there are several."""
        heading = _wrapped(self.heading, width, within=True)
        return _Column(heading, [_wrapped(cell, width, within=True) for cell in self.cells], self.left)


def _wrapped(lines: list[str], width: int, *, within: bool) -> list[str]:
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, width, break_long_words=within, break_on_hyphens=False) or [""]
    ]


def _cells(text: str) -> int:
    """Columns of a terminal that a text takes."""
    from rich.cells import cell_len

    return cell_len(text)


def _width(columns: list[_Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _blocks(columns: list[_Column], width: int) -> Iterator[list[_Column]]:
    """As many columns as stand side by side, one after the other."""
    block: list[_Column] = []
    for column in columns:
        if block and _width([*block, column]) > width:
            yield block
            block = []
        block.append(column)
    yield block


def _side_by_side(columns: list[_Column], cells: list[list[str]]) -> Iterator[str]:
    """The lines of a row."""
    for i in range(max(map(len, cells))):
        parts = []
        for column, lines in zip(columns, cells, strict=True):
            text = lines[i] if i < len(lines) else ""
            space = " " * (column.width - _cells(text))
            parts.append(text + space if column.left else space + text)
        yield GAP.join(parts).rstrip()
