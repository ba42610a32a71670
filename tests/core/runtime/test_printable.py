"""Texts from files in terminals, pages and pictures: shown, never obeyed."""

import io
import re
import xml.dom.minidom
from pathlib import Path

import h5py
import pytest
import rich.table
from commands import spikesim, succeed
from runs import write_run

from spikesim.cli.terminal.console import PlainConsole
from spikesim.cli.terminal.tables import Table
from spikesim.ep.reports.charts.markup import element, serialise
from spikesim.io.hdf5_reader import write_text
from spikesim.runtime.printable import printable

OBEYED = "\x1b]0;title\x07\x1b[2J\x1b[31mred\u202egnp.exe\u2066\x9b31m\x00\x08\x7f\ud800\u200b"
UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain µm Ünïcödé 日本", "plain µm Ünïcödé 日本"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202egnp", "\\u202egnp"),
        ("\U000e0001", "\\U000e0001"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_is_obeyed_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_line_breaks_stay_where_they_are_wanted() -> None:
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_consoles_show_texts_and_cells() -> None:
    out = io.StringIO()
    console = PlainConsole(file=out, width=300, force_terminal=True, color_system=None)
    rich_table, own_table = rich.table.Table(title=OBEYED), Table(OBEYED, (OBEYED,))
    rich_table.add_column(OBEYED)
    own_table.add_columns(OBEYED)
    rich_table.add_row(OBEYED)
    own_table.add_row(OBEYED, OBEYED)
    console.print(OBEYED, rich_table, own_table, "[bold]as it is[/bold] :smile:")
    text = out.getvalue()
    assert not UNWANTED.search(text) and text.count("\\x1b]0;title") == 9
    assert "[bold]as it is[/bold] :smile:" in text


def test_pages_show_texts_and_attributes() -> None:
    page = serialise(element("p", OBEYED, [OBEYED, element("b", OBEYED)], title=OBEYED)).decode()
    assert not UNWANTED.search(page)
    assert page.count("\\x1b]0;title") == 4
    assert "\x1b" in serialise(element("script", "'\x1b'")).decode(), "what is the program's own stays"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)
    lines = OBEYED.replace("\ud800", "") + "\nstate:       finished"
    with h5py.File(path, "r+") as file:
        for name in ("host", "command_line", "created", "spikesim_version"):
            write_text(file.attrs, name, lines)
        write_text(file.attrs, "versions", '{"numpy\\u202e": "1\\u001b[2J", "scipy": 3}')
        config = file.attrs["config"]
        config = config.decode() if isinstance(config, bytes) else config
        write_text(file.attrs, "config", config[:-1] + ', "\\u202ekey": {"\\u001b[2J": "\\u202evalue"}}')
    return path


def test_commands_show_attributes_in_a_line_each(run: Path) -> None:
    text = succeed("info", run).stdout
    assert not UNWANTED.search(text)
    assert len([line for line in text.splitlines() if line.startswith("state:")]) == 1
    assert "host:        \\x1b]0;title" in text and "\\u202ekey" in text
    for arguments in ((), ("--format", "csv"), ("--format", "json")):
        assert not UNWANTED.search(succeed("report", run, *arguments).stdout)


def test_pages_and_pictures_of_a_run_show_them(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other.h5", 5)
    succeed("report", run, "--html", tmp_path / "page.html", "--plot", tmp_path / "figures")
    succeed("report", run, other, "--html", tmp_path / "two.html")
    for page in ("page.html", "two.html"):
        assert not UNWANTED.search((tmp_path / page).read_text())
    pictures = list((tmp_path / "figures").glob("*.svg"))
    assert pictures
    for picture in pictures:
        xml.dom.minidom.parse(str(picture))


def test_error_messages_show_them(tmp_path: Path) -> None:
    for arguments in (("info", "\x1b[2J\u202e.h5"), ("train", "--set", "\x1b]0;t\x07=1", "--out", tmp_path / "x.h5")):
        result = spikesim(*arguments)
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: ") and not UNWANTED.search(line) and "\\x1b" in line
