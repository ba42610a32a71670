"""Tables on terminals of any width: every number is whole, and every row has its name."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest
from click.testing import CliRunner
from commands import CONFIG

from spikesim.cli import main
from spikesim.cli.terminal.progress import BarObserver
from spikesim.cli.terminal.tables import Table
from spikesim.ep.training.observer import Progress
from spikesim.runtime.text import counted

WIDE = 500
NETWORK = """\
[[population]]
name = "excitatory"
size = 30
bias = 0.3
[[population]]
name = "inhibitory"
size = 20
bias = 0.2
"""
SMALL = "--batch 4 --threads 1"
COMMANDS = {
    "report": "report run.h5",
    "two runs": "report run.h5 other.h5",
    "many runs": "report --sweep .",
    "evaluate": "evaluate run.h5 --repeats 2 --threads 1",
    "gradcheck": f"gradcheck --config tiny.toml {SMALL}",
    "variants": f"gradcheck --config tiny.toml {SMALL} --windows 2,4 --betas 0.5,1",
    "ablation": "ablation --archs vgg5 --kinds none --width 0.03 --limit 8 --steps-free 12 --steps-nudged 4 "
    f"--set dynamics.window_free=4 --set model.calibration_samples=4 {SMALL}",
    "simulate": "simulate net.toml --steps 20 --threads 1 --out net.h5 --overwrite",
    "data list": "data list",
}

SLOW = ("evaluate", "gradcheck", "variants", "ablation")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], str]:
    """What a command prints on a terminal of so many columns; each is run once."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "tiny.toml").write_text(CONFIG.replace("epochs = 2", "epochs = 1"))
    (folder / "net.toml").write_text(NETWORK)
    done: dict[tuple[str, int], str] = {}

    def show(command: str, columns: int) -> str:
        if (command, columns) not in done:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.setenv("COLUMNS", str(columns))
                result = CliRunner().invoke(main, command.split())
            assert result.exit_code == 0, result.output
            done[command, columns] = result.stdout
        return done[command, columns]

    for seed, run in enumerate(("run.h5", "other.h5")):
        show(f"train --config tiny.toml --threads 1 --seed {seed} --out {run}", WIDE)
    shutil.copy(folder / "run.h5", folder / "a_run_with_a_name_of_its_own_that_says_what_it_was_made_for.h5")
    return show


def without_times(text: str) -> list[str]:
    """The words of a text, but for those that differ from run to run."""
    return [word for line in text.splitlines() if "synaptic events" not in line for word in line.split()]


