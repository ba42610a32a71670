"""Jobs that are no training, jobs in containers, and the number of a job alone."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import runs
from click.testing import CliRunner, Result
from commands import CONFIG, ROOT, spikesim

from spikesim import __version__
from spikesim.cli import main
from spikesim.ep.config.parsing import make_config, merge
from spikesim.io.toml import tomllib

NETWORK = '[[population]]\nname = "a"\nsize = 3\nbias = 0.1\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a network, and stand-ins for the commands of Slurm."""
    folder = tmp_path_factory.mktemp("jobs")
    config = make_config(merge(tomllib.loads(CONFIG), [])).to_dict()
    runs.write_run(folder / "run.h5", 6, config=config)
    (folder / "net.toml").write_text(NETWORK)
    (folder / "bin").mkdir()
    for name, text in {
        "sbatch": 'echo "4711;somewhere"',
        "srun": 'printf "%s\\n" "$@"; exit "$CODE"',
        "scontrol": 'echo "requeued $2"',
    }.items():
        (folder / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    return folder


def submit(folder: Path, *words: object) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(main, ["submit", "--dry-run", *map(str, words)])


def started(folder: Path, script: str, code: int) -> tuple[list[str], int]:
    """What a job prints, with stand-ins for srun and scontrol, and how it ends."""
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "CODE": str(code), "SLURM_JOB_ID": "7"}
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True)
    return done.stdout.splitlines(), done.returncode


@pytest.mark.parametrize(
    ("command", "name", "resumes"),
    [
        (("evaluate", "run.h5", "--repeats", "3"), "run.h5.evaluate", False),
        (("gradcheck", "--run", "run.h5", "--betas", "1,2"), "run.h5.gradcheck", False),
        (("gradcheck", "--arch", "conv"), "gradcheck", False),
        (("simulate", "net.toml", "--steps", "5", "--out", "out.h5"), "out.h5", True),
    ],
)
def test_other_commands_are_jobs(folder: Path, command: tuple[str, ...], name: str, resumes: bool) -> None:
    result = submit(folder, "--", *command)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert f"#SBATCH --job-name={name}" in lines and f"#SBATCH --output={folder}/{name}.log" in lines
    assert any(line.startswith("#SBATCH --signal=") for line in lines) == resumes
    given, code = started(folder, result.stdout, 75)
    words = [*command, *(["--resume", "requeued 7"] if resumes else [])]
    assert given[-len(words) :] == words and given.count("--resume") == resumes and code == 75
    assert started(folder, result.stdout, 3)[1] == 3


def test_a_container_starts_the_program_that_is_in_it(folder: Path) -> None:
    launcher = "apptainer exec --bind '/my data' spikesim.sif"
    result = submit(folder, "--launcher", launcher, "--", "train", "--arch", "conv", "--out", "new.h5")
    given, _ = started(folder, result.stdout, 0)
    assert given[2:6] == ["apptainer", "exec", "--bind", "/my data"]
    assert given[6:] == ["spikesim.sif", "spikesim", "train", "--arch", "conv", "--out", "new.h5", "--resume"]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--", "evaluate", "none.h5"), "none.h5 does not exist"),
        (("--", "evaluate", "run.h5", "--set", "seed=3"), "a test can only change keys of dynamics"),
        (("--", "evaluate", "run.h5", "--dataset", "mnist", "--data-dir", "."), "mnist is not found"),
        (
            ("--", "evaluate", "run.h5", "--dataset", "mnist", "--data-dir", "nowhere"),
            "data folder nowhere does not exist",
        ),
        (("--", "evaluate", "run.h5", "--weights", "best"), "has no best weights"),
        (("--", "gradcheck", "--arch", "conf"), "unknown architecture 'conf'"),
        (("--", "gradcheck", "--arch", "vgg5", "--signals", "kd"), "needs a teacher"),
        (("--", "gradcheck", "--dataset", "mnist", "--data-dir", "nowhere"), "data folder nowhere does not exist"),
        (("--", "gradcheck", "--run", "run.h5", "--betas", "a"), "not a list of numbers"),
        (("--", "simulate", "run.h5", "--steps", "5", "--out", "o.h5"), "run.h5"),
        (("--", "simulate", "net.toml", "--steps", "5", "--out", "no/o.h5"), "no does not exist"),
        (("--", "simulate", "net.toml", "--steps", "5", "--out", "o.h5", "--overwrite"), "--overwrite"),
        (("--nodes", "2", "--", "simulate", "net.toml", "--steps", "5", "--out", "o.h5"), "2 processes"),
        (("--sweep", "s.toml", "--", "evaluate", "run.h5"), "--sweep and --seeds apply to train"),
        (("--launcher", "a 'b", "--", "evaluate", "run.h5"), "No closing quotation"),
        (("--", "gradcheck", "--weights", "best"), "--weights best needs a run"),
        (("--", "info", "run.h5"), "train, evaluate, gradcheck or simulate"),
    ],
)
def test_what_a_command_would_refuse_is_refused_by_submit(folder: Path, words: tuple[str, ...], fragment: str) -> None:
    result = submit(folder, *words)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert fragment in line


def test_the_data_may_be_on_the_nodes_only(folder: Path) -> None:
    for command in (("evaluate", "run.h5", "--dataset", "mnist"), ("gradcheck", "--dataset", "mnist")):
        assert submit(folder, "--skip-data", "--", *command).exit_code == 0


def test_the_logs_of_the_members_of_a_sweep_would_be_one_file(folder: Path) -> None:
    (folder / "s.toml").write_text("[grid]\nseed = [0, 1]\n")
    result = submit(folder, "--sweep", "s.toml", "--", "train", "--arch", "conv", "--out", "runs", "--log", "l.jsonl")
    assert result.exit_code == 2 and "--log and --tensorboard are for a single run" in result.output


def test_the_number_of_the_job_alone(folder: Path) -> None:
    own = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for words, printed in (
        (("--parsable",), "4711\n"),
        ((), f"script: {folder}/run.h5.evaluate.sbatch\njob: 4711\n"),
    ):
        sent = spikesim("submit", *words, "--", "evaluate", "run.h5", cwd=folder, env=own)
        assert (sent.returncode, sent.stdout) == (0, printed), sent.stderr


def shell_parts() -> dict[str, str]:
    """What the recipes of containers run."""
    docker = (ROOT / "containers" / "Dockerfile").read_text()
    recipe = (ROOT / "containers" / "spikesim.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n((?:(?!%)[^\n]*\n)*)", recipe, re.MULTILINE))
    runs = re.findall(r"^RUN ((?:[^\n]*\\\n)*[^\n]*)", docker, re.MULTILINE)
    return {"Dockerfile": "\n".join(runs), **{name: sections[name] for name in ("post", "runscript", "test")}}


def test_recipes_of_containers_install_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, text in shell_parts().items():
        subprocess.run(["sh", "-n"], input=text, text=True, check=True)
        for extras in re.findall(r"\[([\w,]+)\]\"", text):
            assert set(extras.split(",")) <= set(project["optional-dependencies"]), name
    recipe = (ROOT / "containers" / "spikesim.def").read_text()
    assert set(re.findall(r"spikesim-([\d.]+)-py3", recipe)) == {__version__}
    assert all("[mpi,plot,exchange,tensorboard]" in shell_parts()[name] for name in ("Dockerfile", "post"))
