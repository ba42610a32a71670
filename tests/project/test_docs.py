"""README, docs and metadata say what is so.

``python tests/project/test_docs.py`` rewrites the table of docs/configuration.md.
"""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import h5py
import numpy as np
import pytest

import spikesim
from spikesim.cli import main
from spikesim.cli.sample_source import DatasetSamples
from spikesim.cli.sweeps.sweep_file import read_sweep
from spikesim.datasets import load
from spikesim.ep.analysis.costs import energy_costs
from spikesim.ep.config.parsing import describe, make_config, merge
from spikesim.ep.inputs.teacher import read_teacher
from spikesim.io.toml import tomllib
from spikesim.sparse.description import make_network

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
CONFIGURATION = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- keys: begin -->\n", "<!-- keys: end -->\n"
FOLDERS = ("spikesim", "ep", "datasets", "cli")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

OTHER_PROGRAM = """
    --model --archi --channels --kernels --pools --act --betas --random-sign --thirdphase --loss --softmax --optim --mmt
    --lrs --wds --lr-decay --mbs --data-aug --todo --alg --save --load-path --device
"""
"""Options of the program that docs/from-ep-code.md compares this one with."""
NOTEBOOK = ROOT / "docs" / "notebook"
WORDS = {
    r"(layer|head|pixel|neuron|read-out)s? (hears?|heard)": "receives, is trained on",
    r"(has|have|at) a price|priced|prices": "is penalized, charges",
    r"what is (said|told)|tells (how|what|values|the)": "name what it is; reports, shows",
    r"goes? on (where it was|with (its|the same))|and goes on": "resumes, continues",
    r"(spikes|operations|steps|samples|values?|events|pJ|once|one|row|line) an? "
    r"(sample|layer|mini-batch|epoch|phase|channel|process|recording|run|class)": "per",
    r"asked for": "requested, selected",
    r"(network|read-out|heads?|neurons?|spikes|layers?)('s)? answers?": "prediction, response",
    r"without sign": "absolute",
    r"one's own": "your own",
    r"Phase (free|nudged)": "Free phase",
}
"""Words, and what to write instead; each has stood in the manual before."""


def keys_table() -> str:
    """The keys of the configuration as tables in Markdown, one for each section."""
    lines = []
    for section, rows in itertools.groupby(describe(), lambda row: row[0].rpartition(".")[0]):
        lines += [f"### {section or 'Outside of sections'}", "", "| key | default | meaning |", "|---|---|---|"]
        for key, default, allowed, text in rows:
            shown = "not set" if default is None else f"`{json.dumps(default)}`"
            cells = (f"`{key}`", shown, f"{text} *Allowed: {allowed}.*" if allowed else text)
            assert not any("|" in cell for cell in cells)
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with a table that is up to date."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + keys_table() + END + rest.partition(END)[2]


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of a language."""
    for found in re.finditer(rf"^```{language}(?: [^\n]*)?\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield found[1]


def command_lines() -> list[tuple[str, str]]:
    """All lines that call the program, in fenced and in indented blocks: (page, line)."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in [*blocks(page, "sh"), *re.findall(r"^((?: {4}.*\n)+)", text, re.MULTILINE)]:
            for line in re.sub(r"\\\n\s*", "", block).splitlines():
                # $OLD stands for options that the page gives; in brackets: with and without
                line = re.sub(r"^mpiexec -n \d+ |\$OLD |[\[\]]", "", line.strip())
                found.append((page.name, re.split(r" \|\|? | > | #", line)[0]))
    return [(page, line) for page, line in found if line.startswith("spikesim ")]


def commands(group: click.Group = main, name: str = "spikesim") -> Iterator[tuple[str, click.Command]]:
    """All commands, sub-commands included."""
    context = click.Context(group, info_name=name)
    for child in group.list_commands(context):
        command = group.get_command(context, child)
        assert command is not None
        yield f"{name} {child}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {child}")


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_keys_is_up_to_date() -> None:
    page = CONFIGURATION.read_text()
    assert BEGIN in page and END in page
    assert page == with_table(page), "run python tests/project/test_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_in_code_spans_exist(page: Path) -> None:
    names = re.findall(r"`((?:spikesim|ep|datasets|cli|tests|benchmarks|docs|examples)/[\w./{},-]*)`", page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_exist(page: Path) -> None:
    known = {option for _, command in commands() for parameter in command.params for option in parameter.opts}
    if page.name == "from-ep-code.md":
        known |= set(OTHER_PROGRAM.split())
    others = "--bind-to --preserve-status --signal --logdir --strict --wheel --bind --no-deps --upgrade"
    known |= {"--help", "--version", *others.split()}  # of mpiexec, timeout, pip and the like
    for script in [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("examples/**/*.py")]:
        known |= set(re.findall(r'add_argument\("(--[\w-]+)"', script.read_text()))
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page.read_text()))
    assert mentioned - known == set()