@pytest.mark.parametrize(
    ("name", "columns"),
    [(name, columns) for name in COMMANDS for columns in (80, 60, 40) if columns > 40 or name not in SLOW],
)
def test_every_word_is_whole_at_any_width(name: str, columns: int, shown: Callable[[str, int], str]) -> None:
    wide, narrow = shown(COMMANDS[name], WIDE), shown(COMMANDS[name], columns)
    folded = {word for word in without_times(wide) if len(word) > columns // 2 and "_" in word}
    lost = set(without_times(wide)) - set(without_times(narrow)) - folded
    assert {word for word in lost if set(word) != {"─"}} == set()
    assert "…" not in narrow
    assert name == "data list" or max(map(len, narrow.splitlines())) <= columns, "but for paths and commands"
    first = "".join(line.split()[0] for line in narrow.splitlines() if line)
    assert all(word in first for word in folded), "broken, not cut off"


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_every_row_of_a_report_has_its_layer(columns: int, shown: Callable[[str, int], str]) -> None:
    lines = shown("report run.h5", columns).splitlines()
    rules = [i for i, line in enumerate(lines) if set(line) == {"─"}]
    assert len(rules) >= 8
    for start in rules:
        if lines[start - 1].startswith("layer "):
            rows = lines[start + 1 : lines.index("", start)]
            assert [row.split()[0] for row in rows][:2] == ["conv1", "conv2"]


def blocks_of(lines: list[str]) -> list[list[list[str]]]:
    """Rows of cells, by block."""
    found: list[list[list[str]]] = [[]]
    for line in lines:
        if line:
            found[-1].append(line.split())
        else:
            found.append([])
    return [block for block in found if block]


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_columns_that_do_not_fit_stand_below(width: int) -> None:
    rng = np.random.default_rng(width)
    headings = [f"column{i}"[: rng.integers(3, 8)] + str(i) for i in range(rng.integers(1, 12))]
    values = [[f"{value:.2e}" for value in rng.normal(size=len(headings))] for _ in range(3)]
    table = Table("", ("layer",))
    table.add_columns(*headings)
    for row, cells in enumerate(values):
        table.add_row(f"conv{row + 1}", *cells)
    lines = list(table.lines(width))
    assert max(map(len, lines)) <= width
    blocks = blocks_of(lines)
    assert [word for head, *_ in blocks for word in head[1:]] == headings
    for row, cells in enumerate(values):
        assert all(block[row + 2][0] == f"conv{row + 1}" for block in blocks)
        assert [word for block in blocks for word in block[row + 2][1:]] == cells
    rules = [len(line) for line in lines if set(line) == {"─"}]
    following = [max(len(row[1]) for row in (head, *rows)) for head, _, *rows in blocks[1:]]
    assert all(rule + 2 + column > width for rule, column in zip(rules, following, strict=False)), "blocks are full"


def test_sections_headings_of_several_lines_and_wide_characters() -> None:
    table = Table("What it shows", ("name",))
    table.add_columns("Dense\nforward", "energy")
    table.add_row("漢字", "1", "2 J", end_section=True)
    table.add_row("total", "10", "20.5 J")
    assert list(table.lines(40)) == [
        "What it shows", "",
        "         Dense", "name   forward  energy", "──────────────────────", "漢字         1     2 J", "",
        "total       10  20.5 J", "",
    ]  # fmt: skip
    assert list(table.lines(40, "-"))[4] == "-" * 22
    with pytest.raises(ValueError, match="2 cells for 1 names and 2 columns"):
        table.add_row("layer", "1")


def test_how_many_there_are() -> None:
    assert [counted(n, "mini-batch") for n in (0, 1, 2)] == ["0 mini-batches", "1 mini-batch", "2 mini-batches"]
    assert [counted(n, "thread") for n in (1, 2)] == ["1 thread", "2 threads"]


@pytest.mark.parametrize("command", ["report run.h5", "simulate net.toml --steps 20 --threads 1 --out one.h5"])
def test_one_is_no_plural(command: str, shown: Callable[[str, int], str]) -> None:
    text = shown(command, WIDE)
    assert "1 complete epoch in the file" in text or "20 steps, 1 trial\n" in text
    assert "1 threads" not in text and "1 trials" not in text and "1 complete epochs" not in text


def test_more_than_one_is_a_plural() -> None:
    words = ("epoch", "complete epoch", "mini-batch", "thread", "process")
    assert [counted(2, word) for word in words] == [
        "2 epochs", "2 complete epochs", "2 mini-batches", "2 threads", "2 processes",
    ]  # fmt: skip


def test_several_names_of_a_row_become_one_where_they_are_too_wide() -> None:
    table = Table("", ("noise", "firing", "contrast"))
    table.add_columns("cosine")
    table.add_row("independent", "stratified", "probability", "0.993")
    assert list(table.lines(80))[-2].split() == ["independent", "stratified", "probability", "0.993"]
    assert list(table.lines(34)) == [
        "noise, firing, contrast   cosine",
        "────────────────────────────────",
        "independent, stratified,   0.993",
        "probability", "",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [110, 80, 60, 40])
def test_progress_on_a_terminal_is_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("COLUMNS", str(columns)), ("FORCE_COLOR", "1"), ("TERM", "xterm")):
        monkeypatch.setenv(name, value)
    with BarObserver() as observer:
        for batch in (123, 124):
            observer.batch(Progress(100, 300, batch, 1000, 32, 12.345, 0.9876, 0.1234, 0.02, 0.25, 0.1))
    words = capsys.readouterr().err.split()
    assert {"100/300", "12.345", "98.8%", "12.3%", "samples/s,"} <= set(words)
    assert "\u2026" not in "".join(words)
