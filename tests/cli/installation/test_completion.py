"""What a shell offers, and what help says, of the options of a command."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from commands import environment, succeed

from spikesim.cli import main
from spikesim.cli.commands.train import train
from spikesim.cli.help_groups import in_groups
from spikesim.datasets import names


def offered(*words: str) -> list[str]:
    """What is offered for the last of the words."""
    found = BashComplete(main, {}, "spikesim", "_SPIKESIM_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [item.value for item in found if item.type == "plain"]


@pytest.mark.parametrize(
    ("words", "some"),
    [
        (("tr",), {"train"}),
        (("train", "--arch", "vgg1"), {"vgg11", "vgg16"}),
        (("train", "--arch", ""), {"custom", "mlp"}),
        (("train", "--signals", ""), {"none", "local", "kd", "both"}),
        (("train", "--preset", "sto"), {"stochep", "stochep-crn", "stochep-signals"}),
        (("gradcheck", "--dataset", ""), set(names())),
        (("train", "--set", "dynamics.be"), {"dynamics.beta="}),
        (("train", "--set", "dynamics.firing="), {"dynamics.firing=iid", "dynamics.firing=stratified"}),
        (("report", "--section", "e"), {"epochs"}),
        (("manual", "own-"), {"own-data", "own-neuron", "own-architecture"}),
        (("completion", "z"), {"zsh"}),
    ],
)
def test_values_are_offered(words: tuple[str, ...], some: set[str]) -> None:
    found = set(offered(*words))
    assert found >= some and all(value.startswith(words[-1]) for value in found)


def test_run_files_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("a.h5", "b.toml", "runs/c.h5"):
        (tmp_path / name).touch()
    for words in (("info",), ("resume",), ("watch",), ("report",), ("report", "a.h5"), ("evaluate",)):
        assert offered(*words, "") == ["a.h5"]
        assert offered(*words, "runs/") == ["runs/c.h5"]
    assert offered("gradcheck", "--run", "r") == []


def test_bash_completes_with_what_is_printed() -> None:
    script = succeed("completion", "bash").stdout + "COMP_WORDS=(spikesim train --arch vgg9) COMP_CWORD=3\n"
    script += '_spikesim_completion "$PROGRAM"\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    program = f"{os.path.dirname(sys.executable)}/spikesim"
    if not os.path.exists(program):
        pytest.skip("the command is not installed")
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environment({"PROGRAM": program}), timeout=60
    )
    assert done.stdout == "vgg9\n", done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_their_script(shell: str) -> None:
    assert f"_SPIKESIM_COMPLETE={shell}_complete" in succeed("completion", shell).stdout


def test_the_options_of_train_are_in_groups() -> None:
    context = click.Context(train, info_name="train")
    groups = in_groups(train, context)
    flags = [flag for records in groups.values() for flag, _ in records]
    assert len(flags) == len(set(flags)) == len(train.get_params(context))
    assert [*groups] == [
        "Configuration", "Network", "Data", "Learning", "Dynamics", "Execution", "Messages and logs", "Run file",
        "Options",
    ]  # fmt: skip
    assert [flag for flag, _ in groups["Options"]] == ["--help"]
    text = train.get_help(context)
    assert all(f"\n{title}:\n" in text for title in groups)