@pytest.mark.parametrize(("page", "line"), command_lines(), ids=lambda value: value)
def test_command_lines_are_understood(page: str, line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)[1:]
    if words[0] == "train" and page in ("results.md", "accuracy.md"):
        words += ["--out", "RUN.h5"]  # a name is for the reader to choose
    while isinstance(command, click.Group):
        child = command.get_command(click.Context(command), words.pop(0))
        assert child is not None, line
        command = child
    context = command.make_context(command.name, words)
    for text in context.params.get("settings", ()):
        key = text.partition("=")[0]
        assert key in {row[0] for row in describe()}


def test_there_are_command_lines_and_settings_to_check() -> None:
    assert {"README.md", "configuration.md"} <= {page for page, _ in command_lines()}


def test_every_command_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for name, command in commands():
        if name != "spikesim data check" and not isinstance(command, click.Group):
            assert name in text, name


def test_toml_examples_are_configurations() -> None:
    other = ("sparse-networks.md", "cluster.md", "sweeps.md", "reports.md")
    examples = [block for page in PAGES if page.name not in other for block in blocks(page, "toml")]
    examples += [path.read_text() for path in ROOT.glob("examples/*.toml")]
    assert examples
    for text in examples:
        values = tomllib.loads(text)
        config = make_config(values).to_dict()
        for section, keys in values.items():
            for key, value in keys.items() if isinstance(keys, dict) else [(None, keys)]:
                assert (config[section] if key is None else config[section][key]) == value


def test_toml_sweeps_have_members(tmp_path: Path) -> None:
    texts = [text for page in ("cluster.md", "sweeps.md") for text in blocks(ROOT / "docs" / page, "toml")]
    assert len(texts) == 5
    for text in texts:
        (tmp_path / "sweep.toml").write_text(text)
        for member in read_sweep(tmp_path / "sweep.toml"):
            make_config(merge({}, member.items()))


def test_toml_prices_are_energy_costs(tmp_path: Path) -> None:
    texts = list(blocks(ROOT / "docs" / "reports.md", "toml"))
    texts += [path.read_text() for path in ROOT.glob("examples/energy/*.toml")]
    assert len(texts) > 1
    for text in texts:
        (tmp_path / "costs.toml").write_text(text)
        assert energy_costs(str(tmp_path / "costs.toml")).memory


def test_toml_networks_are_described(tmp_path: Path) -> None:
    """With the files that the page names."""
    from event_files import arrays_of, bars, write_file  # of tests/helpers, which the script knows nothing of

    with h5py.File(tmp_path / "v1_nodes.h5", "w") as nodes, h5py.File(tmp_path / "v1_v1_edges.h5", "w") as edges:
        nodes["nodes/v1/node_type_id"] = edges["edges/v1_to_v1/edge_type_id"] = np.zeros(3, int)
        for end in ("source", "target"):
            edges[f"edges/v1_to_v1/{end}_node_id"] = np.arange(3)
    (tmp_path / "v1_v1_edge_types.csv").write_text("edge_type_id syn_weight delay\n0 0.5 1.5\n")
    write_file(tmp_path / "camera.npz", arrays_of(bars(2), 1))
    texts = list(blocks(ROOT / "docs" / "sparse-networks.md", "toml"))
    texts += [path.read_text() for path in ROOT.glob("examples/networks/*.toml")]
    assert len(texts) > 1
    for text in texts:
        assert make_network(tomllib.loads(text), tmp_path, DatasetSamples(tmp_path)).network.neurons > 0


def test_detectors_tell_the_shift() -> None:
    for shift in ("3", "-4"):
        script = ROOT / "examples" / "delay_lines.py"
        done = subprocess.run(
            [sys.executable, str(script), "--shift", shift], capture_output=True, text=True, check=True
        )
        counts = {
            int(own): int(count) for own, count in re.findall(r"^shift ([+-]\d+): +(\d+)", done.stdout, re.MULTILINE)
        }
        assert len(counts) == 11 and counts.pop(int(shift)) > 50 > 5 * max(counts.values())


