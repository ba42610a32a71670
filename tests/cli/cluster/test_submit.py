"""Batch scripts and sweeps, without a cluster; tests/cli/cluster/test_slurm.py has one."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import runs
from click.testing import CliRunner
from commands import CONFIG, assert_one_line, spikesim, succeed
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.cli import main
from spikesim.cli.cluster.slurm import ArrayTask, Resources, array_text, batch_script, seconds_of
from spikesim.datasets import load
from spikesim.ep.config.parsing import make_config, merge, parse_setting
from spikesim.ep.inputs.teacher import write_teacher
from spikesim.errors import InputError
from spikesim.io.toml import tomllib


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("UNLIMITED", None),
        ("infinite", None),
        ("-1", None),
        ("0", None),
        ("0:00", None),
        ("0-0", None),
        ("5", 300),
        ("5:30", 330),
        ("2:00:00", 7200),
        ("1-12", 129600),
        ("1-0:30", 88200),
        ("1-1:1:1", 90061),
    ],
)
def test_times_are_slurms(text: str, seconds: int | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "1h", "-3", "1:2:3:4", "5 "])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--time"):
        seconds_of(text)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_an_array_names_its_members(numbers: set[int]) -> None:
    found: list[int] = []
    for part in array_text(sorted(numbers)).split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert found == sorted(numbers)


NASTY = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)


def started(script: str, number: int | None, folder: Path) -> list[str]:
    """Arguments that a script hands to srun, which is a stand-in here."""
    folder.mkdir(exist_ok=True)
    (folder / "srun").write_text('#!/bin/sh\nprintf "%s\\0" "$@" > "$ARGUMENTS"\n')
    (folder / "srun").chmod(0o755)
    extra = {} if number is None else {"SLURM_ARRAY_TASK_ID": str(number)}
    out = folder / "arguments"
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ARGUMENTS": str(out), **extra}
    subprocess.run(["bash", "-c", script], check=True, env=env)
    return out.read_bytes().decode().split("\0")[:-1]


@given(
    command=st.lists(NASTY, max_size=4),
    members=st.dictionaries(st.integers(0, 3), st.lists(NASTY, max_size=3), min_size=1),
)
@settings(deadline=None, max_examples=20)
def test_whatever_is_in_the_arguments_reaches_the_program(
    command: list[str], members: dict[int, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "script"
    plain = batch_script(Resources("name"), command, Path("/"), "log")
    assert started(plain, None, folder)[2:] == command
    log = folder / "it's a $log"
    log.unlink(missing_ok=True)
    tasks = {number: ArrayTask(arguments, log) for number, arguments in members.items()}
    array = batch_script(Resources("name"), command, Path("/"), "log", tasks)
    for number, arguments in members.items():
        assert started(array, number, folder)[2:] == [*command, *arguments]
    assert log.read_text() == "", "what the member prints goes there"


def test_the_options_are_lines_of_the_script(tmp_path: Path) -> None:
    out = tmp_path / "my %run.h5"
    result = succeed(
        "submit", "--dry-run", "--partition", "cpu", "--nodes", 3, "--ntasks-per-node", 2, "--cpus-per-task", 8,
        "--time", "1:00:00", "--mem", "4G", "--signal-before", 120, "--mpi", "pmix", "--setup", "module load mpi",
        "--sbatch", "--qos=long", "--", "train", "--arch", "conv", "--out", out, "--resume",
    )  # fmt: skip
    lines = result.stdout.splitlines()
    for line in (
        "#SBATCH --partition=cpu", "#SBATCH --nodes=3", "#SBATCH --ntasks-per-node=2", "#SBATCH --cpus-per-task=8",
        "#SBATCH --time=1:00:00", "#SBATCH --mem=4G", "#SBATCH --signal=USR1@120", "#SBATCH --requeue",
        '#SBATCH --job-name="my %run"', f'#SBATCH --output="{tmp_path}/my %%run.h5.log"', "#SBATCH --qos=long",
        "module load mpi",
    ):  # fmt: skip
        assert line in lines
    (launch,) = [line for line in lines if line.startswith("srun ")]
    assert "--cpus-per-task=8 --mpi=pmix" in launch and launch.count("--resume") == 1
    assert not list(tmp_path.iterdir()), "nothing is written"
    subprocess.run(["bash", "-n"], input=result.stdout, text=True, check=True)


def test_what_cannot_work_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    train = ("--", "train", "--arch", "conv", "--out", tmp_path / "run.h5")
    sweep = tmp_path / "sweep.toml"
    sweep.write_text("[grid]\ndynamics.beta = [0.1, -4]\n")
    for arguments, fragment in (
        (("--time", "4", *train), "--time 4 is 240 s"),
        ((*train, "--width", "-1"), "model.width is -1"),
        ((*train, "--wdith", "1"), "No such option '--wdith'"),
        ((*train, "--overwrite"), "--overwrite"),
        ((*train, "--dry-run"), "--dry-run"),
        (("--", "report", "run.h5"), "'report' cannot be submitted"),
        (("--at-a-time", 3, *train), "--sweep"),
        (("--seeds", "1", *train, "--seed", "1"), "seed is in the sweep and among the options"),
        (("--sweep", sweep, *train), "member beta--4 of the sweep: dynamics.beta is -4"),
        (("--sweep", sweep, *train, "--beta", "1"), "dynamics.beta is in the sweep and among the options"),
        (("--setup", "a\nb", *train), "line break"),
        (("--", "train", "--out", tmp_path / "nowhere" / "run.h5"), "nowhere does not exist"),
        (train, "sbatch was not found"),
    ):
        assert_one_line(spikesim("submit", *arguments, env={"PATH": "/nowhere"}), fragment)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_a_sweep_over_architectures_and_names_has_its_members(start_of_a_run: Path, tmp_path: Path) -> None:
    name = "eig\u00e9n\U0001f600.npz"
    (tmp_path / name).write_bytes((start_of_a_run / "own.npz").read_bytes())
    (tmp_path / "sweep.toml").write_text(
        f"""
[[runs]]
data.dataset = "{name}"
model.layers = [{{ kind = "conv", channels = 4 }}, {{ kind = "dense", channels = 6 }}]
[[runs]]
[[runs.model.layers]]
kind = "dense"
channels = 10
""",
        encoding="utf-8",
    )
    sweep = ("submit", "--dry-run", "--sweep", tmp_path / "sweep.toml", "--")
    train = ("train", "--arch", "custom", "--dataset", "own.npz", "--out", tmp_path / "runs")
    lone = tuple(word for word in train if word not in ("--dataset", "own.npz"))
    result = succeed(*sweep, *lone, "--data-dir", tmp_path, cwd=start_of_a_run)
    script = result.stdout
    assert script.isascii()
    for number, (layers, dataset) in enumerate(((2, name), (1, None))):
        given = started(script, number, tmp_path / "stand-in")[2:]
        found = dict(parse_setting(given[i + 1]) for i, word in enumerate(given) if word == "--set")
        assert len(make_config(merge({"model": {"arch": "custom"}}, found.items())).model.layers) == layers
        assert found.get("data.dataset") == dataset
    bad = {"2026-11-29": "seed is 2026-11-29", "inf": "seed is inf", "{ a = 1 }": "seed is {'a': 1}"}
    for value, fragment in bad.items():
        (tmp_path / "sweep.toml").write_text(f"[[runs]]\nseed = {value}\n")
        assert_one_line(spikesim(*sweep, *train, cwd=start_of_a_run), "of the sweep", fragment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweep")
    for number, batches in ((0, 8), (2, 2), (10, 4)):
        config = {
            **make_config(
                merge({}, [("seed", number), ("dynamics.beta", 0.5 + number), ("record.spikes", [3])])
            ).to_dict()
        }
        runs.write_run(path / f"run-{number}.h5", batches, "finished" if batches > 2 else "stopped", config=config)
    (path / "run-3.h5").write_text("no run file")
    return path


def test_the_runs_of_a_folder_are_one_table(folder: Path) -> None:
    found = json.loads(succeed("report", "--sweep", folder, "--format", "json").stdout)["runs"]
    assert [run["run"] for run in found] == ["run-0.h5", "run-2.h5", "run-3.h5", "run-10.h5"]
    assert [run["epochs"] for run in found] == [2, 0, 0, 1]
    assert found[0]["settings"] == {"seed": 0, "dynamics.beta": 0.5} and found[2]["settings"]["seed"] is None
    alone = json.loads(succeed("report", folder / "run-0.h5", "--format", "json").stdout)
    last = alone["epochs"][-1]
    assert found[0]["test_accuracy"] == last["test_accuracy"] and found[0]["train_accuracy"] == last["train_accuracy"]
    assert "not a run file" in found[2]["state"] or "HDF5" in found[2]["state"]
    csv = succeed("report", "--sweep", folder, "--format", "csv").stdout.splitlines()
    assert csv[0].startswith("run,state,") and csv[0].endswith(",dynamics.beta,seed") and len(csv) == 5
    table = succeed("report", "--sweep", folder).stdout
    assert "2 of 4 runs finished" in table and "run-10.h5" in table


def test_what_a_report_cannot_be_of(folder: Path, tmp_path: Path) -> None:
    for arguments, fragment in (
        ((), "give a RUN.h5 or SIM.h5, or --sweep DIR"),
        ((folder / "run-0.h5", "--sweep", folder), "leave out RUN.h5"),
        (("--sweep", tmp_path), "has no run files"),
    ):
        assert_one_line(spikesim("report", *arguments), fragment)


def test_only_unfinished_members_are_sent_again(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    folder = tmp_path / "runs"
    folder.mkdir()
    for number, batches, status in ((0, 8, "finished"), (2, 2, "stopped"), (10, 4, "finished")):
        config = make_config(merge(tomllib.loads(CONFIG), [("seed", number)])).to_dict()
        runs.write_run(folder / f"run-{number}.h5", batches, status, config=config)
    sweep = tmp_path / "sweep.toml"
    sweep.write_text(f"[grid]\nseed = {list(range(12))}\n")
    command = (
        "submit",
        "--dry-run",
        "--sweep",
        sweep,
        "--unfinished",
        "--",
        "train",
        "--config",
        tmp_path / "tiny.toml",
    )
    result = succeed(*command, "--out", folder)
    assert "#SBATCH --array=1-9,11" in result.stdout.splitlines()
    assert f"11) log={folder}/run-11.log; set -- --set seed=11 --out {folder}/run-11.h5 ;;" in result.stdout
    assert_one_line(
        spikesim(*command, "--out", folder, "--epochs", 7),
        "member run-2 of the sweep",
        "optimizer.epochs: 2 in the file",
    )


@pytest.fixture(scope="module")
def start_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, images of one's own, and a teacher for them."""
    folder = tmp_path_factory.mktemp("start")
    rng, labels = np.random.default_rng(0), np.arange(30) % 3
    images = rng.integers(0, 256, (30, 8, 8), dtype=np.uint8)
    arrays = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    np.savez(folder / "own.npz", **arrays)
    write_teacher(folder / "teacher.h5", rng.normal(size=(30, 3)), load("own.npz", folder).name)
    (folder / "no.h5").write_text("no teacher")
    return folder


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (("--dataset", "nothere.npz"), ("nothere.npz is not found",)),
        (("--dataset", "nothere.h5"), ("nothere.h5 is not found",)),
        (("--dataset", "mnist", "--data-dir", "."), ("mnist", "not found")),
        (("--dataset", "dvsgesture"), ("dvsgesture is not found",)),
        (("--dataset", "nothing-of-this-name"), ("unknown data set",)),
        (("--data-dir", "nowhere"), ("data folder nowhere does not exist",)),
        (("--config", "nothere.toml"), ("cannot read nothere.toml",)),
        (("--signals", "kd"), ("needs a teacher",)),
        (("--signals", "kd", "--teacher", "nothere.h5"), ("nothere.h5 does not exist",)),
        (("--signals", "both", "--teacher", "no.h5"), ("no.h5 is not an HDF5 file",)),
        (("--teacher", "teacher.h5"), ("error_signals.kind", "'local'", "teacher")),
        (("--signals", "kd", "--teacher", "teacher.h5", "--dataset", "fashion-mnist-mini"), ("is for 'own.npz#",)),
        (("--arch", "conf"), ("unknown architecture 'conf'",)),
        (("--arch", "vgg5"), ("vgg5 takes images of 32x32",)),
        (("--set", "model.gain=[1, 2, 3]"), ("model.gain has 3 values",)),
        (("--set", "error_signals.strength=[1, 2, 3]"), ("error_signals.strength has 3 values",)),
        (("--limit", "31"), ("data.limit is 31",)),
        (("--set", "record.spikes=[0, 30]"), ("names sample 30",)),
        (("--set", "record.spikes=[0, 1, 0]"), ("names sample 0 more than once",)),
        (("--set", f"model.weights={'0' * 64}"), ("spikesim import",)),
        (("--init-from", "none.h5:best"), ("none.h5 does not exist",)),
        (("--freeze", "conv3"), ("optimizer.freeze has 'conv3'",)),
    ],
)
def test_what_train_would_refuse_is_refused_by_submit(
    arguments: tuple[str, ...],
    fragments: tuple[str, ...],
    start_of_a_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(start_of_a_run)
    given = ("train", "--arch", "conv", "--dataset", "own.npz", *arguments, "--out", str(tmp_path / "run.h5"))
    for command in (("submit", "--dry-run", "--", *given), given):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 2, result.output
        *before, last = result.output.splitlines()
        assert last.startswith("Error: ") and not any(line.startswith(("Error: ", "Trace")) for line in before)
        assert all(fragment in last for fragment in fragments), last
    assert not list(tmp_path.iterdir())