def test_equilibrium_propagation_by_hand_learns() -> None:
    script = ROOT / "examples" / "ep_by_hand.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    first, *_, last = map(float, re.findall(r"error ([\d.]+)", done.stdout))
    assert last < 0.01 < first
    assert re.findall(r"-> (\d)", done.stdout) == ["0", "1", "1", "0"]


def test_python_of_sparse_networks_runs(tmp_path: Path) -> None:
    pages = "sparse-networks.md", "from-brian2-nest.md"
    example = "\n".join(block for page in pages for block in blocks(ROOT / "docs" / page, "python"))
    done = subprocess.run([sys.executable, "-c", example], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert int(done.stdout.split()[0]) > 0 and not done.stderr


def test_the_balanced_network_is_irregular(tmp_path: Path) -> None:
    script = ROOT / "examples" / "balanced_network.py"
    command = [
        sys.executable,
        str(script),
        "--neurons",
        "1000",
        "--steps",
        "300",
        "--plot",
        str(tmp_path / "raster.png"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.findall(r"tory: ([\d.]+) % .* variation ([\d.]+)$", done.stdout, re.MULTILINE)
    assert len(found) == 2 and all(0.1 < float(rate) < 10 and float(cv) > 0.7 for rate, cv in found)
    assert (tmp_path / "raster.png").stat().st_size > 10_000


def test_python_in_the_readme_runs(tmp_path: Path) -> None:
    (example,) = (block for block in blocks(ROOT / "README.md", "python") if "run.h5" not in block)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(8, 14, 14, 64) ")


def test_the_teacher_file_of_the_docs_is_one(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs" / "teacher-file.md", "python")
    done = subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    teacher = read_teacher(tmp_path / "teacher.h5")
    assert (teacher.dataset, teacher.logits.shape) == ("fashion-mnist-mini", (5000, 10))


def test_the_file_of_recordings_of_the_docs_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks(ROOT / "docs" / "streams.md", "python")
    events = np.zeros(5, [("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)])
    events["x"] = events["t"] = np.arange(5)
    monkeypatch.chdir(tmp_path)
    exec(example, {"train": [(events, 0), (events[:3], 2)], "test": [(events, 1)]})
    dataset = load("mine.npz", tmp_path)
    assert (len(dataset.train), len(dataset.test), dataset.shape, dataset.classes) == (2, 1, (1, 5, 2), 3)


def test_figures_are_what_their_script_draws(tmp_path: Path) -> None:
    """So the charts show the tables of docs/results.md."""
    subprocess.run([sys.executable, str(ROOT / "docs" / "figures" / "draw.py"), str(tmp_path)], check=True)
    kept = {path.name: path.read_bytes() for path in (ROOT / "docs" / "figures").glob("*.svg")}
    assert kept == {path.name: path.read_bytes() for path in tmp_path.iterdir()}, "run python docs/figures/draw.py"


def test_make_has_the_targets_of_the_readme() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = set(re.findall(r"\bmake (train|test|lint|docs|clean)\b", (ROOT / "README.md").read_text()))
    assert {"train", "test"} <= mentioned <= targets


def test_architecture_names_every_folder() -> None:
    """By the path from the root, in the manner of `ep/training/`."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    packages = {str(path.parent.relative_to(ROOT)) for path in MODULES if path.name == "__init__.py"}
    assert {name for name in packages if f"`{name}/`" not in text} == set()


def test_architecture_names_nothing_that_is_not_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    present = [str(path.relative_to(ROOT)) for path in (*MODULES, *(ROOT / "tests").rglob("*.py"))]
    for mentioned in re.findall(r"`([\w/]+\.py)`", text):
        assert any(name == mentioned or name.endswith(f"/{mentioned}") for name in present), mentioned
    sources = "\n".join(path.read_text() for path in MODULES)
    for name in re.findall(r"`([\w.]+)` \(`[\w/]+\.py`\)|`(\w+)` and `(\w+)` in `[\w/]+\.py`", text):
        for part in ".".join(filter(None, name)).split("."):
            assert re.search(rf"\b(class|def) {part}\b", sources), part


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(rf"^version: {re.escape(spikesim.__version__)}$", citation, re.MULTILINE)
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", citation, re.MULTILINE)
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == spikesim.__version__
    assert f"version {spikesim.__version__}" in (ROOT / "README.md").read_text()


def texts() -> list[tuple[str, str]]:
    """The pages, the help of each command and of each key of the configuration: where, and the text."""
    pages = [(str(page.relative_to(ROOT)), page.read_text()) for page in PAGES if NOTEBOOK not in page.parents]
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


if __name__ == "__main__":
    CONFIGURATION.write_text(with_table(CONFIGURATION.read_text()))
